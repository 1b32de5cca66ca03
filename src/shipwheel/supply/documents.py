"""The documents of an image: for one just built, with all that the locks know, and for any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shipwheel.assemble.workshop import Workshop
from shipwheel.cache import Cache
from shipwheel.inventory import as_loaded, read_inventory
from shipwheel.lockfile import FILE, ShipwheelLock
from shipwheel.locks.model import Selected
from shipwheel.oci.model import Descriptor, Image
from shipwheel.oci.read import LoadedImage
from shipwheel.oci.reference import Reference
from shipwheel.oci.registry import Repository
from shipwheel.plan.model import BuildPlan
from shipwheel.supply.attach import Document, attach
from shipwheel.supply.locked import Material, file_hashes, image_materials
from shipwheel.supply.parts import built_inventory
from shipwheel.supply.provenance import Source, lock_hashes, make_provenance, read_invocation
from shipwheel.supply.sbom import Subject, make_sbom
from shipwheel.tags.facts import read_facts


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """An image just built, and what it was built from."""

    image: Image
    plan: BuildPlan
    selected: Sequence[Selected]
    lock: ShipwheelLock

    @property
    def materials(self) -> tuple[Material, ...]:
        """What it is made of, by hash."""
        return image_materials(self.plan, self.selected, self.lock)


def built_sbom(built: BuiltImage, reference: Reference, cache: Cache) -> bytes:
    """Return the list of components of an image just built.

    Layers are read that `cache` does not know yet; one that came from a registry is fetched for it.
    """
    subject = _subject(as_loaded(built.image), reference, built.plan, built.materials)
    return make_sbom(built_inventory(built.image, built.plan, cache), subject)


def image_sbom(image: LoadedImage, reference: Reference) -> bytes:
    """Return the list of components of an image that somebody built; the locked files' hashes are not in it."""
    labels = image.image.config.labels or {}
    subject = Subject(
        name=reference.name,
        digest=image.digest,
        platform=image.platform,
        title=labels.get("org.opencontainers.image.title"),
        version=labels.get("org.opencontainers.image.version"),
        epoch=_epoch(image.image.created),
    )
    return make_sbom(read_inventory(image, place=reference.name), subject)


def built_provenance(
    built: BuiltImage, reference: Reference, *, root: Path, environ: Mapping[str, str]
) -> bytes:
    """Return how an image was made, from the project in `root`."""
    image = as_loaded(built.image)
    source = Source(
        facts=read_facts(root, environ),
        files=lock_hashes(root, ["pyproject.toml", built.plan.lock.partition(" ")[0], FILE]),
    )
    return make_provenance(
        built.plan,
        built.materials,
        _subject(image, reference, built.plan, ()),
        source=source,
        invocation=read_invocation(environ),
    )


def attest(images: Sequence[BuiltImage], reference: Reference, workshop: Workshop) -> tuple[Descriptor, ...]:
    """Attach to each of `images`, pushed to `reference`'s repository before, its two documents.

    The images' digests stay. Raises as `attach` and the reading of layers.
    """
    repository = Repository.of(reference)
    root, environ = workshop.project.root, workshop.environ
    key = f"attest {repository}"
    workshop.progress.started(key, f"components and provenance to {repository}")
    attached: list[Descriptor] = []
    for built in images:
        documents = [
            Document.sbom(built_sbom(built, reference, workshop.cache)),
            Document.provenance(built_provenance(built, reference, root=root, environ=environ)),
        ]
        attached += attach(workshop.registry, repository, built.image.descriptor, documents)
    workshop.progress.finished(key, f"components and provenance to {repository}", note="attached")
    return tuple(attached)


def _subject(
    image: LoadedImage, reference: Reference, plan: BuildPlan, materials: Sequence[Material]
) -> Subject:
    return Subject(
        name=reference.name,
        digest=image.digest,
        platform=image.platform,
        title=plan.project,
        version=plan.version,
        epoch=plan.epoch,
        files=file_hashes(materials),
    )


def _epoch(created: str | None) -> int:
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(created or "1970-01-01T00:00:00Z")
    except ValueError:
        return 0
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0, int(aware.timestamp()))
