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

    # An empty store, as on another machine: after a code edit the dependencies come from the cache.
    subprocess.run([program, "rmi", "--all", "--force"], env=environ, check=True, capture_output=True)
    (root / "app/__init__.py").write_text("def main() -> None:\n    print('edited')\n")
    again = road.run(*words, "--cache-from", cache, "--", *BUILD, environ=store)
    assert again.returncode == 0, again.stderr[-3000:]
    assert "Installing parts" not in again.stderr


@pytest.mark.parametrize("engine", ["buildah", "podman"])
def test_a_date_gives_the_same_image(
    engine: Literal["buildah", "podman"], road: Road, store: dict[str, str]
) -> None:
    program = require_tool(engine)
    root = road.project(f"dated-{engine}")
    # The base's own steps are compared with BuildKit; here it is what `--timestamp` makes of ours.
    (root / "Dockerfile").write_text(
        "FROM scratch AS app\nCOPY app /app\nCOPY pyproject.toml /app/\nLABEL a=b\n"
    )
    found = []
    for name in ("one", "two"):
        image = f"{road.base.partition('/')[0]}/dated-{engine}-{name}:1"
        words = (
            "build",
            "--quiet",
            "--engine",
            engine,
            "--tag",
            image,
            "--epoch",
            "1767323045",
            "--no-cache",
        )
        done = road.run(*words, root, "--", *BUILD, environ=store)
        assert done.returncode == 0, done.stderr[-3000:]
        looked = subprocess.run(
            [program, "inspect", "--type", "image", "--format", "{{.FromImageDigest}}", image]
            if engine == "buildah"
            else [program, "image", "inspect", "--format", "{{.Digest}}", image],
            env={**road.engine.environ, **store}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        found.append(looked.stdout)
    assert found[0] == found[1]
    assert found[0].startswith("sha256:")
