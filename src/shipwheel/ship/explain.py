"""Why each layer is what it is: reused from where, or made because of what. Pure, and text for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from shipwheel.assemble.book import KEY_ANNOTATION, LayerBook, PastImage
from shipwheel.oci.model import Image
from shipwheel.plan.inputs import INPUTS_ANNOTATION, LayerInputs, explain_change
from shipwheel.plan.model import BuildPlan

Origin = Literal["made", "cache", "image", "base"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStory:
    """Where a layer came from: made here, this machine's `cache`, an `image` (named by `where`), or as it
    is in the `base`. `because` says what made it another one than before; `size` in bytes.
    """

    name: str
    kind: str
    digest: str
    size: int
    origin: Origin
    where: str | None = None
    because: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "digest": self.digest,
            "size": self.size,
            "origin": self.origin,
            "where": self.where,
            "because": list(self.because),
        }

    def __str__(self) -> str:
        what = {
            "made": "made",
            "cache": "reused from this machine's cache",
            "image": f"reused from {self.where}",
            "base": "as it is in the base",
        }[self.origin]
        return f"{self.name}: {what}" + (f", because {', '.join(self.because)}" if self.because else "")


def explain_image(
    plan: BuildPlan, image: Image, book: LayerBook, past: PastImage | None, *, fresh: bool
) -> tuple[LayerStory, ...]:
    """Return the story of each layer, from the bottom up, told against `past`.

    `fresh`: the user wanted every layer made anew.
    """
    stories = []
    for planned, layer in zip(plan.layers, image.layers, strict=True):
        annotations = layer.descriptor.annotations
        told = book.origin(annotations.get(KEY_ANNOTATION, ""))
        origin: Origin = "base" if told is None else "image"
        if told in ("made", "cache"):
            origin = "made" if told == "made" else "cache"
        because: tuple[str, ...] = ()
        if origin == "made":
            inputs = LayerInputs.parse(annotations.get(INPUTS_ANNOTATION, ""))
            key = annotations.get(KEY_ANNOTATION, "")
            because = _reasons(key, inputs, past, fresh=fresh)
        stories.append(
            LayerStory(
                name=planned.name,
                kind=planned.kind,
                digest=str(layer.descriptor.digest),
                size=layer.descriptor.size,
                origin=origin,
                where=told if origin == "image" else None,
                because=because,
            )
        )
    return tuple(stories)


def _reasons(key: str, inputs: LayerInputs | None, past: PastImage | None, *, fresh: bool) -> tuple[str, ...]:
    if fresh:
        return ("--no-cache asks for it",)
    if past is None or inputs is None:
        return ("no earlier image is known here",)
    if key in past.keys:
        return (f"it is as in {past.where}, whose layers are not here any more",)
    return explain_change(inputs, past.inputs) or ("something changed that has no name here",)
