"""The client against a registry that takes the specification at its word (`helpers.strict_registry`)."""

from __future__ import annotations

import base64
import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.servers import Change, Received, Reply, fault_proxy
from helpers.strict_registry import StrictRegistry
from shipwheel.errors import NetworkError
from shipwheel.oci.model import BytesBlob, Descriptor, Image
from shipwheel.oci.reference import Reference
from shipwheel.oci.registry import (
    RegistryClient,
    Repository,
    list_referrers,
    list_tags,
    pull_image,
    push_image,
    push_referrer,
)
from shipwheel.oci.validate import validate_image

MakeClient = Callable[..., RegistryClient]


@contextmanager
def strict(registry: StrictRegistry) -> Iterator[Repository]:
    """Serve the registry and give a repository of it; nothing may have gone against the specification."""
    with registry.serve() as server:
        yield Repository(registry=server.address, name="team/app")
    assert registry.violations == []


def assert_whole(client: RegistryClient, repository: Repository, tag: str) -> None:
    pulled = pull_image(client, Reference.parse(f"{repository}:{tag}"))
    assert validate_image(pulled) == []


def attach(client: RegistryClient, repository: Repository, subject: Descriptor, text: str) -> Descriptor:
    blob = BytesBlob(text.encode())
    part = Descriptor(media_type="text/plain", digest=blob.digest, size=blob.size)
    return push_referrer(client, repository, subject, "text/x-note", [(part, blob)])


def test_a_push_and_a_pull_break_no_rule(image: Image, make_client: MakeClient) -> None:
    with strict(StrictRegistry()) as repository:
        push_image(make_client(), image, repository, tags=("1.0", "latest"))
        push_image(make_client(), image, repository, tags=("1.0", "latest"))
        assert_whole(make_client(), repository, "latest")


def test_a_mount_that_becomes_an_upload_is_used_as_one(image: Image, make_client: MakeClient) -> None:
    with strict(StrictRegistry(mounts=False)) as repository:
        other = Repository(registry=repository.registry, name="team/other")
        client = make_client()
        push_image(client, image, repository, tags=("1.0",))
        pushed = push_image(client, image, other, tags=("1.0",), sources=[repository])
        assert {outcome for _, outcome in pushed.blobs} == {"uploaded"}
        assert_whole(make_client(), other, "1.0")


@pytest.mark.parametrize("mounts", [True, False])
def test_no_chunk_is_smaller_than_the_registry_takes(
    image: Image, make_client: MakeClient, mounts: bool
) -> None:
    # A proxy before it limits bodies to less than what a layer has, the registry wants large chunks.
    registry = StrictRegistry(body_max=5_000_000, chunk_min=2_000_000, mounts=mounts)
    with strict(registry) as repository:
        other = Repository(registry=repository.registry, name="team/other")
        push_image(make_client(), image, repository, tags=("1.0",), sources=[other])
        assert_whole(make_client(), repository, "1.0")


def test_where_no_size_of_chunk_fits_the_refusal_is_the_proxys(image: Image, make_client: MakeClient) -> None:
    with strict(StrictRegistry(body_max=3_000_000, chunk_min=5_000_000)) as repository:
        with pytest.raises(NetworkError) as error:
            push_image(make_client(), image, repository, tags=("1.0",))
        assert "413" in str(error.value)
        assert list_tags(make_client(), repository) == ()


def test_the_referrers_api_needs_no_tag_and_is_read_page_by_page(
    image: Image, make_client: MakeClient
) -> None:
    with strict(StrictRegistry(page=2)) as repository:
        client = make_client()
        push_image(client, image, repository, tags=("1.0",))
        attached = {attach(client, repository, image.descriptor, f"note {n}").digest for n in range(5)}
        found = list_referrers(client, repository, image.digest)
        assert {item.digest for item in found} == attached
        assert {item.artifact_type for item in found} == {"text/x-note"}
        assert list_referrers(client, repository, image.digest, artifact_type="text/x-other") == []
        assert list_tags(client, repository) == ("1.0",)


def test_an_image_that_nothing_refers_to_has_an_empty_list(image: Image, make_client: MakeClient) -> None:
    with strict(StrictRegistry()) as repository:
        push_image(make_client(), image, repository, tags=("1.0",))
        assert list_referrers(make_client(), repository, image.digest) == []


def test_tags_are_listed_whole_though_a_page_has_two(image: Image, make_client: MakeClient) -> None:
    with strict(StrictRegistry(page=2)) as repository:
        push_image(make_client(), image, repository, tags=[f"t{number}" for number in range(7)])
        assert list_tags(make_client(), repository) == tuple(f"t{number}" for number in range(7))


def test_an_immutable_tag_stays_and_writing_it_again_is_no_error(
    image: Image, make_client: MakeClient, make_layer: Callable[..., object]
) -> None:
    from dataclasses import replace

    with strict(StrictRegistry(immutable=lambda tag: tag[0].isdigit())) as repository:
        push_image(make_client(), image, repository, tags=("1.0", "latest"))
        again = push_image(make_client(), image, repository, tags=("1.0", "latest"))
        assert again.kept == ("1.0", "latest")
        other = replace(image, layers=(*image.layers, make_layer("more")))  # type: ignore[arg-type]
        with pytest.raises(NetworkError) as error:
            push_image(make_client(), other, repository, tags=("1.0",))
        assert error.value.code == "tag-immutable"
        push_image(make_client(), other, repository, tags=("latest",))
        assert_whole(make_client(), repository, "1.0")


def signed_in(folder: Path, registry: str) -> dict[str, str]:
    auth = base64.b64encode(b"me:secret").decode()
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"auths": {registry: {"auth": auth}}}))
    return {"DOCKER_CONFIG": str(folder)}


@pytest.mark.parametrize("uses", [4, 7, 1000])
def test_a_token_that_runs_out_in_the_middle_of_a_push_is_fetched_anew(
    image: Image, make_client: MakeClient, tmp_path: Path, uses: int
) -> None:
    registry = StrictRegistry(users={"me": "secret"}, token_uses=uses)
    with strict(registry) as repository:
        client = make_client(signed_in(tmp_path / "docker", repository.registry))
        # One request at a time: a token that counts uses must not be used up by a neighbour.
        push_image(client, image, repository, tags=("1.0",), jobs=1 if uses < 1000 else 4)
        attach(client, repository, image.descriptor, "note")
        assert_whole(client, repository, "1.0")
    asked = set(registry.scopes)
    # No more is asked for than is needed: this repository, and to push only for a push.
    assert asked <= {"repository:team/app:pull,push", "repository:team/app:pull"}


def test_a_mount_asks_for_its_source_and_for_no_more(
    image: Image, make_client: MakeClient, tmp_path: Path
) -> None:
    registry = StrictRegistry(users={"me": "secret"})
    with strict(registry) as repository:
        client = make_client(signed_in(tmp_path / "docker", repository.registry))
        source = Repository(registry=repository.registry, name="team/source")
        push_image(client, image, source)
        registry.scopes.clear()
        pushed = push_image(client, image, repository, sources=[source])
        assert {outcome for _, outcome in pushed.blobs} == {"mounted"}
    assert set(registry.scopes) == {"repository:team/app:pull,push", "repository:team/source:pull"}


_ATTACH = """
import sys
from pathlib import Path
from shipwheel.cache import Cache
from shipwheel.net import Http
from shipwheel.oci.model import BytesBlob, Descriptor, Digest
from shipwheel.oci.registry import RegistryClient, Repository, push_referrer
address, folder, digest, size, text = sys.argv[1:]
blob = BytesBlob(text.encode())
part = Descriptor(media_type="text/plain", digest=blob.digest, size=blob.size)
subject = Descriptor(
    media_type="application/vnd.oci.image.manifest.v1+json", digest=Digest.parse(digest), size=int(size)
)
with Http({}) as http:
    client = RegistryClient.from_environ({}, http, Cache(Path(folder)))
    repository = Repository(registry=address, name="team/app")
    push_referrer(client, repository, subject, "text/x-note", [(part, blob)])
"""


def test_two_machines_that_attach_at_once_lose_no_entry_of_the_fallback_tag(
    image: Image, make_client: MakeClient, tmp_path: Path
) -> None:
    both_read, both_written = threading.Barrier(2), threading.Barrier(2)
    puts = itertools.count()

    def rule(request: Received) -> Change | None:
        if request.method != "PUT" or "/manifests/sha256-" not in request.path or next(puts) >= 2:
            return None
        # Each has read the list without the other's entry; neither looks again before both have written.
        both_read.wait(30)

        def later(reply: Reply) -> Reply:
            both_written.wait(30)
            return reply

        return Change(reply=later)

    registry = StrictRegistry(referrers=False)
    with strict(registry) as repository:
        push_image(make_client(), image, repository, tags=("1.0",))
        with fault_proxy(repository.registry, rule) as proxy, ThreadPoolExecutor(2) as pool:

            def run(name: str, address: str = proxy.address) -> int:
                # A cache of its own: another machine.
                words = [address, str(tmp_path / name), str(image.digest)]
                words += [str(image.descriptor.size), name]
                return subprocess.run([sys.executable, "-c", _ATTACH, *words], check=False).returncode

            # What all documents share is there: two machines may well send it at once.
            assert run("zero", repository.registry) == 0
            assert list(pool.map(run, ["one", "two"])) == [0, 0]
        assert len(list_referrers(make_client(), repository, image.digest)) == 3


def test_ten_processes_that_attach_at_once_lose_no_entry(
    image: Image, make_client: MakeClient, tmp_path: Path
) -> None:
    with strict(StrictRegistry(referrers=False)) as repository:
        push_image(make_client(), image, repository, tags=("1.0",))

        def run(number: int) -> int:
            words = [repository.registry, str(tmp_path / "cache"), str(image.digest)]
            words += [str(image.descriptor.size), f"note {number}"]
            return subprocess.run([sys.executable, "-c", _ATTACH, *words], check=False).returncode

        with ThreadPoolExecutor(10) as pool:
            assert list(pool.map(run, range(10))) == [0] * 10
        assert len(list_referrers(make_client(), repository, image.digest)) == 10
