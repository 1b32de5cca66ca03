"""An engine, a base image in a registry, and an index behind a login, for all tests of this folder."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from helpers.docker import DockerEngine
from helpers.podman import storage
from helpers.road import PASSWORD, USER, Road
from helpers.stand_in import python_slim
from helpers.tools import require_tool
from shipwheel.testing.index import FakeIndex

HERE = Path(__file__).parent
# What the images of the databases' makers do, with Debian's packages.
POSTGRES = """
FROM {base}
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql
ENV PATH="/usr/lib/postgresql/17/bin:$PATH"
USER postgres
RUN printf '%s\\n' 'set -e' 'initdb -D /tmp/data --username="$POSTGRES_USER" > /dev/null' \\
      'exec postgres -D /tmp/data -c listen_addresses=* -c unix_socket_directories=/var/run/postgresql' \\
      > /tmp/start
CMD ["sh", "/tmp/start"]
"""
REDIS = """
FROM {base}
RUN apt-get update && apt-get install --yes --no-install-recommends redis-server
CMD ["redis-server", "--protected-mode", "no"]
"""


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
    certificate = trustme.CA(organization_name="A company").cert_pem.bytes().decode()
    known = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))
    bundle = folder / "bundle.pem"
    bundle.write_text((known.read_text() if known.is_file() else "") + certificate)
    login["SSL_CERT_FILE"] = str(bundle)
    road = Road(
        folder=folder,
        engine=docker_engine,
        base=base_image,
        index=private_index,
        environ=login,
        certificate=certificate,
    )
    yield road
    road.clean()


@pytest.fixture(scope="session")
def databases(road: Road) -> Iterator[None]:
    """Give images under the names that compose.yaml has, where the engine has none."""
    made = []
    for name, text in (("postgres:17-alpine", POSTGRES), ("redis:8-alpine", REDIS)):
        if road.engine.docker("image", "ls", "--quiet", name):
            continue
        words = ("build", "--quiet", "--network=host", "--tag", name, "-")
        road.engine.docker(*words, input_=text.format(base=road.base).encode())
        made.append(name)
    yield
    if made:
        road.engine.docker("image", "rm", "--force", *made)


@pytest.fixture
def store(base_image: str) -> Iterator[dict[str, str]]:
    """Give variables that point Podman and Buildah at an empty store, on overlay: vfs copies every layer."""
    with storage() as folder:
        config = folder / "storage.conf"
        root = folder / "root"
        config.write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{root}"\nrunroot = "{folder / "run"}"\n'
        )
        (folder / "registries.conf").write_text(
            f'[[registry]]\nlocation = "{base_image.partition("/")[0]}"\ninsecure = true\n'
        )
        (folder / "containers.conf").write_text(
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\n[containers]\nnetns = "host"\n'
        )
        yield {
            "CONTAINERS_STORAGE_CONF": str(config),
            "CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf"),
            "CONTAINERS_CONF": str(folder / "containers.conf"),
        }
        subprocess.run(["umount", "--lazy", root / "overlay"], check=False, capture_output=True)
        shutil.rmtree(root, ignore_errors=True)
