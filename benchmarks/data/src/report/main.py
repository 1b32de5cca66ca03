"""The command `report`."""

import pandas


def main() -> None:
    """Print a table."""
    print(pandas.DataFrame({"n": range(3)}).describe())
