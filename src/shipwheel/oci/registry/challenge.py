"""Parse `WWW-Authenticate` (RFC 9110 section 11) and the scopes of distribution's token authentication."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(
    rf"\s*(?P<name>{_WORD})\s*=\s*(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<plain>{_WORD}))\s*(?=,|$)",
    re.DOTALL,
)
_SCHEME: Final = re.compile(rf"\s*(?P<scheme>{_WORD})(?:\s+|(?=,)|$)")
_TOKEN68: Final = re.compile(r"\s*[A-Za-z0-9._~+/-]+=*\s*(?=,|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One challenge: `scheme` in lower case, parameters by lower-case name."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Parse the value of one or more `WWW-Authenticate` headers joined by commas.

    What cannot be read is left out: a challenge that we do not understand is one that we cannot meet.
    """
    found: list[tuple[str, dict[str, str]]] = []
    at = 0
    while at < len(header):
        # A comma parts both parameters and challenges: what has no "=" begins a challenge.
        parameter = _PARAMETER.match(header, at)
        if parameter is not None and found:
            value = parameter["plain"]
            if value is None:
                value = re.sub(r"\\(.)", r"\1", parameter["quoted"], flags=re.DOTALL)
            # RFC 9110 section 11.2: a name occurs once; the first is the one that counts.
            found[-1][1].setdefault(parameter["name"].lower(), value)
            at = _after_comma(header, parameter.end())
            continue
        scheme = _SCHEME.match(header, at)
        if scheme is None:
            at = _after_comma(header, at)
            continue
        found.append((scheme["scheme"].lower(), {}))
        at = scheme.end()
        token68 = _TOKEN68.match(header, at)
        if token68 is not None and _PARAMETER.match(header, at) is None and _SCHEME.match(header, at) is None:
            at = token68.end()
        if header[at : at + 1] == ",":
            at += 1
    return tuple(Challenge(scheme=scheme, parameters=parameters) for scheme, parameters in found)


def _after_comma(header: str, at: int) -> int:
    comma = header.find(",", at)
    return len(header) if comma < 0 else comma + 1


def scope(repository: str, *actions: str) -> str:
    """Return the scope (distribution, "Token Scope") that allows `actions` on `repository`."""
    return f"repository:{repository}:{','.join(sorted(actions))}"


def merge_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return `scopes` with one entry a resource, sorted: equal rights, equal value."""
    merged: dict[str, set[str]] = {}
    for item in scopes:
        resource, _, actions = item.rpartition(":")
        if resource:
            merged.setdefault(resource, set()).update(filter(None, actions.split(",")))
    return tuple(f"{resource}:{','.join(sorted(actions))}" for resource, actions in sorted(merged.items()))
