"""`shipwheel load`: an engine gets what it has not, under the image's names."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers.docker import DockerEngine
from helpers.tools import require_tool
from shipwheel.oci.registry.serve import serve_image
from shipwheel.testing.images import random_image

from .conftest import COW, Yard, edit


@dataclass(frozen=True)
class Engine:
    """An engine's client: `name` as `--engine` takes it, and the environment that leads to its store."""

    name: str
    client: str
    environ: dict[str, str]

    def run(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            [self.client, *words], env=self.environ, capture_output=True, text=True, check=check
        )
        return done.stdout


@pytest.fixture(params=["docker", "podman"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "docker":
        docker: DockerEngine = request.getfixturevalue("docker_engine")
        yield Engine("docker", docker.client, dict(docker.environ))
        return
    client = require_tool("podman")
    # Its path is short: podman wants that.
    with tempfile.TemporaryDirectory(prefix="pod-", dir="/var/tmp") as folder:
        config = Path(folder, "storage.conf")
        config.write_text(
            f'[storage]\ndriver = "vfs"\nrunroot = "{folder}/run"\ngraphroot = "{folder}/root"\n'
        )

        yield Engine("podman", client, {**os.environ, "CONTAINERS_STORAGE_CONF": str(config)})


def load(yard: Yard, engine: Engine, project: Path, *tags: str) -> tuple[dict[str, object], str]:
    """Load and return what was loaded, and the image's digest."""
    words = [f"--tag={tag}" for tag in tags]
    done = yard.bench.run("load", "--json", "--engine", engine.name, project, *words, environ=engine.environ)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    return answer["loaded"], answer["digest"]


@pytest.mark.engine
def test_an_engine_has_the_image_by_its_names_and_a_second_time_nothing_is_sent(
    yard: Yard, engine: Engine
) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    edit(project, f"# {secrets.token_hex()}\n")  # an engine may keep layers of earlier runs
    names = [f"localhost/{yard.repository}:{tag}" for tag in ("1.0.0", "latest")]

    first, _ = load(yard, engine, project, *names)
    second, _ = load(yard, engine, project, *names)
    edit(project)
    third, _ = load(yard, engine, project, *names)

    assert (first["engine"], first["way"], first["names"]) == (engine.name, "pulled", names)
    assert isinstance(first["sent"], int)
    assert first["sent"] > 2000
    assert (second["way"], second["sent"]) == ("present", 0)
    # Manifest, config and the app's layer, and no other layer.
    assert isinstance(third["sent"], int)
    assert 0 < third["sent"] < 8000
    told = json.loads(engine.run("image", "inspect", *names))
    assert told[0]["Id"] == told[1]["Id"]
    assert told[0]["Config"]["Entrypoint"] == ["/app/.venv/bin/app"]
    listed = engine.run("image", "ls", "--format", "{{.Repository}}")
    assert "/shipwheel/" not in listed  # where it was pulled from
    engine.run("rmi", "--force", *names)


@pytest.mark.engine
def test_build_with_load_prints_the_reference_and_tells_what_was_sent(yard: Yard, engine: Engine) -> None:
    name = f"localhost/{yard.repository}:2"
    done = yard.bench.run(
        *("build", "--load", engine.name, yard.bench.project(), "--tag", name), environ=engine.environ
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{name}@sha256:")
    assert f"loaded into {engine.name}: {name}; " in done.stderr
    engine.run("rmi", "--force", name)


def stand_in(folder: Path, script: str) -> dict[str, str]:
    """Return an environment whose `docker` is this shell script."""
    folder.mkdir()
    program = folder / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": str(folder)}


def test_a_daemon_that_cannot_reach_this_machine_gets_an_archive(yard: Yard, tmp_path: Path) -> None:
    script = f'case "$1" in version) exit 0;; load) /bin/cat > {tmp_path}/loaded.tar;; *) exit 1;; esac'
    environ = stand_in(tmp_path / "bin", script)

    done = yard.bench.run("load", "--json", yard.bench.project(), environ=environ)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["loaded"]["way"] == "archive"
    listed = subprocess.run(
        ["tar", "-tf", tmp_path / "loaded.tar"], capture_output=True, text=True, check=True
    ).stdout
    assert "manifest.json" in listed


def test_an_engine_that_refuses_the_archive_says_why(yard: Yard, tmp_path: Path) -> None:
    script = 'case "$1" in version) exit 0;; load) /bin/cat >/dev/null; echo no space >&2; exit 1;; *) exit 1;; esac'

    message = yard.bench.fails(
        "load",
        yard.bench.project(),
        code="engine-failed",
        exit_code=8,
        environ=stand_in(tmp_path / "bin", script),
    )

    assert "docker: cannot load the image: no space" in message


def test_without_an_engine_the_way_out_is_told(yard: Yard, tmp_path: Path) -> None:
    environ = stand_in(tmp_path / "bin", "echo cannot connect >&2; exit 1")

    message = yard.bench.fails("load", yard.bench.project(), code="no-engine", exit_code=8, environ=environ)

    assert "docker: cannot connect; podman is not installed" in message
    assert "--output docker-archive:FILE" in message


def test_an_unknown_engine_and_several_platforms_are_refused(yard: Yard) -> None:
    project = yard.bench.project()

    yard.bench.fails("load", project, "--engine", "rocket", code="unknown-engine", exit_code=2)
    yard.bench.fails(
        *("load", project, "--platform", "linux/amd64,linux/arm64"), code="one-platform", exit_code=2
    )


# The registry of one image


def test_the_served_image_is_read_only_and_answers_for_nothing_else() -> None:
    image = random_image(1)
    with serve_image(image) as served:
        connection = http.client.HTTPConnection(served.reference.registry)
        repository = served.reference.repository

        def status(method: str, path: str) -> int:
            connection.request(method, path)
            answer = connection.getresponse()
            answer.read()
            return answer.status

        assert status("GET", "/v2/") == 200
        assert status("GET", f"/v2/{repository}/manifests/image") == 200
        assert status("HEAD", f"/v2/{repository}/blobs/{image.layers[0].descriptor.digest}") == 200
        assert status("GET", f"/v2/{repository}/manifests/other") == 404
        assert status("GET", f"/v2/{repository}/blobs/sha256:{'0' * 64}") == 404
        assert status("GET", f"/v2/shipwheel/other/manifests/{image.digest}") == 404
        assert status("GET", f"/v2/{repository}/blobs/../../../etc/passwd") == 404
        assert status("POST", f"/v2/{repository}/blobs/uploads/") == 501
        # A HEAD sends nothing.
        assert served.sent == {str(image.digest): 1}
        assert served.sent_bytes == image.manifest_blob().size


def test_a_client_that_expects_tls_is_told_at_once_in_plain_http() -> None:
    with serve_image(random_image(2)) as served:
        host, _, port = served.reference.registry.partition(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(b"\x16\x03\x01\x02\x00\x01")  # a hello without a line's end
            assert connection.recv(100).startswith(b"HTTP/1.1 400")
