"""Buildah and Podman build the same Dockerfile."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from helpers.podman import BUILD, RUN, storage
from helpers.road import Road
from helpers.tools import require_tool

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]


@pytest.fixture
def store() -> Iterator[dict[str, str]]:
    """Give variables that point Podman and Buildah at an empty store, on overlay: vfs copies every layer."""
    with storage() as folder:
        config = folder / "storage.conf"
        root = folder / "root"
        config.write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{root}"\nrunroot = "{folder / "run"}"\n'
        )
        (folder / "registries.conf").write_text(
            '[[registry]]\nprefix = "127.0.0.1"\nlocation = "127.0.0.1"\ninsecure = true\n'
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


@pytest.mark.parametrize("engine", ["buildah", "podman"])
def test_the_app_is_built(engine: Literal["buildah", "podman"], road: Road, store: dict[str, str]) -> None:
    program = require_tool(engine)
    root = road.project(f"by-{engine}")
    registry = road.base.partition("/")[0]
    Path(store["CONTAINERS_REGISTRIES_CONF"]).write_text(
        f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n'
    )

    done = road.run("build", "--quiet", "--engine", engine, root, "--", *BUILD, environ=store)
    assert done.returncode == 0, done.stderr[-3000:]
    image = done.stdout.strip()
    assert image == f"localhost/by-{engine}-{road.token}:1.0.0"
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
