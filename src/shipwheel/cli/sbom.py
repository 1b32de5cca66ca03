"""Print what an image is made of as CycloneDX JSON: every Python and Debian package, with licences.

For a project's folder the image is built, and the list has the hash of every locked file. For an image
it is what the image's own files say; `--attached` prints the list that was attached to it instead.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from shipwheel.cli.console import open_console
from shipwheel.cli.images import add_image_options, is_project, make_opener
from shipwheel.cli.options import add_selection, make_request, open_workshop, project_of
from shipwheel.errors import ImageError, UsageError
from shipwheel.images import open_image
from shipwheel.oci.model import Platform
from shipwheel.oci.reference import Reference
from shipwheel.plan.host import default_platform


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's words."""
    parser.add_argument(
        "project", nargs="?", default=".", metavar="PROJECT|IMAGE", help="a folder, or an image"
    )
    parser.add_argument(
        "--attached", action="store_true", help="print what was attached to the image in its registry"
    )
    add_image_options(parser)
    parser.add_argument("--no-cache", action="store_true", help="make every layer anew; downloads are kept")
    add_selection(parser)


def run(options: argparse.Namespace) -> int:
    """Make the list and print it."""
    text = options.project
    if is_project(text):
        if options.attached:
            raise UsageError("bad-image", "nothing is attached to a folder", place="--attached")
        document = _of_project(options)
    else:
        document = _of_image(text, options)
    sys.stdout.write(document.decode() + "\n")
    return 0


def _of_project(options: argparse.Namespace) -> bytes:
    from shipwheel.pipeline import build, plan
    from shipwheel.supply.documents import BuiltImage, built_sbom

    project = project_of(options)
    request = make_request(options, project, os.environ)
    if len(request.platforms) != 1:
        raise UsageError("one-platform", "a list is of one platform's image", place="--platform")
    with open_console(quiet=options.quiet) as progress:
        workshop = open_workshop(options, project, progress)
        built = build(request, workshop)
        [planned] = plan(request, workshop)
        with workshop.cache.in_use():
            item = BuiltImage(
                image=built.images[0], plan=planned.plan, selected=planned.selected, lock=planned.lock
            )
            return built_sbom(item, built.reference, workshop.cache)


def _of_image(text: str, options: argparse.Namespace) -> bytes:
    from shipwheel.supply.documents import image_sbom

    wanted = Platform.parse(options.platform[0]) if options.platform else None
    with make_opener(options) as opener, open_image(text, opener) as opened:
        image = opened.image_for(wanted, default=default_platform())
        if not options.attached:
            named = opened.place.name if opened.place.kind == "registry" else f"localhost/{_stem(text)}"
            return image_sbom(image, Reference.parse(named))
        from shipwheel.oci.registry import Repository
        from shipwheel.supply.attach import find_attached
        from shipwheel.supply.sbom import MEDIA_TYPE

        if opened.place.kind != "registry":
            raise UsageError("bad-image", "only a registry keeps what is attached", place="--attached")
        repository = Repository.of(Reference.parse(opened.place.name))
        found = find_attached(opener.registry(), repository, image.digest, MEDIA_TYPE)
        if not found:
            raise ImageError(
                "no-sbom",
                "no list of components is attached to the image",
                place=f"{repository}@{image.digest}",
                hint="without --attached, one is made from the image's files",
            )
        if len(set(found)) > 1:
            print(f"note: {len(set(found))} lists are attached; this is one of them", file=sys.stderr)
        return min(found)


def _stem(text: str) -> str:
    """Return a name for an image that has none but its file's."""
    from shipwheel.tags.versions import sanitize

    name = sanitize(Path(text.rpartition(":")[2] or text).name.split(".")[0]).lower().strip("-_.")
    return name or "image"
