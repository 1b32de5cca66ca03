"""Build the project's image, straight from its locked wheels.

Prints the image's reference with its digest, and nothing else, on standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from shipwheel.cli.console import human_size, open_console
from shipwheel.cli.options import add_project, add_selection, make_request, open_workshop, project_of
from shipwheel.pipeline import Built, build


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's words."""
    add_project(parser)
    parser.add_argument(
        "--output",
        "-o",
        metavar="WHERE",
        help="FOLDER (an OCI layout), oci-archive:FILE or docker-archive:FILE; - is standard output",
    )
    parser.add_argument("--tag", "-t", metavar="NAME", help="name:tag, or a tag for the project's own name")
    parser.add_argument("--json", action="store_true", help="print what was built as JSON")
    add_selection(parser)


def run(options: argparse.Namespace) -> int:
    """Build and print."""
    project = project_of(options)
    request = make_request(options, project, os.environ)
    to_stdout = request.output is not None and request.output.path == "-"
    with open_console(quiet=options.quiet) as progress:
        built = build(request, open_workshop(options, project, progress))
        for hint in built.plans[0].hints:
            progress.said(f"hint: {hint}")
        where = (
            f", in {options.output}" if options.output else "; `shipwheel run` runs it, --output writes it"
        )
        progress.said(f"{summary(built)}{where}")
    text = json.dumps(to_json(built), indent=2) if options.json else str(built.reference)
    print(text, file=sys.stderr if to_stdout else sys.stdout)
    return 0


def summary(built: Built) -> str:
    """Return size, layers and time in a line."""
    sizes = " + ".join(human_size(image.size) for image in built.images)
    layers = " + ".join(str(len(image.layers)) for image in built.images)
    return f"{sizes} in {layers} layers, {built.seconds:.1f}s"


def to_json(built: Built) -> dict[str, Any]:
    """Return what was built as JSON values."""
    return {
        "reference": str(built.reference),
        "digest": str(built.image.digest),
        "seconds": round(built.seconds, 3),
        "size": sum(image.size for image in built.images),
        "platforms": [
            {
                "platform": str(image.platform),
                "digest": str(image.digest),
                "size": image.size,
                "layers": [
                    {
                        "name": layer.created_by,
                        "digest": str(layer.descriptor.digest),
                        "diff_id": str(layer.diff_id),
                        "size": layer.descriptor.size,
                    }
                    for layer in image.layers
                ],
            }
            for image in built.images
        ],
    }
