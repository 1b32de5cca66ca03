"""The oracle: it finds each thing that can be wrong with an image, and nothing in a sound one."""

import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.images import (
    ARM64,
    file,
    folder,
    foreign_tar,
    hardlink,
    layer_of,
    make_image,
    make_layer,
    member,
    small_image,
    small_index,
    symlink,
)
from shipwheel.oci.layer_read import Limits
from shipwheel.oci.layout import write_layout
from shipwheel.oci.model import BytesBlob, Digest, Image, Layer
from shipwheel.oci.read import LoadedImage
from shipwheel.oci.validate import validate_image, validate_layer, validate_layout


def codes(value: Any) -> list[str]:
    return [problem.code for problem in validate_image(value)]


def loaded(image: Image) -> LoadedImage:
    config, manifest = image.config_blob(), image.manifest_blob()
    data = json.loads(manifest.data)["config"]
    descriptor = replace(
        image.descriptor, media_type=data["mediaType"], digest=config.digest, size=config.size, platform=None
    )
    return LoadedImage(
        image=image,
        descriptor=image.descriptor,
        manifest=manifest.data,
        config_descriptor=descriptor,
        config=config.data,
    )


def with_config(image: Image, **changes: Any) -> LoadedImage:
    """Return the image with another config, whose manifest is honest about it."""
    base = loaded(image)
    config = json.dumps({**json.loads(base.config), **changes}).encode()
    data = json.loads(base.manifest)
    data["config"].update(digest=str(Digest.of(config)), size=len(config))
    manifest = json.dumps(data).encode()
    descriptor = replace(base.descriptor, digest=Digest.of(manifest), size=len(manifest))
    return replace(base, config=config, manifest=manifest, descriptor=descriptor)


def test_sound_images_have_no_problems(tmp_path: Path) -> None:
    entries = (folder("d"), file("d/f", b"1"), hardlink("d/h", "d/f"), symlink("d/s", "../d"))
    assert codes(make_image((make_layer(tmp_path, *entries),))) == []
    assert codes(make_image(())) == []
    assert codes(small_index(tmp_path)) == []
    assert codes(loaded(small_image(tmp_path))) == []


def test_every_lie_about_a_layer_is_found(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    top = image.layers[1]
    other = Digest.of(b"other")

    def lie(layer: Layer) -> list[str]:
        return codes(replace(image, layers=(image.layers[0], layer)))

    assert lie(replace(top, diff_id=other)) == ["wrong-diff-id"]
    assert lie(replace(top, descriptor=replace(top.descriptor, digest=other))) == [
        "bad-layer",
        "wrong-digest",
    ]
    assert lie(replace(top, descriptor=replace(top.descriptor, size=5))) == ["bad-layer", "wrong-size"]
    assert lie(replace(top, blob=BytesBlob(b"x"))) == ["bad-layer", "bad-layer"]
    assert "unknown-media-type" in lie(
        replace(top, descriptor=replace(top.descriptor, media_type="text/plain"))
    )


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"rootfs": {"type": "layers", "diff_ids": []}}, "bad-config"),
        ({"rootfs": None}, "bad-config"),
        ({"rootfs": "x"}, "bad-config"),
        ({"history": []}, "bad-config"),
        ({"created": "yesterday"}, "bad-config"),
        ({"created": "2026-01-01T00:00:00"}, "bad-config"),
    ],
)
def test_a_config_that_contradicts_is_found(tmp_path: Path, changes: dict[str, Any], code: str) -> None:
    assert codes(with_config(small_image(tmp_path), **changes)) == [code]


def test_a_manifest_or_config_that_is_not_the_one_named_is_found(tmp_path: Path) -> None:
    image = loaded(small_image(tmp_path))
    assert codes(replace(image, config=image.config + b" ")) == ["wrong-size", "wrong-digest"]
    assert codes(replace(image, manifest=image.manifest + b" ")) == ["wrong-size", "wrong-digest"]
    assert "bad-manifest" in codes(replace(image, manifest=b"{"))
    other = small_image(tmp_path, text=b"other")
    assert "bad-manifest" in codes(replace(image, image=other))


def test_an_image_named_for_another_platform_is_found(tmp_path: Path) -> None:
    image = loaded(small_image(tmp_path))
    wrong = replace(image, descriptor=replace(image.descriptor, platform=ARM64))
    assert codes(wrong) == ["wrong-platform"]


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ([member("/a")], "unsafe-path"),
        ([member("a/../../b")], "unsafe-path"),
        ([member("a"), member("a")], "duplicate-path"),
        ([member("a"), member("./a")], "duplicate-path"),
        ([member("d/a"), member("d", kind=tarfile.DIRTYPE)], "parent-after-child"),
        ([member("d"), member("d/a")], "parent-no-folder"),
        ([member("d", kind=tarfile.SYMTYPE, link="e"), member("d/a")], "parent-no-folder"),
        ([member("a", kind=tarfile.LNKTYPE, link="b")], "broken-hard-link"),
        ([member("a", kind=tarfile.LNKTYPE, link="b"), member("b")], "broken-hard-link"),
        ([member("a", kind=b"Z")], "unknown-entry"),
    ],
)
def test_a_tar_that_is_not_well_formed_is_found(tmp_path: Path, members: Any, code: str) -> None:
    layer = layer_of(tmp_path, foreign_tar(members))
    assert [problem.code for problem in validate_layer(layer)] == [code]
    assert str(layer.descriptor.digest) in (validate_layer(layer)[0].place or "")


def test_a_tar_without_its_end_is_found(tmp_path: Path) -> None:
    tar = foreign_tar([member("a", b"1" * 600)])
    assert [problem.code for problem in validate_layer(layer_of(tmp_path, tar[: 512 * 4]))] == ["bad-tar"]
    assert validate_layer(layer_of(tmp_path, tar[: 512 * 5])) == []


def test_a_layer_with_thousands_of_problems_reports_some(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, foreign_tar([member("a")] * 3000))
    problems = validate_layer(layer)
    assert len(problems) == 101
    assert problems[-1].code == "too-many-problems"
    assert problems[-1].message == "2899 more problems"


def test_a_bomb_costs_no_more_than_the_limits(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, foreign_tar([member("a", bytes(50_000_000))]))
    assert [problem.code for problem in validate_layer(layer, limits=Limits(size=10**6))] == [
        "layer-too-large"
    ]


def test_an_absent_layer_is_a_problem_and_no_exception(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    (tmp_path / "layer-0").unlink()
    assert codes(image) == ["cannot-read"]


def test_every_byte_of_a_layout_counts(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    write_layout(layout, small_image(tmp_path))
    blobs = sorted((layout / "blobs/sha256").iterdir())
    for place in blobs:
        data = place.read_bytes()
        for changed in (data[:-1] + bytes([data[-1] ^ 1]), data[:-1], data + b"\0", b""):
            place.write_bytes(changed)
            assert validate_layout(layout) != [], place
        place.write_bytes(data)
    assert validate_layout(layout) == []


def test_a_blob_that_nothing_names_must_be_what_its_name_says(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    write_layout(layout, small_image(tmp_path))
    (layout / "blobs/sha256" / Digest.of(b"stray").hex).write_bytes(b"stray")
    assert validate_layout(layout) == []
    (layout / "blobs/sha256" / Digest.of(b"other").hex).write_bytes(b"stray")
    (layout / "blobs/sha256/.rest.tmp").touch()
    assert sorted(problem.code for problem in validate_layout(layout)) == ["stray-file", "wrong-digest"]


def test_no_layout_is_a_problem_and_no_exception(tmp_path: Path) -> None:
    assert [problem.code for problem in validate_layout(tmp_path / "absent")] == ["not-a-layout"]
