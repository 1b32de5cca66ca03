"""The project's own layers: its wheel, or its source, and those of its path dependencies."""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from shipwheel.cache import Cache
from shipwheel.oci.layer import LayerWriter
from shipwheel.oci.model import Descriptor, Digest
from shipwheel.oci.tar import Entry
from shipwheel.plan.model import BuildPlan
from shipwheel.project.files import (
    KEY_WITHIN,
    SourceFile,
    copy_files,
    holds_private_key,
    list_files,
    private_key_error,
)
from shipwheel.project.ignore import IgnoreFile
from shipwheel.project.model import Project

if TYPE_CHECKING:
    from shipwheel.wheel.bytecode import Bytecode
    from shipwheel.wheel.interpreter import Interpreter

RECIPE = "source/1"
_CHUNK = 256 * 1024


def source_files(project: Project) -> tuple[SourceFile, ...]:
    """Return the files that go into the image of a project that is copied."""
    settings = project.settings
    return list_files(project.root, include=settings.include, exclude=settings.exclude, at_run_time=True)


def check_no_secrets(project: Project, files: Sequence[SourceFile]) -> None:
    """Raise ProjectError `private-key` when a file holds one and `include` does not name it."""
    meant = IgnoreFile.from_gitignore(project.settings.include)
    for file in files:
        if file.link is not None or meant.decide(file.path, is_folder=False):
            continue
        with (project.root / file.path).open("rb") as stream:
            head = stream.read(KEY_WITHIN)
        if holds_private_key(head):
            raise private_key_error(file.path, str(project.root / file.path))


def write_source_layer(
    project: Project,
    plan: BuildPlan,
    file: BinaryIO,
    *,
    interpreter: Interpreter | None,
    key: str,
    cache: Cache,
    mtime: int,
) -> tuple[Descriptor, Digest]:
    """Write the project's files below the working folder, owned by root, with their bytecode."""
    from shipwheel.wheel.bytecode import compile_tree

    files = source_files(project)
    check_no_secrets(project, files)
    workdir = plan.paths.workdir.strip("/")
    with tempfile.TemporaryDirectory(prefix="shipwheel-") as folder:
        # Copied first: what is compiled and what is written are the same bytes, whoever edits meanwhile.
        root = Path(folder)
        tree = root / workdir
        tree.mkdir(parents=True)
        copy_files(project.root, files, tree)
        bytecode = None
        if interpreter is not None:
            bytecode = compile_tree(root, workdir, key=key, interpreter=interpreter, cache=cache)
        return _write(root, files, workdir, file, bytecode=bytecode, mtime=mtime)


def _write(
    root: Path,
    files: Sequence[SourceFile],
    workdir: str,
    file: BinaryIO,
    *,
    bytecode: Bytecode | None,
    mtime: int,
) -> tuple[Descriptor, Digest]:
    entries: dict[str, tuple[Entry, Path | bytes]] = {}
    for source in files:
        path = f"{workdir}/{source.path}" if workdir else source.path
        if source.link is not None:
            entry = Entry(path=path, kind="symlink", mode=0o777, link=source.link, mtime=mtime)
            entries[path] = (entry, b"")
            continue
        content = root / path
        mode = 0o755 if source.executable else 0o644
        entries[path] = (Entry(path=path, mode=mode, size=content.stat().st_size, mtime=mtime), content)
    for entry, compiled in bytecode.entries() if bytecode else ():
        entries[entry.path] = (entry, compiled)
    for path in list(entries):
        while "/" in path:
            path = posixpath.dirname(path)  # noqa: PLW2901 - climbing up is the point
            entries.setdefault(path, (Entry(path=path, kind="directory", mode=0o755, mtime=mtime), b""))
    writer = LayerWriter(file)
    for path in sorted(entries):
        entry, origin = entries[path]
        if isinstance(origin, bytes):
            writer.add(entry, origin)
        else:
            with origin.open("rb") as stream:
                writer.add(entry, iter(lambda: stream.read(_CHUNK), b""))
    return writer.finish()
