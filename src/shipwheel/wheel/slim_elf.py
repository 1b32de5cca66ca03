"""Take what only debuggers read out of an ELF file (System V ABI, "Object files").

A program is loaded from its segments alone. They keep their bytes and their addresses (but for the tables of
places in the file, where a segment covers them); what goes are sections outside of all segments: `.debug_*`,
`.symtab` and the strings of both. What lay behind them moves up by a multiple of the segments' alignment, so
that each is mapped as before. Symbols for the dynamic linker (`.dynsym`) are inside a segment and stay. A file
with anything unusual is left as it is.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final, Literal

# Less is not worth compressing the file anew.
_LEAST_BYTES: Final = 4096
_LEAST_SHARE: Final = 50
_HEADER: Final = 64
_CHUNK: Final = 256 * 1024
_MAX_SECTIONS: Final = 4096
_MAX_SEGMENTS: Final = 256
_MAX_NAMES: Final = 4 << 20
_EXECUTABLE, _SHARED = 2, 3
_PT_LOAD: Final = 1
_SHT_SYMTAB, _SHT_STRTAB, _SHT_RELA, _SHT_NOBITS, _SHT_REL, _SHT_SYMTAB_SHNDX = 2, 3, 4, 8, 9, 18
_SHF_ALLOC: Final = 2
_DEBUG: Final = (b".debug_", b".zdebug_", b".gnu.debuglto_", b".stab")
_DEBUG_NAMES: Final = frozenset({b".gdb_index", b".debug", b".line", b".gnu_debugdata"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Class:
    """Field layouts of 32- and 64-bit files: ELF header from e_phoff on, program header, section header."""

    header: str
    header_at: int
    segment: str
    segment_fields: Sequence[str]
    section: str


_CLASSES: Final = {
    1: _Class(
        header="IIIHHHHHH",
        header_at=28,
        segment="8I",
        segment_fields=("type", "offset", "vaddr", "paddr", "filesz", "memsz", "flags", "align"),
        section="10I",
    ),
    2: _Class(
        header="QQIHHHHHH",
        header_at=32,
        segment="IIQQQQQQ",
        segment_fields=("type", "flags", "offset", "vaddr", "paddr", "filesz", "memsz", "align"),
        section="IIQQQQIIQQ",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segment:
    at: int
    type: int
    offset: int
    vaddr: int
    filesz: int
    align: int

    @property
    def end(self) -> int:
        return self.offset + self.filesz


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    at: int
    name: bytes
    type: int
    flags: int
    offset: int
    size: int
    link: int
    align: int

    @property
    def end(self) -> int:
        return self.offset + (0 if self.type == _SHT_NOBITS else self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Elf:
    kind: _Class
    order: Literal["<", ">"]
    size: int
    table: int
    headers: int
    segments: Sequence[_Segment]
    sections: Sequence[_Section]
    names: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Bytes `start` to `end` of the file, which are at `to` in the new one."""

    start: int
    end: int
    to: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """How a file loses its debugging data: which pieces stay, and the fields that say where things are.

    `removed` are the bytes that go, `size` those of the new file: alignment can leave zeros in between.
    """

    size: int
    removed: int
    pieces: Sequence[_Piece]
    patches: Sequence[tuple[int, bytes]]

    def write(self, source: BinaryIO, target: BinaryIO) -> None:
        """Write the new file from the old one; both can seek."""
        for piece in self.pieces:
            source.seek(piece.start)
            target.seek(piece.to)
            left = piece.end - piece.start
            while left and (data := source.read(min(left, _CHUNK))):
                target.write(data)
                left -= len(data)
        target.truncate(self.size)
        for at, data in self.patches:
            target.seek(at)
            target.write(data)


def plan_strip(file: BinaryIO) -> Strip | None:
    """Return how to strip the open `file`; None where there is nothing, or too little, or too odd a file."""
    try:
        elf = _read(file)
    except struct.error:
        return None
    if elf is None or not _is_plain(elf, file):
        return None
    removable = _removable(elf)
    gone = _ranges(elf, removable)
    removed = sum(end - start for start, end in gone)
    if removed < _LEAST_BYTES or removed * _LEAST_SHARE < elf.size:
        return None
    pieces = _lay_out(elf, gone)
    return Strip(
        size=pieces[-1].to + pieces[-1].end - pieces[-1].start,
        removed=removed,
        pieces=pieces,
        patches=tuple(_patches(elf, removable, pieces)),
    )


def _read(file: BinaryIO) -> _Elf | None:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(_HEADER)
    if len(head) < _HEADER or head[:4] != b"\x7fELF" or head[4] not in _CLASSES or head[5] not in (1, 2):
        return None
    order: Literal["<", ">"] = "<" if head[5] == 1 else ">"
    kind = _CLASSES[head[4]]
    if struct.unpack_from(f"{order}H", head, 16)[0] not in (_EXECUTABLE, _SHARED):
        return None
    headers, table, _, _, segment_size, segments, section_size, sections, names = struct.unpack_from(
        f"{order}{kind.header}", head, kind.header_at
    )
    if (
        segment_size != struct.calcsize(f"{order}{kind.segment}")
        or section_size != struct.calcsize(f"{order}{kind.section}")
        or not 0 < segments <= _MAX_SEGMENTS
        or not 0 < names < sections <= _MAX_SECTIONS
        or headers + segments * segment_size > size
        or table + sections * section_size > size
    ):
        return None
    return _Elf(
        kind=kind,
        order=order,
        size=size,
        table=table,
        headers=headers,
        segments=tuple(_segments(file, kind, order, headers, segments)),
        sections=tuple(_sections(file, kind, order, (table, sections, names))),
        names=names,
    )


def _segments(file: BinaryIO, kind: _Class, order: str, at: int, count: int) -> Iterator[_Segment]:
    file.seek(at)
    width = struct.calcsize(f"{order}{kind.segment}")
    data = file.read(width * count)
    for number in range(count):
        values = struct.unpack_from(f"{order}{kind.segment}", data, number * width)
        fields = dict(zip(kind.segment_fields, values, strict=True))
        yield _Segment(
            at=at + number * width, **{k: fields[k] for k in ("type", "offset", "vaddr", "filesz", "align")}
        )


def _sections(file: BinaryIO, kind: _Class, order: str, table: tuple[int, int, int]) -> Iterator[_Section]:
    at, count, names = table
    file.seek(at)
    width = struct.calcsize(f"{order}{kind.section}")
    data = file.read(width * count)
    rows = [struct.unpack_from(f"{order}{kind.section}", data, number * width) for number in range(count)]
    # Damage can put the names where no file reaches; then none is found, and `_is_plain` turns it down.
    file.seek(min(rows[names][4], file.seek(0, os.SEEK_END)))
    text = file.read(min(rows[names][5], _MAX_NAMES))
    for number, row in enumerate(rows):
        name, type_, flags, _, offset, size, link, _, align, _ = row
        yield _Section(
            at=at + number * width,
            name=text[name : max(text.find(b"\0", name), name)],
            type=type_,
            flags=flags,
            offset=offset,
            size=size,
            link=link,
            align=align,
        )


def _is_plain(elf: _Elf, file: BinaryIO) -> bool:
    """Tell whether all lies within the file, and nothing follows what the headers know of."""
    ends = [elf.headers, elf.sections[-1].at + _width(elf)]
    ends += [*(item.end for item in elf.segments), *(item.end for item in elf.sections)]
    if not 0 <= elf.size - max(ends) < _CHUNK:
        return False
    # What programs append to themselves they find by its place; patchelf's last byte is a zero.
    file.seek(max(ends))
    if file.read(_CHUNK).strip(b"\0"):
        return False
    return all(
        item.align in (0, 1)
        or (item.align & (item.align - 1) == 0 and (item.offset - item.vaddr) % item.align == 0)
        for item in elf.segments
        if item.type == _PT_LOAD
    )


def _width(elf: _Elf) -> int:
    return struct.calcsize(f"{elf.order}{elf.kind.section}")


def _removable(elf: _Elf) -> set[int]:
    """Return the numbers of the sections that may go: no other section, of those that stay, needs them."""
    found = {
        number
        for number, item in enumerate(elf.sections)
        if not item.flags & _SHF_ALLOC
        and (
            item.name.startswith(_DEBUG)
            or item.name in _DEBUG_NAMES
            or item.type in (_SHT_SYMTAB, _SHT_SYMTAB_SHNDX)
        )
    }
    symbols = {number for number in found if elf.sections[number].type == _SHT_SYMTAB}
    # Relocations of debugging data, and the symbols' names.
    found |= {
        number
        for number, item in enumerate(elf.sections)
        if not item.flags & _SHF_ALLOC and item.type in (_SHT_REL, _SHT_RELA) and item.link in symbols
    }
    found |= {
        link
        for link in (elf.sections[number].link for number in symbols)
        if 0 < link < len(elf.sections)
        and elf.sections[link].type == _SHT_STRTAB
        and not elf.sections[link].flags & _SHF_ALLOC
    }
    found.discard(elf.names)
    while needed := {
        item.link for number, item in enumerate(elf.sections) if number not in found and item.link in found
    }:
        found -= needed
    return {number for number in found if elf.sections[number].type != _SHT_NOBITS}


def _ranges(elf: _Elf, removable: set[int]) -> list[tuple[int, int]]:
    """Return the bytes of the sections to remove that nothing else covers, sorted and apart."""
    last = elf.sections[-1].at + _width(elf)
    segment = struct.calcsize(f"{elf.order}{elf.kind.segment}")
    kept = [
        (0, _HEADER),
        (elf.headers, elf.headers + segment * len(elf.segments)),
        (elf.table, last),
        *((item.offset, item.end) for item in elf.segments if item.filesz),
        *(
            (item.offset, item.end)
            for number, item in enumerate(elf.sections)
            if number not in removable and item.end > item.offset
        ),
    ]
    kept.sort()
    gone: list[tuple[int, int]] = []
    for number in sorted(removable, key=lambda number: elf.sections[number].offset):
        section = elf.sections[number]
        at = max(section.offset, gone[-1][1] if gone else 0)
        for start, end in kept:
            if end <= at:
                continue
            if start >= section.end:
                break
            if start > at:
                gone.append((at, start))
            at = max(at, end)
        if at < section.end:
            gone.append((at, section.end))
    return gone


def _lay_out(elf: _Elf, gone: Sequence[tuple[int, int]]) -> tuple[_Piece, ...]:
    loaded = [item for item in elf.segments if item.filesz]
    page = max((item.align for item in elf.segments), default=1) or 1
    pieces: list[_Piece] = []
    for start, end in zip(
        [0, *(end for _, end in gone)], [*(start for start, _ in gone), elf.size], strict=True
    ):
        if start == end:
            continue
        # A multiple of the page where something is mapped; else of what sections and their table ask for.
        within = [item for item in loaded if item.offset < end and start < item.end]
        step = (
            page
            if within
            else max(8, *(item.align for item in elf.sections if start <= item.offset < end), 1)
        )
        at = pieces[-1].to + pieces[-1].end - pieces[-1].start if pieces else 0
        pieces.append(_Piece(start=start, end=end, to=at + (start - at) % step))
    return tuple(pieces)


def _moved(pieces: Sequence[_Piece], offset: int) -> int:
    """Return where `offset` is now; of what is gone, or has no bytes, as far as what lies before it moved."""
    before = [piece for piece in pieces if piece.start <= offset]
    return offset - before[-1].start + before[-1].to if before else offset


def _patches(elf: _Elf, removable: set[int], pieces: Sequence[_Piece]) -> Iterator[tuple[int, bytes]]:
    word = f"{elf.order}{'I' if elf.kind is _CLASSES[1] else 'Q'}"
    step = struct.calcsize(word)
    segment_at = 4 if elf.kind is _CLASSES[1] else 8
    section_at = 16 if elf.kind is _CLASSES[1] else 24
    yield elf.kind.header_at, struct.pack(word, _moved(pieces, elf.headers))
    yield elf.kind.header_at + step, struct.pack(word, _moved(pieces, elf.table))
    for segment in elf.segments:
        yield _moved(pieces, segment.at) + segment_at, struct.pack(word, _moved(pieces, segment.offset))
    for number, section in enumerate(elf.sections):
        at = _moved(pieces, section.at)
        if number in removable:
            # SHT_NULL, "an inactive section header": the others keep their numbers, which symbols hold.
            yield at, bytes(_width(elf))
        else:
            yield at + section_at, struct.pack(word, _moved(pieces, section.offset))
