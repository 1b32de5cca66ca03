"""The cache folder: files by hash and small records by key, safe for any number of processes.

Nothing is ever changed in place: a file is written beside its destination and renamed, so a killed
process leaves rubbish in `tmp/` and never half an entry. Knows nothing of what it keeps.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import platformdirs

from shipwheel.errors import HostError

_FORMAT: Final = "v1"
# What a build that was killed left in tmp/ goes at the next prune, once nobody can still write it.
_STALE_SECONDS: Final = 24 * 3600
_LOCK_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUse:
    """Entries and bytes of one part of the cache."""

    part: str
    entries: int
    size: int


class Cache:
    """Files by hash (`file`, `add_file`), records by key (`record`, `add_record`), folders by key."""

    def __init__(self, root: Path, *, fresh: bool = False) -> None:
        """Use `root`; with `fresh`, records and folders made before are not seen (files still are)."""
        self.root = root / _FORMAT
        self.fresh = fresh
        self._made: set[Path] = set()
        try:
            with _host_errors(self.root):
                for part in ("files", "records", "folders", "tmp", "locks"):
                    (self.root / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HostError(
                "cannot-write",
                f"there can be no cache here: {error.strerror}",
                place=str(error.filename or self.root),
                hint="choose another folder with SHIPWHEEL_CACHE_DIR",
            ) from error

    @classmethod
    def default(cls, environ: Mapping[str, str], *, fresh: bool = False) -> Self:
        """Use `SHIPWHEEL_CACHE_DIR`, or the platform's cache folder for this user."""
        named = environ.get("SHIPWHEEL_CACHE_DIR")
        return cls(Path(named) if named else platformdirs.user_cache_path("shipwheel"), fresh=fresh)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Hold the cache against `prune` while its files are being used."""
        with (self.root / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield

    @contextlib.contextmanager
    def locked(self, key: str, *, check: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold `key` against every other thread and process that uses this cache.

        `check` is called while waiting and may raise. Keys share a fixed number of locks: one holder
        takes one key at a time.
        """
        name = hashlib.sha256(key.encode()).hexdigest()[:2]
        with (self.root / "locks" / name).open("ab") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    check()
                    time.sleep(_LOCK_SECONDS)
            yield

    def file(self, algorithm: str, hexdigest: str) -> Path | None:
        """Return the file with this hash, or None. Its use is noted for `prune`."""
        path = self._file_path(algorithm, hexdigest)
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        except PermissionError:  # a read-only cache serves all the same
            return path
        return path

    def add_file(self, staged: Path, algorithm: str, hexdigest: str) -> Path:
        """Move `staged` (from `staging`) to where `file` finds it. The caller has checked its hash."""
        path = self._file_path(algorithm, hexdigest)
        with _host_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            staged.chmod(0o444)
            staged.replace(path)
        return path

    @contextlib.contextmanager
    def staging(self) -> Iterator[tuple[Path, BinaryIO]]:
        """Yield a new file in the cache's filesystem and its path; it is removed unless moved away."""
        with _host_errors(self.root / "tmp"):
            handle, name = tempfile.mkstemp(dir=self.root / "tmp")
            path = Path(name)
            try:
                with os.fdopen(handle, "w+b") as file:
                    yield path, file
            finally:
                path.unlink(missing_ok=True)

    def record(self, key: str) -> Any | None:
        """Return the JSON value kept under `key`, or None."""
        path = self._record_path(key)
        if self.fresh and path not in self._made:
            return None
        try:
            data = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:  # a disk that was full, a crash of the machine: as if it were not there
            return None
        # The key is kept with the value: a name is a hash of it, and people read these files.
        if not isinstance(data, dict) or data.get("key") != key:
            return None
        with contextlib.suppress(PermissionError):
            os.utime(path)
        return data["value"]

    def add_record(self, key: str, value: Any) -> None:
        """Keep the JSON `value` under `key`."""
        path = self._record_path(key)
        with self.staging() as (staged, file):
            file.write(json.dumps({"key": key, "value": value}, sort_keys=True).encode())
            file.close()
            path.parent.mkdir(parents=True, exist_ok=True)
            staged.replace(path)
        self._made.add(path)

    def folder(self, key: str, *, downloaded: bool = False) -> Path | None:
        """Return the folder kept under `key`, or None.

        What was `downloaded` by hash counts as a download: a fresh cache sees it too.
        """
        path = self._folder_path(key)
        if (self.fresh and not downloaded and path not in self._made) or not path.is_dir():
            return None
        with contextlib.suppress(PermissionError):
            os.utime(path)
        return path

    @contextlib.contextmanager
    def staging_folder(self) -> Iterator[Path]:
        """Yield a new empty folder in the cache's filesystem; it is removed unless moved away."""
        with _host_errors(self.root / "tmp"):
            path = Path(tempfile.mkdtemp(dir=self.root / "tmp"))
            try:
                yield path
            finally:
                if path.exists():
                    remove_tree(path)

    def add_folder(self, staged: Path, key: str) -> Path:
        """Move `staged` (from `staging_folder`) to where `folder` finds it; the first one wins."""
        path = self._folder_path(key)
        with _host_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir() and self.fresh and path not in self._made:
                doomed = Path(tempfile.mkdtemp(dir=self.root / "tmp")) / "replaced"
                with contextlib.suppress(FileNotFoundError):
                    path.rename(doomed)
            try:
                staged.rename(path)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not path.is_dir():
                    raise
        self._made.add(path)
        return path

    def usage(self) -> tuple[CacheUse, ...]:
        """Return what each part holds."""
        return tuple(self._usage(part) for part in ("files", "folders", "records", "tmp"))

    def prune(self, *, older_than: float, now: float | None = None) -> tuple[int, int]:
        """Remove what was not used for `older_than` seconds; return entries and bytes removed.

        Waits until no build uses the cache.
        """
        limit = (time.time() if now is None else now) - older_than
        removed = size = 0
        with (self.root / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            for part in ("files", "folders", "records", "tmp"):
                # The lock is ours: nobody is writing to tmp/ except a process that died.
                cutoff = limit if part != "tmp" else max(limit, time.time() - _STALE_SECONDS)
                for entry in self._entries(part):
                    if entry.lstat().st_mtime <= cutoff:
                        size += _size(entry)
                        removed += 1
                        remove_tree(entry) if entry.is_dir() else entry.unlink()
        return removed, size

    def _usage(self, part: str) -> CacheUse:
        entries = list(self._entries(part))
        return CacheUse(part=part, entries=len(entries), size=sum(map(_size, entries)))

    def _entries(self, part: str) -> Iterator[Path]:
        if part == "files":
            yield from sorted((self.root / part).glob("*/*/*"))
        elif part == "tmp":
            yield from sorted((self.root / part).iterdir())
        else:
            yield from sorted((self.root / part).glob("*/*"))

    def _file_path(self, algorithm: str, hexdigest: str) -> Path:
        return self.root / "files" / algorithm / hexdigest[:2] / hexdigest

    def _record_path(self, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.root / "records" / name[:2] / f"{name[2:]}.json"

    def _folder_path(self, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.root / "folders" / name[:2] / name[2:40]


def remove_tree(path: Path) -> None:
    """Remove a folder with all it holds, also where it holds folders without write permission."""
    for folder, _names, _files in os.walk(path):  # does not follow links
        with contextlib.suppress(OSError):
            Path(folder).chmod(0o700)
    shutil.rmtree(path)


def _size(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        return sum(
            (Path(folder) / name).lstat().st_size for folder, _dirs, names in os.walk(path) for name in names
        )
    return path.lstat().st_size


@contextlib.contextmanager
def _host_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise HostError(
            "no-permission",
            f"cannot write: {error.strerror}",
            place=str(error.filename or path),
            hint="choose another folder with SHIPWHEEL_CACHE_DIR",
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise HostError(
                "disk-full",
                "no space left for the cache",
                place=str(path),
                hint="`shipwheel cache prune` makes room; SHIPWHEEL_CACHE_DIR names another disk",
            ) from error
        raise
