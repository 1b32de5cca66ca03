"""Attach documents to an image in a registry, and find those attached (OCI 1.1 referrers).

An artifact refers to the image by its digest; the image does not know of it. Registries without the
referrers API get the tag fallback (`oci.registry.referrers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shipwheel.errors import ImageError
from shipwheel.oci.files import read_blob
from shipwheel.oci.model import Blob, BytesBlob, Descriptor, Digest
from shipwheel.oci.read import parse_json_object
from shipwheel.oci.registry import (
    RegistryClient,
    RegistrySource,
    Repository,
    list_referrers,
    push_referrer,
)
from shipwheel.supply import provenance, sbom
from shipwheel.supply.parts import MEDIA_TYPE as PARTS_TYPE

# The key under which BuildKit and cosign say what kind of statement an attestation is.
_PREDICATE_TYPE: Final = "in-toto.io/predicate-type"
_TITLE: Final = "org.opencontainers.image.title"
# A list of components of ten thousand packages has about 5 MB.
_MAX_DOCUMENT: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Something to attach: its bytes and media type, a file name for people, and annotations.

    `beside` lies in the same artifact, behind it: what the next build wants to know of the document.
    """

    media_type: str
    title: str
    data: bytes
    predicate: str | None = None
    beside: Document | None = None

    @classmethod
    def sbom(cls, data: bytes, *, parts: bytes) -> Document:
        """Return a list of components as a document, and the `parts` that it was made of."""
        inventory = cls(media_type=PARTS_TYPE, title="inventory.json", data=parts)
        return cls(media_type=sbom.MEDIA_TYPE, title="sbom.cdx.json", data=data, beside=inventory)

    @classmethod
    def provenance(cls, data: bytes) -> Document:
        """Return a provenance statement as a document."""
        return cls(
            media_type=provenance.MEDIA_TYPE,
            title="provenance.intoto.json",
            data=data,
            predicate=provenance.PREDICATE,
        )

    def blobs(self) -> list[tuple[Descriptor, Blob]]:
        """Return what its artifact holds."""
        blob = BytesBlob(self.data)
        annotations = {_TITLE: self.title, **self.annotations}
        descriptor = Descriptor(
            media_type=self.media_type, digest=blob.digest, size=blob.size, annotations=annotations
        )
        return [(descriptor, blob), *(self.beside.blobs() if self.beside is not None else [])]

    @property
    def annotations(self) -> dict[str, str]:
        """What the artifact's manifest says of itself, so that a list tells documents apart."""
        return {} if self.predicate is None else {_PREDICATE_TYPE: self.predicate}


def attach(
    client: RegistryClient, repository: Repository, subject: Descriptor, documents: Sequence[Document]
) -> tuple[Descriptor, ...]:
    """Attach `documents` to the manifest or index `subject`; return the artifacts' descriptors.

    The same document attached again is the same artifact. Raises as `push_referrer`.
    """
    return tuple(
        push_referrer(
            client,
            repository,
            subject,
            document.media_type,
            document.blobs(),
            annotations=document.annotations,
        )
        for document in documents
    )


def find_attached(
    client: RegistryClient,
    repository: Repository,
    digest: Digest,
    media_type: str,
    *,
    part: str | None = None,
) -> tuple[bytes, ...]:
    """Return the documents of `media_type` that are attached to `digest`, each checked by its hash.

    With `part`, what lies beside them under that media type instead. Whoever may push to the repository may attach: this says what is there, not who wrote it. Raises
    as `list_referrers`, ImageError, IntegrityError.
    """
    source = RegistrySource(client, repository)
    found: list[bytes] = []
    for artifact in list_referrers(client, repository, digest, artifact_type=media_type):
        with source.open(artifact).open() as file:
            manifest = parse_json_object(file.read(), code="bad-manifest", place=str(artifact.digest))
        layers = manifest.get("layers")
        if not isinstance(layers, list):
            raise ImageError("bad-manifest", "an artifact without layers", place=str(artifact.digest))
        found += [
            read_blob(layer, source, limit=_MAX_DOCUMENT)
            for layer in map(Descriptor.from_json, layers)
            if layer.media_type == (part or media_type)
        ]
    return tuple(found)
