"""Bases from a real registry and from layouts: pinned, read back, opened late, never rewritten."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.bases import files_layer, python_base
from helpers.servers import fault_proxy
from shipwheel.base.layout import lock_layout_base, open_layout_layers
from shipwheel.base.model import ImageBase
from shipwheel.base.registry import lock_image_base, open_registry_layers
from shipwheel.cache import Cache
from shipwheel.errors import ImageError, NetworkError, ShipwheelError, TargetError
from shipwheel.net import Http
from shipwheel.oci.layout import write_layout
from shipwheel.oci.model import Image, ImageIndex, Layer, Platform, append_layers
from shipwheel.oci.registry import RegistryClient, Repository, push_image
from shipwheel.oci.validate import validate_image

AMD64, ARM64, RISCV = (Platform(os="linux", architecture=name) for name in ("amd64", "arm64", "riscv64"))


@pytest.fixture
def http() -> Iterator[Http]:
    with Http({}, sleep=lambda _: None) as client:
        yield client


@pytest.fixture
def client(http: Http, tmp_path: Path) -> RegistryClient:
    return RegistryClient.from_environ({}, http, Cache(tmp_path / "cache"))


@pytest.fixture
def index(tmp_path: Path) -> ImageIndex:
    return ImageIndex(
        images=(
            python_base(tmp_path / "amd64"),
            python_base(tmp_path / "arm64", architecture="arm64", python="3.13.6"),
        )
    )


def test_each_platform_is_pinned_with_what_is_in_it(
    registry: str, index: ImageIndex, client: RegistryClient
) -> None:
    repository = Repository(registry=registry, name="bases/index")
    push_image(client, index, repository, tags=("3.13",))
    base = lock_image_base(f"{repository}:3.13", [ARM64, AMD64], client)
    assert (base.kind, base.reference, base.digest) == ("registry", f"{repository}:3.13", str(index.digest))
    assert [(item.platform, item.python, item.libc, item.executable) for item in base.platforms] == [
        ("linux/amd64", "3.13.5", "glibc 2.41", "/usr/local/bin/python3.13"),
        ("linux/arm64", "3.13.6", "glibc 2.41", "/usr/local/bin/python3.13"),
    ]
    first = index.images[0]
    assert base.platforms[0].digest == str(first.digest)
    assert base.platforms[0].env == ("PATH=/usr/local/bin:/usr/bin",)
    assert [layer.created_by for layer in base.platforms[0].layers] == ["layer system", "layer python"]


def test_locked_layers_are_the_images_own_and_fetched_when_they_are_opened(
    registry: str, index: ImageIndex, client: RegistryClient, http: Http, tmp_path: Path
) -> None:
    repository = Repository(registry=registry, name="bases/late")
    push_image(client, index, repository, tags=("3.13",))
    base = lock_image_base(f"{repository}:3.13", [AMD64], client)
    with fault_proxy(registry) as proxy:
        there = replace(base, reference=f"{proxy.address}/bases/late:3.13")
        fresh = RegistryClient.from_environ({}, http, Cache(tmp_path / "fresh"))
        layers = open_registry_layers(there, AMD64, fresh)
        assert proxy.received == []
        image = append_layers(Image(platform=AMD64), layers)
        assert validate_image(image) == []
        assert proxy.seen("GET", "/blobs/")
    # A lock keeps what names the bytes; what else the registry's manifest said of them is its own.
    own = [replace(layer.descriptor, annotations={}) for layer in index.images[0].layers]
    assert [layer.descriptor for layer in layers] == own
    assert [layer.diff_id for layer in layers] == [layer.diff_id for layer in index.images[0].layers]


def test_a_moved_tag_does_not_move_what_is_locked(
    registry: str, index: ImageIndex, client: RegistryClient, tmp_path: Path
) -> None:
    repository = Repository(registry=registry, name="bases/moved")
    push_image(client, index, repository, tags=("3.13",))
    base = lock_image_base(f"{repository}:3.13", [AMD64], client)
    push_image(client, python_base(tmp_path / "new", python="3.13.9"), repository, tags=("3.13",))
    assert (
        validate_image(append_layers(Image(platform=AMD64), open_registry_layers(base, AMD64, client))) == []
    )
    pinned = f"{repository}:3.13@{base.digest}"
    assert lock_image_base(pinned, [AMD64], client).platforms == base.platforms
    assert lock_image_base(f"{repository}:3.13", [AMD64], client).platforms[0].python == "3.13.9"


def test_an_image_that_was_looked_into_is_not_fetched_again_to_be_locked(
    registry: str, index: ImageIndex, client: RegistryClient
) -> None:
    repository = Repository(registry=registry, name="bases/again")
    push_image(client, index, repository, tags=("3.13",))
    first = lock_image_base(f"{repository}:3.13", [AMD64], client)
    with fault_proxy(registry) as proxy:
        again = lock_image_base(f"{proxy.address}/bases/again:3.13", [AMD64], client)
    assert again.platforms == first.platforms
    assert not proxy.seen("GET", "/blobs/")


def test_a_platform_that_is_not_there_is_refused_naming_those_that_are(
    registry: str, index: ImageIndex, client: RegistryClient
) -> None:
    repository = Repository(registry=registry, name="bases/platform")
    push_image(client, index, repository, tags=("3.13",))
    with pytest.raises(TargetError) as error:
        lock_image_base(f"{repository}:3.13", [AMD64, RISCV], client)
    assert error.value.code == "base-without-platform"
    assert "linux/amd64, linux/arm64" in str(error.value)
    assert str(repository) in str(error.value)


def test_a_name_that_is_not_there_is_an_error(registry: str, client: RegistryClient) -> None:
    with pytest.raises(NetworkError) as error:
        lock_image_base(f"{registry}/bases/absent:1", [AMD64], client)
    assert error.value.code == "registry-unknown"


def test_a_platform_that_is_not_locked_is_refused(
    registry: str, index: ImageIndex, client: RegistryClient
) -> None:
    repository = Repository(registry=registry, name="bases/unlocked")
    push_image(client, index, repository, tags=("3.13",))
    base = lock_image_base(f"{repository}:3.13", [AMD64], client)
    with pytest.raises(TargetError) as error:
        open_registry_layers(base, ARM64, client)
    assert error.value.code == "base-not-locked"


def test_a_layout_is_pinned_like_a_registrys_image(index: ImageIndex, tmp_path: Path) -> None:
    write_layout(tmp_path / "project/base", index, ref_name="3.13")
    base = lock_layout_base("base", [AMD64], Cache(tmp_path / "cache"), root=tmp_path / "project")
    assert (base.kind, base.reference, base.platforms[0].python) == ("layout", "base", "3.13.5")
    layers = open_layout_layers(base, AMD64, root=tmp_path / "project")
    assert validate_image(append_layers(Image(platform=AMD64), layers)) == []


def test_a_layout_with_two_images_needs_a_name(index: ImageIndex, tmp_path: Path) -> None:
    write_layout(tmp_path / "base", index, ref_name="one")
    write_layout(tmp_path / "base", index.images[0], ref_name="two")
    cache = Cache(tmp_path / "cache")
    with pytest.raises(TargetError) as error:
        lock_layout_base("base", [AMD64], cache, root=tmp_path)
    assert error.value.code == "base-ambiguous"
    assert "one, two" in str(error.value)
    base = lock_layout_base("base", [AMD64], cache, root=tmp_path, name="two")
    assert base.digest == str(index.images[0].digest)


def test_a_layout_that_lost_a_blob_is_refused(index: ImageIndex, tmp_path: Path) -> None:
    write_layout(tmp_path / "base", index)
    base = lock_layout_base("base", [AMD64], Cache(tmp_path / "cache"), root=tmp_path)
    digest = index.images[0].layers[0].descriptor.digest
    (tmp_path / "base/blobs" / digest.algorithm / digest.hex).unlink()
    with pytest.raises(ImageError) as error:
        open_layout_layers(base, AMD64, root=tmp_path)
    assert error.value.code == "absent-blob"


def test_a_layout_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShipwheelError) as error:
        lock_layout_base("absent", [AMD64], Cache(tmp_path / "cache"), root=tmp_path)
    assert error.value.code == "not-a-layout"


def test_this_machines_own_python_and_c_library_are_recognised(tmp_path: Path) -> None:
    interpreter = Path(sys.executable).resolve()
    loader_links = {*Path("/lib").glob("**/libc.so.6"), *Path("/usr/lib").glob("**/libc.so.6")}
    libraries = {str(path.resolve()).lstrip("/"): path.resolve().read_bytes() for path in loader_links}
    libpython = {
        str(path.resolve()).lstrip("/"): path.resolve().read_bytes()
        for path in Path(sys.base_prefix).glob("lib/**/libpython3.*.so.1.0")
    }
    if not libraries:
        pytest.skip("no glibc here")
    files: dict[str, bytes | str] = {
        str(interpreter).lstrip("/"): interpreter.read_bytes(),
        **libraries,
        **libpython,
    }
    layer = files_layer(tmp_path / "layer", files)
    base = _lock_alone(tmp_path, layer, str(interpreter.parent))
    version = ".".join(map(str, sys.version_info[:3]))
    assert base.platforms[0].python.startswith(version)
    assert base.platforms[0].libc == os.confstr("CS_GNU_LIBC_VERSION")


def _lock_alone(tmp_path: Path, layer: Layer, path: str) -> ImageBase:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    here = Platform(os="linux", architecture=machine)
    image = python_base(tmp_path / "frame", env=(("PATH", path),))
    write_layout(tmp_path / "base", replace(image, platform=here, layers=(layer,)))
    return lock_layout_base("base", [here], Cache(tmp_path / "cache"), root=tmp_path)
