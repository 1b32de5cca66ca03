"""Which file of a release a target installs: the best wheel by tag order, else the sdist, else an error that
names what exists. Knows nothing of graphs and groups."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from packaging.pylock import PackageArchive, PackageSdist, PackageWheel

from shipwheel.errors import LockError, Problem, TargetError
from shipwheel.locks.model import DirectSource, KnownByHash, LockedFile, LockedPackage, Selected, Source
from shipwheel.target import Target

# The usual first; .zip sdists are allowed by PyPI for old releases.
_SDISTS = (".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz", ".tar.Z", ".tar")


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen source, the file names left aside, and why."""

    source: Source
    alternatives: tuple[str, ...]
    reason: str


class FileChooser:
    """Chooses files for one target."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._ranks = {str(tag): rank for rank, tag in enumerate(target.tags)}

    def choose(self, package: LockedPackage) -> Choice | Problem:
        """Return the file to install, or the problem that there is none."""
        if package.direct is not None:
            return self._direct(package, package.direct)
        if not package.files and package.hashes:
            return Choice(
                KnownByHash(package.hashes), (), "the lock has hashes only: the index names the files"
            )
        return _unhashed(package) or self._file(package)

    def _file(self, package: LockedPackage) -> Choice | Problem:
        best = self.best_wheel(package.files)
        others = tuple(sorted(file.name for file in package.files if file is not best))
        if best is not None:
            return Choice(to_source(best), others, self._reason(best, package.files))
        sdists = [file for file in package.files if file.name.endswith(_SDISTS)]
        if sdists:
            sdist = min(sdists, key=lambda file: (sdist_rank(file.name), file.name))
            others = tuple(sorted(file.name for file in package.files if file is not sdist))
            wheels = sum(file.name.endswith(".whl") for file in package.files)
            why = f"none of {wheels} wheels fits {self._wanted()}" if wheels else "the release has no wheel"
            return Choice(to_source(sdist), others, f"the source distribution: {why}")
        return self._nothing(package)

    def best_wheel(self, files: Iterable[LockedFile]) -> LockedFile | None:
        """Return the wheel whose tags come first for the target; of equals the highest build number, then name."""
        best: LockedFile | None = None
        best_key: tuple[int, tuple[int, str], str] | None = None
        for file in files:
            if not file.name.endswith(".whl"):
                continue
            rank = self._rank(file.name)
            if rank is None:
                continue
            build = _build_number(file.name)
            key = (rank, (-build[0], build[1]), file.name)
            if best_key is None or key < best_key:
                best, best_key = file, key
        return best

    def _rank(self, filename: str) -> int | None:
        """Return the place of the wheel's best tag in the target's order; None where no tag fits."""
        # PEP 425 compressed tag sets; the parts before may hold no further dash but the build tag's.
        parts = filename[:-4].rsplit("-", 3)
        if len(parts) != 4:
            return None
        _, pythons, abis, platforms = parts
        ranks = [
            rank
            for python in pythons.lower().split(".")
            for abi in abis.lower().split(".")
            for platform in platforms.lower().split(".")
            if (rank := self._ranks.get(f"{python}-{abi}-{platform}")) is not None
        ]
        return min(ranks, default=None)

    def _reason(self, best: LockedFile, files: Sequence[LockedFile]) -> str:
        wheels = [file for file in files if file.name.endswith(".whl")]
        tags = "-".join(best.name[:-4].rsplit("-", 3)[1:])
        if len(wheels) == 1:
            return f"the only wheel: {tags}"
        fitting = sum(self._rank(file.name) is not None for file in wheels)
        return f"best of {fitting} fitting wheels among {len(wheels)}: {tags}"

    def _wanted(self) -> str:
        return f"{self.target.platform} {self.target.libc}, Python {self.target.python_minor}"

    def _direct(self, package: LockedPackage, source: DirectSource) -> Choice | Problem:
        if isinstance(source, PackageArchive) and source.path is None and not source.hashes:
            return Problem(
                code="no-hash",
                message=f"{_title(package)} is locked by address and without a hash",
                place=package.place,
                hint="lock again with a current version of the tool, or use a release from an index",
            )
        kinds = {
            "PackageVcs": "a commit of its repository",
            "PackageDirectory": "a folder",
            "PackageArchive": "a file",
        }
        return Choice(source, (), f"{kinds[type(source).__name__]} named by the lock")

    def _nothing(self, package: LockedPackage) -> Problem:
        names = [file.name[:-4].rsplit("-", 3) for file in package.files if file.name.endswith(".whl")]
        wheels = [parts[1:] for parts in names if len(parts) == 4]
        machine = self.target.platform_tags()
        pythons = {tag.interpreter for tag in self.target.tags} | {tag.abi for tag in self.target.tags}
        own = "cp" + self.target.python_minor.replace(".", "")
        fits_python = sorted(
            {
                platform
                for python, abi, platforms in wheels
                if pythons.intersection(python.split(".")) and pythons.intersection(abi.split("."))
                for platform in platforms.split(".")
            }
        )
        fits_platform = sorted(
            {
                # The right interpreter with another ABI is the free-threaded build, or a debug one.
                f"{python} with {abi}" if python == own else python
                for interpreters, abi, platforms in wheels
                if {"any", *machine}.intersection(platforms.split("."))
                for python in interpreters.split(".")
            },
            key=_natural,
        )
        if fits_platform:
            hint = f"choose a Python that one of these fits: {', '.join(fits_platform)}"
        elif fits_python:
            hint = f"choose a base that one of these fits: {', '.join(fits_python)}"
        else:
            every = sorted({"-".join(parts) for parts in wheels})
            hint = f"what exists: {', '.join(every)}" if every else "there is neither a wheel nor an sdist"
        return Problem(
            code="no-wheel-for-target",
            message=f"{_title(package)} has no wheel for {self._wanted()}, and no source distribution",
            place=package.place,
            hint=hint,
        )


def _unhashed(package: LockedPackage) -> Problem | None:
    if not package.files:
        what, hint = "without any file and hash", "lock again with a current version of the tool"
    # What lies beside the project is the project's own: uv locks files of a local index without hashes.
    elif unhashed := [file.name for file in package.files if not file.hashes and file.path is None]:
        what = f"with a file that has no hash: {unhashed[0]}"
        hint = "use an index that tells hashes, and lock again"
    else:
        return None
    return Problem(
        code="no-hash", message=f"{_title(package)} is locked {what}", place=package.place, hint=hint
    )


def name_file(selected: Selected, files: Iterable[LockedFile], target: Target) -> Selected:
    """Return `selected` with its `KnownByHash` source replaced by the best of the index's `files`.

    Only files with a locked hash count. Raises LockError `hash-not-on-index` where there are none,
    TargetError `no-wheel-for-target` where none fits. Other sources are returned unchanged.
    """
    if not isinstance(selected.source, KnownByHash):
        return selected
    locked = set(selected.source.hashes)
    known = tuple(
        file._replace(hashes={algorithm: digest})
        for file in files
        for algorithm, digest in sorted(file.hashes.items())
        if f"{algorithm}:{digest}" in locked
    )
    if not known:
        raise LockError(
            "hash-not-on-index",
            f"the index has no file of {selected.name} {selected.version} with a locked hash",
            place=selected.place,
        )
    package = LockedPackage(
        name=selected.name, version=str(selected.version), place=selected.place, files=known
    )
    choice = FileChooser(target).choose(package)
    if isinstance(choice, Problem):
        raise TargetError.of([choice])
    return replace(selected, source=choice.source, alternatives=choice.alternatives, reason=choice.reason)


def to_source(file: LockedFile) -> PackageWheel | PackageSdist:
    """Return the PEP 751 value of a locked file."""
    kind = PackageWheel if file.name.endswith(".whl") else PackageSdist
    return kind(
        name=file.name,
        upload_time=file.upload_time,
        url=file.url,
        path=file.path,
        size=file.size,
        hashes=dict(file.hashes),
    )


def _build_number(filename: str) -> tuple[int, str]:
    parts = filename[:-4].split("-")
    # name-version-build-python-abi-platform
    match = re.match(r"(\d+)(.*)", parts[2]) if len(parts) == 6 else None
    return (int(match[1]), match[2]) if match else (-1, "")


def sdist_rank(filename: str) -> int:
    """Return the place of an sdist's file name in the order of preference, the usual .tar.gz first."""
    return next((rank for rank, suffix in enumerate(_SDISTS) if filename.endswith(suffix)), len(_SDISTS))


def _natural(text: str) -> tuple[int | str, ...]:
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text))


def _title(package: LockedPackage) -> str:
    return f"{package.name} {package.version}" if package.version else str(package.name)
