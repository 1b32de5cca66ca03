"""Buildah and Podman build the same Dockerfile."""

import json
import subprocess
from typing import Literal

import pytest

from helpers.podman import BUILD, RUN
from helpers.road import Road
from helpers.tools import require_tool

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]


@pytest.mark.parametrize("engine", ["buildah", "podman"])
def test_the_app_is_built(engine: Literal["buildah", "podman"], road: Road, store: dict[str, str]) -> None:
    program = require_tool(engine)
    root = road.project(f"by-{engine}")
    host = road.base.partition("/")[0]
    image = f"{host}/by-{engine}:1"
    cache = f"type=registry,ref={host}/by-{engine}/cache:app"
    words = ("build", "--quiet", "--engine", engine, "--tag", image, root)

    done = road.run(*words, "--push", "--cache-to", cache, "--", *BUILD, environ=store)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == f"{image}\n"
    assert "Installing parts" in done.stderr
    environ = {**road.engine.environ, **store}
    if engine == "podman":
        command = [program, "run", "--rm", *RUN, image]
        ran = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert ran.stdout.startswith("42 "), ran.stderr
    else:
        looked = subprocess.run(
            [program, "inspect", "--type", "image", image], env=environ, capture_output=True, check=True
        )
        config = json.loads(looked.stdout)["OCIv1"]["config"]
        assert (config["User"], config["Entrypoint"]) == ("65532:65532", ["app"])

    # The other engine gets it from the registry.
    assert road.engine.docker("run", "--rm", image).startswith("42 ")
    road.engine.docker("image", "rm", image)

    # An empty store, as on another machine: steps come from the cache. Which ones is the engine's affair;
    # Buildah 1.28 finds those before a stage's first ARG or ENV.
    subprocess.run([program, "rmi", "--all", "--force"], env=environ, check=True, capture_output=True)
    again = road.run(*words, "--cache-from", cache, "--", *BUILD, environ=store)
    assert again.returncode == 0, again.stderr[-3000:]
    assert f"Cache pulled from remote {host}/by-{engine}/cache:" in again.stderr


@pytest.mark.parametrize("engine", ["buildah", "podman"])
def test_a_date_gives_the_same_image(
    engine: Literal["buildah", "podman"], road: Road, store: dict[str, str]
) -> None:
    program = require_tool(engine)
    root = road.project(f"dated-{engine}")
    # Whether the project's own steps give the same is shown with BuildKit; here, what Buildah adds.
    (root / "Dockerfile").write_text("FROM scratch AS app\nCOPY app /app\nLABEL a=b\n")
    found = []
    for name in ("one", "two"):
        words = ("--tag", f"dated-{name}:1", "--epoch", "1767323045", "--no-cache", root, "--", *BUILD)
        done = road.run("build", "--quiet", "--engine", engine, *words, environ=store)
        assert done.returncode == 0, done.stderr[-3000:]
        found.append(done.stderr.strip().splitlines()[-1])
    # The image's id, the digest of its configuration.
    assert len(found[0]) == 64
    assert found[0] == found[1]
    listed = subprocess.run(
        [program, "images", "--no-trunc", "--quiet"],
        env={**road.engine.environ, **store},
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(listed.stdout.split()) == {f"sha256:{found[0]}"}
