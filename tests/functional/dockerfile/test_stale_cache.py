"""Debian's Buildah and Podman: what did not change comes from their cache, and the image of older code never does."""

import re
import subprocess
from pathlib import Path
from typing import Literal

import pytest

from helpers.podman import BUILD
from helpers.road import Road
from helpers.tools import require_tool

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]

_STEP = re.compile(r"^(?:\[\d+/\d+\] )?STEP \d+/\d+: (?P<what>.*)$")


def steps_that_ran(said: str) -> list[str]:
    """Return the RUN instructions that were not taken from the cache, without their mounts, shortened."""
    ran: list[str] = []
    step = ""
    for line in said.splitlines():
        if found := _STEP.match(line):
            step = re.sub(r"--mount=\S+ +", "", found["what"])
            if step.startswith("RUN "):
                ran.append(step)
        elif line.startswith("--> Using cache") and ran and ran[-1] == step:
            ran.pop()
            step = ""
    return [" ".join(one.split()[:3]) for one in ran]


def module_in(image: str, program: str, environ: dict[str, str]) -> str:
    """Return the text of the app's module in an image of Buildah's or Podman's store."""

    def said(*words: str) -> str:
        command = [program, *words]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.strip()

    container = said("from", image)
    try:
        site = Path(said("mount", container), "app/.venv/lib/python3.13/site-packages")
        return (site / "app/__init__.py").read_text()
    finally:
        said("rm", container)


@pytest.mark.parametrize("engine", ["buildah", "podman"])
def test_an_edit_and_a_release_reach_the_image_and_leave_the_dependencies_cached(
    engine: Literal["buildah", "podman"], road: Road, store: dict[str, str]
) -> None:
    require_tool(engine)
    root = road.project(f"stale-{engine}")

    def build() -> tuple[str, list[str]]:
        done = road.run("build", "--quiet", "--engine", engine, root, "--", *BUILD, environ=store)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.strip(), steps_that_ran(done.stderr)

    environ = {**road.engine.environ, **store}
    buildah = require_tool("buildah")
    wheel = 'RUN PATH="/opt/workshop/build-0/bin:$PATH" PYTHONPATH=/opt/workshop/build-0:/opt/workshop/wheel-tools'

    _, everything = build()
    assert any(step.startswith("RUN compile-ahead") for step in everything)
    _, nothing = build()
    assert nothing == []
    (root / "app/__init__.py").write_text("def main() -> None:\n    print('edited')\n")
    edited, ran = build()
    assert "edited" in module_in(edited, buildah, environ)
    assert ran == [wheel]
    pyproject = root / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('version = "1.0.0"', 'version = "1.0.1"'))
    released, ran = build()
    assert released.endswith(":1.0.1")
    assert sorted(ran) == sorted(["RUN python3 /opt/reduce.py", wheel])
