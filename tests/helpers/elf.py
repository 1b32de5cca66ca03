"""Native files with a section table, as a linker writes them."""

import struct
from collections.abc import Mapping


def native(sections: Mapping[str, int]) -> bytes:
    """Return a 64-bit ELF library for amd64 with sections of these sizes, their names and table at the end."""
    names = [*sections, ".shstrtab"]
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    body = b"".join(b"\x90" * size for size in sections.values())
    offsets, at = [], 64
    for size in (*sections.values(), len(strings)):
        offsets.append(at)
        at += size
    table = struct.pack("<IIQQQQIIQQ", *[0] * 10)
    for name, offset, size in zip(names, offsets, (*sections.values(), len(strings)), strict=True):
        place = strings.index(b"\0" + name.encode() + b"\0") + 1
        table += struct.pack("<IIQQQQIIQQ", place, 1, 0, 0, offset, size, 0, 0, 1, 0)
    identification = b"\x7fELF\x02\x01\x01" + bytes(9)
    fields = (3, 62, 1, 0, 0, at, 0, 64, 56, 0, 64, len(names) + 1, len(names))
    return identification + struct.pack("<HHIQQQIHHHHHH", *fields) + body + strings + table
