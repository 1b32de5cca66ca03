"""A runner is found by trying, and a command's output comes back from an image."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from functional.engine.images import image_with
from shipwheel.cache import Cache
from shipwheel.engine.detect import find_runner
from shipwheel.engine.probe import probe, watch
from shipwheel.engine.spec import Publish, Runner, RunSpec
from shipwheel.errors import HostError, UsageError
from shipwheel.oci.model import Platform


@pytest.fixture
def rootless(tmp_path: Path) -> Runner:
    return find_runner({"PATH": os.environ["PATH"]}, "unshare", cache=Cache(tmp_path / "cache"))


def test_without_anything_installed_plain_system_calls_do(tmp_path: Path) -> None:
    assert find_runner({"PATH": "/nowhere"}, cache=Cache(tmp_path)).name == "unshare"


def test_why_a_forced_runner_does_not_work_is_told() -> None:
    with pytest.raises(HostError) as caught:
        find_runner({"PATH": "/nowhere"}, "docker")
    assert caught.value.code == "no-runner"
    assert "docker: not installed" in str(caught.value)


def test_engine_whose_daemon_does_not_answer_is_passed_over(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'Cannot connect to the daemon' >&2\nexit 1\n")
    docker.chmod(0o755)
    assert find_runner({"PATH": str(tmp_path)}, cache=Cache(tmp_path / "cache")).name == "unshare"
    with pytest.raises(HostError, match="Cannot connect to the daemon"):
        find_runner({"PATH": str(tmp_path)}, "docker")


def test_podman_of_a_user_without_a_range_of_users_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    podman = tmp_path / "podman"
    # One user in its namespace; it starts containers all the same.
    podman.write_text('#!/bin/sh\n[ "$1" = info ] && echo "1 " && exit\nexit 127\n')
    podman.chmod(0o755)
    environ = {"PATH": str(tmp_path)}
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert find_runner(environ, cache=Cache(tmp_path / "cache")).name == "podman"
    monkeypatch.setattr("os.geteuid", lambda: 1234)
    environ["AS"] = "an ordinary user"

    with pytest.raises(HostError, match="/etc/subuid"):
        find_runner(environ, "podman")


def test_unknown_runner_is_a_usage_error() -> None:
    with pytest.raises(UsageError) as caught:
        find_runner({}, "vagrant")
    assert caught.value.code == "unknown-runner"


def test_probe_gives_output_and_code_as_any_user(program: Path, rootless: Runner) -> None:
    image = image_with(program)
    completed = probe(image, ["/app/program", "id"], runner=rootless, uid=4711, timeout=60)
    assert (completed.returncode, completed.stdout.split()[:2], completed.stderr) == (
        0,
        [b"4711", b"4711"],
        b"",
    )
    assert probe(image, ["/app/program", "interfaces"], runner=rootless, timeout=60).stdout == b"lo\n"
    assert probe(image, ["/app/program", "exit", "9"], runner=rootless, timeout=60).returncode == 9


def test_probe_has_no_input(program: Path, rootless: Runner) -> None:
    assert probe(image_with(program), ["/app/program", "echo"], runner=rootless, timeout=60).stdout == b""


def test_probe_that_takes_too_long_is_killed(program: Path, rootless: Runner) -> None:
    with pytest.raises(TimeoutError):
        probe(image_with(program), ["/app/program", "wait"], runner=rootless, timeout=1)


def test_what_is_watched_is_process_1_and_is_killed_after_its_last_line(
    program: Path, rootless: Runner
) -> None:
    image = image_with(program)
    # It goes on for ever; without its end, the timeout would be an error.
    done = watch(image, ["/app/program", "wait"], runner=rootless, timeout=60, is_last=b"ready\n".__eq__)
    assert done.stdout == b"ready\n"
    done = watch(image, ["/app/program", "id"], runner=rootless, uid=7, timeout=60, is_last=lambda _: False)
    assert (done.returncode, done.stdout) == (0, b"7 7 1\n")


def test_image_for_another_platform_is_refused(program: Path, rootless: Runner) -> None:
    image = image_with(program, on=Platform(os="linux", architecture="mips64"))
    with pytest.raises(HostError) as caught:
        rootless.run(image, RunSpec())
    assert caught.value.code == "foreign-platform"


def test_port_cannot_be_another_without_an_engine(program: Path, rootless: Runner) -> None:
    spec = RunSpec(publish=[Publish(container_port=80, host_port=8080)])
    with pytest.raises(HostError) as caught:
        rootless.run(image_with(program), spec)
    assert caught.value.code == "no-port-mapping"


def test_links_in_the_image_lead_no_mount_out_of_it(program: Path, rootless: Runner, tmp_path: Path) -> None:
    image = image_with(
        program, links={"etc/resolv.conf": "../../../../../run/none/resolv.conf", "tmp": "/var/tmp"}
    )
    completed = probe(image, ["/app/program", "write", "/tmp/x", "/var/tmp/y"], runner=rootless, timeout=60)
    assert completed.stdout == b"/tmp/x written\n/var/tmp/y written\n"
    assert rootless.run(image, RunSpec(args=("exit", "0"))) == 0
    assert not Path("/run/none").exists()
    assert not Path("/var/tmp/y").exists()
