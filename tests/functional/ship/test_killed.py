"""Killed at every single request: no tag and no output ever stands for something incomplete."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from helpers.command import SHIPWHEEL
from helpers.servers import Received, fault_proxy
from shipwheel.oci.reference import Reference
from shipwheel.oci.registry import Repository, list_referrers, list_tags, pull_image
from shipwheel.oci.validate import validate_image, validate_layout

from .conftest import COW, Yard, edit
from .test_kits import packed_project

# More requests than any of these has: then something else is wrong.
MOST = 150
_ANY = {"Accept": "*/*"}


def killed_at_each_request(yard: Yard, *words: str | Path, environ: Mapping[str, str]) -> Iterator[int]:
    """Run the program again and again, killed at its first request to the registry, its second, … until it ends.

    `PROXY` in words is the address of the registry; yields after each run that was killed, `STEP` is its
    number.
    """
    for step in range(1, MOST):
        count = itertools.count(1)
        started = threading.Event()
        running: list[subprocess.Popen[bytes]] = []

        def rule(
            _: Received,
            step: int = step,
            count: itertools.count[int] = count,
            started: threading.Event = started,
            running: list[subprocess.Popen[bytes]] = running,
        ) -> None:
            if next(count) == step:
                started.wait(30)
                os.kill(running[0].pid, signal.SIGKILL)

        with fault_proxy(yard.registry, rule) as proxy:
            command = [str(word).replace("PROXY", proxy.address).replace("STEP", str(step)) for word in words]
            own = {name: value.replace("STEP", str(step)) for name, value in environ.items()}
            with subprocess.Popen(
                [SHIPWHEEL, *command], env={**os.environ, **own}, stderr=subprocess.PIPE
            ) as process:
                running.append(process)
                started.set()
                _, said = process.communicate(timeout=60)
        if process.returncode == 0:
            return
        assert process.returncode == -signal.SIGKILL, said
        yield step
    raise AssertionError("it never ends")


def assert_whole(yard: Yard, repository: Repository) -> None:
    """Every image tag of the repository stands for an image of which all is there, documents too."""
    for tag in list_tags(yard.client, repository):
        if tag.startswith(("sha256-", "shipwheel-")):
            continue
        pulled = pull_image(yard.client, Reference.parse(f"{repository}:{tag}"))
        assert validate_image(pulled) == []
        for artifact in list_referrers(yard.client, repository, pulled.digest):
            answer = yard.client.call("GET", repository, f"manifests/{artifact.digest}", headers=_ANY)
            assert answer.status == 200


@pytest.mark.conformance
def test_a_push_of_two_platforms_with_documents_and_tools(yard: Yard) -> None:
    project = packed_project(yard, ["cow"], [COW])
    yard.push(project, tag="old")
    edit(project)
    words = ("push", "--quiet", "--attest", "--platform=linux/amd64,linux/arm64", project)
    tags = [f"--tag=PROXY/{yard.repository}/STEP:{tag}" for tag in ("1.0.0", "latest")]
    steps = 0

    for step in killed_at_each_request(yard, *words, *tags, environ=yard.bench.environ):
        steps = step
        repository = Repository(registry=yard.registry, name=f"{yard.repository}/{step}")
        assert_whole(yard, repository)
        # The next push mends it.
        done = yard.bench.run(*words, f"--tag={repository}:1.0.0")
        assert done.returncode == 0, done.stderr
        assert "1.0.0" in list_tags(yard.client, repository)
        assert_whole(yard, repository)

    assert steps > 40


@pytest.mark.conformance
def test_a_build_into_a_folder_of_layers_that_are_pulled(yard: Yard, tmp_path: Path) -> None:
    project = packed_project(yard, ["cow"], [COW])
    yard.push(project)
    edit(project)
    machine = {
        **yard.bench.environ,
        "SHIPWHEEL_CACHE_DIR": str(tmp_path / "cache-STEP"),
        "UV_CACHE_DIR": str(tmp_path / "uv"),
    }
    words = ("build", "--quiet", project)
    lender, output = f"--cache-from=PROXY/{yard.repository}:1.0.0", f"--output={tmp_path / 'layout-STEP'}"
    steps = 0

    for step in killed_at_each_request(yard, *words, lender, output, environ=machine):
        steps = step
        layout = tmp_path / f"layout-{step}"
        assert not layout.exists() or validate_layout(layout) == []
        # What the dead one left in the cache is good for the next one.
        own = {name: value.replace("STEP", str(step)) for name, value in machine.items()}
        done = yard.bench.run(*words, f"--cache-from={yard.name}:1.0.0", f"--output={layout}", environ=own)
        assert done.returncode == 0, done.stderr
        assert validate_layout(layout) == []

    assert steps > 5
