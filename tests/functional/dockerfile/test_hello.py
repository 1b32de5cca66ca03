"""The Dockerfile of the first example, built and run as strictly as an orchestrator would: in every test run."""

import pytest

from helpers.command import copy_example
from helpers.road import MIRROR, PLUGIN, Road

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]

# No right, no file that can be written, nobody whom the image knows, no network.
STRICT = (
    *("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=54321:54321"),
    "--network=none",
)


def test_hellos_image_runs_without_any_right(road: Road) -> None:
    root = copy_example("hello", road.folder / "examples")
    with (root / "pyproject.toml").open("a") as file:
        file.write(f'\n[tool.shipwheel.base]\nimage = "{road.base}"\n{PLUGIN}')
    words = ("build", "--quiet", "--engine", "docker", "--tag", f"hello-{road.token}:1", root)
    done = road.run(*words, "--", "--network=host", environ=MIRROR)
    assert done.returncode == 0, done.stderr[-4000:]
    image = done.stdout.strip()
    said = road.engine.docker("run", "--rm", *STRICT, image, "Ship your wheels")
    assert "Ship your wheels" in said
    assert not (root / "Dockerfile").exists()
