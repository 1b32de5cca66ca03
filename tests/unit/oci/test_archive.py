"""Archives: deterministic, whole or not at all, and read without trust."""

import gzip
import io
import json
import os
import tarfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.images import foreign_tar, member, small_image, small_index
from shipwheel.errors import HostError, ImageError, IntegrityError, UsageError
from shipwheel.oci.archive import write_docker_archive, write_oci_archive
from shipwheel.oci.archive_read import read_archive
from shipwheel.oci.model import Digest, Image, ImageIndex
from shipwheel.oci.read import LoadedImage, LoadedIndex
from shipwheel.oci.reference import Reference
from shipwheel.oci.validate import validate_archive, validate_image

APP = Reference.parse("index.example/team/app:v1")


def lying(image: Image) -> Image:
    """Return the image with a layer that is not what its descriptor says."""
    layer = image.layers[0]
    other = replace(layer.descriptor, digest=Digest.of(b"other"))
    return replace(image, layers=(replace(layer, descriptor=other), *image.layers[1:]))


def names(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


def test_an_oci_archive_is_a_layout_in_a_tar(tmp_path: Path) -> None:
    index = small_index(tmp_path)
    path = tmp_path / "image.tar"
    write_oci_archive(path, index, ref_name="v1")
    assert names(path)[:4] == ["oci-layout", "index.json", "blobs", "blobs/sha256"]
    assert names(path)[4:] == sorted(names(path)[4:])
    loaded = read_archive(path, "v1")
    assert isinstance(loaded, LoadedIndex)
    assert loaded.index_blob() == index.index_blob()
    assert validate_archive(path) == []


def test_a_docker_archive_comes_back_as_the_same_image(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    path = tmp_path / "image.tar"
    write_docker_archive(path, image, tags=[APP, Reference.parse("python")])
    for tag in ("index.example/team/app:v1", "python:latest"):
        loaded = read_archive(path, tag)
        assert isinstance(loaded, LoadedImage)
        assert loaded.image.config_blob() == image.config_blob()
        assert loaded.digest == image.digest
    assert validate_archive(path) == []


def test_equal_images_give_equal_archives(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    for name in ("a", "b"):
        write_oci_archive(tmp_path / f"{name}-oci", image, ref_name="v1")
        write_docker_archive(tmp_path / f"{name}-docker", image, tags=[APP])
    for kind in ("oci", "docker"):
        assert (tmp_path / f"a-{kind}").read_bytes() == (tmp_path / f"b-{kind}").read_bytes()


def test_a_stream_gets_the_same_bytes_as_a_file(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    stream = io.BytesIO()
    write_oci_archive(stream, image)
    write_oci_archive(tmp_path / "file", image)
    assert stream.getvalue() == (tmp_path / "file").read_bytes()
    stream = io.BytesIO()
    write_docker_archive(stream, image)
    write_docker_archive(tmp_path / "file", image)
    assert stream.getvalue() == (tmp_path / "file").read_bytes()


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    write_oci_archive(pipe, image)
    reader.join()
    write_oci_archive(tmp_path / "file", image)
    assert received == [(tmp_path / "file").read_bytes()]
    assert pipe.is_fifo()


def test_a_layer_that_comes_twice_is_in_a_docker_archive_once(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    image = replace(image, layers=(*image.layers, image.layers[0]))
    write_docker_archive(tmp_path / "image.tar", image)
    assert len(names(tmp_path / "image.tar")) == len(set(names(tmp_path / "image.tar"))) == 4
    assert read_archive(tmp_path / "image.tar").digest == image.digest


@pytest.mark.parametrize("write", [write_oci_archive, write_docker_archive])
def test_a_source_that_lies_leaves_the_old_archive(tmp_path: Path, write: Any) -> None:
    path = tmp_path / "image.tar"
    image = small_image(tmp_path)
    write(path, image)
    before, files = path.read_bytes(), sorted(tmp_path.iterdir())
    with pytest.raises(IntegrityError):
        write(path, lying(image))
    assert (path.read_bytes(), sorted(tmp_path.iterdir())) == (before, files)


def test_several_platforms_do_not_fit_in_a_docker_archive(tmp_path: Path) -> None:
    index = small_index(tmp_path)
    with pytest.raises(UsageError) as raised:
        write_docker_archive(tmp_path / "image.tar", index)
    assert raised.value.code == "multi-platform-archive"
    assert "linux/amd64, linux/arm64" in (raised.value.problems[0].hint or "")
    assert not (tmp_path / "image.tar").exists()
    write_docker_archive(tmp_path / "image.tar", ImageIndex(images=index.images[:1]))
    assert read_archive(tmp_path / "image.tar").digest == index.images[0].digest


def test_an_archive_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "folder/inside").mkdir(parents=True)
    with pytest.raises(HostError) as raised:
        write_oci_archive(tmp_path / "folder", small_image(tmp_path))
    assert raised.value.code == "cannot-write"
    assert raised.value.problems[0].place == str(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def docker_archive(tmp_path: Path, manifest: object, **files: bytes) -> Path:
    path = tmp_path / "archive.tar"
    raw = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    members = [member("manifest.json", raw), *(member(name, data) for name, data in files.items())]
    path.write_bytes(foreign_tar(members))
    return path


def test_what_docker_save_wrote_is_read_with_plain_layers_and_links(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    tar = gzip.decompress((tmp_path / "layer-0").read_bytes())
    config = replace(image, layers=(image.layers[0], image.layers[0])).config_blob().data
    path = tmp_path / "archive.tar"
    path.write_bytes(
        foreign_tar(
            [
                member("one/layer.tar", tar),
                member("two/layer.tar", kind=tarfile.SYMTYPE, link="../one/layer.tar"),
                member("c.json", config),
                member(
                    "manifest.json",
                    json.dumps(
                        [{"Config": "c.json", "RepoTags": None, "Layers": ["one/layer.tar", "two/layer.tar"]}]
                    ).encode(),
                ),
            ]
        )
    )
    loaded = read_archive(path)
    assert isinstance(loaded, LoadedImage)
    assert loaded.layers[0].descriptor.digest == loaded.layers[0].diff_id
    assert validate_image(loaded) == []


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        (b"{", "bad-archive"),
        (5, "bad-archive"),
        ({"Config": "c"}, "bad-archive"),
        ([1], "bad-archive"),
        ([{"Config": 1, "Layers": []}], "bad-archive"),
        ([{"Config": "c", "Layers": [1]}], "bad-archive"),
        ([{"Config": "absent", "Layers": []}], "bad-archive"),
        ([{"Config": "../../etc/passwd", "Layers": []}], "bad-archive"),
        ([{"Config": "c", "Layers": ["/etc/passwd"]}], "absent-blob"),
        ([{"Config": "c", "Layers": []}], "bad-config"),
        ([], "no-such-image"),
        ([{"Config": "c", "Layers": []}] * 2, "ambiguous-image"),
        (b"[" * 100_000, "bad-archive"),
    ],
)
def test_a_malformed_docker_archive_is_refused(tmp_path: Path, manifest: object, code: str) -> None:
    path = docker_archive(tmp_path, manifest, c=b"{}")
    with pytest.raises(ImageError) as raised:
        read_archive(path)
    assert raised.value.code == code
    assert [problem.code for problem in validate_archive(path)] == [code]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "bad-tar"),
        (b"rubbish" * 1000, "bad-tar"),
        (foreign_tar([member("a")]), "not-an-archive"),
        (gzip.compress(foreign_tar([member("oci-layout")])), "not-an-archive"),
        (foreign_tar([member("oci-layout", b"{}")]), "bad-layout"),
        (foreign_tar([member("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')]), "bad-archive"),
    ],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "archive.tar"
    path.write_bytes(content)
    with pytest.raises(ImageError) as raised:
        read_archive(path)
    assert raised.value.code == code


def test_an_archive_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    write_oci_archive(path, small_image(tmp_path))
    path.write_bytes(path.read_bytes()[:-1600])
    assert validate_archive(path) != []


def test_an_absent_archive_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(HostError) as raised:
        read_archive(tmp_path / "absent")
    assert raised.value.code == "cannot-read"
