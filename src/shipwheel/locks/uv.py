"""Read uv.lock (version 1, every revision) into the normal form. Chooses nothing; `select` does.

uv documents the format by its code (`uv-resolver/src/lock`). A lock is a graph: each workspace member is
a package entry with its own dependencies, extras and groups. Conflicts between extras or groups are
written into markers as extras with encoded names (`conflict_name`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

from packaging.pylock import PackageArchive, PackageDirectory, PackageVcs
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.locks.document import Problems, parse_toml, read_text, without_credentials
from shipwheel.locks.model import (
    PRODUCTION,
    ConflictItem,
    DirectSource,
    Lock,
    LockedFile,
    LockedPackage,
    LockInfo,
    Need,
    Root,
)
from shipwheel.project.model import Project
from shipwheel.project.shape import find_misshapen

_TREES = ("editable", "virtual", "directory")
# What `uv_fresh` reads, in the words of `project.shape`.
_WISHES = [{"name": str, "specifier": str, "marker": str, "extras": [str], "*": object}]
_METADATA = {"name": str, "version": str, "requires-python": str, "requires-dist": [str], "*": object}
_MANIFEST = {
    **dict.fromkeys(("requirements", "constraints", "overrides", "build-constraints"), _WISHES),
    "members": [str],
    "excludes": [(str, dict)],
    "dependency-groups": {"*": _WISHES},
    "dependency-metadata": [_METADATA],
}
_PACKAGE = {
    "metadata": {
        "requires-dist": _WISHES,
        "provides-extras": [str],
        "requires-dev": {"*": _WISHES},
        "dependency-groups": {"*": _WISHES},
    },
    "default-groups": (str, [str]),
}
_EVIDENCE = {"manifest": _MANIFEST, "package": [_PACKAGE], "distribution": [_PACKAGE]}


def read_uv_lock(path: Path, project: Project) -> Lock:
    """Read `path`; raises LockError with every problem of the file."""
    document = parse_toml(read_text(path), path)
    problems = Problems(path.name)
    version = document.get("version")
    if version != 1:
        problems.add(
            "unsupported-lock-version",
            f"version {version!r} is not known; 1 is",
            problems.place("version"),
            "lock with a uv that writes version 1, or use a newer shipwheel",
        )
        problems.check()
    for key, what in find_misshapen(document, _EVIDENCE):
        problems.add("bad-lock", f"not {what}", problems.place(key))
    problems.check()
    reader = _Reader(problems)
    # Locks of uv's first months call packages distributions.
    key = "package" if "package" in document else "distribution"
    tables = problems.tables(document, key, problems.place(key))
    packages = tuple(
        package
        for number, table in enumerate(tables)
        if (package := reader.package(table, number)) is not None
    )
    manifest = problems.table(document, "manifest", problems.place("manifest"))
    roots = tuple(reader.roots(packages, manifest))
    python = problems.text(document, "requires-python", problems.place("requires-python")) or ""
    try:
        SpecifierSet(python)
    except InvalidSpecifier as error:
        problems.add("bad-lock", str(error), problems.place("requires-python"))
    conflicts = tuple(reader.conflicts(document.get("conflicts", [])))
    environments = problems.texts(document, "supported-markers", problems.place("supported-markers"))
    required = problems.texts(document, "required-markers", problems.place("required-markers"))
    revision = document.get("revision", 0)
    if not isinstance(revision, int):
        problems.add("bad-lock", f"revision is no number: {revision!r}", problems.place("revision"))
    problems.check()
    return Lock(
        info=LockInfo(
            kind="uv",
            path=path,
            lock_version=f"{version}.{revision}",
            created_by="uv",
            sources={package.index: package.index for package in packages if package.index is not None},
        ),
        packages=packages,
        flat=False,
        roots=roots,
        project=project.name if any(root.name == project.name for root in roots) else None,
        python=python,
        environments=tuple(environments),
        conflicts=conflicts,
        evidence={
            "manifest": manifest,
            "options": problems.table(document, "options", problems.place("options")),
            "required-markers": tuple(required),
            "revision": revision,
            "trees": reader.trees,
        },
    )


class _Reader:
    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self._groups: dict[int, Mapping[NormalizedName, tuple[Need, ...]]] = {}
        self._trees: dict[int, str] = {}
        # What uv keeps of source trees to tell whether the lock is fresh.
        self.trees: dict[NormalizedName, Mapping[str, Any]] = {}

    def package(self, table: Mapping[str, Any], number: int) -> LockedPackage | None:
        name = self.problems.name_of(table, number)
        if name is None:
            return None
        place = self.problems.place(f"package.{name}")
        version = self.problems.version_of(table, place)
        source = self.problems.table(table, "source", place)
        kind = next(iter(source), "")
        if kind == "registry" and version is None:
            self.problems.add("bad-lock", "a package of an index without a version", place)
        files = tuple(self._files(table, source, place))
        direct = self._direct(source, files, place)
        package = LockedPackage(
            name=name,
            version=version,
            place=place,
            index=_index(source) if kind == "registry" else None,
            source=_source_key(source),
            direct=direct,
            virtual=kind == "virtual",
            files=files if kind == "registry" else (),
            needs=self._needs(table, "dependencies", place),
            extras=self._named_needs(table, "optional-dependencies", place),
            forks=tuple(self.problems.texts(table, "resolution-markers", place)),
        )
        groups = "dev-dependencies" if "dev-dependencies" in table else "dependency-groups"
        self._groups[id(package)] = self._named_needs(table, groups, place)
        if kind in _TREES:
            self._trees[id(package)] = str(source[kind])
            self.trees[name] = {
                "kind": kind,
                "path": str(source[kind]),
                "version": version,
                "metadata": self.problems.table(table, "metadata", place),
                "default-groups": table.get("default-groups", ["dev"]),
            }
        return package

    def roots(self, packages: Sequence[LockedPackage], manifest: Mapping[str, Any]) -> list[Root]:
        place = self.problems.place("manifest")
        members = {canonicalize_name(name) for name in self.problems.texts(manifest, "members", place)}
        roots = []
        for package in packages:
            tree = self._trees.get(id(package))
            # Without a workspace, the project is the one package whose source is the lock's own folder.
            if tree is not None and (package.name in members if members else tree == "."):
                roots.append(
                    Root(
                        name=package.name,
                        groups={PRODUCTION: package.needs, **self._groups[id(package)]},
                        extras=package.extras,
                        place=package.place,
                    )
                )
        groups = {
            canonicalize_name(group): tuple(self._requirement(entry) for entry in entries)
            for group, entries in self.problems.table(manifest, "dependency-groups", place).items()
        }
        requirements = tuple(
            self._requirement(entry) for entry in self.problems.tables(manifest, "requirements", place)
        )
        if groups or requirements or not roots:
            # A workspace whose root is no project: its groups, and in scripts its requirements.
            roots.append(Root(name=None, groups={PRODUCTION: requirements, **groups}, place=place))
        return roots

    def conflicts(self, sets: object) -> list[frozenset[ConflictItem]]:
        found: list[frozenset[ConflictItem]] = []
        for number, entries in enumerate(sets if isinstance(sets, list) else []):
            place = self.problems.place(f"conflicts #{number + 1}")
            items = []
            for entry in entries if isinstance(entries, list) else []:
                package = entry.get("package") if isinstance(entry, dict) else None
                if not isinstance(package, str):
                    self.problems.add("bad-lock", "a conflict without package", place)
                    continue
                kind, item = next(
                    ((kind, entry[kind]) for kind in ("extra", "group") if isinstance(entry.get(kind), str)),
                    ("project", ""),
                )
                items.append(ConflictItem(canonicalize_name(package), kind, canonicalize_name(item)))
            found.append(frozenset(items))
        return found

    def _requirement(self, entry: Mapping[str, Any]) -> Need:
        return Need(
            name=canonicalize_name(str(entry.get("name", ""))),
            extras=tuple(canonicalize_name(extra) for extra in entry.get("extras", ())),
            marker=str(entry.get("marker", "")),
            constraint=str(entry.get("specifier", "")),
        )

    def _needs(self, table: Mapping[str, Any], key: str, place: str) -> tuple[Need, ...]:
        return tuple(
            self._need(entry, place)
            for entry in self.problems.tables(table, key, place)
            if self._has_name(entry, place)
        )

    def _named_needs(
        self, table: Mapping[str, Any], key: str, place: str
    ) -> dict[NormalizedName, tuple[Need, ...]]:
        named = self.problems.table(table, key, place)
        return {canonicalize_name(name): self._needs(named, name, place) for name in named}

    def _has_name(self, entry: Mapping[str, Any], place: str) -> bool:
        if isinstance(entry.get("name"), str):
            return True
        self.problems.add("bad-lock", "a dependency without a name", place)
        return False

    def _need(self, entry: Mapping[str, Any], place: str) -> Need:
        source = entry.get("source")
        return Need(
            name=canonicalize_name(entry["name"]),
            extras=tuple(canonicalize_name(extra) for extra in self.problems.texts(entry, "extra", place)),
            marker=self.problems.text(entry, "marker", place) or "",
            version=self.problems.version_of(entry, place),
            source=_source_key(source) if isinstance(source, dict) else None,
        )

    def _files(self, table: Mapping[str, Any], source: Mapping[str, Any], place: str) -> list[LockedFile]:
        entries = list(self.problems.tables(table, "wheels", place))
        sdist = self.problems.table(table, "sdist", place)
        folder = str(source.get("registry", ""))
        return [self._file(entry, folder, source, place) for entry in (*entries, *([sdist] if sdist else []))]

    def _file(
        self, entry: Mapping[str, Any], folder: str, source: Mapping[str, Any], place: str
    ) -> LockedFile:
        url = self.problems.text(entry, "url", place)
        path = self.problems.text(entry, "path", place)
        name = self.problems.text(entry, "filename", place)
        if url is not None:
            name = unquote(urlsplit(url).path.rsplit("/", 1)[-1])
        elif path is not None:
            name = path.rsplit("/", 1)[-1]
            # uv writes the path relative to the index's folder.
            path = f"{folder.rstrip('/')}/{path}" if folder and "://" not in folder else path
        elif name is None:
            where = str(source.get("path") or source.get("url") or "")
            name = unquote(urlsplit(where).path.rsplit("/", 1)[-1])
        uploaded = entry.get("upload-time")
        if isinstance(uploaded, str):
            uploaded = _time(uploaded)
        size = entry.get("size")
        return LockedFile(
            name=name,
            hashes=self.problems.hashes(entry["hash"], place) if "hash" in entry else {},
            url=url,
            path=path,
            size=size if isinstance(size, int) else None,
            upload_time=uploaded if isinstance(uploaded, datetime) else None,
        )

    def _direct(
        self, source: Mapping[str, Any], files: Sequence[LockedFile], place: str
    ) -> DirectSource | None:
        found: DirectSource | None = None
        match source:
            case {"registry": str()}:
                pass
            case {"editable": str(path)}:
                found = PackageDirectory(path=path, editable=True)
            case {"directory": str(path)} | {"virtual": str(path)}:
                found = PackageDirectory(path=path, editable=False)
            case {"git": str(url)}:
                found = self._git(url, place)
            case {"url": str(url)}:
                found = PackageArchive(
                    url=without_credentials(url),
                    hashes=files[0].hashes if files else {},
                    size=files[0].size if files else None,
                    subdirectory=self.problems.text(source, "subdirectory", place),
                )
            case {"path": str(path)}:
                found = PackageArchive(path=path, hashes=files[0].hashes if files else {})
            case _:
                self.problems.add("bad-lock", f"an unknown source: {dict(source)!r}", place)
        return found

    def _git(self, text: str, place: str) -> PackageVcs | None:
        # https://host/repository?rev=asked&subdirectory=path#commit
        parts = urlsplit(text)
        query = parse_qs(parts.query)
        if not parts.fragment:
            self.problems.add(
                "bad-lock", f"a git source without its commit: {without_credentials(text)}", place
            )
            return None
        asked = next((query[key][0] for key in ("rev", "tag", "branch") if key in query), None)
        return PackageVcs(
            type="git",
            url=without_credentials(urlunsplit(parts._replace(query="", fragment=""))),
            requested_revision=asked,
            commit_id=parts.fragment,
            subdirectory=query["subdirectory"][0] if "subdirectory" in query else None,
        )


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _index(source: Mapping[str, Any]) -> str:
    return without_credentials(str(source["registry"]))


def _source_key(source: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={source[key]}" for key in sorted(source))
