"""Requirements as uv compares them: those of pyproject.toml with `[tool.uv.sources]` put in, and those in uv.lock.

Follows uv's lowering of requirements (`uv-distribution`) and `normalize_requirement` (`uv-resolver`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.errors import LockError, ProjectError
from shipwheel.locks.constraint import python_marker
from shipwheel.locks.document import without_credentials
from shipwheel.locks.markers import both, either, parse_requirement
from shipwheel.locks.same_marker import same_marker

_ARCHIVES = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz", ".tar.zst")
# A requirement with several sources is locked as one for each, with parts of its marker.
_SEVERAL = "several"


class Wish(NamedTuple):
    """A requirement as uv compares it."""

    name: NormalizedName
    extras: tuple[NormalizedName, ...]
    specifier: SpecifierSet
    marker: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One source tree: its folder, its pyproject.toml and its name.

    `place` is the pyproject.toml as errors name it.
    """

    folder: Path
    data: Mapping[str, Any]
    place: str = "pyproject.toml"

    @property
    def tool(self) -> Mapping[str, Any]:
        """`[tool.uv]`."""
        table: Mapping[str, Any] = self.data.get("tool", {}).get("uv", {})
        return table

    @property
    def project(self) -> Mapping[str, Any]:
        """`[project]`."""
        table: Mapping[str, Any] = self.data.get("project", {})
        return table

    @property
    def name(self) -> NormalizedName | None:
        """The normalised name, or None where it has none."""
        name = self.project.get("name")
        return canonicalize_name(name) if isinstance(name, str) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where a source tree's requirements come from: its own `[tool.uv.sources]`, then its workspace's.

    `members` are the folders of the workspace's members by name.
    """

    member: Member
    top: Member
    members: Mapping[NormalizedName, Path] = field(default_factory=dict)

    def wish(self, text: str, where: str, *, extra: str = "", group: str = "", python: str = "") -> Wish:
        """Return the requirement `text` of `extra` or `group`, wanted where the Python is in `python`.

        Raises ProjectError `bad-requirement` at the key `where`.
        """
        try:
            requirement = parse_requirement(text)
        except InvalidRequirement as error:
            raise ProjectError(
                "bad-requirement", f"not a requirement: {text!r}", place=f"{self.member.place} [{where}]"
            ) from error
        name = canonicalize_name(requirement.name)
        source = _url_source(requirement.url) if requirement.url else self._source(name, extra, group)
        # Of what comes from no index uv keeps no specifier.
        from_index = source in ("", _SEVERAL) or source.startswith("index ")
        condition = f"extra == '{canonicalize_name(extra)}'" if extra else ""
        return Wish(
            name=name,
            extras=tuple(sorted(canonicalize_name(one) for one in requirement.extras)),
            specifier=requirement.specifier if from_index else SpecifierSet(),
            marker=both(str(requirement.marker or ""), condition, python_marker(python)),
            source=source,
        )

    def _source(self, name: NormalizedName, extra: str, group: str) -> str:
        for holder in (self.member, self.top):
            for key, value in holder.tool.get("sources", {}).items():
                if canonicalize_name(key) == name:
                    return self._entry(name, value, holder, extra, group)
        return ""

    def _entry(self, name: NormalizedName, value: object, holder: Member, extra: str, group: str) -> str:
        every = value if isinstance(value, list) else [value]
        meant = [
            one
            for one in every
            if isinstance(one, Mapping)
            and _is_for(one.get("extra"), extra)
            and _is_for(one.get("group"), group)
        ]
        if not meant:
            return ""
        if len(meant) > 1 or "marker" in meant[0]:
            return _SEVERAL
        entry = meant[0]
        if "index" in entry:
            return _index_source(self._index(str(entry["index"])))
        if entry.get("workspace") is True:
            folder = self.members.get(name)
            kind = "tree" if entry.get("editable") is False else "editable"
            return f"{kind} {folder}" if folder is not None else "local"
        return locked_source(entry, holder.folder)

    def _index(self, name: str) -> str:
        for holder in (self.member, self.top):
            for index in holder.tool.get("index", ()):
                if isinstance(index, Mapping) and index.get("name") == name:
                    return str(index.get("url", ""))
        return name


def _is_for(asked: object, given: str) -> bool:
    return asked is None or (bool(given) and canonicalize_name(str(asked)) == canonicalize_name(given))


def locked_source(entry: Mapping[str, Any], root: Path) -> str:
    """Return the place a requirement of uv.lock comes from, its path seen from `root`; empty: an index."""
    if "git" in entry:
        return f"git {_git_address(str(entry['git']), entry)}"
    if "url" in entry:
        return f"url {without_credentials(str(entry['url'])).partition('#')[0]}"
    if "index" in entry:
        return _index_source(str(entry["index"]))
    for key in ("editable", "directory", "virtual", "path"):
        path = entry.get(key)
        if isinstance(path, str):
            absolute = Path(os.path.normpath(root / path))
            if key == "path" and path.endswith(_ARCHIVES):
                return f"file {absolute}"
            # pyproject.toml writes `path` with `editable` beside it, the lock one key for each.
            editable = key == "editable" or (key == "path" and entry.get("editable") is True)
            return f"{'editable' if editable else 'tree'} {absolute}"
    return ""


def _index_source(url: str) -> str:
    return f"index {without_credentials(url).rstrip('/')}"


def _url_source(url: str) -> str:
    if url.startswith("git+"):
        address = url[4:].partition("#")[0]
        base, at, revision = address.rpartition("@")
        if at and "/" in base.partition("://")[2]:
            return f"git {_git_address(base, {'rev': revision})}"
        return f"git {_git_address(address, {})}"
    if url.startswith(("http:", "https:")):
        return f"url {without_credentials(url.partition('#')[0])}"
    path = unquote(urlsplit(url).path)
    return f"{'file' if path.endswith(_ARCHIVES) else 'tree'} {os.path.normpath(path)}"


def _git_address(url: str, entry: Mapping[str, Any]) -> str:
    asked = next((str(entry[key]) for key in ("rev", "tag", "branch") if entry.get(key)), "")
    address, _, query = url.partition("?")
    query = query.partition("#")[0]
    inside = re.search(r"(?:^|&)(?:rev|tag|branch)=([^&]+)", query)
    folder = re.search(r"(?:^|&)subdirectory=([^&]+)", query)
    subdirectory = str(entry.get("subdirectory") or (unquote(folder[1]) if folder else ""))
    address = without_credentials(address.partition("#")[0])
    return f"{address} {asked or (unquote(inside[1]) if inside else '')} {subdirectory}".strip()


def locked_wishes(entries: object, root: Path, place: str) -> list[Wish]:
    """Return the requirements that uv.lock lists at `place`; raises LockError `bad-lock`."""
    found = []
    for entry in entries if isinstance(entries, list) else [entries]:
        try:
            found.append(_locked(entry, root))
        except (InvalidSpecifier, KeyError, TypeError, AttributeError) as error:
            raise LockError(
                "bad-lock", f"not a requirement as uv writes it: {entry!r}", place=place, hint="uv lock"
            ) from error
    return found


def _locked(entry: Any, root: Path) -> Wish:
    return Wish(
        name=canonicalize_name(entry["name"]),
        extras=tuple(sorted(canonicalize_name(extra) for extra in entry.get("extras", ()))),
        specifier=SpecifierSet(entry.get("specifier", "")),
        marker=str(entry.get("marker", "")),
        source=locked_source(entry, root),
    )


def wishes_differ(wanted: Sequence[Wish], locked: Sequence[Wish], python: str) -> str | None:
    """Return the first requirement that only one side has, as words; None where both ask for the same."""
    for name in sorted({wish.name for wish in (*wanted, *locked)}):
        ours = [wish for wish in wanted if wish.name == name]
        theirs = [wish for wish in locked if wish.name == name]
        if not theirs:
            return f"{name} is not in it"
        if not ours:
            return f"{name} is no longer asked for"
        split = any(wish.source == _SEVERAL for wish in ours)
        if not _same_wishes(ours, theirs, python, split=split):
            return f"the project asks for {name} in another way"
    return None


def _same_wishes(ours: Sequence[Wish], theirs: Sequence[Wish], python: str, *, split: bool) -> bool:
    def keyed(wishes: Sequence[Wish]) -> dict[tuple[object, ...], list[str]]:
        found: dict[tuple[object, ...], list[str]] = {}
        for wish in wishes:
            key = (wish.extras, wish.specifier, "" if split else wish.source)
            found.setdefault(key, []).append(wish.marker)
        return found

    one, other = keyed(ours), keyed(theirs)
    return one.keys() == other.keys() and all(
        same_marker(either(*one[key]), either(*other[key]), python) for key in one
    )


def flattened(wishes: Iterable[Wish], own: NormalizedName) -> list[Wish]:
    """Return `wishes` with the project's wishes for its own extras replaced by what these ask for.

    Build back-ends write the metadata of a dynamic project like this (uv, `FlatRequiresDist`).
    """
    every = list(wishes)
    found: list[Wish] = []
    for wish in every:
        found.extend(_expanded(wish, every, own, ()) if wish.name == own else [wish])
    return found


def _expanded(
    wish: Wish, every: Sequence[Wish], own: NormalizedName, path: tuple[NormalizedName, ...]
) -> Iterator[Wish]:
    for extra in wish.extras:
        if extra in path:
            continue
        condition = f"extra == '{extra}'"
        for other in every:
            if condition not in other.marker:
                continue
            rest = [part for part in other.marker.split(" and ") if part != condition]
            meant = other._replace(marker=both(*rest, wish.marker))
            if other.name == own:
                yield from _expanded(meant, every, own, (*path, extra))
            else:
                yield meant
