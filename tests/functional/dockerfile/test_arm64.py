"""The Dockerfile for linux/arm64, its steps run by QEMU: the pins, the tools and the wheels are that processor's."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import emulator as emulating
from helpers.emulator import debian_qemu
from helpers.podman import BUILD
from helpers.road import PASSWORD, USER, Road
from helpers.six_projects import COWSAY, write_project
from helpers.stand_in import python_slim
from helpers.tools import require_tool

pytestmark = [
    pytest.mark.engine,
    pytest.mark.network,
    pytest.mark.xdist_group("engine"),
]
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Give the start of a command that has the emulator, in a user namespace of its own."""
    qemu = debian_qemu(tmp_path_factory.mktemp("qemu"))
    yield [sys.executable, str(emulating.__file__), str(qemu)]


@pytest.fixture(scope="module")
def both(road: Road, emulator: list[str]) -> str:
    """Give an image of the registry for both processors."""
    host = road.base.partition("/")[0]
    archive = python_slim("3.13", architecture="arm64", start=emulator)
    source = f"docker-archive:{archive}"
    copy = ("copy", "--quiet", "--dest-tls-verify=false", source, f"docker://{host}/python:arm64")
    subprocess.run([require_tool("skopeo"), *copy], check=True)
    manifests = [
        {**described(host, tag), "platform": {"os": "linux", "architecture": architecture}}
        for tag, architecture in (("3.13-slim", "amd64"), ("arm64", "arm64"))
    ]
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).encode()
    put = urllib.request.Request(
        f"http://{host}/v2/python/manifests/3.13-both", index, {"Content-Type": INDEX}, method="PUT"
    )
    urllib.request.urlopen(put).close()
    return f"{host}/python:3.13-both"


def described(host: str, tag: str) -> dict[str, object]:
    """Return the descriptor of an image's manifest."""
    request = urllib.request.Request(f"http://{host}/v2/python/manifests/{tag}", headers={"Accept": MANIFEST})
    with urllib.request.urlopen(request) as answer:
        size = len(answer.read())
        return {"mediaType": MANIFEST, "digest": answer.headers["Docker-Content-Digest"], "size": size}


def test_every_step_runs_on_the_other_processor_and_so_does_the_app(
    road: Road, both: str, emulator: list[str], store: dict[str, str]
) -> None:
    root, _ = write_project(
        *(COWSAY, "uv", road.folder / "arm64"),
        index=road.index.url,
        login=(USER, PASSWORD),
        settings=f'[tool.shipwheel.base]\nimage = "{both}"\n',
    )
    buildah = require_tool("buildah")
    environ = {**os.environ, **road.engine.environ, **road.environ, **store}
    # Overlays cannot note in a user namespace what was removed, unless whoever mounts them knows where they are.
    environ["STORAGE_DRIVER"] = "vfs"

    def run(*words: str | Path) -> str:
        done = subprocess.run([*emulator, *words], env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout.strip()

    shipwheel = Path(sys.executable).with_name("shipwheel")
    words = ("build", "--quiet", "--engine", "buildah", "--platform", "linux/arm64", "--tag", "arm:1", root)
    image = run(shipwheel, *words, "--", *BUILD)
    config = json.loads(run(buildah, "inspect", "--type", "image", image))["OCIv1"]
    assert config["architecture"] == "arm64"
    container = run(buildah, "from", image)
    start = (buildah, "run", "--isolation", "chroot", "--user", "12345:12345", container, "--")
    assert "| Hello |" in run(*start, "/app/.venv/bin/service")
    machine = "import platform; print(platform.machine())"
    assert run(*start, "/app/.venv/bin/python", "-c", machine) == "aarch64"
