"""Assembling: what is in which layer, what scripts would have made, and the same bytes every time."""

import os
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.debian import BuiltDeb, Member, elf, folder, hardlink, make_deb, symlink
from shipwheel.base.debian.assemble import assemble_debian
from shipwheel.base.debian.recipe import layer_keys
from shipwheel.base.model import DebianPackage, DebianPlatform
from shipwheel.errors import IntegrityError, LockError
from shipwheel.oci.model import Layer
from shipwheel.oci.tar import DEFAULT_MTIME
from shipwheel.oci.validate import validate_layer

BASE = make_deb(
    "base-files",
    [
        folder("./"),
        folder("./tmp/", 0o1777),
        folder("./var/run/"),
        folder("./var/local/", 0o2775),
        symlink("./bin", "usr/bin"),
        Member("./etc/debian_version", b"13\n"),
        Member("./usr/share/doc/base-files/copyright", b"free"),
        Member("./usr/share/doc/base-files/changelog.gz", b"old"),
    ],
    md5sums="aa  etc/debian_version\nbb  usr/share/doc/base-files/changelog.gz\n",
)
CERTIFICATES = make_deb(
    "ca-certificates",
    [
        Member("./usr/share/ca-certificates/mozilla/B.crt", b"second"),
        Member("./usr/share/ca-certificates/mozilla/A.crt", b"first\n"),
        Member("./usr/sbin/update-ca-certificates", b"#!/bin/sh -e\n", 0o755),
    ],
)
LIBC = make_deb(
    "libc6",
    [Member("./lib/x86_64-linux-gnu/libc.so.6", b"libc", 0o755), symlink("./lib64/ld.so", "/lib/x")],
    fields="Source: glibc\n",
)
PYTHON = make_deb(
    "python3.13-minimal",
    [
        Member("./usr/bin/python3.13", b"\x7fELF", 0o755),
        Member("./usr/bin/pdb3.13", b"#! /usr/bin/python3.13\n", 0o755),
        Member("./usr/lib/python3.13/os.py", b"import sys\n"),
        Member("./usr/lib/python3.13/test/x.py", b""),
    ],
)
DEBS = (BASE, CERTIFICATES, LIBC, PYTHON)


def locked(packages: Sequence[DebianPackage]) -> DebianPlatform:
    return DebianPlatform(
        platform="linux/amd64",
        python="3.13.5",
        libc="glibc 2.41",
        executable="/usr/bin/python3.13",
        packages=tuple(packages),
    )


def assemble(tmp_path: Path, *debs: BuiltDeb) -> tuple[Layer, ...]:
    paths = {}
    for deb in debs:
        paths[deb.sha256] = tmp_path / deb.sha256
        paths[deb.sha256].write_bytes(deb.data)
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    layers = assemble_debian(locked([deb.locked() for deb in debs]), paths, out)
    assert sorted(path.name for path in out.iterdir()) == ["os.tar.gz", "python.tar.gz"]
    for layer in layers:
        assert validate_layer(layer) == []
    return layers


def members(layer: Layer) -> dict[str, tarfile.TarInfo]:
    with layer.blob.open() as file, tarfile.open(fileobj=file, mode="r:gz") as tar:
        return {info.name: info for info in tar}


def content(layer: Layer, path: str) -> bytes:
    with layer.blob.open() as file, tarfile.open(fileobj=file, mode="r:gz") as tar:
        found = tar.extractfile(path)
        assert found is not None
        return found.read()


def refusal(tmp_path: Path, *debs: BuiltDeb) -> str:
    with pytest.raises(IntegrityError) as caught:
        assemble(tmp_path, *debs)
    return caught.value.code


def test_the_interpreter_has_a_layer_of_its_own(tmp_path: Path) -> None:
    os_layer, python_layer = map(members, assemble(tmp_path, *DEBS))
    assert "usr/lib/x86_64-linux-gnu/libc.so.6" in os_layer
    assert {"usr/bin/python3.13", "usr/lib/python3.13/os.py"} <= set(python_layer)
    files = {path for path, info in python_layer.items() if not info.isdir()}
    assert not files & set(os_layer)


def test_entries_are_sorted_owned_by_root_and_dated_alike(tmp_path: Path) -> None:
    for layer in assemble(tmp_path, *DEBS):
        infos = members(layer)
        assert list(infos) == sorted(infos)
        assert {(info.uid, info.gid, info.mtime) for info in infos.values()} == {(0, 0, DEFAULT_MTIME)}


def test_folders_are_named_before_what_is_in_them(tmp_path: Path) -> None:
    for layer in assemble(tmp_path, *DEBS):
        seen: set[str] = set()
        for path in members(layer):
            assert "/" not in path or path.rpartition("/")[0] in seen
            seen.add(path)


def test_usr_is_merged(tmp_path: Path) -> None:
    os_layer, _ = map(members, assemble(tmp_path, *DEBS))
    assert {name: os_layer[name].linkname for name in ("bin", "sbin", "lib", "lib64")} == {
        "bin": "usr/bin",
        "sbin": "usr/sbin",
        "lib": "usr/lib",
        "lib64": "usr/lib64",
    }
    assert os_layer["usr/lib64/ld.so"].issym()
    assert os_layer["var/run"].linkname == "/run"


def test_no_folder_is_set_gid_and_tmp_is_sticky(tmp_path: Path) -> None:
    os_layer, _ = map(members, assemble(tmp_path, *DEBS))
    assert os_layer["tmp"].mode == 0o1777
    assert os_layer["var/local"].mode == 0o775


def test_documentation_goes_and_copyright_stays(tmp_path: Path) -> None:
    os_layer, _ = map(members, assemble(tmp_path, *DEBS))
    assert "usr/share/doc/base-files/copyright" in os_layer
    assert "usr/share/doc/base-files/changelog.gz" not in os_layer


def test_certificates_are_one_bundle_where_openssl_looks(tmp_path: Path) -> None:
    layer, _ = assemble(tmp_path, *DEBS)
    assert content(layer, "etc/ssl/certs/ca-certificates.crt") == b"first\nsecond\n"
    assert members(layer)["usr/lib/ssl/cert.pem"].linkname == "/etc/ssl/certs/ca-certificates.crt"
    assert not any("mozilla" in path for path in members(layer))


def test_a_command_whose_interpreter_is_not_there_goes(tmp_path: Path) -> None:
    os_layer, python_layer = map(members, assemble(tmp_path, *DEBS))
    assert "usr/sbin/update-ca-certificates" not in os_layer
    assert "usr/bin/pdb3.13" in python_layer


def test_root_and_nobody_have_accounts(tmp_path: Path) -> None:
    layer, _ = assemble(tmp_path, *DEBS)
    assert [line.split(":")[0] for line in content(layer, "etc/passwd").decode().splitlines()] == [
        "root",
        "nobody",
    ]
    assert "etc/shadow" not in members(layer)


def test_scanners_find_each_package_in_its_layer(tmp_path: Path) -> None:
    layer, python = assemble(tmp_path, *DEBS)
    status = content(layer, "var/lib/dpkg/status.d/libc6").decode()
    assert status.startswith("Package: libc6\nStatus: install ok installed\nVersion: 1.0-1\n")
    assert "Source: glibc\n" in status
    assert "var/lib/dpkg/status.d/python3.13-minimal" in members(python)
    assert "var/lib/dpkg/status.d/python3.13-minimal" not in members(layer)


def test_sums_are_of_the_files_that_are_there(tmp_path: Path) -> None:
    layer, _ = assemble(tmp_path, *DEBS)
    assert content(layer, "var/lib/dpkg/status.d/base-files.md5sums") == b"aa  etc/debian_version\n"


def test_the_loaders_cache_covers_both_layers_and_is_in_the_upper_one(tmp_path: Path) -> None:
    libc_bin = make_deb(
        "libc-bin",
        [
            Member("./etc/ld.so.conf", b"include /etc/ld.so.conf.d/*.conf\n"),
            Member("./etc/ld.so.conf.d/x.conf", b"/lib/x86_64-linux-gnu\n"),
            Member("./usr/sbin/ldconfig", b"\0ldconfig (Debian) stable release version 2\0", 0o755),
        ],
    )
    lower = make_deb("libz", [Member("./lib/x86_64-linux-gnu/libz.so.1", elf("libz.so.1"))])
    upper = make_deb("libpython3.13", [Member("./usr/lib/libp.so.1", elf("libp.so.1"))])
    os_layer, python_layer = assemble(tmp_path, *DEBS, libc_bin, lower, upper)
    assert "etc/ld.so.cache" not in members(os_layer)
    cache = content(python_layer, "etc/ld.so.cache")
    assert b"/lib/x86_64-linux-gnu/libz.so.1\0" in cache
    assert b"/lib/libp.so.1\0" in cache
    assert cache.endswith(b"ldconfig (Debian) stable release version 2")


def test_the_same_packages_give_the_same_bytes_whatever_their_order_and_the_umask(tmp_path: Path) -> None:
    one = assemble(tmp_path, *DEBS)
    before = os.umask(0o077)
    try:
        other = assemble(tmp_path, *reversed(DEBS))
    finally:
        os.umask(before)
    assert [layer.descriptor for layer in one] == [layer.descriptor for layer in other]


def test_hard_links_share_their_content(tmp_path: Path) -> None:
    perl = make_deb("zz", [Member("./usr/lib/b", b"same"), hardlink("./usr/lib/a", "./usr/lib/b")])
    layer, _ = assemble(tmp_path, *DEBS, perl)
    assert content(layer, "usr/lib/a") == b"same"
    assert members(layer)["usr/lib/b"].linkname == "usr/lib/a"


def test_a_hard_link_to_nothing_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, make_deb("zz", [hardlink("./usr/a", "./usr/b")])) == "deb-malformed"


def test_one_file_of_two_packages_is_refused_unless_it_is_the_same(tmp_path: Path) -> None:
    one, other = (make_deb(name, [Member("./usr/x", name.encode())]) for name in ("p1", "p2"))
    assert refusal(tmp_path, one, other) == "deb-file-conflict"
    same = make_deb("p2", [Member("./usr/x", b"p1")])
    assert "usr/x" in members(assemble(tmp_path, one, same)[0])


def test_files_that_merged_usr_puts_on_top_of_each_other_are_refused(tmp_path: Path) -> None:
    assert refusal(
        tmp_path, make_deb("p1", [Member("./bin/x", b"1")]), make_deb("p2", [Member("./usr/bin/x", b"2")])
    ) == ("deb-file-conflict")


def test_a_file_below_another_packages_link_is_refused(tmp_path: Path) -> None:
    link = make_deb("p1", [symlink("./usr/lib/x", "/etc")])
    assert refusal(tmp_path, link, make_deb("p2", [Member("./usr/lib/x/passwd", b"")])) == "deb-unsafe-path"


def test_a_package_that_was_not_fetched_is_told(tmp_path: Path) -> None:
    with pytest.raises(LockError) as caught:
        assemble_debian(locked([BASE.locked()]), {}, tmp_path)
    assert caught.value.code == "deb-missing"


def test_keys_follow_from_the_locked_packages() -> None:
    packages = [deb.locked() for deb in DEBS]
    keys = layer_keys(locked(packages))
    assert list(keys) == ["os", "python"]
    assert keys["python"].size == len(PYTHON.data)
    assert layer_keys(locked(packages[::-1])) == keys
    assert layer_keys(replace(locked(packages), platform="linux/arm64")) != keys


def test_a_new_interpreter_leaves_the_lower_layers_key_alone() -> None:
    before = layer_keys(locked([deb.locked() for deb in DEBS]))
    newer = make_deb("python3.13-minimal", version="3.13.6-1")
    after = layer_keys(locked([deb.locked() for deb in (*DEBS[:-1], newer)]))
    assert before["os"].key == after["os"].key
    assert before["python"].key != after["python"].key
