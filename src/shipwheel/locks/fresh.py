"""Is a lock up to date with its project? Each tool's own rule, without running the tool."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from packaging.version import InvalidVersion, Version

from shipwheel.errors import LockError
from shipwheel.locks.model import Lock
from shipwheel.locks.pdm_fresh import pdm_is_stale, what_is_unsatisfied
from shipwheel.locks.uv_fresh import uv_is_stale
from shipwheel.project.model import Project

_COMMANDS = {
    "poetry": "poetry lock",
    "uv": "uv lock",
    "pdm": "pdm lock",
    "pipenv": "pipenv lock",
    "requirements": "pip-compile --generate-hashes",
    "pylock": "the tool that wrote it",
}
# poetry.packages.locker: Locker._legacy_keys, _relevant_project_keys.
_POETRY_LEGACY = ("dependencies", "source", "extras", "dev-dependencies")
_POETRY_PROJECT = ("requires-python", "dependencies", "optional-dependencies")
# plette: the tables of a Pipfile that are no category of packages.
_PIPFILE_SECTIONS = ("source", "packages", "dev-packages", "requires", "scripts", "pipfile", "pipenv", "default", "develop")  # fmt: skip


def check_fresh(lock: Lock, project: Project) -> None:
    """Check that `lock` was made from the project as it is; raises LockError `stale-lock`.

    requirements.txt and most pylock.toml carry nothing to compare with: of them it is asked that they
    hold what `[project] dependencies` asks for.
    """
    match lock.info.kind:
        case "poetry":
            stale = _poetry_is_stale(lock, project)
        case "uv":
            stale = uv_is_stale(lock, project)
        case "pdm":
            stale = pdm_is_stale(lock, project, lock.evidence.get("content_hash"))
        case "pipenv":
            stale = _pipfile_is_stale(lock)
        case "pylock":
            hashes = lock.evidence["hashes"]
            algorithm, digest = next(iter(hashes.items()), ("", ""))
            stale = pdm_is_stale(lock, project, f"{algorithm}:{digest}" if digest else None)
        case "requirements":
            stale = what_is_unsatisfied(lock, project)
    if stale is not None:
        raise LockError(
            "stale-lock",
            f"{lock.info.path.name} does not belong to the project as it is: {stale}",
            place=str(lock.info.path),
            hint=f"`{_COMMANDS[lock.info.kind]}` brings it up to date; --frozen takes it as it is",
        )


def _poetry_is_stale(lock: Lock, project: Project) -> str | None:
    locked = lock.evidence.get("content-hash")
    if locked is None:
        return "it has no content-hash"
    if locked in poetry_hashes(project.data, lock.info.lock_version, lock.info.created_by):
        return None
    return "the content-hash differs"


def poetry_hashes(data: Mapping[str, Any], lock_version: str, created_by: str) -> Iterator[str]:
    """Yield the content-hashes that the Poetry which wrote the lock may have computed for `data`.

    Poetry 2.3 and later hash [project], [dependency-groups] and [tool.poetry]; 2.0 to 2.2 leave the groups
    out; 1.x looks at [tool.poetry] alone, and before 1.2 not at its groups.
    """
    poetry = data.get("tool", {}).get("poetry", {})
    made = re.search(r"Poetry ([^ ]+)", created_by)
    version = _version(made[1]) if made else None
    locked = _version(lock_version)
    yield _modern_hash(data, with_groups=True)
    if version is None or version < Version("2.3.0"):
        yield _modern_hash(data, with_groups=False)
    if locked is None or locked < Version("2.1"):
        yield _digest(_tool_content(poetry, keep_missing=True))
    if locked is None or locked < Version("2.0"):
        yield _digest({key: poetry.get(key) for key in _POETRY_LEGACY})


def _modern_hash(data: Mapping[str, Any], *, with_groups: bool) -> str:
    table = data.get("project", {})
    project = {key: table[key] for key in _POETRY_PROJECT if table.get(key) is not None}
    groups = data.get("dependency-groups", {}) if with_groups else {}
    content: dict[str, Any] = {}
    if project:
        content["project"] = project
    if groups:
        content["dependency-groups"] = groups
    poetry = _tool_content(data.get("tool", {}).get("poetry", {}), keep_missing=not content)
    # The content of a project without [project] stands at the top, as it always has.
    return _digest({**content, "tool": {"poetry": poetry}} if content else poetry)


def _tool_content(poetry: Mapping[str, Any], *, keep_missing: bool) -> dict[str, Any]:
    return {
        key: poetry.get(key)
        for key in (*_POETRY_LEGACY, "group")
        if poetry.get(key) is not None or (keep_missing and key in _POETRY_LEGACY)
    }


def _digest(content: object) -> str:
    # Dates in a dependency table make Poetry fail; here they only have to give some hash.
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _pipfile_is_stale(lock: Lock) -> str | None:
    path = lock.info.path.with_name("Pipfile")
    locked = lock.evidence["hash"]
    if not path.is_file() or "sha256" not in locked:
        return None
    try:
        pipfile = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise LockError("invalid-toml", f"not valid TOML: {error}", place=path.name) from error
    sources: Sequence[Any] = pipfile.get("source") or lock.evidence.get("sources") or []
    return None if pipfile_hash(pipfile, sources) == locked["sha256"] else "the hash of the Pipfile differs"


def pipfile_hash(pipfile: Mapping[str, Any], sources: Sequence[Any]) -> str:
    """Return the hash that Pipenv keeps of a Pipfile (plette, `Pipfile.get_hash`)."""
    content = {
        "_meta": {"sources": sources, "requires": pipfile.get("requires", {})},
        "default": pipfile.get("packages", {}),
        "develop": pipfile.get("dev-packages", {}),
        **{key: value for key, value in pipfile.items() if key not in _PIPFILE_SECTIONS},
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
