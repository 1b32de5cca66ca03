"""Small locks for tests, written as their tools write them, with made-up files on `files.example`."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from packaging.pylock import PackageArchive, PackageDirectory, PackageSdist, PackageVcs, PackageWheel
from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.locks.find import lock_kind
from shipwheel.locks.model import KnownByHash, Lock, Selected, Selection
from shipwheel.locks.read import read_lock
from shipwheel.locks.select import select_packages
from shipwheel.oci.model import Platform
from shipwheel.project.model import Project
from shipwheel.target import Libc, Target

INDEX = "https://index.example/simple"
PURE = "py3-none-any"
MANYLINUX = "cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64"
MUSLLINUX = "cp313-cp313-musllinux_1_2_x86_64"
WINDOWS = "cp313-cp313-win_amd64"


def target_for(python: str = "3.13.5", platform: str = "linux/amd64", libc: str = "glibc 2.41") -> Target:
    return Target(python=python, platform=Platform.parse(platform), libc=Libc.parse(libc))


DEBIAN = target_for()
ALPINE = target_for(libc="musl 1.2")
ARM = target_for(platform="linux/arm64")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def names_of(*names: str) -> frozenset[NormalizedName]:
    return frozenset(canonicalize_name(name) for name in names)


def selection(
    *,
    extras: Iterable[str] = (),
    groups: Iterable[str] = (),
    only: Iterable[str] | None = None,
    without: Iterable[str] = (),
    all_extras: bool = False,
    package: str | None = None,
) -> Selection:
    return Selection(
        extras=names_of(*extras),
        groups=names_of(*groups),
        only_groups=names_of(*only) if only is not None else None,
        without=names_of(*without),
        all_extras=all_extras,
        package=canonicalize_name(package) if package is not None else None,
    )


def project_at(root: Path, pyproject: str = '[project]\nname = "app"\nversion = "1.0"\n') -> Project:
    """Write `pyproject.toml` into `root` and return the project as its reader would."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").write_text(pyproject)
    data = tomllib.loads(pyproject)
    name = data.get("project", {}).get("name") or data.get("tool", {}).get("poetry", {}).get("name")
    return Project(root=root, data=data, name=canonicalize_name(name) if name else None, version=None)


def read_text_as(name: str, text: str, project: Project) -> Lock:
    """Write `text` as the lock `name` beside the project and read it."""
    path = project.root / name
    path.write_text(text)
    return read_lock(path, lock_kind(path), project)


def chosen(lock: Lock, target: Target = DEBIAN, wanted: Selection | None = None) -> list[str]:
    """`name version` of what is selected, in order."""
    return [
        f"{one.name} {one.version}" if one.version is not None else str(one.name)
        for one in select_packages(lock, target, wanted)
    ]


def chosen_names(lock: Lock, target: Target = DEBIAN, wanted: Selection | None = None) -> list[str]:
    return [str(one.name) for one in select_packages(lock, target, wanted)]


def chosen_file(lock: Lock, target: Target = DEBIAN, wanted: Selection | None = None) -> str:
    """The file of the only selected package."""
    (one,) = select_packages(lock, target, wanted)
    return source_text(one)


def source_text(selected: Selected) -> str:
    """What a selected source is, in one line."""
    match selected.source:
        case PackageWheel() | PackageSdist():
            return selected.source.filename
        case PackageDirectory(path=path, editable=editable):
            return f"{path} editable" if editable else path
        case PackageVcs(url=url, commit_id=commit, subdirectory=subdirectory):
            return f"{url} {commit} {subdirectory or ''}".strip()
        case PackageArchive(url=url, path=path):
            return url or path or ""
        case KnownByHash(hashes=hashes):
            return " ".join(hashes)


def wheel(name: str, version: str = "1.0", tag: str = PURE) -> str:
    return f"{name.replace('-', '_')}-{version}-{tag}.whl"


def sdist(name: str, version: str = "1.0") -> str:
    return f"{name.replace('-', '_')}-{version}.tar.gz"


def poetry_package(
    name: str,
    version: str = "1.0",
    *,
    files: Sequence[str] | None = None,
    needs: str = "",
    extras: str = "",
    source: str = "",
    groups: Sequence[str] | None = ("main",),
    markers: str = "",
    python: str = "*",
    more: str = "",
) -> str:
    """One `[[package]]` of poetry.lock; `markers`, `needs`, `extras`, `source`, `more` are TOML."""
    listed = [wheel(name, version)] if files is None else files
    entries = ", ".join(f'{{file = "{file}", hash = "sha256:{digest(file)}"}}' for file in listed)
    lines = [
        "[[package]]",
        f'name = "{name}"',
        f'version = "{version}"',
        "optional = false",
        f'python-versions = "{python}"',
    ]
    if groups is not None:
        lines.append(f"groups = {list(groups)}".replace("'", '"'))
    if markers:
        lines.append(f"markers = {markers}")
    lines += [f"files = [{entries}]", more]
    for title, body in (("dependencies", needs), ("extras", extras), ("source", source)):
        if body:
            lines += [f"[package.{title}]", body]
    return "\n".join(lines) + "\n"


def poetry_lock(
    *packages: str, version: str = "2.1", python: str = ">=3.11", extras: str = "", more: str = ""
) -> str:
    """A poetry.lock; `extras` is the body of its `[extras]`, `more` of its `[metadata]`."""
    table = f"[extras]\n{extras}\n" if extras else ""
    locked = f'lock-version = "{version}"\n' if version else ""
    head = "# This file is automatically @generated by Poetry 2.1.3 and should not be changed by hand.\n\n"
    metadata = f'[metadata]\n{locked}python-versions = "{python}"\ncontent-hash = "0"\n{more}\n'
    return head + "\n".join(packages) + table + metadata


def uv_package(
    name: str,
    version: str | None = "1.0",
    *,
    source: str = f'{{ registry = "{INDEX}" }}',
    files: Sequence[str] | None = None,
    needs: Sequence[str] = (),
    more: str = "",
) -> str:
    """One `[[package]]` of uv.lock; `source`, each of `needs`, and `more` are TOML."""
    listed = ([wheel(name, version or "1.0")] if "registry" in source else []) if files is None else files
    entries = ",\n".join(f"    {_uv_file(file)}" for file in listed if file.endswith(".whl"))
    sdists = [file for file in listed if not file.endswith(".whl")]
    lines = ["[[package]]", f'name = "{name}"']
    if version is not None:
        lines.append(f'version = "{version}"')
    lines.append(f"source = {source}")
    lines.append(f"dependencies = [{', '.join(needs)}]")
    if sdists:
        lines.append(f"sdist = {_uv_file(sdists[0])}")
    lines += [f"wheels = [\n{entries}\n]" if entries else "", more]
    return "\n".join(lines) + "\n"


def _uv_file(name: str) -> str:
    url = f"https://files.example/{name.replace('+', '%2B')}"
    return f'{{ url = "{url}", hash = "sha256:{digest(name)}", size = 10 }}'


def uv_lock(*packages: str, python: str = ">=3.11", more: str = "") -> str:
    return f'version = 1\nrevision = 3\nrequires-python = "{python}"\n{more}\n' + "\n".join(packages)


def pdm_package(
    name: str,
    version: str = "1.0",
    *,
    groups: Sequence[str] | None = ("default",),
    extras: Sequence[str] = (),
    needs: Sequence[str] = (),
    marker: str = "",
    files: Sequence[str] | None = None,
    more: str = "",
) -> str:
    listed = [wheel(name, version)] if files is None else files
    entries = ", ".join(f'{{file = "{file}", hash = "sha256:{digest(file)}"}}' for file in listed)
    lines = ["[[package]]", f'name = "{name}"', f'version = "{version}"']
    if extras:
        lines.append(f"extras = {_array(extras)}")
    if groups is not None:
        lines.append(f"groups = {_array(groups)}")
    if marker:
        lines.append(f"marker = '{marker}'")
    if needs:
        lines.append(f"dependencies = {_array(needs)}")
    return "\n".join([*lines, f"files = [{entries}]", more]) + "\n"


def pdm_lock(
    *packages: str,
    groups: Sequence[str] = ("default",),
    strategy: Sequence[str] = ("inherit_metadata",),
    targets: Sequence[Mapping[str, str]] = (),
    version: str = "4.5.0",
) -> str:
    head = (
        f"[metadata]\ngroups = {_array(groups)}\nstrategy = {_array(strategy)}\n"
        f'lock_version = "{version}"\ncontent_hash = "sha256:0"\n'
    )
    for one in targets:
        head += "[[metadata.targets]]\n" + "".join(f'{key} = "{value}"\n' for key, value in one.items())
    return head + "\n" + "\n".join(packages)


def _array(items: Iterable[str]) -> str:
    return "[" + ", ".join("'" + item + "'" if '"' in item else f'"{item}"' for item in items) + "]"
