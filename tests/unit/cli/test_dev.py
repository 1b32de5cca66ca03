"""What compose is told for each word of `shipwheel dev`, and what it cannot start without."""

import argparse
import os
import stat
import sys
from pathlib import Path

import pytest

from shipwheel.cli import dev
from shipwheel.errors import HostError, ProjectError


def words(*given: str, tty: bool = True) -> list[str]:
    parser = argparse.ArgumentParser()
    dev.add_arguments(parser)
    return dev.compose_words(parser.parse_args(given), tty=tty)


def test_up_starts_the_dev_service_alone_unless_the_services_are_wanted() -> None:
    assert words("up") == ["up", "--detach", "--build", "--wait", "app-dev"]
    assert words("up", "--services") == ["--profile", "services", "up", "--detach", "--build", "--wait"]


def test_a_command_keeps_its_own_options() -> None:
    assert words("run", "pytest", "-x", "--volumes") == [
        "run",
        "--rm",
        "app-dev",
        "pytest",
        "-x",
        "--volumes",
    ]


def test_without_a_terminal_none_is_asked_for() -> None:
    assert words("shell", tty=False) == ["exec", "--no-TTY", "app-dev", "bash"]


def test_down_takes_the_databases_with_it() -> None:
    assert words("down", "--volumes") == ["--profile", "services", "down", "--volumes"]


def test_the_containers_user_is_the_hosts_unless_another_is_named() -> None:
    secrets = {"ca": Path("/ca.pem")}
    found = dev.compose_environ({"HOME": "/root"}, secrets, uid=1, gid=2)
    assert found == {"HOST_UID": "1", "HOST_GID": "2", "CA_BUNDLE": "/ca.pem", "HOME": "/root"}
    assert dev.compose_environ({"HOST_UID": "7"}, {}, uid=1, gid=2)["HOST_UID"] == "7"


def test_a_project_without_a_compose_file(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    dev.add_arguments(parser)
    with pytest.raises(ProjectError, match="no-compose-file"):
        dev.run(parser.parse_args(["--project", str(tmp_path), "up"]))


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("sys.exit(sys.argv[1] == 'compose')", "no-compose"),
        ("sys.exit(sys.argv[1] == 'version')", "engine-not-running"),
    ],
)
def test_a_docker_that_cannot(script: str, code: str, tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f"#!{sys.executable}\nimport sys\n{script}\n")
    docker.chmod(docker.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(HostError) as raised:
        dev.find_compose({"PATH": str(tmp_path)})
    assert raised.value.code == code


def test_no_engine_at_all(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no-compose"):
        dev.find_compose({"PATH": str(tmp_path)})


@pytest.mark.parametrize(("what", "told"), [(["up"], True), (["run", "true"], True), (["down"], False)])
def test_what_may_build_is_told_of_the_indexes_in_this_machines_files(
    what: list[str], told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "compose.yaml").touch()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "app"\nversion = "1"\n')
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://me:word@index.example/simple\n")
    docker = tmp_path / "docker"
    docker.write_text(
        f"#!{sys.executable}\nimport os, pathlib, sys\n"
        f"login = os.environ.get('INDEX_LOGIN')\n"
        f"if '--file' in sys.argv and login:\n"
        f"    pathlib.Path({str(tmp_path / 'seen')!r}).write_text(pathlib.Path(login).read_text())\n"
    )
    docker.chmod(docker.stat().st_mode | stat.S_IXUSR)
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_", "POETRY_", "PDM_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    parser = argparse.ArgumentParser()
    dev.add_arguments(parser)

    assert dev.run(parser.parse_args(["--project", str(tmp_path), *what])) == 0

    seen = tmp_path / "seen"
    assert seen.exists() == told
    if told:
        assert seen.read_text() == "PIP_INDEX_URL=https://me:word@index.example/simple/\n"
