"""Which place a text names, and reading an image from files."""

import contextlib
from pathlib import Path
from typing import NoReturn

import pytest

from shipwheel.errors import HostError, ImageError, ShipwheelError, UsageError
from shipwheel.images import Opener, Place, open_image
from shipwheel.oci.archive import write_docker_archive, write_oci_archive
from shipwheel.oci.layout import write_layout
from shipwheel.oci.model import Digest
from shipwheel.oci.reference import Reference
from shipwheel.testing.images import LINUX_AMD64, LINUX_ARM64, random_image, random_index


def no_registry() -> NoReturn:
    raise AssertionError("no registry is asked")


OPENER = Opener(registry=no_registry, environ={"PATH": ""})
IMAGE, INDEX = random_image(1), random_index(2)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("registry.example/team/app:1", Place(kind="registry", name="registry.example/team/app:1")),
        ("127.0.0.1:5000/app", Place(kind="registry", name="127.0.0.1:5000/app")),
        ("localhost:5000/app", Place(kind="registry", name="localhost:5000/app")),
        ("python:3.13", Place(kind="registry", name="docker.io/library/python:3.13")),
        # Names of images that look like a transport.
        ("docker:27", Place(kind="registry", name="docker.io/library/docker:27")),
        ("registry:2", Place(kind="registry", name="docker.io/library/registry:2")),
        ("docker://registry.example/app", Place(kind="registry", name="registry.example/app")),
        ("localhost/app:1.0", Place(kind="engine", name="localhost/app:1.0")),
        ("docker-daemon:app:1", Place(kind="docker", name="app:1")),
        ("podman:localhost/app", Place(kind="podman", name="localhost/app")),
        ("containers-storage:app", Place(kind="podman", name="app")),
    ],
)
def test_a_name_says_where_to_look(text: str, place: Place) -> None:
    assert Place.parse(text) == place


@pytest.mark.parametrize("text", ["./none", "/none/here", "oci:none", "docker-archive:none.tar"])
def test_a_path_that_is_not_there_is_no_name_of_a_registry(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        Place.parse(text)
    assert raised.value.code == "bad-image"


def test_a_folder_that_is_no_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no OCI layout"):
        Place.parse(str(tmp_path))


def test_a_digest_of_an_image_in_an_engine_is_refused() -> None:
    with pytest.raises(UsageError, match="engines do not know digests"):
        Place.parse(f"localhost/app:1@{Digest.of(b'')}")


def test_a_layout_is_read_by_folder_and_name(tmp_path: Path) -> None:
    folder = tmp_path / "a:b"  # a colon of the path is no end of it
    write_layout(folder, IMAGE, ref_name="1.0")
    write_layout(folder, INDEX, ref_name="2.0")

    with open_image(f"oci:{folder}:1.0", OPENER) as opened:
        assert opened.value.digest == IMAGE.digest
        assert opened.real_blobs
    with pytest.raises(ImageError) as raised, open_image(str(folder), OPENER):
        pass
    assert raised.value.code == "ambiguous-image"


def test_both_kinds_of_archive_are_read(tmp_path: Path) -> None:
    oci, docker = tmp_path / "oci.tar", tmp_path / "docker.tar"
    write_oci_archive(oci, IMAGE, ref_name="1.0")
    write_docker_archive(docker, IMAGE, tags=[Reference.parse("registry.example/app:1")])

    for text in (
        str(oci),
        f"oci-archive:{oci}:1.0",
        str(docker),
        f"docker-archive:{docker}:registry.example/app:1",
    ):
        with open_image(text, OPENER) as opened:
            [image] = opened.images
            assert [layer.diff_id for layer in image.layers] == [layer.diff_id for layer in IMAGE.layers]


def test_the_platform_is_chosen_where_there_are_several(tmp_path: Path) -> None:
    write_layout(tmp_path / "many", INDEX)
    write_layout(tmp_path / "one", IMAGE)

    with open_image(str(tmp_path / "many"), OPENER) as opened:
        assert opened.image_for(None, default=LINUX_ARM64).platform == LINUX_ARM64
        assert opened.image_for(LINUX_AMD64, default=LINUX_ARM64).platform == LINUX_AMD64
    with open_image(str(tmp_path / "one"), OPENER) as opened:
        # The only one is meant, whatever this machine is; but not when another is asked for.
        assert opened.image_for(None, default=LINUX_ARM64).platform == LINUX_AMD64
        with pytest.raises(ImageError) as raised:
            opened.image_for(LINUX_ARM64, default=LINUX_AMD64)
    assert raised.value.code == "no-such-platform"


def test_an_engine_that_is_not_there_is_named() -> None:
    with contextlib.ExitStack() as stack, pytest.raises(HostError) as raised:
        stack.enter_context(open_image("localhost/app", OPENER))
    assert isinstance(raised.value, ShipwheelError)
    assert "docker is not installed; podman is not installed" in str(raised.value)
