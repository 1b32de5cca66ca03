"""Whether what is installed is what was released and locked: RECORD's hashes, the lock's versions."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Final

from packaging.utils import NormalizedName
from packaging.version import InvalidVersion, Version

from shipwheel.verify.installed import Distribution, Row
from shipwheel.verify.model import Finding, NotChecked, Place, Result, Rule
from shipwheel.verify.subject import Chapter, Subject, count

CHANGED: Final = Rule(
    code="package-changed",
    promise="secure",
    severity="error",
    title="Installed files are not what their package brought",
    why="Something changed them after they were installed: a patch that nobody will find again, or an intruder.",
    fix="Install the package anew; make changes in a fork with a version of its own.",
)
INCOMPLETE: Final = Rule(
    code="package-incomplete",
    promise="secure",
    severity="note",
    title="Files of packages are missing",
    why="RECORD lists files that are not there: somebody removed them, and imports or data may be missing.",
    fix="Install the package anew, or remove its lines from RECORD if it is meant to be so.",
)
COLLISION: Final = Rule(
    code="package-collision",
    promise="stable",
    severity="note",
    title="Packages overwrite each other's files",
    why="Which one's file is there depends on the order in which they were installed.",
    fix="Remove one of them, or tell their authors.",
)
NO_RECORD: Final = Rule(
    code="package-without-record",
    promise="secure",
    severity="note",
    title="Packages do not say which files are theirs",
    why="Without RECORD nothing can tell whether their files were changed, nor remove them.",
    fix="Install them from wheels.",
)
NOT_LOCKED: Final = Rule(
    code="not-in-lock",
    promise="secure",
    severity="error",
    title="Packages are installed that the lock does not have",
    why="They came in unseen: nobody chose their version, and no hash was checked.",
    fix="Add them to the project's dependencies and lock again, or remove them.",
)
RULES: Final = (CHANGED, INCOMPLETE, COLLISION, NO_RECORD, NOT_LOCKED)

# What comes with a Python or an environment rather than with a project; `installer` speaks of them.
_TOOLS: Final = frozenset({"pip", "setuptools", "wheel", "uv", "distlib", "virtualenv"})


def _check_records(subject: Subject) -> Iterator[Result]:
    if not subject.installed.distributions:
        yield NotChecked(rule=CHANGED, reason="no Python package is installed in the image")
        return
    missing: list[Place] = []
    # path → who lists it, and whether its hash is the file's
    said: dict[str, list[tuple[Distribution, bool]]] = {}
    for item in subject.installed.distributions:
        for row in () if item.vendored else item.rows or ():
            holds = _holds(subject, row)
            if holds is not None:
                said.setdefault(row.path, []).append((item, holds))
            # Bytecode, and some installers' folders for it, are made anew by whoever imports.
            elif row.path not in subject.evidence.visible and not row.path.endswith((".pyc", "/__pycache__")):
                missing.append(Place(path=f"/{row.path}", package=_title(item)))
    changed, collisions = [], []
    for path, owners in sorted(said.items()):
        if not any(holds for _, holds in owners):
            changed.append(subject.place(path))
        elif not all(holds for _, holds in owners):
            names = " and ".join(sorted({item.name for item, _ in owners}))
            collisions.append(subject.place(path, detail=names))
    bare = [
        Place(path=f"/{item.info}", package=_title(item))
        for item in subject.installed.distributions
        if item.rows is None and item.info.endswith(".dist-info") and not is_of_others(item)
    ]
    for rule, places in (
        (CHANGED, changed),
        (INCOMPLETE, missing),
        (COLLISION, collisions),
        (NO_RECORD, bare),
    ):
        if places:
            packages = sorted({place.package or "" for place in places})
            more = f" and {len(packages) - 4} more" if len(packages) > 4 else ""
            message = f"{count(len(places), 'path')} of {', '.join(packages[:4])}{more}"
            yield Finding(rule=rule, message=message, places=sorted(places, key=lambda place: place.path))


def is_of_others(item: Distribution) -> bool:
    """Whether another answers for it: the system's package manager (Debian's dist-packages), or what carries it."""
    return item.vendored or item.info.endswith(".egg-info") or item.site.startswith("usr/lib/python3/")


def _title(item: Distribution) -> str:
    return f"{item.name} {item.version}"


def _holds(subject: Subject, row: Row) -> bool | None:
    """Whether the file is what RECORD says; None where there is no file or no hash that we know."""
    fact = subject.evidence.fact(row.path)
    algorithm, equals, value = row.hash.partition("=")
    if fact is None or not equals:
        return None
    if algorithm == "sha256":
        return base64.urlsafe_b64encode(fact.sha256).rstrip(b"=").decode() == value.rstrip("=")
    # sha384 and sha512 are allowed and rare: the size at least.
    return not row.size.isdecimal() or row.size == str(fact.size)


def _check_lock(subject: Subject) -> Iterator[Result]:
    if subject.lock is None:
        yield NotChecked(rule=NOT_LOCKED, reason=subject.no_lock)
        return
    locked: dict[NormalizedName, set[str | None]] = {}
    for package in subject.lock.packages:
        locked.setdefault(package.name, set()).add(package.version)
    places = []
    for item in subject.installed.distributions:
        if item.name in subject.first_party or (item.name in _TOOLS and item.name not in locked):
            continue
        if is_of_others(item):
            continue
        versions = locked.get(item.name)
        if versions is None:
            places.append(Place(path=f"/{item.info}", package=_title(item), detail="not locked"))
        elif None not in versions and not any(_equal(item.version, version) for version in versions):
            wanted = ", ".join(sorted(str(version) for version in versions))
            places.append(Place(path=f"/{item.info}", package=_title(item), detail=f"locked: {wanted}"))
    if places:
        names = ", ".join(sorted(place.package or "" for place in places)[:6])
        yield Finding(rule=NOT_LOCKED, message=names, places=places)


def _equal(installed: str, locked: str | None) -> bool:
    try:
        return Version(installed) == Version(locked or "")
    except InvalidVersion:
        return installed == locked


# In the order of the report.
CHAPTERS: Final = (
    Chapter(rules=(CHANGED, INCOMPLETE, COLLISION, NO_RECORD), check=_check_records),
    Chapter(rules=(NOT_LOCKED,), check=_check_lock),
)
