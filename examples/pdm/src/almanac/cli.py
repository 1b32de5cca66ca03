"""The command `almanac`."""

from datetime import UTC, datetime, timedelta

import click
import yaml


@click.command()
@click.option("--days", default=7, show_default=True, help="How many days to print.")
def main(days: int) -> None:
    """Print the next days as YAML."""
    today = datetime.now(UTC).date()
    found = [today + timedelta(days=number) for number in range(days)]
    click.echo(yaml.safe_dump([{"date": day, "weekday": f"{day:%A}"} for day in found]), nl=False)
