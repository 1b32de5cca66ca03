"""Start the service: `shop`, or `uvicorn shop.main:app --reload` while developing."""

import signal
import sys

import uvicorn

from shop.app import create_app
from shop.settings import Settings

settings = Settings()
app = create_app(settings)


def main() -> None:
    """Serve until SIGTERM or SIGINT; open requests end first."""
    # uvicorn shuts down, then hands the signal on. As process 1 of a container it has no default action,
    # elsewhere it would kill: a stop that was asked for is a success in both.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(app, host=settings.host, port=settings.port)
