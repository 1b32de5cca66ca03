"""A copy of a project's folder that may be changed, and how its changes are made and taken back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from shipwheel.errors import HostError

# Made by tools beside the project's own files, and never part of an image that is made from them.
_MADE: Final = frozenset(
    {
        ".venv",
        "venv",
        "node_modules",
        "__pycache__",
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
        ".tox",
        ".nox",
    }
)
_MOST: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Scratch:
    """The copy's `top` and the project's `root` in it."""

    top: Path
    root: Path

    @contextmanager
    def changed(self, path: Path, text: str) -> Iterator[None]:
        """Give the file at `path` another content while the block runs."""
        before = path.read_bytes()
        path.write_text(text, encoding="utf-8")
        try:
            yield
        finally:
            path.write_bytes(before)


@contextmanager
def scratch_copy(root: Path, folders: Sequence[Path] = ()) -> Iterator[Scratch]:
    """Yield a copy of the folder that holds `root` and `folders`; gone after the block.

    Raises HostError `project-too-large` for one that nobody would want to be copied.
    """
    top = Path(os.path.commonpath([path.resolve() for path in (root, *folders)]))
    size = 0
    for folder, names, files in os.walk(top):
        names[:] = [name for name in names if name not in _MADE]
        size += sum(os.lstat(f"{folder}/{name}").st_size for name in files)
        if size > _MOST:
            raise HostError(
                "project-too-large",
                "the project's folder is larger than 1 GB, and was not copied",
                place=str(top),
            )
    with TemporaryDirectory(prefix="shipwheel-") as text:
        copy = Path(text) / top.name
        shutil.copytree(top, copy, symlinks=True, ignore=lambda _, names: sorted(_MADE.intersection(names)))
        yield Scratch(copy, copy / root.resolve().relative_to(top))
