"""An image on a base that is an image: from a registry, and from a layout beside the project."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers.command import copy_example, shipwheel
from helpers.stand_in import python_slim
from helpers.tools import require_tool
from shipwheel.oci.layout import read_layout
from shipwheel.oci.model import Platform
from shipwheel.oci.read import LoadedImage
from shipwheel.oci.validate import validate_layout

pytestmark = [pytest.mark.network, pytest.mark.engine]
AMD64 = Platform(os="linux", architecture="amd64")


@pytest.fixture(scope="module")
def base_in_registry(registry: str) -> str:
    name = f"{registry}/bases/python:3.13-slim"
    command = [require_tool("skopeo"), "copy", "--quiet", "--dest-tls-verify=false"]
    subprocess.run([*command, f"docker-archive:{python_slim('3.13')}", f"docker://{name}"], check=True)
    return name


def base_of(project: Path, settings: str) -> Path:
    with (project / "pyproject.toml").open("a") as file:
        file.write(f"\n[tool.shipwheel.base]\n{settings}\n")
    return project


def check_runs(project: Path, out: Path) -> LoadedImage:
    """Build `project` into `out`, check the image, run it, and return it."""
    built = shipwheel("build", project, "--output", out, "--quiet")
    assert built.returncode == 0, built.stderr
    assert validate_layout(out) == []
    done = shipwheel("run", "--quiet", project, "--runner", "unshare", "--", "on another base")
    assert done.returncode == 0, done.stderr
    assert "on another base" in done.stdout
    image = read_layout(out, platform=AMD64)
    assert isinstance(image, LoadedImage)
    return image


def test_a_registry_base_is_pinned_by_digest_and_its_layers_are_taken_as_they_are(
    base_in_registry: str, tmp_path: Path
) -> None:
    project = base_of(copy_example("hello", tmp_path), f'image = "{base_in_registry}"')

    image = check_runs(project, tmp_path / "out")

    inspect = [require_tool("skopeo"), "inspect", "--tls-verify=false", f"docker://{base_in_registry}"]
    base = json.loads(subprocess.run(inspect, check=True, capture_output=True).stdout)
    layers = [str(layer.descriptor.digest) for layer in image.layers]
    assert layers[: len(base["Layers"])] == base["Layers"]
    assert base["Digest"] in (project / "shipwheel.lock").read_text()
    labels = image.image.config.labels or {}
    assert labels["org.opencontainers.image.base.name"] == base_in_registry
    assert labels["org.opencontainers.image.base.digest"] == base["Digest"]
    env = dict(image.image.config.env or ())
    assert env["PYTHON_VERSION"].startswith("3.13.")
    assert env["PATH"].startswith("/app/.venv/bin:/usr/local/bin:")


def test_a_layout_beside_the_project_may_be_the_base(tmp_path: Path) -> None:
    project = copy_example("hello", tmp_path)
    copy = [require_tool("skopeo"), "copy", "--quiet", f"docker-archive:{python_slim('3.13')}"]
    subprocess.run([*copy, f"oci:{project / 'base'}:latest"], check=True)

    image = check_runs(base_of(project, 'layout = "base"'), tmp_path / "out")

    base = read_layout(project / "base", platform=AMD64)
    assert isinstance(base, LoadedImage)
    count = len(base.layers)
    assert [layer.descriptor.digest for layer in image.layers[:count]] == [
        layer.descriptor.digest for layer in base.layers
    ]


def test_a_locked_base_that_is_gone_from_the_registry_is_told(base_in_registry: str, tmp_path: Path) -> None:
    project = base_of(copy_example("hello", tmp_path), f'image = "{base_in_registry}"')
    assert shipwheel("lock", "--quiet", project).returncode == 0
    lock = project / "shipwheel.lock"
    text = lock.read_text()
    digest = next(line.split('"')[1] for line in text.splitlines() if line.startswith("digest = "))
    layer = [line for line in text.splitlines() if line.startswith("digest = ") and digest not in line][-1]
    gone = layer.replace(layer.split(":")[1][:8], "0" * 8)
    lock.write_text(text.replace(layer, gone))
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)

    done = shipwheel("build", project, "--locked", environ={"SHIPWHEEL_CACHE_DIR": str(tmp_path / "cache")})

    assert done.returncode in (5, 6), done.stderr
    assert "Traceback" not in done.stderr
