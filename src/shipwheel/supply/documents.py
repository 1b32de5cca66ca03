"""The documents of an image: for one just built, with all that the locks know, and for any other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shipwheel.assemble.book import PastImage
from shipwheel.assemble.workshop import Once, Workshop
from shipwheel.cache import Cache
from shipwheel.errors import ImageError, IntegrityError, NetworkError
from shipwheel.inventory import Inventory, as_loaded, read_inventory
from shipwheel.lockfile import FILE, ShipwheelLock
from shipwheel.locks.model import Selected
from shipwheel.oci.model import Descriptor, Image
from shipwheel.oci.read import LoadedImage
from shipwheel.oci.reference import Reference
from shipwheel.oci.registry import RegistryClient, Repository
from shipwheel.plan.inputs import INPUTS_ANNOTATION, LayerInputs
from shipwheel.plan.model import BuildPlan
from shipwheel.supply.attach import Document, attach, find_attached
from shipwheel.supply.locked import Material, file_hashes, image_materials
from shipwheel.supply.parts import MEDIA_TYPE as PARTS_TYPE
from shipwheel.supply.parts import Parts, built_inventory, built_parts, read_parts, write_parts
from shipwheel.supply.provenance import Source, lock_hashes, make_provenance, read_invocation
from shipwheel.supply.sbom import MEDIA_TYPE as SBOM_TYPE
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


def built_sbom(built: BuiltImage, reference: Reference, cache: Cache, *, parts: Parts | None = None) -> bytes:
    """Return the list of components of an image just built, of whose `parts` is known what is in them.

    Without them, layers are read that `cache` does not know yet; one of a registry is fetched for it.
    """
    subject = _subject(as_loaded(built.image), reference, built.plan, built.materials)
    known = built_parts(built.image, built.plan, cache, {}) if parts is None else parts
    return make_sbom(built_inventory(built.image, built.plan, known), subject)


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
        slimmed=_slimmed(image),
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


def attest(
    images: Sequence[BuiltImage],
    reference: Reference,
    workshop: Workshop,
    *,
    past: Sequence[PastImage] = (),
) -> tuple[Descriptor, ...]:
    """Attach to each of `images`, pushed to `reference`'s repository before, its two documents.

    The images' digests stay. What is in layers that are not here is taken from the documents of `past`
    images that lent them, where they have any. Raises as `attach` and the reading of layers.
    """
    repository = Repository.of(reference)
    root, environ = workshop.project.root, workshop.environ
    key = f"attest {repository}"
    workshop.progress.started(key, f"components and provenance to {repository}")
    attached: list[Descriptor] = []
    lent = Once(lambda: _lent_parts(past, workshop.registry))
    for built in images:
        parts = built_parts(built.image, built.plan, workshop.cache, _Late(lent))
        documents = [
            Document.sbom(
                built_sbom(built, reference, workshop.cache, parts=parts), parts=write_parts(parts)
            ),
            Document.provenance(built_provenance(built, reference, root=root, environ=environ)),
        ]
        attached += attach(workshop.registry, repository, built.image.descriptor, documents)
    workshop.progress.finished(key, f"components and provenance to {repository}", note="attached")
    return tuple(attached)


class _Late(Mapping[str, Inventory]):
    """Parts that are asked for when the first of them is needed."""

    def __init__(self, parts: Callable[[], Parts]) -> None:
        self._parts = parts

    def __getitem__(self, key: str) -> Inventory:
        return self._parts()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts())

    def __len__(self) -> int:
        return len(self._parts())


def _lent_parts(past: Sequence[PastImage], client: RegistryClient) -> dict[str, Inventory]:
    found: dict[str, Inventory] = {}
    for image in past:
        if image.origin is None:
            continue
        repository, digest = image.origin
        try:
            documents = find_attached(client, repository, digest, SBOM_TYPE, part=PARTS_TYPE)
        except (NetworkError, ImageError, IntegrityError):  # then the layers themselves say it
            continue
        for document in documents:
            found |= read_parts(document)
    return found


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
        slimmed=_slimmed(image),
    )


def _slimmed(image: LoadedImage) -> dict[str, str]:
    """Return what the layers say was left out of which package."""
    found: dict[str, str] = {}
    for layer in image.layers:
        inputs = LayerInputs.parse(layer.descriptor.annotations.get(INPUTS_ANNOTATION, ""))
        found |= {} if inputs is None else inputs.slimmed
    return found


def _epoch(created: str | None) -> int:
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(created or "1970-01-01T00:00:00Z")
    except ValueError:
        return 0
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0, int(aware.timestamp()))
