"""Images to push and clients to push them with."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from shipwheel.cache import Cache
from shipwheel.net import Http
from shipwheel.oci.layer import write_layer
from shipwheel.oci.model import Image, Layer, Platform, RunConfig
from shipwheel.oci.registry import RegistryClient
from shipwheel.oci.tar import Entry

ClientMaker = Callable[..., RegistryClient]
LayerMaker = Callable[..., Layer]


def noise(size: int, seed: str) -> bytes:
    """Return bytes that do not compress, the same for the same seed."""
    return hashlib.shake_256(seed.encode()).digest(size)


@pytest.fixture
def make_layer(tmp_path: Path) -> LayerMaker:
    folder = tmp_path / "layers"
    folder.mkdir()

    def make(name: str, size: int = 1000) -> Layer:
        return write_layer(folder / name, [(Entry(path=name, size=size), noise(size, name))], created_by=name)

    return make


@pytest.fixture
def image(make_layer: LayerMaker, request: pytest.FixtureRequest) -> Image:
    """An image of three layers, one of them larger than what goes in one request; other bytes in each test."""
    name = request.node.name.replace("[", "-").replace("]", "").replace("/", "-")
    layers = (
        make_layer(f"{name}-a", 10),
        make_layer(f"{name}-b", 50_000),
        make_layer(f"{name}-c", 6_000_000),
    )
    return Image(
        platform=Platform.parse("linux/amd64"), layers=layers, config=RunConfig(user="65532", cmd=("true",))
    )


@pytest.fixture
def make_client(tmp_path: Path) -> Iterator[ClientMaker]:
    """Give a maker of clients with an empty cache each; nothing is waited for between tries."""
    with contextlib.ExitStack() as stack:
        count = iter(range(1000))

        def make(environ: Mapping[str, str] | None = None, *, read_timeout: float = 20.0) -> RegistryClient:
            environ = environ or {}
            http = stack.enter_context(Http(environ, sleep=lambda _: None, read_timeout=read_timeout))
            return RegistryClient.from_environ(environ, http, Cache(tmp_path / f"cache-{next(count)}"))

        yield make


@pytest.fixture
def client(make_client: ClientMaker) -> RegistryClient:
    return make_client()
