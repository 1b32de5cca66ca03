"""A builder on another machine: caches, pushes, loads, platforms, and the same image twice.

The builder is reached over TCP alone, by buildx's `remote` driver; no Docker daemon answers beside it.
"""

import hashlib
import io
import json
import os
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.builders import Builder, remote_builder
from helpers.docker import DockerEngine
from helpers.road import Road

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]

EPOCH = "1767323045"
# Without these the registry answers in a format of its own making, another one each time.
KINDS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


@pytest.fixture(scope="module")
def cluster(docker_engine: DockerEngine) -> Iterator[Builder]:
    with remote_builder(docker_engine) as builder:
        yield builder


def build(
    road: Road, cluster: Builder, project: Path, *words: str | Path, passed_on: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return road.run(
        *("build", "--quiet", "--engine", "buildx", "--builder", cluster.name, project, *words),
        *("--", "--network=host", *passed_on),
        environ=cluster.environ,
    )


def fetch(reference: str) -> tuple[str, dict[str, Any]]:
    """Return the digest and the content of what a tag of the registry names."""
    name, _, tag = reference.rpartition(":")
    host, _, repository = name.partition("/")
    address = f"http://{host}/v2/{repository}/manifests/{tag}"
    request = urllib.request.Request(address, headers={"Accept": ", ".join(KINDS)})
    with urllib.request.urlopen(request) as answer:
        data = answer.read()
    return f"sha256:{hashlib.sha256(data).hexdigest()}", json.loads(data)


def differences(first: Path, second: Path) -> list[str]:
    """Return what differs between the layers of two OCI archives: names, and what of them is other."""
    found = []
    for number, (one, two) in enumerate(zip(_layers(first), _layers(second), strict=True)):
        found += [
            f"layer {number}: {name}" for name in sorted({*one, *two}) if one.get(name) != two.get(name)
        ]
    return found


def _layers(path: Path) -> list[dict[str, object]]:
    with tarfile.open(path) as archive:

        def read(digest: str) -> bytes:
            file = archive.extractfile(f"blobs/{digest.replace(':', '/')}")
            assert file is not None
            return file.read()

        index = archive.extractfile("index.json")
        assert index is not None
        manifest = json.loads(read(json.load(index)["manifests"][0]["digest"]))
        layers: list[dict[str, object]] = []
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=io.BytesIO(read(layer["digest"]))) as members:
                layers.append(
                    {
                        item.name: (
                            item.type,
                            item.mode,
                            item.uid,
                            item.mtime,
                            item.linkname,
                            hashlib.sha256(members.extractfile(item).read()).hexdigest()  # type: ignore[union-attr]
                            if item.isreg()
                            else "",
                        )
                        for item in members
                    }
                )
    return layers


def test_a_date_gives_the_same_image_from_nothing_twice(road: Road, cluster: Builder, tmp_path: Path) -> None:
    root = road.project("twice", settings='[tool.shipwheel.dockerfile]\ndev-packages = ["git"]\n')
    archives = [tmp_path / "first.tar", tmp_path / "second.tar"]
    for archive in archives:
        # The cache mounts too, which --no-cache would leave.
        cluster.prune()
        done = build(
            *(road, cluster, root, "--epoch", EPOCH, "--no-cache"),
            passed_on=(f"--output=type=oci,dest={archive},rewrite-timestamp=true",),
        )
        assert done.returncode == 0, done.stderr[-3000:]
    assert differences(*archives) == []
    digests = {hashlib.sha256(_index(archive)).hexdigest() for archive in archives}
    assert len(digests) == 1


def _index(path: Path) -> bytes:
    with tarfile.open(path) as archive:
        file = archive.extractfile("index.json")
        assert file is not None
        # The name that the index gives the image has the time of the build's end in some releases.
        index = json.load(file)
    return json.dumps([item["digest"] for item in index["manifests"]]).encode()


@pytest.mark.parametrize("kind", ["registry", "local"])
def test_a_builder_pushes_with_its_cache_and_one_that_knows_nothing_starts_from_there(
    road: Road, cluster: Builder, kind: str, tmp_path: Path
) -> None:
    root = road.project(f"cached-{kind}")
    host = road.base.partition("/")[0]
    image = f"{host}/cached/{kind}:1"
    if kind == "registry":
        there = back = f"type=registry,ref={host}/cached/cache:app"
    else:
        there, back = f"type=local,dest={tmp_path}", f"type=local,src={tmp_path}"
    first = build(
        *(road, cluster, root, "--tag", image, "--push", "--epoch", EPOCH),
        *("--cache-to", f"{there},mode=max"),
    )
    assert first.returncode == 0, first.stderr[-3000:]
    assert first.stdout == f"{image}\n"
    assert "Installing parts" in first.stderr
    digest, _ = fetch(image)
    # The engine beside us has never seen it: it comes from the registry.
    assert road.engine.docker("run", "--rm", image) == "42 1\n"
    road.engine.docker("image", "rm", image)

    cluster.prune()
    (root / "app/__init__.py").write_text("def main() -> None:\n    print('edited')\n")
    again = build(road, cluster, root, "--tag", image, "--push", "--epoch", EPOCH, "--cache-from", back)
    assert again.returncode == 0, again.stderr[-3000:]
    assert "Installing parts" not in again.stderr
    edited, _ = fetch(image)
    assert edited != digest
    assert road.engine.docker("run", "--rm", image) == "edited\n"
    road.engine.docker("image", "rm", image)


def test_a_date_and_a_push_give_the_same_digest_whenever(road: Road, cluster: Builder) -> None:
    root = road.project("pushed-twice")
    host = road.base.partition("/")[0]
    digests = []
    for name in ("one", "two"):
        image = f"{host}/pushed-{name}:1"
        done = build(road, cluster, root, "--tag", image, "--push", "--epoch", EPOCH, "--no-cache")
        assert done.returncode == 0, done.stderr[-3000:]
        digests.append(fetch(image))
    assert digests[0] == digests[1]


def test_what_another_machine_built_is_loaded_here(road: Road, cluster: Builder) -> None:
    root = road.project("loaded")
    environ = {**cluster.environ, "DOCKER_HOST": road.engine.environ["DOCKER_HOST"]}
    words = ("build", "--quiet", "--engine", "buildx", "--builder", cluster.name, "--load", "--tag")
    done = road.run(*words, "loaded:1", root, "--", "--network=host", environ=environ)
    assert done.returncode == 0, done.stderr[-3000:]
    assert road.engine.docker("run", "--rm", done.stdout.strip()) == "42 1\n"
    road.engine.docker("image", "rm", done.stdout.strip())


def test_several_platforms_become_one_name(road: Road, cluster: Builder) -> None:
    root = road.project("platforms")
    # Nothing foreign runs in it: it needs no emulator.
    (root / "Dockerfile").write_text("FROM scratch AS app\nCOPY app /app\n")
    image = f"{road.base.partition('/')[0]}/platforms:1"
    done = build(
        road, cluster, root, "--tag", image, "--push", "--platform", "linux/amd64,linux/arm64",
        passed_on=("--provenance=false",),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    _, index = fetch(image)
    found = [(item["platform"]["os"], item["platform"]["architecture"]) for item in index["manifests"]]
    assert found == [("linux", "amd64"), ("linux", "arm64")]


def test_a_builder_that_is_not_there_is_named_with_a_way_out(road: Road, cluster: Builder) -> None:
    root = road.project("nowhere")
    done = road.run(
        *("build", "--quiet", "--engine", "buildx", "--builder", "nobody", root), environ=cluster.environ
    )
    assert done.returncode == 9
    assert "error[dockerfile-build]: docker ended with 1" in done.stderr
    assert "hint: `docker buildx ls` lists the builders" in done.stderr
    assert done.stdout == ""


def test_a_context_is_no_builder_and_builds_all_the_same(road: Road, tmp_path: Path) -> None:
    config = tmp_path / "config"
    (config / "cli-plugins").mkdir(parents=True)
    own = Path(road.engine.environ.get("DOCKER_CONFIG", Path.home() / ".docker"))
    for plugin in (own / "cli-plugins").glob("docker-*"):
        (config / "cli-plugins" / plugin.name).symlink_to(plugin.resolve())
    host = road.engine.environ["DOCKER_HOST"]
    # A context is left aside where the variable names a daemon.
    environ = {"DOCKER_CONFIG": str(config), "PATH": road.engine.environ["PATH"]}
    create = [road.engine.client, "context", "create", "elsewhere", "--docker", f"host={host}"]
    subprocess.run(create, env={**os.environ, **environ}, check=True, capture_output=True)
    root = road.project("by-context")
    words = ("build", "--quiet", "--engine", "docker", root)
    environ["DOCKER_HOST"] = ""
    done = road.run(*words, "--builder", "elsewhere", environ=environ)
    assert done.returncode == 9
    assert "hint: that is a context: DOCKER_CONTEXT=elsewhere, without --builder" in done.stderr
    done = road.run(*words, "--", "--network=host", environ={**environ, "DOCKER_CONTEXT": "elsewhere"})
    assert done.returncode == 0, done.stderr[-3000:]
    assert road.engine.docker("run", "--rm", done.stdout.strip()) == "42 1\n"
