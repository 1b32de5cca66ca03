"""What one run knows of layers beside the cache: those of images made before, and where each came from."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from shipwheel.oci.model import Digest, Layer, Platform
    from shipwheel.oci.registry.client import Repository
    from shipwheel.plan.inputs import LayerInputs

# The annotation that a manifest's layers carry, so that a machine with an empty cache knows them again.
KEY_ANNOTATION: Final = "io.shipwheel.layer.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class PastImage:
    """What is known of an image made before: `where` it is, its layers by key, and what they were made of.

    `keys` are those of all its layers, also of ones that cannot be had from there. `origin` is the
    repository of one in a registry, and its manifest's digest there.
    """

    where: str
    platform: Platform
    layers: Mapping[str, Layer]
    inputs: Sequence[LayerInputs]
    keys: frozenset[str]
    origin: tuple[Repository, Digest] | None = None


class LayerBook:
    """What one run knows of layers beside the cache. Thread-safe.

    Holds the layers of past images, and notes for each layer of this run where it came from.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offered: dict[str, tuple[Layer, str]] = {}
        self._origins: dict[str, str] = {}
        self._fetched = 0
        self._lost = 0
        # Repositories whose images lend layers, and the kits of build tools seen there (repository, name):
        # whether each is good.
        self.lenders: Sequence[Repository] = ()
        self.kits: dict[tuple[str, str], bool] = {}

    def offer(self, image: PastImage) -> None:
        """Take the layers of `image`; those of images offered before come first."""
        with self._lock:
            for key, layer in image.layers.items():
                self._offered.setdefault(key, (layer, image.where))

    def find(self, key: str) -> tuple[Layer, str] | None:
        """Return the layer with `key` and where it is."""
        with self._lock:
            return self._offered.get(key)

    def offered(self) -> tuple[tuple[str, Layer], ...]:
        """Return every layer that can be found, with its key."""
        with self._lock:
            return tuple((key, layer) for key, (layer, _) in self._offered.items())

    @property
    def lost(self) -> int:
        """How many layers were offered and then forgotten."""
        with self._lock:
            return self._lost

    def forget(self, key: str) -> None:
        """Offer the layer with `key` no more: who has it by name has not got its bytes."""
        with self._lock:
            if self._offered.pop(key, None) is not None:
                self._origins.pop(key, None)
                self._lost += 1

    @property
    def fetched(self) -> int:
        """Bytes of past images' layers that had to be downloaded after all."""
        with self._lock:
            return self._fetched

    def count_fetched(self, size: int) -> None:
        """Count bytes of a past image's layer that arrive here."""
        with self._lock:
            self._fetched += size

    def note(self, key: str, origin: str) -> None:
        """Remember where a layer came from: `made`, `cache`, or the image that has it."""
        with self._lock:
            self._origins.setdefault(key, origin)

    def origin(self, key: str) -> str | None:
        """Return where the layer came from."""
        with self._lock:
            return self._origins.get(key)
