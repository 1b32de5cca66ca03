"""Images in a Docker daemon that keeps them in containerd, with the digests that registries know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from functional.ship.conftest import COW, HEN, Yard, edit
from helpers.builders import containerd_engine
from helpers.docker import DockerEngine


@pytest.fixture
def daemon(docker_engine: DockerEngine) -> Iterator[DockerEngine]:
    with containerd_engine(docker_engine) as engine:
        yield engine


@pytest.mark.engine
def test_inspect_diff_and_sbom_read_what_the_daemon_has(yard: Yard, daemon: DockerEngine) -> None:
    def answer(*words: str) -> Any:
        done = yard.bench.run(*words, environ=dict(daemon.environ))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    project = yard.bench.project(["cow", "hen"], wheels=[COW, HEN])
    yard.push(project, "--platform", "linux/amd64,linux/arm64")
    pushed = yard.image(platform="linux/amd64")
    # One platform of two: the store names the other one and has it not.
    daemon.docker("pull", "--quiet", "--platform=linux/amd64", f"{yard.name}:1.0.0")
    edit(project)
    loaded = yard.bench.run(
        *("load", "--json", "--engine=docker", project, "--tag=localhost/app:next"),
        environ=dict(daemon.environ),
    )
    assert loaded.returncode == 0, loaded.stderr
    here = f"docker-daemon:{yard.name}:1.0.0"

    seen = answer("inspect", "--json", here)
    assert seen["digest"] == str(pushed.digest)
    assert [layer["digest"] for layer in seen["layers"]] == [
        str(layer.descriptor.digest) for layer in pushed.layers
    ]
    assert [item["name"] for item in seen["packages"]["python"]] == ["app", "cow", "hen"]
    assert {item["name"] for item in answer("sbom", here)["components"]} == {"app", "cow", "hen"}
    same = answer("diff", "--json", here, f"{yard.name}:1.0.0", "--platform=linux/amd64")
    assert (same["packages"], same["files"], same["pull"]["layers"]) == ([], [], [])
    # Bytes as a registry would send them: one layer is another, and nothing else has to be pulled.
    other = answer("diff", "--json", here, "docker-daemon:localhost/app:next")
    changed = [item["path"] for item in other["files"]]
    assert "app/.venv/lib/python3.13/site-packages/app/__init__.py" in changed
    assert len(other["pull"]["layers"]) == 1
    assert other["pull"]["shared"] == len(pushed.layers) - 1
