"""Layers of images pushed before, so that a machine with an empty cache makes only what changed.

A manifest's layers carry their keys as annotations, and its config their diff_ids: a layer is known
whole before one byte of it is here, and a push to the same registry never needs one. What is taken
from an image is trusted as whoever may write its tag is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import BinaryIO, Final

from shipwheel.assemble.book import KEY_ANNOTATION, LayerBook, PastImage
from shipwheel.errors import ImageError, NetworkError
from shipwheel.oci.layer import MACHINES
from shipwheel.oci.model import Layer, Platform
from shipwheel.oci.read import LoadedImage, read_platform
from shipwheel.oci.reference import Reference
from shipwheel.oci.registry.client import RegistryClient, Repository
from shipwheel.oci.registry.pull import OnBytes, RegistryBlob, RegistrySource, resolve
from shipwheel.plan.inputs import INPUTS_ANNOTATION, LayerInputs

_JOBS: Final = 4
LAYER_IS_GONE: Final = "layer-is-gone"


@dataclass(frozen=True, slots=True)
class ReusedBlob(RegistryBlob):
    """A layer of a past image, downloaded when it is opened; `on_lost` hears of one that cannot be."""

    on_lost: Callable[[], None] | None = field(default=None, repr=False)

    def open(self) -> BinaryIO:
        """Open it; raises NetworkError `layer-is-gone` when its registry has lost it."""
        try:
            return RegistryBlob.open(self)
        except NetworkError as error:
            if error.code != "registry-unknown":
                raise
            if self.on_lost is not None:
                self.on_lost()
            raise NetworkError(
                LAYER_IS_GONE,
                "an image that layers are reused from has lost one of them",
                place=f"{self.repository}@{self.digest}",
                hint="--no-cache makes every layer anew",
            ) from error


def read_past_images(
    client: RegistryClient,
    reference: Reference,
    platforms: Sequence[Platform],
    *,
    on_bytes: OnBytes | None = None,
    on_lost: Callable[[str], None] | None = None,
) -> list[PastImage]:
    """Return what the image that `reference` names now has for each of `platforms`; [] where there is none.

    `on_lost` gets the key of a layer that turns out not to be there when it is opened. Fetches manifests and configs alone. Raises NetworkError, ImageError, IntegrityError.
    """
    try:
        descriptor = resolve(client, reference)
    except NetworkError as error:
        if error.code == "registry-unknown":
            return []
        raise
    repository = Repository.of(reference)
    found = []
    for platform in platforms:
        try:
            image = read_platform(descriptor, RegistrySource(client, repository), platform)
        except ImageError as error:
            if error.code != "no-such-platform":
                raise
        else:
            past = _past_image(
                image,
                str(reference),
                client=client,
                repository=repository,
                on_bytes=on_bytes,
                on_lost=on_lost,
            )
            found.append(past)
    return found


def forget_lost(book: LayerBook) -> None:
    """Forget each offered layer that its registry says it has not got: where one is lost, others may be.

    Raises NetworkError where a registry gives no answer.
    """

    def look(item: tuple[str, Layer]) -> None:
        key, layer = item
        blob = layer.blob
        if isinstance(blob, ReusedBlob):
            answer = blob.client.call("HEAD", blob.repository, f"blobs/{blob.digest}", redirects=False)
            if answer.status == 404:
                book.forget(key)

    with ThreadPoolExecutor(_JOBS, thread_name_prefix="look") as pool:
        for _ in pool.map(look, book.offered()):
            pass


def _past_image(
    image: LoadedImage,
    where: str,
    *,
    client: RegistryClient,
    repository: Repository,
    on_bytes: OnBytes | None,
    on_lost: Callable[[str], None] | None,
) -> PastImage:
    layers: dict[str, Layer] = {}
    inputs = []
    for layer in image.layers:
        annotations = layer.descriptor.annotations
        if (found := LayerInputs.parse(annotations.get(INPUTS_ANNOTATION, ""))) is not None:
            inputs.append(found)
        key = annotations.get(KEY_ANNOTATION)
        if key is None:
            continue
        # What this run would say of the layer itself, and nothing that another version said of it.
        kept = {name: annotations[name] for name in (KEY_ANNOTATION, MACHINES) if name in annotations}
        descriptor = replace(layer.descriptor, annotations=kept)
        gone = None if on_lost is None else partial(on_lost, key)
        blob = ReusedBlob(client, repository, descriptor, on_bytes, gone)
        layers[key] = replace(layer, descriptor=descriptor, blob=blob)
    return PastImage(
        where=where,
        platform=image.platform,
        layers=layers,
        inputs=tuple(inputs),
        keys=frozenset(layers),
        origin=(repository, image.digest),
    )
