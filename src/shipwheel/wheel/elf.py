"""What an ELF file's dynamic section says: which libraries it needs, in which versions, and what it defines.

64-bit little-endian files alone, as all platforms of images have them (System V ABI, "Dynamic Linking"; the
versions as in the Linux Standard Base, "Symbol Versioning"). Loads nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

_PT_LOAD, _PT_DYNAMIC = 1, 2
_NULL, _NEEDED, _STRTAB = 0, 1, 5
_VERDEF, _VERNEED = 0x6FFFFFFC, 0x6FFFFFFE
# A version that may be missing at run time.
_WEAK: Final = 0x2


@dataclass(frozen=True, slots=True, kw_only=True)
class Dynamic:
    """`needed` are libraries (DT_NEEDED); `versions` those of each library that have to be there, and
    `defined` the file's own, such as `GLIBC_2.34`.
    """

    needed: Sequence[str] = ()
    versions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    defined: frozenset[str] = frozenset()


def read_dynamic(data: bytes) -> Dynamic:
    """Return what the file says; nothing for what is no such file, or is cut short."""
    if data[:6] != b"\x7fELF\x02\x01":
        return Dynamic()
    try:
        return _Reader(data).read()
    except (struct.error, ValueError):  # cut short, or a name that is none
        return Dynamic()


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        (table,) = struct.unpack_from("<Q", data, 32)
        size, count = struct.unpack_from("<HH", data, 54)
        segments = [struct.unpack_from("<IIQQQQ", data, table + number * size) for number in range(count)]
        self._loads: list[tuple[int, int, int]] = [
            (address, offset, length) for kind, _, offset, address, _, length in segments if kind == _PT_LOAD
        ]
        self._dynamic = [
            (offset, length) for kind, _, offset, _, _, length in segments if kind == _PT_DYNAMIC
        ]
        self._strings = 0

    def read(self) -> Dynamic:
        entries = self._entries()
        by_tag: dict[int, int] = dict(reversed(entries))
        strings = self._offset(by_tag.get(_STRTAB))
        if strings is None:
            return Dynamic()
        self._strings = strings
        needs, defines = self._offset(by_tag.get(_VERNEED)), self._offset(by_tag.get(_VERDEF))
        return Dynamic(
            needed=tuple(self._string(value) for tag, value in entries if tag == _NEEDED),
            versions={} if needs is None else self._needs(needs),
            defined=frozenset() if defines is None else frozenset(self._defines(defines)),
        )

    def _entries(self) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for offset, length in self._dynamic[:1]:
            for at in range(offset, offset + length, 16):
                tag, value = struct.unpack_from("<QQ", self._data, at)
                if tag == _NULL:
                    break
                found.append((tag, value))
        return found

    def _offset(self, address: int | None) -> int | None:
        """Return where in the file lies what will be at `address` in memory."""
        if address is None:
            return None
        for start, offset, length in self._loads:
            if start <= address < start + length:
                return offset + address - start
        return None

    def _string(self, offset: int) -> str:
        start = self._strings + offset
        return self._data[start : self._data.index(b"\0", start)].decode()

    def _needs(self, at: int) -> dict[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}
        for place, (_, count, file, first, _) in self._chain("<HHIII", at):
            aux = self._chain("<IHHII", place + first, count)
            names = [self._string(name) for _, (_, flags, _, name, _) in aux if not flags & _WEAK]
            library = self._string(file)
            found[library] = found.get(library, frozenset()) | frozenset(names)
        return found

    def _defines(self, at: int) -> Iterator[str]:
        for place, (_, _, _, _, _, first, _) in self._chain("<HHHHIII", at):
            (name,) = struct.unpack_from("<I", self._data, place + first)
            yield self._string(name)

    def _chain(self, layout: str, at: int, count: int = 0xFFFF) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield records with their places; the last field of each leads to the next one, 0 ends."""
        for _ in range(count):
            record = struct.unpack_from(layout, self._data, at)
            yield at, record
            if record[-1] == 0:
                return
            at += record[-1]
