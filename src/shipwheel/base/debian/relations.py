"""Debian versions and relationship fields (Debian Policy 5.6.12 and 7.1). Looks nothing up."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from shipwheel.errors import LockError

_Order = tuple[tuple[tuple[int, ...], int], ...]
_PARTS: Final = re.compile(r"([^0-9]*)([0-9]*)")
_RELATION: Final = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9+.-]*)(?::(?P<qualifier>[a-z0-9-]+))?"
    r"(?:\s*\(\s*(?P<operator><<|<=|=|>=|>>|<|>)\s*(?P<version>[^\s)]+)\s*\))?"
)
# Policy 7.1: the deprecated `<` and `>` mean "or equal".
_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<<": operator.lt,
    "<": operator.le,
    "<=": operator.le,
    "=": operator.eq,
    ">=": operator.ge,
    ">": operator.ge,
    ">>": operator.gt,
}


@functools.lru_cache(maxsize=4096)
def version_key(version: str) -> tuple[int, _Order, _Order]:
    """Return a key that sorts as Policy 5.6.12 orders versions: epoch, upstream version, revision."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    if not epoch.isdecimal() or not upstream:
        raise LockError("bad-version", f"not a Debian version: {version[:80]!r}")
    return int(epoch), _order(upstream), _order(revision)


def _order(text: str) -> _Order:
    parts = [(_weights(letters), int(digits or "0")) for letters, digits in _PARTS.findall(text)]
    end = ((0,), 0)
    while parts and parts[-1] == end:
        parts.pop()
    # The end of a part sorts before anything but `~`; so does an absent revision, which equals `0`, and
    # that has to be told after its number: `0~` is before `0`.
    return (*(parts or [end]), end)


def _weights(letters: str) -> tuple[int, ...]:
    return (*(-1 if c == "~" else ord(c) if c.isalpha() else ord(c) + 256 for c in letters), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """One package relationship, as `libc6:any (>= 2.38)`; `operator` is empty when any version does."""

    name: str
    qualifier: str = ""
    operator: str = ""
    version: str = ""

    def allows(self, version: str) -> bool:
        """Tell whether a package of `version` satisfies this relationship's version restriction."""
        if not self.operator:
            return True
        return _OPERATORS[self.operator](version_key(version), version_key(self.version))

    def __str__(self) -> str:
        qualifier = f":{self.qualifier}" if self.qualifier else ""
        return self.name + qualifier + (f" ({self.operator} {self.version})" if self.operator else "")


# Alternatives in their order of preference; one of them is enough.
Alternatives = tuple[Relation, ...]


def parse_relations(text: str) -> tuple[Alternatives, ...]:
    """Parse a field such as Depends or Provides; raises LockError `bad-relation`."""
    return tuple(
        tuple(_parse_relation(item.strip()) for item in group.split("|"))
        for group in text.split(",")
        if group.strip()
    )


def _parse_relation(text: str) -> Relation:
    match = _RELATION.fullmatch(text)
    if match is None:
        raise LockError("bad-relation", f"not a package relationship: {text[:120]!r}")
    return Relation(
        name=match["name"],
        qualifier=match["qualifier"] or "",
        operator=match["operator"] or "",
        version=match["version"] or "",
    )
