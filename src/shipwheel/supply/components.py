"""Names that scanners match by: package URLs, and who needs whom. Pure.

Package URLs as purl-spec's `pypi` and `deb` types say; advisories for Debian are by source package, which
the qualifier `upstream` names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.base.debian.relations import Alternatives, parse_relations
from shipwheel.errors import LockError
from shipwheel.inventory import Inventory, PythonPackage, SystemPackage
from shipwheel.oci.model import Platform
from shipwheel.target import Libc, Target

if TYPE_CHECKING:
    from packageurl import PackageURL


def python_purl(package: PythonPackage) -> PackageURL | None:
    """Return the URL; None for what is the project's own: an index may have a stranger of that name."""
    from packageurl import PackageURL

    if package.first_party:
        return None
    qualifiers = {}
    origin = package.origin or {}
    if isinstance(origin.get("url"), str):
        vcs = origin.get("vcs_info")
        if isinstance(vcs, dict):
            qualifiers["vcs_url"] = f"{vcs.get('vcs')}+{origin['url']}@{vcs.get('commit_id')}"
        else:
            qualifiers["download_url"] = str(origin["url"])
    return PackageURL("pypi", None, package.name, package.version, qualifiers or None)


def system_purl(package: SystemPackage, os: Mapping[str, str]) -> PackageURL:
    """Return the URL of a Debian package, with architecture, release, and its source package."""
    from packageurl import PackageURL

    distribution = os.get("ID", "debian")
    qualifiers = {"arch": package.architecture}
    if release := os.get("VERSION_ID"):
        qualifiers["distro"] = f"{distribution}-{release}"
    elif codename := os.get("VERSION_CODENAME"):
        qualifiers["distro"] = codename
    if package.source_version != package.version:
        qualifiers["upstream"] = f"{package.source}@{package.source_version}"
    elif package.source != package.name:
        qualifiers["upstream"] = package.source
    return PackageURL("deb", distribution, package.name, package.version, qualifiers)


def python_needs(inventory: Inventory, platform: Platform) -> dict[NormalizedName, set[NormalizedName]]:
    """Return for each distribution those that are installed and that it asks for on this platform.

    An extra counts where somebody installed asks for it; what the project's own extras were, metadata
    does not tell.
    """
    packages = {package.name: package for package in inventory.python}
    environment = _environment(inventory, platform)
    extras: dict[NormalizedName, set[str]] = {name: {""} for name in packages}
    needs: dict[NormalizedName, set[NormalizedName]] = {name: set() for name in packages}
    pending = sorted(packages)
    while pending:
        name = pending.pop()
        for requirement in _requirements(packages[name]):
            other = canonicalize_name(requirement.name)
            if other not in packages or not _applies(requirement, environment, extras[name]):
                continue
            needs[name].add(other)
            # Who asks for an extra may make another package's requirement count: look again.
            asked = {canonicalize_name(extra) for extra in requirement.extras}
            if not asked <= extras[other]:
                extras[other] |= asked
                pending.append(other)
    return needs


def system_needs(packages: Sequence[SystemPackage]) -> dict[str, set[str]]:
    """Return for each Debian package the installed ones that satisfy its dependencies."""
    providers: dict[str, str] = {}
    for package in packages:
        for group in _relations(package.provides):
            for relation in group:
                providers.setdefault(relation.name, package.name)
    providers |= {package.name: package.name for package in packages}
    return {
        package.name: {
            found
            for group in _relations(package.depends)
            if (found := next((providers[item.name] for item in group if item.name in providers), None))
            and found != package.name
        }
        for package in packages
    }


def _environment(inventory: Inventory, platform: Platform) -> dict[str, str]:
    runtime = inventory.runtime
    if runtime is None:
        return {}
    target = Target(python=runtime.python, platform=platform, libc=Libc.parse(runtime.libc))
    return {key: str(value) for key, value in target.marker_environment().items()}


def _requirements(package: PythonPackage) -> Iterator[Requirement]:
    for text in package.requires:
        try:
            yield Requirement(text)
        except InvalidRequirement:  # old metadata has such; pip ignores it too
            continue


def _applies(requirement: Requirement, environment: Mapping[str, str], extras: set[str]) -> bool:
    if requirement.marker is None:
        return True
    try:
        return any(requirement.marker.evaluate({**environment, "extra": extra}) for extra in sorted(extras))
    except UndefinedEnvironmentName:
        return False


def _relations(text: str) -> Sequence[Alternatives]:
    try:
        return parse_relations(text)
    except LockError:  # not Debian's own grammar: no edge is better than a wrong one
        return ()
