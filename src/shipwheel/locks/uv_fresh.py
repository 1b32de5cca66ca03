"""Is a uv.lock up to date? uv's own check (`uv lock --check`) without uv.

Follows `ValidatedLock::validate` and `Lock::satisfies`: options, environments, conflicts, Python range,
the workspace's members, and of every source tree its version, requirements, extras and groups. What this
machine configures besides (the user's uv.toml, variables) is left out: it is not the project's.
Metadata that only a build would tell (`dynamic` dependencies, a folder without `[project]`) is taken as
it was locked. uv compares markers as canonical trees; here two are the same when they agree on every
environment that can tell them apart.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from shipwheel.locks.constraint import admits
from shipwheel.locks.document import without_credentials
from shipwheel.locks.model import Lock
from shipwheel.locks.same_marker import same_marker
from shipwheel.locks.uv_settings import conflicts_differ, metadata_differs, options_differ
from shipwheel.locks.uv_tree import group_wishes, project_wishes
from shipwheel.locks.uv_wishes import Member, Sources, Wish, flattened, locked_wishes, wishes_differ
from shipwheel.project.model import Project
from shipwheel.project.shape import read_document
from shipwheel.project.workspace import workspace_members

_WISHES = (
    ("constraint-dependencies", "constraints"),
    ("override-dependencies", "overrides"),
    ("build-constraint-dependencies", "build-constraints"),
)
# Revision of the format from which on extras and empty groups are written, and default groups.
_EXTRAS, _DEFAULT_GROUPS = 1, 5
# From this revision on a member that another one needs is a package, with a build system or without.
_REQUIRED_PACKAGES = 3


def uv_is_stale(lock: Lock, project: Project) -> str | None:
    """Return what differs between the lock and the project; None for a fresh lock.

    Raises ProjectError for a member whose pyproject.toml cannot be read, LockError `bad-lock`.
    """
    return _Check(lock, project).stale()


class _Check:
    def __init__(self, lock: Lock, project: Project) -> None:
        self.lock = lock
        self.root = Path(os.path.normpath(lock.info.path.parent.absolute()))
        self._project = project
        self.manifest: Mapping[str, Any] = lock.evidence["manifest"]
        self.trees: Mapping[NormalizedName, Mapping[str, Any]] = lock.evidence["trees"]
        self.revision: int = lock.evidence["revision"]
        self.top = self._read(self.root)
        self.members = self._members()
        self.folders = {name: member.folder for name, member in self.members.items()}

    def stale(self) -> str | None:
        if not self.top.data:
            # The workspace's own pyproject.toml is not here: the member's part can be compared.
            return self._own_tree()
        checks: tuple[Callable[[], str | None], ...] = (
            self._options,
            self._environments,
            lambda: conflicts_differ(self.lock, self.top, self.members),
            self._python,
            self._member_names,
            self._wishes,
            lambda: metadata_differs(self.manifest, self.settings),
            self._root_groups,
            self._indexes,
            self._trees,
        )
        return next((difference for check in checks if (difference := check()) is not None), None)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Return uv's settings: a uv.toml beside the workspace's pyproject.toml stands for `[tool.uv]`."""
        path = self.root / "uv.toml"
        return read_document(path, place="uv.toml") if path.is_file() else self.top.tool

    def _read(self, folder: Path) -> Member:
        """Return the source tree at `folder`; the project's own is already read."""
        if folder == Path(os.path.normpath(self._project.root.absolute())):
            return Member(folder=folder, data=self._project.data)
        path = folder / "pyproject.toml"
        if not path.is_file():
            return Member(folder=folder, data={})
        place = os.path.relpath(path, self.root)
        return Member(folder=folder, data=read_document(path, place=place), place=place)

    def _members(self) -> dict[NormalizedName, Member]:
        workspace = self.top.tool.get("workspace")
        folders = workspace_members(self.root, workspace) if isinstance(workspace, Mapping) else [self.root]
        members = (self._read(folder) for folder in folders)
        return {member.name: member for member in members if member.name is not None}

    def _options(self) -> str | None:
        return options_differ(self.lock.evidence["options"], self.settings)

    def _environments(self) -> str | None:
        for setting, locked in (
            ("environments", self.lock.environments),
            ("required-environments", self.lock.evidence["required-markers"]),
        ):
            if self._unknown_then(setting) and not locked:
                continue
            value = self.top.tool.get(setting, ())
            asked = [value] if isinstance(value, str) else value
            same = len(asked) == len(locked) and all(
                same_marker(one, other, self.lock.python) for one, other in zip(asked, locked, strict=True)
            )
            if not same:
                return f"[tool.uv] {setting}: the project asks for others"
        return None

    def _python(self) -> str | None:
        texts = [str(member.project.get("requires-python") or "") for member in self.members.values()]
        asked = ",".join(dict.fromkeys(text for text in texts if text))
        # Without any, uv takes the interpreter that it ran with.
        if not asked or asked == self.lock.python.replace(" ", ""):
            return None
        if _python_range(asked) == _python_range(self.lock.python):
            return None
        return f"it is for Python {self.lock.python}, the project for {asked}"

    def _member_names(self) -> str | None:
        locked = {canonicalize_name(str(name)) for name in self.manifest.get("members", ())}
        found = set(self.members)
        # A lock of one project names no members.
        if not locked and len(found) < 2:
            return None
        if found != locked:
            return f"the workspace's members differ: {', '.join(sorted(found ^ locked))}"
        return None

    def _wishes(self) -> str | None:
        sources = Sources(member=self.top, top=self.top, members=self.folders)
        for setting, key in _WISHES:
            if self._unknown_then(setting) and key not in self.manifest:
                continue
            asked = self.top.tool.get(setting, ())
            wanted = [sources.wish(text, f"tool.uv.{setting}") for text in asked if isinstance(text, str)]
            entries = self.manifest.get(key, [])
            scoped = [entry for entry in entries if isinstance(entry, dict) and "package" in entry]
            plain = [entry for entry in entries if entry not in scoped]
            if difference := self._differ(wanted, plain, key):
                return f"[tool.uv] {setting}: {difference}"
            if len(scoped) != sum(isinstance(one, Mapping) for one in asked):
                return f"[tool.uv] {setting}: those of single packages differ"
        excluded = _plain_set(self.top.tool.get("exclude-dependencies", ()))
        if excluded != _plain_set(self.manifest.get("excludes", ())):
            return "[tool.uv] exclude-dependencies differ"
        return None

    def _unknown_then(self, setting: str) -> bool:
        """Tell whether the uv that wrote the lock may not have known `setting`."""
        return self.revision < _EXTRAS and setting in (
            "required-environments",
            "build-constraint-dependencies",
        )

    def _differ(self, wanted: list[Wish], entries: object, key: str) -> str | None:
        place = f"{self.lock.info.path.name} [manifest.{key}]"
        return wishes_differ(wanted, locked_wishes(entries, self.root, place), self.lock.python)

    def _root_groups(self) -> str | None:
        """Compare the groups of a workspace whose root is no project: they stand in the manifest."""
        if self.top.name is not None:
            return None
        locked = self.manifest.get("dependency-groups", {})
        place = f"{self.lock.info.path.name} [manifest.dependency-groups]"
        return self._groups(self.top, locked, place, empty=False)

    def _indexes(self) -> str | None:
        tables = [self.settings, *(member.tool for member in self.members.values())]
        known = {_address(url) for table in tables for url in _index_urls(table)}
        if not known:
            return None
        locked = {package.index for package in self.lock.packages if package.index is not None}
        strange = sorted(url for url in locked if "://" in url and _address(url) not in known)
        default = "index-url" in self.settings or any(
            index.get("default") is True for index in self.settings.get("index", ())
        )
        # Where the project names no default there is one more: the machine's.
        if len(strange) > (0 if default else 1):
            return f"it has packages of {strange[0]}, which is no index of the project"
        return None

    def _trees(self) -> str | None:
        for name in sorted(self.trees):
            locked = self.trees[name]
            member = self.members.get(name)
            if member is None:
                member = self._read(Path(os.path.normpath(self.root / str(locked["path"]))))
            elif difference := self._kind_differs(name, member, locked):
                return difference
            # What has no [project] tells its metadata only to who builds it.
            if "name" in member.project and (difference := self._tree_differs(name, member, locked)):
                return difference if name == self._project.name else f"{name}: {difference}"
        missing = sorted(set(self.members) - set(self.trees))
        return f"{missing[0]} is not in it" if missing else None

    def _own_tree(self) -> str | None:
        name, member = self._project.name, Member(folder=self._project.root, data=self._project.data)
        if name is None or name not in self.trees:
            return f"{name or 'the project'} is not in it"
        return self._tree_differs(name, member, self.trees[name])

    def _kind_differs(self, name: NormalizedName, member: Member, locked: Mapping[str, Any]) -> str | None:
        """uv: `MismatchedVirtual`, `MismatchedEditable`."""
        required, editable = self._required(name)
        explicit = member.tool.get("package")
        package = explicit if isinstance(explicit, bool) else "build-system" in member.data or required
        kind = ("directory" if editable is False else "editable") if package else "virtual"
        if kind == locked["kind"]:
            return None
        if self.revision < _REQUIRED_PACKAGES and required and "build-system" not in member.data:
            return None
        return f"{name} is locked as {locked['kind']}, and is {kind} now"

    def _required(self, name: NormalizedName) -> tuple[bool, bool | None]:
        """Tell whether a `[tool.uv.sources]` of another member has `name`, and what it says of editable."""
        required, editable = False, None
        for member in (self.top, *self.members.values()):
            if member.name == name:
                continue
            for key, value in member.tool.get("sources", {}).items():
                for entry in value if isinstance(value, list) else [value]:
                    if canonicalize_name(key) == name and entry.get("workspace") is True:
                        required, editable = True, entry.get("editable", editable)
        return required, editable

    def _tree_differs(self, name: NormalizedName, member: Member, locked: Mapping[str, Any]) -> str | None:
        dynamic = member.project.get("dynamic", [])
        if difference := self._version_differs(member, locked["version"], "version" in dynamic):
            return difference
        metadata = locked["metadata"]
        place = f"{self.lock.info.path.name} [package.{name}.metadata"
        workspace = self.top if name in self.members else member
        sources = Sources(member=member, top=workspace, members=self.folders)
        if "dependencies" not in dynamic and "optional-dependencies" not in dynamic:
            wanted = list(project_wishes(member, sources))
            theirs = locked_wishes(metadata.get("requires-dist", []), self.root, f"{place}.requires-dist]")
            difference = wishes_differ(wanted, theirs, self.lock.python)
            if difference and (
                "version" not in dynamic or wishes_differ(flattened(wanted, name), theirs, self.lock.python)
            ):
                return difference
            extras = {canonicalize_name(extra) for extra in member.project.get("optional-dependencies", {})}
            known = {canonicalize_name(str(extra)) for extra in metadata.get("provides-extras", ())}
            if self.revision >= _EXTRAS and extras != known:
                return f"the project's extras differ: {', '.join(sorted(extras ^ known))}"
        groups = metadata.get("requires-dev", metadata.get("dependency-groups", {}))
        if difference := self._groups(
            member, groups, f"{place}.requires-dev]", empty=self.revision >= _EXTRAS
        ):
            return difference
        if self.revision >= _DEFAULT_GROUPS and name in self.members:
            default = member.tool.get("default-groups", ["dev"])
            if _plain_set(default) != _plain_set(locked["default-groups"]):
                return "[tool.uv] default-groups differ"
        return None

    def _version_differs(self, member: Member, locked: str | None, dynamic: bool) -> str | None:
        version = member.project.get("version")
        if dynamic:
            return "its version is dynamic now" if locked is not None else None
        if locked is None:
            return "its version is no longer dynamic"
        if version is None:
            return None
        try:
            same = Version(str(version)) == Version(locked)
        except InvalidVersion:
            same = False
        return None if same else f"it has version {locked}, the project is {version}"

    def _groups(self, member: Member, locked: object, place: str, *, empty: bool) -> str | None:
        """Compare the groups; those without requirements only where `empty`."""
        workspace = self.top if member.name in self.members else member
        sources = Sources(member=member, top=workspace, members=self.folders)
        wanted = dict(group_wishes(member, sources))
        table = locked if isinstance(locked, Mapping) else {}
        known = {
            canonicalize_name(name): locked_wishes(entries, self.root, place)
            for name, entries in table.items()
        }
        for name in sorted({*wanted, *known}):
            if difference := wishes_differ(wanted.get(name, []), known.get(name, []), self.lock.python):
                return f"group {name}: {difference}"
        if empty and wanted.keys() != known.keys():
            return f"the groups differ: {', '.join(sorted(wanted.keys() ^ known.keys()))}"
        return None


def _python_range(text: str) -> tuple[str, str] | None:
    """Return the first and the last Python that `text` admits; uv compares no more of it."""
    grid = [f"3.{minor}.{patch}" for minor in range(30) for patch in range(25)]
    admitted = [version for version in ("2.7.18", *grid, "4.0.0") if admits(text, version)]
    return (admitted[0], admitted[-1]) if admitted else None


def _index_urls(table: Mapping[str, Any]) -> Iterator[str]:
    for index in table.get("index", ()):
        if isinstance(index, Mapping) and isinstance(index.get("url"), str):
            yield index["url"]
    for key in ("index-url", "extra-index-url", "find-links"):
        value = table.get(key, ())
        yield from [value] if isinstance(value, str) else (url for url in value if isinstance(url, str))


def _address(url: str) -> str:
    return without_credentials(url).rstrip("/").lower()


def _plain_set(values: object) -> frozenset[str]:
    """Return names as a set that can be compared; tables as their sorted text."""
    every = values if isinstance(values, list | tuple) else [values]
    return frozenset(
        canonicalize_name(one) if isinstance(one, str) else json.dumps(one, sort_keys=True, default=str)
        for one in every
    )
