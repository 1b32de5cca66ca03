"""What the pipeline's steps need beside the values they pass on: bases, build systems, bytecode, hints."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from packaging.pylock import PackageDirectory
from packaging.utils import canonicalize_name

from shipwheel.assemble.workshop import Workshop
from shipwheel.base.choose import BaseChoice, choose_base
from shipwheel.base.model import Base, DebianBase, ImageBase
from shipwheel.errors import HostError, NetworkError, TargetError
from shipwheel.lockfile import ShipwheelLock
from shipwheel.locks.model import Selected, Selection
from shipwheel.oci.model import Platform
from shipwheel.plan.base import Footing
from shipwheel.plan.host import host_platform
from shipwheel.plan.model import PlannedBytecode
from shipwheel.project.files import list_files
from shipwheel.project.hints import web_hints
from shipwheel.project.model import Project
from shipwheel.wheel.keys import planned_bytecode_id
from shipwheel.wheel.source import read_member

# Locked together, so that a laptop and a server of another kind share one file.
PLATFORMS = ("linux/amd64", "linux/arm64")


def lock_base(
    choice: BaseChoice, previous: ShipwheelLock | None, wanted: Sequence[Platform], workshop: Workshop
) -> Base:
    """Look `choice` up and pin it by hash, for the platforms `wanted` and whichever else we know.

    Raises NetworkError, IntegrityError, LockError, TargetError, and HostError `no-mirror`.
    """
    workshop.progress.started("base", f"locking {choice.name}")
    if choice.kind == "debian":
        found: Base = _lock_debian(choice, previous, workshop)
    else:
        found = _lock_image(choice, wanted, workshop)
    workshop.progress.finished("base", f"base {choice.name}", note="locked")
    return found


def _lock_debian(choice: BaseChoice, previous: ShipwheelLock | None, workshop: Workshop) -> DebianBase:
    from shipwheel.base.debian.lock import DebianRequest, lock_debian_base

    if workshop.mirrors is None:
        raise HostError(
            "no-mirror",
            "no Debian mirror is known",
            place=choice.source,
            hint="name one: [tool.shipwheel.base] mirror, or SHIPWHEEL_DEBIAN_MIRROR",
        )
    packages = tuple(sorted(workshop.project.settings.base.packages))
    before = previous.base if previous is not None and isinstance(previous.base, DebianBase) else None
    locked = lock_debian_base(
        DebianRequest(suite=choice.name, platforms=PLATFORMS, packages=packages),
        mirrors=workshop.mirrors,
        http=workshop.http,
        cache=workshop.cache,
        now=workshop.now,
        previous=before if before is not None and before.suite == choice.name else None,
    )
    return replace(_with_sha1(locked, workshop), requested=packages)


def _with_sha1(base: DebianBase, workshop: Workshop) -> DebianBase:
    """Return the base with each package's SHA-1, by which an archive of old versions serves files.

    Debian's indexes have not told it for years, so the packages are downloaded (and are there when
    the image is made). Their SHA-256 was checked; this one proves nothing and only finds.
    """
    from shipwheel.base.debian.fetch import fetch_packages

    packages = {package.sha256: package for item in base.platforms for package in item.packages}
    paths = fetch_packages(workshop.http, workshop.cache, base, tuple(packages.values()), workshop.mirrors)
    sha1 = {digest: _sha1(path) for digest, path in paths.items()}
    return replace(
        base,
        platforms=tuple(
            replace(
                item,
                packages=tuple(replace(package, sha1=sha1[package.sha256]) for package in item.packages),
            )
            for item in base.platforms
        ),
    )


def _sha1(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()


def _lock_image(choice: BaseChoice, wanted: Sequence[Platform], workshop: Workshop) -> ImageBase:
    from shipwheel.base.layout import lock_layout_base
    from shipwheel.base.registry import lock_image_base

    def lock_for(platform: Platform) -> ImageBase:
        if choice.kind == "layout":
            return lock_layout_base(choice.name, [platform], workshop.cache, root=workshop.project.root)
        try:
            return lock_image_base(choice.name, [platform], workshop.registry)
        except NetworkError as error:
            # Whoever did not name this image has to be told why it is asked for.
            if choice.because is None:
                raise
            way_out = "name a base that can be had: [tool.shipwheel.base] image or layout"
            raise NetworkError(
                error.code,
                f"the base {choice.name} was chosen since {choice.because}; {error.problems[0].message}",
                place=error.problems[0].place,
                hint="; ".join(filter(None, (error.problems[0].hint, way_out))),
            ) from error

    found = [lock_for(platform) for platform in wanted]
    for other in (Platform.parse(text) for text in PLATFORMS):
        if other not in wanted:
            # Nobody asked for it: an image without it is as good.
            with contextlib.suppress(TargetError):
                found.append(lock_for(other))
    platforms = sorted((item for base in found for item in base.platforms), key=lambda item: item.platform)
    return replace(found[0], platforms=tuple(platforms))


def choose_base_here(workshop: Workshop) -> BaseChoice:
    """Choose the base with what this machine knows of Debian mirrors."""
    return choose_base(workshop.project, mirror_known=workshop.mirrors is not None)


def with_settings(selection: Selection, project: Project) -> Selection:
    """Return the selection with the groups and extras that `[tool.shipwheel]` adds."""
    groups = frozenset(canonicalize_name(name) for name in project.settings.groups)
    extras = frozenset(canonicalize_name(name) for name in project.settings.extras)
    return replace(selection, groups=selection.groups | groups, extras=selection.extras | extras)


def first_party(project: Project, selections: Sequence[Sequence[Selected]]) -> tuple[Project, ...]:
    """Return the projects whose source is here: the project itself, then its path dependencies by folder."""
    folders = {
        (project.root / item.source.path).resolve(): str(item.name)
        for selected in selections
        for item in selected
        if isinstance(item.source, PackageDirectory)
    }
    others = sorted(folder for folder in folders if folder != project.root.resolve())
    return (project, *(read_member(folder, folders[folder]) for folder in others))


def plan_bytecode(project: Project, base: Base, footing: Footing, workshop: Workshop) -> PlannedBytecode:
    """Decide what compiles ahead: the image's own Python where it runs here, or the same version's."""
    version = footing.target.python
    if not project.settings.bytecode:
        return PlannedBytecode(enabled=False, interpreter=None, reason="[tool.shipwheel] bytecode = false")
    here = host_platform()
    locked = {item.platform: item.python for item in base.platforms}
    if here is not None and locked.get(str(here)) == version:
        own = here == footing.target.platform
        reason = f"the image's own CPython {version}" + ("" if own else f", as it is for {here}")
        return PlannedBytecode(enabled=True, interpreter=planned_bytecode_id(version), reason=reason)
    from shipwheel.wheel.interpreter import NoInterpreter, find_interpreter

    found = find_interpreter(version, search_path=workshop.environ.get("PATH", ""))
    if isinstance(found, NoInterpreter):
        return PlannedBytecode(enabled=False, interpreter=None, reason=str(found))
    return PlannedBytecode(
        enabled=True,
        interpreter=planned_bytecode_id(version, host=True),
        reason=f"CPython {version} of this machine ({found.where}): the image's own does not run here",
    )


def project_hints(project: Project, selected: Sequence[Selected]) -> tuple[str, ...]:
    """Return suggestions for how to start a web application, where nothing says what to start."""
    if project.settings.entrypoint is not None or (project.package_mode and len(project.scripts) == 1):
        return ()
    files = list_files(project.root, exclude=("tests/", "test_*.py"))
    return web_hints(project.root, files, {str(item.name) for item in selected})
