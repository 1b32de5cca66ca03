"""A .deb: what it must be, what it must not hold."""

import lzma
import tarfile
from pathlib import Path

import pytest

from helpers.debian import BuiltDeb, Member, ar, folder, hardlink, make_deb, make_tar, symlink
from shipwheel.base.debian.deb import DebEntry, open_deb
from shipwheel.base.model import DebianPackage
from shipwheel.errors import IntegrityError


def read(tmp_path: Path, deb: BuiltDeb, package: DebianPackage | None = None) -> list[tuple[DebEntry, bytes]]:
    path = tmp_path / "package.deb"
    path.write_bytes(deb.data)
    with open_deb(path, package or deb.locked()) as opened:
        return [(entry, b"".join(content)) for entry, content in opened.entries({})]


def refusal(tmp_path: Path, deb: BuiltDeb, package: DebianPackage | None = None) -> str:
    with pytest.raises(IntegrityError) as caught:
        read(tmp_path, deb, package)
    assert deb.name in (caught.value.problems[0].place or "")
    return caught.value.code


def rebuilt(deb: BuiltDeb, data: bytes) -> BuiltDeb:
    return BuiltDeb(deb.name, deb.version, deb.architecture, data, deb.stanza)


@pytest.mark.parametrize("compression", ["xz", "gz", ""])
def test_entries_are_read_with_every_compression(tmp_path: Path, compression: str) -> None:
    large = bytes(range(256)) * 3000
    deb = make_deb(
        "hello",
        [folder("./"), folder("./usr/", 0o2775), Member("./usr/a", large, 0o755), symlink("./usr/b", "a")],
        compression=compression,
    )
    assert read(tmp_path, deb) == [
        (DebEntry(path="usr", kind="directory", mode=0o775), b""),
        (DebEntry(path="usr/a", kind="file", mode=0o755, size=len(large)), large),
        (DebEntry(path="usr/b", kind="symlink", mode=0o777, link="a"), b""),
    ]


def test_control_files_are_read(tmp_path: Path) -> None:
    deb = make_deb("hello", md5sums="00  usr/a\n", fields="Source: greetings\n")
    (tmp_path / "deb").write_bytes(deb.data)
    with open_deb(tmp_path / "deb", deb.locked()) as opened:
        assert b"Source: greetings" in opened.control.stanza
        assert opened.control.md5sums == b"00  usr/a\n"


def test_another_size_than_locked_is_refused(tmp_path: Path) -> None:
    deb = make_deb("hello")
    assert refusal(tmp_path, deb, deb.locked(size=1)) == "deb-wrong-size"


def test_another_hash_than_locked_is_refused(tmp_path: Path) -> None:
    deb = make_deb("hello")
    assert refusal(tmp_path, deb, deb.locked(sha256="00" * 32)) == "deb-wrong-hash"


@pytest.mark.parametrize("change", ["name", "version", "architecture"])
def test_another_package_under_the_locked_hash_is_refused(tmp_path: Path, change: str) -> None:
    deb = make_deb("hello")
    assert refusal(tmp_path, deb, deb.locked(**{change: "hello2"})) == "deb-wrong-package"


@pytest.mark.parametrize("cut", [1, 70, 200])
def test_a_package_that_is_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    deb = make_deb("hello", [Member("./a", bytes(100_000))])
    assert refusal(tmp_path, rebuilt(deb, deb.data[:-cut])) == "deb-malformed"


def test_a_data_archive_that_ends_early_inside_is_refused(tmp_path: Path) -> None:
    for data in (
        lzma.compress(make_tar([Member("./a", bytes(range(256)) * 1000)]))[:-40],
        lzma.compress(make_tar([Member("./a", b"x" * 9000)])[:4096]),
        b"not xz at all",
    ):
        whole = make_deb("hello")
        control = lzma.compress(make_tar([Member("./control", whole.stanza.encode())]))
        members = (("debian-binary", b"2.0\n"), ("control.tar.xz", control), ("data.tar.xz", data))
        assert refusal(tmp_path, rebuilt(whole, ar(*members))) == "deb-malformed"


@pytest.mark.parametrize(
    "members",
    [
        [],
        [("debian-binary", b"3.0\n"), ("control.tar", b""), ("data.tar", b"")],
        [("control.tar", b""), ("debian-binary", b"2.0\n"), ("data.tar", b"")],
        [("debian-binary", b"2.0\n"), ("data.tar", b"")],
        [("debian-binary", b"2.0\n"), ("control.tar", b""), ("data.tar", b""), ("data.tar.xz", b"")],
        [("debian-binary", b"2.0\n"), ("control.tar.rar", b""), ("data.tar", b"")],
    ],
)
def test_what_is_no_package_of_format_two_is_refused(
    tmp_path: Path, members: list[tuple[str, bytes]]
) -> None:
    assert refusal(tmp_path, rebuilt(make_deb("hello"), ar(*members))) == "deb-malformed"


@pytest.mark.parametrize(
    "path", ["./../x", "../x", "./usr/../../x", "/etc/passwd", "./usr//x", "./usr/./x", "./.."]
)
def test_a_path_that_leads_out_is_refused(tmp_path: Path, path: str) -> None:
    assert refusal(tmp_path, make_deb("hello", [Member(path)])) == "deb-unsafe-path"


@pytest.mark.parametrize("target", ["./../x", "/etc/passwd"])
def test_a_hard_link_that_leads_out_is_refused(tmp_path: Path, target: str) -> None:
    assert refusal(tmp_path, make_deb("hello", [hardlink("./a", target)])) == "deb-unsafe-path"


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_a_device_or_pipe_is_refused(tmp_path: Path, kind: bytes) -> None:
    assert refusal(tmp_path, make_deb("hello", [Member("./dev/x", kind=kind)])) == "deb-special-file"


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6755])
def test_a_set_id_file_is_refused(tmp_path: Path, mode: int) -> None:
    assert refusal(tmp_path, make_deb("hello", [Member("./usr/bin/su", b"x", mode)])) == "deb-setuid"


def test_a_set_id_file_that_is_known_to_be_dispensable_is_left_out(tmp_path: Path) -> None:
    deb = make_deb("hello", [Member("./usr/sbin/x", b"x", 0o2755), Member("./usr/sbin/y", b"y")])
    (tmp_path / "deb").write_bytes(deb.data)
    with open_deb(tmp_path / "deb", deb.locked()) as opened:
        assert [entry.path for entry, _ in opened.entries({"usr/sbin/x": "why"})] == ["usr/sbin/y"]


def test_an_unknown_maintainer_script_is_refused(tmp_path: Path) -> None:
    deb = make_deb("hello", scripts={"postinst": "#!/bin/sh\nadduser --system hello\n"})
    assert refusal(tmp_path, deb) == "deb-unknown-script"


def test_scripts_that_never_run_in_an_image_do_not_matter(tmp_path: Path) -> None:
    deb = make_deb("hello", scripts={"prerm": "#!/bin/sh\nrm -rf /\n", "postrm": "x", "config": "y"})
    assert read(tmp_path, deb) == []
