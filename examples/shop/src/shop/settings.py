"""What can be set from the environment."""

from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    """One field for each environment variable, by its upper-case name."""

    host: str = "0.0.0.0"
    port: int = 8000
    database_url: str = "sqlite://"
    redis_url: str | None = None
    webhook_url: str | None = None
