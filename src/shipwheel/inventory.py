"""What is installed in an image: Python distributions, Debian packages, the system, the interpreter.

Read from the files that installers leave (PyPA "Recording installed projects", dpkg's database), not
from labels. Judges nothing; `supply`, `diff` and `describe` say what they make of it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.message import Message
from email.parser import HeaderParser
from typing import Final

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.metadata import RawMetadata, parse_email
from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.assemble.book import KEY_ANNOTATION
from shipwheel.base.debian.copyright import read_copyright
from shipwheel.base.inspect import Contents, inspect_image
from shipwheel.errors import TargetError
from shipwheel.oci.model import CONFIG, Descriptor, Image, Layer
from shipwheel.oci.read import LoadedImage
from shipwheel.oci.tree import Tree, read_tree

# What other people's images are read with: one file a package, and the whole database in one file.
_METADATA: Final = re.compile(
    r"(?:.*/)?(?:site|dist)-packages/(?:[^/]+\.dist-info/METADATA|[^/]+\.egg-info/PKG-INFO)"
)
_STATUS_D: Final = re.compile(r"var/lib/dpkg/status\.d/[^/]+(?<!\.md5sums)")
_STATUS: Final = "var/lib/dpkg/status"
_OS_RELEASE: Final = ("etc/os-release", "usr/lib/os-release")
_LICENSE: Final = re.compile(r"License :: (?:OSI Approved :: )?(?P<name>.+)")
# A License field longer than this is the licence's text.
_MAX_LICENSE: Final = 100
_MAX_EXPRESSION: Final = 1000
_MAX_COPYRIGHT: Final = 2 * 1024**2
_OURS: Final = "shipwheel: "


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonPackage:
    """An installed distribution. `requires` are its Requires-Dist; `path` its folder of metadata.

    `license` is an SPDX expression, `license_names` are what it says where it has none. `origin` is
    where direct_url.json says it came from. `first_party`: the layer says it is the project's own.
    `layer` counts from the bottom, from 0.
    """

    name: NormalizedName
    version: str
    path: str
    layer: int
    summary: str | None = None
    license: str | None = None
    license_names: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    origin: Mapping[str, object] | None = None
    first_party: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemPackage:
    """An installed Debian package; `source` and `source_version` are those of its source package.

    `depends` and `provides` are the relationship fields as they are written. `license` is an SPDX
    expression where its copyright file leaves no doubt, `license_names` are what that says otherwise.
    """

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    layer: int
    depends: str = ""
    provides: str = ""
    license: str | None = None
    license_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What is installed, each kind sorted by name; `os` is os-release(5), `runtime` None without Python."""

    python: tuple[PythonPackage, ...] = ()
    system: tuple[SystemPackage, ...] = ()
    os: Mapping[str, str] = field(default_factory=dict)
    runtime: Contents | None = None


def read_inventory(image: LoadedImage, *, place: str, tree: Tree | None = None) -> Inventory:
    """Return what is installed in `image`; `tree` is the filesystem of its layers where it was read before.

    All layers are read and checked. Raises as `oci.tree.read_tree`.
    """
    tree = read_tree(image.layers) if tree is None else tree
    python: dict[str, int] = {}
    system: dict[str, int] = {}
    for path, node in tree.walk():
        if node.kind != "file":
            continue
        if _METADATA.fullmatch(path):
            python[path] = node.layer
        elif path == _STATUS or _STATUS_D.fullmatch(path):
            system[path] = node.layer
    files = tree.read_files([*python, *system, *map(_direct_url, python), *_OS_RELEASE])
    return Inventory(
        python=tuple(
            sorted(
                (_python_package(path, layer, files, image) for path, layer in python.items()),
                key=lambda package: (package.name, package.path),
            )
        ),
        system=tuple(
            sorted(
                _with_licences(
                    [
                        package
                        for path, layer in system.items()
                        for package in _system_packages(files.get(path, b""), layer)
                    ],
                    tree,
                ),
                key=lambda package: (package.name, package.architecture),
            )
        ),
        os=_os_release(next((files[path] for path in _OS_RELEASE if path in files), b"")),
        runtime=_runtime(image, place, tree),
    )


def as_loaded(image: Image) -> LoadedImage:
    """Return an image that was built here as one that was read."""
    config = image.config_blob()
    return LoadedImage(
        image=image,
        descriptor=image.descriptor,
        manifest=image.manifest_blob().data,
        config_descriptor=Descriptor(media_type=CONFIG, digest=config.digest, size=config.size),
        config=config.data,
    )


def layer_key(layer: Layer) -> str | None:
    """Return the key that a layer of ours carries, from which a build knows it again."""
    return layer.descriptor.annotations.get(KEY_ANNOTATION)


def layer_title(layer: Layer) -> str:
    """Return what the image's history says of a layer, without our own name in front."""
    return layer.created_by.removeprefix(_OURS)


def is_ours(layer: Layer) -> bool:
    """Whether shipwheel made the layer on top of a base, as the image's history says."""
    return layer.created_by.startswith(_OURS)


def holds_own(layer: Layer, title: str) -> bool:
    """Whether the layer is that of the project `title` or of its path dependencies, as the history says."""
    return is_ours(layer) and layer_title(layer) in ("first-party", title)


def _runtime(image: LoadedImage, place: str, tree: Tree) -> Contents | None:
    try:
        return inspect_image(image, place=place, tree=tree)
    except TargetError:
        return None  # no Python, or none that tells its version: an image may be of anything


def _python_package(path: str, layer: int, files: Mapping[str, bytes], image: LoadedImage) -> PythonPackage:
    raw, _ = parse_email(files.get(path, b""))
    folder = path.rpartition("/")[0]
    stem = folder.rpartition("/")[2].rpartition(".")[0]
    # What a file does not say, its folder's name does: <name>-<version>.dist-info.
    name, _, version = stem.partition("-")
    expression, names = _licenses(raw)
    title = (image.image.config.labels or {}).get("org.opencontainers.image.title", "")
    return PythonPackage(
        name=canonicalize_name(raw.get("name") or name),
        version=raw.get("version") or version or "0",
        path=folder,
        layer=layer,
        summary=raw.get("summary"),
        license=expression,
        license_names=names,
        requires=tuple(raw.get("requires_dist") or ()),
        origin=_origin(files.get(_direct_url(path))),
        first_party=holds_own(image.layers[layer], title),
    )


def _direct_url(metadata: str) -> str:
    return f"{metadata.rpartition('/')[0]}/direct_url.json"


def _licenses(raw: RawMetadata) -> tuple[str | None, tuple[str, ...]]:
    """Return an SPDX expression, or the names that older metadata has (PEP 639)."""
    stated = (raw.get("license_expression") or raw.get("license") or "").strip()
    try:
        if stated and len(stated) <= _MAX_EXPRESSION:
            return canonicalize_license_expression(stated), ()
    except InvalidLicenseExpression:
        pass
    classifiers = [
        match["name"] for text in raw.get("classifiers") or () if (match := _LICENSE.fullmatch(text))
    ]
    if stated and len(stated) <= _MAX_LICENSE and "\n" not in stated:
        return None, (stated,)
    return None, tuple(sorted(set(classifiers)))


def _origin(data: bytes | None) -> Mapping[str, object] | None:
    try:
        found = json.loads(data or b"null")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("url"), str) else None


def _system_packages(data: bytes, layer: int) -> list[SystemPackage]:
    packages = []
    for text in re.split(r"\n[ \t]*\n", data.decode("utf-8", "replace").strip()):
        fields = HeaderParser().parsestr(text.lstrip("\n"))
        # A removed package may leave its configuration, and its entry, behind.
        if not fields["Package"] or not fields["Version"] or "installed" not in _status(fields):
            continue
        source, source_version = _source(fields)
        packages.append(
            SystemPackage(
                name=fields["Package"],
                version=fields["Version"],
                architecture=fields["Architecture"] or "",
                source=source,
                source_version=source_version,
                layer=layer,
                depends=", ".join(_folded(fields, key) for key in ("Pre-Depends", "Depends") if fields[key]),
                provides=_folded(fields, "Provides"),
            )
        )
    return packages


def _with_licences(packages: Sequence[SystemPackage], tree: Tree) -> list[SystemPackage]:
    """Return the packages with what their copyright files say (Debian Policy 12.5)."""
    paths = {package.name: f"usr/share/doc/{package.name}/copyright" for package in packages}
    sized = [(path, tree.find(path)) for path in paths.values()]
    files = tree.read_files(
        [path for path, node in sized if node is not None and node.size <= _MAX_COPYRIGHT]
    )
    found = []
    for package in packages:
        licences = read_copyright(files.get(paths[package.name], b"").decode("utf-8", "replace"))
        found.append(replace(package, license=licences.expression, license_names=licences.names))
    return found


def _status(fields: Message) -> Sequence[str]:
    # Distroless images leave the field out of status.d: what has a file there is installed.
    return (fields["Status"] or "install ok installed").split()


def _source(fields: Message) -> tuple[str, str]:
    """Return the source package (Policy 5.6.1): its name and version where they differ from the package's."""
    match = re.fullmatch(r"(\S+)(?:\s+\((\S+)\))?", fields["Source"] or "")
    if match is None:
        return fields["Package"], fields["Version"]
    return match[1], match[2] or fields["Version"]


def _folded(fields: Message, key: str) -> str:
    return " ".join((fields[key] or "").split())


def _os_release(data: bytes) -> dict[str, str]:
    found = {}
    for line in data.decode("utf-8", "replace").splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and re.fullmatch("[A-Z0-9_]+", name):
            try:
                found[name] = "".join(shlex.split(value))
            except ValueError:
                found[name] = value
    return found
