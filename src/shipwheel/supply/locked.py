"""What the locks say of an image's parts: each file's hash and name. Pure; opens nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from packaging.pylock import PackageArchive, PackageVcs

from shipwheel.base.model import Base, DebianPlatform
from shipwheel.lockfile import ShipwheelLock
from shipwheel.locks.model import Selected
from shipwheel.net.address import redact
from shipwheel.oci.model import Platform
from shipwheel.plan.base import locked_platform
from shipwheel.plan.model import BuildPlan
from shipwheel.plan.planner import locked_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """One thing that went into an image: `uri` names it (a package URL), `digest` is `algorithm:hex`.

    `key` finds it again: ("pypi" or "deb", name, version); `kind` says what it was for.
    """

    uri: str
    digest: str
    name: str
    kind: str
    key: tuple[str, str, str] | None = None


def image_materials(
    plan: BuildPlan, selected: Sequence[Selected], lock: ShipwheelLock
) -> tuple[Material, ...]:
    """Return what the image of `plan` is made of, by hash, sorted: base, wheels, and the build tools.

    The project's own files and its path dependencies are not among them: they have no locked hash.
    """
    found = [
        *_base_materials(lock.base, Platform.parse(plan.platform), plan),
        *(material for item in selected if (material := _file_material(item)) is not None),
        *_build_materials(lock),
    ]
    return tuple(sorted(set(found), key=lambda item: (item.kind, item.uri, item.digest)))


def file_hashes(materials: Sequence[Material]) -> dict[tuple[str, str, str], str]:
    """Return the sha256 (hex) of the files among `materials`, by their key."""
    return {
        item.key: item.digest.removeprefix("sha256:")
        for item in materials
        if item.key is not None and item.digest.startswith("sha256:")
    }


def _base_materials(base: Base, platform: Platform, plan: BuildPlan) -> list[Material]:
    from packageurl import PackageURL

    locked = locked_platform(base, platform)
    if not isinstance(locked, DebianPlatform):
        # A layout's reference is a path of this machine.
        name = plan.base.reference if plan.base.kind == "registry" else "layout"
        return [Material(uri=f"oci:{name}@{locked.digest}", digest=locked.digest, name=name, kind="base")]
    found = []
    for package in locked.packages:
        purl = PackageURL("deb", "debian", package.name, package.version, {"arch": package.architecture})
        found.append(
            Material(
                uri=purl.to_string(),
                digest=f"sha256:{package.sha256}",
                name=package.path.rpartition("/")[2],
                kind="base",
                key=("deb", package.name, package.version),
            )
        )
    return found


def _file_material(item: Selected) -> Material | None:
    from packageurl import PackageURL

    digest = locked_hash(item.source)
    if digest is None:
        return None
    version = None if item.version is None else str(item.version)
    qualifiers: dict[str, str] = {}
    source = item.source
    if isinstance(source, PackageVcs):
        address = redact(source.url) if source.url else source.type
        qualifiers["vcs_url"] = f"{source.type}+{address}@{source.commit_id}"
    elif isinstance(source, PackageArchive):
        if source.url:
            qualifiers["download_url"] = redact(source.url)
    elif name := getattr(source, "filename", None):
        qualifiers["file_name"] = str(name)
    purl = PackageURL("pypi", None, item.name, version, qualifiers or None)
    return Material(
        uri=purl.to_string(),
        digest=digest.replace("git:", "gitCommit:"),
        name=str(getattr(source, "filename", None) or item.name),
        kind="dependency",
        key=None if version is None else ("pypi", item.name, version),
    )


def _build_materials(lock: ShipwheelLock) -> list[Material]:
    """Return what built the project's wheel. A pin admits any of its files, so each is named."""
    from packageurl import PackageURL

    return [
        Material(
            uri=PackageURL("pypi", None, pin.name, pin.version).to_string(),
            digest=digest,
            name=pin.name,
            kind="build tool",
        )
        for system in lock.build_systems
        for pin in system.pins
        for digest in pin.hashes
    ]
