"""One door to all readers: a lock's kind decides who reads it. Imports the one that is needed."""

from __future__ import annotations

from pathlib import Path

from shipwheel.locks.model import Lock, LockKind
from shipwheel.project.model import Project


def read_lock(path: Path, kind: LockKind, project: Project) -> Lock:
    """Read the lock file `path` of `project` into the normal form.

    Raises LockError with all problems of the file, each with its place.
    """
    match kind:
        case "poetry":
            from shipwheel.locks.poetry import read_poetry_lock

            return read_poetry_lock(path, project)
        case "uv":
            from shipwheel.locks.uv import read_uv_lock

            return read_uv_lock(path, project)
        case "pdm":
            from shipwheel.locks.pdm import read_pdm_lock

            return read_pdm_lock(path, project)
        case "requirements":
            from shipwheel.locks.requirements import read_requirements

            return read_requirements(path, project)
        case "pylock":
            from shipwheel.locks.pylock import read_pylock

            return read_pylock(path, project)
        case "pipenv":
            from shipwheel.locks.pipenv import read_pipfile_lock

            return read_pipfile_lock(path, project)
