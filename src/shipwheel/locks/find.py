"""Which lock file a project has, by what lies in its folder. Reads no lock's content but requirements' hashes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from shipwheel.errors import LockError
from shipwheel.locks.model import LockKind

_FIXED: tuple[tuple[str, LockKind], ...] = (
    ("poetry.lock", "poetry"),
    ("uv.lock", "uv"),
    ("pdm.lock", "pdm"),
    ("pylock.toml", "pylock"),
    ("Pipfile.lock", "pipenv"),
)
_PYLOCK = re.compile(r"pylock\.[^.]+\.toml")  # PEP 751, "File Name"
# pip's hash-checking option at the end of a requirement.
_HASH_OPTION = re.compile(rb"--hash[ =]")


def find_lock(root: Path, settings_lock: str | None = None) -> tuple[LockKind, Path]:
    """Return kind and path of the lock of the project in `root`.

    `settings_lock` is `[tool.shipwheel] lock`, a path relative to `root`. A workspace member is
    served by the uv.lock of the workspace above it. Raises LockError `no-lock`, `several-locks`,
    `unknown-lock`.
    """
    if settings_lock is not None:
        path = (root / settings_lock).resolve()
        if not path.is_file():
            raise LockError(
                "no-lock",
                f"there is no lock file {settings_lock}",
                place=f"{root / 'pyproject.toml'} [tool.shipwheel.lock]",
            )
        return lock_kind(path), path
    found = list(_locks_in(root))
    data = _pyproject(root)
    if not found and (above := find_workspace(root)) is not None:
        return "uv", above / "uv.lock"
    if not found:
        raise LockError(
            "no-lock",
            "the project has no lock file",
            place=str(root),
            hint=f"`{lock_command(data, root)}` writes one",
        )
    if len(found) > 1:
        names = [path.relative_to(root).as_posix() for _, path in found]
        raise LockError(
            "several-locks",
            f"the project has several lock files: {', '.join(names)}",
            place=str(root),
            hint=f'choose in pyproject.toml: [tool.shipwheel] lock = "{names[0]}"',
        )
    return found[0]


def find_requirements(root: Path, settings_lock: str | None = None) -> Path | None:
    """Return the lock of the project where it is a requirements.txt, else None; what is wrong is told elsewhere."""
    try:
        kind, path = find_lock(root, settings_lock)
    except LockError:
        return None
    return path if kind == "requirements" else None


def lock_kind(path: Path) -> LockKind:
    """Return what kind of lock the file name `path` says; raises LockError `unknown-lock`."""
    for name, kind in _FIXED:
        if path.name == name:
            return kind
    if _PYLOCK.fullmatch(path.name):
        return "pylock"
    if path.suffix == ".txt":
        return "requirements"
    raise LockError(
        "unknown-lock",
        f"{path.name} is no lock file's name",
        place=str(path),
        hint="poetry.lock, uv.lock, pdm.lock, pylock.toml, pylock.NAME.toml, Pipfile.lock or *.txt",
    )


def find_workspace(root: Path) -> Path | None:
    """Return the folder above `root` whose uv.lock has `root` as a workspace member, or None.

    Follows uv: the nearest pyproject.toml above that has `[tool.uv.workspace]` decides.
    """
    for folder in root.resolve().parents:
        workspace = _pyproject(folder).get("tool", {}).get("uv", {}).get("workspace")
        if not isinstance(workspace, dict):
            continue
        relative = root.resolve().relative_to(folder).as_posix()
        members = _matches(relative, workspace.get("members", ()))
        excluded = _matches(relative, workspace.get("exclude", ()))
        return folder if members and not excluded and (folder / "uv.lock").is_file() else None
    return None


def lock_command(data: dict[str, Any], root: Path) -> str:
    """Return the command that locks this project with the tool it is made for."""
    tool = data.get("tool", {})
    backend = str(data.get("build-system", {}).get("build-backend", ""))
    by_tool = (
        ("poetry", "poetry", "poetry lock"),
        ("pdm", "pdm", "pdm lock"),
        ("uv", "uv_build", "uv lock"),
    )
    for name, prefix, command in by_tool:
        if name in tool or backend.startswith(prefix):
            return command
    by_file = (
        ("Pipfile", "pipenv lock"),
        ("requirements.in", "pip-compile --generate-hashes requirements.in"),
        ("requirements.txt", "uv pip compile --generate-hashes requirements.txt -o requirements.lock.txt"),
    )
    for name, command in by_file:
        if (root / name).is_file():
            return command
    return "pip-compile --generate-hashes pyproject.toml" if "pip-tools" in tool else "uv lock"


def _locks_in(root: Path) -> Iterator[tuple[LockKind, Path]]:
    for name, kind in _FIXED:
        if (root / name).is_file():
            yield kind, root / name
    for path in sorted(root.glob("pylock.*.toml")):
        if _PYLOCK.fullmatch(path.name):
            yield "pylock", path
    for path in _requirements(root):
        yield "requirements", path


def _requirements(root: Path) -> Iterator[Path]:
    """Yield requirements*.txt that are locks: every file with hashes; the main one alone where it is among them."""
    hashed = [
        path for path in sorted(root.glob("requirements*.txt")) if _HASH_OPTION.search(path.read_bytes())
    ]
    main = [path for path in hashed if path.name == "requirements.txt"]
    yield from main or hashed


def _matches(relative: str, patterns: object) -> bool:
    """Tell whether one of uv's globs, in which * does not cross a slash and ** does, matches."""
    parts = relative.split("/")
    return isinstance(patterns, list) and any(_parts_match(parts, _pattern(str(one))) for one in patterns)


def _pattern(text: str) -> list[str]:
    return [part for part in text.split("/") if part not in ("", ".")]


def _parts_match(parts: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_parts_match(parts[start:], pattern[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _parts_match(parts[1:], pattern[1:])


def _pyproject(folder: Path) -> dict[str, Any]:
    path = folder / "pyproject.toml"
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        # Its own reader reports it; here it only gives no hint.
        return {}
