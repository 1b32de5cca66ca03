"""What we know of each Debian release: its Python, the packages wanted, those left out, who signs it.

Data alone; nothing here reads a file except `pinned_keys`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from shipwheel.errors import ProjectError

DEFAULT_SUITE: Final = "trixie"

# OCI platform → Debian's architecture and the multiarch triplet of its library folders.
ARCHITECTURES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {"linux/amd64": ("amd64", "x86_64-linux-gnu"), "linux/arm64": ("arm64", "aarch64-linux-gnu")}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivePin:
    """One signed index: its codename (`trixie-security`) and the files of the keys that may sign it."""

    name: str
    keys: tuple[str, ...]
    security: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A Debian release: `python` as `3.13`, root packages, packages left out with the reason."""

    name: str
    python: str
    roots: tuple[str, ...]
    omissions: Mapping[str, str]
    archives: tuple[ArchivePin, ...]


_ROOTS: Final = (
    "base-files",
    "ca-certificates",
    "libc-bin",  # the locale C.UTF-8, and ldconfig for ctypes.util.find_library
    "libc6",
    "libgcc-s1",
    "libstdc++6",  # about half of the popular wheels with compiled code need it
    "media-types",  # the mimetypes module's table
    "netbase",  # /etc/protocols and /etc/services for the socket module
    "tzdata",
    "zlib1g",
)
_OMISSIONS: Final = {
    "awk": "base-files wants it for a maintainer script that does not run in an image",
    "debconf": "asks questions when packages are installed; nothing is installed in the image",
    "openssl": "the command; ca-certificates wants it to hash links, the bundle needs none",
    "openssl-provider-legacy": "old ciphers (RC4, DES, MD4); no application should depend on them",
    "readline-common": "documentation and /etc/inputrc of interactive editing",
}


_NIS: Final = "only Python's deprecated nis module uses it (gone in 3.13); saves nine packages"


def _suite(
    name: str,
    python: str,
    *archives: ArchivePin,
    more: tuple[str, ...] = (),
    less: Mapping[str, str] = MappingProxyType({}),
) -> Suite:
    roots = (*_ROOTS, *more, f"python{python}-minimal", f"libpython{python}-stdlib")
    return Suite(
        name=name,
        python=python,
        roots=tuple(sorted(roots)),
        omissions=MappingProxyType({**_OMISSIONS, **less}),
        archives=archives,
    )


_12_13: Final = ("bookworm-automatic", "trixie-automatic")
_SECURITY_12_13: Final = ("bookworm-security-automatic", "trixie-security-automatic")
SUITES: Final[Mapping[str, Suite]] = MappingProxyType(
    {
        "bookworm": _suite(
            "bookworm",
            "3.11",
            ArchivePin(name="bookworm", keys=(*_12_13, "bookworm-stable")),
            ArchivePin(
                name="bookworm-security",
                keys=("bullseye-security-automatic", "bookworm-security-automatic"),
                security=True,
            ),
            less={"libnsl2": _NIS, "libtirpc3": _NIS},
        ),
        "trixie": _suite(
            "trixie",
            "3.13",
            ArchivePin(name="trixie", keys=(*_12_13, "trixie-stable")),
            ArchivePin(name="trixie-security", keys=_SECURITY_12_13, security=True),
            more=("tzdata-legacy",),  # names such as US/Eastern
        ),
        # Debian testing: moves every day and its index expires after a week; for those who ask for it.
        "forky": _suite(
            "forky",
            "3.14",
            ArchivePin(name="forky", keys=_12_13),
            ArchivePin(name="forky-security", keys=_SECURITY_12_13, security=True),
            more=("tzdata-legacy",),
        ),
    }
)


def suite_named(name: str) -> Suite:
    """Return the suite called `name`; raises ProjectError `unknown-suite`."""
    try:
        return SUITES[name]
    except KeyError:
        raise ProjectError(
            "unknown-suite", f"no Debian release that is known: {name!r}", hint=f"one of {', '.join(SUITES)}"
        ) from None


def suite_for_python(python: str) -> Suite | None:
    """Return the stable suite with Python `python` (`3.13`), or None: the base must then be an image."""
    for suite in SUITES.values():
        if suite.python == python:
            return suite
    return None


def pinned_keys(pin: ArchivePin) -> tuple[bytes, ...]:
    """Return the certificates that may sign `pin`'s index (OpenPGP, RFC 4880, binary).

    The files hold the key packets of Debian's archive keys with the keys' own binding signatures
    and nothing of third parties.
    """
    from importlib import resources

    folder = resources.files("shipwheel.base.debian") / "keys"
    return tuple((folder / f"{name}.pgp").read_bytes() for name in pin.keys)
