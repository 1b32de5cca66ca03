"""What a lock leaves open about its files, settled: which file a hash is of, and where a path leads.

Afterwards every source is a file with hashes, a commit or a folder, and every path is relative to the
project. Builds nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.pylock import PackageDirectory, PackageVcs

from shipwheel.errors import LockError, Problem, TargetError
from shipwheel.locks.choose import name_file
from shipwheel.locks.model import KnownByHash, LockedFile, Selected, Source
from shipwheel.target import Target

# No image is made for these, so nobody needs to know their files' names.
_OTHERS = ("win32", "win_amd64", "win_arm64", "macosx", "android", "ios_", "pyodide", "emscripten")


@dataclass(frozen=True, kw_only=True)
class Settler:
    """Settles what is selected from one lock.

    `root` is the project's folder and `lock_folder` the lock's. `names` maps locked hashes
    (`algorithm:hex`) to file names, as shipwheel.lock has them; `list_files` asks the index for a
    release's. What was asked is in `learnt` afterwards.
    """

    root: Path
    lock_folder: Path
    names: Mapping[str, str]
    list_files: Callable[[Selected], Sequence[LockedFile]]
    learnt: dict[str, str] = field(default_factory=dict)

    def settle(self, selected: Sequence[Selected], target: Target) -> tuple[Selected, ...]:
        """Return `selected` with nothing left open for `target`.

        Raises LockError `hash-not-on-index`, `no-such-file`; TargetError `no-wheel-for-target`;
        NetworkError from the index.
        """
        settled: list[Selected] = []
        problems: list[Problem] = []
        for item in selected:
            try:
                named = self._named(item, target)
            except TargetError as error:
                problems += error.problems
                continue
            settled.append(replace(named, source=self._placed(named.source, named.place)))
        if problems:
            raise TargetError.of(problems)
        return tuple(settled)

    def _named(self, item: Selected, target: Target) -> Selected:
        if not isinstance(item.source, KnownByHash):
            return item
        known = {**self.names, **self.learnt}
        files = [_file(known[digest], digest) for digest in item.source.hashes if digest in known]
        if not files:
            offered = self.list_files(item)
            locked = set(item.source.hashes)
            for file in offered:
                for algorithm, digest in file.hashes.items():
                    if f"{algorithm}:{digest}" in locked and _is_for_images(file.name):
                        self.learnt[f"{algorithm}:{digest}"] = file.name
            # Without sizes: whether they stand in shipwheel.lock must not depend on who was asked first.
            files = [file._replace(size=None) for file in offered]
        return name_file(item, files, target)

    def _placed(self, source: Source, place: str) -> Source:
        path = getattr(source, "path", None)
        if path is None or isinstance(source, KnownByHash):
            return source
        absolute = Path(os.path.normpath(self.lock_folder / path))
        moved = Path(os.path.relpath(absolute, self.root)).as_posix()
        if isinstance(source, PackageDirectory):
            folder = moved if not source.subdirectory else f"{moved}/{source.subdirectory}"
            return PackageDirectory(path=folder, editable=source.editable)
        if isinstance(source, PackageVcs):
            return replace(source, path=moved)
        if source.hashes:
            return replace(source, path=moved)
        # It lies beside the project, as the project's own files do: what it is now is what counts.
        try:
            with absolute.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError as error:
            raise LockError("no-such-file", f"the locked file {path} is not there", place=place) from error
        return replace(source, path=moved, hashes={"sha256": digest})


def _file(name: str, digest: str) -> LockedFile:
    algorithm, _, value = digest.partition(":")
    return LockedFile(name=name, hashes={algorithm: value})


def _is_for_images(name: str) -> bool:
    return not name.endswith(".whl") or not any(tag in name.rsplit("-", 1)[-1] for tag in _OTHERS)
