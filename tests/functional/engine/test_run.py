"""Every runner runs the same image in the same way."""

from __future__ import annotations

import os
import pty
import select
import signal
import socket
import subprocess
import time
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from functional.engine.conftest import ENGINES, WAYS, Way

# Seconds until what has to happen does not happen any more, on however busy a machine.
PATIENCE = 120


def test_exit_code_is_the_programs(way: Way) -> None:
    assert way.run("exit", "7").code == 7


def test_arguments_reach_the_program_as_they_are(way: Way) -> None:
    args = ["a b", "", "é☃", "$HOME", "-x", "--", "line\nbreak"]
    assert way.run("args", *args).stdout == "".join(f"[{arg}]\n" for arg in args)


def test_environment_is_the_images_with_additions(way: Way) -> None:
    lines = way.run("env", env={"GREETING": "bonjour", "MORE": "a=b c"}).lines
    assert {"GREETING=bonjour", "MORE=a=b c", "PATH=/app", "HOME=/home/nonroot"} <= set(lines)
    assert not any(line.startswith(("TMPDIR=", "PYTHONPATH=", "DOCKER_")) for line in lines)


def test_standard_input_is_piped_through(way: Way) -> None:
    text = "0123456789\n" * 20_000
    assert way.run("echo", stdin=text).stdout == text


def test_working_folder_is_the_images(way: Way) -> None:
    assert way.run("cwd").lines == ["/app"]
    assert way.run("cwd", workdir="/etc").lines == ["/etc"]


def test_nothing_of_the_image_can_be_written(way: Way) -> None:
    ended = way.run("write", "/x", "/app/x", "/home/x")
    assert [line.split(" ", 1)[1] for line in ended.lines] == ["Read-only file system"] * 3
    owned = way.run("write", "/app/program", "/etc/passwd").lines
    assert not [line for line in owned if line.endswith("written")]


def test_home_and_tmp_can_be_written_and_are_empty_next_time(way: Way) -> None:
    for _ in range(2):
        ended = way.run("write", "/tmp/x", "/home/nonroot/x", "/run/x", "/dev/shm/x")
        assert all(line.endswith(" written") for line in ended.lines), ended.stdout
    assert way.run("cat", "/home/nonroot/x").lines == ["/home/nonroot/x: No such file or directory"]


def test_program_has_no_capability_and_gets_no_new_privilege(way: Way) -> None:
    status = dict(line.split(":\t", 1) for line in way.run("cat", "/proc/self/status").lines if ":\t" in line)
    none = "0" * 16
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert status[kind] == none, kind
    assert status["NoNewPrivs"] == "1"


@pytest.mark.parametrize("user", [None, "1000:1000", "4294967:3"])
def test_program_is_the_numeric_user(way: Way, user: str | None) -> None:
    expected = (user or "65532:65532").split(":")
    assert way.run("id", user=user).stdout.split()[:2] == expected


def test_user_names_are_looked_up_in_the_image(way: Way) -> None:
    assert way.run("id", user="nonroot").stdout.split()[:2] == ["65532", "65532"]


def test_without_a_network_there_is_loopback_alone(way: Way) -> None:
    assert way.run("interfaces", network="none").lines == ["lo"]


def test_with_the_hosts_network_a_port_answers_on_loopback(way: Way) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with way.start("serve", str(port), network="host") as child:
        assert _ready(child)
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            assert connection.recv(5) == b"hello"
        assert child.wait(PATIENCE) == 0


def test_exposed_port_answers_on_loopback_without_being_asked_for(way: Way) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = replace(way.config, exposed_ports=(f"{port}/tcp",))
    with way.start("serve", str(port), network="default", config=config) as child:
        assert _ready(child)
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            assert connection.recv(5) == b"hello"
        assert child.wait(PATIENCE) == 0
    if way.runner in ("docker", "podman"):
        replace(way, config=config).forget_image()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGWINCH"])
def test_signals_reach_the_program_and_its_code_comes_back(way: Way, name: str) -> None:
    number = getattr(signal, name)
    with way.start("handle") as child:
        assert _ready(child)
        child.send_signal(number)
        assert child.stdout is not None
        assert child.stdout.readline() == f"got {number:d}\n"
        assert child.wait(PATIENCE) == 40


def test_without_an_init_the_program_is_process_1(way: Way) -> None:
    assert way.run("id", init=False).lines[0].split()[2] == "1"


def test_program_without_a_handler_dies_of_the_signal(way: Way) -> None:
    with way.start("wait") as child:
        assert _ready(child)
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_program_killed_by_a_signal_gives_128_and_its_number(way: Way, number: int) -> None:
    assert way.run("die", str(int(number))).code == 128 + number


def test_orphans_are_reaped(way: Way) -> None:
    assert way.run("orphan").lines == ["reaped"]


def test_mounts_are_read_only_unless_asked(way: Way) -> None:
    folder = way.folder / "shared, and more"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "note").write_text("from the host\n")
    mounts = [(str(folder), "/data", True), (str(folder), "/deep/er/data", False)]
    assert way.run("cat", "/data/note", mounts=mounts).lines == ["from the host"]
    ended = way.run("write", "/data/x", "/deep/er/data/y", mounts=mounts)
    assert ended.lines == ["/data/x Read-only file system", "/deep/er/data/y written"]
    assert sorted(path.name for path in folder.iterdir()) == ["note", "y"]


def test_mount_can_be_below_a_folder_in_memory(way: Way) -> None:
    note = way.folder / "note"
    note.write_text("from the host\n")
    mounts = [(str(note), "/tmp/a/note", True), (str(way.folder / "cache"), "/home/nonroot/.cache", True)]
    assert way.run("cat", "/tmp/a/note", mounts=mounts).lines == ["from the host"]


def test_missing_program_is_told(way: Way) -> None:
    ended = way.run(entrypoint=["/app/none"])
    if way.runner in ("docker", "podman"):  # the engine's init is what finds out
        assert ended.code == 127
        assert "/app/none" in ended.stderr
    else:
        assert ended.code == 10
        assert "error[command-not-found]" in ended.stderr


@pytest.mark.parametrize("way", [name for name in WAYS if name not in ENGINES], indirect=True)
def test_unpacked_files_are_used_again_and_never_changed(way: Way) -> None:
    assert way.run("exit", "0").code == 0
    before = _tree(way.folder)
    assert before
    way.run("write", "/x", "/app/program", "/tmp/x", "/home/nonroot/x")
    assert _tree(way.folder) == before
    assert not list((way.folder / "cache" / "v1" / "tmp").iterdir())


def test_nothing_is_left_after_a_run(way: Way) -> None:
    way.run("exit", "0")
    assert not list((way.folder / "tmp").iterdir())


def test_nothing_is_left_when_the_runner_is_killed(way: Way) -> None:
    mark = uuid.uuid4().hex
    way = replace(way, config=replace(way.config, env=(*(way.config.env or ()), ("MARK", mark))))
    with way.start("wait") as child:
        assert _ready(child)
        assert _marked(mark)
        child.send_signal(signal.SIGKILL)
        assert child.wait(PATIENCE) == -signal.SIGKILL
        _until(lambda: not _marked(mark))
    _until(lambda: not [path for path in (way.folder / "tmp").iterdir() if path.name.startswith("shipwheel")])
    if way.runner in ("docker", "podman"):
        _until(lambda: not _containers(way))
        way.forget_image()
    assert way.folder.name not in Path("/proc/self/mountinfo").read_text()


def test_writable_root_is_a_copy_of_its_own(way: Way) -> None:
    config = replace(way.config, user="0:0")
    paths = ("/app/x", "/home/nonroot/y")
    assert way.run("write", *paths, read_only=False, config=config).lines == [
        f"{path} written" for path in paths
    ]
    assert way.run("cat", "/app/x", config=config).lines == ["/app/x: No such file or directory"]
    if way.runner in ("docker", "podman"):
        replace(way, config=config).forget_image()


def test_terminal_is_the_programs_and_ctrl_c_is_its_own(way: Way) -> None:
    ours, theirs = pty.openpty()
    try:
        popen = {"stdin": theirs, "stdout": theirs, "start_new_session": True}
        with way.start("tty", tty=True, popen=popen) as child:
            assert _read_until(ours, b"\n").strip() == b"1 1"
            assert child.wait(PATIENCE) == 0
        with way.start("handle", tty=True, popen=popen) as child:
            _read_until(ours, b"ready")
            os.write(ours, b"\x03")
            assert b"got 2" in _read_until(ours, b"got 2")
            assert child.wait(PATIENCE) == 40
    finally:
        os.close(ours)
        os.close(theirs)


def _ready(child: subprocess.Popen[str]) -> bool:
    assert child.stdout is not None
    return child.stdout.readline() == "ready\n"


def _until(holds: object) -> None:
    assert callable(holds)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if holds():
            return
        time.sleep(0.05)
    pytest.fail("it does not come about")


def _marked(mark: str) -> list[int]:
    """Processes with `mark` in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                data = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"MARK={mark}".encode() in data.split(b"\0"):
                found.append(int(entry.name))
    return found


def _containers(way: Way) -> str:
    command = [way.runner, "ps", "--all", "--quiet", "--filter", f"ancestor={way.engine_name()}"]
    return subprocess.run(command, env=dict(way.environ), check=True, capture_output=True, text=True).stdout


def _tree(folder: Path) -> list[tuple[str, int, int, float]]:
    return sorted(
        (str(path), path.lstat().st_mode, path.lstat().st_size, path.lstat().st_mtime)
        for path in folder.glob("cache/v1/folders/*/*/root/**/*")
    )


def _read_until(descriptor: int, text: bytes) -> bytes:
    data = b""
    while text not in data:
        if not select.select([descriptor], [], [], PATIENCE)[0]:
            pytest.fail(f"{text!r} does not come; there is {data!r}")
        data += os.read(descriptor, 4096)
    return data
