"""Read poetry.lock, every generation of it, into the normal form. Chooses nothing; `select` does.

Poetry documents its lock by its code (`poetry.packages.locker`). From lock-version 2.1 on each package
says which groups want it under which markers: a flat lock. Before, Poetry resolves again over the
locked packages: the graph is walked from what pyproject.toml asks for (`poetry_project`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.pylock import PackageArchive, PackageDirectory, PackageVcs
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from shipwheel.locks.constraint import parse_poetry_constraint
from shipwheel.locks.document import Problems, normalized, parse_toml, read_text, without_credentials
from shipwheel.locks.markers import given_extra
from shipwheel.locks.model import (
    PRODUCTION,
    DirectSource,
    Lock,
    LockedFile,
    LockedPackage,
    LockInfo,
    Membership,
    Need,
)
from shipwheel.locks.poetry_project import MAIN, poetry_needs, read_root
from shipwheel.project.model import Project

# Poetry left these out of its locks before 2.0 of the format (its UNSAFE_PACKAGES).
_UNLOCKED = frozenset({"pip", "setuptools", "distribute", "wheel"})
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_UNINSTALLABLE = (".egg", ".exe", ".msi", ".rpm", ".dmg", ".deb")


def read_poetry_lock(path: Path, project: Project) -> Lock:
    """Read `path`; raises LockError with every problem of the file."""
    text = read_text(path)
    document = parse_toml(text, path)
    problems = Problems(path.name)
    metadata = problems.table(document, "metadata", problems.place("metadata"))
    if not metadata:
        problems.add(
            "bad-lock",
            "no [metadata]: not a lock that Poetry wrote",
            problems.place("metadata"),
            "poetry lock",
        )
    version = problems.text(metadata, "lock-version", problems.place("metadata")) or ""
    flat = _is_flat(version, problems)
    reader = _Reader(problems, metadata, flat=flat)
    packages = tuple(reader.packages(problems.tables(document, "package", problems.place("package"))))
    python = problems.text(metadata, "python-versions", problems.place("metadata")) or "*"
    python = reader.constraint(python, problems.place("metadata.python-versions"))
    first = text[:200].partition("\n")[0]
    root = read_root(project)
    extras = normalized(problems.table(document, "extras", problems.place("extras")))
    root = replace(
        root,
        groups={**dict.fromkeys(reader.groups, ()), **root.groups},
        extras={**dict.fromkeys(extras, ()), **root.extras},
    )
    problems.check()
    return Lock(
        info=LockInfo(
            kind="poetry",
            path=path,
            lock_version=version or ("pre-1.0" if "hashes" in metadata else "none"),
            created_by=first.partition("by ")[2].partition(" and ")[0] or "Poetry",
            sources=reader.sources,
        ),
        packages=packages,
        flat=flat,
        roots=(root,),
        python=python,
        unlocked=_UNLOCKED,
        evidence={"content-hash": metadata.get("content-hash")},
    )


def _is_flat(version: str, problems: Problems) -> bool:
    """Tell whether the format has groups and markers per package (2.1 and later)."""
    if not version:
        return False
    try:
        parsed = Version(version)
    except InvalidVersion:
        parsed = Version("0")
    if parsed.major not in (1, 2):
        problems.add(
            "unsupported-lock-version",
            f"lock-version {version} is not known; 1.x and 2.x are",
            problems.place("metadata.lock-version"),
            "lock with a Poetry that writes 2.x, or use a newer shipwheel",
        )
    return parsed >= Version("2.1")


class _Reader:
    def __init__(self, problems: Problems, metadata: Mapping[str, Any], *, flat: bool) -> None:
        self.problems = problems
        self.flat = flat
        self.sources: dict[str, str] = {}
        self.groups: set[NormalizedName] = set()
        self._repeated: Counter[str] = Counter()
        place = problems.place("metadata")
        # Files were kept beside the packages until 2.0; the oldest locks have hashes without names.
        self._shared: dict[str, Any] = {
            canonicalize_name(name): files for name, files in problems.table(metadata, "files", place).items()
        }
        table = problems.table(metadata, "hashes", place)
        self._hashes = {
            canonicalize_name(name): problems.texts(table, name, problems.place(f"metadata.hashes.{name}"))
            for name in table
        }

    def packages(self, tables: Sequence[Mapping[str, Any]]) -> list[LockedPackage]:
        self._repeated = Counter(
            canonicalize_name(name) for table in tables if isinstance(name := table.get("name"), str)
        )
        found = [self._package(table, number) for number, table in enumerate(tables)]
        return [package for package in found if package is not None]

    def constraint(self, text: str, place: str) -> str:
        try:
            return parse_poetry_constraint(text)
        except ValueError as error:
            self.problems.add("bad-lock", str(error), place)
            return ""

    def _package(self, table: Mapping[str, Any], number: int) -> LockedPackage | None:
        name = self.problems.name_of(table, number)
        if name is None:
            return None
        place = self.problems.place(f"package.{name}")
        version = self.problems.version_of(table, place)
        if version is None:
            self.problems.add("bad-lock", "a package without a version", place)
            return None
        source = self.problems.table(table, "source", place)
        kind = self.problems.text(source, "type", place) or ""
        url = self.problems.text(source, "url", place) or ""
        reference = self.problems.text(source, "reference", place)
        files, hashes = self._files(table, name, version, kind, place)
        index = without_credentials(url) if kind == "legacy" else None
        if index and reference:
            self.sources[reference] = index
        needs, optional = self._needs(table, place)
        marker = self.problems.text(table, "marker", place) or ""
        memberships = self._memberships(table, place) if self.flat else ()
        if not self.flat and marker and "extra" not in marker:
            # Format 1.0 keeps platform markers with the package and not with those that need it.
            memberships = (Membership(frozenset(), marker),)
        return LockedPackage(
            name=name,
            version=version,
            place=place,
            index=index,
            source=reference if kind == "legacy" else None,
            direct=self._direct(source, files, table, place),
            files=() if kind in ("file", "url", "git", "directory") else files,
            hashes=hashes,
            python=_python(self.problems.text(table, "python-versions", place) or "*"),
            needs=needs,
            extras=optional,
            memberships=memberships,
        )

    def _files(
        self, table: Mapping[str, Any], name: NormalizedName, version: str, kind: str, place: str
    ) -> tuple[tuple[LockedFile, ...], tuple[str, ...]]:
        if "files" in table:
            raw = self.problems.tables(table, "files", place)
        elif name in self._hashes:
            hashes = [f"sha256:{value}" for value in self._hashes[name]]
            for value in hashes:
                self.problems.hashes(value, self.problems.place(f"metadata.hashes.{name}"))
            return (), tuple(sorted(hashes))
        else:
            place = self.problems.place(f"metadata.files.{name}")
            raw = self.problems.tables(self._shared, name, place)
        files = []
        for item in raw:
            filename = self.problems.text(item, "file", place)
            if not filename:
                self.problems.add("bad-lock", "a file without its name", place)
            elif not filename.endswith(_UNINSTALLABLE) and self._of_version(filename, version, name, kind):
                files.append(LockedFile(filename, self.problems.hashes(item.get("hash"), place)))
        return tuple(files), ()

    def _of_version(self, filename: str, version: str, name: NormalizedName, kind: str) -> bool:
        """Tell whether a file is of this version where one list holds the files of several."""
        if self._repeated[name] == 1 or kind in ("file", "url", "git", "directory"):
            return True
        stem = filename[len(name) + 1 :]
        candidate = stem.split("-")[0] if filename.endswith(".whl") else stem
        for suffix in (".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz"):
            candidate = candidate.removesuffix(suffix)
        try:
            return Version(candidate) == Version(version)
        except InvalidVersion:
            return False

    def _direct(
        self, source: Mapping[str, Any], files: Sequence[LockedFile], table: Mapping[str, Any], place: str
    ) -> DirectSource | None:
        kind = source.get("type", "")
        if kind in ("", "legacy", "pypi"):
            return None
        url = source.get("url")
        if not isinstance(url, str) or not url:
            self.problems.add("bad-lock", f"a {kind} source without url", place)
            return None
        subdirectory = self.problems.text(source, "subdirectory", place)
        match kind:
            case "directory":
                editable = bool(table.get("develop", False))
                return PackageDirectory(path=url, editable=editable, subdirectory=subdirectory)
            case "git":
                return self._git(url, source, place)
            case "file" | "url":
                where = urlsplit(url).path if kind == "url" else url
                name = unquote(where).rsplit("/", 1)[-1]
                named = [file for file in files if file.name == name] or list(files)[:1]
                return PackageArchive(
                    url=without_credentials(url) if kind == "url" else None,
                    path=url if kind == "file" else None,
                    hashes=named[0].hashes if named else {},
                    subdirectory=subdirectory,
                )
        self.problems.add("bad-lock", f"an unknown source type {kind!r}", place)
        return None

    def _git(self, url: str, source: Mapping[str, Any], place: str) -> PackageVcs | None:
        reference = self.problems.text(source, "reference", place)
        # Before 1.1 `reference` was the commit itself.
        commit = self.problems.text(source, "resolved_reference", place) or reference or ""
        if not _COMMIT.fullmatch(commit):
            self.problems.add("bad-lock", "a git source without its commit (resolved_reference)", place)
            return None
        return PackageVcs(
            type="git",
            url=without_credentials(url),
            requested_revision=reference,
            commit_id=commit,
            subdirectory=self.problems.text(source, "subdirectory", place),
        )

    def _memberships(self, table: Mapping[str, Any], place: str) -> tuple[Membership, ...]:
        if "groups" not in table:
            self.problems.add("bad-lock", "a package without groups", place, "poetry lock")
        groups = self.problems.texts(table, "groups", place)
        self.groups.update(_group(group) for group in groups)
        markers = table.get("markers", "")
        if isinstance(markers, str):
            return (Membership(frozenset(_group(group) for group in groups), markers),)
        if not isinstance(markers, dict) or not all(isinstance(value, str) for value in markers.values()):
            self.problems.add("bad-lock", "markers has to be a string or a table of strings", place)
            return ()
        return tuple(Membership(frozenset({_group(group)}), markers.get(group, "")) for group in groups)

    def _needs(
        self, table: Mapping[str, Any], place: str
    ) -> tuple[tuple[Need, ...], dict[NormalizedName, tuple[Need, ...]]]:
        always: list[Need] = []
        optional: dict[str, list[Need]] = {}
        for key, value in self.problems.table(table, "dependencies", place).items():
            try:
                wanted = list(poetry_needs(key, value))
            except ValueError as error:
                if self._repeated[canonicalize_name(key)] > 1:
                    self.problems.add("bad-lock", f"dependency {key}: {error}", place)
                    continue
                # A release may ask in words that are none; with one version locked there is no choice.
                try:
                    wanted = list(poetry_needs(key, _unbounded(value)))
                except ValueError as again:
                    self.problems.add("bad-lock", f"dependency {key}: {again}", place)
                    continue
            for need, is_optional in wanted:
                if is_optional:
                    optional.setdefault(need.name, []).append(need)
                else:
                    always.append(need)
        extras: dict[NormalizedName, tuple[Need, ...]] = {}
        for extra in self.problems.table(table, "extras", place) if optional else ():
            # `name[extras] (constraint) ; marker`: only the name is needed, the rest stands in dependencies.
            wishes = self.problems.texts(table["extras"], extra, place)
            names = [canonicalize_name(_first_word(wish)) for wish in wishes]
            own = canonicalize_name(extra)
            extras[own] = tuple(
                need._replace(marker=given_extra(need.marker, own))
                for name in dict.fromkeys(names)
                for need in optional.get(name, ())
            )
        return tuple(always), extras


def _python(text: str) -> str:
    try:
        return parse_poetry_constraint(text)
    except ValueError:
        # Old releases on an index say such things as !=3.0*, and Poetry copies them.
        return ""


def _unbounded(value: object) -> object:
    """Return a dependency with its version left open."""
    if isinstance(value, list):
        return [_unbounded(one) for one in value]
    return {**value, "version": "*"} if isinstance(value, dict) else "*"


def _first_word(wish: str) -> str:
    for index, letter in enumerate(wish):
        if not (letter.isalnum() or letter in "._-"):
            return wish[:index]
    return wish


def _group(name: str) -> NormalizedName:
    normal = canonicalize_name(name)
    return PRODUCTION if normal == MAIN else normal
