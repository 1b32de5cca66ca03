"""How many bytes of a native file are debugging data, from its section table (ELF). Reads no file."""

from __future__ import annotations

import struct
from typing import Final

HEADER: Final = 64
# A section table is at the end of nearly every file; with its names it is smaller than this.
TAIL: Final = 256 * 1024
_MAX_SECTIONS: Final = 2000


def debug_bytes(head: bytes, tail: bytes, size: int) -> int:
    """Return the bytes of sections that a strip would remove (`.debug_*`, `.symtab`, `.strtab`).

    `head` are the first 64 bytes of a 64-bit little-endian file of `size` bytes, `tail` its last ones;
    0 for another file, or a table that is not within `tail`.
    """
    if len(head) < HEADER or head[:6] != b"\x7fELF\x02\x01":
        return 0
    (table,) = struct.unpack_from("<Q", head, 40)
    entry, count, names = struct.unpack_from("<HHH", head, 58)
    start = size - len(tail)
    if entry != 64 or not 0 < count <= _MAX_SECTIONS or names >= count:
        return 0
    if table < start or table + entry * count > size:
        return 0
    rows = [struct.unpack_from("<IIQQQQ", tail, table - start + entry * number) for number in range(count)]
    name_offset, name_size = rows[names][4], rows[names][5]
    if name_offset < start or name_offset + name_size > size:
        return 0
    text = tail[name_offset - start : name_offset - start + name_size]
    found = 0
    for name, kind, _flags, _address, _offset, length in rows:
        title = text[name : text.find(b"\0", name)]
        # 8 is SHT_NOBITS: takes no room in the file.
        if kind != 8 and (title.startswith((b".debug_", b".zdebug_")) or title in (b".symtab", b".strtab")):
            found += length
    return min(found, size)
