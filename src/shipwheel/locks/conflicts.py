"""Extras and groups that exclude each other: which of them an environment has, as uv works it out.

uv writes "this version only with that extra" as markers on encoded extras. To evaluate them, all extras
that the graph switches on have to be known first; uv walks the graph twice for it
(`uv-resolver/src/lock/installable.rs`), and so does this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from packaging.utils import NormalizedName
from packaging.version import Version

from shipwheel.errors import UsageError
from shipwheel.locks.markers import MarkerEnvironment
from shipwheel.locks.model import PRODUCTION, ConflictItem, Lock, LockedPackage, Need, Root


def activate(
    lock: Lock,
    by_name: Mapping[NormalizedName, Sequence[LockedPackage]],
    environment: MarkerEnvironment,
    *,
    root: Root,
    groups: frozenset[NormalizedName],
    extras: frozenset[NormalizedName],
) -> MarkerEnvironment:
    """Return `environment` with every switched-on extra, group and project in uv's encoded names.

    Raises UsageError `conflicting-extras` where two of one conflict set are on.
    """
    active = set(_asked(root, groups, extras))
    _check(lock, active)
    place = root.place or lock.info.path.name
    wishes = [(need, place) for group in sorted(groups) for need in root.groups.get(group, ())]
    wishes += [(need, place) for extra in sorted(extras) for need in root.extras.get(extra, ())]
    while True:
        known = environment.and_extras([item.as_extra() for item in active])
        found = active | _switched_on(by_name, known, wishes)
        if found == active:
            break
        active = found
    _check(lock, active)
    return environment.and_extras([item.as_extra() for item in active])


def _asked(
    root: Root, groups: frozenset[NormalizedName], extras: frozenset[NormalizedName]
) -> Iterator[ConflictItem]:
    name = root.name or NormalizedName("")
    for group in groups:
        yield (
            ConflictItem(name, "project", NormalizedName(""))
            if group == PRODUCTION
            else ConflictItem(name, "group", group)
        )
    for extra in extras:
        yield ConflictItem(name, "extra", extra)


def _switched_on(
    by_name: Mapping[NormalizedName, Sequence[LockedPackage]],
    known: MarkerEnvironment,
    wishes: Sequence[tuple[Need, str]],
) -> set[ConflictItem]:
    """Return the extras that wishes reach in the environment `known` so far."""
    found: set[ConflictItem] = set()
    seen: set[tuple[int, NormalizedName | None]] = set()
    stack = list(wishes)
    while stack:
        need, place = stack.pop()
        own = [ConflictItem(need.name, "extra", extra) for extra in need.extras]
        # A wish may switch on the very extra that its marker asks for.
        here = known.and_extras([item.as_extra() for item in own]) if own else known
        if not here.holds(need.marker, place=place):
            continue
        found.update(own)
        for package in by_name.get(need.name, ()):
            if not _is_meant(package, need):
                continue
            for part in (None, *need.extras):
                if (id(package), part) not in seen:
                    seen.add((id(package), part))
                    needs = package.needs if part is None else package.extras.get(part, ())
                    stack.extend((one, package.place) for one in needs)
    return found


def _is_meant(package: LockedPackage, need: Need) -> bool:
    if need.source is not None and need.source != package.source:
        return False
    return (
        need.version is None or package.version is None or Version(need.version) == Version(package.version)
    )


def _check(lock: Lock, active: set[ConflictItem]) -> None:
    for conflict in lock.conflicts:
        for one, other in combinations(sorted(conflict & active), 2):
            raise UsageError(
                "conflicting-extras",
                f"{one} and {other} exclude each other",
                place=f"{lock.info.path.name} [conflicts]",
                hint="select one of them",
            )
