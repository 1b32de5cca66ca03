"""How many bytes each option would take out of a wheel: counted in the wheel itself, nothing is estimated."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zlib_ng import zlib_ng

from shipwheel.oci.layer import CHUNK, LEVEL
from shipwheel.project.settings import SLIM_OPTIONS, SlimOption
from shipwheel.wheel.archive import Wheel
from shipwheel.wheel.install import ChangedFile
from shipwheel.wheel.slim import plan_slimming, strip_natives

# All options at once: less than their sum where two want the same file.
ALL: Final = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What an option saves of one wheel: `files` that go or shrink, their bytes on disk, and compressed.

    Compressed bytes of what goes are those that the wheel has for it; what shrinks is compressed as a layer
    would. The bytecode of Python files that go comes on top of both.
    """

    option: SlimOption | str
    files: int
    bytes: int
    compressed: int


def count_savings(wheel: Wheel, *, python: str) -> tuple[tuple[Saving, ...], tuple[str, ...]]:
    """Return what each option, and all at once, would save of `wheel`; and notes of what would stay all the same.

    Only options that save something are there. Raises what reading the wheel's members raises.
    """
    found: list[Saving] = []
    with wheel.open() as reader, tempfile.TemporaryDirectory(prefix="shipwheel-slim-") as folder:
        every = plan_slimming(wheel, reader, SLIM_OPTIONS, python=python)
        strip = plan_slimming(wheel, reader, ("debug-symbols",), python=python)
        changed = strip_natives(wheel, reader, strip, Path(folder))
        sizes = {path: _compressed(file) for path, file in changed.items()}
        choices: list[tuple[str, Sequence[SlimOption]]] = [(option, (option,)) for option in SLIM_OPTIONS]
        for name, options in (*choices, (ALL, SLIM_OPTIONS)):
            slimming = every if name == ALL else plan_slimming(wheel, reader, options, python=python)
            gone = [wheel.by_path[path] for path in slimming.dropped]
            shrunk = [path for path in changed if slimming.strip and path not in slimming.dropped]
            saving = Saving(
                option=name,
                files=len(gone) + len(shrunk),
                bytes=sum(member.size for member in gone)
                + sum(wheel.by_path[path].size - changed[path].size for path in shrunk),
                compressed=sum(member.compressed_size for member in gone)
                + sum(wheel.by_path[path].compressed_size - sizes[path] for path in shrunk),
            )
            if saving.files:
                found.append(saving)
    return tuple(found), tuple(every.notes)


def _compressed(file: ChangedFile) -> int:
    deflate = zlib_ng.compressobj(LEVEL, zlib_ng.DEFLATED, -zlib_ng.MAX_WBITS)
    size = 0
    with file.path.open("rb") as stream:
        while piece := stream.read(CHUNK):
            size += len(deflate.compress(piece))
    return size + len(deflate.flush())
