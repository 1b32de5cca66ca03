"""Unpacking: what the layers say, nothing outside the folder, and whole or not at all."""

import os
import stat
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.images import (
    file,
    folder,
    foreign_tar,
    hardlink,
    layer_of,
    make_layer,
    member,
    small_image,
    symlink,
)
from shipwheel.errors import HostError, ShipwheelError
from shipwheel.oci.model import Digest, Layer
from shipwheel.oci.tar import DEFAULT_MTIME
from shipwheel.oci.unpack import unpack_image, unpack_layers
from shipwheel.testing.images import make_layer as plain_layer


def unpacked(tmp_path: Path, *layers: Layer) -> Path:
    root = tmp_path / "root"
    unpack_layers(layers, root)
    return root


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_files_folders_and_links_are_what_the_layers_say(tmp_path: Path) -> None:
    root = unpacked(
        tmp_path,
        make_layer(
            tmp_path,
            folder("bin"),
            file("bin/app", b"code", mode=0o755),
            file("bin/gone"),
            symlink("sbin", "bin"),
            hardlink("app", "bin/app"),
            symlink("away", "/etc/hostname"),
        ),
        make_layer(tmp_path, file("bin/.wh.gone"), file("sbin/more", b"more", mode=0o640)),
    )
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == [
        "app",
        "away",
        "bin",
        "bin/app",
        "bin/more",
        "sbin",
    ]
    assert (root / "bin/app").read_bytes() == b"code"
    assert (root / "app").samefile(root / "bin/app")
    assert (root / "away").readlink() == Path("/etc/hostname")
    assert (mode(root / "bin/app"), mode(root / "bin/more")) == (0o755, 0o640)
    assert (root / "bin/app").stat().st_mtime == DEFAULT_MTIME


def test_setuid_is_dropped_and_folders_can_be_removed_again(tmp_path: Path) -> None:
    root = unpacked(
        tmp_path,
        make_layer(
            tmp_path,
            file("su", mode=0o4755),
            file("wall", mode=0o2755),
            folder("tmp", mode=0o1777),
            folder("locked", mode=0o000),
            file("locked/in"),
        ),
    )
    assert [mode(root / name) for name in ("su", "wall", "tmp", "locked")] == [0o755, 0o755, 0o1777, 0o700]


def test_the_callers_umask_changes_nothing(tmp_path: Path) -> None:
    layer = make_layer(tmp_path, folder("d", mode=0o775), file("d/f", mode=0o666))
    before = os.umask(0o077)
    try:
        root = unpacked(tmp_path, layer)
    finally:
        os.umask(before)
    assert (mode(root / "d"), mode(root / "d/f")) == (0o775, 0o666)


def test_devices_and_pipes_are_left_out(tmp_path: Path) -> None:
    members = [member(name, kind=kind) for name, kind in (("c", b"3"), ("b", b"4"), ("p", b"6"), ("f", b"0"))]
    root = unpacked(tmp_path, layer_of(tmp_path, foreign_tar(members)))
    assert [path.name for path in root.iterdir()] == ["f"]


def test_names_that_are_not_utf_8_keep_their_bytes(tmp_path: Path) -> None:
    info, content = member("x\udcff")
    tar = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") + bytes(1024)
    root = unpacked(tmp_path, layer_of(tmp_path, tar + content))
    assert [os.fsencode(path.name) for path in root.iterdir()] == [b"x\xff"]


def outside(tmp_path: Path) -> Path:
    place = tmp_path / "outside"
    place.mkdir()
    (place / "secret").write_text("unchanged")
    return place


@pytest.mark.parametrize("link", ["{outside}", "../outside", "a/../../outside"])
@pytest.mark.parametrize("split", [False, True])
def test_no_write_follows_a_symlink_out_of_the_folder(tmp_path: Path, link: str, split: bool) -> None:
    place = outside(tmp_path)
    target = link.format(outside=place)
    first = [member("door", kind=tarfile.SYMTYPE, link=target)]
    second = [
        member("door/secret", b"overwritten"),
        member("door/new", b"new"),
        member("door/sub", kind=tarfile.DIRTYPE),
    ]
    if split:
        layers = [layer_of(tmp_path, foreign_tar(first)), layer_of(tmp_path, foreign_tar(second))]
    else:
        layers = [layer_of(tmp_path, foreign_tar(first + second))]
    unpacked(tmp_path, *layers)
    assert [path.name for path in place.iterdir()] == ["secret"]
    assert (place / "secret").read_text() == "unchanged"


def test_a_file_in_the_place_of_a_symlink_replaces_the_link(tmp_path: Path) -> None:
    place = outside(tmp_path)
    tar = foreign_tar(
        [member("door", kind=tarfile.SYMTYPE, link=str(place / "secret")), member("door", b"overwritten")]
    )
    root = unpacked(tmp_path, layer_of(tmp_path, tar))
    assert (place / "secret").read_text() == "unchanged"
    assert (root / "door").read_text() == "overwritten"


@pytest.mark.parametrize("name", ["{outside}/secret", "../outside/secret", "door/secret"])
def test_no_hard_link_reaches_a_file_of_the_host(tmp_path: Path, name: str) -> None:
    place = outside(tmp_path)
    tar = foreign_tar(
        [
            member("door", kind=tarfile.SYMTYPE, link=str(place)),
            member("stolen", kind=tarfile.LNKTYPE, link=name.format(outside=place)),
        ]
    )
    with pytest.raises(ShipwheelError):
        unpacked(tmp_path, layer_of(tmp_path, tar))
    assert (place / "secret").stat().st_nlink == 1


def test_a_whiteout_removes_nothing_of_the_host(tmp_path: Path) -> None:
    place = outside(tmp_path)
    layers = [
        layer_of(tmp_path, foreign_tar([member("door", kind=tarfile.SYMTYPE, link=str(place))])),
        layer_of(tmp_path, foreign_tar([member("door/.wh.secret"), member("door/.wh..wh..opq")])),
    ]
    unpacked(tmp_path, *layers)
    assert (place / "secret").exists()


def test_a_layer_that_lies_leaves_nothing_behind(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    liar = replace(image.layers[1], diff_id=Digest.of(b"other"))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ShipwheelError):
        unpack_image(replace(image, layers=(image.layers[0], liar)), tmp_path / "root")
    assert sorted(tmp_path.iterdir()) == before


def test_a_name_too_long_for_the_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, foreign_tar([member("n" * 300)]))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(HostError):
        unpack_layers([layer], tmp_path / "root")
    assert sorted(tmp_path.iterdir()) == before


def test_only_an_empty_folder_is_unpacked_into(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    root = tmp_path / "root"
    root.mkdir()
    unpack_image(image, root)
    assert (root / "etc/text").read_bytes() == b"hello"
    with pytest.raises(HostError) as raised:
        unpack_image(image, root)
    assert raised.value.code == "folder-not-empty"
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(HostError):
        unpack_image(image, tmp_path / "link")


def test_folders_that_are_left_out_are_empty_and_a_file_with_a_name_elsewhere_is_there(
    tmp_path: Path,
) -> None:
    layer = plain_layer({"usr/share/zone/utc": b"data", "usr/lib/a": b"code", "usr/shared": b"kept"})

    unpack_layers([layer], tmp_path / "root", leave_out=("usr/share",))

    found = sorted(path.relative_to(tmp_path / "root").as_posix() for path in (tmp_path / "root").rglob("*"))
    assert found == ["usr", "usr/lib", "usr/lib/a", "usr/share", "usr/shared"]
