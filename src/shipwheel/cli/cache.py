"""Show what the cache holds, or remove what was not used for a while."""

from __future__ import annotations

import argparse
import json
import os

from shipwheel.cache import Cache
from shipwheel.cli.console import human_size

_DAY = 24 * 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's words."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="info|prune")
    info = verbs.add_parser("info", help="where the cache is and what it holds")
    info.add_argument("--json", action="store_true", help="as JSON")
    prune = verbs.add_parser("prune", help="remove what was not used lately")
    prune.add_argument("--days", type=float, default=30.0, help="unused for so many days (default 30)")
    prune.add_argument("--all", action="store_true", help="remove everything")


def run(options: argparse.Namespace) -> int:
    """Show or prune."""
    cache = Cache.default(os.environ)
    if options.verb == "prune":
        entries, size = cache.prune(older_than=0.0 if options.all else options.days * _DAY)
        print(f"removed {entries} entries, {human_size(size)}")
        return 0
    usage = cache.usage()
    if options.json:
        parts = {use.part: {"entries": use.entries, "size": use.size} for use in usage}
        print(json.dumps({"path": str(cache.root), "parts": parts}, indent=2))
        return 0
    print(cache.root)
    for use in usage:
        print(f"{use.part:<8} {use.entries:>7} entries {human_size(use.size):>10}")
    return 0
