"""Circumstances that must not show in an image's bytes: who builds, where, when, and with which settings."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

# Nobody's on any machine, and another's than the one that tests run as.
STRANGER: Final = 54321
# Before and after the times that files usually have; the second one does not fit into 32 bits.
_LONG_AGO, _FAR_AHEAD = 315532800, 4294967296 + 12345


@dataclass(frozen=True, kw_only=True)
class Circumstance:
    """What differs from an ordinary build. `reverse`: the project's files are made in another order.

    `prefix` is put before the program, as `setpriv …`; `python` runs it instead of this Python;
    `owner` is the user whose files all of it is.
    """

    name: str
    environ: Mapping[str, str] = field(default_factory=dict)
    umask: int = 0o022
    folder: str = "there"
    reverse: bool = False
    prefix: Sequence[str] = ()
    python: str = sys.executable
    owner: int | None = None

    def __str__(self) -> str:
        return self.name


def stranger() -> Circumstance:
    """Return another user, who may read what this one may (as where Python is in a private folder)."""
    reads = "+dac_read_search"
    return Circumstance(
        name="another user",
        owner=STRANGER,
        prefix=(
            "setpriv",
            f"--reuid={STRANGER}",
            f"--regid={STRANGER}",
            "--clear-groups",
            f"--inh-caps=-all,{reads}",
            f"--ambient-caps=-all,{reads}",
            f"--bounding-set=-all,{reads}",
        ),
    )


def copy_project(source: Path, target: Path, *, reverse: bool = False) -> Path:
    """Copy a project file by file, as a checkout makes it: no times, and modes by the process's umask."""
    paths = sorted(path.relative_to(source) for path in source.rglob("*"))
    for number, path in enumerate(reversed(paths) if reverse else paths):
        origin, copy = source / path, target / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        if origin.is_symlink():
            copy.symlink_to(origin.readlink())
        elif origin.is_file():
            copy.write_bytes(origin.read_bytes())
            if os.access(origin, os.X_OK) and origin.stat().st_mode & 0o100:
                copy.chmod(copy.stat().st_mode | 0o100)
            time = (_LONG_AGO, _FAR_AHEAD)[number % 2]
            os.utime(copy, (time, time))
    return target


def build_under(
    circumstance: Circumstance,
    project: Path,
    folder: Path,
    *words: str,
    environ: Mapping[str, str] | None = None,
    files: Path | None = None,
) -> tuple[dict[str, Any], Path]:
    """Build a copy of `project` below `folder` with an empty cache; return what `--json` says, and the copy.

    `environ` is all of the environment except for PATH, HOME and what the circumstance adds. `files`
    is another cache's folder of files by hash: downloads that are made once.
    """
    place = folder / circumstance.folder
    before = os.umask(circumstance.umask)
    try:
        place.mkdir(parents=True)
        home, cache = place / "home", place / "cache"
        home.mkdir()
        copy = copy_project(project, place / "project", reverse=circumstance.reverse)
        if files is not None:
            _link(files, cache / "v1" / "files")
    finally:
        os.umask(before)
    if circumstance.owner is not None:
        _give(folder, place, circumstance.owner)
    done = subprocess.run(
        [
            *circumstance.prefix,
            circumstance.python,
            "-m",
            "shipwheel",
            "build",
            "project",
            "--json",
            "--quiet",
            *words,
        ],
        cwd=place,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "SHIPWHEEL_CACHE_DIR": str(cache),
            **(environ or {}),
            **{name: value.replace("{place}", str(place)) for name, value in circumstance.environ.items()},
        },
        umask=circumstance.umask,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{circumstance}: {done.stderr}"
    answer = json.loads(done.stdout)
    del answer["seconds"]
    return answer, copy


def _link(source: Path, target: Path) -> None:
    """Fill another cache with the same files: they are never changed in place."""
    for path in source.rglob("*"):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, copy)
            except OSError:  # another filesystem
                copy.write_bytes(path.read_bytes())


def _give(top: Path, place: Path, owner: int) -> None:
    """Make `place` the owner's, and let them come by on the way to it."""
    for path in (place, *place.rglob("*")):
        if path.is_dir() or path.lstat().st_nlink == 1:
            os.chown(path, owner, owner, follow_symlinks=False)
    for parent in (top, *top.parents):
        if parent.stat().st_uid == os.getuid() and parent not in _SHARED:
            parent.chmod(parent.stat().st_mode | 0o011)


_SHARED: Final = frozenset(map(Path, ("/", "/tmp", "/root", "/home", "/var", "/dev", "/dev/shm")))


@functools.cache
def other_python() -> str | None:
    """Return a CPython from 3.11 on of another minor version than this one, where there is one."""
    names = [f"python3.{minor}" for minor in range(11, 16) if minor != sys.version_info.minor]
    known = [Path.home() / ".pyenv" / "versions", Path("/root/.pyenv/versions"), Path("/opt/python")]
    folders = [path for top in known if os.access(top, os.R_OK) for path in sorted(top.glob("*/bin"))]
    on_path = [Path(text) for text in os.environ["PATH"].split(os.pathsep) if "shims" not in text]
    for name in reversed(names):
        for folder in (*folders, *on_path):
            program = folder / name
            if os.access(program, os.X_OK):
                return str(program)
    return None
