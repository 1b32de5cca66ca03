"""The normal form of every lock file, and what a selection from it looks like.

Files and sources are the PEP 751 types of `packaging.pylock`; around them stands the graph that
poetry.lock, uv.lock and pdm.lock need to be selected from. Readers make these values, `select` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from packaging.pylock import PackageArchive, PackageDirectory, PackageSdist, PackageVcs, PackageWheel
from packaging.utils import NormalizedName
from packaging.version import Version

LockKind = Literal["poetry", "uv", "pdm", "requirements", "pylock", "pipenv"]
DirectSource = PackageVcs | PackageDirectory | PackageArchive

# The group of a project's own dependencies. No tool allows a group without a name.
PRODUCTION = NormalizedName("")


@dataclass(frozen=True, slots=True)
class KnownByHash:
    """A release of which the lock has the hashes and not the file names: the index has to tell them.

    requirements.txt, Pipfile.lock and poetry.lock before Poetry 1.0 lock like this. `hashes` are
    `algorithm:hexdigest`, sorted. `choose.name_file` turns it into a wheel or an sdist.
    """

    hashes: tuple[str, ...]


Source = PackageWheel | PackageSdist | PackageVcs | PackageDirectory | PackageArchive | KnownByHash


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which part of a lock to install. Default: the project's production dependencies, no extras.

    `groups` are added to production; `only_groups`, where given, replace it; `without` takes groups
    away. `package` picks a workspace member.
    """

    extras: frozenset[NormalizedName] = frozenset()
    all_extras: bool = False
    groups: frozenset[NormalizedName] = frozenset()
    only_groups: frozenset[NormalizedName] | None = None
    without: frozenset[NormalizedName] = frozenset()
    package: NormalizedName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """One distribution to install on a target: the chosen `source` with its locked hashes.

    `index` is the simple-API address that the lock names for it (None: the default index; holds no
    credentials). `place` locates it in the lock, as `poetry.lock [package.numpy]`. `alternatives`
    are the file names that the lock offers besides the chosen one. `required_by` are the selected
    distributions that ask for it; empty where only the project does. `reason` says why this file
    was chosen.
    """

    name: NormalizedName
    version: Version | None
    source: Source
    index: str | None = None
    place: str
    alternatives: Sequence[str] = ()
    required_by: Sequence[NormalizedName] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockInfo:
    """What can be said of a lock without selecting: kind, path, its own version, and its maker."""

    kind: LockKind
    path: Path
    lock_version: str
    created_by: str
    sources: Mapping[str, str] = field(default_factory=dict)


class LockedFile(NamedTuple):
    """One file of a release as the lock has it. A tuple, as a lock holds ten thousand of them."""

    name: str
    hashes: Mapping[str, str]
    url: str | None = None
    path: str | None = None
    size: int | None = None
    upload_time: datetime | None = None


class Need(NamedTuple):
    """A wish for `name[extras]` where `marker` (PEP 508; empty: always) holds.

    `version`, `source` and `constraint` (alternatives of PEP 440 specifier sets, joined by ` || `)
    tell apart packages of one name, and are looked at only where there are several.
    """

    name: NormalizedName
    extras: tuple[NormalizedName, ...] = ()
    marker: str = ""
    constraint: str = ""
    version: str | None = None
    source: str | None = None


class ConflictItem(NamedTuple):
    """What cannot be wanted together with others: an `extra` or `group` of a package, or the `project` itself."""

    package: NormalizedName
    kind: str
    item: NormalizedName

    def as_extra(self) -> str:
        """Return the name under which uv's markers speak of it (uv-resolver, `universal_marker.rs`)."""
        name = f"{self.kind}-{len(self.package)}-{self.package}"
        return f"{name}-{self.item}" if self.item else name

    def __str__(self) -> str:
        return f"{self.kind} {self.item} of {self.package}" if self.item else f"project {self.package}"


@dataclass(frozen=True, slots=True)
class Membership:
    """A package belongs to the environment when one of `groups` is wanted and `marker` holds."""

    groups: frozenset[NormalizedName]
    marker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPackage:
    """One package entry of a lock.

    `version` is text as the lock has it, valid PEP 440, or None where it is dynamic. `direct` is set
    for what comes from no index; else `files` are known by name, or `hashes` alone are known.
    `source` is how the lock's own dependencies name its source. `virtual` packages carry
    dependencies and are not installed. `python` is the Python it says it needs (specifier sets
    joined by ` || `). `memberships` are filled in flat locks, `needs` and `extras` wherever the lock
    has them. `forks` are markers of the resolutions it comes from. `required_by` is what a flat lock
    without graph says in its comments.
    """

    name: NormalizedName
    version: str | None
    place: str
    index: str | None = None
    source: str | None = None
    direct: DirectSource | None = None
    virtual: bool = False
    files: tuple[LockedFile, ...] = ()
    hashes: tuple[str, ...] = ()
    python: str = ""
    needs: tuple[Need, ...] = ()
    extras: Mapping[NormalizedName, tuple[Need, ...]] = field(default_factory=dict)
    memberships: tuple[Membership, ...] = ()
    forks: tuple[str, ...] = ()
    required_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """What a project (or a workspace member) asks for itself: production is the group `PRODUCTION`.

    `aliases` are further names of production, as Poetry's `main`; `defaults` are groups that belong to
    production (PEP 751, `default-groups`). `place` is where the wishes stand.
    """

    name: NormalizedName | None
    groups: Mapping[NormalizedName, tuple[Need, ...]]
    extras: Mapping[NormalizedName, tuple[Need, ...]] = field(default_factory=dict)
    aliases: frozenset[NormalizedName] = frozenset()
    defaults: frozenset[NormalizedName] = frozenset()
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A lock file in normal form.

    A flat lock (`flat`) says of each package when it belongs; another is walked from `roots`.
    `project` names the root that a selection without `package` means. `python` is what the lock admits
    (specifier sets joined by ` || `), `environments` are markers of which one has to hold. `unlocked`
    are names that the tool leaves out of its locks on purpose. `conflicts` are sets of which no two
    items can be wanted together. With `extras_are_groups` packages belong to extras as they do to
    groups (PDM). `evidence` is what the tool left in the lock to tell whether it is fresh (`fresh`).
    """

    info: LockInfo
    packages: tuple[LockedPackage, ...]
    flat: bool
    roots: tuple[Root, ...]
    project: NormalizedName | None = None
    python: str = ""
    environments: tuple[str, ...] = ()
    unlocked: frozenset[str] = frozenset()
    conflicts: tuple[frozenset[ConflictItem], ...] = ()
    extras_are_groups: bool = False
    evidence: Mapping[str, Any] = field(default_factory=dict)
