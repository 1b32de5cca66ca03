"""An engine, a base image in a registry, and an index behind a login, for all tests of this folder."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.docker import DockerEngine
from helpers.road import PASSWORD, USER, Road
from helpers.stand_in import python_slim
from helpers.tools import require_tool
from shipwheel.testing.index import FakeIndex

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep these for `make conformance`: they build images from nothing with real engines, for minutes.

    test_hello.py builds one, in every run.
    """
    for item in items:
        if item.path.is_relative_to(HERE) and item.path.name != "test_hello.py":
            item.add_marker(pytest.mark.conformance)


@pytest.fixture(scope="session")
def base_image(registry: str) -> str:
    """Give the stand-in for python:3.13-slim in a registry."""
    image = f"{registry}/python:3.13-slim"
    source = f"docker-archive:{python_slim('3.13')}"
    push = [require_tool("skopeo"), "copy", "--quiet", "--dest-tls-verify=false", source, f"docker://{image}"]
    subprocess.run(push, check=True)
    return image


@pytest.fixture(scope="session")
def private_index() -> Iterator[FakeIndex]:
    """Give an index that asks for a login."""
    with FakeIndex(user=USER, password=PASSWORD) as index:
        yield index


@pytest.fixture(scope="session")
def road(
    docker_engine: DockerEngine,
    base_image: str,
    private_index: FakeIndex,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Road]:
    """Give the road, with one cache for all its tests: tools are looked up and downloaded once."""
    folder = tmp_path_factory.mktemp("road")
    login = {
        "POETRY_HTTP_BASIC_TESTING_USERNAME": USER,
        "POETRY_HTTP_BASIC_TESTING_PASSWORD": PASSWORD,
        "SHIPWHEEL_CACHE_DIR": str(folder / "cache"),
    }
    if "SSL_CERT_FILE" not in os.environ and (bundle := Path("/etc/ssl/certs/ca-certificates.crt")).is_file():
        login["SSL_CERT_FILE"] = str(bundle)
    road = Road(folder=folder, engine=docker_engine, base=base_image, index=private_index, environ=login)
    yield road
    road.clean()
