"""uv's settings that belong to a lock: how it resolves, what excludes each other, and metadata given by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from packaging.requirements import InvalidRequirement
from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.locks.markers import parse_requirement
from shipwheel.locks.model import ConflictItem, Lock
from shipwheel.locks.uv_wishes import Member

# The setting, its key in the lock's [options], and what it is where nothing says otherwise.
_MODES = (
    ("resolution", "resolution-mode", "highest"),
    ("prerelease", "prerelease-mode", "if-necessary-or-explicit"),
    ("fork-strategy", "fork-strategy", "requires-python"),
)
_SPAN = re.compile(r"(\d+)\s*(s|m|h|d|w|second|minute|hour|day|week|mo|month|y|year)s?\b")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_ISO_SPAN = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


def options_differ(options: Mapping[str, Any], settings: Mapping[str, Any]) -> str | None:
    """Return which of the settings that steer a resolution is another than the lock's."""
    for setting, key, default in _MODES:
        if settings.get(setting, default) != options.get(key, default):
            return f"[tool.uv] {setting}: it was made with {options.get(key, default)}"
    asked, locked = settings.get("exclude-newer"), options.get("exclude-newer")
    span = options.get("exclude-newer-span")
    if not _same_moment(asked, locked if span is None else None, span):
        return f"[tool.uv] exclude-newer: it was made with {span or locked or 'none'}"
    packages = settings.get("exclude-newer-package", {})
    known = options.get("exclude-newer-package", {})
    if isinstance(packages, Mapping) and isinstance(known, Mapping):
        names = {canonicalize_name(str(name)) for name in packages}
        if names != {canonicalize_name(str(name)) for name in known}:
            return "[tool.uv] exclude-newer-package differs"
    return None


def _same_moment(asked: object, locked: object, span: object) -> bool:
    if asked is None:
        return locked is None and span is None
    if span is not None:
        ours, theirs = _seconds(str(asked)), _seconds(str(span))
        # Months have no length: what cannot be compared counts as the same.
        return ours is None or theirs is None or ours == theirs
    if locked is None:
        return False
    ours_at, theirs_at = _moment(asked), _moment(locked)
    if ours_at is None or theirs_at is None:
        # The setting is a span, and the lock has a moment.
        return _seconds(str(asked)) is None
    if len(str(asked)) == len("2026-01-01"):
        # uv reads a day as its end where the one lives who locks.
        return abs(theirs_at - ours_at - timedelta(days=1)) <= timedelta(hours=15)
    return ours_at == theirs_at


def _moment(value: object) -> datetime | None:
    text = value.isoformat() if isinstance(value, date) else str(value)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or UTC)


def _seconds(text: str) -> int | None:
    """Return the length of `7 days` or `P7D`; None for what is no span of fixed length."""
    if iso := _ISO_SPAN.fullmatch(text.strip().upper()):
        if not any(iso.groups()):
            return None
        return sum(int(part or 0) * size for part, size in zip(iso.groups(), _SIZES, strict=True))
    parts = _SPAN.findall(text.lower())
    if not parts or any(unit in ("mo", "month", "y", "year") for _, unit in parts):
        return None
    return sum(int(count) * _SECONDS[unit[0]] for count, unit in parts)


_SIZES = (604800, 86400, 3600, 60, 1)


def conflicts_differ(lock: Lock, top: Member, members: Mapping[NormalizedName, Member]) -> str | None:
    """Return that `[tool.uv] conflicts` of the workspace are others than the lock's."""
    asked = {found for member in members.values() for found in _conflicts(member)}
    if top.name is None:
        asked |= set(_conflicts(top))
    else:
        asked = _with_includes(asked, top)
    return None if asked == set(lock.conflicts) else "[tool.uv] conflicts differ"


def _conflicts(member: Member) -> Iterator[frozenset[ConflictItem]]:
    for entries in member.tool.get("conflicts", ()):
        items = set()
        for entry in entries:
            package = canonicalize_name(str(entry.get("package") or member.name or ""))
            kind = next((kind for kind in ("extra", "group") if kind in entry), "project")
            items.add(ConflictItem(package, kind, canonicalize_name(str(entry.get(kind, "")))))
        yield frozenset(items)


def _with_includes(asked: set[frozenset[ConflictItem]], top: Member) -> set[frozenset[ConflictItem]]:
    """Add the sets that follow from groups which include groups of a set (`expand_transitive_group_includes`)."""
    groups = {canonicalize_name(name): texts for name, texts in top.data.get("dependency-groups", {}).items()}
    inside = {name: set(_included(name, groups, ())) for name in groups}
    found = set(asked)
    name = top.name or NormalizedName("")
    for item in sorted(
        {item for one in asked for item in one if item.kind == "group" and item.package == name}
    ):
        including = [
            ConflictItem(name, "group", group)
            for group, included in sorted(inside.items())
            if item.item in included and group != item.item
        ]
        found |= {one - {item} | {other} for one in tuple(found) if item in one for other in including}
    return found


def _included(
    name: NormalizedName, groups: Mapping[NormalizedName, Any], path: tuple[str, ...]
) -> Iterator[NormalizedName]:
    for wish in groups.get(name, ()) if name not in path else ():
        if isinstance(wish, dict) and isinstance(wish.get("include-group"), str):
            other = canonicalize_name(wish["include-group"])
            yield other
            yield from _included(other, groups, (*path, name))


def metadata_differs(manifest: Mapping[str, Any], settings: Mapping[str, Any]) -> str | None:
    """Return that `dependency-metadata` is another than the lock's."""
    asked = {_static(entry) for entry in settings.get("dependency-metadata", ())}
    known = {_static(entry) for entry in manifest.get("dependency-metadata", ())}
    return None if asked == known else "[tool.uv] dependency-metadata differs"


def _static(entry: object) -> tuple[object, ...]:
    if not isinstance(entry, Mapping):
        return (str(entry),)
    return (
        canonicalize_name(str(entry.get("name", ""))),
        str(entry.get("version") or ""),
        str(entry.get("requires-python") or "").replace(" ", ""),
        tuple(sorted(_requirement(text) for text in entry.get("requires-dist") or ())),
        tuple(
            sorted(
                canonicalize_name(str(extra))
                for extra in entry.get("provides-extra") or entry.get("provides-extras") or ()
            )
        ),
    )


def _requirement(text: object) -> tuple[str, ...]:
    try:
        found = parse_requirement(str(text))
    except InvalidRequirement:
        return (str(text),)
    parts = (found.extras and sorted(found.extras), found.specifier, found.marker, found.url)
    return (canonicalize_name(found.name), *(str(part or "") for part in parts))
