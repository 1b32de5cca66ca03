"""What the launchers and engines are asked for."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from shipwheel.engine.bwrap import render_options as bwrap_options
from shipwheel.engine.engine import EngineClient, arguments, exposed_ports, reason_in, render_options
from shipwheel.engine.process import Process, User
from shipwheel.engine.rootless import Container
from shipwheel.engine.runc import find_subordinate, message_of, render_config
from shipwheel.engine.signals import minds
from shipwheel.engine.spec import Mount, Publish, RunSpec
from shipwheel.oci.model import Image, Platform, RunConfig

CONTAINER = Container(
    root=Path("/cache/root"),
    process=Process(
        argv=("shop", "serve"),
        env={"PATH": "/app/bin", "KEY": "a=b"},
        cwd="/app",
        user=User(uid=65532, gid=65533),
    ),
    path="/app/bin/shop",
    mounts=[Mount(source=Path("/z"), target="/b", read_only=False), Mount(source=Path("/y"), target="/a")],
    tmpfs=["/tmp", "/home/nonroot"],
)
DOCKER = EngineClient(name="docker", program="docker", environ={})
PODMAN = EngineClient(name="podman", program="podman", environ={}, gives_folders=True)
IMAGE = Image(
    platform=Platform(os="linux", architecture="amd64"),
    config=RunConfig(
        user="65532:65532", env=(("HOME", "/home/nonroot"),), exposed_ports=("8000/tcp", "53/udp", "9")
    ),
)


def pairs(options: list[str]) -> set[tuple[str, str]]:
    return set(itertools.pairwise(options))


def test_bwrap_gives_up_all_and_mounts_the_root_read_only() -> None:
    options = bwrap_options(CONTAINER)
    assert options[options.index("--ro-bind") : options.index("--ro-bind") + 3] == [
        "--ro-bind",
        "/cache/root",
        "/",
    ]
    assert {("--cap-drop", "ALL"), ("--uid", "65532"), ("--gid", "65533"), ("--tmpfs", "/tmp")} <= pairs(
        options
    )
    assert {"--unshare-user", "--unshare-pid", "--die-with-parent", "--new-session", "--clearenv"} <= set(
        options
    )
    assert "--unshare-net" not in options


def test_bwrap_mounts_after_the_root_and_in_the_order_of_their_places() -> None:
    options = bwrap_options(CONTAINER)
    assert options.index("/cache/root") < options.index("/y") < options.index("/z")
    assert options[options.index("/z") - 1] == "--bind"
    assert options[options.index("/y") - 1] == "--ro-bind"


def test_runc_config_has_no_capability_and_a_read_only_root() -> None:
    config = render_config(CONTAINER, uid=0, gid=0, init=None)
    process = config["process"]
    assert config["root"] == {"path": "/cache/root", "readonly": True}
    assert set(process["capabilities"]) == {"bounding", "effective", "inheritable", "permitted", "ambient"}
    assert not any(process["capabilities"].values())
    assert process["noNewPrivileges"] is True
    assert process["user"] == {"uid": 65532, "gid": 65533, "additionalGids": []}
    assert process["env"] == ["PATH=/app/bin", "KEY=a=b"]
    assert process["args"] == ["shop", "serve"]
    assert {"/proc/kcore", "/proc/keys"} <= set(config["linux"]["maskedPaths"])


def test_runc_config_maps_users_for_anyone_but_root() -> None:
    kinds = [n["type"] for n in render_config(CONTAINER, uid=0, gid=0, init=None)["linux"]["namespaces"]]
    assert "user" not in kinds
    linux = render_config(CONTAINER, uid=1000, gid=100, init=None, subordinate=231072)["linux"]
    assert {"type": "user"} in linux["namespaces"]
    assert linux["uidMappings"] == [
        {"containerID": 0, "hostID": 1000, "size": 1},
        {"containerID": 65532, "hostID": 231072, "size": 1},
    ]
    assert linux["gidMappings"][1] == {"containerID": 65533, "hostID": 231072, "size": 1}


def test_runc_config_mounts_what_is_below_after_what_is_above() -> None:
    places = [
        mount["destination"] for mount in render_config(CONTAINER, uid=0, gid=0, init="/x/tini")["mounts"]
    ]
    assert places.index("/dev") < places.index("/dev/pts") < places.index("/dev/init")


def test_runc_init_gets_the_program_as_arguments() -> None:
    args = render_config(CONTAINER, uid=0, gid=0, init="/x/tini")["process"]["args"]
    assert args == ["/dev/init", "--", "shop", "serve"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('time="x" level=error msg="runc run failed: \\"a\\" is not b"', 'runc run failed: "a" is not b'),
        ("something else", "something else"),
        ("msg=bare", "msg=bare"),
    ],
)
def test_runcs_message_is_found_in_its_log(line: str, message: str) -> None:
    assert message_of(line) == message


@pytest.mark.parametrize(
    ("subuid", "subgid", "found"),
    [
        ("54321:1000:10\n", "54321:1005:10\n", 1005),
        ("54321:1000:10\n", "54321:2000:10\n", None),
        ("54321:1000:10\n", "", None),
        ("other:1000:10\n", "other:1000:10\n", None),
    ],
)
def test_subordinate_number_is_one_for_users_and_groups(
    tmp_path: Path, subuid: str, subgid: str, found: int | None
) -> None:
    files = tmp_path / "subuid", tmp_path / "subgid"
    for file, text in zip(files, (subuid, subgid), strict=True):
        file.write_text(text)
    assert find_subordinate(54321, files) == found


@pytest.mark.parametrize("client", [DOCKER, PODMAN])
def test_engines_are_asked_for_the_least(client: EngineClient) -> None:
    options = render_options(IMAGE, RunSpec(), client)
    assert {("--cap-drop", "ALL"), ("--security-opt", "no-new-privileges"), ("--pull", "never")} <= pairs(
        options
    )
    assert "--read-only" in options
    assert "--tty" not in options


def test_docker_is_told_whose_the_folders_in_memory_are() -> None:
    assert ("--tmpfs", "/tmp:rw,exec,nosuid,nodev,mode=1777,uid=65532,gid=65532") in pairs(
        render_options(IMAGE, RunSpec(), DOCKER)
    )


def test_entry_point_of_several_words_is_one_option_and_arguments() -> None:
    spec = RunSpec(entrypoint=("python", "-m", "shop"), args=("serve",))
    assert ("--entrypoint", "python") in pairs(render_options(IMAGE, spec, DOCKER))
    assert arguments(spec) == ["-m", "shop", "serve"]


def test_ports_are_published_on_loopback_unless_told() -> None:
    publish = [
        Publish(container_port=80, host_port=8080),
        Publish(container_port=1, host_port=2, host_ip="::1"),
    ]
    options = render_options(IMAGE, RunSpec(publish=publish), DOCKER)
    assert {("--publish", "127.0.0.1:8080:80/tcp"), ("--publish", "[::1]:2:1/tcp")} <= pairs(options)


def test_exposed_ports_keep_their_numbers() -> None:
    assert [(port.host_port, port.protocol) for port in exposed_ports(IMAGE)] == [
        (53, "udp"),
        (8000, "tcp"),
        (9, "tcp"),
    ]


def test_mount_with_a_comma_in_its_path_is_quoted() -> None:
    spec = RunSpec(mounts=[Mount(source=Path("/a,b"), target="/c")])
    assert ("--mount", 'type=bind,"source=/a,b",target=/c,readonly') in pairs(
        render_options(IMAGE, spec, DOCKER)
    )


@pytest.mark.parametrize(
    ("caught", "number", "expected"),
    [("0000000000004000", 15, True), ("0000000000000000", 15, False), ("0000000000000000", 28, True)],
)
def test_signal_without_a_handler_is_one_that_process_1_never_gets(
    tmp_path: Path, caught: str, number: int, expected: bool
) -> None:
    (tmp_path / "7").mkdir()
    zero = "0" * 16
    (tmp_path / "7/status").write_text(f"Name:\tx\nSigBlk:\t{zero}\nSigIgn:\t{zero}\nSigCgt:\t{caught}\n")
    assert minds(7, number, proc=tmp_path) is expected


def test_process_on_another_machine_is_taken_to_handle_signals() -> None:
    assert minds(os.getpid() + 2**22, 15)


def test_what_podman_says_of_the_format_that_was_sent_is_the_reason() -> None:
    message = """Getting image source signatures
Error: payload does not match any of the supported image formats:
 * oci: open x/index.json: not a directory
 * docker-archive: writing blob: no space left on device
 * dir: open x/manifest.json: not a directory
"""
    assert reason_in(message) == "writing blob: no space left on device"
    assert reason_in("a warning\nError: no such image\n") == "Error: no such image"
    assert reason_in("") == "it gives no reason"
