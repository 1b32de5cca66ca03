"""Print a published JSON schema: `settings` for [tool.shipwheel], `plan` for `shipwheel plan --json`, `check` for
`shipwheel check --format json`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from shipwheel.plan.model import plan_schema
from shipwheel.project.settings import settings_schema
from shipwheel.verify.report.schema import report_schema

_SCHEMAS: Final[Mapping[str, Callable[[], dict[str, Any]]]] = {
    "settings": settings_schema,
    "plan": plan_schema,
    "check": report_schema,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's words."""
    parser.add_argument("name", choices=tuple(_SCHEMAS), help="which schema")


def run(options: argparse.Namespace) -> int:
    """Print it."""
    print(json.dumps(_SCHEMAS[options.name](), indent=2))
    return 0
