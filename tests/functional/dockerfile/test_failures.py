"""What goes wrong in real engines is told with the step, the line and a way out; stdout stays empty."""

import fcntl
import os
import select
import struct
import subprocess
import termios
import threading
from pathlib import Path
from typing import Literal

import pytest

from helpers.command import SHIPWHEEL
from helpers.podman import BUILD
from helpers.registry import docker_registry
from helpers.road import Road
from helpers.tools import require_tool

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]

Engine = Literal["docker", "buildx", "podman", "buildah"]
# The head of a program for linux/arm64 (ELF, e_machine 183), as long as a kernel wants it.
FOREIGN = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00\x01\x00\x00\x00" + bytes(104)


def failing(road: Road, name: str) -> Path:
    root = road.project(name)
    text = f"FROM {road.base} AS app\nRUN echo before\nRUN echo to be seen && exit 7\nRUN echo after\n"
    (root / "Dockerfile").write_text(text)
    return root


@pytest.mark.parametrize("engine", ["docker", "buildx", "podman", "buildah"])
def test_the_failing_step_is_named(engine: Engine, road: Road, store: dict[str, str]) -> None:
    if engine in ("podman", "buildah"):
        require_tool(engine)
    root = failing(road, f"failing-{engine}")
    words = BUILD if engine in ("podman", "buildah") else ("--network=host",)
    done = road.run("build", "--quiet", "--engine", engine, root, "--", *words, environ=store)
    assert (done.returncode, done.stdout) == (9, "")
    assert "to be seen" in done.stderr
    name = "docker" if engine == "buildx" else engine
    step = f"{'3/4: ' if name == 'docker' else ''}RUN echo to be seen && exit 7"
    assert f"error[dockerfile-build]: {name} ended with" in done.stderr
    assert f"in the step {step}\n" in done.stderr
    if name == "docker":
        assert "  --> Dockerfile:3\n" in done.stderr


def test_on_a_terminal_docker_draws_its_progress_and_the_failing_step_is_named(road: Road) -> None:
    root = failing(road, "on-a-terminal")
    environ = {
        **os.environ,
        **road.engine.environ,
        **road.environ,
        "TERM": "xterm",
        "BUILDKIT_PROGRESS": "tty",
    }
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    shown = bytearray()

    def read() -> None:
        while select.select([ours], [], [], 300)[0]:
            try:
                shown.extend(os.read(ours, 1 << 16))
            except OSError:  # nobody has the other end any more
                return

    reader = threading.Thread(target=read)
    reader.start()
    words = [SHIPWHEEL, "build", "--quiet", "--engine", "docker", str(root), "--", "--network=host"]
    done = subprocess.run(words, env=environ, stdout=subprocess.PIPE, stderr=theirs, check=False)
    os.close(theirs)
    reader.join()
    os.close(ours)
    assert (done.returncode, done.stdout) == (9, b"")
    # It moved the cursor up to draw over what it had drawn.
    assert b"\x1b[" in shown
    assert b"[+] Building" in shown
    assert b"in the step 3/4: RUN echo to be seen && exit 7" in shown


def test_a_secret_that_a_step_needs_is_asked_for(road: Road) -> None:
    root = road.project("needs-a-secret")
    (root / "Dockerfile").write_text(
        f"FROM {road.base} AS app\nRUN --mount=type=secret,id=token,required=true cat /run/secrets/token\n"
    )
    words = ("build", "--quiet", "--engine", "docker", root)
    done = road.run(*words)
    assert done.returncode == 9
    assert "hint: give it: --secret id=token,src=FILE" in done.stderr
    missing = road.run(*words, "--secret", f"id=token,src={root / 'nowhere'}")
    assert missing.returncode == 2
    assert "error[bad-secret]" in missing.stderr
    token = root / "token"
    token.write_text("x")
    given = road.run(*words, "--secret", f"id=token,src={token}")
    assert given.returncode == 0, given.stderr


def test_an_engine_that_is_not_running_is_said_before_anything_is_done(road: Road) -> None:
    root = road.project("no-daemon")
    (root / "shipwheel.lock").unlink(missing_ok=True)
    done = road.run("build", "--engine", "docker", root, environ={"DOCKER_HOST": f"unix://{root}/none.sock"})
    assert (done.returncode, done.stdout) == (8, "")
    assert "error[engine-not-running]: docker does not answer" in done.stderr
    assert "hint: start it" in done.stderr
    assert not (root / "shipwheel.lock").exists()
    for what in ("up", "down"):
        dev = road.run("dev", "--project", root, what, environ={"DOCKER_HOST": f"unix://{root}/none.sock"})
        # Nobody wrote its compose file; with one, the engine is asked.
        assert (dev.returncode, "error[no-compose-file]" in dev.stderr) == (3, True)
    road.init(root)
    dev = road.run("dev", "--project", root, "up", environ={"DOCKER_HOST": f"unix://{root}/none.sock"})
    assert "error[engine-not-running]" in dev.stderr


def test_a_stage_that_is_not_there_is_refused_before_the_engine_starts(road: Road) -> None:
    root = road.project("no-stage")
    done = road.run("build", "--quiet", "--engine", "docker", "--target", "production", root)
    assert (done.returncode, done.stdout) == (2, "")
    assert "error[unknown-target]: the Dockerfile has no stage production" in done.stderr
    assert "hint: there are: " in done.stderr
    assert ", app, dev, test\n" in done.stderr
    assert "load build definition" not in done.stderr


def test_programs_of_another_platform_need_an_emulator(road: Road) -> None:
    root = road.project("foreign")
    (root / "program").write_bytes(FOREIGN)
    (root / "Dockerfile").write_text(
        'FROM scratch AS app\nCOPY --chmod=755 program /program\nRUN ["/program"]\n'
    )
    done = road.run("build", "--quiet", "--engine", "docker", root)
    assert done.returncode == 9
    assert "exec format error" in done.stderr
    assert "hint: a program of another platform: Debian's qemu-user-static emulates it" in done.stderr


def test_a_registry_that_wants_a_login_is_not_taken_for_an_index(road: Road, tmp_path: Path) -> None:
    root = road.project("no-push")
    (root / "Dockerfile").write_text("FROM scratch AS app\nCOPY app /app\n")
    with docker_registry(tmp_path, users={"somebody": "else"}) as host:
        words = ("build", "--quiet", "--engine", "docker", "--push", "--tag", f"{host}/app:1", root)
        done = road.run(*words)
    assert (done.returncode, done.stdout) == (9, "")
    assert "hint: a registry wants a login" in done.stderr
