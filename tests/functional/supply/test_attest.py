"""Components and provenance beside a pushed image: found again, equal everywhere, and the image untouched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from functional.ship.conftest import COW, HEN, Yard, edit
from helpers.tools import require_tool
from shipwheel.oci.model import Digest
from shipwheel.oci.registry import Repository, list_referrers
from shipwheel.oci.validate import validate_image
from shipwheel.supply import provenance, sbom
from shipwheel.supply.attach import Document, attach, find_attached


def repository(yard: Yard) -> Repository:
    return Repository(registry=yard.registry, name=yard.repository)


def attached(yard: Yard, digest: Digest, media_type: str) -> dict[str, Any]:
    [data] = find_attached(yard.client, repository(yard), digest, media_type)
    found: dict[str, Any] = json.loads(data)
    return found


def test_what_is_attached_changes_no_digest_and_is_found_again(yard: Yard) -> None:
    project = yard.bench.project(["cow", "hen"], wheels=[COW, HEN])
    plain = yard.push(project)

    answer = yard.push(project, "--attest")

    assert answer["digest"] == plain["digest"]
    assert answer["attached"] == 2
    image = yard.image()
    assert validate_image(image) == []
    kinds = {item.artifact_type for item in list_referrers(yard.client, repository(yard), image.digest)}
    assert kinds == {sbom.MEDIA_TYPE, provenance.MEDIA_TYPE}


def test_attaching_again_or_from_another_machine_adds_nothing(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    yard.push(project, "--attest")
    yard.push(project, "--attest")
    yard.push(project, "--attest", environ=yard.machine())

    assert len(list_referrers(yard.client, repository(yard), yard.image().digest)) == 2


def test_the_components_are_those_of_the_image_with_the_locked_hashes(yard: Yard) -> None:
    project = yard.bench.project(["cow", "hen"], wheels=[COW, HEN])
    yard.push(project, "--attest")
    digest = yard.image().digest

    data = attached(yard, digest, sbom.MEDIA_TYPE)

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(data)) is None
    parts = {item["name"]: item for item in data["components"]}
    assert set(parts) == {"app", "cow", "hen"}
    assert parts["cow"]["purl"] == "pkg:pypi/cow@1.0"
    assert parts["cow"]["hashes"] == [{"alg": "SHA-256", "content": COW.sha256}]
    assert parts["app"]["type"] == "application"
    assert str(digest) in data["metadata"]["component"]["purl"]
    printed = yard.bench.run("sbom", "--attached", f"{yard.name}:1.0.0")
    assert json.loads(printed.stdout) == data


def test_the_provenance_names_every_input_by_hash_and_nothing_of_the_machine(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    yard.push(
        project, "--attest", environ={"SECRET_TOKEN": "hunter2", "UV_INDEX_URL": "", "USER": "somebody"}
    )
    digest = yard.image().digest

    data = attached(yard, digest, provenance.MEDIA_TYPE)

    assert data["_type"] == "https://in-toto.io/Statement/v1"
    assert data["predicateType"] == "https://slsa.dev/provenance/v1"
    assert data["subject"] == [{"name": yard.name, "digest": {"sha256": digest.hex}}]
    definition = data["predicate"]["buildDefinition"]
    inputs = {item["name"]: item["digest"] for item in definition["resolvedDependencies"]}
    assert inputs["cow-1.0-py3-none-any.whl"] == {"sha256": COW.sha256}
    assert {"poetry.lock", "shipwheel.lock", "pyproject.toml"} <= set(inputs)
    assert definition["externalParameters"]["platform"] == "linux/amd64"
    text = json.dumps(data)
    for private in (str(yard.bench.folder), "hunter2", "somebody", os.uname().nodename, yard.bench.index.url):
        assert private not in text


def test_a_ci_run_is_named_in_the_provenance(yard: Yard) -> None:
    project = yard.bench.project()
    ci = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_SERVER_URL": "https://git.example",
        "GITHUB_REPOSITORY": "team/app",
        "GITHUB_WORKFLOW_REF": "team/app/.github/workflows/ship.yml@refs/heads/main",
        "GITHUB_RUN_ID": "77",
        "GITHUB_RUN_ATTEMPT": "2",
        "GITHUB_SHA": "f" * 40,
        "GITHUB_REF": "refs/heads/main",
    }
    yard.push(project, "--attest", environ=ci)

    data = attached(yard, yard.image().digest, provenance.MEDIA_TYPE)["predicate"]

    run = data["runDetails"]
    assert run["builder"]["id"] == "https://git.example/team/app/.github/workflows/ship.yml@refs/heads/main"
    assert run["metadata"]["invocationId"] == "https://git.example/team/app/actions/runs/77/attempts/2"
    [source] = [item for item in data["buildDefinition"]["resolvedDependencies"] if item["name"] == "source"]
    assert source["digest"] == {"gitCommit": "f" * 40}


def test_each_platform_has_its_own_documents(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])

    answer = yard.push(project, "--attest", "--platform", "linux/amd64,linux/arm64")

    assert answer["attached"] == 4
    for platform in answer["platforms"]:
        digest = Digest.parse(platform["digest"])
        assert len(list_referrers(yard.client, repository(yard), digest)) == 2


def test_nothing_is_attached_without_a_push(yard: Yard) -> None:
    yard.bench.fails("build", yard.bench.project(), "--attest", code="no-push", exit_code=2)


def test_a_project_an_image_and_what_was_attached_have_the_same_components(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    yard.push(project, "--attest")

    def names(*words: str | Path) -> set[tuple[str, str]]:
        done = yard.bench.run("sbom", *words)
        assert done.returncode == 0, done.stderr
        return {(item["name"], item["version"]) for item in json.loads(done.stdout)["components"]}

    reference = f"{yard.name}:1.0.0"
    assert (
        names(project)
        == names(reference)
        == names("--attached", reference)
        == {("app", "1.0.0"), ("cow", "1.0")}
    )


def test_an_image_with_nothing_attached_says_so(yard: Yard) -> None:
    yard.push(yard.bench.project())

    message = yard.bench.fails("sbom", "--attached", f"{yard.name}:1.0.0", code="no-sbom", exit_code=10)
    assert "without --attached" in message


def test_syft_finds_what_the_components_say(yard: Yard, tmp_path: Path) -> None:
    beside = Path(sys.executable).with_name("syft")  # from the development requirements
    syft = str(beside) if beside.exists() else require_tool("syft")
    project = yard.bench.project(["cow"], wheels=[COW, HEN], groups={"dev": ["hen"]})
    layout, listed = tmp_path / "image", tmp_path / "sbom.json"
    yard.bench.build(project, "--output", str(layout))
    listed.write_text(yard.bench.run("sbom", project).stdout)
    environ = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"}

    def found(*words: str | Path) -> set[str]:
        done = subprocess.run(
            [syft, "--quiet", *map(str, words), "--output", "json"],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        return {item["purl"] for item in json.loads(done.stdout)["artifacts"] if item["name"] != "app"}

    in_image = found("scan", f"oci-dir:{layout}")
    assert "pkg:pypi/cow@1.0" in in_image
    assert found("convert", listed) == in_image


def test_layers_read_one_by_one_make_the_inventory_of_the_whole_image(yard: Yard) -> None:
    project = yard.bench.project(["cow", "hen"], wheels=[COW, HEN])
    yard.push(project, "--attest")
    yard.push(project, "--attest")  # from what was noted of each layer

    def facts(*words: str) -> object:
        data = json.loads(yard.bench.run("sbom", *words).stdout)
        # The locks' hashes are what the image itself does not know.
        parts = [
            {key: value for key, value in item.items() if key != "hashes"} for item in data["components"]
        ]
        return parts, data["dependencies"], data["metadata"]

    assert facts(f"{yard.name}:1.0.0") == facts("--attached", f"{yard.name}:1.0.0")


def test_a_machine_without_the_layers_downloads_none_to_say_what_is_in_them(yard: Yard) -> None:
    project = yard.bench.project(["cow", "hen"], wheels=[COW, HEN])
    yard.push(project, "--attest")
    edit(project)

    answer = yard.push(project, "--attest", tag="1.0.1", environ=yard.machine())

    assert answer["fetched"] == 0
    without = attached(yard, Digest.parse(answer["digest"]), sbom.MEDIA_TYPE)
    assert {item["name"] for item in without["components"]} == {"app", "cow", "hen"}
    # A machine that reads every layer says the same, byte for byte: nothing new refers to the image.
    again = yard.push(project, "--attest", "--no-cache", tag="1.0.1")
    assert again["digest"] == answer["digest"]
    assert len(list_referrers(yard.client, repository(yard), Digest.parse(answer["digest"]))) == 2


def test_where_nothing_was_attached_before_the_layers_say_it(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    yard.push(project)
    edit(project)

    answer = yard.push(project, "--attest", environ=yard.machine())

    assert answer["fetched"] > 0
    found = attached(yard, Digest.parse(answer["digest"]), sbom.MEDIA_TYPE)
    assert {item["name"] for item in found["components"]} == {"app", "cow"}


@pytest.mark.parametrize("data", [b"[]", b'{"a": 1}', b"{", b"\xff", b"[" * 5000], ids=repr)
def test_what_a_stranger_says_of_the_layers_is_nonsense_and_harms_nothing(yard: Yard, data: bytes) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    yard.push(project)
    nonsense = Document.sbom(b"{}", parts=data)
    attach(yard.client, repository(yard), yard.image().descriptor, [nonsense])
    edit(project)

    answer = yard.push(project, "--attest", environ=yard.machine())

    found = attached(yard, Digest.parse(answer["digest"]), sbom.MEDIA_TYPE)
    assert {item["name"] for item in found["components"]} == {"app", "cow"}
