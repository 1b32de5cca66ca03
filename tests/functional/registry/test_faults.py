"""Pushes and pulls through a proxy that cuts, delays, lies; and pushes that are killed at each step."""

from __future__ import annotations

import io
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import pytest

from helpers.servers import Change, Drop, Received, Reply, Times, fault_proxy, serve
from shipwheel.cache import Cache
from shipwheel.errors import IntegrityError, NetworkError, ShipwheelError
from shipwheel.oci.layout import write_layout
from shipwheel.oci.model import Blob, BytesBlob, Descriptor, Digest, Image, ImageIndex, Platform
from shipwheel.oci.reference import Reference
from shipwheel.oci.registry import RegistryClient, Repository, list_tags, pull_image, push_image
from shipwheel.oci.registry.upload import Uploader
from shipwheel.oci.validate import validate_image

MakeClient = Callable[..., RegistryClient]
Rule = Callable[[Received], Reply | Drop | Change | None]


def push_through(
    registry: str, name: str, image: Image, client: RegistryClient, rule: Rule
) -> list[Received]:
    """Push `image` as `name`:1.0 through a proxy with `rule`; return what the proxy received."""
    with fault_proxy(registry, rule) as proxy:
        push_image(client, image, Repository(registry=proxy.address, name=name), tags=("1.0",))
        return proxy.received


def assert_whole(registry: str, name: str, image: Image, client: RegistryClient) -> None:
    pulled = pull_image(client, Reference.parse(f"{registry}/{name}:1.0"))
    assert pulled.digest == image.digest
    assert validate_image(pulled) == []


# Pushes


class UploadServer:
    """The specification's uploads, kept in memory: what of a cut request has arrived counts."""

    def __init__(self, *, cut_at: int, cuts: int) -> None:
        self.blobs: dict[str, bytes] = {}
        self.data = bytearray()
        self._cut_at = cut_at
        self._cuts = cuts

    def __call__(self, request: Received) -> Reply | Drop:
        place = {"Location": "/v2/app/blobs/uploads/1?state=a", "Range": f"0-{max(0, len(self.data) - 1)}"}
        if request.method == "POST":
            self.data.clear()
            return Reply(status=202, headers={"Location": place["Location"], "Range": "0-0"})
        if request.method == "PATCH":
            start = int(request.headers.get("content-range", "0-").partition("-")[0])
            if start != len(self.data):
                return Reply(status=416, headers=place)
            if self._cuts and request.length > self._cut_at:
                self._cuts -= 1
                self.data += request.stream.read(self._cut_at)
                return Drop()
            self.data += request.read_body()
            return Reply(status=202, headers={**place, "Range": f"0-{len(self.data) - 1}"})
        if request.method == "PUT" and "/uploads/" in request.path:
            self.data += request.read_body()
            self.blobs[request.path.rpartition("digest=")[2].replace("%3A", ":")] = bytes(self.data)
            return Reply(status=201)
        request.read_body()
        if request.method == "GET" and "/uploads/" in request.path:
            return Reply(status=204, headers=place)
        return Reply(status=201 if request.method == "PUT" else 200 if request.path == "/v2/" else 404)


def test_an_upload_that_is_cut_goes_on_where_it_was(image: Image, client: RegistryClient) -> None:
    registry = UploadServer(cut_at=2_000_000, cuts=2)
    sent: list[tuple[Descriptor, int]] = []
    large = image.layers[2]
    with serve(registry) as server:
        uploader = Uploader(
            client=client,
            repository=Repository(registry=server.address, name="app"),
            on_bytes=lambda *item: sent.append(item),
        )
        assert uploader.ensure(large.descriptor, large.blob) == "uploaded"
    with large.blob.open() as file:
        assert registry.blobs == {str(large.descriptor.digest): file.read()}
    ranges = [request.headers.get("content-range") for request in server.seen("PATCH")]
    size = large.descriptor.size
    assert ranges == [None, f"2000000-{size - 1}", f"4000000-{size - 1}"]
    assert sum(count for _, count in sent) == size


def test_an_upload_that_is_cut_arrives_where_the_registry_cannot_go_on(
    registry: str, image: Image, make_client: MakeClient
) -> None:
    times = Times()

    def rule(request: Received) -> Drop | None:
        return Drop(after=2_000_000) if request.method == "PATCH" and times.first(2) else None

    sent: list[tuple[Descriptor, int]] = []
    with fault_proxy(registry, rule) as proxy:
        repository = Repository(registry=proxy.address, name="faults/cut")
        push_image(make_client(), image, repository, tags=("1.0",), on_bytes=lambda *item: sent.append(item))
    assert_whole(registry, "faults/cut", image, make_client())
    for digest in {item.digest for item, _ in sent}:
        sizes = {item.size for item, _ in sent if item.digest == digest}
        assert {sum(count for item, count in sent if item.digest == digest)} == sizes


def test_an_upload_whose_place_is_lost_begins_again(
    registry: str, image: Image, make_client: MakeClient
) -> None:
    times = Times()

    def rule(request: Received) -> Reply | Drop | None:
        if request.method == "PATCH" and times.first(1):
            return Drop(after=1_000_000)
        if request.method == "GET" and "/uploads/" in request.path:
            return Reply(status=404)
        return None

    push_through(registry, "faults/lost", image, make_client(), rule)
    assert_whole(registry, "faults/lost", image, make_client())


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("method", ["HEAD", "POST", "PATCH", "PUT"])
def test_a_registry_that_is_busy_now_and_then_is_asked_again(
    registry: str, image: Image, make_client: MakeClient, method: str, status: int
) -> None:
    times = Times()

    def rule(request: Received) -> Reply | None:
        busy = request.method == method and times.first(2)
        return Reply(status=status, headers={"Retry-After": "1"}) if busy else None

    name = f"faults/busy-{method.lower()}-{status}"
    push_through(registry, name, image, make_client(), rule)
    assert_whole(registry, name, image, make_client())


@pytest.mark.parametrize("method", ["HEAD", "POST", "PATCH", "PUT"])
def test_an_answer_that_is_lost_does_no_harm(
    registry: str, image: Image, make_client: MakeClient, method: str
) -> None:
    times = Times()

    def rule(request: Received) -> Change | None:
        lost = request.method == method and times.first(1)
        return Change(reply=lambda reply: replace(reply, declared=10, cut_after=0)) if lost else None

    push_through(registry, f"faults/lost-{method.lower()}", image, make_client(), rule)
    assert_whole(registry, f"faults/lost-{method.lower()}", image, make_client())


@dataclass(frozen=True)
class ForwardBlob:
    """A blob that can only be read forward, as a compressed archive's are."""

    blob: Blob

    @property
    def digest(self) -> Digest:
        return self.blob.digest

    @property
    def size(self) -> int:
        return self.blob.size

    def open(self) -> BinaryIO:
        class Forward(io.BytesIO):
            def seekable(self) -> bool:
                return False

            def seek(self, *_: int) -> int:
                raise io.UnsupportedOperation("seek")

        with self.blob.open() as file:
            return Forward(file.read())


def test_a_blob_that_cannot_seek_is_pushed_and_resumed(image: Image, client: RegistryClient) -> None:
    registry = UploadServer(cut_at=2_000_000, cuts=1)
    large = image.layers[2]
    with serve(registry) as server:
        uploader = Uploader(client=client, repository=Repository(registry=server.address, name="app"))
        uploader.ensure(large.descriptor, ForwardBlob(large.blob))
    assert [Digest.of(data) for data in registry.blobs.values()] == [large.descriptor.digest]
    assert len(server.seen("PATCH")) == 2


def test_a_limit_on_bodies_is_met_with_smaller_pieces(
    registry: str, image: Image, make_client: MakeClient
) -> None:
    def rule(request: Received) -> Reply | None:
        return Reply(status=413) if request.method == "PATCH" and request.length > 5_000_000 else None

    received = push_through(registry, "faults/limit", image, make_client(), rule)
    assert_whole(registry, "faults/limit", image, make_client())
    lengths = [request.length for request in received if request.method == "PATCH"]
    assert len(lengths) == 3
    assert lengths[1] + lengths[2] == lengths[0]


def test_a_registry_that_stays_broken_is_given_up_without_a_tag(
    registry: str, image: Image, make_client: MakeClient
) -> None:
    with pytest.raises(NetworkError):
        push_through(
            registry,
            "faults/broken",
            image,
            make_client(),
            lambda request: Reply(status=503) if request.method == "PATCH" else None,
        )
    assert list_tags(make_client(), Repository(registry=registry, name="faults/broken")) == ()


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"x" * 500, "digest-refused"), (b"x", "wrong-size")],
    ids=["other bytes", "other size"],
)
def test_a_damaged_blob_is_refused_and_nothing_is_tagged(
    registry: str, image: Image, make_client: MakeClient, data: bytes, code: str
) -> None:
    layer = image.layers[0]
    lying = replace(layer, blob=BytesBlob(data), descriptor=replace(layer.descriptor, size=500))
    name = f"faults/damaged-{len(data)}"
    with pytest.raises(ShipwheelError) as error:
        push_through(registry, name, replace(image, layers=(lying,)), make_client(), lambda _: None)
    assert error.value.code == code
    assert list_tags(make_client(), Repository(registry=registry, name=name)) == ()


def test_a_registry_that_stores_another_manifest_is_caught(
    registry: str, image: Image, make_client: MakeClient
) -> None:
    wrong = {"Docker-Content-Digest": f"sha256:{'0' * 64}"}

    def rule(request: Received) -> Change | None:
        if request.method == "PUT" and "/manifests/" in request.path:
            return Change(reply=lambda reply: Reply(status=reply.status, headers=wrong))
        return None

    with pytest.raises(IntegrityError) as error:
        push_through(registry, "faults/other-manifest", image, make_client(), rule)
    assert error.value.code == "wrong-digest"


def test_an_immutable_tag_is_an_error_of_its_own(
    registry: str, image: Image, make_client: MakeClient
) -> None:
    said = b'{"errors":[{"code":"DENIED","message":"tag 1.0 is immutable"}]}'

    def rule(request: Received) -> Reply | None:
        return (
            Reply(status=403, body=said)
            if request.method == "PUT" and request.path.endswith("/1.0")
            else None
        )

    with pytest.raises(NetworkError) as error:
        push_through(registry, "faults/immutable", image, make_client(), rule)
    assert error.value.code == "tag-immutable"


def test_an_upload_place_on_another_host_gets_no_credentials(image: Image, make_client: MakeClient) -> None:
    def other_handler(request: Received) -> Reply:
        request.read_body()
        return Reply(status=202 if request.method == "PATCH" else 201, headers={"Location": request.path})

    def handler(request: Received) -> Reply:
        request.read_body()
        if "authorization" not in request.headers:
            return Reply(status=401, headers={"WWW-Authenticate": 'Basic realm="test"'})
        if request.method == "POST":
            return Reply(status=202, headers={"Location": f"{other.url}/upload?state=1"})
        return Reply(status=404 if request.method == "HEAD" else 201)

    with serve(other_handler) as other, serve(handler) as server:
        environ = {"DOCKER_AUTH_CONFIG": f'{{"auths": {{"{server.address}": {{"auth": "bWU6czNjcmV0"}}}}}}'}
        push_image(make_client(environ), image, Repository(registry=server.address, name="app"), tags=("1",))
    assert [request for request in server.seen("PUT") if "authorization" in request.headers]
    assert len(other.seen("PUT", "digest=")) == 4
    assert not [request for request in other.received if "authorization" in request.headers]


def test_blobs_go_first_then_images_then_the_index_then_tags(
    registry: str, image: Image, make_client: MakeClient
) -> None:
    index = ImageIndex(images=(image, replace(image, platform=Platform.parse("linux/arm64"))))
    with fault_proxy(registry) as proxy:
        repository = Repository(registry=proxy.address, name="faults/order")
        push_image(make_client(), index, repository, tags=("1.0", "latest"))
    puts = [request.path.rpartition("/")[2] for request in proxy.seen("PUT")]
    blobs = sum("digest=" in name for name in puts)
    assert blobs == 5  # three layers, two configs
    assert all("digest=" in name for name in puts[:blobs])
    assert set(puts[blobs : blobs + 2]) == {str(each.digest) for each in index.images}
    assert puts[blobs + 2 :] == [str(index.digest), "1.0", "latest"]


# Killed pushes


def test_a_push_that_ends_at_any_request_leaves_no_tag_on_something_incomplete(
    registry: str, image: Image, make_client: MakeClient
) -> None:
    whole = push_through(registry, "faults/whole", image, make_client(), lambda _: None)
    for step in range(len(whole)):
        count = itertools.count()

        def rule(_: Received, step: int = step, count: itertools.count[int] = count) -> Drop | None:
            return Drop(after=1000) if next(count) >= step else None

        name = f"faults/ended-{step}"
        with pytest.raises(NetworkError):
            push_through(registry, name, image, make_client(), rule)
        if list_tags(make_client(), Repository(registry=registry, name=name)):
            assert_whole(registry, name, image, make_client())


_PUSH_SCRIPT = """
import sys
from pathlib import Path
from shipwheel.cache import Cache
from shipwheel.net import Http
from shipwheel.oci.layout import read_layout
from shipwheel.oci.registry import RegistryClient, Repository, push_image
address, name, folder = sys.argv[1:]
with Http({}) as http:
    client = RegistryClient.from_environ({}, http, Cache(Path(folder) / "cache"))
    push_image(client, read_layout(Path(folder) / "layout"), Repository(registry=address, name=name), tags=("1.0",))
"""


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("step", [2, 5, 9, 14, 19, 22])
def test_a_killed_push_leaves_no_broken_tag_and_the_next_one_mends_it(
    registry: str, image: Image, make_client: MakeClient, tmp_path: Path, step: int, signal_number: int
) -> None:
    write_layout(tmp_path / "layout", image)
    started = threading.Event()
    process: list[subprocess.Popen[bytes]] = []
    count = itertools.count(1)

    def rule(_: Received) -> None:
        if next(count) == step:
            started.wait(30)
            os.kill(process[0].pid, signal_number)

    name = f"faults/killed-{signal_number}-{step}"
    with fault_proxy(registry, rule) as proxy:
        command = [sys.executable, "-c", _PUSH_SCRIPT, proxy.address, name, str(tmp_path)]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as running:
            process.append(running)
            started.set()
            running.communicate()
    if list_tags(make_client(), Repository(registry=registry, name=name)):
        assert_whole(registry, name, image, make_client())
    push_image(make_client(), image, Repository(registry=registry, name=name), tags=("1.0",))
    assert_whole(registry, name, image, make_client())


# Pulls


@pytest.fixture
def pushed(registry: str, image: Image, make_client: MakeClient, request: pytest.FixtureRequest) -> str:
    """The name of a repository that has the image as 1.0."""
    name = f"faults/{request.node.name.lower().replace('[', '-').replace(']', '')}"
    push_image(make_client(), image, Repository(registry=registry, name=name), tags=("1.0",))
    return name


def pull_through(registry: str, name: str, client: RegistryClient, rule: Rule) -> list[Received]:
    """Pull `name`:1.0 with all its layers through a proxy with `rule`; return what it received."""
    with fault_proxy(registry, rule) as proxy:
        pulled = pull_image(client, Reference.parse(f"{proxy.address}/{name}:1.0"))
        for _, blob in pulled.blobs():  # type: ignore[union-attr]  # an image, as it was pushed
            blob.open().close()
        assert validate_image(pulled) == []
        return proxy.received


def of_large_blob(request: Received, image: Image) -> bool:
    return request.method == "GET" and request.path.endswith(image.layers[2].descriptor.digest.hex)


def test_a_pull_that_is_cut_goes_on_where_it_was(
    registry: str, image: Image, pushed: str, make_client: MakeClient
) -> None:
    times = Times()

    def rule(request: Received) -> Change | None:
        cut = of_large_blob(request, image) and times.first(2)
        return Change(reply=lambda reply: replace(reply, cut_after=2_000_000)) if cut else None

    received = pull_through(registry, pushed, make_client(), rule)
    ranges = [request.headers.get("range") for request in received if of_large_blob(request, image)]
    assert ranges[0] is None
    assert len(ranges) == 3 and all(item is not None for item in ranges[1:])


@pytest.mark.parametrize("status", [429, 500, 502])
def test_a_pull_outlasts_a_busy_registry(
    registry: str, image: Image, pushed: str, make_client: MakeClient, status: int
) -> None:
    count = itertools.count()
    pull_through(
        registry, pushed, make_client(), lambda _: Reply(status=status) if next(count) % 2 == 0 else None
    )


@pytest.mark.parametrize("part", ["manifests", "blobs"])
def test_other_bytes_than_the_digest_says_are_refused_and_not_kept(
    registry: str, image: Image, pushed: str, make_client: MakeClient, tmp_path: Path, part: str
) -> None:
    def spoil(reply: Reply) -> Reply:
        return replace(reply, body=reply.body[:-1] + bytes([reply.body[-1] ^ 1]))

    client = make_client()
    with pytest.raises(IntegrityError) as error:
        pull_through(
            registry,
            pushed,
            client,
            lambda request: Change(reply=spoil) if f"/{part}/" in request.path else None,
        )
    assert error.value.code == "wrong-digest"
    for digest in (image.config_blob().digest, *(layer.descriptor.digest for layer in image.layers)):
        assert client.cache.file(digest.algorithm, digest.hex) is None


def test_a_blob_that_is_shorter_than_the_manifest_says_is_refused(
    registry: str, image: Image, pushed: str, make_client: MakeClient
) -> None:
    def shorten(reply: Reply) -> Reply:
        return Reply(status=200, body=reply.body[:100])

    def rule(request: Received) -> Change | None:
        return Change(reply=shorten) if of_large_blob(request, image) else None

    with pytest.raises(NetworkError) as error:
        pull_through(registry, pushed, make_client(), rule)
    assert error.value.code == "cut-short"


def test_a_pull_that_was_killed_leaves_nothing_that_is_taken_for_a_blob(
    registry: str, image: Image, pushed: str, tmp_path: Path
) -> None:
    script = f"""
import os, sys
from pathlib import Path
from shipwheel.cache import Cache
from shipwheel.net import Http
from shipwheel.oci.reference import Reference
from shipwheel.oci.registry import RegistryClient, pull_image
with Http({{}}) as http:
    client = RegistryClient.from_environ({{}}, http, Cache(Path({str(tmp_path / "kill-cache")!r})))
    kill = lambda descriptor, count: os.kill(os.getpid(), 9) if descriptor.size > 100_000 else None
    image = pull_image(client, Reference.parse(sys.argv[1]), on_bytes=kill)
    for _, blob in image.blobs():
        blob.open().close()
"""
    done = subprocess.run([sys.executable, "-c", script, f"{registry}/{pushed}:1.0"], check=False)
    assert done.returncode == -signal.SIGKILL
    digest = image.layers[2].descriptor.digest
    assert Cache(tmp_path / "kill-cache").file(digest.algorithm, digest.hex) is None
