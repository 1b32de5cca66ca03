"""Options that several commands share, and what they make: the request and the workshop."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from packaging.utils import canonicalize_name

from shipwheel.cache import Cache
from shipwheel.errors import ImageError, UsageError
from shipwheel.locks.model import Selection
from shipwheel.oci.model import Platform
from shipwheel.oci.reference import Reference
from shipwheel.plan.host import default_platform
from shipwheel.project.model import Project
from shipwheel.project.reader import read_project
from shipwheel.ship.output import Output

if TYPE_CHECKING:
    from shipwheel.assemble.workshop import Workshop
    from shipwheel.engine.load import EngineName
    from shipwheel.pipeline import Request
    from shipwheel.progress import Progress
    from shipwheel.tags.auto import TagRequest

# A tar header's field for times holds eleven octal digits: until the year 2242.
_LAST_SECOND: Final = 0o77777777777


def add_project(parser: argparse.ArgumentParser) -> None:
    """Add PROJECT and what is common to every command about a project."""
    parser.add_argument(
        "project", nargs="?", default=".", metavar="PROJECT", help="its folder (default: here)"
    )
    parser.add_argument("--quiet", "-q", action="store_true", help="show no progress")
    parser.add_argument("--no-cache", action="store_true", help="make every layer anew; downloads are kept")


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the choice of platforms and dependencies."""
    parser.add_argument(
        "--platform", action="append", metavar="OS/ARCH", help="as linux/arm64; several, or comma-separated"
    )
    parser.add_argument("--group", action="append", default=[], help="a dependency group to add")
    parser.add_argument("--only-group", action="append", help="this group instead of production")
    parser.add_argument("--without", action="append", default=[], help="a group to leave out")
    parser.add_argument("--extra", action="append", default=[], help="an extra of the project")
    parser.add_argument("--all-extras", action="store_true", help="all extras of the project")
    parser.add_argument("--package", help="a member of the workspace")
    parser.add_argument("--locked", action="store_true", help="shipwheel.lock must be there and fit")
    parser.add_argument(
        "--frozen", action="store_true", help="take the project's lock as it is, fresh or stale"
    )
    parser.add_argument(
        "--epoch", type=int, metavar="SECONDS", help="date of the image; default SOURCE_DATE_EPOCH, else 0"
    )


def add_shipping(parser: argparse.ArgumentParser) -> None:
    """Add the image's names, and where its layers may come from."""
    parser.add_argument(
        "--tag",
        "-t",
        action="append",
        metavar="NAME",
        help="name:tag, or a tag for the project's own name; may be repeated",
    )
    parser.add_argument(
        "--cache-from",
        action="append",
        metavar="IMAGE",
        help="an image that lends its layers; may be repeated; default: the one that a push replaces; or none",
    )
    parser.add_argument(
        "--insecure-registry",
        action="append",
        default=[],
        metavar="HOST",
        help="a registry that may be asked over plain http, as host:port; loopback always may",
    )
    parser.add_argument(
        "--explain", action="store_true", help="say of each layer where it comes from, and why"
    )


def add_release(parser: argparse.ArgumentParser) -> None:
    """Add tags that follow from version and git, and what is attached to an image that is pushed."""
    parser.add_argument(
        "--tags",
        choices=("auto",),
        help="auto: the tags that `shipwheel tags` prints; --tag then gives names without tags",
    )
    parser.add_argument(
        "--attest", action="store_true", help="attach the list of components and the provenance; needs a push"
    )
    add_tag_choices(parser)


def add_tag_choices(parser: argparse.ArgumentParser) -> None:
    """Add what decides about automatic tags, for every command that gives them."""
    release = parser.add_mutually_exclusive_group()
    release.add_argument(
        "--release", action="store_true", default=None, help="give the version's tags, whatever git says"
    )
    release.add_argument(
        "--no-release", dest="release", action="store_false", help="give none of the version's tags"
    )
    parser.add_argument(
        "--allow-dirty", action="store_true", help="tag although the working tree has changes"
    )
    parser.add_argument("--replace", action="store_true", help="let a version that exists name this image")


def tag_request(options: argparse.Namespace) -> TagRequest:
    """Return what the words of `add_tag_choices` say."""
    from shipwheel.tags.auto import TagRequest

    return TagRequest(
        offline=getattr(options, "offline", False),
        allow_dirty=options.allow_dirty,
        replace=options.replace,
        release=options.release,
    )


def make_request(options: argparse.Namespace, project: Project, environ: Mapping[str, str]) -> Request:
    """Return the request that the words make; raises UsageError."""
    from shipwheel.pipeline import Request

    def names(words: list[str] | None) -> frozenset[str]:
        return frozenset(words or ())

    only = options.only_group
    return Request(
        platforms=_platforms(options.platform, project),
        selection=Selection(
            extras=frozenset(map(canonicalize_name, names(options.extra))),
            all_extras=options.all_extras,
            groups=frozenset(map(canonicalize_name, names(options.group))),
            only_groups=None if only is None else frozenset(map(canonicalize_name, only)),
            without=frozenset(map(canonicalize_name, names(options.without))),
            package=None if options.package is None else canonicalize_name(options.package),
        ),
        references=_references(getattr(options, "tag", None), project),
        push=getattr(options, "push", False),
        load=_engine(getattr(options, "load", None)),
        tags=_tags(options),
        attest=_attest(options),
        cache_from=_cache_from(getattr(options, "cache_from", None), project),
        output=None if getattr(options, "output", None) is None else Output.parse(options.output),
        locked=options.locked,
        frozen=options.frozen,
        epoch=_epoch(options.epoch, environ),
    )


def open_workshop(options: argparse.Namespace, project: Project, progress: Progress) -> Workshop:
    """Return the machine as this process sees it."""
    from shipwheel.assemble.workshop import Workshop

    return Workshop(
        project=project,
        cache=Cache.default(os.environ, fresh=options.no_cache),
        environ=dict(os.environ),
        home=Path.home(),
        now=datetime.now(UTC),
        progress=progress,
        insecure=frozenset(getattr(options, "insecure_registry", ())),
    )


def project_of(options: argparse.Namespace) -> Project:
    """Read the project that the words name: with `--package`, that member of the workspace there."""
    project = read_project(Path(options.project))
    member = getattr(options, "package", None)
    if member is None or project.name == canonicalize_name(member):
        return project
    from shipwheel.project.workspace import find_member

    # Who is no member of a workspace on disk may be a root of the lock all the same: `locks.select` says.
    return find_member(project, canonicalize_name(member)) or project


def _platforms(words: list[str] | None, project: Project) -> tuple[Platform, ...]:
    named = [part for word in words or () for part in word.split(",") if part]
    if not named:
        named = list(project.settings.platforms) or [str(default_platform())]
    try:
        found = {Platform.parse(text) for text in named}
    except ImageError as error:
        raise UsageError.of([replace(item, place="--platform") for item in error.problems]) from error
    # linux/arm64/v8 is what everybody means by linux/arm64, and is written so.
    plain = {replace(item, variant=None) if item.variant == "v8" else item for item in found}
    return tuple(sorted(plain, key=str))


def _tags(options: argparse.Namespace) -> TagRequest | None:
    if getattr(options, "tags", None) is None:
        return None
    for word in options.tag or ():
        if ("/" not in word and ":" not in word) or Reference.parse(word).tag is not None:
            raise UsageError(
                "two-tags",
                f"--tags auto says the tags, and --tag {word} says one too",
                place="--tag",
                hint="name the repository alone, as --tag registry.example/team/app",
            )
    return tag_request(options)


def _attest(options: argparse.Namespace) -> bool:
    if not getattr(options, "attest", False):
        return False
    if not options.push:
        raise UsageError(
            "no-push", "only what is pushed can have something attached", place="--attest", hint="add --push"
        )
    return True


def _references(tags: Sequence[str] | None, project: Project) -> tuple[Reference, ...]:
    return tuple(dict.fromkeys(_reference(tag, project) for tag in tags or ()))


def _reference(tag: str, project: Project) -> Reference:
    if "/" not in tag and ":" not in tag:
        # A bare word is the tag alone; the name is the project's.
        from shipwheel.pipeline import name_image

        return name_image(project).with_tag(tag)
    named = Reference.parse(tag)
    if named.digest is not None:
        raise UsageError("bad-reference", f"{tag} has a digest, which follows from the image", place="--tag")
    return named.with_default_tag()


def _cache_from(words: Sequence[str] | None, project: Project) -> tuple[Reference, ...] | None:
    if words is None:
        return None
    if "none" in words:
        return ()
    references = (
        Reference.parse(word).with_default_tag() if "/" in word or ":" in word else _reference(word, project)
        for word in words
    )
    return tuple(dict.fromkeys(references))


def _engine(name: str | None) -> EngineName | None:
    if name is None:
        return None
    from shipwheel.engine.load import parse_engine

    return parse_engine(name)


def _epoch(option: int | None, environ: Mapping[str, str]) -> int:
    if option is not None:
        if not 0 <= option <= _LAST_SECOND:
            raise UsageError("bad-epoch", f"not seconds since 1970: {option}", place="--epoch")
        return option
    text = environ.get("SOURCE_DATE_EPOCH", "")
    with suppress(ValueError):
        if not text or 0 <= int(text) <= _LAST_SECOND:
            return int(text or 0)
    raise UsageError("bad-epoch", f"not seconds since 1970: {text!r}", place="SOURCE_DATE_EPOCH")
