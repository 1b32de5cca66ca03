"""Build tools that travel with images: a kit is left beside an image, and a machine without any takes it.

A kit is an artifact (image-spec manifest.md, "Guidelines for Artifact Usage") under a tag of its own that
follows from its content, so it is written once and never moved. What it holds is believed by the hashes in
shipwheel.lock alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from shipwheel.errors import ImageError, IntegrityError, NetworkError
from shipwheel.oci.model import MANIFEST, Blob, Descriptor, Digest, FileBlob
from shipwheel.wheel.kit import KitFile, Kits, kit_name
from shipwheel.wheel.pins import BuildSystem

if TYPE_CHECKING:
    from shipwheel.assemble.workshop import Workshop
    from shipwheel.oci.registry.client import RegistryClient, Repository

KIT_TYPE: Final = "application/vnd.shipwheel.build-kit.v1"
_WHEEL_TYPE: Final = "application/zip"
_TITLE: Final = "org.opencontainers.image.title"
_PREFIX: Final = "shipwheel-kit-"


class RegistryKits:
    """Kits in the repositories that lend this run its layers."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._found: dict[KitFile, Repository] = {}

    def find(self, name: str) -> tuple[Sequence[KitFile], str] | None:
        """Return the files of the kit `name` and its reference, from the first repository that has it."""
        for repository in self._workshop.book.lenders:
            try:
                files = read_kit(self._workshop.registry, repository, name)
            except (NetworkError, ImageError, IntegrityError):  # the index has what it should have had
                continue
            if files is not None:
                self._found |= dict.fromkeys(files, repository)
                self._workshop.book.kits[str(repository), name] = True
                return files, f"{repository}:{_PREFIX}{name}"
        return None

    def fetch(self, file: KitFile) -> Path:
        """Return the path in the cache of a file that `find` gave; raises NetworkError, IntegrityError."""
        from shipwheel.oci.registry.pull import fetch_blob

        descriptor = _descriptor(file)
        fetch_blob(self._workshop.registry, self._found[file], descriptor).close()
        path = self._workshop.cache.file("sha256", file.sha256)
        if path is None:
            raise AssertionError("what was fetched is in the cache")
        return path

    def refuse(self, name: str) -> None:
        """Note that the kit `name` is of no use, so that a push leaves a good one."""
        for repository, found in list(self._workshop.book.kits):
            if found == name:
                self._workshop.book.kits[repository, name] = False


def read_kit(client: RegistryClient, repository: Repository, name: str) -> Sequence[KitFile] | None:
    """Return the files of the kit `name` in `repository`, None where there is none.

    Raises NetworkError, IntegrityError, ImageError `bad-manifest`, `bad-descriptor`.
    """
    from shipwheel.oci.read import parse_json_object
    from shipwheel.oci.reference import Reference
    from shipwheel.oci.registry.pull import RegistrySource, resolve

    tagged = Reference(registry=repository.registry, repository=repository.name, tag=f"{_PREFIX}{name}")
    try:
        descriptor = resolve(client, tagged)
    except NetworkError as error:
        if error.code == "registry-unknown":
            return None
        raise
    with RegistrySource(client, repository).open(descriptor).open() as file:
        manifest = parse_json_object(file.read(), code="bad-manifest", place=str(tagged))
    if manifest.get("artifactType") != KIT_TYPE or not isinstance(manifest.get("layers"), list):
        return None
    return [
        KitFile(filename=found.annotations.get(_TITLE, ""), sha256=found.digest.hex, size=found.size)
        for found in map(Descriptor.from_json, manifest["layers"])
        if found.digest.algorithm == "sha256"
    ]


def leave_kits(
    systems: Sequence[BuildSystem], repositories: Sequence[Repository], kits: Kits, workshop: Workshop
) -> None:
    """Leave the kits of `systems` in each of `repositories` where they are not, as far as they are here.

    A registry that does not take one is told of and stops nothing: what it is for can be had elsewhere.
    """
    for system in systems:
        files = kits.files(system)
        if not files:
            continue
        for repository in repositories:
            good = workshop.book.kits.get((str(repository), kit_name(system)))
            if good:
                continue
            try:
                _leave(kit_name(system), files, repository, kits, workshop, again=good is False)
            except NetworkError as error:
                workshop.progress.said(
                    f"note: {repository} does not keep what builds the project: {error.problems[0].message}"
                )


def _leave(
    name: str,
    files: Sequence[KitFile],
    repository: Repository,
    kits: Kits,
    workshop: Workshop,
    *,
    again: bool,
) -> None:
    from shipwheel.oci.reference import Reference
    from shipwheel.oci.registry.pull import find_digest
    from shipwheel.oci.registry.push import push_blobs, put_manifest
    from shipwheel.oci.registry.referrers import EMPTY, EMPTY_TYPE, artifact_manifest

    client, tag = workshop.registry, f"{_PREFIX}{name}"
    tagged = Reference(registry=repository.registry, repository=repository.name, tag=tag)
    there = find_digest(client, tagged)
    if there is not None and not again:
        return
    blobs: list[tuple[Descriptor, Blob]] = []
    for file in files:
        path = kits.path(file)
        if path is None:  # pruned this very moment
            return
        blobs.append((_descriptor(file), FileBlob(path, Digest("sha256", file.sha256), file.size)))
    manifest = artifact_manifest(None, KIT_TYPE, blobs)
    empty = Descriptor(media_type=EMPTY_TYPE, digest=EMPTY.digest, size=EMPTY.size)
    push_blobs(client, [*blobs, (empty, EMPTY)], repository)
    if there != manifest.digest:  # else its files alone were lost, and its tag may be immutable
        descriptor = Descriptor(media_type=MANIFEST, digest=manifest.digest, size=manifest.size)
        put_manifest(client, repository, descriptor, manifest, tag)


def _descriptor(file: KitFile) -> Descriptor:
    return Descriptor(
        media_type=_WHEEL_TYPE,
        digest=Digest("sha256", file.sha256),
        size=file.size,
        annotations={_TITLE: file.filename},
    )
