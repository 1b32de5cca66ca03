"""Pushing, attaching, reusing and rebasing on a registry with the referrers API and immutable tags."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from functional.tags.test_command import NO_CI, commit, git
from helpers.bases import python_base
from helpers.strict_registry import StrictRegistry
from shipwheel.cache import Cache
from shipwheel.net import Http
from shipwheel.oci.registry import RegistryClient, Repository, list_referrers, push_image
from shipwheel.supply import provenance, sbom

from .conftest import COW, HEN, Yard, edit
from .test_kits import packed_project


@pytest.fixture
def strict_yard(yard: Yard, tmp_path: Path) -> Iterator[StrictYard]:
    """Give the bench with a strict registry in place of the session's."""
    with Http({}) as http:
        yield StrictYard(yard, RegistryClient.from_environ({}, http, Cache(tmp_path / "strict reader")))


class StrictYard:
    def __init__(self, yard: Yard, client: RegistryClient) -> None:
        self.yard, self.client = yard, client

    @contextmanager
    def on(self, registry: StrictRegistry) -> Iterator[Yard]:
        with registry.serve() as server:
            yield Yard(
                bench=self.yard.bench, registry=server.address, repository="team/app", client=self.client
            )
        assert registry.violations == []


def test_documents_are_found_by_the_referrers_api_and_no_tag_is_made(strict_yard: StrictYard) -> None:
    with strict_yard.on(StrictRegistry()) as yard:
        project = yard.bench.project(["cow", "hen"], wheels=[COW, HEN])
        yard.push(project, "--attest", "--platform", "linux/amd64,linux/arm64")
        assert yard.tags() == ("1.0.0",)
        for platform in ("linux/amd64", "linux/arm64"):
            digest = yard.image(platform=platform).digest
            repository = Repository(registry=yard.registry, name=yard.repository)
            kinds = {item.artifact_type for item in list_referrers(yard.client, repository, digest)}
            assert kinds == {sbom.MEDIA_TYPE, provenance.MEDIA_TYPE}
        done = yard.bench.run("sbom", "--attached", "--platform=linux/amd64", f"{yard.name}:1.0.0")
        assert {item["name"] for item in json.loads(done.stdout)["components"]} == {"app", "cow", "hen"}


def test_an_empty_machine_reuses_layers_build_tools_and_what_is_known_of_them(
    strict_yard: StrictYard,
) -> None:
    with strict_yard.on(StrictRegistry(chunk_min=1000, page=1)) as yard:
        project = packed_project(yard, ["cow"], [COW])
        yard.push(project, "--attest")
        edit(project)
        yard.bench.index.requests.clear()

        answer = yard.push(project, "--attest", environ=yard.machine())

        assert yard.bench.index.requests == []
        assert answer["fetched"] == 0
        assert [story["origin"] for story in answer["tools"]] == ["image"]
        assert yard.origins(answer) == {"base 1": "base", "skeleton": "image", "cow": "image", "app": "made"}


def test_automatic_tags_where_no_tag_may_move_leave_the_release_whole(strict_yard: StrictYard) -> None:
    # As registries are set that keep releases: versions never change, `latest` and the like do.
    registry = StrictRegistry(
        immutable=lambda tag: tag.count(".") == 2 or tag.startswith(("sha-", "shipwheel-"))
    )
    with strict_yard.on(registry) as yard:
        project = yard.bench.project(version="1.4.2", settings=f'name = "{yard.name}"\n')
        commit(project, "v1.4.2")
        for _ in range(2):  # the second writes nothing that is there
            done = yard.bench.run("push", project, "--tags", "auto", environ=NO_CI)
            assert done.returncode == 0, done.stderr
        pyproject = project / "pyproject.toml"
        pyproject.write_text(pyproject.read_text().replace('version = "1.4.2"', 'version = "1.4.3"'))
        git(project, "commit", "--quiet", "--all", "--message", "patch")
        git(project, "tag", "v1.4.3")
        done = yard.bench.run("push", project, "--tags", "auto", environ=NO_CI)
        assert done.returncode == 0, done.stderr
        assert yard.image("latest").digest == yard.image("1.4").digest == yard.image("1.4.3").digest
        assert yard.image("1.4.2").digest != yard.image("1.4.3").digest


def test_automatic_tags_where_every_tag_is_immutable_name_the_one_that_cannot_move(
    strict_yard: StrictYard,
) -> None:
    with strict_yard.on(StrictRegistry(immutable=lambda _: True)) as yard:
        project = yard.bench.project(version="1.4.2", settings=f'name = "{yard.name}"\n')
        commit(project, "v1.4.2")
        assert yard.bench.run("push", project, "--tags", "auto", environ=NO_CI).returncode == 0
        before = yard.image("latest").digest
        pyproject = project / "pyproject.toml"
        pyproject.write_text(pyproject.read_text().replace('version = "1.4.2"', 'version = "1.4.3"'))
        git(project, "commit", "--quiet", "--all", "--message", "patch")
        git(project, "tag", "v1.4.3")

        message = yard.bench.fails(
            "push", project, "--tags", "auto", code="tag-immutable", exit_code=5, environ=NO_CI
        )

        assert any(f":{tag}" in message or f" {tag} " in message for tag in ("1.4", "1", "latest"))
        # The release itself is there: what floats comes after it.
        assert yard.image("1.4.3").digest != before == yard.image("latest").digest


def test_a_policy_for_immutable_tags_gives_none_that_would_have_to_move(strict_yard: StrictYard) -> None:
    with strict_yard.on(StrictRegistry(immutable=lambda _: True)) as yard:
        policy = f'name = "{yard.name}"\ntags = {{ immutable = true }}\n'
        project = yard.bench.project(version="1.4.2", settings=policy)
        shas = [commit(project, "v1.4.2")]
        assert yard.bench.run("push", project, "--tags", "auto", environ=NO_CI).returncode == 0
        pyproject = project / "pyproject.toml"
        pyproject.write_text(pyproject.read_text().replace('version = "1.4.2"', 'version = "1.4.3"'))
        git(project, "commit", "--quiet", "--all", "--message", "patch")
        git(project, "tag", "v1.4.3")

        done = yard.bench.run("push", project, "--tags", "auto", environ=NO_CI)

        assert done.returncode == 0, done.stderr
        given = set(yard.tags())
        assert {"1.4.2", "1.4.3", *shas} < given
        assert not given & {"1", "1.4", "latest", "main"}


def test_a_rebase_goes_to_such_a_registry_too(strict_yard: StrictYard, tmp_path: Path) -> None:
    with strict_yard.on(StrictRegistry()) as yard:
        base = Repository(registry=yard.registry, name="team/base")
        for tag in ("1", "2"):
            image = python_base(tmp_path / tag, extra={"etc/tag": tag.encode()})
            push_image(yard.client, image, base, tags=[tag])
        settings = f'bytecode = false\n[tool.shipwheel.base]\nimage = "{base}:1"\n'
        project = yard.bench.project(
            ["cow"], wheels=[COW], base=False, settings=f"[tool.shipwheel]\n{settings}"
        )
        yard.push(project, "--attest")

        done = yard.bench.run(
            *("rebase", f"{yard.name}:1.0.0", "--base", f"{base}:2", "--push", f"{yard.name}:rebased")
        )

        assert done.returncode == 0, done.stderr
        assert yard.image("rebased").digest != yard.image("1.0.0").digest
