"""The filesystem that layers make: whiteouts, links, and looking files up in it."""

import tarfile
from pathlib import Path

import pytest

from helpers.images import file, folder, foreign_tar, hardlink, layer_of, make_layer, member, symlink
from shipwheel.errors import ImageError
from shipwheel.oci.layer_read import Limits
from shipwheel.oci.model import Layer
from shipwheel.oci.tree import find_files, read_tree


def paths(*layers: Layer) -> list[str]:
    return [path for path, _ in read_tree(layers).walk()]


def test_the_last_layer_wins(tmp_path: Path) -> None:
    lower = make_layer(tmp_path, file("a", b"old"), file("b", b"old"))
    upper = make_layer(tmp_path, file("a", b"new"))
    assert find_files([lower, upper], ["a", "/b", "c"]) == {"a": b"new", "/b": b"old"}


def test_a_whiteout_removes_what_is_lower_with_all_it_holds(tmp_path: Path) -> None:
    lower = make_layer(tmp_path, folder("d"), file("d/a"), folder("e"), file("e/a"))
    assert paths(lower, make_layer(tmp_path, file(".wh.d"))) == ["e", "e/a"]


def test_an_opaque_whiteout_hides_what_is_lower_and_not_its_own_layer(tmp_path: Path) -> None:
    lower = make_layer(tmp_path, folder("d"), file("d/old"), folder("d/sub"), file("d/sub/old"))
    before = make_layer(tmp_path, folder("d"), file("d/.wh..wh..opq"), file("d/new"))
    after = make_layer(
        tmp_path, folder("d"), file("d/new"), folder("d/sub"), file("d/sub/new"), file("d/.wh..wh..opq")
    )
    assert paths(lower, before) == ["d", "d/new"]
    assert paths(lower, after) == ["d", "d/new", "d/sub", "d/sub/new"]


def test_a_whiteout_leaves_a_file_of_its_own_layer_alone(tmp_path: Path) -> None:
    lower = make_layer(tmp_path, file("a", b"old"))
    for upper in (
        make_layer(tmp_path, file("a", b"new"), file(".wh.a")),
        make_layer(tmp_path, file(".wh.a"), file("a", b"new")),
    ):
        assert find_files([lower, upper], ["a"]) == {"a": b"new"}


def test_files_of_aufs_itself_are_nobodys(tmp_path: Path) -> None:
    assert paths(make_layer(tmp_path, folder(".wh..wh.plnk"), file(".wh..wh.aufs"), file("a"))) == ["a"]


def test_a_folder_and_a_file_take_each_others_place(tmp_path: Path) -> None:
    lower = make_layer(tmp_path, folder("a"), file("a/x"), file("b"), symlink("c", "a"))
    upper = make_layer(tmp_path, file("a"), folder("b"), file("b/x"), folder("c"), file("c/y"))
    assert paths(lower, upper) == ["a", "b", "b/x", "c", "c/y"]


def test_a_folder_met_again_keeps_what_it_holds_and_gets_the_new_mode(tmp_path: Path) -> None:
    lower = make_layer(tmp_path, folder("a"), file("a/x"))
    node = read_tree([lower, make_layer(tmp_path, folder("a", mode=0o700))]).find("a")
    assert node is not None
    assert (node.mode, list(node.children)) == (0o700, ["x"])


def test_a_path_through_a_symlink_means_what_the_link_means(tmp_path: Path) -> None:
    lower = make_layer(tmp_path, folder("usr"), folder("usr/lib"), symlink("lib", "usr/lib"))
    upper = make_layer(tmp_path, file("lib/a", b"a"))
    assert paths(lower, upper) == ["lib", "usr", "usr/lib", "usr/lib/a"]


def test_symlinks_are_followed_inside_the_image_only(tmp_path: Path) -> None:
    layer = make_layer(
        tmp_path,
        folder("etc"),
        file("etc/passwd", b"the image's"),
        symlink("up", "../../../../etc/passwd"),
        symlink("absolute", "/etc/passwd"),
        symlink("chain", "up"),
        symlink("dangling", "/nowhere"),
        symlink("through-a-file", "etc/passwd/../passwd"),
    )
    found = find_files([layer], ["up", "absolute", "chain", "dangling", "through-a-file", "etc"])
    assert found == dict.fromkeys(["up", "absolute", "chain"], b"the image's")
    assert read_tree([layer]).real_path("/chain") == "etc/passwd"


def test_a_link_from_the_root_starts_there_and_another_where_it_stands(tmp_path: Path) -> None:
    layer = make_layer(
        tmp_path,
        file("f", b"root's"),
        folder("d"),
        file("d/f", b"d's"),
        symlink("d/a", "/f"),
        symlink("d/b", "f"),
    )
    assert find_files([layer], ["d/a", "d/b"]) == {"d/a": b"root's", "d/b": b"d's"}


def test_symlinks_in_a_circle_end(tmp_path: Path) -> None:
    layer = make_layer(tmp_path, symlink("a", "b"), symlink("b", "a"))
    with pytest.raises(ImageError) as raised:
        find_files([layer], ["a"])
    assert raised.value.code == "symlink-loop"


def test_hard_links_are_one_file_and_survive_each_other(tmp_path: Path) -> None:
    lower = make_layer(tmp_path, file("a", b"content"), hardlink("b", "a"))
    assert find_files([lower], ["a", "b"]) == {"a": b"content", "b": b"content"}
    upper = make_layer(tmp_path, file(".wh.a"))
    assert find_files([lower, upper], ["a", "b"]) == {"b": b"content"}


@pytest.mark.parametrize("target", ["absent", "d", "../../etc/passwd"])
def test_a_hard_link_to_no_file_is_refused(tmp_path: Path, target: str) -> None:
    layer = make_layer(tmp_path, folder("d"), hardlink("a", target))
    with pytest.raises(ImageError) as raised:
        read_tree([layer])
    assert raised.value.code in ("broken-hard-link", "unsafe-path")
    assert str(layer.descriptor.digest) in (raised.value.problems[0].place or "")


@pytest.mark.parametrize("name", ["../a", "a/../../b", "x" * 5000, "a/.."])
def test_a_path_that_leaves_the_root_is_refused(tmp_path: Path, name: str) -> None:
    layer = layer_of(tmp_path, foreign_tar([member(name)]))
    with pytest.raises(ImageError) as raised:
        read_tree([layer])
    assert raised.value.code == "unsafe-path"


def test_names_from_the_root_are_below_it(tmp_path: Path) -> None:
    names = ["/a", "./b", "c//d", "./"]
    kinds = [tarfile.REGTYPE, tarfile.REGTYPE, tarfile.REGTYPE, tarfile.DIRTYPE]
    tar = foreign_tar([member(name, kind=kind) for name, kind in zip(names, kinds, strict=True)])
    assert paths(layer_of(tmp_path, tar)) == ["a", "b", "c", "c/d"]


@pytest.mark.parametrize("target", ["", "x" * 5000])
def test_a_symlink_without_a_usable_target_is_refused(tmp_path: Path, target: str) -> None:
    layer = layer_of(tmp_path, foreign_tar([member("a", kind=tarfile.SYMTYPE, link=target)]))
    with pytest.raises(ImageError):
        read_tree([layer])


def test_folders_a_thousand_deep_are_only_folders(tmp_path: Path) -> None:
    deep = "/".join(["d"] * 1500)
    lower = layer_of(tmp_path, foreign_tar([member(f"{deep}/f", b"x")]))
    assert find_files([lower], [f"{deep}/f"]) == {f"{deep}/f": b"x"}
    assert paths(lower, make_layer(tmp_path, file(".wh.d"))) == []


def test_limits_are_for_all_layers_together(tmp_path: Path) -> None:
    layers = [make_layer(tmp_path, file("a", bytes(10_000))), make_layer(tmp_path, file("b", bytes(10_000)))]
    with pytest.raises(ImageError) as raised:
        read_tree(layers, limits=Limits(size=20_000))
    assert raised.value.code == "layer-too-large"
    with pytest.raises(ImageError) as raised:
        read_tree(layers, limits=Limits(entries=1))
    assert raised.value.code == "too-many-entries"


def test_a_file_that_is_too_large_to_look_into_is_refused(tmp_path: Path) -> None:
    layer = make_layer(tmp_path, file("a", bytes(11)))
    with pytest.raises(ImageError) as raised:
        find_files([layer], ["a"], max_size=10)
    assert raised.value.code == "file-too-large"
