"""`python -m report`."""

import click
from tabulate import tabulate


@click.command()
@click.option("--rows", default=5, show_default=True, help="How many rows to print.")
def main(rows: int) -> None:
    """Print a table of squares."""
    click.echo(tabulate([(n, n * n) for n in range(1, rows + 1)], headers=("n", "square")))


if __name__ == "__main__":
    main()
