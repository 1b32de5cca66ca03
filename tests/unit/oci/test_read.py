"""Reading manifests that others wrote: their bytes survive, and what is malformed is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.images import small_image
from shipwheel.errors import ImageError, ShipwheelError
from shipwheel.oci.layout import read_layout, write_layout
from shipwheel.oci.model import (
    CONFIG,
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    INDEX,
    MANIFEST,
    Blob,
    BytesBlob,
    Descriptor,
    Digest,
    Platform,
)
from shipwheel.oci.read import LoadedArtifact, LoadedImage, LoadedIndex, all_blobs, read_image, read_platform
from shipwheel.oci.validate import validate_image, validate_layout


class Blobs:
    """Blobs in memory, written as another program would: with blanks, keys in any order."""

    def __init__(self) -> None:
        self.blobs: dict[Digest, Blob] = {}

    def open(self, descriptor: Descriptor) -> Blob:
        if descriptor.digest not in self.blobs:
            raise ImageError("absent-blob", "no such blob")
        return self.blobs[descriptor.digest]

    def add(self, media_type: str, data: object, **more: Any) -> dict[str, Any]:
        raw = data if isinstance(data, bytes) else json.dumps(data, indent=3).encode()
        blob = BytesBlob(raw)
        self.blobs[blob.digest] = blob
        return {"mediaType": media_type, "size": blob.size, "digest": str(blob.digest), **more}

    def image(
        self, tmp_path: Path, *, docker: bool = False, config: Any = None, manifest: Any = None, **more: Any
    ) -> dict[str, Any]:
        layer = small_image(tmp_path).layers[0]
        self.blobs[layer.descriptor.digest] = layer.blob
        config_data = {
            "os": "linux",
            "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": [str(layer.diff_id)]},
            "history": [{"created_by": "COPY"}, {"created_by": "CMD", "empty_layer": True}],
            "config": {"Cmd": ["x"], "Healthcheck": {"Test": ["NONE"]}},
            **(config or {}),
        }
        layer_json = {**layer.descriptor.to_json(), **({"mediaType": DOCKER_LAYER_GZIP} if docker else {})}
        data = {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST if docker else MANIFEST,
            "config": self.add(DOCKER_CONFIG if docker else CONFIG, config_data),
            "layers": [layer_json],
            **(manifest or {}),
        }
        return self.add(DOCKER_MANIFEST if docker else MANIFEST, data, **more)

    def index(self, *children: dict[str, Any], media_type: str = INDEX) -> dict[str, Any]:
        data = {"schemaVersion": 2, "mediaType": media_type, "manifests": list(children)}
        return self.add(media_type, data)

    def read(self, descriptor: dict[str, Any]) -> LoadedImage | LoadedIndex:
        return read_image(Descriptor.from_json(descriptor), self)


@pytest.mark.parametrize("docker", [False, True])
def test_anothers_image_keeps_its_bytes_through_a_layout(tmp_path: Path, docker: bool) -> None:
    blobs = Blobs()
    descriptor = blobs.image(tmp_path, docker=docker)
    loaded = blobs.read(descriptor)
    assert isinstance(loaded, LoadedImage)
    assert str(loaded.digest) == descriptor["digest"]
    assert loaded.layers[0].created_by == "COPY"
    assert validate_image(loaded) == []
    write_layout(tmp_path / "layout", loaded)
    again = read_layout(tmp_path / "layout")
    assert isinstance(again, LoadedImage)
    assert (again.manifest, again.config) == (loaded.manifest, loaded.config)
    assert b"Healthcheck" in again.config
    assert validate_layout(tmp_path / "layout") == []


@pytest.mark.parametrize("media_type", [INDEX, DOCKER_INDEX])
def test_attestations_in_an_index_survive_and_are_no_images(tmp_path: Path, media_type: str) -> None:
    blobs = Blobs()
    statement = blobs.add("application/vnd.in-toto+json", {"any": "thing"})
    attestation = blobs.add(
        MANIFEST,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": blobs.add(CONFIG, {"os": "unknown"}),
            "layers": [statement],
        },
        platform={"os": "unknown", "architecture": "unknown"},
    )
    platform = {"os": "linux", "architecture": "amd64"}
    loaded = blobs.read(
        blobs.index(blobs.image(tmp_path, platform=platform), attestation, media_type=media_type)
    )
    assert isinstance(loaded, LoadedIndex)
    assert [type(child) for child in loaded.children] == [LoadedImage, LoadedArtifact]
    assert len(loaded.images) == 1
    assert validate_image(loaded) == []
    write_layout(tmp_path / "layout", loaded)
    assert read_layout(tmp_path / "layout").digest == loaded.digest
    assert validate_layout(tmp_path / "layout") == []


def test_what_is_named_comes_before_what_names_it(tmp_path: Path) -> None:
    blobs = Blobs()
    loaded = blobs.read(blobs.index(blobs.image(tmp_path)))
    kinds = [descriptor.media_type.split(".")[-1] for descriptor, _ in all_blobs(loaded)]
    assert kinds == ["tar+gzip", "v1+json", "v1+json", "v1+json"]
    assert list(all_blobs(loaded))[-1][0].digest == loaded.digest


def test_a_platform_is_found_where_an_index_does_not_say_it(tmp_path: Path) -> None:
    blobs = Blobs()
    descriptor = Descriptor.from_json(blobs.index(blobs.index(blobs.image(tmp_path))))
    assert read_platform(descriptor, blobs, Platform.parse("linux/amd64")).platform.architecture == "amd64"
    with pytest.raises(ImageError) as raised:
        read_platform(descriptor, blobs, Platform.parse("linux/arm64"))
    assert raised.value.code == "no-such-platform"


def test_indexes_in_indexes_end(tmp_path: Path) -> None:
    blobs = Blobs()
    descriptor = blobs.image(tmp_path)
    for _ in range(5):
        descriptor = blobs.index(descriptor)
    with pytest.raises(ImageError) as raised:
        blobs.read(descriptor)
    assert raised.value.code == "nested-too-deep"


def test_an_index_that_names_its_images_a_thousand_times_over_ends(tmp_path: Path) -> None:
    blobs = Blobs()
    descriptor = blobs.image(tmp_path)
    for _ in range(3):
        descriptor = blobs.index(*[descriptor] * 100)
    with pytest.raises(ImageError) as raised:
        blobs.read(descriptor)
    assert raised.value.code == "nested-too-deep"


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        ({"schemaVersion": 1}, "bad-manifest"),
        ({"schemaVersion": "2"}, "bad-manifest"),
        ({"mediaType": INDEX}, "bad-manifest"),
        ({"mediaType": None}, "bad-manifest"),
        ({"manifests": []}, "bad-manifest"),
        ({"layers": {}}, "bad-manifest"),
        ({"layers": [None]}, "bad-descriptor"),
        ({"layers": []}, "bad-config"),
        ({"config": None}, "bad-descriptor"),
        ({"annotations": {"a": 1}}, "bad-manifest"),
    ],
)
def test_a_malformed_manifest_is_refused(tmp_path: Path, manifest: dict[str, Any], code: str) -> None:
    blobs = Blobs()
    with pytest.raises(ShipwheelError) as raised:
        blobs.read(blobs.image(tmp_path, manifest=manifest))
    assert raised.value.code == code


@pytest.mark.parametrize(
    "config",
    [
        {"os": ""},
        {"architecture": 1},
        {"variant": 8},
        {"rootfs": None},
        {"rootfs": {"type": "other", "diff_ids": []}},
        {"rootfs": {"type": "layers", "diff_ids": 5}},
        {"rootfs": {"type": "layers", "diff_ids": [5]}},
        {"rootfs": {"type": "layers"}},
        {"config": [1]},
        {"config": {"Cmd": "text"}},
        {"config": {"Env": [1]}},
        {"config": {"Env": {"A": "b"}}},
        {"config": {"User": 0.5}},
        {"config": {"Labels": {"a": 1}}},
        {"config": {"ExposedPorts": ["80/tcp"]}},
        {"created": 7},
        {"history": {}},
        {"history": [1]},
    ],
)
def test_a_malformed_config_is_refused(tmp_path: Path, config: dict[str, Any]) -> None:
    blobs = Blobs()
    with pytest.raises(ImageError) as raised:
        blobs.read(blobs.image(tmp_path, config=config))
    assert raised.value.code == "bad-config"


def test_a_history_that_does_not_fit_is_left_out_and_reported(tmp_path: Path) -> None:
    blobs = Blobs()
    loaded = blobs.read(blobs.image(tmp_path, config={"history": []}))
    assert isinstance(loaded, LoadedImage)
    assert loaded.layers[0].created_by == ""
    assert [problem.code for problem in validate_image(loaded)] == ["bad-config"]
