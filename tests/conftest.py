"""What every test stands on: an environment of its own; and the engine and registry that several kinds use."""

import os
from collections.abc import Iterator

import pytest

from helpers import docker
from helpers.docker import DockerEngine
from helpers.registry import docker_registry


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let no setting of the developer's reach a test, and no test the developer's cache."""
    for name in list(os.environ):
        if name.startswith("SHIPWHEEL_") or name == "SOURCE_DATE_EPOCH":
            monkeypatch.delenv(name)
    monkeypatch.setenv("SHIPWHEEL_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "shipwheel-cache"))


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[DockerEngine]:
    """Give a current Docker engine: the machine's own, or a private one for as long as the tests run."""
    with docker.docker_engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the "127.0.0.1:PORT" of a real registry; a test uses repository names of its own."""
    with docker_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address
