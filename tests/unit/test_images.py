"""Which place a text names, and reading an image from files."""

import contextlib
import tarfile
from pathlib import Path
from typing import NoReturn

import pytest

from shipwheel.errors import HostError, ImageError, NetworkError, ShipwheelError, UsageError
from shipwheel.images import Opener, Place, open_image
from shipwheel.oci.archive import write_docker_archive, write_oci_archive
from shipwheel.oci.archive_read import SliceBlob
from shipwheel.oci.layout import write_layout
from shipwheel.oci.model import Digest
from shipwheel.oci.reference import Reference
from shipwheel.plan.host import default_platform
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


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("examples/none", "no file or folder is called examples/none, so that docker.io/examples/none"),
        ("none", "no file or folder is called none, so that docker.io/library/none"),
        ("registry.example/app:1", None),
        ("docker://none", None),
    ],
)
def test_a_name_that_leads_nowhere_and_may_have_been_a_folder_says_how_it_was_read(
    text: str, read: str | None
) -> None:
    def unreachable() -> NoReturn:
        raise NetworkError("unreachable", "cannot connect", hint="check the address")

    opener = Opener(registry=unreachable, environ={})
    with pytest.raises(NetworkError) as raised, open_image(text, opener):
        pass

    hint = raised.value.problems[0].hint
    assert raised.value.code == "unreachable"
    assert hint == ("check the address" if read is None else f"{read} was asked for; check the address")


def test_a_projects_folder_is_no_image_and_the_hint_says_what_looks_at_projects(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    with pytest.raises(UsageError) as raised:
        Place.parse(str(tmp_path))
    assert "a project, and no image" in str(raised.value)
    assert "shipwheel diff IMAGE FOLDER" in str(raised.value)


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


def stand_in(folder: Path, archive: Path) -> Opener:
    """Return an opener on a machine whose docker gives out `archive`, whatever it is asked for."""
    program = folder / "docker"
    program.write_text(f'#!/bin/sh\ncp "{archive}" "$3"\n')
    program.chmod(0o755)
    return Opener(registry=no_registry, environ={"PATH": f"{folder}:/usr/bin:/bin"})


def test_what_an_engine_gives_out_is_removed_afterwards(tmp_path: Path) -> None:
    archive = tmp_path / "saved.tar"
    write_docker_archive(archive, IMAGE)

    with open_image("localhost/app", stand_in(tmp_path, archive)) as opened:
        [layer, *_] = opened.images[0].layers
        assert isinstance(layer.blob, SliceBlob)
        copy = layer.blob.path
        assert copy.exists()
    assert not copy.exists()


def test_an_engine_that_has_one_platform_of_several_gives_that_one(tmp_path: Path) -> None:
    """As containerd's store does: the index names platforms that were never pulled."""
    here = default_platform()
    other = LINUX_ARM64 if here == LINUX_AMD64 else LINUX_AMD64
    whole, part = tmp_path / "whole.tar", tmp_path / "part.tar"
    write_oci_archive(whole, INDEX)
    absent = next(image for image in INDEX.images if image.platform == other).digest.hex
    with tarfile.open(whole) as source, tarfile.open(part, "w") as target:
        for member in source:
            if not member.name.endswith(absent):
                target.addfile(member, source.extractfile(member))

    with open_image("docker-daemon:app", stand_in(tmp_path, part)) as opened:
        assert [image.platform for image in opened.images] == [here]
    # A file that lacks something is damaged.
    with pytest.raises(ImageError) as raised, open_image(str(part), OPENER):
        pass
    assert raised.value.code == "absent-blob"


def test_an_engines_refusal_is_told(tmp_path: Path) -> None:
    program = tmp_path / "podman"
    program.write_text("#!/bin/sh\necho 'Error: app: image not known' >&2\nexit 125\n")
    program.chmod(0o755)
    opener = Opener(registry=no_registry, environ={"PATH": f"{tmp_path}:/usr/bin:/bin"})

    with (
        pytest.raises(HostError, match="podman: Error: app: image not known"),
        open_image("podman:app", opener),
    ):
        pass
