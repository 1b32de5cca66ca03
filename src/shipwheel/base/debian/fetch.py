"""Bring signed indexes and locked packages here: from the cache, a mirror, or a snapshot service.

Whatever is returned has the size and SHA-256 that was signed or locked. Reads no package.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from shipwheel.base.debian.mirrors import Mirrors
from shipwheel.base.model import DebianArchive, DebianBase, DebianPackage
from shipwheel.cache import Cache
from shipwheel.errors import IntegrityError, NetworkError, Problem
from shipwheel.net import Download, Response, redact

_JOBS: Final = 6
# An InRelease file of a full release is 150 kB.
_MAX_INRELEASE: Final = 16 * 1024 * 1024


class Downloader(Protocol):
    """What is asked of `shipwheel.net.Http`."""

    def get(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        max_bytes: int = ...,
        allow_http: bool = ...,
    ) -> Response:
        """Fetch a small body."""
        ...

    def download(
        self,
        url: str,
        file: BinaryIO,
        *,
        size: int | None = None,
        algorithms: Collection[str] = ...,
        progress: Callable[[int], None] | None = None,
        allow_http: bool = ...,
    ) -> Download:
        """Stream a body into a file and hash it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file by its SHA-256 and size, what to call it, and where it may be, best address first."""

    what: str
    sha256: str
    size: int
    urls: tuple[str, ...]


def fetch_inrelease(http: Downloader, mirror: str, archive: str) -> tuple[bytes, str]:
    """Return the InRelease file of `archive` and its address. It is not verified here."""
    url = f"{mirror}/dists/{archive}/InRelease"
    # Plain http will do: the signature speaks for the bytes (as it does for apt).
    return http.get(url, max_bytes=_MAX_INRELEASE, allow_http=True).body, redact(url)


def fetch_file(
    http: Downloader, cache: Cache, wanted: Wanted, *, progress: Callable[[int], None] | None = None
) -> Path:
    """Return the cached file `wanted`, downloaded from the first of its addresses that has it.

    Raises IntegrityError `wrong-hash`, or NetworkError `not-on-mirror` with what each address said.
    """
    cached = cache.file("sha256", wanted.sha256)
    if cached is not None and cached.stat().st_size == wanted.size:
        return cached
    problems: list[Problem] = []
    mismatch = False
    for url in wanted.urls:
        try:
            with cache.staging() as (staged, file):
                got = http.download(
                    url, file, size=wanted.size, algorithms=("sha256",), progress=progress, allow_http=True
                )
                if got.digests["sha256"] == wanted.sha256:
                    file.close()
                    return cache.add_file(staged, "sha256", wanted.sha256)
        except NetworkError as error:
            problems += error.problems
            continue
        mismatch = True
        problems.append(
            Problem(
                code="wrong-hash",
                message=f"{wanted.what}: SHA-256 is {got.digests['sha256']}, not {wanted.sha256}",
                place=redact(url),
                hint="the mirror is being updated, or somebody changes what you receive: try another mirror",
            )
        )
    if mismatch:
        raise IntegrityError.of(problems)
    first = Problem(
        code="not-on-mirror",
        message=f"{wanted.what} cannot be fetched from any of {len(wanted.urls)} address(es)",
        place=redact(wanted.urls[0]) if wanted.urls else None,
        hint="mirrors drop superseded packages: `shipwheel lock` takes the current ones,"
        " a snapshot mirror (SHIPWHEEL_DEBIAN_SNAPSHOT) keeps the old ones",
    )
    raise NetworkError.of([first, *problems])


def fetch_packages(
    http: Downloader,
    cache: Cache,
    base: DebianBase,
    packages: Sequence[DebianPackage],
    mirrors: Mirrors | None,
    *,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Path]:
    """Return the path of each package by its SHA-256, several downloads at a time.

    With `mirrors` None only the cache serves. Raises as `fetch_file`, for all packages that fail.
    """
    archives = {archive.name: archive for archive in base.archives}
    todo = [_wanted(package, archives, mirrors) for package in packages]
    problems: list[Problem] = []
    integrity = False
    paths: dict[str, Path] = {}
    with ThreadPoolExecutor(max_workers=_JOBS) as pool:
        futures = [(item, pool.submit(fetch_file, http, cache, item, progress=progress)) for item in todo]
        for item, future in futures:
            try:
                paths[item.sha256] = future.result()
            except (NetworkError, IntegrityError) as error:
                problems += error.problems
                integrity = integrity or isinstance(error, IntegrityError)
    if problems:
        raise (IntegrityError if integrity else NetworkError).of(problems)
    return paths


def _wanted(package: DebianPackage, archives: Mapping[str, DebianArchive], mirrors: Mirrors | None) -> Wanted:
    urls: list[str] = []
    if mirrors is not None:
        bases = [mirrors.main, mirrors.security]
        security = package.archive.endswith("-security")
        urls = [f"{base}/{package.path}" for base in (reversed(bases) if security else bases) if base]
        if mirrors.snapshot:
            if package.sha1:
                urls.append(f"{mirrors.snapshot}/file/{package.sha1}")
            archive = archives.get(package.archive)
            if archive is not None:
                time = archive.date.replace("-", "").replace(":", "")  # 20260912T075541Z
                name = "debian-security" if security else "debian"
                urls.append(f"{mirrors.snapshot}/archive/{name}/{time}/{package.path}")
    what = f"{package.name} {package.version} {package.architecture}"
    return Wanted(what=what, sha256=package.sha256, size=package.size, urls=tuple(urls))
