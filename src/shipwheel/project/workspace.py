"""Find the members of a workspace by what its pyproject.toml says (uv's `[tool.uv.workspace]`)."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath

from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.project.model import Project
from shipwheel.project.reader import read_project


def find_member(project: Project, name: NormalizedName) -> Project | None:
    """Return the member `name` of the workspace that `project` is the root or a member of, or None."""
    for root in (project.root, *project.root.parents):
        members = _members(root)
        if members is None:
            continue
        for folder in members:
            if _name(folder) == name:
                return read_project(folder)
        return None
    return None


def _members(root: Path) -> list[Path] | None:
    """Return the folders of the workspace whose root is `root`, by path; None where there is none."""
    workspace = _document(root).get("tool", {}).get("uv", {}).get("workspace")
    if not isinstance(workspace, dict):
        return None
    return workspace_members(root, workspace)


def workspace_members(root: Path, workspace: Mapping[str, object]) -> list[Path]:
    """Return the folders of the members that `[tool.uv.workspace]` of `root` names, its own among them, by path."""
    excluded = set(_matching(root, workspace.get("exclude", [])))
    found = set(_matching(root, workspace.get("members", []))) - excluded
    return sorted({root, *found})


def _matching(root: Path, patterns: object) -> Iterator[Path]:
    for pattern in patterns if isinstance(patterns, list) else ():
        # pathlib has no match for a pattern without parts, nor for one that starts at the root.
        if not PurePath(str(pattern)).parts or PurePath(str(pattern)).is_absolute():
            continue
        for folder in root.glob(str(pattern)):
            if (folder / "pyproject.toml").is_file():
                yield Path(os.path.normpath(folder))


def _name(folder: Path) -> NormalizedName | None:
    name = _document(folder).get("project", {}).get("name")
    return canonicalize_name(name) if isinstance(name, str) else None


def _document(folder: Path) -> dict[str, dict[str, dict[str, object]]]:
    try:
        return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    except (FileNotFoundError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return {}  # what is wrong with a member is said when it is read
