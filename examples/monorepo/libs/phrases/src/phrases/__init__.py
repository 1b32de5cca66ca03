"""What to say."""

import inflect


def greeting(name: str) -> str:
    """Return a greeting that counts the letters of `name`."""
    letters = inflect.engine().no("letter", len(name))
    return f"Hello {name}, you have {letters}."
