"""Push images: every blob, then manifests by digest from the inside out, then the tags.

In this order nothing in a registry ever names what is not there, wherever a push ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final

from shipwheel.errors import IntegrityError
from shipwheel.oci.model import Blob, Descriptor, Digest
from shipwheel.oci.read import INDEX_TYPES, MANIFEST_TYPES, AnyImage, AnyIndex, all_blobs
from shipwheel.oci.reference import Reference
from shipwheel.oci.registry.client import RegistryClient, Repository
from shipwheel.oci.registry.pull import find_digest
from shipwheel.oci.registry.upload import Outcome, StoppedError, Uploader

_PUSH: Final = ("pull", "push")
_JOBS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What a push did: the manifest's descriptor, the tags that name it now, and each blob's outcome.

    `tags` were moved or made, `kept` named this digest before. When the manifest was there already no
    blob is looked at.
    """

    repository: Repository
    descriptor: Descriptor
    tags: Sequence[str]
    kept: Sequence[str]
    blobs: Sequence[tuple[Descriptor, Outcome]]

    @property
    def sent(self) -> int:
        """Bytes of the blobs that were uploaded."""
        return sum(descriptor.size for descriptor, outcome in self.blobs if outcome == "uploaded")


def push_image(
    client: RegistryClient,
    image: AnyImage | AnyIndex,
    repository: Repository,
    *,
    tags: Sequence[str] = (),
    sources: Sequence[Repository] = (),
    jobs: int = _JOBS,
    on_bytes: Callable[[Descriptor, int], None] | None = None,
) -> Pushed:
    """Push an image or an index into `repository` and let `tags` name it, in this order.

    `sources` are repositories (those of the same registry count) that blobs may be mounted from, beside
    those that they were pulled from. `jobs` blobs travel at once. Raises NetworkError
    (`registry-unauthorized`, `registry-denied`, `tag-immutable`, `digest-refused`, ...).
    """
    blobs, manifests = _parts(image)
    root = image.descriptor
    outcomes: Sequence[tuple[Descriptor, Outcome]] = ()
    if not _manifest_is_there(client, repository, root.digest):
        outcomes = push_blobs(client, blobs, repository, sources=sources, jobs=jobs, on_bytes=on_bytes)
        for descriptor, blob in manifests:
            put_manifest(client, repository, descriptor, blob, str(descriptor.digest))
    moved, kept = [], []
    descriptor, blob = manifests[-1]
    for tag in dict.fromkeys(tags):
        # Asked first: a registry with immutable tags refuses even to write what is there.
        named = Reference(registry=repository.registry, repository=repository.name, tag=tag)
        if find_digest(client, named) == root.digest:
            kept.append(tag)
        else:
            put_manifest(client, repository, descriptor, blob, tag)
            moved.append(tag)
    return Pushed(
        repository=repository, descriptor=root, tags=tuple(moved), kept=tuple(kept), blobs=tuple(outcomes)
    )


def push_blobs(
    client: RegistryClient,
    blobs: Sequence[tuple[Descriptor, Blob]],
    repository: Repository,
    *,
    sources: Sequence[Repository] = (),
    jobs: int = _JOBS,
    on_bytes: Callable[[Descriptor, int], None] | None = None,
) -> Sequence[tuple[Descriptor, Outcome]]:
    """Make `repository` have all `blobs` and return how, in their order; the first error ends all.

    Raises as `push_image`.
    """
    stop = threading.Event()
    uploader = Uploader(client=client, repository=repository, sources=sources, on_bytes=on_bytes, stop=stop)
    # The largest first: the last one to end is then a small one.
    ordered = sorted(blobs, key=lambda item: (-item[0].size, item[0].digest))
    pool = ThreadPoolExecutor(max_workers=max(1, jobs), thread_name_prefix="push")
    futures: dict[Digest, Future[Outcome]] = {}
    try:
        for descriptor, blob in ordered:
            futures[descriptor.digest] = pool.submit(uploader.ensure, descriptor, blob)
        wait(futures.values(), return_when=FIRST_EXCEPTION)
    except BaseException:
        # Ctrl-C: nobody waits for a thread that waits to try again.
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    if not all(future.done() and future.exception() is None for future in futures.values()):
        stop.set()
    pool.shutdown(wait=True, cancel_futures=stop.is_set())
    failed = [
        error
        for future in futures.values()
        if not future.cancelled()
        and (error := future.exception()) is not None
        and not isinstance(error, StoppedError)
    ]
    if failed:
        raise failed[0]
    return [(descriptor, futures[descriptor.digest].result()) for descriptor, _ in blobs]


def put_manifest(
    client: RegistryClient, repository: Repository, descriptor: Descriptor, blob: Blob, name: str
) -> bool:
    """Put a manifest or index under `name`, a tag or its digest; what it names must be there.

    Returns whether the registry took note of its `subject` (distribution-spec, `OCI-Subject`). Raises
    NetworkError (`tag-immutable`, ...), IntegrityError `wrong-digest` when it was stored as another.
    """
    with blob.open() as file:
        data = file.read()
    response = client.call(
        "PUT",
        repository,
        f"manifests/{name}",
        actions=_PUSH,
        headers={"Content-Type": descriptor.media_type},
        body=data,
    )
    if response.status not in (200, 201, 202):
        raise client.refusal(response, repository, f"push {name} to")
    told = response.headers.get("docker-content-digest")
    if (
        told is not None
        and told.startswith(f"{descriptor.digest.algorithm}:")
        and told != str(descriptor.digest)
    ):
        raise IntegrityError(
            "wrong-digest",
            f"the registry stored the manifest as {told[:80]}",
            place=f"{repository}@{descriptor.digest}",
            hint="look for a proxy that changes what passes through it",
        )
    return "oci-subject" in response.headers


def _manifest_is_there(client: RegistryClient, repository: Repository, digest: Digest) -> bool:
    accept = ", ".join([*sorted(MANIFEST_TYPES), *sorted(INDEX_TYPES)])
    response = client.call(
        "HEAD", repository, f"manifests/{digest}", actions=_PUSH, headers={"Accept": accept}
    )
    return response.status == 200


def _parts(
    image: AnyImage | AnyIndex,
) -> tuple[Sequence[tuple[Descriptor, Blob]], Sequence[tuple[Descriptor, Blob]]]:
    blobs: list[tuple[Descriptor, Blob]] = []
    manifests: list[tuple[Descriptor, Blob]] = []
    for item in all_blobs(image):
        is_manifest = item[0].media_type in MANIFEST_TYPES | INDEX_TYPES
        (manifests if is_manifest else blobs).append(item)
    return blobs, manifests
