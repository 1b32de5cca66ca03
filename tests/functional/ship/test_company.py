"""A push as companies and CI have it: through a proxy, with their own certificates, and logins from anywhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from helpers.connect_proxy import ConnectProxy, connect_proxy
from helpers.registry import docker_registry
from shipwheel.cache import Cache
from shipwheel.errors import NetworkError
from shipwheel.net import Http
from shipwheel.oci.registry import RegistryClient, Repository, list_tags

from .conftest import COW, Yard, edit

USER, PASSWORD = "robot", "s3cret-word"


@dataclass
class Company:
    """A registry that only the proxy leads to, under any name, and what a machine there has in its environment."""

    proxy: ConnectProxy
    environ: dict[str, str]

    def login(self, registry: str, path: Path) -> Path:
        """Write a file as `podman login` does."""
        auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        path.write_text(json.dumps({"auths": {registry: {"auth": auth}}}))
        return path


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    authority = trustme.CA()
    issued = authority.issue_cert("registry.example", "ghcr.io")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(str(tmp_path / "cert.pem"), append=number > 0)
    tls = (tmp_path / "cert.pem", tmp_path / "key.pem")
    with (
        docker_registry(tmp_path / "registry", users={USER: PASSWORD}, tls=tls) as address,
        connect_proxy(address) as proxy,
    ):
        environ = {
            "HTTPS_PROXY": proxy.url.replace("//", "//desk:prox-word@"),
            "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
        }
        yield Company(proxy, environ)


def test_a_push_goes_through_the_proxy_with_the_login_of_registry_auth_file(
    yard: Yard, company: Company, tmp_path: Path
) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    login = company.login("registry.example", tmp_path / "auth.json")
    environ = {**company.environ, "REGISTRY_AUTH_FILE": str(login)}
    words = ("push", project, "--tag=registry.example/team/app:1.0")

    done = yard.bench.run(*words, environ=environ)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("registry.example/team/app:1.0@sha256:")
    assert set(company.proxy.asked) == {"registry.example:443"}
    # The proxy is shown its own login and not the registry's.
    assert all(b"Proxy-Authorization: Basic" in head for head in company.proxy.headers)
    registrys = base64.b64encode(f"{USER}:{PASSWORD}".encode())
    assert not any(registrys in head for head in company.proxy.headers)
    assert PASSWORD not in done.stderr
    assert "prox-word" not in done.stderr
    # And what is there is reused from there.
    edit(project)
    again = yard.bench.run(*words, "--json", environ={**environ, **yard.machine()})
    assert again.returncode == 0, again.stderr
    assert yard.origins(json.loads(again.stdout))["cow"] == "image"


def test_a_jobs_token_on_github_is_enough_for_githubs_registry(yard: Yard, company: Company) -> None:
    job = {"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": USER, "GITHUB_TOKEN": PASSWORD}

    done = yard.bench.run(
        *("push", yard.bench.project(), "--tag=ghcr.io/team/app:1.0"), environ={**company.environ, **job}
    )

    assert done.returncode == 0, done.stderr
    assert set(company.proxy.asked) == {"ghcr.io:443"}
    assert PASSWORD not in done.stderr


def test_a_jobs_token_on_github_goes_to_no_other_registry(yard: Yard, company: Company) -> None:
    job = {"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": USER, "GITHUB_TOKEN": PASSWORD}

    message = yard.bench.fails(
        *("push", yard.bench.project(), "--tag=registry.example/team/app:1.0"),
        code="registry-unauthorized",
        exit_code=5,
        environ={**company.environ, **job},
    )

    assert PASSWORD not in message


def test_a_registry_that_no_proxy_is_for_is_not_asked_through_one(company: Company, tmp_path: Path) -> None:
    environ = {**company.environ, "NO_PROXY": ".example"}
    with Http(environ, sleep=lambda _: None) as http, pytest.raises(NetworkError) as raised:
        client = RegistryClient.from_environ(environ, http, Cache(tmp_path / "cache"))
        list_tags(client, Repository(registry="registry.example", name="team/app"))
    assert raised.value.code == "unreachable"
    assert company.proxy.asked == []


def test_a_helper_that_fails_is_named_and_the_push_ends(yard: Yard, company: Company, tmp_path: Path) -> None:
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"credHelpers": {"registry.example": "broken"}}))
    helper = tmp_path / "docker-credential-broken"
    helper.write_text(f"#!/bin/sh\necho 'keychain is locked {PASSWORD}'; exit 1\n")
    helper.chmod(0o755)

    message = yard.bench.fails(
        *("push", yard.bench.project(), "--tag=registry.example/team/app:1.0"),
        code="registry-unauthorized",
        exit_code=5,
        environ={**company.environ, "DOCKER_CONFIG": str(folder), "PATH": f"{tmp_path}:/usr/bin:/bin"},
    )

    assert "docker-credential-broken" in message
    assert PASSWORD not in message
