"""Which of a wheel's files a running program has no use for, and which libraries carry debugging data.

The answer follows from the wheel and the options alone. Chooses files by what they are, not only by what
they are called; keeps what the rest of the wheel visibly needs, and says so. `.dist-info` and licences stay.
"""

from __future__ import annotations

import base64
import hashlib
import posixpath
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from shipwheel.project.settings import SlimOption
from shipwheel.wheel.archive import Wheel, WheelReader
from shipwheel.wheel.install import ChangedFile, install_paths, read_entry_points, site_packages
from shipwheel.wheel.members import Member
from shipwheel.wheel.slim_elf import plan_strip
from shipwheel.wheel.slim_needs import Module, needed_by
from shipwheel.wheel.suites import suite_folders

_LICENCE: Final = re.compile(
    r"(?i)(?:.*[._-])?(?:licen[cs]es?|copying|notices?|copyright|authors)(?:[._-].*)?"
)
_HEADER: Final = re.compile(r".*\.(?:h|hh|hpp|hxx|h\+\+|cuh|pxd|pxi)")
_SOURCE_MAP: Final = re.compile(r".*\.(?:js|mjs|cjs|css)\.map")
_DOCUMENTATION: Final = re.compile(r"share/(?:doc|man|info|gtk-doc)/.*")
_MODULE: Final = re.compile(r"(?P<module>[^.]+)(?:\.py|(?:\.[\w-]+)?\.so)")
# They compile when the program runs, or are there for others to compile with.
_COMPILERS: Final = (
    "cffi", "clang*", "cmeel*", "cppyy*", "cuda-*", "cupy*", "cython", "gcc*", "jax*", "libclang*", "mypy",
    "nanobind", "numba*", "nvidia-*", "pybind11*", "pythran", "tensorflow*", "torch*", "triton*", "tvm*",
    "xgboost-*", "ziglang",
)  # fmt: skip
# lazy_loader and its like read a stub to know what there is to import.
_READS_STUBS: Final = re.compile(rb"\battach_stub\b")
_ELF: Final = b"\x7fELF"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slimming:
    """What to leave out of a wheel: `dropped` maps members' paths to the option that asks for it.

    `strip`: native files lose their debugging data. `notes` say in words what stays although it was asked for.
    """

    dropped: Mapping[str, SlimOption] = field(default_factory=dict)
    strip: bool = False
    notes: Sequence[str] = ()


def plan_slimming(wheel: Wheel, reader: WheelReader, options: Collection[str], *, python: str) -> Slimming:
    """Return what the `options` (`SlimOption`) leave out of `wheel` for a target's `python` version, as `3.13.5`."""
    library = f"{site_packages(python)}/"
    places = install_paths(wheel, python=python)
    own = f"{library}{wheel.dist_info}/"
    open_to = {
        path: place
        for path, place in places.items()
        if not place.startswith(own) and not _LICENCE.fullmatch(posixpath.basename(place))
    }
    notes: list[str] = []
    dropped: dict[str, SlimOption] = {}
    if "tests" in options:
        dropped |= dict.fromkeys(_tests(wheel, reader, open_to, library, notes), "tests")
    if "stubs" in options:
        stubs = _stubs(open_to, places, library)
        reads = _reads_stubs(wheel, reader, stubs, places) if stubs else None
        if reads is not None:
            notes.append(f"{wheel.name} keeps its type stubs: {reads} reads them when it is imported")
        else:
            dropped |= dict.fromkeys(stubs, "stubs")
    compiles = any(fnmatchcase(wheel.name, pattern) for pattern in _COMPILERS)
    for_compilers: dict[SlimOption, set[str]] = {
        "headers": {path for path, place in open_to.items() if _is_header(place, library)},
        "static-libraries": {path for path, place in open_to.items() if place.endswith((".a", ".la"))},
    }
    for option, found in for_compilers.items():
        if option not in options or not found:
            continue
        if compiles:
            notes.append(f"{wheel.name} keeps its {option.replace('-', ' ')}: it compiles with them")
        else:
            dropped |= dict.fromkeys(found - dropped.keys(), option)
    for path, place in open_to.items():
        if "source-maps" in options and _SOURCE_MAP.fullmatch(place):
            dropped.setdefault(path, "source-maps")
        elif "documentation" in options and _DOCUMENTATION.fullmatch(place):
            dropped.setdefault(path, "documentation")
    return Slimming(
        dropped=dict(sorted(dropped.items())), strip="debug-symbols" in options, notes=tuple(notes)
    )


def strip_natives(
    wheel: Wheel, reader: WheelReader, slimming: Slimming, folder: Path
) -> dict[str, ChangedFile]:
    """Write the wheel's native files without debugging data into `folder`, and return them by member's path.

    Files that have none, or hardly any, are not among them. Raises as reading members.
    """
    found: dict[str, ChangedFile] = {}
    for member in wheel.members if slimming.strip else ():
        if member.path in slimming.dropped or not _is_elf(reader, member):
            continue
        plain = folder / f"{wheel.sha256[:16]}-{len(found)}.plain"
        stripped = plain.with_suffix(".stripped")
        try:
            with plain.open("w+b") as source:
                for chunk in reader.chunks(member):
                    source.write(chunk)
                plan = plan_strip(source)
                if plan is None:
                    continue
                with stripped.open("w+b") as target:
                    plan.write(source, target)
                    target.seek(0)
                    digest = hashlib.file_digest(target, "sha256").digest()
        finally:
            plain.unlink(missing_ok=True)
        record = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        found[member.path] = ChangedFile(path=stripped, size=plan.size, hash=f"sha256={record}")
    return found


def _tests(
    wheel: Wheel, reader: WheelReader, open_to: Mapping[str, str], library: str, notes: list[str]
) -> set[str]:
    """Return the members in folders of tests, but for folders that the rest of the wheel imports."""
    roots = suite_folders(place for place in open_to.values() if place.startswith(library))
    in_root: dict[str, list[str]] = {}
    for path, place in open_to.items():
        root = next((folder.rstrip("/") for folder in roots if place.startswith(folder)), None)
        if root is None and place.startswith(library) and posixpath.basename(place) == "conftest.py":
            root = place
        if root is not None:
            in_root.setdefault(root, []).append(path)
    going = {path: root for root, paths in in_root.items() for path in paths}
    modules = {
        path: Module(name=_module_name(place[len(library) :]), package=place.endswith("/__init__.py"))
        for path, place in open_to.items()
        if place.startswith(library) and place.endswith(".py")
    }
    commands = [point.module for point in read_entry_points(wheel, reader)]
    needed = needed_by(
        modules,
        going,
        read=lambda path: reader.read(wheel.by_path[path]),
        also={"its command": commands},
    )
    for root, why in sorted(needed.items()):
        notes.append(f"{wheel.name} keeps {root.removeprefix(library)}: {why} imports it")
    return {path for path, root in going.items() if root not in needed}


def _module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _stubs(open_to: Mapping[str, str], places: Mapping[str, str], library: str) -> set[str]:
    """Return the stubs that describe a module beside them, and those of packages that are stubs alone.

    Other `.pyi` files are data: what a type checker or an editor brings along for other people's code.
    """
    modules = set()
    for place in places.values():
        folder, name = posixpath.split(place)
        if match := _MODULE.fullmatch(name):
            modules.add(f"{folder}/{match['module']}")
            if name == "__init__.py":
                modules.add(folder)
    found = set()
    for path, place in open_to.items():
        if place.endswith(".pyi") and place.startswith(library):
            stem = place.removesuffix(".pyi")
            if stem in modules or place[len(library) :].partition("/")[0].endswith("-stubs"):
                found.add(path)
    return found


def _reads_stubs(
    wheel: Wheel, reader: WheelReader, stubs: Collection[str], places: Mapping[str, str]
) -> str | None:
    """Return a file of the wheel that reads stubs, of those that have one beside them."""
    beside = {posixpath.dirname(path) for path in stubs}
    for path in sorted(places):
        if (
            path.endswith(".py")
            and posixpath.dirname(path) in beside
            and _READS_STUBS.search(reader.read(wheel.by_path[path]))
        ):
            return path
    return None


def _is_header(place: str, library: str) -> bool:
    return place.startswith("include/") or (place.startswith(library) and bool(_HEADER.fullmatch(place)))


def _is_elf(reader: WheelReader, member: Member) -> bool:
    return member.size > len(_ELF) and next(reader.chunks(member), b"").startswith(_ELF)
