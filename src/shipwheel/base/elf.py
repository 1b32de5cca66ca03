"""Read from an ELF file's headers which machine it is for and which loader it asks for."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from shipwheel.oci.machine import ARCHITECTURES, machine_of

_PT_INTERP: Final = 3


@dataclass(frozen=True, slots=True)
class Elf:
    """`architecture` as OCI names it (None: another machine); `loader` is PT_INTERP, None when static."""

    architecture: str | None
    loader: str | None


def parse_elf(data: bytes) -> Elf | None:
    """Return what the headers say, None when `data` is no complete ELF file."""
    if data[:4] != b"\x7fELF" or data[4:5] not in (b"\x01", b"\x02") or data[5:6] not in (b"\x01", b"\x02"):
        return None
    bits = 32 if data[4] == 1 else 64
    order = "<" if data[5] == 1 else ">"
    try:
        (table,) = struct.unpack_from(f"{order}{'I' if bits == 32 else 'Q'}", data, 28 if bits == 32 else 32)
        size, count = struct.unpack_from(f"{order}HH", data, 42 if bits == 32 else 54)
        loader = None
        for number in range(count):
            at = table + number * size
            if struct.unpack_from(f"{order}I", data, at)[0] == _PT_INTERP:
                offset, length = _segment(data, at, bits, order)
                loader = data[offset : offset + length].rstrip(b"\0").decode()
    except (struct.error, UnicodeDecodeError):
        return None
    machine = machine_of(data)
    return Elf(machine if machine in ARCHITECTURES else None, loader)


def _segment(data: bytes, at: int, bits: int, order: str) -> tuple[int, int]:
    """Return a program header's p_offset and p_filesz."""
    if bits == 32:
        offset, _vaddr, _paddr, length = struct.unpack_from(f"{order}4I", data, at + 4)
    else:
        offset, _vaddr, _paddr, length = struct.unpack_from(f"{order}4Q", data, at + 8)
    return offset, length
