"""What refers to an image: attach an artifact to it, list what is attached (distribution-spec v1.1).

Registries without the referrers API get the specification's tag schema instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from shipwheel.errors import ImageError, NetworkError
from shipwheel.net import redact
from shipwheel.oci.model import INDEX, MANIFEST, Blob, BytesBlob, Descriptor, Digest, canonical_json
from shipwheel.oci.reference import Reference
from shipwheel.oci.registry.client import RegistryClient, Repository
from shipwheel.oci.registry.pull import RegistrySource, pages, resolve
from shipwheel.oci.registry.push import push_blobs, put_manifest

# image-spec manifest.md, "Guidance for an Empty Descriptor".
EMPTY: Final = BytesBlob(b"{}")
EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"
# So often a list is written again that somebody else replaced meanwhile.
_RACES: Final = 5


def artifact_manifest(
    subject: Descriptor | None,
    artifact_type: str,
    blobs: Sequence[tuple[Descriptor, Blob]],
    *,
    annotations: Mapping[str, str] | None = None,
) -> BytesBlob:
    """Return the manifest of an artifact that holds `blobs` and refers to `subject`, if to any."""
    empty = Descriptor(media_type=EMPTY_TYPE, digest=EMPTY.digest, size=EMPTY.size)
    data: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact_type,
        "config": empty.to_json(),
        "layers": [descriptor.to_json() for descriptor, _ in blobs] or [empty.to_json()],
    }
    if subject is not None:
        plain = Descriptor(media_type=subject.media_type, digest=subject.digest, size=subject.size)
        data["subject"] = plain.to_json()
    if annotations:
        data["annotations"] = dict(sorted(annotations.items()))
    return BytesBlob(canonical_json(data))


def push_referrer(
    client: RegistryClient,
    repository: Repository,
    subject: Descriptor,
    artifact_type: str,
    blobs: Sequence[tuple[Descriptor, Blob]],
    *,
    annotations: Mapping[str, str] | None = None,
) -> Descriptor:
    """Attach an artifact to `subject` in `repository` and return its manifest's descriptor.

    Where the registry does not know referrers, the index under the fallback tag gets an entry
    (distribution-spec, "Pushing Manifests with Subject"). Raises as `push_image`.
    """
    manifest = artifact_manifest(subject, artifact_type, blobs, annotations=annotations)
    descriptor = Descriptor(
        media_type=MANIFEST,
        digest=manifest.digest,
        size=manifest.size,
        artifact_type=artifact_type,
        annotations=dict(annotations or {}),
    )
    empty = Descriptor(media_type=EMPTY_TYPE, digest=EMPTY.digest, size=EMPTY.size)
    push_blobs(client, [*blobs, (empty, EMPTY)], repository)
    if not put_manifest(client, repository, descriptor, manifest, str(descriptor.digest)):
        _add_to_fallback(client, repository, subject.digest, descriptor)
    return descriptor


def list_referrers(
    client: RegistryClient, repository: Repository, digest: Digest, *, artifact_type: str | None = None
) -> Sequence[Descriptor]:
    """Return what refers to `digest`, of one type or all; empty when nothing does.

    Raises NetworkError (`registry-error`, ...) and ImageError `bad-descriptor`, `bad-index`.
    """
    found: list[Descriptor] = []
    for response in pages(client, repository, f"referrers/{digest}"):
        if response.status == 404:  # distribution-spec: no referrers API, use the tag schema
            found = _fallback(client, repository, digest)
            break
        if response.status != 200:
            raise client.refusal(response, repository, "list what refers to an image of")
        found += _descriptors(response.body, redact(response.url))
    # Filtered here: a registry need not do it.
    return [item for item in found if artifact_type is None or item.artifact_type == artifact_type]


def _add_to_fallback(
    client: RegistryClient, repository: Repository, digest: Digest, descriptor: Descriptor
) -> None:
    # Writers on this machine take turns. The specification has no way to hold the tag against others, so
    # what was written is read again, and whoever finds another's list without his own entry adds it.
    key = f"referrers {repository} {digest}"
    with client.blob_locks.hold("referrers", str(repository), str(digest)), client.cache.locked(key):
        for _ in range(_RACES):
            entries = _fallback(client, repository, digest)
            if any(entry.digest == descriptor.digest for entry in entries):
                return
            entries.append(replace(descriptor, platform=None))
            _put_fallback(client, repository, digest, entries)
        if any(entry.digest == descriptor.digest for entry in _fallback(client, repository, digest)):
            return
    raise NetworkError(
        "registry-error",
        "others keep replacing the list of what refers to the image",
        place=f"{repository}:{_fallback_tag(digest)}",
        hint="try again when they are done",
    )


def _put_fallback(
    client: RegistryClient, repository: Repository, digest: Digest, entries: Sequence[Descriptor]
) -> None:
    index = BytesBlob(
        canonical_json(
            {
                "schemaVersion": 2,
                "mediaType": INDEX,
                "manifests": [entry.to_json() for entry in sorted(entries, key=lambda item: item.digest)],
            }
        )
    )
    described = Descriptor(media_type=INDEX, digest=index.digest, size=index.size)
    put_manifest(client, repository, described, index, _fallback_tag(digest))


def _fallback(client: RegistryClient, repository: Repository, digest: Digest) -> list[Descriptor]:
    tag = _fallback_tag(digest)
    named = Reference(registry=repository.registry, repository=repository.name, tag=tag)
    try:
        descriptor = resolve(client, named)
    except NetworkError as error:
        if error.code == "registry-unknown":
            return []
        raise
    with RegistrySource(client, repository).open(descriptor).open() as file:
        return _descriptors(file.read(), str(named))


def _fallback_tag(digest: Digest) -> str:
    # distribution-spec, "Referrers Tag Schema": the algorithm to 32 characters, the digest to 64.
    return f"{digest.algorithm[:32]}-{digest.hex[:64]}"


def _descriptors(body: bytes, place: str) -> list[Descriptor]:
    try:
        manifests = json.loads(body)["manifests"]
        return [Descriptor.from_json(item) for item in manifests or ()]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ImageError("bad-index", "the list of referrers is malformed", place=place) from error
