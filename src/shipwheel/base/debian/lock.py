"""Lock a Debian base: verified indexes → the packages of each platform, by hash. Downloads no package."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from shipwheel.base.debian.closure import Closure, resolve
from shipwheel.base.debian.fetch import Downloader, Wanted, fetch_file, fetch_inrelease
from shipwheel.base.debian.mirrors import Mirrors
from shipwheel.base.debian.packages import PackagesIndex, Stanza
from shipwheel.base.debian.recipe import RECIPE
from shipwheel.base.debian.release import Release, parse_inrelease
from shipwheel.base.debian.suites import ARCHITECTURES, ArchivePin, Suite, pinned_keys, suite_named
from shipwheel.base.model import DebianArchive, DebianBase, DebianPackage, DebianPlatform, Omission
from shipwheel.cache import Cache
from shipwheel.errors import IntegrityError, LockError, TargetError

_FORMS: Final = ("xz", "gz", "")
_UPSTREAM: Final = re.compile(r"(?:\d+:)?(\d+(?:\.\d+)*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianRequest:
    """What to lock: `suite` as `trixie`, platforms as `linux/amd64`, `packages` beside the base's own."""

    suite: str
    platforms: Sequence[str]
    packages: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Archive:
    pin: ArchivePin
    mirror: str
    release: Release
    locked: DebianArchive = field(init=False)

    def __post_init__(self) -> None:
        release = self.release
        locked = DebianArchive(
            name=self.pin.name,
            inrelease=f"sha256:{release.sha256}",
            date=_rfc3339(release.date),
            valid_until=None if release.valid_until is None else _rfc3339(release.valid_until),
            signers=release.signers,
        )
        object.__setattr__(self, "locked", locked)


def lock_debian_base(
    request: DebianRequest,
    *,
    mirrors: Mirrors,
    http: Downloader,
    cache: Cache,
    now: datetime,
    previous: DebianBase | None = None,
    keys: Callable[[ArchivePin], Sequence[bytes]] = pinned_keys,
) -> DebianBase:
    """Return the base that `mirrors` hold now for `request`, every package by hash.

    `previous` is what was locked before: no archive may be older than there. `now` has a time zone.
    Without a security mirror only the main archive is used, and `archives` shows it. Raises
    ProjectError `unknown-suite`; TargetError `unknown-platform`; LockError as `closure.resolve`;
    IntegrityError as `release.parse_inrelease`; NetworkError.
    """
    suite = suite_named(request.suite)
    for platform in request.platforms:
        if platform not in ARCHITECTURES:
            raise TargetError(
                "unknown-platform",
                f"a Debian base is made for {', '.join(ARCHITECTURES)}, not {platform}",
                hint="a base image from a registry may exist for it: [tool.shipwheel.base] image",
            )
    dates = {archive.name: archive.date for archive in previous.archives} if previous else {}
    archives = [
        _open_archive(pin, mirror, http=http, now=now, locked_date=dates.get(pin.name), keys=keys)
        for pin in suite.archives
        if (mirror := mirrors.security if pin.security else mirrors.main)
    ]
    platforms = tuple(
        _lock_platform(suite, platform, request.packages, archives=archives, http=http, cache=cache)
        for platform in sorted(set(request.platforms))
    )
    return DebianBase(
        suite=suite.name,
        recipe=RECIPE,
        archives=tuple(archive.locked for archive in archives),
        platforms=platforms,
    )


def _open_archive(
    pin: ArchivePin,
    mirror: str,
    *,
    http: Downloader,
    now: datetime,
    locked_date: str | None,
    keys: Callable[[ArchivePin], Sequence[bytes]],
) -> _Archive:
    data, place = fetch_inrelease(http, mirror, pin.name)
    not_before = None if locked_date is None else datetime.fromisoformat(locked_date)
    release = parse_inrelease(
        data, codename=pin.name, keys=keys(pin), now=now, not_before=not_before, place=place
    )
    return _Archive(pin, mirror, release)


def _lock_platform(
    suite: Suite,
    platform: str,
    extra: Sequence[str],
    *,
    archives: Sequence[_Archive],
    http: Downloader,
    cache: Cache,
) -> DebianPlatform:
    architecture, _ = ARCHITECTURES[platform]
    with ExitStack() as stack:
        indexes = [
            stack.enter_context(_open_index(archive, architecture, http, cache)) for archive in archives
        ]
        # A package that is asked for by name is not left out.
        omissions = {name: why for name, why in suite.omissions.items() if name not in extra}
        place = f"{suite.name} main {architecture}"
        closure = resolve([*suite.roots, *extra], indexes, omissions, place=place)
    return _platform(suite, platform, architecture, closure, place)


def _platform(suite: Suite, platform: str, architecture: str, closure: Closure, place: str) -> DebianPlatform:
    by_name = {stanza.name: stanza for stanza in closure.packages}
    python = _upstream(by_name[f"python{suite.python}-minimal"], place)
    libc = ".".join(_upstream(by_name["libc6"], place).split(".")[:2])
    for stanza in closure.packages:
        if stanza.architecture not in (architecture, "all"):
            raise IntegrityError(
                "index-malformed", f"{stanza.name} is for {stanza.architecture}", place=place
            )
    return DebianPlatform(
        platform=platform,
        python=python,
        libc=f"glibc {libc}",
        executable=f"/usr/bin/python{suite.python}",
        packages=tuple(_package(stanza) for stanza in closure.packages),
        omissions=_omissions(closure.omitted),
    )


def _open_index(archive: _Archive, architecture: str, http: Downloader, cache: Cache) -> PackagesIndex:
    """Fetch and open the Packages file of component main; the smallest form that is offered."""
    release = archive.release
    plain_path = f"main/binary-{architecture}/Packages"
    place = f"{archive.mirror}/dists/{archive.pin.name}/{plain_path}"
    plain = release.files.get(plain_path)
    for form in _FORMS:
        entry = release.files.get(plain_path + (f".{form}" if form else ""))
        if entry is None or plain is None:
            continue
        below = f"{archive.mirror}/dists/{archive.pin.name}"
        named = f"{below}/{entry.path}"
        # By-Hash: a mirror that is updated meanwhile still has the file our InRelease speaks of.
        by_hash = f"{below}/main/binary-{architecture}/by-hash/SHA256/{entry.sha256}"
        wanted = Wanted(
            what=f"{archive.pin.name}'s {entry.path}",
            sha256=entry.sha256,
            size=entry.size,
            urls=(by_hash, named) if release.by_hash else (named,),
        )
        with fetch_file(http, cache, wanted).open("rb") as file:
            return PackagesIndex(file, archive=archive.pin.name, form=form, size=plain.size, place=place)
    raise LockError(
        "no-packages-file",
        f"{archive.pin.name} has no packages for {architecture}",
        place=place,
        hint="leave this platform out, or use another suite",
    )


def _package(stanza: Stanza) -> DebianPackage:
    return DebianPackage(
        name=stanza.name,
        version=stanza.version,
        architecture=stanza.architecture,
        archive=stanza.archive,
        path=stanza.filename,
        size=stanza.size,
        sha256=stanza.sha256,
        sha1=stanza.sha1,
    )


def _omissions(omitted: Mapping[str, str]) -> tuple[Omission, ...]:
    return tuple(Omission(name=name, reason=reason) for name, reason in omitted.items())


def _upstream(stanza: Stanza, place: str) -> str:
    match = _UPSTREAM.match(stanza.version)
    if match is None:
        raise LockError("bad-version", f"{stanza.name} has the version {stanza.version!r}", place=place)
    return match[1]


def _rfc3339(date: datetime) -> str:
    return date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
