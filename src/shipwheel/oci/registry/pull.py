"""Pull from a registry: names to descriptors, manifests and blobs by digest, each byte checked.

Blobs land in the cache and are downloaded when they are first opened; a manifest or blob that is
there already needs no network. `read` makes images of them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final
from urllib.parse import urljoin, urlsplit

from shipwheel.errors import ImageError, IntegrityError, NetworkError
from shipwheel.net import Response, origin, redact
from shipwheel.oci.files import MAX_MANIFEST
from shipwheel.oci.model import Blob, BytesBlob, Descriptor, Digest, Platform
from shipwheel.oci.read import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    LoadedImage,
    LoadedIndex,
    read_image,
    read_platform,
)
from shipwheel.oci.reference import Reference
from shipwheel.oci.registry.client import RegistryClient, Repository

_ACCEPT: Final = ", ".join([*sorted(MANIFEST_TYPES), *sorted(INDEX_TYPES)])
_GENERIC_TYPES: Final = frozenset({"", "application/json", "application/octet-stream", "text/plain"})
_NEXT: Final = re.compile(r"\s*<([^>]*)>\s*;\s*rel=\"?next\"?")
_MAX_PAGES: Final = 1000

# Bytes received of a blob; negative when a server made us start again.
OnBytes = Callable[[Descriptor, int], None]


@dataclass(frozen=True, slots=True)
class RegistryBlob:
    """A blob of a repository, downloaded into the cache when it is opened and not there yet."""

    client: RegistryClient = field(repr=False)
    repository: Repository
    descriptor: Descriptor
    on_bytes: OnBytes | None = field(default=None, repr=False)

    @property
    def digest(self) -> Digest:
        """Digest of the content."""
        return self.descriptor.digest

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.descriptor.size

    def open(self) -> BinaryIO:
        """Open the content, fetched and checked; raises as `fetch_blob`."""
        return fetch_blob(self.client, self.repository, self.descriptor, on_bytes=self.on_bytes)


@dataclass(frozen=True, slots=True)
class RegistrySource:
    """A repository as a `BlobSource`: manifests are fetched at once, blobs when they are opened."""

    client: RegistryClient = field(repr=False)
    repository: Repository
    on_bytes: OnBytes | None = field(default=None, repr=False)

    def open(self, descriptor: Descriptor) -> Blob:
        """Return the content; raises as `fetch_manifest`."""
        if descriptor.media_type in MANIFEST_TYPES | INDEX_TYPES:
            return BytesBlob(fetch_manifest(self.client, self.repository, descriptor))
        return RegistryBlob(self.client, self.repository, descriptor, self.on_bytes)


def resolve(client: RegistryClient, reference: Reference) -> Descriptor:
    """Return the descriptor of the manifest or index that `reference` names now (its digest wins).

    The digest is of the bytes received. Raises NetworkError (`registry-unknown`, ...), IntegrityError
    `wrong-digest`, ImageError `bad-manifest`, `blob-too-large`.
    """
    named = reference.with_default_tag()
    wanted = named.digest
    repository = Repository.of(reference)
    response = client.call("GET", repository, f"manifests/{wanted or named.tag}", headers={"Accept": _ACCEPT})
    if response.status != 200:
        raise client.refusal(response, repository, "pull")
    told = response.headers.get("docker-content-digest")
    if wanted is None and told is not None and told.startswith("sha256:"):
        wanted = Digest.parse(told)
    digest = _checked(response.body, wanted, str(named))
    descriptor = Descriptor(
        media_type=_media_type(response, str(named)), digest=digest, size=len(response.body)
    )
    if descriptor.size > MAX_MANIFEST:
        raise ImageError("blob-too-large", f"a manifest of {descriptor.size} bytes", place=str(named))
    _keep(client, digest, response.body)
    return descriptor


def find_digest(client: RegistryClient, reference: Reference) -> Digest | None:
    """Return the digest that the tag of `reference` has, None when there is no such tag or repository.

    Raises NetworkError `registry-unauthorized`, `registry-denied` and others.
    """
    named = reference.with_default_tag()
    repository = Repository.of(reference)
    response = client.call("HEAD", repository, f"manifests/{named.tag}", headers={"Accept": _ACCEPT})
    if response.status == 404:
        return None
    told = response.headers.get("docker-content-digest")
    if response.status == 200 and told is not None:
        return Digest.parse(told)
    if response.status not in (200, 400, 405):
        raise client.refusal(response, repository, "look at")
    try:  # a registry that answers no HEAD, or without the digest
        return resolve(
            client, Reference(registry=named.registry, repository=named.repository, tag=named.tag)
        ).digest
    except NetworkError as error:
        if error.code == "registry-unknown":
            return None
        raise


def fetch_manifest(client: RegistryClient, repository: Repository, descriptor: Descriptor) -> bytes:
    """Return the manifest at `descriptor`, from the cache or the registry, its digest checked.

    Raises NetworkError, IntegrityError `wrong-digest`, ImageError `blob-too-large`.
    """
    place = f"{repository}@{descriptor.digest}"
    if descriptor.size > MAX_MANIFEST:
        raise ImageError("blob-too-large", f"a manifest of {descriptor.size} bytes", place=place)
    path = client.cache.file(descriptor.digest.algorithm, descriptor.digest.hex)
    if path is not None:
        return path.read_bytes()
    response = client.call(
        "GET", repository, f"manifests/{descriptor.digest}", headers={"Accept": descriptor.media_type}
    )
    if response.status != 200:
        raise client.refusal(response, repository, "pull")
    _checked(response.body, descriptor.digest, place)
    _keep(client, descriptor.digest, response.body)
    return response.body


def fetch_blob(
    client: RegistryClient, repository: Repository, descriptor: Descriptor, *, on_bytes: OnBytes | None = None
) -> BinaryIO:
    """Open the blob from the cache, downloaded first when it is not there; one download at a time.

    Raises NetworkError (`registry-unknown`, `cut-short`, `too-large`, ...), IntegrityError `wrong-digest`.
    """
    digest = descriptor.digest
    with client.blob_locks.hold("pull", str(digest)):
        path = client.cache.file(digest.algorithm, digest.hex)
        if path is None:
            with client.cache.staging() as (staged, file):
                done = client.download(
                    repository,
                    f"blobs/{digest}",
                    file,
                    size=descriptor.size,
                    algorithm=digest.algorithm,
                    progress=None if on_bytes is None else lambda count: on_bytes(descriptor, count),
                )
                found = Digest(digest.algorithm, done.digests[digest.algorithm])
                if found != digest:
                    raise IntegrityError(
                        "wrong-digest",
                        f"a blob's digest is {found}",
                        place=f"{repository}@{digest}",
                        hint="the registry, or a proxy on the way, does not send what was asked for",
                    )
                path = client.cache.add_file(staged, digest.algorithm, digest.hex)
                client.note_blob(repository, digest)
    return path.open("rb")


def pull_image(
    client: RegistryClient, reference: Reference, *, on_bytes: OnBytes | None = None
) -> LoadedImage | LoadedIndex:
    """Read the image or index that `reference` names; layers are fetched when they are opened.

    Raises as `resolve` and `read_image`.
    """
    source = RegistrySource(client, Repository.of(reference), on_bytes)
    return read_image(resolve(client, reference), source)


def pull_platform(
    client: RegistryClient, reference: Reference, platform: Platform, *, on_bytes: OnBytes | None = None
) -> LoadedImage:
    """Read the image for `platform`; raises as `resolve` and `read_platform`."""
    source = RegistrySource(client, Repository.of(reference), on_bytes)
    return read_platform(resolve(client, reference), source, platform)


def list_tags(client: RegistryClient, repository: Repository) -> tuple[str, ...]:
    """Return all tags of `repository`, sorted; none when it does not exist.

    distribution-spec, "Listing Tags": pages are linked by RFC 8288 headers.
    """
    tags: set[str] = set()
    for response in pages(client, repository, "tags/list?n=1000"):
        if response.status == 404:
            break
        if response.status != 200:
            raise client.refusal(response, repository, "list the tags of")
        try:
            tags.update(str(tag) for tag in json.loads(response.body).get("tags") or ())
        except (ValueError, AttributeError, TypeError) as error:
            raise NetworkError(
                "registry-error", "the list of tags is malformed", place=redact(response.url)
            ) from error
    return tuple(sorted(tags))


def pages(client: RegistryClient, repository: Repository, path: str) -> Iterator[Response]:
    """Yield the answers of a listing, page after page, within the registry's own origin."""
    for _ in range(_MAX_PAGES):
        response = client.call("GET", repository, path)
        yield response
        link = _NEXT.match(response.headers.get("link", ""))
        if response.status != 200 or link is None:
            return
        path = urljoin(response.url, link[1])
        if urlsplit(path).scheme not in ("http", "https") or origin(path).host != origin(response.url).host:
            raise NetworkError(
                "redirect-refused", "a listing goes on at another host", place=redact(response.url)
            )


def _checked(data: bytes, wanted: Digest | None, place: str) -> Digest:
    algorithm = "sha256" if wanted is None else wanted.algorithm
    found = Digest(algorithm, hashlib.new(algorithm, data).hexdigest())
    if wanted is not None and found != wanted:
        raise IntegrityError(
            "wrong-digest",
            f"the manifest's digest is {found}, not {wanted}",
            place=place,
            hint="the registry, or a proxy on the way, does not send what was asked for",
        )
    return found


def _keep(client: RegistryClient, digest: Digest, data: bytes) -> None:
    with client.cache.staging() as (staged, file):
        file.write(data)
        file.close()
        client.cache.add_file(staged, digest.algorithm, digest.hex)


def _media_type(response: Response, place: str) -> str:
    told = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if told not in _GENERIC_TYPES:
        return told
    try:
        media_type = json.loads(response.body)["mediaType"]
    except (ValueError, KeyError, TypeError) as error:
        raise ImageError(
            "bad-manifest", "neither the registry nor the manifest says what it is", place=place
        ) from error
    return str(media_type)
