"""Build the project's image, straight from its locked wheels.

Prints the image's reference with its digest, and nothing else, on standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from typing import Any, TextIO

from shipwheel.cli.console import human_size, open_console
from shipwheel.cli.engine_build import add_engine, refuse_without_engine, run_engine
from shipwheel.cli.options import (
    add_project,
    add_release,
    add_selection,
    add_shipping,
    make_request,
    open_workshop,
    project_of,
)
from shipwheel.pipeline import Built, build
from shipwheel.progress import Progress
from shipwheel.ship.push import PushReport

# Words after -- are for the engine's own build command.
PASSES_ON = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's words."""
    add_project(parser)
    parser.add_argument(
        "--output",
        "-o",
        metavar="WHERE",
        help="FOLDER (an OCI layout), oci-archive:FILE or docker-archive:FILE; - is standard output",
    )
    parser.add_argument("--push", action="store_true", help="push it, as `shipwheel push` does")
    parser.add_argument(
        "--load",
        nargs="?",
        const="auto",
        metavar="ENGINE",
        help="give it to docker or podman; default: the one that answers",
    )
    add_shipping(parser)
    add_release(parser)
    parser.add_argument("--json", action="store_true", help="print what was built as JSON")
    add_selection(parser)
    add_engine(parser)


def run(options: argparse.Namespace) -> int:
    """Build and print."""
    if options.engine is not None:
        return run_engine(options, os.environ)
    refuse_without_engine(options)
    project = project_of(options)
    request = make_request(options, project, os.environ)
    to_stdout = request.output is not None and request.output.path == "-"
    with open_console(quiet=options.quiet) as progress:
        built = build(request, open_workshop(options, project, progress))
        for hint in built.plans[0].hints:
            progress.said(f"hint: {hint}")
        tell(built, options, progress)
        where = f", in {options.output}" if options.output else ""
        if not (options.output or built.pushed or built.loaded):
            where = "; `shipwheel run` runs it, --push and --output ship it"
        progress.said(f"{summary(built)}{where}")
    print_result(built, options, file=sys.stderr if to_stdout else sys.stdout)
    return 0


def tell(built: Built, options: argparse.Namespace, progress: Progress) -> None:
    """Say what became of the image, and with --explain why its layers are what they are."""
    if options.explain:
        for plan, stories in zip(built.plans, built.stories, strict=True):
            progress.said(f"layers for {plan.platform}:")
            for story in stories:
                progress.said(f"  {story}")
        for tools in built.tools:
            progress.said(str(tools))
    if built.fetched:
        progress.said(f"{human_size(built.fetched)} of reused layers were downloaded")
    for report in built.pushed:
        progress.said(render_push(report))
    if built.attached:
        progress.said(f"attached: {built.attached} documents, components and provenance of each image")
    if built.loaded is not None:
        how = (
            "it was there already"
            if built.loaded.way == "present"
            else f"{human_size(built.loaded.sent)} sent"
        )
        progress.said(f"loaded into {built.loaded.engine}: {', '.join(built.loaded.names)}; {how}")


def render_push(report: PushReport) -> str:
    """Return what a push did in a line."""
    if report.manifest_known:
        what = "the image was there already"
    else:
        parts = [
            f"{count} {word} ({human_size(size)})"
            for word, count, size in (
                ("sent", report.sent, report.sent_bytes),
                ("mounted", report.mounted, report.mounted_bytes),
                ("present", report.present, report.present_bytes),
            )
            if count
        ]
        what = f"blobs: {', '.join(parts)}"
    tags = "".join(
        f"; {word} {', '.join(names)}"
        for word, names in (("tagged", report.tags), ("tag was right:", report.kept))
        if names
    )
    return f"pushed to {report.repository}: {what}{tags}"


def print_result(built: Built, options: argparse.Namespace, *, file: TextIO) -> None:
    """Print the reference with its digest, one for each repository pushed to; or all as JSON."""
    if options.json:
        print(json.dumps(to_json(built), indent=2), file=file)
        return
    firsts = {reference.name: reference for reference in reversed(built.references)}
    shown = firsts.values() if built.pushed else [built.reference]
    for reference in sorted(shown, key=built.references.index):
        print(reference, file=file)


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
        "references": [str(reference) for reference in built.references],
        "pushed": [_push_json(report) for report in built.pushed],
        "fetched": built.fetched,
        "attached": built.attached,
        "tools": [story.to_json() for story in built.tools],
        "loaded": None if built.loaded is None else asdict(built.loaded),
        "size": sum(image.size for image in built.images),
        "platforms": [
            {
                "platform": str(image.platform),
                "digest": str(image.digest),
                "size": image.size,
                "layers": [
                    {**story.to_json(), "diff_id": str(layer.diff_id)}
                    for layer, story in zip(image.layers, stories, strict=True)
                ],
            }
            for image, stories in zip(built.images, built.stories, strict=True)
        ],
    }


def _push_json(report: PushReport) -> dict[str, Any]:
    return {**asdict(report), "digest": str(report.digest)}
