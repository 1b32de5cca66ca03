"""What a lock wants of one file: its name, its hashes that prove something, and where the lock says it is.

Reads PEP 751 sources as `locks` gives them. Fetches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from packaging.pylock import PackageArchive, PackageSdist, PackageWheel

from shipwheel.errors import IntegrityError, Problem
from shipwheel.locks.model import Selected

# Best first. pip's and uv's minimum, with what else hashlib guarantees; md5 and sha1 prove nothing.
STRONG: Final = (
    "sha256",
    "sha512",
    "sha384",
    "sha3_512",
    "sha3_384",
    "sha3_256",
    "blake2b",
    "blake2s",
    "sha224",
    "sha3_224",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One locked file. `hashes` are strong ones alone (lower-case hex by hashlib's name), at least one.

    `url`, `path` (relative to the lock's folder) and `size` (bytes) are the lock's, where it has them.
    `direct`: it comes from its own address or path, and from no index.
    """

    selected: Selected
    filename: str
    url: str | None
    path: str | None
    size: int | None
    hashes: Mapping[str, str]
    direct: bool

    @classmethod
    def of(cls, selected: Selected) -> Wanted:
        """Read `selected`; raises IntegrityError `unhashed-file`, `weak-hash` (only md5 or sha1)."""
        source = selected.source
        if not isinstance(source, PackageWheel | PackageSdist | PackageArchive):
            kind = type(source).__name__.removeprefix("Package").lower()
            raise IntegrityError(
                "unhashed-file", f"{selected.name} is locked as {kind}, not as a file", place=selected.place
            )
        filename = _filename(source, selected)
        return cls(
            selected=selected,
            filename=filename,
            url=source.url,
            path=source.path,
            size=source.size,
            hashes=_strong(source.hashes, filename, selected.place),
            direct=isinstance(source, PackageArchive),
        )

    @property
    def algorithm(self) -> str:
        """The hash under which the cache keeps the file."""
        return next(name for name in STRONG if name in self.hashes)

    @property
    def digest(self) -> str:
        """The hex of that hash."""
        return self.hashes[self.algorithm]

    @property
    def key(self) -> str:
        """`algorithm:hex` of that hash: the file's identity."""
        return f"{self.algorithm}:{self.digest}"

    def contradicts(self, claims: Mapping[str, str]) -> bool:
        """Tell whether `claims` (hashes by algorithm) are of another file."""
        return any(self.hashes.get(name, value) != value for name, value in claims.items())


def all_wanted(selected: Sequence[Selected]) -> tuple[Wanted, ...]:
    """Return what is wanted of each; raises IntegrityError with the problems of all."""
    wanted: list[Wanted] = []
    problems: list[Problem] = []
    for each in selected:
        try:
            wanted.append(Wanted.of(each))
        except IntegrityError as error:
            problems += error.problems
    if problems:
        raise IntegrityError.of(problems)
    return tuple(wanted)


def _filename(source: PackageWheel | PackageSdist | PackageArchive, selected: Selected) -> str:
    if not isinstance(source, PackageArchive) and source.name is not None:
        return source.name
    where = source.path or unquote(urlsplit(source.url or "").path)
    return PurePosixPath(where.replace("\\", "/")).name or selected.name


def _strong(given: Mapping[str, str], filename: str, place: str) -> dict[str, str]:
    hashes = {name.lower(): value.lower() for name, value in given.items()}
    strong: dict[str, str] = {name: hashes[name] for name in STRONG if name in hashes}
    if strong:
        return strong
    if hashes:
        raise IntegrityError(
            "weak-hash",
            f"{filename} is locked with {', '.join(sorted(hashes))} alone, which proves nothing",
            place=place,
            hint="lock again with a tool that writes sha256",
        )
    raise IntegrityError(
        "unhashed-file",
        f"{filename} has no locked hash",
        place=place,
        hint="lock again with hashes: poetry lock, uv lock, pip-compile --generate-hashes",
    )
