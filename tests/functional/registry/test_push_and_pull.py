"""Push and pull with Debian's docker-registry, compared with skopeo."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.servers import Received, Reply, fault_proxy, serve
from helpers.tools import require_tool
from shipwheel.errors import NetworkError
from shipwheel.oci.layout import write_layout
from shipwheel.oci.model import BytesBlob, Descriptor, Digest, Image, ImageIndex, Layer, Platform
from shipwheel.oci.read import LoadedImage, LoadedIndex
from shipwheel.oci.reference import Reference
from shipwheel.oci.registry import (
    RegistryClient,
    Repository,
    find_digest,
    list_referrers,
    list_tags,
    pull_image,
    pull_platform,
    push_image,
    push_referrer,
    resolve,
)
from shipwheel.oci.validate import validate_image

MakeClient = Callable[..., RegistryClient]
AMD64, ARM64 = Platform.parse("linux/amd64"), Platform.parse("linux/arm64")


@pytest.fixture
def repository(registry: str, request: pytest.FixtureRequest) -> Repository:
    name = request.node.name.lower().replace("[", "-").replace("]", "")
    return Repository(registry=registry, name=f"push-and-pull/{name}")


def named(repository: Repository, tag: str) -> Reference:
    return Reference(registry=repository.registry, repository=repository.name, tag=tag)


def test_a_pushed_image_comes_back_as_it_was(
    image: Image, repository: Repository, make_client: MakeClient
) -> None:
    pushed = push_image(make_client(), image, repository, tags=("1.0", "latest"))
    pulled = pull_image(make_client(), named(repository, "1.0"))
    assert isinstance(pulled, LoadedImage)
    assert pushed.descriptor.digest == pulled.digest == image.digest
    assert pulled.manifest == image.manifest_blob().data
    assert validate_image(pulled) == []
    assert list_tags(make_client(), repository) == ("1.0", "latest")


def test_skopeo_takes_what_was_pushed(
    image: Image, repository: Repository, client: RegistryClient, tmp_path: Path
) -> None:
    push_image(client, image, repository, tags=("1.0",))
    skopeo = require_tool("skopeo")
    found = subprocess.run(
        [skopeo, "inspect", "--tls-verify=false", f"docker://{repository}:1.0"],
        capture_output=True,
        check=True,
    )
    said = json.loads(found.stdout)
    assert said["Digest"] == str(image.digest)
    assert said["Layers"] == [str(layer.descriptor.digest) for layer in image.layers]


def test_what_skopeo_pushed_is_pulled(
    image: Image, repository: Repository, make_client: MakeClient, tmp_path: Path
) -> None:
    write_layout(tmp_path / "layout", image, ref_name="app")
    skopeo = require_tool("skopeo")
    subprocess.run(
        [
            *(skopeo, "copy", "-q", "--dest-tls-verify=false", "--format=v2s2"),
            *(f"oci:{tmp_path}/layout:app", f"docker://{repository}:docker"),
        ],
        check=True,
    )
    pulled = pull_image(make_client(), named(repository, "docker"))
    assert isinstance(pulled, LoadedImage)
    assert [layer.diff_id for layer in pulled.layers] == [layer.diff_id for layer in image.layers]
    assert validate_image(pulled) == []


def test_an_index_is_pushed_with_its_images_and_one_platform_is_pulled_alone(
    image: Image, repository: Repository, make_client: MakeClient
) -> None:
    index = ImageIndex(images=(image, replace(image, platform=ARM64)))
    push_image(make_client(), index, repository, tags=("1.0",))
    client = make_client()
    pulled = pull_image(client, named(repository, "1.0"))
    assert isinstance(pulled, LoadedIndex)
    assert pulled.digest == index.digest
    assert validate_image(pulled) == []
    assert pull_platform(client, named(repository, "1.0"), ARM64).platform == ARM64


def test_a_second_push_sends_nothing(image: Image, repository: Repository, make_client: MakeClient) -> None:
    push_image(make_client(), image, repository, tags=("1.0",))
    with fault_proxy(repository.registry) as proxy:
        through = replace(repository, registry=proxy.address)
        pushed = push_image(make_client(), image, through, tags=("1.0",))
    assert pushed.kept == ("1.0",)
    assert {request.method for request in proxy.received} <= {"GET", "HEAD"}


def test_only_the_layer_that_is_new_is_sent(
    image: Image, repository: Repository, make_client: MakeClient, make_layer: Callable[..., Layer]
) -> None:
    push_image(make_client(), image, repository, tags=("1.0",))
    new = make_layer("only-the-layer-that-is-new", 2000)
    changed = replace(image, layers=(*image.layers[:-1], new))
    pushed = push_image(make_client(), changed, repository, tags=("1.1",))
    outcomes = {descriptor.digest: outcome for descriptor, outcome in pushed.blobs}
    assert [outcomes[layer.descriptor.digest] for layer in changed.layers] == [
        "present",
        "present",
        "uploaded",
    ]


def test_layers_are_mounted_from_a_repository_that_has_them(
    image: Image, repository: Repository, make_client: MakeClient
) -> None:
    push_image(make_client(), image, repository)
    other = replace(repository, name=f"{repository.name}/other")
    pushed = push_image(make_client(), image, other, sources=(repository,), tags=("1.0",))
    assert {outcome for _, outcome in pushed.blobs} == {"mounted"}
    assert pushed.sent == 0


def test_a_source_that_lacks_the_layers_costs_nothing_but_the_upload(
    image: Image, repository: Repository, make_client: MakeClient
) -> None:
    absent = replace(repository, name=f"{repository.name}/absent")
    pushed = push_image(make_client(), image, repository, sources=(absent,), tags=("1.0",))
    assert {outcome for _, outcome in pushed.blobs} == {"uploaded"}
    assert validate_image(pull_image(make_client(), named(repository, "1.0"))) == []


def test_a_base_from_the_same_registry_is_pushed_without_being_pulled(
    image: Image, repository: Repository, make_client: MakeClient, make_layer: Callable[..., Layer]
) -> None:
    push_image(make_client(), image, repository, tags=("base",))
    with fault_proxy(repository.registry) as proxy:
        client = make_client()
        base = pull_platform(
            client, Reference(registry=proxy.address, repository=repository.name, tag="base"), AMD64
        )
        ours = replace(base.image, layers=(*base.layers, make_layer("a-base-from-the-same-registry")))
        app = Repository(registry=proxy.address, name=f"{repository.name}/app")
        pushed = push_image(client, ours, app, tags=("1.0",))
    assert [outcome for _, outcome in pushed.blobs].count("mounted") == len(base.layers)
    layers = [str(layer.descriptor.digest) for layer in base.layers]
    assert not [
        request for request in proxy.seen("GET", "/blobs/") if request.path.rpartition("/")[2] in layers
    ]


def test_a_pulled_blob_needs_no_registry_the_next_time(
    image: Image, repository: Repository, client: RegistryClient
) -> None:
    push_image(client, image, repository, tags=("1.0",))
    with fault_proxy(repository.registry) as proxy:
        reference = Reference(registry=proxy.address, repository=repository.name, tag="1.0")
        assert validate_image(pull_image(client, reference)) == []
        before = len(proxy.received)
        pinned = reference.with_digest(image.digest)
        assert validate_image(pull_platform(client, pinned, AMD64)) == []
    assert not [request for request in proxy.received[before:] if "/blobs/" in request.path]


def test_ten_pushes_at_once_upload_each_blob_once(
    image: Image, repository: Repository, client: RegistryClient, make_layer: Callable[..., Layer]
) -> None:
    images = [replace(image, layers=(*image.layers, make_layer(f"ten-{number}"))) for number in range(10)]
    with fault_proxy(repository.registry) as proxy, ThreadPoolExecutor(10) as pool:
        results = list(
            pool.map(
                lambda number: push_image(
                    client,
                    images[number],
                    Repository(registry=proxy.address, name=f"{repository.name}/{number % 3}"),
                    tags=(f"v{number}",),
                ),
                range(10),
            )
        )
    uploads = Counter(
        descriptor.digest
        for pushed in results
        for descriptor, outcome in pushed.blobs
        if outcome == "uploaded"
    )
    assert set(uploads.values()) == {1}
    assert len(uploads) == 3 + 10 + 10  # shared layers, one's own layer, one's own config
    for number in range(10):
        there = replace(repository, name=f"{repository.name}/{number % 3}")
        assert find_digest(client, named(there, f"v{number}")) == images[number].digest


def tag_pages(next_page: str) -> Callable[[Received], Reply]:
    def answer(request: Received) -> Reply:
        if "last=b" in request.path:
            return Reply(body=b'{"name":"app","tags":["c"]}')
        if request.path.endswith("n=1000"):
            return Reply(
                body=b'{"name":"app","tags":["b","a"]}', headers={"Link": f'<{next_page}>; rel="next"'}
            )
        return Reply(body=b"{}")

    return answer


def test_tags_are_listed_page_by_page(client: RegistryClient) -> None:
    with serve(tag_pages("/v2/app/tags/list?last=b&n=2")) as server:
        assert list_tags(client, Repository(registry=server.address, name="app")) == ("a", "b", "c")


def test_a_list_that_goes_on_at_another_host_is_refused(client: RegistryClient) -> None:
    with (
        serve(tag_pages("https://evil.example/v2/app/tags/list")) as server,
        pytest.raises(NetworkError) as error,
    ):
        list_tags(client, Repository(registry=server.address, name="app"))
    assert error.value.code == "redirect-refused"


def test_a_repository_that_does_not_exist_has_no_tags_and_no_digest(
    repository: Repository, client: RegistryClient
) -> None:
    assert list_tags(client, repository) == ()
    assert find_digest(client, named(repository, "1.0")) is None
    with pytest.raises(NetworkError) as error:
        resolve(client, named(repository, "1.0"))
    assert error.value.code == "registry-unknown"


def test_a_referrer_is_attached_and_found_and_the_image_stays_the_same(
    image: Image, repository: Repository, make_client: MakeClient
) -> None:
    client = make_client()
    push_image(client, image, repository, tags=("1.0",))
    content = BytesBlob(b'{"bomFormat":"CycloneDX"}')
    part = Descriptor(media_type="application/json", digest=content.digest, size=content.size)
    bom, note = "application/vnd.cyclonedx+json", "application/vnd.example.note"
    first = push_referrer(
        client, repository, image.descriptor, bom, [(part, content)], annotations={"a": "b"}
    )
    second = push_referrer(client, repository, image.descriptor, note, [])
    again = push_referrer(client, repository, image.descriptor, note, [])
    assert second == again
    assert find_digest(client, named(repository, "1.0")) == image.digest
    found = list_referrers(make_client(), repository, image.digest)
    assert {item.digest for item in found} == {first.digest, second.digest}
    assert list_referrers(make_client(), repository, image.digest, artifact_type=bom) == [first]
    assert list_referrers(client, repository, Digest.of(b"nothing")) == []
