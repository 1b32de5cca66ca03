"""Read pdm.lock (4.0 to 4.5) into the normal form. Chooses nothing; `select` does.

PDM documents the format by its code (`pdm.models.repositories.lock`). With the strategy
`inherit_metadata` each entry says which groups want it under which marker: a flat lock. Without, PDM
walks the graph from pyproject.toml. An entry `name[extra]` adds an extra's dependencies to the entry of
the bare name. PDM's groups and the project's extras share one name space.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.markers import InvalidMarker
from packaging.pylock import PackageArchive, PackageDirectory, PackageVcs
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.errors import ProjectError
from shipwheel.locks.constraint import python_marker
from shipwheel.locks.document import Problems, parse_toml, read_text, without_credentials
from shipwheel.locks.markers import both, parse_marker
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
from shipwheel.locks.requests import dependency_groups, parse_need, project_extras, project_needs
from shipwheel.project.model import Project

DEFAULT = canonicalize_name("default")
_ARCHIVES = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz")
_VCS = ("git", "hg", "svn", "bzr")
# What PDM writes: name[extras]specifiers; marker. Anything else goes through packaging.
_PLAIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?\s*([^;@\[]*?)\s*(?:;\s*(.*))?")


def read_pdm_lock(path: Path, project: Project) -> Lock:
    """Read `path`; raises LockError with every problem of the file."""
    document = parse_toml(read_text(path), path)
    problems = Problems(path.name)
    metadata = problems.table(document, "metadata", problems.place("metadata"))
    version = problems.text(metadata, "lock_version", problems.place("metadata")) or ""
    if not version.startswith("4."):
        problems.add(
            "unsupported-lock-version",
            f"lock_version {version or 'missing'} is not known; 4.x is",
            problems.place("metadata.lock_version"),
            "pdm lock",
        )
        problems.check()
    strategy = problems.texts(metadata, "strategy", problems.place("metadata"))
    flat = "inherit_metadata" in strategy
    reader = _Reader(problems, project, metadata, flat=flat)
    packages = reader.packages(problems.tables(document, "package", problems.place("package")))
    environments = reader.targets(metadata)
    locked = [_group(group) for group in problems.texts(metadata, "groups", problems.place("metadata"))]
    root = _root(project, locked)
    inputs = problems.table(metadata, "lock_inputs", problems.place("metadata.lock_inputs"))
    problems.check()
    return Lock(
        info=LockInfo(kind="pdm", path=path, lock_version=version, created_by="PDM", sources=reader.sources),
        packages=packages,
        flat=flat,
        roots=(root,),
        python=str(project.data.get("project", {}).get("requires-python", "")) if not environments else "",
        environments=environments,
        extras_are_groups=True,
        evidence={
            "content_hash": metadata.get("content_hash"),
            "lock_inputs": inputs if "lock_inputs" in metadata else None,
        },
    )


def _group(name: str) -> NormalizedName:
    normal = canonicalize_name(name)
    return PRODUCTION if normal == DEFAULT else normal


def _root(project: Project, locked: Sequence[NormalizedName]) -> Root:
    """Return the wishes of the groups that are locked; all of them where the lock names none."""
    data = project.data
    file = project.pyproject.name
    groups = {PRODUCTION: project_needs(data, file=file), **dependency_groups(data, file=file)}
    place = f"{file} [tool.pdm.dev-dependencies]"
    for name, wishes in data.get("tool", {}).get("pdm", {}).get("dev-dependencies", {}).items():
        group = canonicalize_name(name)
        groups[group] = (*groups.get(group, ()), *(parse_wish(wish, place) for wish in wishes))
    extras = project_extras(data, file=file)
    if locked:
        groups = {group: groups.get(group, ()) for group in locked if group not in extras}
        extras = {extra: needs for extra, needs in extras.items() if extra in locked}
    groups.setdefault(PRODUCTION, ())
    # `-G` takes extras and groups alike.
    return Root(
        name=project.name,
        groups={**extras, **groups},
        extras=extras,
        aliases=frozenset({DEFAULT}),
        place=f"{file} [project]",
    )


def parse_wish(text: str, place: str) -> Need:
    """Parse a requirement as PDM writes it: PEP 508, or `-e ADDRESS#egg=name`."""
    text = text.strip()
    if text.startswith(("-e ", "--editable ")):
        egg = re.search(r"#(?:.*&)?egg=([A-Za-z0-9._-]+)", text)
        name = egg[1] if egg else text.rstrip("/").rsplit("/", 1)[-1]
        return Need(canonicalize_name(name))
    plain = _PLAIN.fullmatch(text)
    if plain is None:
        return parse_need(text, place=place)
    constraint = plain[3].strip().removeprefix("(").removesuffix(")")
    try:
        SpecifierSet(constraint)
    except InvalidSpecifier:
        return parse_need(text, place=place)
    if plain[4]:
        try:
            parse_marker(plain[4])
        except InvalidMarker as error:
            raise ProjectError(
                "bad-requirement",
                f"not a requirement: {text!r}",
                place=place,
                hint=str(error).splitlines()[0],
            ) from error
    return Need(
        name=canonicalize_name(plain[1]),
        extras=tuple(
            sorted(canonicalize_name(extra.strip()) for extra in (plain[2] or "").split(",") if extra.strip())
        ),
        marker=plain[4] or "",
        constraint=constraint,
    )


class _Reader:
    def __init__(
        self, problems: Problems, project: Project, metadata: Mapping[str, Any], *, flat: bool
    ) -> None:
        self.problems = problems
        self._shared = problems.table(metadata, "files", problems.place("metadata.files"))
        self.flat = flat
        self.sources: dict[str, str] = {}
        self._indexes: list[tuple[str, Sequence[str]]] = []
        for source in project.data.get("tool", {}).get("pdm", {}).get("source", []):
            url = without_credentials(str(source.get("url", "")))
            if source.get("type", "index") == "index" and source.get("include_packages"):
                self._indexes.append((url, source["include_packages"]))
            self.sources[str(source.get("name", url))] = url

    def packages(self, tables: Sequence[Mapping[str, Any]]) -> tuple[LockedPackage, ...]:
        """Return one package per name, version and source: entries with extras join that of the bare name."""
        joined: dict[tuple[object, ...], list[tuple[Mapping[str, Any], str]]] = {}
        for number, table in enumerate(tables):
            name = self.problems.name_of(table, number)
            if name is None:
                continue
            where = next((str(table[key]) for key in ("url", "path", *_VCS) if key in table), "")
            version = (
                None
                if where
                else self.problems.text(table, "version", self.problems.place(f"package.{name}"))
            )
            joined.setdefault((name, version, where), []).append(
                (table, self.problems.place(f"package.{name}"))
            )
        return tuple(self._package(entries) for entries in joined.values())

    def targets(self, metadata: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the markers of the environments that were locked for."""
        place = self.problems.place("metadata.targets")
        markers = [_target_marker(target) for target in self.problems.tables(metadata, "targets", place)]
        return () if "" in markers else tuple(markers)

    def _package(self, entries: Sequence[tuple[Mapping[str, Any], str]]) -> LockedPackage:
        base, place = next((entry for entry in entries if not entry[0].get("extras")), entries[0])
        name = canonicalize_name(base["name"])
        version = self.problems.version_of(base, place)
        files = self._files(base, place)
        direct = self._direct(base, files, place)
        if direct is None and version is None:
            self.problems.add("bad-lock", "a package without a version", place)
        extras: dict[NormalizedName, tuple[Need, ...]] = {}
        for table, _ in entries:
            needs = tuple(need for need in self._needs(table, place) if need.name != name or need.extras)
            for extra in self.problems.texts(table, "extras", place):
                own = canonicalize_name(extra)
                extras[own] = (*extras.get(own, ()), *needs)
        return LockedPackage(
            name=name,
            version=version,
            place=place,
            index=self._index(name) if direct is None else None,
            direct=direct,
            files=files if direct is None else (),
            python=self._python(base, place),
            needs=self._needs(base, place) if not base.get("extras") else (),
            extras=extras,
            memberships=tuple(self._memberships(entries)),
        )

    def _python(self, table: Mapping[str, Any], place: str) -> str:
        text = self.problems.text(table, "requires_python", place) or ""
        try:
            SpecifierSet(text)
        except InvalidSpecifier:
            # Old releases on an index say such things, and PDM copies them.
            return ""
        return text

    def _memberships(self, entries: Sequence[tuple[Mapping[str, Any], str]]) -> Iterable[Membership]:
        for table, place in entries:
            marker = self.problems.text(table, "marker", place) or ""
            if self.flat:
                groups = self.problems.texts(table, "groups", place)
                yield Membership(frozenset(_group(group) for group in groups), marker)
            elif marker:
                yield Membership(frozenset(), marker)

    def _needs(self, table: Mapping[str, Any], place: str) -> tuple[Need, ...]:
        needs = []
        for text in self.problems.texts(table, "dependencies", place):
            try:
                needs.append(parse_wish(text, place))
            except ProjectError:
                self.problems.add("bad-lock", f"not a requirement: {text!r}", place)
        return tuple(needs)

    def _files(self, table: Mapping[str, Any], place: str) -> tuple[LockedFile, ...]:
        files = []
        if "files" in table or "version" not in table:
            items = self.problems.tables(table, "files", place)
        else:
            # Until 4.1 files stood in one table, by name and version.
            items = self.problems.tables(self._shared, f"{table['name']} {table['version']}", place)
        for item in items:
            url = self.problems.text(item, "url", place)
            name = self.problems.text(item, "file", place)
            if name is None and url is not None:
                name = unquote(urlsplit(url).path.rsplit("/", 1)[-1])
            if not name:
                self.problems.add("bad-lock", "a file without its name", place)
                continue
            if not name.endswith((".egg", ".exe", ".msi", ".rpm")):
                files.append(LockedFile(name, self.problems.hashes(item.get("hash"), place), url=url))
        return tuple(files)

    def _direct(
        self, table: Mapping[str, Any], files: Sequence[LockedFile], place: str
    ) -> DirectSource | None:
        subdirectory = self.problems.text(table, "subdirectory", place)
        vcs = next((kind for kind in _VCS if kind in table), None)
        if vcs is not None:
            commit = self.problems.text(table, "revision", place)
            if not commit:
                self.problems.add("bad-lock", f"a {vcs} source without its revision", place)
                return None
            return PackageVcs(
                type=vcs,
                url=without_credentials(str(table[vcs])),
                requested_revision=self.problems.text(table, "ref", place),
                commit_id=commit,
                subdirectory=subdirectory,
            )
        hashes = files[0].hashes if files else {}
        path = self.problems.text(table, "path", place)
        url = self.problems.text(table, "url", place)
        if path is None and url is not None and url.startswith("file://"):
            # PDM's own variable for the folder of pyproject.toml.
            path = unquote(urlsplit(url).path).replace("/${PROJECT_ROOT}", ".", 1)
        if path is not None and not path.endswith(_ARCHIVES):
            return PackageDirectory(
                path=path, editable=bool(table.get("editable")), subdirectory=subdirectory
            )
        if path is not None:
            return PackageArchive(path=path, hashes=hashes, subdirectory=subdirectory)
        if url is not None:
            return PackageArchive(url=without_credentials(url), hashes=hashes, subdirectory=subdirectory)
        return None

    def _index(self, name: NormalizedName) -> str | None:
        return next(
            (url for url, patterns in self._indexes if any(fnmatchcase(name, one) for one in patterns)), None
        )


def _target_marker(target: Mapping[str, Any]) -> str:
    """Return the marker of one `[[metadata.targets]]` (PDM's `EnvSpec`)."""
    platform = str(target.get("platform", ""))
    python = str(target.get("requires_python", ""))
    markers = [python_marker("" if python == "*" else python)]
    if platform:
        system = next((name for word, name in _SYSTEMS if word in platform), None)
        markers.append(f'sys_platform == "{system}"' if system else "")
        machine = next((name for word, name in _MACHINES if platform.endswith(word)), None)
        names = [machine] if machine is None or system != "darwin" else ["arm64", machine]
        markers.append(" or ".join(f'platform_machine == "{name}"' for name in names if name))
    if implementation := target.get("implementation"):
        markers.append(f'implementation_name == "{implementation}"')
    return both(*markers)


_SYSTEMS = (
    ("linux", "linux"),
    ("macos", "darwin"),
    ("darwin", "darwin"),
    ("win", "win32"),
    ("alpine", "linux"),
)
_MACHINES = (
    ("x86_64", "x86_64"),
    ("amd64", "x86_64"),
    ("aarch64", "aarch64"),
    ("arm64", "aarch64"),
    ("i686", "i686"),
    ("x86", "i686"),
    ("armv7l", "armv7l"),
    ("ppc64le", "ppc64le"),
    ("s390x", "s390x"),
    ("riscv64", "riscv64"),
)
