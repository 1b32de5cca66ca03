"""Put an image on a newer base without building it: its own layers stay, byte for byte.

BASE is an image, or the folder of a project whose shipwheel.lock pins the new base. Refused when what
stands on it would not bear it: another Python, C library, standard library, or accounts.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from shipwheel.cli.console import open_console
from shipwheel.cli.images import add_image_options, add_platform, is_project, make_opener
from shipwheel.cli.options import open_workshop, project_of
from shipwheel.errors import LockError, UsageError
from shipwheel.images import OpenedImage, Opener, open_image
from shipwheel.inventory import layer_key
from shipwheel.lockfile import FILE, read_lockfile
from shipwheel.oci.model import Image, ImageIndex, Platform
from shipwheel.oci.read import LoadedImage, LoadedIndex, parse_json_object
from shipwheel.oci.reference import Reference
from shipwheel.rebase import NewBase, image_base, locked_base, rebase_image
from shipwheel.ship.output import Output, write_output

_BASE = "org.opencontainers.image.base."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's words."""
    parser.add_argument("image", metavar="IMAGE", help="in a registry, a layout folder, or an oci-archive")
    parser.add_argument("--base", required=True, metavar="BASE", help="an image, or a project's folder")
    parser.add_argument(
        "--old-base", metavar="IMAGE", help="what IMAGE stands on, where its labels do not tell"
    )
    parser.add_argument(
        "--output",
        "-o",
        metavar="WHERE",
        help="FOLDER (an OCI layout), oci-archive:FILE or docker-archive:FILE",
    )
    parser.add_argument("--push", metavar="NAME", help="push it under this name; may be the image's own")
    add_platform(parser)
    add_image_options(parser)
    parser.add_argument("--no-cache", action="store_true", help="make the base's layers anew")


def run(options: argparse.Namespace) -> int:
    """Rebase, write or push, and print the reference with its digest."""
    if not options.output and not options.push:
        raise UsageError(
            "no-output", "nothing says where the image goes", hint="--output FOLDER or --push NAME"
        )
    with (
        make_opener(options) as opener,
        open_image(options.image, opener) as opened,
        _bases(options, opener) as base_for,
    ):
        chosen = (
            opened.images
            if options.platform is None
            else [opened.image_for(options.platform, default=options.platform)]
        )
        images = [
            rebase_image(
                image,
                base_for(image.platform),
                old_env=_old_env(image, options, opener),
                place=f"{opened.place.name} {image.platform}",
            )
            for image in chosen
        ]
        result = _joined(images, opened)
        reference = _reference(options, opened)
        if options.output:
            write_output(result, Output.parse(options.output), [reference])
        if options.push:
            _push(result, reference, opened, opener)
    print(reference.with_digest(result.digest))
    return 0


def _joined(images: Sequence[Image], opened: OpenedImage) -> Image | ImageIndex:
    if not isinstance(opened.value, LoadedIndex) or len(images) == 1:
        return images[0]
    data = parse_json_object(opened.value.index, code="bad-index", place=opened.place.name)
    return ImageIndex(images=tuple(images), annotations=data.get("annotations") or {})


@contextlib.contextmanager
def _bases(options: argparse.Namespace, opener: Opener) -> Iterator[Callable[[Platform], NewBase]]:
    """Yield what gives the new base for a platform."""
    if not is_project(options.base):
        with open_image(options.base, opener) as base:
            name = base.place.name if base.place.kind == "registry" else None
            yield lambda platform: image_base(base.image_for(platform, default=platform), name=name)
        return
    options.project = options.base
    project = project_of(options)
    locked = read_lockfile(project.root / FILE)
    if locked is None:
        raise LockError(
            "no-shipwheel-lock",
            f"there is no {FILE}, which pins the base",
            place=str(project.root / FILE),
            hint="run: shipwheel lock",
        )
    with open_console(quiet=options.quiet) as progress:
        workshop = open_workshop(options, project, progress)
        with workshop.cache.in_use():
            yield lambda platform: locked_base(locked.base, platform, workshop)


def _old_env(image: LoadedImage, options: argparse.Namespace, opener: Opener) -> Mapping[str, str] | None:
    """Return the variables of the base that the image stands on; None where it is not known."""
    labels = image.image.annotations
    name, digest = labels.get(f"{_BASE}name"), labels.get(f"{_BASE}digest")
    if options.old_base:
        text = options.old_base
    elif name and digest:
        known = Reference.parse(name)
        text = f"docker://{known.name}@{digest}"
    else:
        # Assembled from Debian packages: such a base sets nothing. A layout's name is not in an image.
        debian = layer_key(image.layers[0]) or ""
        return {} if debian.startswith("debian-") else None
    with open_image(text, opener) as old:
        return dict(old.image_for(image.platform, default=image.platform).image.config.env or ())


def _reference(options: argparse.Namespace, opened: OpenedImage) -> Reference:
    if options.push:
        return Reference.parse(options.push).with_default_tag()
    if opened.place.kind == "registry":
        return Reference.parse(opened.place.name).with_default_tag()
    return Reference.parse(f"localhost/rebased:{opened.place.select or 'latest'}")


def _push(result: Image | ImageIndex, reference: Reference, opened: OpenedImage, opener: Opener) -> None:
    from shipwheel.oci.registry import Repository, push_image

    if reference.registry == "localhost":
        raise UsageError(
            "bad-reference",
            "localhost is no registry",
            place="--push",
            hint="write its port too: localhost:5000/…",
        )
    sources = []
    if opened.place.kind == "registry":
        sources.append(Repository.of(Reference.parse(opened.place.name)))
    tags = [reference.tag] if reference.tag else []
    push_image(opener.registry(), result, Repository.of(reference), tags=tags, sources=sources)
