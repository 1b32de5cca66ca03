"""`shipwheel push`: what goes where, in which order, what is told, and what a refusal leaves behind."""

from __future__ import annotations

import base64
import itertools
import json
import os
import signal
import socket
import subprocess
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.command import SHIPWHEEL
from helpers.registry import docker_registry
from helpers.servers import Change, Received, Reply, Times, fault_proxy
from helpers.tools import require_tool
from shipwheel.oci.reference import Reference
from shipwheel.oci.registry import Repository, list_tags, pull_image
from shipwheel.oci.validate import validate_image

from .conftest import COW, HEN, Yard, edit


def test_the_image_is_in_the_registry_and_its_reference_alone_on_standard_output(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])

    done = yard.bench.run("push", project, "--tag", f"{yard.name}:1.0.0")

    assert done.returncode == 0, done.stderr
    image = yard.image()
    assert done.stdout == f"{yard.name}:1.0.0@{image.digest}\n"
    assert f"pushed to {yard.name}: blobs: 5 sent" in done.stderr
    assert "tagged 1.0.0" in done.stderr


def test_build_with_push_is_the_same(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])

    done = yard.bench.run("build", "--push", project, "--tag", f"{yard.name}:1.0.0")

    assert done.stdout == f"{yard.name}:1.0.0@{yard.image().digest}\n"


def test_the_name_in_pyproject_says_where_and_the_version_is_the_tag(yard: Yard) -> None:
    project = yard.bench.project(settings=f'name = "{yard.name}"\n')

    done = yard.bench.run("push", project)

    assert done.stdout.startswith(f"{yard.name}:1.0.0@sha256:"), done.stderr
    assert yard.tags() == ("1.0.0",)


def test_other_peoples_tools_take_what_was_pushed(yard: Yard) -> None:
    yard.push(yard.bench.project(["cow"], wheels=[COW]))

    told = subprocess.run(
        [require_tool("skopeo"), "inspect", "--tls-verify=false", f"docker://{yard.name}:1.0.0"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(told.stdout)["Digest"] == str(yard.image().digest)


def test_blobs_go_first_then_the_manifest_by_digest_then_the_tags_in_their_order(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    with fault_proxy(yard.registry) as proxy:
        name = f"{proxy.address}/{yard.repository}"
        done = yard.bench.run("push", project, *(f"--tag={name}:{tag}" for tag in ("1.0.0", "1.0", "latest")))
        assert done.returncode == 0, done.stderr
        puts = [request.path.split("/")[-1] for request in proxy.seen("PUT", "/manifests/")]
        last_blob = max(number for number, item in enumerate(proxy.received) if "/uploads/" in item.path)
        first_manifest = proxy.received.index(proxy.seen("PUT", "/manifests/")[0])

    assert puts == [str(yard.image().digest), "1.0.0", "1.0", "latest"]
    assert last_blob < first_manifest
    assert done.stdout.count("\n") == 1


def test_several_repositories_get_the_image_and_of_one_registry_the_second_mounts_it(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    other = f"{yard.name}-other"

    done = yard.bench.run("push", "--json", project, "--tag", f"{yard.name}:1.0.0", "--tag", f"{other}:edge")

    answer = json.loads(done.stdout)
    first, second = answer["pushed"]
    assert (first["repository"], first["tags"]) == (yard.name, ["1.0.0"])
    assert (second["repository"], second["tags"]) == (other, ["edge"])
    assert (first["sent"], first["mounted"]) == (5, 0)
    assert (second["sent"], second["mounted"]) == (0, 5)
    assert list_tags(yard.client, Repository(registry=yard.registry, name=f"{yard.repository}-other")) == (
        "edge",
    )


def test_another_project_mounts_what_an_earlier_push_brought_to_the_registry(yard: Yard) -> None:
    yard.push(yard.bench.project(["cow"], wheels=[COW]))
    other = yard.bench.project(["cow", "hen"], wheels=[COW, HEN], where="other", name="other")

    done = yard.bench.run("push", "--json", other, "--tag", f"{yard.name}-other:1.0.0")

    [report] = json.loads(done.stdout)["pushed"]
    # The base, the environment and cow; hen, the app and the config are new.
    assert (report["mounted"], report["sent"]) == (3, 3)


def test_a_second_push_sends_nothing_and_moves_no_tag(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    yard.push(project)
    with fault_proxy(yard.registry) as proxy:
        done = yard.bench.run("push", project, "--tag", f"{proxy.address}/{yard.repository}:1.0.0")
        assert [item.method for item in proxy.received if item.method not in ("GET", "HEAD")] == []

    assert "the image was there already; tag was right: 1.0.0" in done.stderr


def test_a_code_edit_sends_the_app_layer_and_the_config(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    yard.push(project)
    edit(project)

    [report] = yard.push(project)["pushed"]

    assert (report["sent"], report["present"]) == (2, 3)
    assert report["sent_bytes"] < 8000


def test_a_name_that_leads_to_no_registry_is_refused_before_anything_is_built(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])

    message = yard.bench.fails("push", project, code="no-registry", exit_code=2)

    assert 'name = "registry.example/team/app"' in message
    assert yard.bench.index.requests == []


def test_a_registry_that_is_not_there_is_an_error_and_not_a_hang(yard: Yard) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        yard.bench.fails(
            "push", yard.bench.project(), "--tag", f"{address}/app:1", code="unreachable", exit_code=5
        )


def test_plain_http_beyond_loopback_is_for_registries_that_are_named(yard: Yard) -> None:
    address = own_address()
    project = yard.bench.project()
    with fault_proxy(yard.registry, host=address) as proxy:
        tag = f"{proxy.address}/{yard.repository}:1"
        refused = yard.bench.run("push", project, "--tag", tag)
        assert refused.returncode == 5
        assert yard.tags() == ()

        done = yard.bench.run("push", project, "--tag", tag, "--insecure-registry", proxy.address)
        assert done.returncode == 0, done.stderr
    assert yard.tags() == ("1",)


def own_address() -> str:
    """Return an address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: UDP
        except OSError:
            pytest.skip("this machine has no network but loopback")
        return str(probe.getsockname()[0])


def test_without_a_login_the_refusal_says_how_to_get_one_and_with_it_the_push_works(
    yard: Yard, tmp_path: Path
) -> None:
    project = yard.bench.project()
    with docker_registry(tmp_path / "registry", users={"ann": "secret-word"}) as address:
        tag = f"--tag={address}/app:1"
        message = yard.bench.fails("push", project, tag, code="registry-unauthorized", exit_code=5)
        assert "docker login" in message

        wrong = {"DOCKER_CONFIG": docker_config(tmp_path / "wrong", address, "ann", "other-word")}
        message = yard.bench.fails(
            "push", project, tag, code="registry-unauthorized", exit_code=5, environ=wrong
        )
        assert str(tmp_path / "wrong") in message
        assert "other-word" not in message

        right = {"DOCKER_CONFIG": docker_config(tmp_path / "right", address, "ann", "secret-word")}
        done = yard.bench.run("push", project, tag, environ=right)
        assert done.returncode == 0, done.stderr
        assert "secret-word" not in done.stderr


def docker_config(folder: Path, registry: str, user: str, password: str) -> str:
    folder.mkdir()
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {registry: {"auth": auth}}}))
    return str(folder)


def test_an_immutable_tag_is_refused_by_name_and_the_image_stays_reachable_by_digest(yard: Yard) -> None:
    project = yard.bench.project()
    before = yard.push(project)
    edit(project)

    def rule(request: Received) -> Reply | None:
        if request.method == "PUT" and request.path.endswith("/manifests/1.0.0"):
            body = b'{"errors":[{"code":"TAG_INVALID","message":"tag is immutable"}]}'
            return Reply(status=400, body=body)
        return None

    with fault_proxy(yard.registry, rule) as proxy:
        tag = f"{proxy.address}/{yard.repository}:1.0.0"
        yard.bench.fails("push", project, "--tag", tag, code="tag-immutable", exit_code=5)
    assert str(yard.image().digest) == before["digest"]


def test_a_registry_that_stores_another_manifest_gets_no_tag(yard: Yard) -> None:
    def rule(request: Received) -> Change | None:
        if request.method == "PUT" and "/manifests/" in request.path:
            lie = {"Docker-Content-Digest": f"sha256:{'0' * 64}"}
            return Change(reply=lambda reply: replace(reply, headers={**reply.headers, **lie}))
        return None

    with fault_proxy(yard.registry, rule) as proxy:
        tag = f"{proxy.address}/{yard.repository}:1.0.0"
        yard.bench.fails("push", yard.bench.project(), "--tag", tag, code="wrong-digest", exit_code=6)
    assert yard.tags() == ()


# The push of this project is some 25 requests; one step in three is enough to hit each kind.
@pytest.mark.parametrize("step", range(2, 27, 3))
def test_a_push_that_is_killed_at_any_step_leaves_no_broken_tag_and_the_next_one_mends_it(
    yard: Yard, step: int
) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    running: list[subprocess.Popen[bytes]] = []
    started = threading.Event()
    count = itertools.count(1)

    def rule(_: Received) -> None:
        if next(count) == step:
            started.wait(30)
            os.kill(running[0].pid, signal.SIGKILL)

    with fault_proxy(yard.registry, rule) as proxy:
        command = [SHIPWHEEL, "push", "--quiet", str(project)]
        command += [f"--tag={proxy.address}/{yard.repository}:{tag}" for tag in ("1.0.0", "latest")]
        with subprocess.Popen(command, env={**os.environ, **yard.bench.environ}) as process:
            running.append(process)
            started.set()
            process.wait(60)
    for tag in yard.tags():
        pulled = pull_image(yard.client, Reference.parse(f"{yard.name}:{tag}"))
        assert validate_image(pulled) == []
    yard.push(project)
    yard.image()


def test_ten_pushes_at_once_from_ten_processes_send_each_blob_once(yard: Yard) -> None:
    project = yard.bench.project(["cow", "hen"], wheels=[COW, HEN])
    yard.bench.build(project)
    with fault_proxy(yard.registry) as proxy, ThreadPoolExecutor(10) as pool:
        names = [f"{proxy.address}/{yard.repository}/{number % 3}:v{number}" for number in range(10)]
        done = list(pool.map(lambda name: yard.bench.run("push", "--json", project, "--tag", name), names))
        assert [item.stderr for item in done if item.returncode] == []
        finished = Counter(
            request.path.rpartition("digest=")[2] for request in proxy.seen("PUT", "/uploads/")
        )
    assert len(finished) == 6
    assert set(finished.values()) == {1}


def test_a_push_that_is_interrupted_ends_at_once(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    running: list[subprocess.Popen[bytes]] = []
    started = threading.Event()
    times = Times()

    def rule(request: Received) -> Reply | None:
        if request.method != "POST":
            return None
        started.wait(30)
        if times.first(1):
            os.kill(running[0].pid, signal.SIGINT)
        return Reply(status=503, delay=0.2)

    with fault_proxy(yard.registry, rule) as proxy:
        command = [SHIPWHEEL, "push", "--quiet", str(project), f"--tag={proxy.address}/{yard.repository}:1"]
        with subprocess.Popen(
            command, env={**os.environ, **yard.bench.environ}, stderr=subprocess.PIPE
        ) as process:
            running.append(process)
            started.set()
            _, said = process.communicate(timeout=10)
    assert process.returncode == 130
    assert said == b"interrupted; nothing was left half-written\n"
    assert yard.tags() == ()
