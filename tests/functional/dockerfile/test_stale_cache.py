"""Debian's Buildah and Podman: what did not change comes from their cache, and the image of older code never does."""

import re
import subprocess
from pathlib import Path
from typing import Literal

import pytest

from helpers.podman import BUILD
from helpers.road import Road
from helpers.tools import require_tool
from shipwheel.testing.wheels import make_wheel

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


def module_in(image: str, program: str, environ: dict[str, str], name: str = "app") -> str:
    """Return the text of a module in an image of Buildah's or Podman's store."""

    def said(*words: str) -> str:
        command = [program, *words]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.strip()

    container = said("from", image)
    try:
        site = Path(said("mount", container), "app/.venv/lib/python3.13/site-packages")
        return (site / name / "__init__.py").read_text()
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
    assert "RUN export VIRTUAL_ENV" in " ".join(everything)
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

    # What is mounted from a stage is not looked at; another lock has to be noticed all the same.
    assert "COUNT = 41" in module_in(released, buildah, environ, "parts")
    upgrade_parts(road, root)
    upgraded, ran = build()
    assert any("export VIRTUAL_ENV" in step for step in ran)
    assert "COUNT = 51" in module_in(upgraded, buildah, environ, "parts")


def upgrade_parts(road: Road, root: Path) -> None:
    """Lock a newer release of the dependency."""
    newer = road.index.add(make_wheel("parts", "2.0", {"parts/__init__.py": "COUNT = 51\n"}))
    lock = root / "poetry.lock"
    blocks = re.split(r"(?m)^(?=\[\[package\]\]$)", lock.read_text())
    for number, block in enumerate(blocks):
        if 'name = "parts"' in block:
            text = block.replace('version = "1.0"', 'version = "2.0"').replace("parts-1.0-", "parts-2.0-")
            blocks[number] = re.sub(r"sha256:[0-9a-f]{64}", f"sha256:{newer.sha256}", text)
    lock.write_text("".join(blocks))
