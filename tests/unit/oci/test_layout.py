"""OCI layouts: written whole, shared with others, and read without trust."""

import json
import os
import random
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.images import AMD64, ARM64, file, make_image, make_layer, small_image, small_index
from shipwheel.errors import ImageError, IntegrityError, ShipwheelError, UsageError
from shipwheel.oci.layout import REF_NAME, read_entries, read_layout, write_layout
from shipwheel.oci.model import Digest, FileBlob, Image, Platform, canonical_json
from shipwheel.oci.read import LoadedImage, LoadedIndex
from shipwheel.oci.validate import validate_layout


def tree(path: Path) -> dict[str, bytes]:
    return {str(place.relative_to(path)): place.read_bytes() for place in path.rglob("*") if place.is_file()}


def change(path: Path, edit: Any) -> None:
    data = json.loads(path.read_bytes())
    edit(data)
    path.write_bytes(canonical_json(data))


def lying(image: Image) -> Image:
    """Return the image with a top layer whose file holds other bytes of the same number."""
    top = image.layers[-1]
    assert isinstance(top.blob, FileBlob)
    data = bytearray(top.blob.path.read_bytes())
    data[-1] ^= 1
    path = top.blob.path.with_name("changed")
    path.write_bytes(data)
    return replace(image, layers=(*image.layers[:-1], replace(top, blob=replace(top.blob, path=path))))


def test_an_image_comes_back_as_it_was_written(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    descriptor = write_layout(tmp_path / "layout", image, ref_name="v1")
    loaded = read_layout(tmp_path / "layout", "v1")
    assert isinstance(loaded, LoadedImage)
    assert loaded.manifest_blob() == image.manifest_blob()
    assert loaded.image.config_blob() == image.config_blob()
    assert [layer.diff_id for layer in loaded.layers] == [layer.diff_id for layer in image.layers]
    assert [layer.created_by for layer in loaded.layers] == ["a test", "a test"]
    assert (descriptor.digest, descriptor.annotations) == (image.digest, {REF_NAME: "v1"})
    assert validate_layout(tmp_path / "layout") == []


def test_an_index_comes_back_with_its_platforms(tmp_path: Path) -> None:
    index = small_index(tmp_path)
    write_layout(tmp_path / "layout", index)
    loaded = read_layout(tmp_path / "layout")
    assert isinstance(loaded, LoadedIndex)
    assert loaded.index_blob() == index.index_blob()
    assert [image.platform for image in loaded.images] == [AMD64, ARM64]
    assert validate_layout(tmp_path / "layout") == []


def test_one_platform_is_read_alone(tmp_path: Path) -> None:
    index = small_index(tmp_path)
    write_layout(tmp_path / "layout", index)
    other = index.images[0].digest
    (tmp_path / "layout/blobs/sha256" / other.hex).unlink()
    loaded = read_layout(tmp_path / "layout", platform=Platform.parse("linux/arm64/v8"))
    assert loaded.digest == index.images[1].digest
    with pytest.raises(ImageError) as raised:
        read_layout(tmp_path / "layout", platform=Platform.parse("linux/s390x"))
    assert raised.value.code == "no-such-platform"
    assert "linux/amd64, linux/arm64" in str(raised.value)


def test_the_same_image_gives_the_same_files(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    write_layout(tmp_path / "a", image, ref_name="v1")
    write_layout(tmp_path / "b", image, ref_name="v1")
    write_layout(tmp_path / "b", image, ref_name="v1")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_names_live_side_by_side_and_the_same_name_is_replaced_in_its_place(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    old, new = small_image(tmp_path, text=b"old"), small_image(tmp_path, text=b"new")
    write_layout(layout, old, ref_name="v1")
    write_layout(layout, old, ref_name="v2")
    write_layout(layout, new, ref_name="v1")
    assert [(entry.annotations[REF_NAME], entry.digest) for entry in read_entries(layout)] == [
        ("v1", new.digest),
        ("v2", old.digest),
    ]
    assert read_layout(layout, "v2").digest == old.digest
    assert validate_layout(layout) == []


def test_an_image_without_a_name_replaces_the_one_without_a_name(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    old, new = small_image(tmp_path, text=b"old"), small_image(tmp_path, text=b"new")
    write_layout(layout, old, ref_name="v1")
    write_layout(layout, old)
    write_layout(layout, new)
    assert [entry.digest for entry in read_entries(layout)] == [old.digest, new.digest]


def test_what_others_wrote_into_index_json_stays(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    image = small_image(tmp_path)
    write_layout(layout, image, ref_name="theirs")

    def edit(data: Any) -> None:
        data["annotations"] = {"example": "kept"}
        data["manifests"][0]["urls"] = ["kept"]

    change(layout / "index.json", edit)
    write_layout(layout, image, ref_name="ours")
    data = json.loads((layout / "index.json").read_bytes())
    assert data["annotations"] == {"example": "kept"}
    assert data["manifests"][0]["urls"] == ["kept"]


def test_blobs_are_copies_that_their_owner_may_edit(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    write_layout(tmp_path / "layout", image)
    for place in (tmp_path / "layout").rglob("*"):
        assert place.is_dir() or (place.stat().st_nlink == 1 and os.access(place, os.W_OK))


def test_an_empty_folder_becomes_a_layout_and_another_is_left_alone(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    (tmp_path / "empty").mkdir()
    write_layout(tmp_path / "empty", image)
    assert validate_layout(tmp_path / "empty") == []
    (tmp_path / "home").mkdir()
    (tmp_path / "home/diary").touch()
    for place in (tmp_path / "home", tmp_path / "home/diary"):
        with pytest.raises(UsageError) as raised:
            write_layout(place, image)
        assert raised.value.code == "not-a-layout"
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["diary"]


def test_a_source_that_lies_leaves_no_layout_behind(tmp_path: Path) -> None:
    image = lying(small_image(tmp_path))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(IntegrityError) as raised:
        write_layout(tmp_path / "layout", image)
    assert raised.value.code == "wrong-digest"
    assert sorted(tmp_path.iterdir()) == before


def test_a_source_that_lies_changes_no_name_in_a_layout(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    write_layout(layout, small_image(tmp_path), ref_name="v1")
    index = (layout / "index.json").read_bytes()
    with pytest.raises(IntegrityError):
        write_layout(layout, lying(small_image(tmp_path, text=b"other")), ref_name="v1")
    assert (layout / "index.json").read_bytes() == index
    assert validate_layout(layout) == []


def test_a_blob_that_was_damaged_since_is_written_again(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    image = small_image(tmp_path)
    write_layout(layout, image)
    for layer, data in (
        (image.layers[0], b"short"),
        (image.layers[1], bytes(image.layers[1].descriptor.size)),
    ):
        (layout / "blobs/sha256" / layer.descriptor.digest.hex).write_bytes(data)
    assert len(validate_layout(layout)) >= 2
    write_layout(layout, image)
    assert validate_layout(layout) == []


def test_a_large_blob_that_was_cut_short_is_written_again(tmp_path: Path) -> None:
    layer = make_layer(tmp_path, file("a", random.Random(1).randbytes(2 * 1024**2)))
    image = make_image((layer,))
    write_layout(tmp_path / "layout", image)
    (tmp_path / "layout/blobs/sha256" / layer.descriptor.digest.hex).write_bytes(b"short")
    write_layout(tmp_path / "layout", image)
    assert validate_layout(tmp_path / "layout") == []


def test_many_writers_at_once_all_keep_their_names(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    images = {f"v{number}": small_image(tmp_path, text=b"%d" % number) for number in range(12)}
    start = threading.Barrier(len(images))
    failures: list[BaseException] = []

    def write(name: str, image: Image) -> None:
        start.wait()
        try:
            write_layout(layout, image, ref_name=name)
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=write, args=item) for item in images.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {entry.annotations[REF_NAME]: entry.digest for entry in read_entries(layout)} == {
        name: image.digest for name, image in images.items()
    }
    assert validate_layout(layout) == []
    assert not list(tmp_path.glob(".layout*"))


@pytest.mark.parametrize("name", ["", "a b", "-a", "a//b", "a\n", "ü"])
def test_a_name_that_a_layout_cannot_hold_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as raised:
        write_layout(tmp_path / "layout", small_image(tmp_path), ref_name=name)
    assert raised.value.code == "bad-ref-name"


def test_which_image_must_be_clear(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    write_layout(layout, small_image(tmp_path, text=b"1"), ref_name="v1")
    write_layout(layout, small_image(tmp_path, text=b"2"), ref_name="v2")
    for select, code in ((None, "ambiguous-image"), ("v3", "no-such-image")):
        with pytest.raises(ImageError) as raised:
            read_layout(layout, select)
        assert raised.value.code == code
        assert "v1, v2" in (raised.value.problems[0].hint or "")
    digest = read_entries(layout)[1].digest
    assert read_layout(layout, str(digest)).digest == digest


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("oci-layout", b"{}", "bad-layout"),
        ("oci-layout", b'{"imageLayoutVersion":"2.0.0"}', "bad-layout"),
        ("oci-layout", b"[", "bad-layout"),
        ("oci-layout", None, "not-a-layout"),
        ("index.json", None, "not-a-layout"),
        ("index.json", b"[]", "bad-index"),
        ("index.json", b"\xff", "bad-index"),
        ("index.json", b"[" * 100_000, "bad-index"),
        ("index.json", b'{"schemaVersion":2}', "bad-index"),
        ("index.json", b'{"schemaVersion":1,"manifests":[]}', "bad-index"),
        ("index.json", b'{"schemaVersion":2,"manifests":[]}', "no-such-image"),
        ("index.json", b'{"schemaVersion":2,"manifests":[1]}', "bad-descriptor"),
        ("index.json", b" " * (4 * 1024**2 + 1), "bad-index"),
    ],
)
def test_a_malformed_layout_is_refused(tmp_path: Path, name: str, content: bytes | None, code: str) -> None:
    layout = tmp_path / "layout"
    write_layout(layout, small_image(tmp_path))
    (layout / name).unlink()
    if content is not None:
        (layout / name).write_bytes(content)
    with pytest.raises(ImageError) as raised:
        read_layout(layout)
    assert raised.value.code == code
    assert code in {problem.code for problem in validate_layout(layout)}


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("digest", "sha256:../../../../etc/passwd", "bad-digest"),
        ("digest", "../../index.json", "bad-digest"),
        ("digest", "sha256:" + "A" * 64, "bad-digest"),
        ("digest", "sha256:" + "a" * 64, "absent-blob"),
        ("digest", 1, "bad-descriptor"),
        ("size", 1, "wrong-size"),
        ("size", -1, "bad-descriptor"),
        ("size", True, "bad-descriptor"),
        ("size", 10**12, "blob-too-large"),
        ("mediaType", "text/plain", "unknown-media-type"),
        ("mediaType", "application/vnd.oci.image.index.v1+json", "bad-index"),
        ("platform", {"os": 1, "architecture": "amd64"}, "bad-descriptor"),
    ],
)
def test_a_descriptor_that_tricks_is_refused(tmp_path: Path, key: str, value: object, code: str) -> None:
    layout = tmp_path / "layout"
    write_layout(layout, small_image(tmp_path))
    change(layout / "index.json", lambda data: data["manifests"][0].update({key: value}))
    with pytest.raises(ShipwheelError) as raised:
        read_layout(layout)
    assert raised.value.code == code
    assert code in {problem.code for problem in validate_layout(layout)}


def test_a_pipe_in_the_place_of_a_blob_is_not_waited_for(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    image = small_image(tmp_path)
    write_layout(layout, image)
    place = layout / "blobs/sha256" / image.digest.hex
    place.unlink()
    os.mkfifo(place)
    with pytest.raises(ImageError) as raised:
        read_layout(layout)
    assert raised.value.code == "absent-blob"


def test_a_manifest_that_was_changed_is_refused(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    image = small_image(tmp_path)
    write_layout(layout, image)
    place = layout / "blobs/sha256" / image.digest.hex
    place.write_bytes(place.read_bytes().replace(b'"schemaVersion":2', b'"schemaVersion":3'))
    with pytest.raises(IntegrityError) as raised:
        read_layout(layout)
    assert raised.value.code == "wrong-digest"


def test_an_absent_layer_is_noticed_when_the_image_is_read(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    image = small_image(tmp_path)
    write_layout(layout, image)
    (layout / "blobs/sha256" / image.layers[0].descriptor.digest.hex).unlink()
    with pytest.raises(ImageError) as raised:
        read_layout(layout)
    assert raised.value.code == "absent-blob"


def test_a_layer_that_comes_twice_is_written_once(tmp_path: Path) -> None:
    layer = make_layer(tmp_path, file("a", b"1"))
    write_layout(tmp_path / "layout", make_image((layer, layer)))
    assert len(list((tmp_path / "layout/blobs/sha256").iterdir())) == 3
    assert validate_layout(tmp_path / "layout") == []


def test_a_digest_parses_only_as_a_digest() -> None:
    with pytest.raises(ImageError):
        Digest.parse("sha256:" + "a" * 63 + "\n")
