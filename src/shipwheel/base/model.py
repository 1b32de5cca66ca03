"""What `shipwheel.lock` says of a base. Plain frozen values; `lockfile` reads and writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianArchive:
    """One signed index that packages were taken from, as `trixie` or `trixie-security`.

    `inrelease` is `sha256:<hex>` of the InRelease file; `date` and `valid_until` are RFC 3339;
    `signers` are the fingerprints of the primary keys whose signatures were good.
    """

    name: str
    inrelease: str
    date: str
    valid_until: str | None = None
    signers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianPackage:
    """One binary package: `path` is its Filename in the archive's pool, `size` in bytes."""

    name: str
    version: str
    architecture: str
    archive: str
    path: str
    size: int
    sha256: str
    sha1: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Omission:
    """A package that the closure asks for and that is left out, with the reason."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianPlatform:
    """The packages for one platform (`linux/amd64`) in the order they are unpacked."""

    platform: str
    python: str
    libc: str
    executable: str
    packages: tuple[DebianPackage, ...]
    omissions: tuple[Omission, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianBase:
    """A base assembled from Debian packages. `recipe` names the version of the assembling rules.

    `requested` are the packages that the configuration asks for beyond Python's own needs, sorted.
    """

    suite: str
    recipe: str
    archives: tuple[DebianArchive, ...]
    platforms: tuple[DebianPlatform, ...]
    requested: tuple[str, ...] = ()
    kind: Literal["debian"] = "debian"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseLayer:
    """One layer of a base image: its blob's digest and size, and the digest of its tar."""

    media_type: str
    digest: str
    size: int
    diff_id: str
    created_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlatform:
    """A base image for one platform: manifest digest, what is in it, and its layers bottom-up.

    `env` is the base's own environment as `NAME=value` in order.
    """

    platform: str
    digest: str
    python: str
    libc: str
    executable: str
    layers: tuple[BaseLayer, ...]
    env: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBase:
    """A base that is an image: `reference` as configured (a registry's name, or a layout's path)."""

    kind: Literal["registry", "layout"]
    reference: str
    digest: str
    platforms: tuple[ImagePlatform, ...]


Base = DebianBase | ImageBase
