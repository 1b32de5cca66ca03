"""`check IMAGE --dockerfile … --measure --rebuild` with a real engine: what a change costs, what differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.command import shipwheel
from helpers.docker import DockerEngine
from helpers.python_image import shell_files
from helpers.tools import require_tool

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("docker")]

# This machine's shell and nothing else: no base has to be pulled.
DOCKERFILE = """\
FROM scratch
COPY root /
COPY requirements.txt /app/requirements.txt
RUN {run}
COPY app /app/app
"""


@pytest.fixture
def project(tmp_path: Path, docker_engine: DockerEngine) -> Path:
    folder = tmp_path / "project"
    (folder / "app").mkdir(parents=True)
    for name, (_, content) in shell_files().items():
        path = folder / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755)
    (folder / "app/main.py").write_text("print('hello')\n")
    (folder / "requirements.txt").write_text("")
    return folder


def check(project: Path, engine: DockerEngine, run: str, *words: str) -> dict[str, Any]:
    file, tag = project / "Dockerfile", "localhost/shipwheel-trial-test:1"
    file.write_text(DOCKERFILE.format(run=run))
    engine.docker("build", "--quiet", "--tag", tag, str(project))
    try:
        done = shipwheel(
            "check", f"docker-daemon:{tag}", "--dockerfile", file, "--format", "json", "--fail-on", "never",
            "--only", "rebuild-differs", "--runner", "unshare", *words, environ=engine.environ,
        )  # fmt: skip
    finally:
        engine.docker("image", "rm", "--force", tag)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_change_is_built_by_the_engine_and_pushed(project: Path, docker_engine: DockerEngine) -> None:
    require_tool("docker-registry")
    report = check(project, docker_engine, ":", "--measure")
    edit, bump, upgrade = report["measured"][:3]
    assert "a line more in main.py" in edit["detail"]
    assert "pushed to an empty registry here" in edit["detail"]
    assert edit["seconds"] > 0
    # One small layer, a configuration and a manifest; the shell was there before.
    assert 0 < edit["size"] < 20_000
    assert bump["reason"] == "pyproject.toml has no version that could be raised"
    assert upgrade["reason"] == "the project has no lock file"
    assert [item["what"] for item in report["measured"]].count(upgrade["what"]) == 1
    assert "localhost/shipwheel-measured" not in docker_engine.docker("images")


def test_a_step_that_writes_something_else_each_time_is_found(
    project: Path, docker_engine: DockerEngine
) -> None:
    run = "read salt < /proc/sys/kernel/random/uuid && echo $salt > /app/salt"
    report = check(project, docker_engine, run, "--rebuild")
    (finding,) = report["findings"]
    salt = next(place for place in finding["places"] if place["path"] == "/app/salt")
    assert "line 1: '" in salt["detail"]
    assert "shipwheel-again" not in docker_engine.docker("images")
