"""Compile .py files ahead and keep the result, a pack for each wheel, in the cache.

PEP 552 "unchecked hash" bytecode: valid whatever a file's mtime, and Python never reads the source to
load it. A pack is a file: the length of an index (8 bytes, big-endian), the index as JSON, the .pyc
files one after the other. Which interpreter compiles is `interpreter`'s; layers are `layer`'s.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from shipwheel.cache import Cache
from shipwheel.errors import ImageError
from shipwheel.oci.layer import CHUNK
from shipwheel.oci.tar import Entry
from shipwheel.wheel.archive import Wheel
from shipwheel.wheel.install import bytecode_path, python_sources
from shipwheel.wheel.interpreter import Interpreter
from shipwheel.wheel.keys import BYTECODE_RECIPE

# One process compiles one chunk. The chunks follow from the wheel alone: part of the recipe.
_CHUNK_FILES: Final = 100
_CHUNK_BYTES: Final = 1 << 20
# The largest modules people write are 2 MB; compiling takes a hundred times a source's size in memory.
_SOURCE_LIMIT: Final = 16 << 20
_PYC_HEADER: Final = 16

Source = tuple[str, int, Callable[[], bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytecode:
    """Compiled files in a pack at `pack`: `files` maps a source's path to offset and size of its .pyc.

    Paths are below the environment (a wheel's) or below / (a tree's). `skipped` maps the sources that
    have none to the reason in one word: SyntaxError, crash, timeout, too-large …
    """

    pack: Path
    cache_tag: str
    interpreter: str
    files: Mapping[str, tuple[int, int]] = field(repr=False)
    skipped: Mapping[str, str] = field(default_factory=dict)

    def open(self) -> BytecodeReader:
        """Open the pack; use it in a `with` block."""
        return BytecodeReader(self)

    def entries(self) -> Iterator[tuple[Entry, bytes]]:
        """Yield a layer's entries, without their folders, sorted by path."""
        with self.open() as reader:
            for source in sorted(self.files, key=lambda source: bytecode_path(source, self.cache_tag)):
                content = reader.read(source)
                yield Entry(path=bytecode_path(source, self.cache_tag), size=len(content)), content


class BytecodeReader:
    """Reads .pyc files of one pack; any number of threads may share it."""

    def __init__(self, bytecode: Bytecode) -> None:
        self._bytecode = bytecode
        self._handle = os.open(bytecode.pack, os.O_RDONLY)

    def __enter__(self) -> BytecodeReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    def read(self, source: str) -> bytes:
        """Return the .pyc of `source`."""
        offset, size = self._bytecode.files[source]
        return os.pread(self._handle, size, offset)


def compile_wheel(
    wheel: Wheel,
    *,
    interpreter: Interpreter,
    prefix: str,
    cache: Cache,
    jobs: int = 2,
    without: Collection[str] = (),
) -> Bytecode:
    """Compile what the wheel installs below `prefix` (the environment's path in the image), or find it.

    `jobs` processes run at once and do not change the bytes. `without` are members that are not installed.
    Raises BuildError `bytecode-timeout` and what reading members raises.
    """
    # The file name decides where headers go and nothing about modules: the hash says it all.
    key = f"wheel {wheel.sha256} {prefix}"
    if gone := sorted(path for path in without if path.endswith(".py")):
        key += f" without {hashlib.sha256(json.dumps(gone).encode()).hexdigest()}"
    if (kept := _load(key, interpreter, cache)) is not None:
        return kept
    with wheel.open() as reader:
        sources: list[Source] = [
            (path, member.size, lambda member=member: reader.read(member))  # type: ignore[misc]
            for path, member in python_sources(wheel, python=interpreter.version, without=frozenset(without))
        ]
        return _compile(sources, key=key, interpreter=interpreter, prefix=prefix, cache=cache, jobs=jobs)


def compile_tree(
    root: Path, folder: str, *, key: str, interpreter: Interpreter, cache: Cache, jobs: int = 2
) -> Bytecode:
    """Compile the .py files below `folder` (as `usr/lib/python3.13`) of an image unpacked at `root`.

    `key` says what the tree is (the base's digest); equal keys are compiled once. Files that have valid
    bytecode already and links are left alone. Raises BuildError `bytecode-timeout`.
    """
    key = f"tree {folder} {key}"
    if (kept := _load(key, interpreter, cache)) is not None:
        return kept
    sources: list[Source] = [
        (path.relative_to(root).as_posix(), path.stat().st_size, path.read_bytes)
        for path in _python_files(root / folder)
        if not _has_bytecode(path, interpreter)
    ]
    sources.sort(key=lambda source: source[0])
    return _compile(sources, key=key, interpreter=interpreter, prefix="", cache=cache, jobs=jobs)


def _python_files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            path = Path(parent, name)
            if name.endswith(".py") and path.is_file() and not path.is_symlink():
                yield path


def _has_bytecode(path: Path, interpreter: Interpreter) -> bool:
    """Whether an import of `path` would take the .pyc that is there (PEP 552)."""
    compiled = Path(bytecode_path(path.as_posix(), interpreter.cache_tag))
    try:
        with compiled.open("rb") as file:
            head = file.read(_PYC_HEADER)
    except OSError:
        return False
    if len(head) < _PYC_HEADER or head[:4].hex() != interpreter.magic:
        return False
    flags = int.from_bytes(head[4:8], "little")
    if flags:
        return flags == 1
    found = path.stat()
    told = tuple(int.from_bytes(head[at : at + 4], "little") for at in (8, 12))
    return told == (int(found.st_mtime) & 0xFFFFFFFF, found.st_size & 0xFFFFFFFF)


def _compile(
    sources: Sequence[Source], *, key: str, interpreter: Interpreter, prefix: str, cache: Cache, jobs: int
) -> Bytecode:
    small = [source for source in sources if source[1] <= _SOURCE_LIMIT]
    skipped = {path: "too-large" for path, size, _ in sources if size > _SOURCE_LIMIT}
    sizes: list[tuple[str, int]] = []

    def run(chunk: Sequence[Source]) -> list[tuple[str, bytes | str]]:
        pairs = [(f"{prefix.rstrip('/')}/{path}", read()) for path, _, read in chunk]
        return list(zip((path for path, _, _ in chunk), interpreter.compile(pairs), strict=True))

    # The bodies wait in a file of their own: the index, whose length is not known yet, comes first.
    with cache.staging() as (_, bodies), cache.staging() as (staged, pack):
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            for results in _in_order(pool, run, _chunks(small), ahead=2 * max(1, jobs)):
                for path, result in results:
                    if isinstance(result, str):
                        skipped[path] = result
                    else:
                        sizes.append((path, len(result)))
                        bodies.write(result)
        index = {"tag": interpreter.cache_tag, "files": sizes, "skipped": dict(sorted(skipped.items()))}
        head = json.dumps(index, separators=(",", ":")).encode()
        digest = hashlib.sha256()
        bodies.seek(0)
        for piece in (len(head).to_bytes(8, "big"), head, *_pieces(bodies)):
            digest.update(piece)
            pack.write(piece)
        pack.flush()
        kept = cache.add_file(staged, "sha256", digest.hexdigest())
    cache.add_record(_record_key(key, interpreter), {"sha256": digest.hexdigest()})
    found = _read_pack(kept, interpreter)
    if found is None:
        raise ImageError("bad-bytecode", "what was compiled cannot be read back", place=str(kept))
    return found


def _in_order(
    pool: ThreadPoolExecutor,
    run: Callable[[Sequence[Source]], list[tuple[str, bytes | str]]],
    chunks: Iterable[Sequence[Source]],
    *,
    ahead: int,
) -> Iterator[list[tuple[str, bytes | str]]]:
    """Yield what `run` gives for each chunk in the chunks' order, with at most `ahead` of them in memory."""
    waiting: deque[Future[list[tuple[str, bytes | str]]]] = deque()
    for chunk in chunks:
        waiting.append(pool.submit(run, chunk))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _chunks(sources: Sequence[Source]) -> Iterator[list[Source]]:
    chunk: list[Source] = []
    size = 0
    for source in sources:
        if chunk and (len(chunk) >= _CHUNK_FILES or size + source[1] > _CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(source)
        size += source[1]
    if chunk:
        yield chunk


def _record_key(key: str, interpreter: Interpreter) -> str:
    return f"{BYTECODE_RECIPE} {interpreter.id} {key}"


def _load(key: str, interpreter: Interpreter, cache: Cache) -> Bytecode | None:
    record = cache.record(_record_key(key, interpreter))
    if not isinstance(record, dict) or not isinstance(record.get("sha256"), str):
        return None
    path = cache.file("sha256", record["sha256"])
    if path is None:
        return None
    # Bytecode is code that will run: a disk's or a neighbour's change to it must not pass.
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != record["sha256"]:
            return None
    return _read_pack(path, interpreter)


def _read_pack(path: Path, interpreter: Interpreter) -> Bytecode | None:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "big")
        try:
            index = json.loads(file.read(length))
            at = 8 + length
            files: dict[str, tuple[int, int]] = {}
            for name, size in index["files"]:
                files[name] = (at, size)
                at += size
            return Bytecode(
                pack=path,
                cache_tag=index["tag"],
                interpreter=interpreter.id,
                files=files,
                skipped=index["skipped"],
            )
        except (ValueError, KeyError, TypeError):
            return None


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(CHUNK):
        yield piece
