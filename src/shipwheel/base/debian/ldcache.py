"""Write /etc/ld.so.cache as glibc's ldconfig does (glibc: elf/cache.c, elf/ldconfig.c, 2.36 to 2.43).

Pure: file names and contents in, bytes out. Serves 64-bit x86 and ARM, little endian.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

# e_machine → FLAG_ELF_LIBC6 with the architecture (sysdeps/generic/ldconfig.h).
_FLAGS: Final = {62: 0x0303, 183: 0x0A03}
_MAGIC: Final = b"glibc-ld.so.cache1.1"
_LITTLE_ENDIAN: Final = 2
_HEADER: Final = struct.Struct("<20sIIB3xI12x")
_ENTRY: Final = struct.Struct("<iIIIQ")
_EXTENSION_MAGIC: Final = 0xEAA42174
_GENERATOR: Final = re.compile(rb"ldconfig \([^\0]*\) [^\0]* release version [^\0]*(?=\0)")
_DEFAULT_FOLDERS: Final = ("/lib", "/usr/lib")
_PT_LOAD, _PT_DYNAMIC, _DT_STRTAB, _DT_SONAME, _ET_DYN = 1, 2, 5, 14, 3


class LibraryFile(Protocol):
    """A file in a library folder: read at an offset."""

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset`."""
        ...


@dataclass(frozen=True, slots=True)
class Library:
    """A name in a library folder; `real` is the file's own name at the end of its links."""

    name: str
    real: str
    is_link: bool
    file: LibraryFile


def is_library_name(name: str) -> bool:
    """Tell whether ldconfig looks at a file of this name."""
    return name.startswith(("lib", "ld-")) and ".so" in name and not name.endswith("-gdb.py")


def generator_of(ldconfig: bytes) -> bytes:
    """Return the line about itself that the program `ldconfig` puts into a cache."""
    match = _GENERATOR.search(ldconfig)
    return b"" if match is None else match[0]


def configured_folders(files: Mapping[str, str]) -> list[str]:
    """Return the folders that /etc/ld.so.conf names with its includes, in order, then the default ones.

    `files` are the texts of `/etc/ld.so.conf` and `/etc/ld.so.conf.d/*.conf` by path.
    """
    folders: list[str] = []

    def read(path: str) -> None:
        for raw in files.get(path, "").splitlines():
            line = raw.partition("#")[0].strip()
            if line.startswith("include"):
                pattern = line.split(None, 1)[1].rpartition("/")[0] + "/"
                for included in sorted(files):
                    if included.startswith(pattern) and included.endswith(".conf") and included != path:
                        read(included)
            elif line.startswith("/"):
                folders.append(line.rstrip("/"))

    read("/etc/ld.so.conf")
    return list(dict.fromkeys([*folders, *_DEFAULT_FOLDERS]))


def render_cache(folders: Sequence[tuple[str, Sequence[Library]]], generator: bytes) -> bytes:
    """Return the cache for `folders`: (name, libraries by name), in ldconfig's order of search."""
    found: list[tuple[str, str, int]] = []
    for folder, libraries in folders:
        found += [(soname, f"{folder}/{soname}", flags) for soname, flags in _in_folder(libraries)]
    # A sort, reversed or not, keeps equals in their order: the folder that is searched first comes first.
    found.sort(key=lambda item: (_order(item[0]), item[2]), reverse=True)
    table, offsets = _string_table({text.encode() for name, path, _ in found for text in (name, path)})
    start = _HEADER.size + len(found) * _ENTRY.size
    entries = b"".join(
        _ENTRY.pack(flags, start + offsets[name.encode()], start + offsets[path.encode()], 0, 0)
        for name, path, flags in found
    )
    extension_at = -(-(start + len(table)) // 4) * 4
    header = _HEADER.pack(_MAGIC, len(found), len(table), _LITTLE_ENDIAN, extension_at)
    extension = struct.pack("<II", _EXTENSION_MAGIC, 1) + struct.pack(
        "<IIII", 0, 0, extension_at + 24, len(generator)
    )
    body = header + entries + table
    return body.ljust(extension_at, b"\0") + extension + generator


def _in_folder(libraries: Sequence[Library]) -> list[tuple[str, int]]:
    """Return the names by which libraries of one folder are found, with their flags."""
    chosen: dict[str, tuple[Library, int]] = {}
    for library in libraries:
        described = _describe(library.file)
        if described is None:
            continue
        soname, flags = described
        soname = soname or library.name
        name = soname
        # A link for the linker of development files (libx.so → libx.so.1.2) stands for itself.
        if library.is_link and (
            library.real == soname or (library.real.endswith(".so") and soname.startswith(library.real))
        ):
            name = library.name
        before = chosen.get(name)
        if before is None or (before[0].is_link and not library.is_link):
            chosen[name] = (library, flags)
    return [(name, flags) for name, (_, flags) in chosen.items()]


def _describe(file: LibraryFile) -> tuple[str, int] | None:
    """Return DT_SONAME and flags of a shared object, or None for any other file (ELF-64)."""
    header = file.read(0, 64)
    if len(header) < 64 or header[:6] != b"\x7fELF\x02\x01":
        return None
    kind, machine = struct.unpack_from("<HH", header, 16)
    if kind != _ET_DYN or machine not in _FLAGS:
        return None
    table_at, entry_size, entries = (
        struct.unpack_from("<Q", header, 32)[0],
        *struct.unpack_from("<HH", header, 54),
    )
    segments = file.read(table_at, entry_size * entries)
    loads: list[tuple[int, int, int]] = []
    dynamic = b""
    for index in range(len(segments) // 56):
        segment, _, offset, address, _, size, _, _ = struct.unpack_from("<IIQQQQQQ", segments, index * 56)
        if segment == _PT_LOAD:
            loads.append((address, offset, size))
        elif segment == _PT_DYNAMIC:
            dynamic = file.read(offset, size)
    tags = dict(reversed(list(struct.iter_unpack("<qQ", dynamic[: len(dynamic) // 16 * 16]))))
    if not tags:
        return None
    soname = ""
    if _DT_SONAME in tags and _DT_STRTAB in tags:
        position = tags[_DT_STRTAB]
        for address, offset, size in loads:
            if address <= position < address + size:
                raw = file.read(position - address + offset + tags[_DT_SONAME], 256)
                soname = raw.partition(b"\0")[0].decode("utf-8", "replace")
                break
    return soname, _FLAGS[machine]


def _order(name: str) -> tuple[tuple[int, int], ...]:
    """Return a key that sorts names as _dl_cache_libcmp does: runs of digits by value, above letters."""
    parts = re.findall(r"\d+|\D", name)
    return tuple((1, int(part)) if part[0].isdigit() else (0, ord(part)) for part in parts)


def _string_table(strings: set[bytes]) -> tuple[bytes, dict[bytes, int]]:
    """Return the strings, each ended by a zero, and their offsets; one that ends another lies in it."""
    offsets: dict[bytes, int] = {}
    table = bytearray()
    previous = b""
    for string in sorted(strings, key=lambda text: text[::-1], reverse=True):
        if offsets and previous.endswith(string):
            offsets[string] = offsets[previous] + len(previous) - len(string)
        else:
            offsets[string] = len(table)
            table += string + b"\0"
        previous = string
    return bytes(table), offsets
