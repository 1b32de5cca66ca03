"""Compare two images, or an image and what a project's locks plan: packages, files, and bytes to pull.

A and B are names in a registry, layout folders, archives, docker-daemon:NAME or podman:NAME; B may be a
project's folder, whose image is then planned and not built. With --exit-code, 1 says that they differ.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence

from shipwheel.cli.console import human_size, open_console
from shipwheel.cli.images import add_image_options, is_project, make_opener
from shipwheel.cli.options import add_selection, make_request, open_workshop, project_of
from shipwheel.diff import Difference, FileChange, PackageChange, diff_images, diff_plan, difference_to_json
from shipwheel.errors import UsageError
from shipwheel.images import Opener, open_image
from shipwheel.oci.model import Platform
from shipwheel.plan.host import default_platform

# Paths that are printed of each kind; --json has them all.
_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's words."""
    parser.add_argument("before", metavar="A", help="the image that is there")
    parser.add_argument("after", metavar="B", help="the image to come, or a project's folder")
    parser.add_argument("--json", action="store_true", help="print it as JSON, with every path")
    parser.add_argument("--exit-code", action="store_true", help="exit with 1 when they differ")
    add_image_options(parser)
    parser.add_argument("--no-cache", action="store_true", help=argparse.SUPPRESS)
    add_selection(parser)


def run(options: argparse.Namespace) -> int:
    """Compare and print."""
    with make_opener(options) as opener:
        compare = _with_plan if is_project(options.after) else _with_image
        found = compare(options, opener)
    print(json.dumps(difference_to_json(found), indent=2) if options.json else "\n".join(render(found)))
    return 1 if options.exit_code and not found.same else 0


def render(found: Difference) -> Iterator[str]:
    """Yield lines for people."""
    if found.same:
        yield "no difference"
        return
    if found.packages:
        yield f"packages    {len(found.packages)}"
        yield from (f"  {_package(change)}" for change in found.packages)
    if found.config:
        yield f"config      {len(found.config)}"
        for key, old, new in found.config:
            yield f"  {key}: {_value(old)} → {_value(new)}"
    if found.files:
        yield from _files(found.files)
    known = "" if all(layer.size is not None for layer in found.pull) else "at least "
    yield (
        f"pull        {known}{human_size(found.pull_size)} in {len(found.pull)} layers; "
        f"{found.shared} layers with {human_size(found.shared_size)} are there"
    )
    for layer in found.pull:
        size = "?" if layer.size is None else human_size(layer.size)
        yield f"  {size:>10}  {' '.join(layer.title.split())[:80]}"


def _with_image(options: argparse.Namespace, opener: Opener) -> Difference:
    platform = _platform(options)
    with open_image(options.before, opener) as before, open_image(options.after, opener) as after:
        old = before.image_for(platform, default=default_platform())
        new = after.image_for(platform or old.platform, default=old.platform)
        return diff_images(
            old,
            new,
            places=(before.place.name, after.place.name),
            by_diff_id=not (before.real_blobs and after.real_blobs),
        )


def _with_plan(options: argparse.Namespace, opener: Opener) -> Difference:
    from shipwheel.base.model import DebianPlatform
    from shipwheel.pipeline import plan
    from shipwheel.plan.base import locked_platform

    options.project = options.after
    project = project_of(options)
    with open_console(quiet=options.quiet) as progress:
        request = make_request(options, project, os.environ)
        if len(request.platforms) != 1:
            raise UsageError("one-platform", "images are compared for one platform", place="--platform")
        [planned] = plan(request, open_workshop(options, project, progress))
    [platform] = request.platforms
    locked = locked_platform(planned.lock.base, platform)
    packages = locked.packages if isinstance(locked, DebianPlatform) else ()
    with open_image(options.before, opener) as before:
        image = before.image_for(platform, default=platform)
        return diff_plan(
            image,
            planned.plan,
            {package.name: package.version for package in packages},
            place=before.place.name,
        )


def _platform(options: argparse.Namespace) -> Platform | None:
    words = [part for word in options.platform or () for part in word.split(",") if part]
    if len(words) > 1:
        raise UsageError("one-platform", "images are compared for one platform", place="--platform")
    return Platform.parse(words[0]) if words else None


def _package(change: PackageChange) -> str:
    if change.before is None:
        return f"+ {change.name} {change.after}"
    if change.after is None:
        return f"- {change.name} {change.before}"
    return f"  {change.name} {change.before} → {change.after}"


def _files(changes: Sequence[FileChange]) -> Iterator[str]:
    grown = sum((change.after or 0) - (change.before or 0) for change in changes)
    sign = "+" if grown >= 0 else "-"
    yield f"files       {len(changes)}, {sign}{human_size(abs(grown))} unpacked"
    for change in changes[:_SHOWN]:
        mark = "+" if change.before is None else "-" if change.after is None else " "
        yield f"  {mark} {change.path}"
    if len(changes) > _SHOWN:
        yield f"    and {len(changes) - _SHOWN} more; --json has them all"


def _value(value: object) -> str:
    return "(not set)" if value is None else json.dumps(value, ensure_ascii=False)
