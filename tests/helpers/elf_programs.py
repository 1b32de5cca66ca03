"""Native files with segments, as linkers and patchelf lay them out, for every class and byte order."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

HEADERS = {1: 52, 2: 64}
SEGMENTS = {1: 32, 2: 56}
SECTIONS = {1: 40, 2: 64}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A section. With an `address` it is loaded, in a segment of its own; `kind` is its SHT_*."""

    name: str
    data: bytes
    address: int | None = None
    kind: int = 1
    link: str = ""
    align: int = 1


def program(
    parts: Sequence[Part],
    *,
    bits: int = 64,
    order: str = "<",
    machine: int = 62,
    page: int = 4096,
    file_type: int = 3,
    appended: bytes = b"",
) -> bytes:
    """Return an ELF file: headers, the parts in their order (loaded ones at their page), names, section table."""
    kind = 2 if bits == 64 else 1
    names = ["", *(part.name for part in parts), ".shstrtab"]
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in names[1:])
    loaded = [part for part in parts if part.address is not None]
    body = bytearray(HEADERS[kind] + SEGMENTS[kind] * len(loaded))
    places: list[int] = []
    for part in [*parts, Part(name=".shstrtab", data=strings, kind=3)]:
        step = page if part.address is not None else part.align
        offset = part.address or 0
        body += bytes((offset - len(body)) % step)
        places.append(len(body))
        body += part.data
    body += bytes(-len(body) % 8)
    table = len(body)
    word = "I" if bits == 32 else "Q"
    body += bytes(SECTIONS[kind])
    for part, place in zip([*parts, Part(name=".shstrtab", data=strings, kind=3)], places, strict=True):
        name = strings.index(b"\0" + part.name.encode() + b"\0") + 1
        flags = 2 if part.address is not None else 0
        link = names.index(part.link) if part.link else 0
        body += struct.pack(
            f"{order}II{word * 4}II{word * 2}",
            *(name, part.kind, flags, part.address or 0, place, len(part.data), link, 0, part.align, 0),
        )
    head = struct.pack(
        f"{order}HHI{word * 3}IHHHHHH",
        *(file_type, machine, 1, 0, HEADERS[kind], table, 0, HEADERS[kind]),
        *(SEGMENTS[kind], len(loaded), SECTIONS[kind], len(names), len(names) - 1),
    )
    body[: HEADERS[kind]] = b"\x7fELF" + bytes([kind, 1 if order == "<" else 2, 1]) + bytes(9) + head
    at = HEADERS[kind]
    for part in loaded:
        offset = places[list(parts).index(part)]
        size, address = len(part.data), part.address or 0
        if bits == 64:
            row = struct.pack(f"{order}IIQQQQQQ", 1, 5, offset, address, address, size, size, page)
        else:
            row = struct.pack(f"{order}8I", 1, offset, address, address, size, size, 5, page)
        body[at : at + len(row)] = row
        at += len(row)
    return bytes(body) + appended


def loaded_memory(data: bytes) -> dict[int, bytes]:
    """Return what a loader maps: each segment's bytes by address. The place in the file must fit the page."""
    kind, order = data[4], "<" if data[5] == 1 else ">"
    fmt, at = (f"{order}QQ", 32) if kind == 2 else (f"{order}II", 28)
    (table, _) = struct.unpack_from(fmt, data, at)
    (count,) = struct.unpack_from(f"{order}H", data, 56 if kind == 2 else 44)
    found = {}
    for number in range(count):
        row = table + number * SEGMENTS[kind]
        if kind == 2:
            (_, _, offset, address, _, size, _, page) = struct.unpack_from(f"{order}IIQQQQQQ", data, row)
        else:
            (_, offset, address, _, size, _, _, page) = struct.unpack_from(f"{order}8I", data, row)
        assert (offset - address) % page == 0
        assert offset + size <= len(data)
        found[address] = data[offset : offset + size]
    return found
