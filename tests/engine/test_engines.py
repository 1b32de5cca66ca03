"""The engines, the registry and the stand-in image that other tests rely on do what they should."""

import json
import subprocess
from pathlib import Path

import pytest

from helpers import podman
from helpers.docker import DockerEngine
from helpers.stand_in import python_slim
from helpers.tools import require_tool

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]

DOCKERFILE = "FROM python:3.13-slim\nRUN python3 -m venv /venv && /venv/bin/pip --version\n"


@pytest.fixture(scope="module")
def stand_in() -> Path:
    return python_slim("3.13")


def test_docker_runs_the_stand_in_with_the_python_it_names(
    docker_engine: DockerEngine, stand_in: Path
) -> None:
    docker_engine.docker("load", "--quiet", "--input", str(stand_in))
    program = "import os, platform; print(platform.python_version() == os.environ['PYTHON_VERSION'])"
    assert docker_engine.docker("run", "--rm", "python:3.13-slim", "python3", "-c", program) == "True\n"


def test_buildkit_builds_on_the_stand_in_without_a_registry(
    docker_engine: DockerEngine, stand_in: Path
) -> None:
    docker_engine.docker("load", "--quiet", "--input", str(stand_in))
    image = docker_engine.docker("build", "--quiet", "-", input_=DOCKERFILE.encode())
    assert image.startswith("sha256:")


def test_podman_runs_the_stand_in(stand_in: Path) -> None:
    with podman.storage() as store:
        command = podman.podman(store)
        subprocess.run([*command, "load", "--quiet", "--input", stand_in], check=True)
        words = ["run", "--rm", *podman.RUN, "python:3.13-slim", "python3", "-c", "print(6 * 7)"]
        assert subprocess.run([*command, *words], capture_output=True, check=True).stdout == b"42\n"


def test_buildah_builds_on_the_stand_in(stand_in: Path, tmp_path: Path) -> None:
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(DOCKERFILE.replace("python:3.13-slim", f"docker-archive:{stand_in}"))
    with podman.storage() as store:
        subprocess.run(
            [*podman.buildah(store), "build", *podman.BUILD, "--file", dockerfile, tmp_path], check=True
        )


def test_skopeo_pushes_the_stand_in_and_finds_its_python(stand_in: Path, registry: str) -> None:
    skopeo = require_tool("skopeo")
    image = f"docker://{registry}/python:3.13-slim"
    push = [skopeo, "copy", "--quiet", "--dest-tls-verify=false", f"docker-archive:{stand_in}", image]
    subprocess.run(push, check=True)
    look = subprocess.run(
        [skopeo, "inspect", "--config", "--tls-verify=false", image], capture_output=True, check=True
    )
    environ = json.loads(look.stdout)["config"]["Env"]
    assert any(variable.startswith("PYTHON_VERSION=3.13.") for variable in environ)
