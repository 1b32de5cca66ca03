"""ld.so.cache: which names are in it and in what order. The bytes are compared with ldconfig's elsewhere."""

import struct

import pytest

from helpers import debian
from shipwheel.base.debian.ldcache import (
    Library,
    configured_folders,
    generator_of,
    is_library_name,
    render_cache,
)
from shipwheel.base.debian.tree import Node

ARM = 183


def elf(soname: str, machine: int = 62, kind: int = 3) -> Node:
    return Node(path="x", kind="file", mode=0o644, content=debian.elf(soname, machine, kind))


def library(name: str, *, real: str = "", node: Node | None = None, soname: str | None = None) -> Library:
    file = node or elf(name if soname is None else soname)
    return Library(name, real or name, bool(real), file)


def entries(cache: bytes) -> list[tuple[str, str, int]]:
    """Return what ld.so finds in a cache: name, path, flags (glibc: struct cache_file_new)."""
    assert cache.startswith(b"glibc-ld.so.cache1.1")
    (count,) = struct.unpack_from("<I", cache, 20)
    found = []
    for index in range(count):
        flags, key, value, _, _ = struct.unpack_from("<iIIIQ", cache, 48 + index * 24)
        name, path = (cache[at : cache.index(b"\0", at)].decode() for at in (key, value))
        found.append((name, path, flags))
    return found


def names(*libraries: Library, folder: str = "/lib") -> list[str]:
    return [name for name, _, _ in entries(render_cache([(folder, libraries)], b"ldconfig"))]


def test_a_library_is_found_by_its_soname() -> None:
    cache = render_cache([("/lib/x", [library("libz.so.1.3", soname="libz.so.1")])], b"gen")
    assert entries(cache) == [("libz.so.1", "/lib/x/libz.so.1", 0x0303)]
    assert cache.endswith(b"gen")


def test_an_arm_library_has_its_own_flags() -> None:
    cache = render_cache([("/lib", [library("libz.so.1", node=elf("libz.so.1", ARM))])], b"")
    assert entries(cache) == [("libz.so.1", "/lib/libz.so.1", 0x0A03)]


def test_names_are_sorted_backwards_with_numbers_by_value() -> None:
    shuffled = [library(name) for name in ("liba.so.2", "liba.so.10", "libb.so", "liba.so")]
    assert names(*shuffled) == ["libb.so", "liba.so.10", "liba.so.2", "liba.so"]


def test_a_link_with_the_soname_and_its_file_are_one_library() -> None:
    real = elf("libz.so.1")
    found = names(library("libz.so.1", real="libz.so.1.3", node=real), library("libz.so.1.3", node=real))
    assert found == ["libz.so.1"]


def test_a_link_for_the_linker_stands_for_itself() -> None:
    real = elf("libz.so.1")
    found = names(library("libz.so", real="libz.so.1", node=real), library("libz.so.1", node=real))
    assert found == ["libz.so.1", "libz.so"]


def test_a_library_without_a_soname_goes_by_its_name() -> None:
    assert names(library("libx.so", soname="")) == ["libx.so"]


@pytest.mark.parametrize(
    "content", [b"", b"#!/bin/sh\n", b"\x7fELF\x01\x01" + bytes(100), b"GROUP ( libc.so.6 )"]
)
def test_what_is_no_shared_object_is_passed_over(content: bytes) -> None:
    assert names(library("libx.so", node=Node(path="x", kind="file", mode=0o644, content=content))) == []


def test_programs_and_other_machines_libraries_are_passed_over() -> None:
    assert (
        names(library("liba.so", node=elf("liba.so", 8)), library("libb.so", node=elf("libb.so", kind=2)))
        == []
    )


def test_of_equal_names_the_folder_that_is_searched_first_comes_first() -> None:
    folders = [("/usr/local/lib", [library("libz.so.1")]), ("/lib", [library("libz.so.1")])]
    paths = [path for _, path, _ in entries(render_cache(folders, b""))]
    assert paths == ["/usr/local/lib/libz.so.1", "/lib/libz.so.1"]


def test_a_name_that_ends_another_shares_its_bytes() -> None:
    cache = render_cache([("/lib", [library("libz.so.1")])], b"")
    assert cache.count(b"libz.so.1\0") == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("libz.so", True),
        ("libz.so.1.2", True),
        ("ld-linux-x86-64.so.2", True),
        ("libz.a", False),
        ("x.so", False),
        ("libstdc++.so.6.0.33-gdb.py", False),
    ],
)
def test_only_names_of_libraries_are_looked_at(name: str, expected: bool) -> None:
    assert is_library_name(name) is expected


def test_folders_are_read_in_the_order_of_the_configuration() -> None:
    files = {
        "/etc/ld.so.conf": "include /etc/ld.so.conf.d/*.conf\n/opt/lib # ours\n",
        "/etc/ld.so.conf.d/x.conf": "/lib/x/\n",
        "/etc/ld.so.conf.d/libc.conf": "# comment\n/usr/local/lib\n",
    }
    assert configured_folders(files) == ["/usr/local/lib", "/lib/x", "/opt/lib", "/lib", "/usr/lib"]


def test_the_generator_is_read_from_the_program() -> None:
    line = b"ldconfig (Debian GLIBC 2.41-12) stable release version 2.41"
    assert generator_of(b"\0usage: ldconfig\0" + line + b"\0rest\0") == line
    assert generator_of(b"\0") == b""
