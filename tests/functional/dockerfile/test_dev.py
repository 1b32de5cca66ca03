"""Development over compose: whose files are whose, and an environment that follows the lock."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.command import SHIPWHEEL
from helpers.road import Road
from helpers.tools import require_tool

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]

# The tests run as root, whose files need no owner of their own: another user is told instead.
HOST = {"HOST_UID": "4711", "HOST_GID": "4711"}


@pytest.fixture(scope="module")
def project(road: Road) -> Iterator[Path]:
    root = road.project("working")
    road.init(root)
    compose = root / "compose.yaml"
    # Builds here reach the loopback index through the host's network.
    text = compose.read_text().replace("\n      target:", "\n      network: host\n      target:")
    text = text.replace("    # <own app-dev>\n", "    # <own app-dev>\n    network_mode: host\n")
    compose.write_text(text)
    for path in (root, *root.rglob("*")):
        os.chown(path, 4711, 4711)
    yield root
    dev(road, root, "down", "--volumes")


def dev(road: Road, root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return road.run("dev", "--project", root, *words, environ=HOST)


def test_work_in_the_container(road: Road, project: Path) -> None:
    up = dev(road, project, "up")
    assert up.returncode == 0, up.stderr[-3000:]
    program = (
        "import app, checks, json, os; open('/app/made', 'w'); "
        "print(json.dumps([app.__file__, os.getuid(), os.stat('/app/.venv').st_uid]))"
    )
    ran = dev(road, project, "run", "python", "-c", program)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == ["/app/app/__init__.py", 4711, 4711]
    # A file made inside is the host user's outside.
    assert (project / "made").stat().st_uid == 4711
    # The volume hides nothing of the host's, and the host nothing of the volume's.
    assert not (project / ".venv/bin/python").exists()


def test_a_shell_and_then_down(road: Road, project: Path) -> None:
    assert dev(road, project, "up").returncode == 0
    environ = {**os.environ, **road.engine.environ, **road.environ, **HOST}
    shell = subprocess.run(
        [SHIPWHEEL, "dev", "--project", project, "shell"],
        env=environ, input="id -u; id -g; pwd; exit 5\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    # What the shell ended with is what the command ends with.
    assert (shell.returncode, shell.stdout.split()) == (5, ["4711", "4711", "/app"])
    assert dev(road, project, "run", "false").returncode == 1
    assert dev(road, project, "down").returncode == 0
    label = f"label=com.docker.compose.project=working-{road.token}"
    assert road.engine.docker("ps", "--all", "--quiet", "--filter", label) == ""
    # The environment outlives its container, until it is told to go.
    assert "venv" in road.engine.docker("volume", "ls", "--quiet", "--filter", label)
    assert dev(road, project, "down", "--volumes").returncode == 0
    assert road.engine.docker("volume", "ls", "--quiet", "--filter", label) == ""


def test_builder_and_app_are_never_started(road: Road, project: Path) -> None:
    assert dev(road, project, "up").returncode == 0
    name = f"working-{road.token}"
    listed = road.engine.docker(
        "ps", "--all", "--filter", f"label=com.docker.compose.project={name}", "--format", "{{.Names}}"
    )
    assert listed.split() == [f"{name}-app-dev-1"]


def test_the_environment_follows_the_lock_although_its_volume_is_old(road: Road, project: Path) -> None:
    lock = project / "poetry.lock"
    text = lock.read_text()
    assert dev(road, project, "up").returncode == 0
    try:
        lock.write_text(f"{text}\n# touched\n")
        ran = dev(road, project, "run", "python", "-c", "print('there')")
        # Without the index's login in the container, what is there already is enough.
        assert "follow-lock: what the venv was made from differs from poetry.lock" in ran.stderr + ran.stdout
        assert "there" in ran.stdout, ran.stderr
        again = dev(road, project, "run", "python", "-c", "print('there')")
        assert "follow-lock" not in again.stderr + again.stdout
    finally:
        lock.write_text(text)


# Of the tools it is the only one that needs Node and its registry, which Debian's machines lack.
@pytest.mark.conformance
def test_a_dev_container_opens(road: Road, project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    npx = require_tool("npx")
    # It knows its own containers again, and no one else's.
    dev(road, project, "down", "--volumes")
    environ = {**road.engine.environ, **HOST}
    environ |= road.as_secrets({k: v for k, v in road.environ.items() if k.startswith("POETRY_")})
    environ["npm_config_cache"] = str(tmp_path_factory.getbasetemp() / "npm")
    start = [npx, "--yes", "@devcontainers/cli@0.89.0"]
    up = subprocess.run(
        [*start, "up", "--workspace-folder", project],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert up.returncode == 0, up.stderr[-3000:]
    told = json.loads(up.stdout.strip().splitlines()[-1])
    assert (told["outcome"], told["remoteUser"], told["remoteWorkspaceFolder"]) == (
        "success",
        "nonroot",
        "/app",
    )
    inside = subprocess.run(
        [
            *start,
            "exec",
            "--workspace-folder",
            project,
            "python",
            "-c",
            "import app, checks; print(app.__file__)",
        ],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "/app/app/__init__.py" in inside.stdout, inside.stderr[-2000:]
