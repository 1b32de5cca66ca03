"""In what two contents of one file differ, in one line: the first lines, or bytes, and how many. Judges nothing."""

from __future__ import annotations

import difflib
import itertools
from typing import Final

_SHOWN_LINES: Final = 2
_SHOWN_TEXT: Final = 80
_SHOWN_BYTES: Final = 8
# difflib takes long for what has many lines.
_MOST_LINES: Final = 5000
_PYC_HEADER: Final = 16


def tell_difference(path: str, one: bytes, two: bytes) -> str:
    """Return where `one` and `two` differ: lines of texts, bytes of anything else."""
    try:
        before, after = one.decode().splitlines(), two.decode().splitlines()
    except UnicodeDecodeError:
        return _bytes(path, one, two)
    if b"\0" in one + two or before == after:
        return _bytes(path, one, two)
    return _lines(before, after)


def _lines(before: list[str], after: list[str]) -> str:
    if sorted(before) == sorted(after):
        number = next(n for n, (a, b) in enumerate(zip(before, after, strict=True), 1) if a != b)
        moved = sum(a != b for a, b in zip(before, after, strict=True))
        return f"the same {len(before)} lines in another order: {moved} moved, the first is line {number}"
    if max(len(before), len(after)) > _MOST_LINES:
        pairs = enumerate(itertools.zip_longest(before, after), 1)
        changes = [(n, a, b) for n, (a, b) in pairs if a != b]
    else:
        changes = list(_changes(before, after))
    told = [f"line {number}: {_text(a)}, then {_text(b)}" for number, a, b in changes[:_SHOWN_LINES]]
    more = f"; {len(changes)} lines differ" if len(changes) > _SHOWN_LINES else ""
    return "; ".join(told) + more


def _changes(before: list[str], after: list[str]) -> list[tuple[int, str | None, str | None]]:
    found: list[tuple[int, str | None, str | None]] = []
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for tag, begin, end, other, other_end in matcher.get_opcodes():
        if tag != "equal":
            pairs = itertools.zip_longest(before[begin:end], after[other:other_end])
            found += [(begin + offset + 1, a, b) for offset, (a, b) in enumerate(pairs)]
    return found


def _text(line: str | None) -> str:
    if line is None:
        return "no line"
    return repr(line if len(line) <= _SHOWN_TEXT else f"{line[:_SHOWN_TEXT]}…")


def _bytes(path: str, one: bytes, two: bytes) -> str:
    length = min(len(one), len(two))
    first = next((n for n in range(length) if one[n] != two[n]), length)
    shown = slice(first, first + _SHOWN_BYTES)
    what = f"byte {first}: {one[shown].hex(' ') or 'the end'}, then {two[shown].hex(' ') or 'the end'}"
    if len(one) != len(two):
        return f"{what}; {len(one)} bytes, then {len(two)}"
    differing = sum(a != b for a, b in zip(one, two, strict=True))
    more = f"{what}; {differing} of {len(one)} bytes differ"
    if path.endswith(".pyc") and one[_PYC_HEADER:] == two[_PYC_HEADER:]:
        # PEP 552: flags, then the source's time and size or its hash.
        return f"{more}, in the header: the source's time, size or hash"
    return more
