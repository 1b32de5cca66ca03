"""Regions that stay the user's own, the header that tells a hand edit, and quoting. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import Final

_OWN: Final = re.compile(
    r"^(?P<open>[ ]*(?:#|//) <own (?P<name>[\w-]+)>.*\n)(?P<body>(?:.*\n)*?)(?P<close>[ ]*(?:#|//) </own>.*\n)",
    re.MULTILINE,
)
_SEAL: Final = re.compile(r"^(?:#|//) sealed (?P<hash>[0-9a-f]{16})\n", re.MULTILINE)
EXPLAINED: Final = (
    "Written by `shipwheel init`; it needs no shipwheel. Lines between <own …> and </own> are yours: they are",
    "kept when the file is written again. `shipwheel init --check` tells when the rest no longer fits the project.",
)


def own_region(name: str, indent: str = "", comment: str = "#") -> list[str]:
    """Return the lines of an empty region that belongs to the user."""
    return [f"{indent}{comment} <own {name}>", f"{indent}{comment} </own>"]


def own_regions(text: str) -> dict[str, str]:
    """Return what the user wrote into each region of `text`, empty ones left out."""
    return {match["name"]: match["body"] for match in _OWN.finditer(text) if match["body"].strip()}


def with_own(text: str, regions: dict[str, str]) -> str:
    """Return `text` with each region's content put in; regions that `text` has not are lost."""
    return _OWN.sub(
        lambda match: f"{match['open']}{regions.get(match['name'], match['body'])}{match['close']}", text
    )


def lost_regions(text: str, regions: dict[str, str]) -> list[str]:
    """Return the names of regions that have content and no place in `text`."""
    return sorted(set(regions) - {match["name"] for match in _OWN.finditer(text)})


def seal(body: str, comment: str = "#") -> str:
    """Return the file: header, and a hash of all that is not the user's own."""
    head = "".join(f"{comment} {line}\n" for line in EXPLAINED)
    return f"{head}{comment} sealed {_hash(body)}\n{body}"


def is_sealed(text: str) -> bool:
    """Tell whether `text` was written by us, hand-edited or not."""
    return _SEAL.search(text[:1000]) is not None


def is_untouched(text: str) -> bool:
    """Tell whether `text` is as we wrote it but for the user's own regions."""
    match = _SEAL.search(text[:1000])
    return match is not None and match["hash"] == _hash(text[match.end() :])


def shell_quote(line: str) -> str:
    """Return `line` in single quotes for a POSIX shell."""
    return "'" + line.replace("'", "'\\''") + "'"


def _hash(body: str) -> str:
    plain = _OWN.sub(lambda match: match["open"] + match["close"], body)
    return hashlib.sha256(plain.encode()).hexdigest()[:16]
