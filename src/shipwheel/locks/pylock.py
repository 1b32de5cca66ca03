"""Read pylock.toml (PEP 751) into the normal form. Chooses nothing; `select` does.

packaging's `Pylock.from_dict` stops at the first mistake and checks every file name of every package;
this reader collects all mistakes and leaves names to the choice. `export` writes the other way.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.markers import InvalidMarker
from packaging.pylock import PackageArchive, PackageDirectory, PackageVcs
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from shipwheel.locks.document import Problems, normalized, parse_toml, read_text, without_credentials
from shipwheel.locks.markers import parse_marker
from shipwheel.locks.model import (
    PRODUCTION,
    DirectSource,
    Lock,
    LockedFile,
    LockedPackage,
    LockInfo,
    Membership,
    Need,
    Root,
)
from shipwheel.project.model import Project


def read_pylock(path: Path, project: Project) -> Lock:
    """Read `path`; raises LockError with every problem of the file."""
    return parse_pylock(parse_toml(read_text(path), path), path, project)


def parse_pylock(document: Mapping[str, Any], path: Path, project: Project) -> Lock:
    """Return the normal form of a PEP 751 document; raises LockError with every problem of it."""
    problems = Problems(path.name)
    version = problems.text(document, "lock-version", problems.place("lock-version")) or ""
    # PEP 751: a tool MUST error on a major version it does not know.
    if not _is_known(version):
        problems.add(
            "unsupported-lock-version",
            f"lock-version {version or 'missing'} is not known; 1.x is",
            problems.place("lock-version"),
        )
        problems.check()
    reader = _Reader(problems)
    if "packages" not in document:
        problems.add("bad-lock", "no packages: not a pylock.toml", problems.place("packages"))
    packages = tuple(
        package
        for number, table in enumerate(problems.tables(document, "packages", problems.place("packages")))
        if (package := reader.package(table, number)) is not None
    )
    extras = normalized(problems.texts(document, "extras", problems.place("extras")))
    groups = normalized(problems.texts(document, "dependency-groups", problems.place("dependency-groups")))
    defaults = normalized(problems.texts(document, "default-groups", problems.place("default-groups")))
    environments = problems.texts(document, "environments", problems.place("environments"))
    for text in environments:
        reader.marker(text, problems.place("environments"))
    python = problems.text(document, "requires-python", problems.place("requires-python")) or ""
    reader.specifiers(python, problems.place("requires-python"))
    maker = problems.text(document, "created-by", problems.place("created-by"))
    if not maker:
        problems.add("bad-lock", "created-by is missing", problems.place("created-by"))
    tool = problems.table(document, "tool", problems.place("tool"))
    pdm = problems.table(tool, "pdm", problems.place("tool.pdm"))
    hashes = problems.table(pdm, "hashes", problems.place("tool.pdm.hashes"))
    problems.check()
    return Lock(
        info=LockInfo(kind="pylock", path=path, lock_version=version, created_by=maker or ""),
        packages=packages,
        flat=True,
        roots=(
            Root(
                name=project.name,
                groups={PRODUCTION: (), **dict.fromkeys(groups - defaults, ())},
                extras=dict.fromkeys(extras, ()),
                defaults=defaults,
                aliases=defaults if len(defaults) == 1 else frozenset(),
            ),
        ),
        python=python,
        environments=tuple(environments),
        evidence={"hashes": hashes},
    )


def _is_known(version: str) -> bool:
    try:
        return Version(version).major == 1
    except InvalidVersion:
        return False


class _Reader:
    def __init__(self, problems: Problems) -> None:
        self.problems = problems

    def package(self, table: Mapping[str, Any], number: int) -> LockedPackage | None:
        name = self.problems.name_of(table, number)
        if name is None:
            return None
        place = self.problems.place(f"packages.{name}")
        files = tuple(self._files(table, place))
        direct = self._direct(table, place)
        # PEP 751, "packages.vcs" and others: the sources exclude each other.
        if (direct is None) == (not files):
            what = "several sources" if files else "no source"
            self.problems.add("bad-lock", f"a package with {what}", place)
        marker = self.problems.text(table, "marker", place) or ""
        self.marker(marker, place)
        python = self.problems.text(table, "requires-python", place) or ""
        self.specifiers(python, place)
        index = self.problems.text(table, "index", place)
        return LockedPackage(
            name=name,
            version=self.problems.version_of(table, place),
            place=place,
            index=without_credentials(index) if index else None,
            direct=direct,
            files=files,
            python=python,
            needs=tuple(
                Need(canonicalize_name(entry["name"]), version=entry.get("version"))
                for entry in self.problems.tables(table, "dependencies", place)
                if isinstance(entry.get("name"), str)
            ),
            memberships=(Membership(frozenset(), marker),),
        )

    def marker(self, text: str, place: str) -> None:
        if text:
            try:
                parse_marker(text)
            except InvalidMarker:
                self.problems.add("bad-marker", f"not a marker: {text}", place)

    def specifiers(self, text: str, place: str) -> None:
        try:
            SpecifierSet(text)
        except InvalidSpecifier as error:
            self.problems.add("bad-lock", str(error), place)

    def _files(self, table: Mapping[str, Any], place: str) -> list[LockedFile]:
        sdist = self.problems.table(table, "sdist", place)
        entries = [*self.problems.tables(table, "wheels", place), *([sdist] if sdist else [])]
        files: dict[str, LockedFile] = {}
        for entry in entries:
            file = self._file(entry, place)
            if file is None:
                continue
            other = files.setdefault(file.name, file)
            # Pipenv writes every hash of a release under the name of one wheel.
            if other.hashes != file.hashes:
                self.problems.add(
                    "bad-lock",
                    f"{file.name} is listed with two different hashes",
                    place,
                    "let another tool write it; a Pipfile.lock is read as it is",
                )
        return list(files.values())

    def _file(self, entry: Mapping[str, Any], place: str) -> LockedFile | None:
        url = self.problems.text(entry, "url", place)
        path = self.problems.text(entry, "path", place)
        name = self.problems.text(entry, "name", place)
        name = name or (path.replace("\\", "/").rsplit("/", 1)[-1] if path else None)
        name = name or (unquote(urlsplit(url).path.rsplit("/", 1)[-1]) if url else None)
        if not name:
            self.problems.add("bad-lock", "a file without name, path and url", place)
            return None
        uploaded, size = entry.get("upload-time"), entry.get("size")
        return LockedFile(
            name=name,
            hashes=self._hashes(entry, place),
            url=url,
            path=path,
            size=size if isinstance(size, int) else None,
            upload_time=uploaded if isinstance(uploaded, datetime) else None,
        )

    def _hashes(self, entry: Mapping[str, Any], place: str) -> dict[str, str]:
        # PEP 751: at least one secure algorithm SHOULD be there; others may stand beside it.
        found: dict[str, str] = {}
        table = self.problems.table(entry, "hashes", place)
        for algorithm, digest in table.items():
            if algorithm not in ("md5", "sha1"):
                found.update(self.problems.hashes(f"{algorithm}:{str(digest).lower()}", place))
        if not table:
            self.problems.add("no-hash", "a file without hashes", place)
        return found

    def _direct(self, table: Mapping[str, Any], place: str) -> DirectSource | None:
        found: list[DirectSource] = []
        if vcs := self.problems.table(table, "vcs", place):
            found.append(self._vcs(vcs, place))
        if directory := self.problems.table(table, "directory", place):
            found.append(
                PackageDirectory(
                    path=self._required(directory, "path", place),
                    editable=bool(directory.get("editable", False)),
                    subdirectory=self.problems.text(directory, "subdirectory", place),
                )
            )
        if archive := self.problems.table(table, "archive", place):
            url = self.problems.text(archive, "url", place)
            size = archive.get("size")
            found.append(
                PackageArchive(
                    url=without_credentials(url) if url else None,
                    path=self.problems.text(archive, "path", place),
                    size=size if isinstance(size, int) else None,
                    hashes=self._hashes(archive, place),
                    subdirectory=self.problems.text(archive, "subdirectory", place),
                )
            )
        if len(found) > 1:
            self.problems.add("bad-lock", "a package with several sources", place)
        return found[0] if found else None

    def _vcs(self, vcs: Mapping[str, Any], place: str) -> PackageVcs:
        url = self.problems.text(vcs, "url", place)
        return PackageVcs(
            type=self._required(vcs, "type", place),
            url=without_credentials(url) if url else None,
            path=self.problems.text(vcs, "path", place),
            requested_revision=self.problems.text(vcs, "requested-revision", place),
            commit_id=self._required(vcs, "commit-id", place),
            subdirectory=self.problems.text(vcs, "subdirectory", place),
        )

    def _required(self, table: Mapping[str, Any], key: str, place: str) -> str:
        value = self.problems.text(table, key, place)
        if not value:
            self.problems.add("bad-lock", f"{key} is missing", place)
        return value or ""
