"""PDM's `lock_inputs`: what a resolution started from, as PDM keeps it since 2.28 where a project asks for it.

Follows `pdm.project.lockfile.freshness`: the requirements without their versions, Python, sources and
resolution of the project, its workspace's members and its path dependencies; addresses as hashes. The
versions have to fit what is locked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import InvalidRequirement
from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.locks.constraint import admits
from shipwheel.locks.markers import parse_requirement
from shipwheel.locks.model import PRODUCTION, Lock
from shipwheel.locks.same_marker import same_marker
from shipwheel.project.shape import read_document

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_FOLDER = re.compile(r"file:///\$\{PROJECT_ROOT\}/([^#;\s]+)")
_DYNAMIC = {"dependencies", "optional-dependencies", "requires-python", "version"}
_DEFAULT = "default"


class _Wish(NamedTuple):
    """A requirement: `opaque` is the hash of one with an address, else the other fields say it.

    `written` is the name as it stands there, which is how PDM compares it.
    """

    name: str
    extras: tuple[str, ...] = ()
    marker: str = ""
    constraint: str = ""
    opaque: frozenset[str] = frozenset()
    folder: str | None = None
    written: str = ""


def inputs_differ(lock: Lock, data: Mapping[str, Any], root: Path, members: Mapping[str, Path]) -> str | None:
    """Return what is another than when `lock` was made; `members` are the workspace's folders by path.

    `data` is the pyproject.toml at `root`. Raises ProjectError for a member that cannot be read.
    """
    locked = lock.evidence["lock_inputs"]
    documents = {
        path: read_document(folder / "pyproject.toml", place=f"{path}/pyproject.toml")
        for path, folder in members.items()
    }
    known = _table(locked, "workspace")
    if set(known) != set(documents):
        return f"the workspace's members differ: {', '.join(sorted(set(known) ^ set(documents)))}"
    implied = [
        _editable(path, document)
        for path, document in documents.items()
        if "name" in _table(document, "project") and _is_distribution(document)
    ]
    if difference := _project_differs(data, root, _table(locked, "project"), implied=implied):
        return difference
    for path, document in documents.items():
        if difference := _project_differs(document, members[path], _table(known, path), package=True):
            return f"{path}: {difference}"
    for group, wishes in _groups(data, root, implied).items():
        for wish in wishes:
            if difference := _unsatisfied(lock, group, wish, data):
                return difference
    return None


def _project_differs(
    data: Mapping[str, Any],
    root: Path,
    locked: Mapping[str, Any],
    *,
    implied: Sequence[_Wish] = (),
    package: bool = False,
) -> str | None:
    project, pdm = _table(data, "project"), _table(_table(data, "tool"), "pdm")
    if package and _DYNAMIC & set(project.get("dynamic", [])):
        return "what is dynamic cannot be compared"
    resolution = {key: value for key, value in _table(pdm, "resolution").items() if key != "lock_inputs"}
    groups, known = _groups(data, root, implied), _table(locked, "groups")
    changed = [group for group in groups if not _same(groups[group], _lines(known.get(group)))]
    checks = {
        "the Python differs": _pythons(project) == _pythons(locked),
        "[tool.pdm.resolution] differs": _hidden(resolution) == _table(locked, "resolution"),
        "[[tool.pdm.source]] differs": [_source(one) for one in pdm.get("source", [])]
        == locked.get("sources", []),
        "its own metadata differ": not package or _package(data) == _table(locked, "package"),
        f"the groups differ: {', '.join(sorted(set(groups) ^ set(known)))}": set(groups) == set(known),
        f"group {', '.join(changed)} asks for something else": not changed,
    }
    return next((what for what, same in checks.items() if not same), None) or _local_differs(
        root, groups, _table(locked, "local")
    )


def _local_differs(
    root: Path, groups: Mapping[str, Sequence[_Wish]], locked: Mapping[str, Any]
) -> str | None:
    for wish in (wish for wishes in groups.values() for wish in wishes if wish.folder is not None):
        table = next((_table(locked, key) for key in locked if key in wish.opaque), None)
        folder = root / str(wish.folder)
        # Members of a workspace are compared as such.
        if table is None or not (folder / "pyproject.toml").is_file():
            continue
        document = read_document(folder / "pyproject.toml", place=f"{wish.folder}/pyproject.toml")
        if difference := _project_differs(document, folder, table, package=True):
            return f"{wish.name}: {difference}"
    return None


def _unsatisfied(lock: Lock, group: str, wish: _Wish, data: Mapping[str, Any]) -> str | None:
    resolution = _table(_table(_table(data, "tool"), "pdm"), "resolution")
    names = {
        canonicalize_name(str(name))
        for name in (*_table(resolution, "overrides"), *resolution.get("excludes", []))
    }
    if wish.opaque or wish.name in names:
        return None
    wanted = PRODUCTION if group == _DEFAULT else NormalizedName(group)
    locked = [
        package
        for package in lock.packages
        if package.name == wish.name
        and (not lock.flat or any(wanted in member.groups for member in package.memberships))
    ]
    for package in locked:
        if package.version is not None and not admits(wish.constraint, package.version):
            return f"it has {wish.name} {package.version}, the project asks for {wish.constraint}"
    return None if locked or wish.marker else f"{wish.name} is not in it"


def _groups(data: Mapping[str, Any], root: Path, implied: Sequence[_Wish]) -> dict[str, list[_Wish]]:
    project = _table(data, "project")
    default = [_wish(text, root) for text in project.get("dependencies", [])]
    named = {wish.name for wish in default}
    found = {_DEFAULT: [*default, *(wish for wish in implied if wish.name not in named)]}
    for extra, texts in _table(project, "optional-dependencies").items():
        found[canonicalize_name(extra)] = [_wish(text, root) for text in texts]
    table = {canonicalize_name(name): texts for name, texts in _table(data, "dependency-groups").items()}
    for group in table:
        found[group] = [_wish(text, root) for text in dict.fromkeys(_flat(group, table, ()))]
    old = _table(_table(_table(data, "tool"), "pdm"), "dev-dependencies")
    for name, texts in old.items():
        group = canonicalize_name(name)
        found[group] = [*found.get(group, []), *(_wish(text, root) for text in texts)]
    return found


def _flat(name: str, table: Mapping[NormalizedName, Any], path: tuple[str, ...]) -> Iterator[str]:
    for wish in table.get(canonicalize_name(name), ()) if name not in path else ():
        if isinstance(wish, str):
            yield wish
        elif isinstance(wish, dict) and isinstance(wish.get("include-group"), str):
            yield from _flat(canonicalize_name(wish["include-group"]), table, (*path, name))


def _wish(text: str, root: Path) -> _Wish:
    folder = _FOLDER.search(text)
    path = folder[1].rstrip("/") if folder else None
    if text.startswith("-e "):
        egg = re.search(r"#(?:.*&)?egg=([A-Za-z0-9._-]+)", text)
        name = egg[1] if egg else _folder_name(root, path, text)
        line = text if egg else f"{text}#egg={name}"
        return _Wish(canonicalize_name(name), opaque=_hashes(line), folder=path)
    try:
        requirement = parse_requirement(text)
    except InvalidRequirement:
        return _Wish("", opaque=_hashes(text), folder=path)
    name = canonicalize_name(requirement.name)
    extras = tuple(sorted(canonicalize_name(extra) for extra in requirement.extras))
    if requirement.url:
        asked = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        marker = f" ; {requirement.marker}" if requirement.marker else ""
        lines = (f"{one}{asked} @ {requirement.url}{marker}" for one in (requirement.name, name))
        return _Wish(name, extras, opaque=_hashes(*lines), folder=path)
    return _Wish(
        name, extras, str(requirement.marker or ""), str(requirement.specifier), written=requirement.name
    )


def _folder_name(root: Path, path: str | None, text: str) -> str:
    if path is not None and (root / path / "pyproject.toml").is_file():
        data = read_document(root / path / "pyproject.toml", place=f"{path}/pyproject.toml")
        if isinstance(name := _table(data, "project").get("name"), str):
            return name
    return text.rstrip("/").rsplit("/", 1)[-1]


def _editable(path: str, document: Mapping[str, Any]) -> _Wish:
    name = str(_table(document, "project")["name"])
    line = f"-e file:///${{PROJECT_ROOT}}/{path}#egg="
    return _Wish(
        canonicalize_name(name), opaque=_hashes(line + name, line + canonicalize_name(name)), folder=None
    )


def _same(wishes: Sequence[_Wish], lines: Sequence[str]) -> bool:
    """Tell whether `lines` as PDM wrote them say the same as `wishes`, whatever the versions."""
    left = list(wishes)
    for line in lines:
        found = next((wish for wish in left if _is(wish, line)), None)
        if found is None:
            return False
        left.remove(found)
    return not left


def _is(wish: _Wish, line: str) -> bool:
    if wish.opaque or line.startswith("url-sha256:"):
        return line in wish.opaque
    try:
        other = parse_requirement(line)
    except InvalidRequirement:
        return False
    return (
        wish.written == other.name
        and wish.extras == tuple(sorted(canonicalize_name(extra) for extra in other.extras))
        and same_marker(wish.marker, str(other.marker or ""), "")
    )


def _lines(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _hashes(*lines: str) -> frozenset[str]:
    return frozenset(f"url-sha256:{hashlib.sha256(line.encode()).hexdigest()}" for line in lines)


def _source(source: Mapping[str, Any]) -> dict[str, Any]:
    item = {key: value for key, value in source.items() if key not in ("username", "password")}
    if url := item.get("url"):
        item["url"] = f"sha256:{hashlib.sha256(str(url).encode()).hexdigest()}"
    for key in ("include_packages", "exclude_packages"):
        if isinstance(item.get(key), list):
            item[key] = sorted(item[key])
    hidden: dict[str, Any] = _hidden(item)
    return hidden


def _hidden(value: Any) -> Any:
    """Return `value` with every address replaced by its hash."""
    if isinstance(value, Mapping):
        return {key: _hidden(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_hidden(item) for item in value]
    if isinstance(value, str) and _ADDRESS.search(value):
        return f"sha256:{hashlib.sha256(value.encode()).hexdigest()}"
    return value


def _package(data: Mapping[str, Any]) -> dict[str, Any]:
    project = _table(data, "project")
    return {
        "build-system": _hidden(_table(data, "build-system")),
        "distribution": _is_distribution(data),
        "dynamic": sorted(project.get("dynamic", [])),
        "name": project.get("name", ""),
        "version": project.get("version", ""),
    }


def _is_distribution(data: Mapping[str, Any]) -> bool:
    return _table(_table(data, "tool"), "pdm").get("distribution", True) is not False


def _pythons(table: Mapping[str, Any]) -> frozenset[str]:
    """Return the parts of `requires-python`: PDM compares them as they are written, in any order."""
    return frozenset(str(table.get("requires-python", "")).replace(" ", "").split(","))


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, Mapping) else {}
