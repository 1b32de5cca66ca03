"""What compiles is known by its files, what a failed build lacks by its words, what a library needs by its ELF."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers.tools import require_tool
from shipwheel.sources.ensure import find_libraries
from shipwheel.testing.wheels import make_wheel
from shipwheel.wheel.archive import open_wheel
from shipwheel.wheel.elf import read_dynamic
from shipwheel.wheel.native import (
    NeededLibrary,
    declares_extensions,
    has_native_code,
    missing_package,
    needed_libraries,
    unmet_libraries,
)


def tree(root: Path, **files: str) -> Path:
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.parametrize(
    "files",
    [
        {"src__core_dot_c": ""},
        {"pkg__fast_dot_pyx": ""},
        {"Cargo_dot_toml": ""},
        {"meson_dot_build": ""},
        {"setup_dot_py": "setup(ext_modules=[])"},
        {"setup_dot_py": "setup(cffi_modules=['build.py:ffi'])"},
        {"pyproject_dot_toml": "[tool.setuptools]\next-modules = []\n"},
        {"pyproject_dot_toml": '[tool.poetry.build]\nscript = "build.py"\n'},
    ],
    ids=str,
)
def test_code_to_compile_is_seen(tmp_path: Path, files: dict[str, str]) -> None:
    assert has_native_code(tree(tmp_path, **files), ["setuptools"])


@pytest.mark.parametrize(
    "name",
    ["Cython>=3", "meson_python", "maturin~=1.0", "scikit-build-core", "pybind11 ; python_version > '3'"],
)
def test_who_requires_a_compilers_tool_compiles(tmp_path: Path, name: str) -> None:
    assert has_native_code(tree(tmp_path, setup_dot_py=""), ["setuptools", name])


@pytest.mark.parametrize(
    "files",
    [
        {"pkg__a_dot_py": ""},
        {"tests__data__x_dot_c": ""},
        {"docs__Makefile": ""},
        {"setup_dot_py": "setup()"},
    ],
    ids=str,
)
def test_python_alone_is_no_code_to_compile(tmp_path: Path, files: dict[str, str]) -> None:
    assert not has_native_code(tree(tmp_path, **files), ["setuptools", "not a requirement!"])


def test_a_c_file_beside_a_first_party_project_does_not_make_it_compile(tmp_path: Path) -> None:
    root = tree(tmp_path, firmware__main_dot_c="", pkg__a_dot_py="")

    assert has_native_code(root, [])
    assert not declares_extensions(root, [])


@pytest.mark.parametrize(
    ("output", "package"),
    [
        ("x.c:3:10: fatal error: libpq-fe.h: No such file or directory", "libpq-dev"),
        ("Error: pg_config executable not found.", "libpq-dev"),
        ("/bin/sh: 1: mysql_config: not found", "default-libmysqlclient-dev"),
        ("/usr/bin/ld: cannot find -lldap: No such file", "libldap-dev"),
        ("error: can't find Rust compiler\ncargo: command not found", "cargo"),
        ("error: Unable to find a `gfortran`; Fortran compiler not found", "gfortran"),
        ("CMake Error: cmake is required", "cmake"),
        (
            "Command 'pkg-config --exists mysqlclient' returned non-zero exit status 1.",
            "default-libmysqlclient-dev",
        ),
        (
            "Error: Please make sure the libxml2 and libxslt development packages are installed.",
            "libxslt1-dev",
        ),
        ("error: xmlsec1 is not installed or not in path.", "libxmlsec1-dev"),
        ('meson.build:3:0: ERROR: Dependency "cairo" not found, tried pkgconfig', "libcairo2-dev"),
        (
            "Could not run curl-config: [Errno 2] No such file or directory: 'curl-config'",
            "libcurl4-openssl-dev",
        ),
        ("x.cpp:9:10: fatal error: sql.h: No such file or directory", "unixodbc-dev"),
        ("/bin/sh: 1: krb5-config: not found", "libkrb5-dev"),
        ("a.c:1:10: fatal error: openssl/ssl.h: No such file or directory", "libssl-dev"),
    ],
)
def test_what_a_build_missed_is_named_with_its_debian_package(output: str, package: str) -> None:
    found = missing_package(f"building\n{output}\nerror: failed")

    assert found is not None
    assert found[1] == package


def test_a_build_that_fails_for_another_reason_misses_nothing() -> None:
    assert missing_package("SyntaxError: invalid syntax\nx.c:1: error: expected ';'") is None


def test_the_libraries_of_a_program_are_read_from_its_file() -> None:
    sh = shutil.which("sh")
    assert sh is not None

    assert "libc.so.6" in needed_libraries(Path(sh).read_bytes())


@pytest.mark.parametrize("data", [b"", b"\x7fELF\x02\x01", b"#!/bin/sh\n", b"\x7fELF\x02\x01" + bytes(100)])
def test_other_files_need_no_libraries(data: bytes) -> None:
    assert needed_libraries(data) == ()


def test_damaged_programs_need_what_can_still_be_read() -> None:
    sh = shutil.which("sh")
    assert sh is not None
    data = Path(sh).read_bytes()

    for end in range(0, len(data), max(1, len(data) // 40)):
        assert isinstance(needed_libraries(data[:end]), tuple)


def test_libraries_that_neither_the_wheel_nor_the_image_has_are_named(tmp_path: Path) -> None:
    sh = shutil.which("sh")
    assert sh is not None
    made = make_wheel("fast", "1.0", {"fast/core.so": Path(sh).read_bytes(), "fast/plain.py": ""})
    wheel = open_wheel(made.write(tmp_path), filename=made.filename, sha256=made.sha256)
    needed = needed_libraries(Path(sh).read_bytes())

    empty = tmp_path / "a library without versions"
    empty.touch()

    assert unmet_libraries(wheel, dict.fromkeys(needed, empty)) == ()
    assert unmet_libraries(wheel, {}) == tuple(NeededLibrary("fast/core.so", name) for name in needed)


@pytest.mark.parametrize(
    "place", ["fast-1.0.data/scripts/fast", "fast-1.0.data/data/bin/fast", "fast/bin/run"]
)
def test_programs_are_looked_at_wherever_a_wheel_has_them(tmp_path: Path, place: str) -> None:
    made = make_wheel("fast", "1.0", {place: Path("/bin/sh").read_bytes()})
    wheel = open_wheel(made.write(tmp_path), filename=made.filename, sha256=made.sha256)

    assert [need.member for need in unmet_libraries(wheel, {})] == [place]


def test_a_library_that_is_older_than_the_one_compiled_with_is_named_with_what_it_lacks(
    tmp_path: Path,
) -> None:
    program = Path("/bin/sh").read_bytes()
    newest = max(read_dynamic(program).versions["libc.so.6"], key=natural)
    here = find_libraries(Path("/"))["libc.so.6"]
    older = tmp_path / "libc.so.6"
    older.write_bytes(here.read_bytes().replace(newest.encode() + b"\0", b"GLIBC_0" + bytes(len(newest) - 6)))
    made = make_wheel("fast", "1.0", {"fast/core.so": program})
    wheel = open_wheel(made.write(tmp_path), filename=made.filename, sha256=made.sha256)

    assert unmet_libraries(wheel, {"libc.so.6": here}) == ()
    assert unmet_libraries(wheel, {"libc.so.6": older}) == (
        NeededLibrary("fast/core.so", "libc.so.6", (newest,)),
    )


def natural(version: str) -> list[int]:
    return [int(part) for part in version.partition("_")[2].split(".")]


def test_the_versions_that_libraries_define_and_need_are_those_that_readelf_shows() -> None:
    readelf = require_tool("readelf")
    libraries = find_libraries(Path("/"))
    for path in (libraries["libc.so.6"], libraries["libm.so.6"], Path("/bin/sh").resolve()):
        shown = subprocess.run(
            [readelf, "--version-info", "--wide", path], check=True, capture_output=True, text=True
        ).stdout
        definitions, _, needs = shown.partition("Version needs section")
        dynamic = read_dynamic(path.read_bytes())
        assert dynamic.defined == set(re.findall(r"Index: \d+  Cnt: \d+  Name: (\S+)", definitions))
        required = {name for names in dynamic.versions.values() for name in names}
        assert required == set(re.findall(r"Name: (\S+)  Flags: none", needs))
