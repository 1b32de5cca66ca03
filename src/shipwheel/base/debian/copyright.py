"""Debian's machine-readable copyright files (copyright-format 1.0) → SPDX expressions, where that is sure.

Debian's short names say other things than SPDX's in places ("MIT" is any of a dozen texts, and whoever packs
may make names up), so that what is not in the table stays a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from types import MappingProxyType
from typing import Final

_FORMAT: Final = re.compile(
    r"https?://www\.debian\.org/doc/(?:packaging-manuals/)?copyright-format/1\.0/?", re.IGNORECASE
)
# copyright-format 1.0, "License short names": those whose text is one text.
_PLAIN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "apache-1.0": "Apache-1.0",
        "apache-1.1": "Apache-1.1",
        "apache-2": "Apache-2.0",
        "artistic-1": "Artistic-1.0",
        "artistic-2": "Artistic-2.0",
        "bsd-2-clause": "BSD-2-Clause",
        "bsd-3-clause": "BSD-3-Clause",
        "bsd-4-clause": "BSD-4-Clause",
        "cc0": "CC0-1.0",
        "cc0-1": "CC0-1.0",
        "expat": "MIT",
        "isc": "ISC",
        "mpl-1": "MPL-1.0",
        "mpl-1.1": "MPL-1.1",
        "mpl-2": "MPL-2.0",
        "w3c": "W3C",
        "zlib": "Zlib",
        "zope-1.1": "ZPL-1.1",
        "zope-2": "ZPL-2.0",
        "zope-2.1": "ZPL-2.1",
    }
)
# Families with "or any later version", written `+`: the versions that SPDX knows.
_FAMILIES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "GPL": frozenset({"1.0", "2.0", "3.0"}),
        "LGPL": frozenset({"2.0", "2.1", "3.0"}),
        "AGPL": frozenset({"1.0", "3.0"}),
        "GFDL": frozenset({"1.1", "1.2", "1.3"}),
    }
)
_FAMILY: Final = re.compile(r"(?P<name>A?GPL|LGPL|GFDL)(?P<niv>-NIV)?-(?P<version>\d(?:\.\d)*)(?P<later>\+?)")
# Longer than this it is the text itself, where the name should be.
_MAX_NAME: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Licences:
    """What a package's files are under: an SPDX `expression` where every part is sure, else `names`.

    `names` are sorted; one that is sure is SPDX's.
    """

    expression: str | None = None
    names: tuple[str, ...] = ()


def read_copyright(text: str) -> Licences:
    """Return what the file says of the package as a whole; nothing where it is not in the format."""
    paragraphs = [
        HeaderParser().parsestr(part.lstrip("\n")) for part in re.split(r"\n[ \t]*\n", text.strip())
    ]
    if not paragraphs or _FORMAT.fullmatch((paragraphs[0]["Format"] or "").strip()) is None:
        return Licences()
    stated = {
        " ".join((paragraph["License"] or "").splitlines()[0].split())
        for paragraph in paragraphs[1:]
        if paragraph["Files"] and (paragraph["License"] or "").strip()
    }
    named = {name for name in stated if name and len(name) <= _MAX_NAME}
    expressions = {name: to_spdx(name) for name in named}
    sure = [found for found in expressions.values() if found is not None]
    if sure and len(sure) == len(stated):
        parts = sorted({_grouped(found, alone=len(set(sure)) == 1) for found in sure})
        return Licences(expression=" AND ".join(parts))
    return Licences(names=tuple(sorted({found or name for name, found in expressions.items()})))


def to_spdx(name: str) -> str | None:
    """Return the SPDX expression for what stands after `License:`, None where that is not sure.

    "and" binds stronger than "or", as in SPDX; a comma, which turns that round, is not looked into.
    """
    words = name.split()
    if len(words) % 2 == 0 or any(word.lower() not in ("and", "or") for word in words[1::2]):
        return None
    found = list(_translated(words))
    return None if None in found else " ".join(word for word in found if word is not None)


def _translated(words: list[str]) -> Iterator[str | None]:
    for at, word in enumerate(words):
        yield word.upper() if at % 2 else _single(word)


def _single(word: str) -> str | None:
    # "Trailing dot-zeroes are considered to be equal to plainer versions."
    plain = re.sub(r"(?:\.0)+$", "", word.lower())
    if plain in _PLAIN or word.lower() in _PLAIN:
        return _PLAIN.get(word.lower()) or _PLAIN[plain]
    match = _FAMILY.fullmatch(word)
    if match is None:
        return None
    version = match["version"] if "." in match["version"] else f"{match['version']}.0"
    version = re.sub(r"(\.\d)(?:\.0)+$", r"\1", version)
    if version not in _FAMILIES[match["name"]] or (match["niv"] and match["name"] != "GFDL"):
        return None
    middle = "-no-invariants" if match["niv"] else ""
    return f"{match['name']}-{version}{middle}-{'or-later' if match['later'] else 'only'}"


def _grouped(expression: str, *, alone: bool) -> str:
    return f"({expression})" if " OR " in expression and not alone else expression
