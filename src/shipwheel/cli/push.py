"""Build the project's image and push it: blobs first, then the manifest by digest, then the tags.

Layers that the registry has are neither made nor sent again. Prints the image's reference with its
digest on standard output, a line for each repository; what was sent is told on standard error.
"""

from __future__ import annotations

import argparse
import os
import sys

from shipwheel.cli.build import print_result, summary, tell
from shipwheel.cli.console import open_console
from shipwheel.cli.options import (
    add_project,
    add_release,
    add_selection,
    add_shipping,
    make_request,
    open_workshop,
    project_of,
)
from shipwheel.pipeline import build


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's words."""
    add_project(parser)
    add_shipping(parser)
    add_release(parser)
    parser.add_argument("--json", action="store_true", help="print what was pushed as JSON")
    add_selection(parser)
    parser.set_defaults(push=True)


def run(options: argparse.Namespace) -> int:
    """Build, push and print."""
    project = project_of(options)
    request = make_request(options, project, os.environ)
    with open_console(quiet=options.quiet) as progress:
        built = build(request, open_workshop(options, project, progress))
        tell(built, options, progress)
        progress.said(summary(built))
    print_result(built, options, file=sys.stdout)
    return 0
