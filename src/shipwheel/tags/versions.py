"""Which tags a version gets: itself, and the floating ones that it may move. Pure.

Versions are PEP 440's, which every Python project's are; the floating tags read them as SemVer does:
`1.4` is the newest patch of 1.4, `1` the newest minor of 1, `latest` the newest of all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from packaging.version import InvalidVersion, Version

TagKind = Literal["version", "minor", "major", "latest", "branch", "pull-request", "commit"]
LATEST: Final = "latest"
# distribution-spec: a tag is at most this long.
MAX_TAG: Final = 128
_FORBIDDEN: Final = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A tag to give. `moves`: it follows what is newest; else it stays what it is once it exists."""

    name: str
    kind: TagKind
    reason: str
    moves: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """A floating tag that is not given, and why."""

    name: str
    reason: str


def version_tag(version: Version) -> str:
    """Return the version as a tag: a plus (local) and an exclamation mark (epoch) become hyphens."""
    return str(version).replace("+", "-").replace("!", "-")


def version_tags(version: Version, known: Iterable[Version]) -> tuple[Sequence[Tag], Sequence[Withheld]]:
    """Return the tags of a released `version`, the exact one first, and the floating ones it may not have.

    `known` are the versions that exist. Pre-releases, development and local versions move nothing. A
    floating tag is not moved back: it stays with the highest final version of its series. A major
    version 0 has no tag `0`, as SemVer promises nothing for it.
    """
    exact = Tag(name=version_tag(version), kind="version", reason=f"the version {version}")
    floating = _floating(version)
    if (why := _moves_nothing(version)) is not None:
        return [exact], [Withheld(name=name, reason=why) for name, _, _ in floating]
    finals = [other for other in known if _moves_nothing(other) is None]
    given, withheld = [exact], []
    for name, kind, series in floating:
        newer = [other for other in finals if other > version and _in_series(other, series)]
        if newer:
            withheld.append(Withheld(name=name, reason=f"{max(newer)} is there, which is newer"))
        elif name != exact.name:
            what = "of all" if kind == "latest" else f"of {name}"
            given.append(Tag(name=name, kind=kind, reason=f"{version} is the newest {what}", moves=True))
    return given, withheld


def known_versions(tags: Iterable[str], *, like: Version) -> set[Version]:
    """Return the versions among a registry's `tags`; other tags (branches, dates) are not versions.

    A number without a dot is one only where `like`, the project's own, has no dot either: else it is
    a floating tag or a date.
    """
    found = set()
    # 2.0 and 2.0.0 are one version: the longer name is the one to speak of.
    for tag in sorted(tags, key=lambda text: (-len(text), text)):
        epoch = re.fullmatch(r"(\d+)-(\d+(?:\.\d+)*(?:\.post\d+)?)", tag)
        text = f"{epoch[1]}!{epoch[2]}" if epoch and like.epoch else tag
        if "." not in text and len(like.release) > 1:
            continue
        try:
            found.add(Version(text))
        except InvalidVersion:
            continue
    return found


def branch_tag(branch: str) -> str:
    """Return a branch's name as a tag; a name that is taken for another kind of tag gets `branch-` in front."""
    name = sanitize(branch)
    if name == LATEST or re.match(r"v?\d|sha-|pr-", name):
        name = f"branch-{name}"[:MAX_TAG]
    return name


def sanitize(text: str) -> str:
    """Return `text` as a tag: what a tag cannot hold becomes a hyphen, 128 characters are kept."""
    name = _FORBIDDEN.sub("-", text).lstrip(".-")[:MAX_TAG].rstrip("-.")
    return name or "unnamed"


def _floating(version: Version) -> list[tuple[str, TagKind, tuple[int, ...] | None]]:
    """Return name, kind and series (epoch first; None: every version) of the floating tags, longest first."""
    prefix = f"{version.epoch}-" if version.epoch else ""
    found: list[tuple[str, TagKind, tuple[int, ...] | None]] = []
    if len(version.release) > 2:
        found.append(
            (f"{prefix}{version.major}.{version.minor}", "minor", (version.epoch, *version.release[:2]))
        )
    if len(version.release) > 1 and version.major > 0:
        found.append((f"{prefix}{version.major}", "major", (version.epoch, version.major)))
    return [*found, (LATEST, "latest", None)]


def _in_series(version: Version, series: tuple[int, ...] | None) -> bool:
    if series is None:
        return True
    own = (version.epoch, *version.release, 0, 0)
    return own[: len(series)] == series


def _moves_nothing(version: Version) -> str | None:
    if version.is_devrelease:
        return "a development version moves no other tag"
    if version.is_prerelease:
        return "a pre-release moves no other tag"
    if version.local is not None:
        return "a local version moves no other tag"
    return None
