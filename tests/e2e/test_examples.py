"""Every example builds and runs, and tools that are not ours accept the images."""

import json
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from helpers.command import SHIPWHEEL, copy_example, shipwheel
from helpers.tools import require_tool

# One worker for all: they share the cache of downloads and layers, as projects on a machine do.
pytestmark = [pytest.mark.network, pytest.mark.xdist_group("examples")]

# Arguments for the program, and what it prints.
COMMANDS = {
    "hello": (["Ahoy"], "| Ahoy |"),
    "legacy": (["--rows", "3"], "3         9"),
    "pdm": (["--days", "1"], "weekday: "),
}


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of all examples, each with the shipwheel.lock that its first build writes."""
    folder = tmp_path_factory.mktemp("examples")
    for name in (*COMMANDS, "shop"):
        copy_example(name, folder)
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_command_runs_and_prints(copies: Path, name: str) -> None:
    arguments, printed = COMMANDS[name]
    done = shipwheel("run", copies / name, "--", *arguments)
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout


def test_the_example_service_answers_and_stops_when_asked(copies: Path) -> None:
    built = shipwheel("build", copies / "shop")
    assert built.returncode == 0, built.stderr
    port = free_port()
    command = [SHIPWHEEL, "run", str(copies / "shop"), "--env", f"PORT={port}", "--publish", f"{port}:{port}"]
    with subprocess.Popen(command) as process:
        try:
            assert answer(f"http://127.0.0.1:{port}/healthz", process) == {"status": "ok"}
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.parametrize("name", ["hello", "shop"])
def test_tools_that_are_not_ours_accept_an_example_image(copies: Path, tmp_path: Path, name: str) -> None:
    built = shipwheel("build", copies / name, "--tag", f"{name}:test", "--output", tmp_path / "image")
    assert re.fullmatch(rf"\S*{name}:test@sha256:[0-9a-f]{{64}}\n", built.stdout), built.stderr
    layout = tmp_path / "image"
    validate: list[str | Path] = [
        require_tool("oci-image-tool"),
        "validate",
        "--type",
        "image",
        "--ref",
        "name=test",
        layout,
    ]
    subprocess.run(validate, check=True)
    subprocess.run([require_tool("skopeo"), "inspect", "--raw", f"oci:{layout}"], check=True)
    copy = [
        require_tool("skopeo"),
        "copy",
        "--quiet",
        f"oci:{layout}",
        f"docker-archive:{tmp_path / 'copy.tar'}",
    ]
    subprocess.run(copy, check=True)
    unpack: list[str | Path] = [
        require_tool("umoci"),
        "unpack",
        "--rootless",
        "--image",
        f"{layout}:test",
        tmp_path / "bundle",
    ]
    subprocess.run(unpack, check=True)
    config = json.loads((tmp_path / "bundle" / "config.json").read_text())
    assert config["process"]["args"] == [f"/app/.venv/bin/{name}"]


def test_a_second_build_of_an_example_gives_the_same_reference(copies: Path) -> None:
    first, second = shipwheel("build", copies / "hello"), shipwheel("build", copies / "hello")
    assert first.stdout == second.stdout != ""


def answer(url: str, process: subprocess.Popen[bytes]) -> object:
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return json.load(response)
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, "the service ended before it answered"
            assert time.monotonic() < deadline, "the service does not answer"
            time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
