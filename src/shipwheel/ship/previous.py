"""Which images made before lend their layers, and what an image is compared with. Makes no layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from packaging.version import InvalidVersion, Version

from shipwheel.assemble.book import KEY_ANNOTATION, PastImage
from shipwheel.assemble.workshop import Workshop
from shipwheel.errors import ImageError, NetworkError
from shipwheel.oci.model import Image, Platform
from shipwheel.oci.reference import Reference
from shipwheel.plan.inputs import INPUTS_ANNOTATION, LayerInputs

# Part of what a build leaves for the next one on this machine.
_RECORD = "built/2"


def learn_named(
    references: Sequence[Reference], platforms: Sequence[Platform], workshop: Workshop
) -> list[PastImage]:
    """Offer the layers of the images `references` to this run, and return the images.

    Only manifests and configs are fetched. One that is not there or cannot be read is said and stops
    nothing: a cache may be empty. Raises IntegrityError.
    """
    found: list[PastImage] = []
    for reference in references:
        try:
            images = _read(reference, platforms, workshop)
            why = "there is no such image"
        except (NetworkError, ImageError) as error:
            images, why = [], error.problems[0].message
        if not images:
            workshop.progress.said(f"note: {reference} lends no layers: {why}")
        found += images
    return found


def learn_replaced(
    references: Sequence[Reference], platforms: Sequence[Platform], workshop: Workshop
) -> list[PastImage]:
    """As `learn_named`, for the image that a push to `references` most likely replaces: the first there is
    of those, `latest`, and the highest version in the repository.

    Nothing is said where there is none, or where it cannot be read: the push will say why.
    """
    try:
        for reference in _candidates(references, workshop):
            if images := _read(reference, platforms, workshop):
                return images
    except (NetworkError, ImageError):
        return []
    return []


def learn_local(platform: Platform, workshop: Workshop) -> PastImage | None:
    """Return what the last build of this project on this machine was made of."""
    kept = workshop.cache.record(_record_key(platform, workshop))
    if not isinstance(kept, dict):
        return None
    inputs = [LayerInputs.parse(text) for text in kept["inputs"]]
    return PastImage(
        where="the last build here",
        platform=platform,
        layers={},
        inputs=tuple(item for item in inputs if item is not None),
        keys=frozenset(kept["keys"]),
    )


def remember_build(image: Image, workshop: Workshop) -> None:
    """Keep what `image` is made of, for `learn_local`."""
    annotations = [layer.descriptor.annotations for layer in image.layers]
    value = {
        "inputs": [item[INPUTS_ANNOTATION] for item in annotations if INPUTS_ANNOTATION in item],
        "keys": [item[KEY_ANNOTATION] for item in annotations if KEY_ANNOTATION in item],
    }
    workshop.cache.add_record(_record_key(image.platform, workshop), value)


def _read(reference: Reference, platforms: Sequence[Platform], workshop: Workshop) -> list[PastImage]:
    from shipwheel.assemble.reuse import read_past_images

    images = read_past_images(
        workshop.registry,
        reference,
        platforms,
        on_bytes=lambda _, size: workshop.book.count_fetched(size),
        on_lost=workshop.book.forget,
    )
    # Where every layer is to be made anew, it is still what the result is compared with.
    if not workshop.cache.fresh:
        for image in images:
            workshop.book.offer(image)
    return images


def _candidates(references: Sequence[Reference], workshop: Workshop) -> Iterator[Reference]:
    from shipwheel.oci.registry.client import Repository
    from shipwheel.oci.registry.pull import list_tags

    names = {Repository.of(reference): reference for reference in references}
    guesses = dict.fromkeys([*references, *(reference.with_tag("latest") for reference in names.values())])
    yield from guesses
    for repository, reference in names.items():
        versions = [
            (version, tag)
            for tag in list_tags(workshop.registry, repository)
            if (version := _version(tag)) is not None
        ]
        if versions:
            yield reference.with_tag(max(versions)[1])


def _version(tag: str) -> Version | None:
    try:
        return Version(tag)
    except InvalidVersion:
        return None


def _record_key(platform: Platform, workshop: Workshop) -> str:
    return f"{_RECORD} {workshop.project.root} {platform}"
