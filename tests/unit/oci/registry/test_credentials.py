"""Where credentials are found, in which order, and what misbehaving files and helpers do."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from shipwheel.oci.registry.credentials import Credential, CredentialStore

REGISTRY = "registry.example"


def auth(user: str, password: str = "pw") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def write(path: Path, **config: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config))
    return path


def find(
    environ: dict[str, str], registry: str = REGISTRY, repository: str = "team/app"
) -> Credential | None:
    return CredentialStore(environ).find(registry, repository).credential


def user(environ: dict[str, str], registry: str = REGISTRY, repository: str = "team/app") -> str | None:
    found = find(environ, registry, repository)
    return found.username if found else None


@pytest.fixture
def everywhere(tmp_path: Path) -> dict[str, str]:
    """An environment in which each place has a user named after it."""
    write(tmp_path / "named.json", auths={REGISTRY: auth("named")})
    write(tmp_path / "docker/config.json", auths={REGISTRY: auth("docker-config")})
    write(tmp_path / "run/containers/auth.json", auths={REGISTRY: auth("podman-run")})
    write(tmp_path / "config/containers/auth.json", auths={REGISTRY: auth("podman-config")})
    write(tmp_path / "home/.docker/config.json", auths={REGISTRY: auth("home")})
    return {
        "REGISTRY_AUTH_FILE": str(tmp_path / "named.json"),
        "DOCKER_AUTH_CONFIG": json.dumps({"auths": {REGISTRY: auth("inline")}}),
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "HOME": str(tmp_path / "home"),
    }


def test_the_first_place_that_knows_the_registry_wins(everywhere: dict[str, str]) -> None:
    order = []
    for variable in (
        "REGISTRY_AUTH_FILE",
        "DOCKER_AUTH_CONFIG",
        "DOCKER_CONFIG",
        "XDG_RUNTIME_DIR",
        "XDG_CONFIG_HOME",
        "HOME",
    ):
        order.append(user(everywhere))
        del everywhere[variable]
    assert order == ["named", "inline", "docker-config", "podman-run", "podman-config", "home"]
    assert user(everywhere) is None


def test_a_place_that_does_not_know_the_registry_is_passed_over(everywhere: dict[str, str]) -> None:
    write(Path(everywhere["REGISTRY_AUTH_FILE"]), auths={"other.example": auth("other")})
    assert user(everywhere) == "inline"


@pytest.mark.parametrize(
    "key",
    [REGISTRY, f"https://{REGISTRY}", f"https://{REGISTRY}/v1/", f"https://{REGISTRY}/v2/", f"{REGISTRY}/"],
)
def test_a_registry_is_found_under_the_names_that_files_have(tmp_path: Path, key: str) -> None:
    path = write(tmp_path / "auth.json", auths={key: auth("me")})
    assert user({"REGISTRY_AUTH_FILE": str(path)}) == "me"


@pytest.mark.parametrize(
    "key", ["example", f"evil.{REGISTRY}", f"{REGISTRY}:5000", f"{REGISTRY}.evil.example"]
)
def test_another_registrys_credentials_are_never_taken(tmp_path: Path, key: str) -> None:
    path = write(tmp_path / "auth.json", auths={key: auth("other")})
    assert find({"REGISTRY_AUTH_FILE": str(path)}) is None


def test_podmans_credentials_for_a_namespace_come_before_the_registrys(tmp_path: Path) -> None:
    path = write(
        tmp_path / "auth.json",
        auths={
            REGISTRY: auth("registry"),
            f"{REGISTRY}/team": auth("team"),
            f"{REGISTRY}/team/app": auth("app"),
            f"{REGISTRY}/te": auth("wrong"),
        },
    )
    environ = {"REGISTRY_AUTH_FILE": str(path)}
    assert user(environ, repository="team/app") == "app"
    assert user(environ, repository="team/other") == "team"
    assert user(environ, repository="else") == "registry"


def test_the_default_registry_is_found_under_the_key_docker_writes(tmp_path: Path) -> None:
    path = write(tmp_path / "auth.json", auths={"https://index.docker.io/v1/": auth("me")})
    assert user({"REGISTRY_AUTH_FILE": str(path)}, "docker.io", "library/python") == "me"


def test_a_password_may_hold_colons(tmp_path: Path) -> None:
    path = write(tmp_path / "auth.json", auths={REGISTRY: auth("me", "a:b:c")})
    found = find({"REGISTRY_AUTH_FILE": str(path)})
    assert found is not None
    assert found.password == "a:b:c"


def test_identity_and_registry_tokens_are_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "auth.json",
        auths={REGISTRY: {**auth("me", ""), "identitytoken": "id"}, "two.example": {"registrytoken": "reg"}},
    )
    environ = {"REGISTRY_AUTH_FILE": str(path)}
    one, two = find(environ), find(environ, "two.example")
    assert one is not None and one.identity_token == "id"
    assert two is not None and two.registry_token == "reg"


def test_a_credential_never_shows_its_secrets(tmp_path: Path) -> None:
    path = write(tmp_path / "auth.json", auths={REGISTRY: auth("me", "s3cret")})
    assert "s3cret" not in repr(CredentialStore({"REGISTRY_AUTH_FILE": str(path)}).find(REGISTRY))


@pytest.mark.parametrize("content", ["", "{", "[]", '"s3cret"', '{"auths": 3}', "\udcff"])
def test_a_broken_file_is_noted_without_its_content(tmp_path: Path, content: str) -> None:
    path = tmp_path / "auth.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    found = CredentialStore({"REGISTRY_AUTH_FILE": str(path)}).find(REGISTRY)
    assert found.credential is None
    assert "s3cret" not in str(found.notes)


def test_an_auth_that_is_no_base64_is_noted(tmp_path: Path) -> None:
    path = write(tmp_path / "auth.json", auths={REGISTRY: {"auth": "s3cret!"}})
    found = CredentialStore({"REGISTRY_AUTH_FILE": str(path)}).find(REGISTRY)
    assert found.credential is None
    assert len(found.notes) == 1 and "s3cret" not in found.notes[0]


def test_a_missing_file_that_was_named_is_noted(tmp_path: Path) -> None:
    found = CredentialStore({"REGISTRY_AUTH_FILE": str(tmp_path / "absent")}).find(REGISTRY)
    assert "does not exist" in found.notes[0]


# CI


def test_the_jobs_token_on_github_is_for_githubs_registry_alone() -> None:
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_TOKEN": "t", "GITHUB_ACTOR": "octo"}
    assert user(environ, "ghcr.io") == "octo"
    assert user(environ, REGISTRY) is None
    assert user({"GITHUB_TOKEN": "t"}, "ghcr.io") is None


def test_the_jobs_password_on_gitlab_is_for_the_named_registry_alone() -> None:
    environ = {"GITLAB_CI": "true", "CI_REGISTRY": REGISTRY, "CI_REGISTRY_PASSWORD": "p"}
    assert user(environ) == "gitlab-ci-token"
    assert user(environ, "other.example") is None


# Helper programs


def helper(folder: Path, script: str, name: str = "test") -> dict[str, str]:
    """Write a helper with this shell script; give an environment in which it is found."""
    folder.mkdir(exist_ok=True)
    path = folder / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


ANSWER = """read server; echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"$1-$server\\",\\"Secret\\":\\"pw\\"}" """


def test_a_registrys_own_helper_comes_before_the_store_for_all(tmp_path: Path) -> None:
    environ = helper(tmp_path / "bin", ANSWER)
    helper(tmp_path / "bin", "exit 9", "wrong")
    write(tmp_path / "config.json", credHelpers={REGISTRY: "test"}, credsStore="wrong")
    assert user({**environ, "DOCKER_CONFIG": str(tmp_path)}) == f"get-{REGISTRY}"


def test_the_store_serves_registries_without_a_helper(tmp_path: Path) -> None:
    environ = helper(tmp_path / "bin", ANSWER)
    write(tmp_path / "config.json", auths={REGISTRY: {}}, credsStore="test")
    assert user({**environ, "DOCKER_CONFIG": str(tmp_path)}) == f"get-{REGISTRY}"


def test_a_helper_may_give_an_identity_token(tmp_path: Path) -> None:
    environ = helper(tmp_path / "bin", """echo '{"Username":"<token>","Secret":"id"}'""")
    write(tmp_path / "config.json", credsStore="test")
    found = find({**environ, "DOCKER_CONFIG": str(tmp_path)})
    assert found is not None
    assert (found.username, found.identity_token) == ("", "id")


def test_a_store_without_the_entry_leaves_the_files_own(tmp_path: Path) -> None:
    environ = helper(tmp_path / "bin", "echo credentials not found in native keychain; exit 1")
    write(tmp_path / "config.json", auths={REGISTRY: auth("file")}, credsStore="test")
    found = CredentialStore({**environ, "DOCKER_CONFIG": str(tmp_path)}).find(REGISTRY)
    assert found.credential is not None and found.credential.username == "file"
    assert found.notes == ()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo s3cret; exit 1", "failed (exit 1)"),
        ("echo s3cret", "not a credential"),
        ("""echo '{"Username":"s3cret"}'""", "not a credential"),
        ("""echo '{"Username":"me","Secret":["s3cret"]}'""", "not a credential"),
        ("kill -9 $$", "failed (exit -9)"),
        ("sleep 60 & sleep 60", "no answer"),
    ],
)
def test_a_helper_that_misbehaves_is_noted_without_its_words(tmp_path: Path, script: str, said: str) -> None:
    environ = helper(tmp_path / "bin", script)
    write(tmp_path / "config.json", credsStore="test")
    store = CredentialStore({**environ, "DOCKER_CONFIG": str(tmp_path)}, helper_seconds=0.5)
    found = store.find(REGISTRY)
    assert found.credential is None
    assert said in found.notes[0]
    assert "s3cret" not in found.notes[0]


@pytest.mark.parametrize("name", ["absent", "../evil", "/bin/sh", "a b", ""])
def test_a_helper_that_cannot_be_run_is_noted_or_none(tmp_path: Path, name: str) -> None:
    write(tmp_path / "config.json", credsStore=name)
    store = CredentialStore({"DOCKER_CONFIG": str(tmp_path), "PATH": os.environ["PATH"]})
    assert store.find(REGISTRY).credential is None


def test_each_registry_is_looked_up_once(tmp_path: Path) -> None:
    environ = helper(tmp_path / "bin", f"echo x >>{tmp_path}/calls; {ANSWER}")
    write(tmp_path / "config.json", credsStore="test")
    store = CredentialStore({**environ, "DOCKER_CONFIG": str(tmp_path)})
    assert store.find(REGISTRY) is store.find(REGISTRY)
    assert (tmp_path / "calls").read_text() == "x\n"
