"""What runs: command, environment, user and folders, from the image and from what a run changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipwheel.engine.process import (
    DEFAULT_PATH,
    User,
    command,
    find_command,
    find_user,
    plan_process,
    writable_folders,
)
from shipwheel.engine.spec import Mount, RunSpec
from shipwheel.errors import ImageError, UsageError
from shipwheel.oci.model import RunConfig

IMAGE = RunConfig(
    user="65532:65532",
    working_dir="/app",
    entrypoint=("/app/.venv/bin/shop",),
    cmd=("serve",),
    env=(("PATH", "/app/.venv/bin"), ("HOME", "/home/nonroot")),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv/web:\nbroken line\n")
    (tmp_path / "etc/group").write_text("root:x:0:\nlog:x:4:web,other\nssl:x:9:web\n")
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (RunSpec(), ("/app/.venv/bin/shop", "serve")),
        (RunSpec(args=()), ("/app/.venv/bin/shop",)),
        (RunSpec(args=("migrate", "a b")), ("/app/.venv/bin/shop", "migrate", "a b")),
        (RunSpec(entrypoint=("python",)), ("python",)),
        (RunSpec(entrypoint=("python", "-c"), args=("1",)), ("python", "-c", "1")),
    ],
)
def test_arguments_replace_cmd_and_an_entry_point_drops_it(spec: RunSpec, expected: tuple[str, ...]) -> None:
    assert command(IMAGE, spec) == expected


def test_image_without_anything_to_run_is_an_error(root: Path) -> None:
    with pytest.raises(ImageError) as caught:
        plan_process(RunConfig(), RunSpec(), root)
    assert caught.value.code == "no-command"


def test_path_and_home_are_given_where_the_image_sets_none(root: Path) -> None:
    process = plan_process(RunConfig(cmd=("x",), user="web"), RunSpec(env={"A": "1"}), root)
    assert process.env == {"PATH": DEFAULT_PATH, "HOME": "/srv/web", "A": "1"}
    assert process.cwd == "/"


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("", User(uid=0, gid=0, home="/root")),
        ("65532:65532", User(uid=65532, gid=65532)),
        ("65532", User(uid=65532, gid=0)),
        ("33", User(uid=33, gid=34, groups=(4, 9), home="/srv/web")),
        ("web", User(uid=33, gid=34, groups=(4, 9), home="/srv/web")),
        ("web:ssl", User(uid=33, gid=9, home="/srv/web")),
        ("7:log", User(uid=7, gid=4)),
    ],
)
def test_user_is_what_the_specification_says(root: Path, text: str, user: User) -> None:
    assert find_user(text, root) == user


@pytest.mark.parametrize("text", ["nobody-here", "web:nobody-here"])
def test_unknown_names_are_errors(root: Path, text: str) -> None:
    with pytest.raises(ImageError) as caught:
        find_user(text, root)
    assert caught.value.code == "unknown-user"


def test_passwd_behind_a_link_out_of_the_image_is_not_the_hosts(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").symlink_to("../../../../../../etc/passwd")
    with pytest.raises(ImageError) as caught:
        find_user("daemon", tmp_path)
    assert caught.value.code == "link-loop"
    (tmp_path / "etc/passwd").unlink()
    (tmp_path / "etc/passwd").symlink_to("../../../../../../etc/group")
    with pytest.raises(ImageError) as caught:
        find_user("daemon", tmp_path)
    assert caught.value.code == "unknown-user"


def test_home_tmp_and_run_are_writable() -> None:
    assert writable_folders(IMAGE, RunSpec()) == ("/home/nonroot", "/run", "/tmp")


@pytest.mark.parametrize(
    ("config", "spec"),
    [
        (RunConfig(env=(("HOME", "/"),), entrypoint=("x",)), RunSpec()),
        (RunConfig(env=(("HOME", "/app"),), working_dir="/app/src"), RunSpec()),
        (RunConfig(env=(("HOME", "/home/me"),), entrypoint=("/home/me/bin/x",)), RunSpec()),
        (RunConfig(env=(("HOME", "/home/me"), ("PATH", "/bin:/home/me/bin"))), RunSpec()),
        (RunConfig(env=(("HOME", "/home/me"),), cmd=("python", "/home/me/x.py")), RunSpec()),
        (IMAGE, RunSpec(mounts=[Mount(source=Path("/x"), target="/home/nonroot/x")])),
        (RunConfig(), RunSpec()),
    ],
)
def test_home_that_holds_something_needed_is_not_hidden(config: RunConfig, spec: RunSpec) -> None:
    assert writable_folders(config, spec) == ("/run", "/tmp")


def test_argument_of_a_run_below_home_leaves_home_writable() -> None:
    assert "/home/nonroot" in writable_folders(IMAGE, RunSpec(args=("--out", "/home/nonroot/report")))


def test_mount_takes_the_place_of_a_folder_in_memory() -> None:
    spec = RunSpec(mounts=[Mount(source=Path("/x"), target="/tmp")])
    assert writable_folders(IMAGE, spec) == ("/home/nonroot", "/run")


def test_program_is_looked_up_in_the_images_path(root: Path) -> None:
    (root / "opt/bin").mkdir(parents=True)
    (root / "opt/bin/tool").write_text("")
    (root / "opt/bin/tool").chmod(0o755)
    (root / "bin").symlink_to("/opt/bin")
    process = plan_process(RunConfig(cmd=("tool",), env=(("PATH", "/none:/bin"),)), RunSpec(), root)
    assert find_command(process, root) == "/bin/tool"


def test_file_that_cannot_be_executed_is_no_program(root: Path) -> None:
    process = plan_process(RunConfig(cmd=("/etc/passwd",)), RunSpec(), root)
    with pytest.raises(ImageError) as caught:
        find_command(process, root)
    assert caught.value.code == "command-not-found"


@pytest.mark.parametrize("target", ["/", "relative", "/a/../b", "/a//b"])
def test_mount_needs_a_plain_absolute_place(target: str) -> None:
    with pytest.raises(UsageError) as caught:
        Mount(source=Path("/x"), target=target)
    assert caught.value.code == "bad-mount"
