"""Is a uv.lock up to date? uv's own comparison of the locked metadata with pyproject.toml, without uv.

Follows `Lock::satisfies` (uv-resolver): members, requirements, groups, Python range, constraints and
overrides. uv compares markers as canonical trees; here two markers are the same when they agree on every
environment that can tell them apart.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice, product
from pathlib import Path
from typing import Any, NamedTuple

from packaging.markers import InvalidMarker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.errors import ProjectError
from shipwheel.locks.constraint import admits, python_marker
from shipwheel.locks.document import without_credentials
from shipwheel.locks.markers import both, either, parse_marker, set_valued
from shipwheel.locks.model import Lock
from shipwheel.project.model import Project

_LOCAL = ("path", "directory", "editable", "virtual")
# Enough to tell real markers apart; beyond it two markers on the same variables count as the same.
_MOST_ENVIRONMENTS = 20_000


class _Wish(NamedTuple):
    """A requirement as uv compares it."""

    name: NormalizedName
    extras: tuple[NormalizedName, ...]
    specifier: SpecifierSet
    marker: str
    source: str


def uv_is_stale(lock: Lock, project: Project) -> str | None:
    """Return what differs between the lock and the project; None for a fresh lock."""
    top = _workspace_data(lock, project)
    manifest = lock.evidence["manifest"]
    metadata = lock.evidence["metadata"]
    tool = top.get("tool", {}).get("uv", {})
    checks = (
        ("constraint-dependencies", "constraints"),
        ("override-dependencies", "overrides"),
        ("build-constraint-dependencies", "build-constraints"),
    )
    for setting, key in checks:
        wanted = [_wish(text, {}, "", setting) for text in tool.get(setting, ()) if isinstance(text, str)]
        if difference := _difference(wanted, _locked(manifest.get(key, ())), lock.python):
            return f"[tool.uv] {setting}: {difference}"
    if difference := _members_differ(lock, top, manifest):
        return difference
    if project.name is None or project.name not in metadata:
        if "project" not in project.data:
            return _groups_differ(project.data, manifest.get("dependency-groups", {}), top, lock.python)
        return f"{project.name} is not in it"
    return _member_differs(project, metadata[project.name], top, lock)


def _member_differs(
    project: Project, metadata: Mapping[str, Any], top: Mapping[str, Any], lock: Lock
) -> str | None:
    table = project.data.get("project", {})
    if len(lock.evidence["metadata"]) == 1 and not _same_python(
        str(table.get("requires-python", "")), lock.python
    ):
        return f"it is for Python {lock.python}, the project for {table.get('requires-python')}"
    dynamic = table.get("dynamic", [])
    if "dependencies" not in dynamic and "optional-dependencies" not in dynamic:
        sources = _sources(project.data, top)
        wanted = [_wish(text, sources, "", "project.dependencies") for text in table.get("dependencies", ())]
        for extra, wishes in table.get("optional-dependencies", {}).items():
            condition = f"extra == '{canonicalize_name(extra)}'"
            wanted += [_wish(text, sources, condition, "project.optional-dependencies") for text in wishes]
        if difference := _difference(wanted, _locked(metadata.get("requires-dist", ())), lock.python):
            return difference
        if "provides-extras" in metadata:
            extras = {canonicalize_name(extra) for extra in table.get("optional-dependencies", {})}
            if extras != {canonicalize_name(extra) for extra in metadata["provides-extras"]}:
                return "the project's extras differ"
    locked = metadata.get("requires-dev", metadata.get("dependency-groups", {}))
    return _groups_differ(project.data, locked, top, lock.python)


def _groups_differ(
    data: Mapping[str, Any], locked: Mapping[str, Any], top: Mapping[str, Any], python: str
) -> str | None:
    sources = _sources(data, top)
    groups = {canonicalize_name(name): wishes for name, wishes in data.get("dependency-groups", {}).items()}
    settings = data.get("tool", {}).get("uv", {}).get("dependency-groups", {})
    # A group may have a Python of its own.
    pythons = {
        canonicalize_name(name): python_marker(str(setting.get("requires-python", "")))
        for name, setting in settings.items()
    }
    wanted = {
        name: [
            _wish(text, sources, pythons.get(name, ""), f"dependency-groups.{name}")
            for text in _flat_group(name, groups, ())
        ]
        for name in groups
    }
    if legacy := data.get("tool", {}).get("uv", {}).get("dev-dependencies"):
        dev = canonicalize_name("dev")
        more = [_wish(text, sources, "", "tool.uv.dev-dependencies") for text in legacy]
        wanted[dev] = [*wanted.get(dev, []), *more]
    known = {canonicalize_name(name): _locked(entries) for name, entries in locked.items()}
    for name in sorted({*wanted, *known}):
        if difference := _difference(wanted.get(name, []), known.get(name, []), python):
            return f"group {name}: {difference}"
    return None


def _flat_group(
    name: NormalizedName, groups: Mapping[NormalizedName, Any], path: tuple[str, ...]
) -> Iterator[str]:
    for wish in groups.get(name, ()) if name not in path else ():
        if isinstance(wish, str):
            yield wish
        elif isinstance(wish, dict) and isinstance(wish.get("include-group"), str):
            yield from _flat_group(canonicalize_name(wish["include-group"]), groups, (*path, name))


def _wish(text: str, sources: Mapping[NormalizedName, Any], condition: str, where: str) -> _Wish:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise ProjectError(
            "bad-requirement", f"not a requirement: {text!r}", place=f"pyproject.toml [{where}]"
        ) from error
    name = canonicalize_name(requirement.name)
    source = _url_source(requirement.url) if requirement.url else _source(sources.get(name))
    # Of what comes from no index uv keeps no specifier.
    from_index = source in ("", "several") or source.startswith("index ")
    return _Wish(
        name=name,
        extras=tuple(sorted(canonicalize_name(extra) for extra in requirement.extras)),
        specifier=requirement.specifier if from_index else SpecifierSet(),
        marker=both(str(requirement.marker) if requirement.marker else "", condition),
        source=source,
    )


def _locked(entries: Iterable[Mapping[str, Any]]) -> list[_Wish]:
    return [
        _Wish(
            name=canonicalize_name(str(entry.get("name", ""))),
            extras=tuple(sorted(canonicalize_name(extra) for extra in entry.get("extras", ()))),
            specifier=SpecifierSet(str(entry.get("specifier", ""))),
            marker=str(entry.get("marker", "")),
            source=_source(entry),
        )
        for entry in entries
    ]


def _sources(data: Mapping[str, Any], top: Mapping[str, Any]) -> dict[NormalizedName, Any]:
    """Return `[tool.uv.sources]`, the workspace's first, with index names replaced by addresses."""
    indexes = {
        str(index.get("name")): str(index.get("url", ""))
        for table in (top, data)
        for index in table.get("tool", {}).get("uv", {}).get("index", ())
    }
    sources: dict[NormalizedName, Any] = {}
    for table in (top, data):
        for name, source in table.get("tool", {}).get("uv", {}).get("sources", {}).items():
            if isinstance(source, dict) and "index" in source:
                source = {**source, "index": indexes.get(source["index"], source["index"])}  # noqa: PLW2901
            sources[canonicalize_name(name)] = source
    return sources


def _source(entry: object) -> str:
    """Return what kind of place a requirement comes from, with the address where it is one."""
    if isinstance(entry, list):
        return "several"
    if not isinstance(entry, Mapping):
        return ""
    if "git" in entry:
        return f"git {_git_address(str(entry['git']), entry)}"
    if "url" in entry:
        return f"url {without_credentials(str(entry['url']))}"
    if "index" in entry:
        return f"index {without_credentials(str(entry['index'])).rstrip('/')}"
    return "local" if any(key in entry for key in (*_LOCAL, "workspace")) else ""


def _url_source(url: str) -> str:
    if url.startswith("git+"):
        address = url[4:].partition("#")[0]
        base, at, revision = address.rpartition("@")
        return (
            f"git {_git_address(base, {'rev': revision})}"
            if at and "/" in base.partition("://")[2]
            else (f"git {_git_address(address, {})}")
        )
    if url.startswith(("http:", "https:")):
        return f"url {without_credentials(url.partition('#')[0])}"
    return "local"


def _git_address(url: str, entry: Mapping[str, Any]) -> str:
    asked = next((str(entry[key]) for key in ("rev", "tag", "branch") if entry.get(key)), "")
    address, _, query = url.partition("?")
    inside = re.search(r"(?:^|&)(?:rev|tag|branch)=([^&#]+)", query)
    return f"{without_credentials(address)} {asked or (inside[1] if inside else '')}".strip()


def _difference(wanted: Sequence[_Wish], locked: Sequence[_Wish], python: str) -> str | None:
    """Return the first requirement that only one side has, as words; None where both ask for the same."""
    for name in sorted({wish.name for wish in (*wanted, *locked)}):
        ours = [wish for wish in wanted if wish.name == name]
        theirs = [wish for wish in locked if wish.name == name]
        if not theirs:
            return f"{name} is not in it"
        if not ours:
            return f"{name} is no longer asked for"
        split = any(wish.source == "several" for wish in ours)
        if not _same_wishes(ours, theirs, python, split=split):
            return f"the project asks for {name} in another way"
    return None


def _same_wishes(ours: Sequence[_Wish], theirs: Sequence[_Wish], python: str, *, split: bool) -> bool:
    def keyed(wishes: Sequence[_Wish]) -> dict[tuple[object, ...], list[str]]:
        found: dict[tuple[object, ...], list[str]] = {}
        for wish in wishes:
            # One requirement with several sources is locked as one each, with parts of the marker.
            key = (wish.extras, wish.specifier, "" if split else wish.source)
            found.setdefault(key, []).append(wish.marker)
        return found

    one, other = keyed(ours), keyed(theirs)
    return one.keys() == other.keys() and all(
        same_marker(either(*one[key]), either(*other[key]), python) for key in one
    )


def same_marker(one: str, other: str, python: str) -> bool:
    """Tell whether two markers agree on all environments whose Python `python` (specifiers) admits."""
    one, other = set_valued(one), set_valued(other)
    if one == other:
        return True
    try:
        markers = [parse_marker(text) if text else None for text in (one, other)]
    except InvalidMarker:
        return False
    values = [(name, _values(name, f"{one} {other}", python)) for name in _variables(f"{one} {other}")]
    for combination in islice(product(*(choices for _, choices in values)), _MOST_ENVIRONMENTS):
        environment: dict[str, Any] = {"extras": frozenset(), "dependency_groups": frozenset()}
        for (name, _), value in zip(values, combination, strict=True):
            environment[name] = value
        version = environment.get("python_full_version")
        if version is not None:
            environment["python_version"] = ".".join(version.split(".")[:2])
        first, second = (
            marker is None or marker.evaluate(environment, context="lock_file") for marker in markers
        )
        if first != second:
            return False
    return True


def _variables(text: str) -> list[str]:
    bare = re.sub(r"""("[^"]*"|'[^']*')""", "", text)
    names = set(re.findall(r"[a-z_]+", bare)) - {"and", "or", "in", "not"}
    # One value decides both.
    if "python_version" in names:
        names = names - {"python_version"} | {"python_full_version"}
    return sorted(names)


def _values(name: str, text: str, python: str) -> list[Any]:
    constants = {
        constant for pair in re.findall(r'"([^"]*)"|\'([^\']*)\'', text) for constant in pair if constant
    }
    if name == "extras":
        return [frozenset(), *(frozenset({constant}) for constant in sorted(constants))]
    if name == "python_full_version":
        return _pythons(python, tuple(sorted(constants)))
    return [*sorted(constants), "something else"]


@lru_cache(maxsize=256)
def _pythons(python: str, constants: tuple[str, ...] = ()) -> list[str]:
    found = {(3, minor, patch) for minor in range(6, 20) for patch in (0, 7, 30)}
    for constant in constants:
        if match := re.match(r"3\.(\d+)(?:\.(\d+))?", constant):
            minor, patch = int(match[1]), int(match[2] or 0)
            found |= {(3, minor, near) for near in (patch - 1, patch, patch + 1) if near >= 0}
    versions = [".".join(map(str, version)) for version in sorted(found)]
    return [version for version in versions if admits(python, version)] or ["3.13.0"]


def _same_python(one: str, other: str) -> bool:
    grid = [f"3.{minor}.{patch}" for minor in range(30) for patch in range(25)] + ["4.0.0", "2.7.18"]
    return all(admits(one, version) == admits(other, version) for version in grid)


def _workspace_data(lock: Lock, project: Project) -> Mapping[str, Any]:
    """Return the pyproject.toml beside the lock: the project's own, or its workspace's."""
    folder = lock.info.path.parent
    path = folder / "pyproject.toml"
    if folder.resolve() == project.root.resolve() or not path.is_file():
        return project.data
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ProjectError("invalid-toml", f"not valid TOML: {error}", place=str(path)) from error


def _members_differ(lock: Lock, top: Mapping[str, Any], manifest: Mapping[str, Any]) -> str | None:
    workspace = top.get("tool", {}).get("uv", {}).get("workspace")
    if not isinstance(workspace, dict):
        return None
    found = set(_member_names(lock.info.path.parent, workspace))
    if isinstance(name := top.get("project", {}).get("name"), str):
        found.add(canonicalize_name(name))
    locked = {canonicalize_name(name) for name in manifest.get("members", ())}
    # A lock of one project names no members.
    if found == locked or (not locked and len(found) < 2):
        return None
    changed = ", ".join(sorted(found ^ locked))
    return f"the workspace's members differ: {changed}"


def _member_names(root: Path, workspace: Mapping[str, Any]) -> Iterator[NormalizedName]:
    excluded = {path for pattern in workspace.get("exclude", ()) for path in root.glob(str(pattern))}
    for pattern in workspace.get("members", ()):
        for folder in sorted(root.glob(str(pattern))):
            pyproject = folder / "pyproject.toml"
            if folder in excluded or not pyproject.is_file():
                continue
            try:
                name = tomllib.loads(pyproject.read_text("utf-8")).get("project", {}).get("name")
            except tomllib.TOMLDecodeError:
                continue
            if isinstance(name, str):
                yield canonicalize_name(name)
