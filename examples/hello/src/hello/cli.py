"""The command `hello`."""

import sys

import cowsay


def main() -> None:
    """Print the arguments as a cow would say them."""
    text = " ".join(sys.argv[1:]) or "Ship your wheels!"
    print(cowsay.get_output_string("cow", text))
