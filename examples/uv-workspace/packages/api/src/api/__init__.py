"""Prints a greeting as JSON."""

import sys

from core import Greeting


def main() -> None:
    """Greet whoever is named, or the world."""
    print(Greeting(name=sys.argv[1] if len(sys.argv) > 1 else "world").to_json())
