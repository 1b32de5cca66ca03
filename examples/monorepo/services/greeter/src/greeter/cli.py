"""The command `greeter`."""

import sys

from phrases import greeting


def main() -> None:
    """Greet everyone who is named."""
    for name in sys.argv[1:] or ["world"]:
        print(greeting(name))
