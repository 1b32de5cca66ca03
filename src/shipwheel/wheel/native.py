"""Does a source have code to compile, what did compiling lack, and which libraries does a wheel need?

Reads files; compiles nothing. The answers follow from the files alone, so they are the same everywhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from shipwheel.wheel.elf import read_dynamic

if TYPE_CHECKING:
    from shipwheel.wheel.archive import Wheel

_SUFFIXES: Final = (
    ".c",
    ".cc",
    ".cpp",
    ".cxx",
    ".pyx",
    ".rs",
    ".f",
    ".f77",
    ".f90",
    ".f95",
    ".go",
    ".zig",
    ".asm",
)
_NAMES: Final = frozenset({"CMakeLists.txt", "meson.build", "Cargo.toml"})
# Where packages keep code that is not part of them.
_ASIDE: Final = frozenset(
    {
        "test",
        "tests",
        "testing",
        "doc",
        "docs",
        "example",
        "examples",
        "benchmark",
        "benchmarks",
        ".git",
        ".github",
    }
)
# Who asks for one of these is going to compile.
_COMPILERS: Final = frozenset(
    {
        "cffi",
        "cmake",
        "cython",
        "maturin",
        "meson",
        "meson-python",
        "mypy",
        "nanobind",
        "ninja",
        "numpy",
        "pybind11",
        "scikit-build",
        "scikit-build-core",
        "setuptools-golang",
        "setuptools-rust",
        "sip",
        "ziglang",
    }
)
_DECLARATIONS: Final = {
    "setup.py": re.compile(rb"ext_modules|cffi_modules|rust_extensions|\bExtension\("),
    # setuptools' own table, Poetry's build script, and the tool that builds wheels for many platforms.
    "pyproject.toml": re.compile(
        rb"^\s*ext-modules\b|^\[tool\.poetry\.build\]|^\[tool\.cibuildwheel", re.MULTILINE
    ),
}

# What a compiler or a script misses → the Debian package that has it.
_PACKAGES: Final = (
    (r"libpq-fe\.h|pg_config", "libpq-dev"),
    (r"mysql\.h|mysql_config|mysqlclient", "default-libmysqlclient-dev"),
    (r"openssl/\w+\.h", "libssl-dev"),
    (r"ffi\.h|libffi", "libffi-dev"),
    (r"xmlsec", "libxmlsec1-dev"),
    # Brings libxml2's, which is named beside it.
    (r"libxslt/\w+\.h|xslt-config|libxslt", "libxslt1-dev"),
    (r"libxml/\w+\.h|xml2-config|libxml2", "libxml2-dev"),
    (r"yaml\.h", "libyaml-dev"),
    (r"jpeglib\.h|\bjpeg\b", "libjpeg-dev"),
    (r"curl/curl\.h|curl-config", "libcurl4-openssl-dev"),
    (r"ldap\.h|lber\.h", "libldap-dev"),
    (r"sasl/sasl\.h", "libsasl2-dev"),
    (r"gssapi|krb5", "libkrb5-dev"),
    (r"systemd/sd-", "libsystemd-dev"),
    (r"dbus/dbus\.h|dbus-1", "libdbus-1-dev"),
    (r"cairo\.h|\bcairo\b", "libcairo2-dev"),
    (r"sqlite3\.h", "libsqlite3-dev"),
    (r"bzlib\.h", "libbz2-dev"),
    (r"lzma\.h", "liblzma-dev"),
    (r"gmp\.h", "libgmp-dev"),
    (r"hdf5\.h", "libhdf5-dev"),
    (r"snappy", "libsnappy-dev"),
    (r"geos_c\.h|geos-config", "libgeos-dev"),
    (r"gdal-config|gdal\.h", "libgdal-dev"),
    (r"proj\.h|proj_api\.h", "libproj-dev"),
    (r"sql\.h|sqlext\.h", "unixodbc-dev"),
    (r"graphviz/\w+\.h", "libgraphviz-dev"),
    (r"portaudio\.h", "portaudio19-dev"),
    (r"sybfront\.h|freetds", "freetds-dev"),
    (r"libmemcached/\w+\.h", "libmemcached-dev"),
    (r"girepository|gobject-introspection", "libgirepository-2.0-dev"),
    (r"zmq\.h", "libzmq3-dev"),
    (r"sodium\.h", "libsodium-dev"),
    (r"lzo/\w+\.h", "liblzo2-dev"),
    (r"uuid/uuid\.h", "uuid-dev"),
    (r"(?:n?curses|panel)\.h", "libncurses-dev"),
    (r"readline/\w+\.h", "libreadline-dev"),
    (r"zlib\.h", "zlib1g-dev"),
    (r"png\.h", "libpng-dev"),
    (r"ft2build\.h|freetype", "libfreetype-dev"),
    (r"tiff(?:io)?\.h", "libtiff-dev"),
    (r"webp/\w+\.h", "libwebp-dev"),
    (r"mpfr\.h", "libmpfr-dev"),
    (r"mpc\.h", "libmpc-dev"),
    (r"fftw3\.h", "libfftw3-dev"),
    (r"boost/", "libboost-dev"),
    (r"pcap\.h", "libpcap-dev"),
    (r"libusb\.h", "libusb-1.0-0-dev"),
    (r"cups/\w+\.h", "libcups2-dev"),
    (r"rados/\w+\.h", "librados-dev"),
    (r"re2/\w+\.h", "libre2-dev"),
    (r"X11/\w+\.h", "libx11-dev"),
    (r"GL/\w+\.h", "libgl-dev"),
    (r"alsa/\w+\.h", "libasound2-dev"),
    (r"cargo|rustc|Rust toolchain", "cargo"),
    (r"cmake", "cmake"),
    (r"ninja", "ninja-build"),
    (r"gfortran|Fortran compiler", "gfortran"),
    (r"swig", "swig"),
    (r"\bgit\b", "git"),
    (r"lapack|openblas|\bblas\b", "libopenblas-dev"),
)
# Programs lie in a package's folder, or where the environment's `bin` takes them from (PyPA wheel format).
_PROGRAMS: Final = re.compile(r"(?:^|/)bin/|\.data/(?:scripts|data/s?bin)/")
# Lines in which something is missing, as compilers, linkers, shells, pkg-config and meson put it.
_MISSING: Final = re.compile(
    r"fatal error: (?P<header>[\w./+-]+): No such file"
    r"|cannot find -l(?P<library>[\w+.-]+)"
    r"|(?P<line>.*(?:not found|No such file or directory|is required|could not find|unable to find|not installed"
    r"|Unknown compiler|no such package|make sure .* installed|pkg-config --exists .* returned non-zero).*)",
    re.IGNORECASE,
)


def has_native_code(tree: Path, requires: Iterable[str]) -> bool:
    """Tell whether the project in `tree`, built with `requires`, is one that compiles.

    May err for exotic build scripts; building then shows it by a wheel with a platform tag.
    """
    return declares_extensions(tree, requires) or any(
        name in _NAMES or name.endswith(_SUFFIXES) for name in _file_names(tree)
    )


def declares_extensions(tree: Path, requires: Iterable[str]) -> bool:
    """Tell whether a project's own files say that it compiles: what it requires, setup.py, pyproject.toml."""
    names = set()
    for text in requires:
        try:
            names.add(canonicalize_name(Requirement(text).name))
        except InvalidRequirement:
            continue  # who resolves the requirements says so
    return bool(names & _COMPILERS) or any(
        pattern.search(_content(tree / name)) is not None for name, pattern in _DECLARATIONS.items()
    )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _file_names(tree: Path) -> Iterator[str]:
    for _folder, folders, names in os.walk(tree):
        folders[:] = [name for name in folders if name.lower() not in _ASIDE]
        yield from names


def missing_package(output: str) -> tuple[str, str] | None:
    """Return what a failed build's `output` says is missing, and the Debian package that may have it."""
    for line in output.splitlines():
        match = _MISSING.search(line)
        if match is None:
            continue
        if match["library"]:
            return f"the library -l{match['library']}", f"lib{match['library'].lower()}-dev"
        what = match["header"] or match["line"].strip()
        for pattern, package in _PACKAGES:
            if found := re.search(pattern, what):
                return match["header"] or found[0], package
    return None


@dataclass(frozen=True, slots=True)
class NeededLibrary:
    """A shared object of a wheel (`member`) and a library that it is linked to (DT_NEEDED).

    `versions` are those of the library's symbols that it needs and the library at hand has not; empty where
    the library itself is missing.
    """

    member: str
    library: str
    versions: tuple[str, ...] = ()


def unmet_libraries(wheel: Wheel, available: Mapping[str, Path]) -> tuple[NeededLibrary, ...]:
    """Return what `wheel`'s shared objects and programs need and neither it nor `available` has.

    `available` maps file names to files. A library that is there and older counts too.
    """
    own = {path.rpartition("/")[2] for path in wheel.by_path}
    found: list[NeededLibrary] = []
    with wheel.open() as reader:
        for member in wheel.members:
            if ".so" not in member.path.rpartition("/")[2] and not _PROGRAMS.search(member.path):
                continue
            dynamic = read_dynamic(b"".join(reader.chunks(member)))
            for library in dynamic.needed:
                if library in own:
                    continue
                if library not in available:
                    found.append(NeededLibrary(member.path, library))
                elif wanted := dynamic.versions.get(library):
                    # Without any version of its own, a library takes every one (musl's do).
                    defined = _defined(available[library])
                    if defined and (missing := wanted - defined):
                        found.append(NeededLibrary(member.path, library, tuple(sorted(missing))))
    return tuple(found)


def needed_libraries(data: bytes) -> tuple[str, ...]:
    """Return the DT_NEEDED names of a 64-bit little-endian ELF file (System V ABI), none for other files."""
    return tuple(read_dynamic(data).needed)


@cache
def _defined(path: Path) -> frozenset[str]:
    return read_dynamic(path.read_bytes()).defined
