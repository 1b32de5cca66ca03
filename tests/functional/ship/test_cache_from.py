"""A machine with an empty cache and an image pushed before: only what changed is made, sent or fetched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.servers import Received, Reply, fault_proxy
from shipwheel.oci.layer_read import open_layer, read_entries
from shipwheel.oci.model import Platform
from shipwheel.oci.read import LoadedImage
from shipwheel.oci.registry import Repository
from shipwheel.oci.validate import validate_layout
from shipwheel.plan.host import host_platform
from shipwheel.testing.wheels import make_wheel

from .conftest import COW, HEN, HEN_2, Yard, edit
from .test_kits import packed_project


def test_after_a_code_edit_an_empty_machine_fetches_no_wheel_and_sends_the_app_layer_alone(
    yard: Yard,
) -> None:
    project = yard.bench.project(["cow", "hen"], wheels=[COW, HEN])
    yard.push(project)
    edit(project)
    yard.bench.index.requests.clear()

    answer = yard.push(project, environ=yard.machine())

    assert yard.bench.index.requests == []
    assert yard.origins(answer) == {
        "base 1": "base",
        "skeleton": "image",
        "cow": "image",
        "hen": "image",
        "app": "made",
    }
    [report] = answer["pushed"]
    assert (report["sent"], report["present"]) == (2, 4)
    assert answer["fetched"] == 0


def test_the_digest_is_the_one_that_a_machine_with_everything_gets(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    yard.push(project)
    edit(project)

    without = yard.push(project, environ=yard.machine())

    assert yard.bench.build(project, "--no-cache")["digest"] == without["digest"]
    assert str(yard.image().digest) == without["digest"]


def test_nothing_changed_means_nothing_made_and_nothing_sent(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    before = yard.push(project)
    yard.bench.index.requests.clear()

    answer = yard.push(project, environ=yard.machine())

    assert answer["digest"] == before["digest"]
    assert set(yard.origins(answer).values()) == {"base", "image"}
    assert answer["pushed"][0]["manifest_known"]
    assert yard.bench.index.requests == []


def test_one_upgraded_dependency_fetches_and_makes_that_one(yard: Yard) -> None:
    yard.push(yard.bench.project(["cow", "hen==1.0"], wheels=[COW, HEN]))
    project = yard.bench.project(["cow", "hen==2.0"], wheels=[COW, HEN_2])
    yard.bench.index.requests.clear()

    answer = yard.push(project, environ=yard.machine())

    made = {name for name, origin in yard.origins(answer).items() if origin == "made"}
    assert made == {"hen", "app"}  # pyproject.toml names the version, and is part of the app's wheel
    fetched = yard.bench.index.paths("*.whl")
    assert [path.rpartition("/")[2] for path in fetched] == [HEN_2.filename]


@pytest.mark.parametrize(("there", "asked"), [("latest", "1.0.1"), ("1.0.0", "1.0.1"), ("1.0.10", "2.0.0")])
def test_a_new_tag_takes_its_layers_from_latest_or_the_last_version(
    yard: Yard, there: str, asked: str
) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    yard.push(project, tag="1.0.0")
    yard.push(project, tag=there)
    edit(project)

    answer = yard.push(project, tag=asked, environ=yard.machine())

    assert yard.origins(answer)["cow"] == "image"
    [cow] = [layer for layer in answer["platforms"][0]["layers"] if layer["name"] == "cow"]
    assert cow["where"] == f"{yard.name}:{there}"


def test_the_highest_version_is_the_last_one_and_not_the_last_in_the_alphabet(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    for tag in ("1.0.9", "1.0.10", "edge"):
        yard.push(project, tag=tag)

    answer = yard.push(project, tag="1.1.0", environ=yard.machine())

    layers = answer["platforms"][0]["layers"]
    assert {layer["where"] for layer in layers if layer["where"]} == {f"{yard.name}:1.0.10"}


def test_a_build_without_a_push_asks_no_registry(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    yard.push(project)
    with fault_proxy(yard.registry) as proxy:
        yard.bench.build(project, "--tag", f"{proxy.address}/{yard.repository}:1.0.0", environ=yard.machine())
        assert proxy.received == []


def test_a_build_into_a_layout_downloads_the_layers_that_it_reuses(yard: Yard, tmp_path: Path) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    before = yard.push(project)
    yard.bench.index.requests.clear()

    answer = yard.bench.build(
        project,
        *("--output", str(tmp_path / "layout"), "--cache-from", f"{yard.name}:1.0.0"),
        environ=yard.machine(),
    )

    assert answer["digest"] == before["digest"]
    assert answer["fetched"] > 0
    assert validate_layout(tmp_path / "layout") == []
    assert yard.bench.index.requests == []


def test_several_images_lend_their_layers(yard: Yard) -> None:
    yard.push(yard.bench.project(["cow"], wheels=[COW]), tag="cow")
    yard.push(yard.bench.project(["hen"], wheels=[HEN], where="hens"), tag="hen")
    both = yard.bench.project(["cow", "hen"], wheels=[COW, HEN], where="both")

    answer = yard.push(
        both,
        *("--cache-from", f"{yard.name}:cow", "--cache-from", f"{yard.name}:hen"),
        environ=yard.machine(),
    )

    where = {layer["name"]: layer["where"] for layer in answer["platforms"][0]["layers"]}
    assert (where["cow"], where["hen"]) == (f"{yard.name}:cow", f"{yard.name}:hen")


def test_an_image_of_two_platforms_lends_to_both(yard: Yard) -> None:
    wheels = [
        make_wheel(
            "fast", "1.0", {"fast.py": f"M = '{machine}'\n"}, tag=f"cp313-cp313-manylinux_2_17_{machine}"
        )
        for machine in ("x86_64", "aarch64")
    ]
    project = yard.bench.project(["fast"], wheels=wheels)
    words = ("--platform", "linux/amd64,linux/arm64")
    yard.push(project, *words)
    edit(project)
    yard.bench.index.requests.clear()

    answer = yard.push(project, *words, environ=yard.machine())

    for number in (0, 1):
        made = {name for name, origin in yard.origins(answer, platform=number).items() if origin == "made"}
        assert made <= {"app"}
    assert yard.bench.index.requests == []


def test_no_cache_makes_everything_anew(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    before = yard.push(project)

    answer = yard.push(project, "--no-cache", environ=yard.machine())

    assert answer["digest"] == before["digest"]
    assert yard.origins(answer)["cow"] == "made"


def test_cache_from_none_asks_no_image(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    yard.push(project)

    answer = yard.push(project, "--cache-from", "none", environ=yard.machine())

    assert yard.origins(answer)["cow"] == "made"


def test_an_image_that_is_not_there_is_said_and_stops_nothing(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])

    done = yard.bench.run(
        "push", project, f"--tag={yard.name}:1", f"--cache-from={yard.name}:absent", environ=yard.machine()
    )

    assert done.returncode == 0
    assert f"note: {yard.name}:absent lends no layers: there is no such image" in done.stderr


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(status=500), "the registry answers 500"),
        (
            Reply(body=b"no json", headers={"Content-Type": "application/vnd.oci.image.manifest.v1+json"}),
            "not JSON",
        ),
    ],
    ids=["error", "nonsense"],
)
def test_an_image_that_cannot_be_read_is_said_and_stops_nothing(yard: Yard, reply: Reply, said: str) -> None:
    def rule(request: Received) -> Reply | None:
        return reply if request.path.endswith("/manifests/broken") else None

    project = yard.bench.project(["cow"], wheels=[COW])
    with fault_proxy(yard.registry, rule) as proxy:
        source = f"{proxy.address}/{yard.repository}:broken"
        done = yard.bench.run("build", project, f"--cache-from={source}", environ=yard.machine())

    assert done.returncode == 0, done.stderr
    assert f"note: {source} lends no layers: " in done.stderr
    assert said in done.stderr


def test_other_bytes_than_the_registry_promised_stop_the_build(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    yard.push(project)

    def rule(request: Received) -> Reply | None:
        if request.path.endswith("/manifests/1.0.0"):
            digest = str(yard.image().digest)
            return Reply(body=b"{}", headers={"Docker-Content-Digest": digest})
        return None

    with fault_proxy(yard.registry, rule) as proxy:
        yard.bench.fails(
            *("build", project, f"--cache-from={proxy.address}/{yard.repository}:1.0.0"),
            code="wrong-digest",
            exit_code=6,
        )


def lose(yard: Yard, *digests: str) -> None:
    """Take blobs away from the registry's disk and links, as a garbage collection that went wrong does."""
    for digest in digests:
        repository = Repository(registry=yard.registry, name=yard.repository)
        answer = yard.client.call("DELETE", repository, f"blobs/{digest}")
        assert answer.status == 202


@pytest.mark.parametrize("lost", [("cow",), ("skeleton", "cow", "hen")])
def test_a_layer_that_its_registry_has_lost_is_made_again_and_sent(yard: Yard, lost: tuple[str, ...]) -> None:
    project = yard.bench.project(["cow", "hen"], wheels=[COW, HEN])
    before = yard.push(project)
    digests = {layer["name"]: layer["digest"] for layer in before["platforms"][0]["layers"]}
    edit(project)
    lose(yard, *(digests[name] for name in lost))

    answer = yard.push(project, tag="1.0.1", environ=yard.machine())

    made = {name for name, origin in yard.origins(answer).items() if origin == "made"}
    assert made == {"app", *lost}
    for layer in yard.image("1.0.1").layers:  # all of it is there
        open_layer(layer).close()
    assert answer["digest"] == yard.bench.build(project, "--no-cache")["digest"]


def test_a_lost_layer_is_made_again_for_a_layout_too_and_told(yard: Yard, tmp_path: Path) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    before = yard.push(project)
    [cow] = [layer for layer in before["platforms"][0]["layers"] if layer["name"] == "cow"]

    def rule(request: Received) -> Reply | None:
        return Reply(status=404) if request.path.endswith(f"/blobs/{cow['digest']}") else None

    with fault_proxy(yard.registry, rule) as proxy:
        source = f"{proxy.address}/{yard.repository}:1.0.0"
        done = yard.bench.run(
            *("build", project, f"--cache-from={source}", "--explain", "--output", tmp_path / "layout"),
            environ=yard.machine(),
        )

    assert done.returncode == 0, done.stderr
    assert "note: 1 reused layer is gone from the registry and made again: " in done.stderr
    assert f"cow: made, because it is as in {source}, whose layers are not here any more" in done.stderr
    assert validate_layout(tmp_path / "layout") == []


def test_another_tools_image_lends_nothing_and_harms_nothing(yard: Yard, tmp_path: Path) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    image = yard.bench.image(project)
    plain = strip_annotations(image)
    push_raw(yard, "foreign", plain, image)

    answer = yard.push(project, "--cache-from", f"{yard.name}:foreign", environ=yard.machine())

    assert yard.origins(answer)["cow"] == "made"


def strip_annotations(image: LoadedImage) -> bytes:
    manifest = json.loads(image.manifest)
    for layer in manifest["layers"]:
        layer.pop("annotations", None)
    return json.dumps(manifest).encode()


def push_raw(yard: Yard, tag: str, manifest: bytes, image: LoadedImage) -> None:
    """Put `manifest`, whose blobs are those of `image`, under `tag`."""
    from shipwheel.oci.model import BytesBlob, Descriptor, Digest
    from shipwheel.oci.registry.push import push_blobs, put_manifest

    repository = Repository(registry=yard.registry, name=yard.repository)
    push_blobs(yard.client, list(image.blobs()), repository)
    descriptor = Descriptor(
        media_type=image.descriptor.media_type, digest=Digest.of(manifest), size=len(manifest)
    )
    put_manifest(yard.client, repository, descriptor, BytesBlob(manifest), tag)


def test_annotations_of_strangers_are_read_as_what_anybody_may_have_written(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    image = yard.bench.image(project)
    manifest = json.loads(image.manifest)
    for layer in manifest["layers"][1:]:
        layer["annotations"]["io.shipwheel.layer.inputs"] = '{"kind": 1, "packages": [[["'
    push_raw(yard, "odd", json.dumps(manifest).encode(), image)

    answer = yard.push(project, "--cache-from", f"{yard.name}:odd", environ=yard.machine())

    assert yard.origins(answer)["cow"] == "image"
    assert answer["digest"] == str(image.digest)


@pytest.mark.network
def test_with_a_debian_base_and_bytecode_no_deb_is_fetched_and_the_base_comes_from_the_registry(
    yard: Yard,
) -> None:
    project = packed_project(yard, ["cow"], [COW], base=False)
    yard.push(project)
    edit(project)
    yard.bench.index.requests.clear()
    # Any package that were fetched now would be fetched from here.
    dead = {"SHIPWHEEL_DEBIAN_MIRROR": "http://127.0.0.1:9/debian", **yard.machine()}

    answer = yard.push(project, environ=dead)

    assert yard.bench.index.requests == []
    origins = yard.origins(answer)
    assert origins.pop("app") == "made"
    assert set(origins.values()) == {"image"}
    layers = {layer["name"]: layer["size"] for layer in answer["platforms"][0]["layers"]}
    # Compiling the app takes the image's own Python: the two layers of the base, and nothing else.
    assert answer["fetched"] == layers["os"] + layers["python"]
    image = yard.image()
    with open_layer(image.layers[-1]) as stream:
        assert any(
            info.name.endswith("app/__pycache__/__init__.cpython-313.pyc") for info in read_entries(stream)
        )
    assert yard.bench.build(project, "--no-cache")["digest"] == answer["digest"]


@pytest.mark.network
@pytest.mark.conformance
@pytest.mark.skipif(host_platform() != Platform.parse("linux/amd64"), reason="the other machine is an amd64")
def test_an_image_for_the_other_platform_alone_is_compiled_by_a_base_that_its_registry_has_not(
    yard: Yard,
) -> None:
    project = packed_project(yard, ["cow"], [COW], base=False)
    words = ("--platform", "linux/arm64")
    yard.push(project, *words)
    edit(project)
    yard.bench.index.requests.clear()

    answer = yard.push(project, *words, environ=yard.machine())

    # Every layer of the image is taken over. What compiles is this machine's own base, from Debian packages.
    assert yard.bench.index.requests == []
    origins = yard.origins(answer)
    assert origins.pop("app") == "made"
    assert set(origins.values()) == {"image"}
    assert answer["fetched"] == 0
    image = yard.image()
    assert str(image.platform) == "linux/arm64"
    with open_layer(image.layers[-1]) as stream:
        assert any(
            info.name.endswith("app/__pycache__/__init__.cpython-313.pyc") for info in read_entries(stream)
        )
    assert yard.bench.build(project, "--no-cache", *words)["digest"] == answer["digest"]
