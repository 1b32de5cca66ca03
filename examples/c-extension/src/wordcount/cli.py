"""The command `wordcount`."""

import sys

import tally


def main() -> None:
    """Print how many words were given."""
    print(tally.count(" ".join(sys.argv[1:])), "words")
