"""Is a pdm.lock up to date? PDM's own check (`pdm lock --check`) without PDM.

PDM keeps a hash of what steers a resolution (`PyProject.content_hash`); of a workspace it is one over the
hashes of its root and members (`WorkspaceManager.content_hash`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from shipwheel.locks.constraint import admits
from shipwheel.locks.model import Lock
from shipwheel.locks.pdm_inputs import inputs_differ
from shipwheel.locks.requests import project_needs
from shipwheel.project.model import Project
from shipwheel.project.shape import read_document

# How the development groups and the resolution have counted in PDM's generations.
_GENERATIONS = tuple((old_groups, overrides) for old_groups in (False, True) for overrides in (False, True))


def pdm_is_stale(lock: Lock, project: Project, locked: object) -> str | None:
    """Return what differs between the project and the lock whose hash is `locked`, as `sha256:…`."""
    resolution = project.data.get("tool", {}).get("pdm", {}).get("resolution", {})
    if lock.evidence.get("lock_inputs") is not None:
        root = project.root.resolve()
        members = {os.path.relpath(folder, root): folder for folder in pdm_members(root, project.data)}
        return inputs_differ(lock, project.data, root, members)
    if lock.info.kind == "pdm" and resolution.get("lock_inputs") is True:
        return "it does not have the lock_inputs that the project asks for"
    algorithm, _, digest = str(locked or "").partition(":")
    if not digest or algorithm not in hashlib.algorithms_guaranteed:
        return what_is_unsatisfied(lock, project)
    return None if digest in pdm_hashes(project, algorithm) else "the content_hash differs"


def what_is_unsatisfied(lock: Lock, project: Project) -> str | None:
    """Return what `[project] dependencies` ask for on every platform and the lock does not hold."""
    locked: dict[str, list[str | None]] = {}
    for package in lock.packages:
        locked.setdefault(package.name, []).append(package.version)
    for need in project_needs(project.data, file=project.pyproject.name):
        if need.marker or need.name == project.name:
            continue
        if need.name not in locked:
            return f"{need.name} is not in it"
        versions = [version for version in locked[need.name] if version is not None]
        if versions and not any(admits(need.constraint, version) for version in versions):
            return f"it has {need.name} {versions[0]}, the project asks for {need.constraint}"
    return None


def pdm_hashes(project: Project, algorithm: str) -> Iterator[str]:
    """Yield the content hashes that PDM's generations compute for the project, of its workspace where it has one."""
    root, data = project.root, project.data
    members = sorted((os.path.relpath(folder, root.resolve()), folder) for folder in pdm_members(root, data))
    for old_groups, overrides in _GENERATIONS:
        own = _content_hash(data, algorithm, old_groups=old_groups, overrides=overrides)
        if not data.get("tool", {}).get("pdm", {}).get("workspace"):
            yield own
            continue
        hasher = hashlib.new(algorithm, own.encode())
        for path, folder in members:
            document = read_document(folder / "pyproject.toml", place=f"{path}/pyproject.toml")
            member = _content_hash(document, algorithm, old_groups=old_groups, overrides=overrides)
            hasher.update(f"\0{path}\0{member}".encode())
        yield hasher.hexdigest()


def pdm_members(root: Path, data: Mapping[str, Any]) -> list[Path]:
    """Return the folders of the members of PDM's workspace (`[tool.pdm.workspace]`) at `root`."""
    workspace = data.get("tool", {}).get("pdm", {}).get("workspace") or {}
    found: dict[Path, None] = {}
    for pattern in workspace.get("members", ()):
        if not pattern or pattern.startswith("/"):
            continue
        paths = root.glob(pattern) if any(sign in pattern for sign in "*?[") else [root / pattern]
        found.update((path.resolve(), None) for path in paths if (path / "pyproject.toml").is_file())
    return list(found)


def _content_hash(data: Mapping[str, Any], algorithm: str, *, old_groups: bool, overrides: bool) -> str:
    pdm = data.get("tool", {}).get("pdm", {})
    raw = pdm.get("dev-dependencies", {})
    groups: dict[str, list[Any]] = {}
    for table in (data.get("dependency-groups", {}), raw):
        for name, wishes in table.items():
            normal = canonicalize_name(name)
            groups[normal] = [*groups.get(normal, []), *wishes]
    resolution = pdm.get("resolution", {})
    table = data.get("project", {})
    content = {
        "sources": pdm.get("source", []),
        "dependencies": table.get("dependencies", []),
        "dev-dependencies": raw if old_groups else groups,
        "optional-dependencies": table.get("optional-dependencies", {}),
        "requires-python": table.get("requires-python", ""),
        # Before 2.17 only the overrides counted.
        **({"overrides": resolution.get("overrides", {})} if overrides else {"resolution": resolution}),
    }
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.new(algorithm, text.encode()).hexdigest()
