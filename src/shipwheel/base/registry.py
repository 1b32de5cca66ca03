"""A base from a registry: pin it by digest with what is in it, and open its layers when they are needed."""

from __future__ import annotations

from collections.abc import Sequence

from shipwheel.base.locked import lock_platform, locked_layers
from shipwheel.base.model import ImageBase
from shipwheel.oci.model import Layer, Platform
from shipwheel.oci.reference import Reference
from shipwheel.oci.registry.client import RegistryClient, Repository
from shipwheel.oci.registry.pull import OnBytes, RegistrySource, resolve


def lock_image_base(
    reference: str, platforms: Sequence[Platform], client: RegistryClient, *, on_bytes: OnBytes | None = None
) -> ImageBase:
    """Resolve `reference` now, and pin for each platform the manifest, layers and what is in them.

    A digest in `reference` is what gets pinned; its tag is then for people. Layers are downloaded once,
    to be looked into. Raises UsageError `bad-reference`, NetworkError (`registry-unknown`, ...),
    IntegrityError, TargetError `base-without-platform` and those of `inspect_image`.
    """
    named = Reference.parse(reference)
    descriptor = resolve(client, named)
    source = RegistrySource(client, Repository.of(named), on_bytes)
    return ImageBase(
        kind="registry",
        reference=reference,
        digest=str(descriptor.digest),
        platforms=tuple(
            lock_platform(descriptor, source, platform, client.cache, place=reference)
            for platform in sorted(platforms)
        ),
    )


def open_registry_layers(
    base: ImageBase, platform: Platform, client: RegistryClient, *, on_bytes: OnBytes | None = None
) -> list[Layer]:
    """Return the locked layers of `base` for `platform`, bottom-up, as they are in the registry.

    Nothing is fetched before a layer's blob is opened; then it is checked against the lock. A push to
    the same registry mounts them, without a byte passing here. Raises TargetError `base-not-locked`.
    """
    repository = Repository.of(Reference.parse(base.reference))
    return locked_layers(base, platform, RegistrySource(client, repository, on_bytes))
