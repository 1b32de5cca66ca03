"""Make a `BuildPlan` out of what was read. Pure: equal arguments, equal plan.

Every value says where it comes from; what is inferred is inferred here and nowhere else.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from packaging.pylock import PackageArchive, PackageDirectory, PackageSdist, PackageVcs, PackageWheel
from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.base.model import Base, DebianBase, ImageBase
from shipwheel.errors import ProjectError
from shipwheel.locks.model import LockInfo, Selected
from shipwheel.oci.layer import RECIPE as LAYER_RECIPE
from shipwheel.plan.base import Footing, footing_key
from shipwheel.plan.layering import spread_wheels
from shipwheel.plan.model import (
    BuildPlan,
    LayerPlan,
    PlannedBase,
    PlannedBytecode,
    PlannedPaths,
    PlannedPython,
    PlannedSlim,
    PlannedUser,
    PlannedWheel,
    Setting,
    Words,
)
from shipwheel.project.model import Project
from shipwheel.project.settings import Settings, SlimOption, SlimSettings, UserSettings
from shipwheel.target import Target
from shipwheel.wheel.keys import wheel_layer_key
from shipwheel.wheel.origin import archive_name, direct_url

DEFAULT: Final = "default"
# They change when the same plan would give other bytes (`assemble.skeleton`, `wheel.bytecode`).
SKELETON_RECIPE: Final = f"skeleton/1+{LAYER_RECIPE}"
BYTECODE_RECIPE: Final = f"stdlib-bytecode/1+{LAYER_RECIPE}"
_SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Opencontainers annotation keys (image-spec annotations.md) for PyPA's well-known URL labels.
_URL_LABELS: Final = {
    "homepage": "url",
    "repository": "source",
    "source": "source",
    "sourcecode": "source",
    "github": "source",
    "documentation": "documentation",
    "docs": "documentation",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBuild:
    """A wheel that will be built: `id` (`sha256:<hex>`) names it beforehand; `native`: it is compiled."""

    id: str
    native: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a plan is made of: the project, its lock and what was selected from it, and the base.

    `footing` is the base for the plan's platform (`plan.base`); `sizes` maps `sha256:<hex>` to bytes;
    `builds` are the selected that are no wheels yet.
    """

    project: Project
    lock: LockInfo
    selected: Sequence[Selected]
    base: Base
    base_source: str
    footing: Footing
    epoch: int
    bytecode: PlannedBytecode
    sizes: Mapping[str, int] = field(default_factory=dict)
    builds: Mapping[NormalizedName, PlannedBuild] = field(default_factory=dict)
    hints: Sequence[str] = ()
    git_labels: Mapping[str, str] = field(default_factory=dict)


def plan_image(inputs: Inputs) -> BuildPlan:
    """Return the plan; raises ProjectError `several-scripts` when no single entry point is meant."""
    project, settings, target = inputs.project, inputs.project.settings, inputs.footing.target
    paths = plan_paths(settings, target)
    entrypoint, entry_hints = plan_entrypoint(project, paths)
    user = plan_user(settings.user)
    return BuildPlan(
        project=project.title,
        version=project.version,
        mode="wheel" if project.package_mode else "source",
        platform=str(target.platform),
        lock=f"{inputs.lock.path.name} ({inputs.lock.kind} {inputs.lock.lock_version})",
        epoch=inputs.epoch,
        base=_plan_base(inputs.base, target, inputs.base_source),
        python=PlannedPython(
            version=target.python,
            libc=str(target.libc),
            executable=inputs.footing.executable,
            source=_configured(settings.python, "python") if settings.python else inputs.base_source,
        ),
        user=user,
        paths=paths,
        entrypoint=entrypoint,
        cmd=Words(value=settings.cmd, source=_configured(settings.cmd, "cmd")),
        env=_plan_env(inputs, paths, user),
        labels=_plan_labels(inputs),
        ports=Words(value=settings.ports or None, source=_configured(settings.ports, "ports")),
        volumes=Words(value=settings.volumes or None, source=_configured(settings.volumes, "volumes")),
        stop_signal=settings.stop_signal,
        bytecode=inputs.bytecode,
        layers=_plan_layers(inputs, paths, user),
        hints=(*entry_hints, *inputs.hints, *_slim_hints(inputs)),
        slim=plan_slim(settings.slim),
    )


def plan_paths(settings: Settings, target: Target) -> PlannedPaths:
    """Return the paths: the venv is in the working folder, as `<workdir>/.venv`."""
    workdir = posixpath.normpath(settings.workdir)
    venv = posixpath.join(workdir, ".venv")
    return PlannedPaths(
        workdir=workdir,
        venv=venv,
        site_packages=f"{venv}/lib/python{target.python_minor}/site-packages",
        python=f"{venv}/bin/python",
        source=_configured(None if settings.workdir == Settings().workdir else settings.workdir, "workdir"),
    )


def plan_user(user: UserSettings) -> PlannedUser:
    """Return the numeric user and its home."""
    return PlannedUser(
        uid=user.uid,
        gid=user.gid,
        name=user.name,
        home=user.home or f"/home/{user.name}",
        source=DEFAULT if user == UserSettings() else "[tool.shipwheel.user]",
    )


def plan_entrypoint(project: Project, paths: PlannedPaths) -> tuple[Words, list[str]]:
    """Return what starts, and hints: configured, else the only script, else the interpreter.

    Raises ProjectError `several-scripts` with the line to paste.
    """
    scripts = list(project.scripts) if project.package_mode else []
    configured = project.settings.entrypoint
    if configured is not None:
        first, *rest = configured
        program = f"{paths.venv}/bin/{first}" if first in scripts else first
        return Words(value=(program, *rest), source="[tool.shipwheel] entrypoint"), []
    if len(scripts) == 1:
        return Words(value=(f"{paths.venv}/bin/{scripts[0]}",), source=f"the only script, {scripts[0]}"), []
    if scripts:
        lines = " or ".join(f'entrypoint = ["{name}"]' for name in scripts)
        raise ProjectError(
            "several-scripts",
            f"{project.title} has several scripts, and an image starts one",
            place="pyproject.toml [tool.shipwheel]",
            hint=f"add under [tool.shipwheel]: {lines}",
        )
    hint = "nothing says what to start, so the image starts Python; set [tool.shipwheel] entrypoint"
    return Words(value=(paths.python,), source=f"{DEFAULT}: there is no script"), [hint]


def plan_slim(slim: SlimSettings) -> PlannedSlim | None:
    """Return what is left out of locked packages; None for nothing."""
    if not slim.drop:
        return None
    return PlannedSlim(
        drop=tuple(sorted(set(slim.drop))),
        keep=tuple(sorted(set(slim.keep))),
        verify=slim.verify,
        source="[tool.shipwheel.slim]",
    )


def slim_options(name: NormalizedName, slim: SlimSettings) -> tuple[SlimOption, ...]:
    """Return what is left out of the package `name`, sorted."""
    kept = [word.partition(":") for word in slim.keep]
    ways = {option for package, _, option in kept if canonicalize_name(package) == name}
    return () if "" in ways else tuple(sorted(set(slim.drop) - ways))


def _slim_hints(inputs: Inputs) -> list[str]:
    names = {item.name for item in inputs.selected}
    return [
        f"[tool.shipwheel.slim] keep names {word}, which is not installed"
        for word in inputs.project.settings.slim.keep
        if canonicalize_name(word.partition(":")[0]) not in names
    ]


def _plan_base(base: Base, target: Target, source: str) -> PlannedBase:
    if isinstance(base, DebianBase):
        archive = base.archives[0]
        return PlannedBase(
            kind="debian",
            reference=f"debian {base.suite} of {archive.date[:10]}",
            pin=archive.inrelease,
            source=source,
        )
    platform = image_platform(base, target)
    return PlannedBase(kind=base.kind, reference=base.reference, pin=platform, source=source)


def image_platform(base: ImageBase, target: Target) -> str:
    """Return the digest of the base's manifest for the target's platform."""
    return next(item.digest for item in base.platforms if item.platform == str(target.platform))


def _plan_env(inputs: Inputs, paths: PlannedPaths, user: PlannedUser) -> tuple[Setting, ...]:
    from_base = dict(inputs.footing.env)
    values = {name: Setting(name=name, value=value, source="base") for name, value in from_base.items()}
    ours = {
        "PATH": f"{paths.venv}/bin:{from_base.get('PATH', _SYSTEM_PATH)}",
        "HOME": user.home,
        "LANG": from_base.get("LANG", "C.UTF-8"),
        "VIRTUAL_ENV": paths.venv,
        "PYTHONUNBUFFERED": "1",
        # The root is read-only and bytecode is compiled ahead: there is nothing to write and nowhere to.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if not inputs.project.package_mode:
        ours["PYTHONPATH"] = paths.workdir
    values |= {name: Setting(name=name, value=value, source=DEFAULT) for name, value in ours.items()}
    configured = inputs.project.settings.env
    values |= {
        name: Setting(name=name, value=value, source="[tool.shipwheel.env]")
        for name, value in configured.items()
    }
    return tuple(values[name] for name in sorted(values))


def _plan_labels(inputs: Inputs) -> tuple[Setting, ...]:
    project, prefix = inputs.project, "org.opencontainers.image."
    metadata = project.metadata
    found: dict[str, tuple[str | None, str]] = {
        "title": (project.title, "name"),
        "version": (project.version, "version"),
        "description": (metadata.description, "description"),
        "licenses": (metadata.license, "license"),
        "authors": (", ".join(metadata.authors) or None, "authors"),
    }
    for key, value in sorted(metadata.urls.items()):
        label = _URL_LABELS.get(key.lower().replace(" ", "").replace("-", "").replace("_", ""))
        if label:
            found.setdefault(label, (value, f"urls {key}"))
    base = inputs.base
    if isinstance(base, ImageBase) and base.kind == "registry":
        found["base.name"] = (base.reference, "base")
        found["base.digest"] = (image_platform(base, inputs.footing.target), "base")
    labels = {
        prefix + key: Setting(name=prefix + key, value=value, source=source)
        for key, (value, source) in found.items()
        if value
    }
    labels |= {
        name: Setting(name=name, value=value, source="git") for name, value in inputs.git_labels.items()
    }
    labels |= {
        name: Setting(name=name, value=value, source="[tool.shipwheel.labels]")
        for name, value in project.settings.labels.items()
    }
    return tuple(labels[name] for name in sorted(labels))


def _plan_layers(inputs: Inputs, paths: PlannedPaths, user: PlannedUser) -> tuple[LayerPlan, ...]:
    settings, footing = inputs.project.settings, inputs.footing
    layers = list(footing.layers)
    below = footing_key(footing.layers)
    if inputs.bytecode.enabled:
        layers.append(
            LayerPlan(
                name="bytecode",
                kind="bytecode",
                reason="the standard library, compiled ahead: programs start several times faster",
                key=_key(BYTECODE_RECIPE, below, str(inputs.bytecode.interpreter)),
            )
        )
    layers.append(
        LayerPlan(
            name="skeleton",
            kind="skeleton",
            reason="user, home, working folder and an empty virtual environment",
            key=_key(
                SKELETON_RECIPE, below, repr(user), repr(paths), footing.target.python, footing.executable
            ),
        )
    )
    locked: dict[NormalizedName, PlannedWheel] = {}
    first_party: list[PlannedWheel] = []
    for item in inputs.selected:
        wheel = _planned_wheel(item, inputs)
        if isinstance(item.source, PackageDirectory):
            first_party.append(wheel)
        else:
            locked[item.name] = wheel
    sizes = {name: wheel.size or 0 for name, wheel in locked.items()}
    groups = spread_wheels(
        sorted(locked), sizes, alone=settings.layers.alone, buckets=settings.layers.buckets
    )
    layers += [_wheel_layer([locked[name] for name in names], inputs, paths) for names in groups]
    if first_party:
        layers.append(
            LayerPlan(
                name="first-party",
                kind="first-party",
                reason="path dependencies change oftener than what is locked, and less often than the app",
                wheels=first_party,
            )
        )
    layers.append(
        LayerPlan(
            name=inputs.project.title,
            kind="app",
            reason="the project itself: last, so that editing it changes this layer alone",
        )
    )
    return tuple(layers)


def _wheel_layer(wheels: list[PlannedWheel], inputs: Inputs, paths: PlannedPaths) -> LayerPlan:
    known = [wheel.size for wheel in wheels if wheel.size is not None]
    alone = len(wheels) == 1
    return LayerPlan(
        name=wheels[0].name if alone else f"{len(wheels)} wheels from {wheels[0].name}",
        kind="wheel" if alone else "wheels",
        reason="its own layer: an upgrade changes nothing else" if alone else "small wheels share a bucket",
        key=wheel_layer_key(
            [name for wheel in wheels if (name := _identity(wheel, inputs)) is not None],
            python=inputs.footing.target.python,
            prefix=paths.venv,
            bytecode=inputs.bytecode.interpreter if inputs.bytecode.enabled else None,
            direct_urls=_direct_urls(wheels, inputs),
            slim={name: wheel.slim for wheel in wheels if (name := _identity(wheel, inputs)) is not None},
        ),
        size=sum(known) if len(known) == len(wheels) else None,
        wheels=wheels,
    )


def _identity(wheel: PlannedWheel, inputs: Inputs) -> str | None:
    """Return the locked hash of a wheel, and of what is built the name that follows from all it is built of."""
    build = inputs.builds.get(NormalizedName(wheel.name))
    return wheel.hash if build is None else build.id


def _direct_urls(wheels: Sequence[PlannedWheel], inputs: Inputs) -> dict[str, dict[str, Any]]:
    sources = {str(item.name): item.source for item in inputs.selected}
    origins = ((_identity(wheel, inputs), direct_url(sources[wheel.name])) for wheel in wheels)
    return {name: origin for name, origin in origins if name is not None and origin is not None}


def _planned_wheel(item: Selected, inputs: Inputs) -> PlannedWheel:
    source = item.source
    digest = locked_hash(source)
    size = getattr(source, "size", None)
    build = inputs.builds.get(item.name)
    return PlannedWheel(
        name=item.name,
        version=None if item.version is None else str(item.version),
        file=_source_name(source),
        hash=digest,
        size=size if size is not None else inputs.sizes.get(digest or ""),
        build=None if build is None else "native" if build.native else "pure",
        # What is the project's own is its authors' to slim.
        slim=()
        if isinstance(source, PackageDirectory)
        else slim_options(item.name, inputs.project.settings.slim),
    )


def locked_hash(source: Any) -> str | None:
    """Return the strongest locked hash of a file as `algorithm:hex`, sha256 before all; None without one."""
    hashes: Mapping[str, str] = getattr(source, "hashes", None) or {}
    for algorithm in ("sha256", "sha512", "sha384", *sorted(hashes)):
        if algorithm in hashes:
            return f"{algorithm}:{hashes[algorithm]}"
    if isinstance(source, PackageVcs):
        return f"git:{source.commit_id}"
    return None


def _source_name(source: object) -> str:
    match source:
        case PackageWheel() | PackageSdist():
            return source.filename
        case PackageVcs():
            return f"{source.type} {source.url or source.path} at {source.commit_id}"
        case PackageDirectory():
            return source.path
        case PackageArchive():
            return archive_name(source)
    raise TypeError(f"not a source: {source!r}")


def _key(*parts: str) -> str:
    return f"sha256:{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()}"


def _configured(value: object, key: str) -> str:
    return f"[tool.shipwheel] {key}" if value else DEFAULT
