"""The normal form of every lock file, and what a selection from it looks like.

Files and sources are the PEP 751 types of `packaging.pylock`; around them stands the graph that
poetry.lock, uv.lock and pdm.lock need to be selected from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from packaging.pylock import PackageArchive, PackageDirectory, PackageSdist, PackageVcs, PackageWheel
from packaging.utils import NormalizedName
from packaging.version import Version

Source = PackageWheel | PackageSdist | PackageVcs | PackageDirectory | PackageArchive
LockKind = Literal["poetry", "uv", "pdm", "requirements", "pylock", "pipenv"]


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

    `index` is the simple-API address that the lock names for it (None: the default index; may not
    hold credentials). `place` locates it in the lock, as `poetry.lock [package.numpy]`.
    `alternatives` are the file names that the lock offers besides the chosen one.
    `required_by` are the selected distributions that ask for it; empty for the project's own.
    `reason` says why this file was chosen.
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
