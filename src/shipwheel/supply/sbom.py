"""An image's list of components as CycloneDX 1.6 JSON: equal images, equal bytes.

Time and serial number, which the format leaves to chance, follow from the epoch and the content.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from shipwheel import __version__
from shipwheel.inventory import Inventory, PythonPackage, SystemPackage
from shipwheel.oci.model import Digest, Platform, canonical_json
from shipwheel.oci.reference import Reference
from shipwheel.supply.components import python_needs, python_purl, system_needs, system_purl

if TYPE_CHECKING:
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import License

MEDIA_TYPE: Final = "application/vnd.cyclonedx+json"
# The newest version that all of syft, grype, trivy and Docker Scout read.
SPEC: Final = "1.6"
_NAMESPACE: Final = uuid.UUID("5f1a2f0e-3f6b-5c55-9a53-4a1c35d0b6b1")
# What trivy goes by when it looks for a Debian package's advisories.
_TRIVY: Final = "aquasecurity:trivy:"
_LEFT_OUT: Final = "shipwheel:left-out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The image that a document is about. `version` and `title` are the project's; `epoch` in seconds.

    `name` has neither tag nor digest. `files` are sha256 (hex) of the locked files: of a wheel by
    ("pypi", name, version), of a .deb by ("deb", name, version). `slimmed` says what was left out of a
    Python package, as `tests, stubs`.
    """

    name: str
    digest: Digest
    platform: Platform
    title: str | None = None
    version: str | None = None
    epoch: int = 0
    files: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    slimmed: Mapping[str, str] = field(default_factory=dict)


def make_sbom(inventory: Inventory, subject: Subject) -> bytes:
    """Return the document as canonical JSON."""
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.tool import ToolRepository
    from cyclonedx.output.json import JsonV1Dot6

    root = _root(subject)
    python = {package.name: _python_component(package, subject) for package in inventory.python}
    system = {package.name: _system_component(package, inventory.os, subject) for package in inventory.system}
    tool = Component(name="shipwheel", version=__version__, type=ComponentType.APPLICATION)
    bom = Bom(
        serial_number=uuid.UUID(int=0),
        metadata=BomMetaData(
            component=root,
            timestamp=datetime.fromtimestamp(subject.epoch, UTC),
            tools=ToolRepository(components=[tool]),
        ),
        components=[*python.values(), *system.values(), *_platform_components(inventory)],
    )
    needs = python_needs(inventory, subject.platform)
    needed = set().union(*needs.values()) if needs else set()
    for name, component in python.items():
        bom.register_dependency(component, [python[other] for other in needs[name]])
    for package, others in system_needs(inventory.system).items():
        bom.register_dependency(system[package], [system[other] for other in others])
    # The image holds everything; what nothing else asks for hangs on it directly.
    top = [component for name, component in python.items() if name not in needed]
    bom.register_dependency(root, [*top, *system.values(), *_platform_components(inventory)])
    return _with_serial_number(JsonV1Dot6(bom).output_as_string())


def _with_serial_number(text: str) -> bytes:
    """Return the document as canonical JSON, its serial number made from all the rest."""
    data: dict[str, Any] = json.loads(text)
    data.pop("serialNumber", None)
    number = uuid.uuid5(_NAMESPACE, canonical_json(data).decode())
    return canonical_json({**data, "serialNumber": f"urn:uuid:{number}"})


def _root(subject: Subject) -> Component:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    reference = Reference.parse(subject.name)
    name = reference.repository.rpartition("/")[2]
    qualifiers = {"arch": subject.platform.architecture, "repository_url": reference.name}
    purl = PackageURL("oci", None, name, str(subject.digest), qualifiers)
    return Component(
        type=ComponentType.CONTAINER,
        name=subject.name,
        version=subject.version or str(subject.digest),
        purl=purl,
        bom_ref=purl.to_string(),
    )


def _python_component(package: PythonPackage, subject: Subject) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType

    purl = python_purl(package)
    # The hash is that of the file which the package came in; what of it is not in the image is said.
    slim = None if package.first_party else subject.slimmed.get(package.name)
    digest = subject.files.get(("pypi", package.name, package.version))
    is_app = package.first_party and package.name == (subject.title or "")
    return Component(
        type=ComponentType.APPLICATION if is_app else ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        description=package.summary,
        purl=purl,
        bom_ref=purl.to_string() if purl is not None else f"{package.name}@{package.version}",
        licenses=_licenses(package),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)] if digest else (),
        properties=[Property(name=_LEFT_OUT, value=slim)] if slim else (),
    )


def _licenses(package: PythonPackage | SystemPackage) -> list[License]:
    from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
    from cyclonedx.spdx import is_supported_id

    if package.license is None:
        return [DisjunctiveLicense(name=name) for name in package.license_names]
    if is_supported_id(package.license):
        return [DisjunctiveLicense(id=package.license)]
    return [LicenseExpression(package.license)]


def _system_component(package: SystemPackage, os: Mapping[str, str], subject: Subject) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType

    purl = system_purl(package, os)
    epoch, colon, rest = package.source_version.partition(":")
    version, hyphen, release = (rest if colon else package.source_version).rpartition("-")
    source = {
        "PkgType": os.get("ID", "debian"),
        "SrcName": package.source,
        "SrcVersion": version if hyphen else release,
        "SrcRelease": release if hyphen else "",
        "SrcEpoch": epoch if colon else "",
    }
    digest = subject.files.get(("deb", package.name, package.version))
    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        purl=purl,
        bom_ref=purl.to_string(),
        licenses=_licenses(package),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)] if digest else (),
        properties=[Property(name=_TRIVY + key, value=value) for key, value in source.items() if value],
    )


def _platform_components(inventory: Inventory) -> list[Component]:
    """Return the operating system, and the interpreter where no package brought it."""
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    found = []
    if name := inventory.os.get("ID"):
        version = inventory.os.get("VERSION_ID")
        found.append(
            Component(
                type=ComponentType.OPERATING_SYSTEM,
                name=name,
                version=version,
                description=inventory.os.get("PRETTY_NAME"),
                bom_ref=f"os:{name}@{version}",
                properties=[
                    Property(name=f"{_TRIVY}Type", value=name),
                    Property(name=f"{_TRIVY}Class", value="os-pkgs"),
                ],
            )
        )
    runtime = inventory.runtime
    packaged = any(package.source.startswith("python3") for package in inventory.system)
    if runtime is not None and (not packaged or runtime.executable.startswith("/usr/local/")):
        purl = PackageURL("generic", None, "python", runtime.python)
        found.append(
            Component(
                type=ComponentType.PLATFORM,
                name="python",
                version=runtime.python,
                purl=purl,
                bom_ref=purl.to_string(),
                cpe=f"cpe:2.3:a:python:python:{runtime.python}:*:*:*:*:*:*:*",
            )
        )
    return found
