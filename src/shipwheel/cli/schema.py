"""Print a published JSON schema: `settings` for [tool.shipwheel], `plan` for `shipwheel plan --json`."""

from __future__ import annotations

import argparse
import json

from shipwheel.plan.model import plan_schema
from shipwheel.project.settings import settings_schema


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's words."""
    parser.add_argument("name", choices=("settings", "plan"), help="which schema")


def run(options: argparse.Namespace) -> int:
    """Print it."""
    schema = settings_schema() if options.name == "settings" else plan_schema()
    print(json.dumps(schema, indent=2))
    return 0
