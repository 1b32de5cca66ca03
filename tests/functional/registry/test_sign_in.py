"""Signing in: Basic, bearer tokens, identity tokens, TLS; and where credentials never go."""

from __future__ import annotations

import base64
import json
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from helpers.registry import TokenService, docker_registry
from helpers.servers import Received, Reply, Server, fault_proxy, serve
from helpers.tokens import ISSUER, SERVICE, Tokens
from shipwheel.errors import NetworkError
from shipwheel.oci.model import Image
from shipwheel.oci.reference import Reference
from shipwheel.oci.registry import (
    RegistryClient,
    Repository,
    find_digest,
    list_tags,
    pull_image,
    push_image,
    resolve,
)
from shipwheel.oci.validate import validate_image

MakeClient = Callable[..., RegistryClient]
PASSWORD = "s3cret-password"
REFRESH = "s3cret-refresh-token"


def signed_in(folder: Path, registry: str, **entry: str) -> dict[str, str]:
    """Return an environment with credentials for `registry` alone."""
    folder.mkdir(exist_ok=True)
    if not entry:
        entry = {"auth": base64.b64encode(f"me:{PASSWORD}".encode()).decode()}
    (folder / "config.json").write_text(json.dumps({"auths": {registry: entry}}))
    return {"DOCKER_CONFIG": str(folder)}


@pytest.fixture(scope="module")
def basic_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with docker_registry(tmp_path_factory.mktemp("basic"), users={"me": PASSWORD}) as address:
        yield address


class TokenRegistry:
    def __init__(self, address: str, tokens: Tokens, service: Server) -> None:
        self.address = address
        self.tokens = tokens
        self.service = service


@pytest.fixture
def token_registry(tmp_path: Path) -> Iterator[TokenRegistry]:
    tokens = Tokens(tmp_path / "tokens", {"me": PASSWORD}, refresh={REFRESH: "me"})
    with tokens.serve() as service:
        names = TokenService(
            realm=f"{service.url}/token",
            service=SERVICE,
            issuer=ISSUER,
            rootcertbundle=str(tokens.certificate),
        )
        with docker_registry(tmp_path / "registry", token_service=names) as address:
            yield TokenRegistry(address, tokens, service)


def test_basic_credentials_open_the_registry(
    basic_registry: str, image: Image, make_client: MakeClient, tmp_path: Path
) -> None:
    repository = Repository(registry=basic_registry, name="team/app")
    client = make_client(signed_in(tmp_path / "docker", basic_registry))
    push_image(client, image, repository, tags=("1.0",))
    reference = Reference.parse(f"{repository}:1.0")
    assert validate_image(pull_image(client, reference)) == []


def test_without_credentials_the_refusal_says_how_to_get_in(
    basic_registry: str, image: Image, client: RegistryClient
) -> None:
    with pytest.raises(NetworkError) as error:
        push_image(client, image, Repository(registry=basic_registry, name="team/app"))
    assert error.value.code == "registry-unauthorized"
    assert "docker login" in str(error.value)


def test_wrong_credentials_are_sent_once_and_their_place_is_named(
    basic_registry: str, make_client: MakeClient, tmp_path: Path
) -> None:
    with fault_proxy(basic_registry) as proxy:
        environ = signed_in(
            tmp_path / "docker", proxy.address, auth=base64.b64encode(b"me:s3cret-wrong").decode()
        )
        with pytest.raises(NetworkError) as error:
            resolve(make_client(environ), Reference.parse(f"{proxy.address}/team/app:1.0"))
    assert error.value.code == "registry-unauthorized"
    assert str(tmp_path / "docker/config.json") in str(error.value)
    assert len([request for request in proxy.received if "authorization" in request.headers]) == 1
    assert "s3cret" not in "".join(traceback.format_exception(error.value))


def test_a_failing_helper_is_part_of_the_refusal(
    basic_registry: str, make_client: MakeClient, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "absent"}))
    with pytest.raises(NetworkError) as error:
        resolve(
            make_client({"DOCKER_CONFIG": str(tmp_path)}), Reference.parse(f"{basic_registry}/team/app:1.0")
        )
    assert "docker-credential-absent is not installed" in str(error.value)


def test_a_failing_helper_does_not_bar_a_registry_that_needs_no_credentials(
    registry: str, make_client: MakeClient, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "absent"}))
    client = make_client({"DOCKER_CONFIG": str(tmp_path)})
    assert list_tags(client, Repository(registry=registry, name="sign-in/none")) == ()


def test_tokens_are_fetched_for_what_is_done_and_used_again(
    token_registry: TokenRegistry, image: Image, make_client: MakeClient, tmp_path: Path
) -> None:
    repository = Repository(registry=token_registry.address, name="team/app")
    client = make_client(signed_in(tmp_path / "docker", token_registry.address))
    push_image(client, image, repository, tags=("1.0", "1.1", "1.2"))
    assert token_registry.tokens.issued == [["repository:team/app:pull,push"], ["repository:team/app:pull"]]
    pull_image(client, Reference.parse(f"{repository}:1.0"))
    assert len(token_registry.tokens.issued) == 2


def test_a_mount_asks_to_read_the_source_too(
    token_registry: TokenRegistry, image: Image, make_client: MakeClient, tmp_path: Path
) -> None:
    environ = signed_in(tmp_path / "docker", token_registry.address)
    source = Repository(registry=token_registry.address, name="team/base")
    push_image(make_client(environ), image, source)
    target = Repository(registry=token_registry.address, name="team/app")
    pushed = push_image(make_client(environ), image, target, sources=(source,))
    assert {outcome for _, outcome in pushed.blobs} == {"mounted"}
    assert ["repository:team/app:pull,push", "repository:team/base:pull"] in token_registry.tokens.issued


def test_anybody_may_pull_with_an_anonymous_token_and_not_push(
    token_registry: TokenRegistry, image: Image, make_client: MakeClient, tmp_path: Path
) -> None:
    repository = Repository(registry=token_registry.address, name="team/app")
    push_image(
        make_client(signed_in(tmp_path / "docker", token_registry.address)), image, repository, tags=("1.0",)
    )
    client = make_client()
    assert validate_image(pull_image(client, Reference.parse(f"{repository}:1.0"))) == []
    with pytest.raises(NetworkError) as error:
        push_image(client, image, Repository(registry=token_registry.address, name="team/new"))
    assert error.value.code == "registry-unauthorized"


def test_an_identity_token_is_exchanged_and_never_sent_to_the_registry(
    token_registry: TokenRegistry, image: Image, make_client: MakeClient, tmp_path: Path
) -> None:
    with fault_proxy(token_registry.address) as proxy:
        environ = signed_in(tmp_path / "docker", proxy.address, identitytoken=REFRESH)
        push_image(
            make_client(environ), image, Repository(registry=proxy.address, name="team/app"), tags=("1",)
        )
    assert token_registry.service.seen("POST")
    assert not [request for request in proxy.received if REFRESH in str(request.headers)]


@pytest.mark.parametrize(
    "entry", [{"identitytoken": "s3cret-bad"}, {"auth": base64.b64encode(b"me:s3cret-bad").decode()}]
)
def test_refused_credentials_are_named_and_not_shown(
    token_registry: TokenRegistry, make_client: MakeClient, tmp_path: Path, entry: dict[str, str]
) -> None:
    environ = signed_in(tmp_path / "docker", token_registry.address, **entry)
    with pytest.raises(NetworkError) as error:
        resolve(make_client(environ), Reference.parse(f"{token_registry.address}/team/app:1.0"))
    assert error.value.code == "registry-unauthorized"
    assert "config.json" in str(error.value)
    assert "s3cret" not in "".join(traceback.format_exception(error.value))


def test_a_token_service_that_answers_nonsense_is_an_error(
    make_client: MakeClient,
) -> None:
    with (
        serve(lambda _: Reply(body=b'{"token": 3}')) as service,
        serve(
            lambda _: Reply(status=401, headers={"WWW-Authenticate": f'Bearer realm="{service.url}/token"'})
        ) as server,
        pytest.raises(NetworkError) as error,
    ):
        resolve(make_client(), Reference.parse(f"{server.address}/team/app:1.0"))
    assert error.value.code == "bad-token"


def test_a_registry_that_is_never_satisfied_is_given_up(make_client: MakeClient) -> None:
    with (
        serve(lambda _: Reply(body=b'{"token": "t"}')) as service,
        serve(
            lambda _: Reply(status=401, headers={"WWW-Authenticate": f'Bearer realm="{service.url}/token"'})
        ) as server,
        pytest.raises(NetworkError) as error,
    ):
        resolve(make_client(), Reference.parse(f"{server.address}/team/app:1.0"))
    assert error.value.code == "registry-unauthorized"
    assert len(service.received) <= 3


def test_a_token_service_in_the_clear_on_another_host_gets_no_password(
    make_client: MakeClient, tmp_path: Path
) -> None:
    challenge = {"WWW-Authenticate": 'Bearer realm="http://auth.example/token"'}
    with serve(lambda _: Reply(status=401, headers=challenge)) as server:
        environ = signed_in(tmp_path / "docker", server.address)
        with pytest.raises(NetworkError) as error:
            resolve(make_client(environ), Reference.parse(f"{server.address}/team/app:1.0"))
    assert error.value.code in ("plain-http", "unreachable")


def test_blobs_that_are_kept_elsewhere_are_fetched_without_credentials_and_its_challenge_is_ignored(
    basic_registry: str, image: Image, make_client: MakeClient, tmp_path: Path
) -> None:
    push_image(
        make_client(signed_in(tmp_path / "docker", basic_registry)),
        image,
        Repository(registry=basic_registry, name="elsewhere"),
        tags=("1.0",),
    )

    def other_handler(request: Received) -> Reply:
        if request.path == "/token":
            return Reply(body=b'{"token": "t"}')
        # A host that blobs are fetched from asks for the password at a place of its own.
        challenge = f'Bearer realm="http://{request.headers["host"]}/token"'
        return Reply(status=401, headers={"WWW-Authenticate": challenge})

    with serve(other_handler) as other:

        def rule(request: Received) -> Reply | None:
            redirect = "/blobs/" in request.path and request.method == "GET"
            return Reply(status=307, headers={"Location": f"{other.url}/blob"}) if redirect else None

        with fault_proxy(basic_registry, rule) as proxy:
            environ = signed_in(tmp_path / "docker", proxy.address)
            with pytest.raises(NetworkError):
                pull_image(make_client(environ), Reference.parse(f"{proxy.address}/elsewhere:1.0"))
    assert other.received
    assert other.seen("GET", "/token") == []
    assert not [request for request in other.received if "authorization" in request.headers]


def test_a_registry_with_a_companys_own_certificate(
    image: Image, make_client: MakeClient, tmp_path: Path
) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(str(tmp_path / "cert.pem"), append=number > 0)
    with docker_registry(tmp_path / "registry", tls=(tmp_path / "cert.pem", tmp_path / "key.pem")) as address:
        repository = Repository(registry=address, name="team/app")
        client = make_client({"SSL_CERT_FILE": str(tmp_path / "ca.pem")})
        push_image(client, image, repository, tags=("1.0",))
        assert find_digest(client, Reference.parse(f"{repository}:1.0")) == image.digest
        with pytest.raises(NetworkError) as error:
            find_digest(make_client(), Reference.parse(f"{repository}:1.0"))
    assert error.value.code == "tls"


def test_another_host_is_never_asked_over_plain_http(make_client: MakeClient) -> None:
    with pytest.raises(NetworkError) as error:
        resolve(make_client(), Reference.parse("registry.invalid/team/app:1.0"))
    assert str(error.value.problems[0].place).startswith("https://")
