"""Where well-known registries differ from the distribution specification. The one table of names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """How to talk to one registry.

    `api_host` answers in place of the name in references; `credential_keys` are what configuration
    files call it, most specific first; `mounts` tells whether mounting another repository's blob is
    worth a request.
    """

    api_host: str | None = None
    credential_keys: Sequence[str] = ()
    mounts: bool = True


_DEFAULT: Final = Quirks()
# Docker's default registry is named one way, served by another host, and signed in to under a third.
_DOCKER: Final = Quirks(
    api_host="registry-1.docker.io",
    credential_keys=("https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"),
)
_BY_NAME: Final = {"docker.io": _DOCKER, "index.docker.io": _DOCKER}

# GitHub Actions gives each job a token for the registry of GitHub and for nothing else.
GITHUB_REGISTRY: Final = "ghcr.io"


def quirks_of(registry: str) -> Quirks:
    """Return how to talk to `registry`, the name as references have it."""
    return _BY_NAME.get(registry, _DEFAULT)


def credential_keys(registry: str) -> Sequence[str]:
    """Return the keys that configuration files may have `registry` under, most specific first."""
    return quirks_of(registry).credential_keys or (registry,)
