"""What is in an image, as data: configuration, layers and what they hold, packages, sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from shipwheel.inventory import Inventory, layer_key, layer_title, read_inventory
from shipwheel.oci.read import LoadedImage
from shipwheel.oci.tree import read_tree
from shipwheel.plan.inputs import INPUTS_ANNOTATION, LayerInputs


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDescription:
    """One layer. `size` and `files` in bytes and files (None: not read); `packages` are `name version`.

    `slim` says what was left out of which package.
    """

    digest: str
    diff_id: str
    size: int
    created_by: str
    kind: str | None = None
    key: str | None = None
    packages: Sequence[str] = ()
    files: int | None = None
    unpacked: int | None = None
    slim: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """An image for one platform. `size` are the bytes a node pulls that has nothing of it."""

    digest: str
    platform: str
    created: str | None
    size: int
    config: Mapping[str, Any]
    annotations: Mapping[str, str]
    layers: Sequence[LayerDescription]
    inventory: Inventory | None = None
    unpacked: int | None = None


def describe_image(image: LoadedImage, *, place: str, contents: bool = True) -> Description:
    """Return what is in `image`; without `contents` no layer is read, and packages are as the layers say.

    Raises as `oci.tree.read_tree`.
    """
    tree = read_tree(image.layers) if contents else None
    inventory = None if tree is None else read_inventory(image, place=place, tree=tree)
    packages = _packages_by_layer(inventory, len(image.layers))
    counts = [[0, 0] for _ in image.layers]
    for _, node in tree.walk() if tree is not None else ():
        if node.kind == "file" and 0 <= node.layer < len(counts):
            counts[node.layer][0] += 1
            counts[node.layer][1] += node.size
    layers = []
    for number, layer in enumerate(image.layers):
        inputs = LayerInputs.parse(layer.descriptor.annotations.get(INPUTS_ANNOTATION, ""))
        told = _told_packages(inputs) if inputs is not None and inventory is None else packages[number]
        layers.append(
            LayerDescription(
                digest=str(layer.descriptor.digest),
                diff_id=str(layer.diff_id),
                size=layer.descriptor.size,
                created_by=layer_title(layer),
                kind=None if inputs is None else inputs.kind,
                key=layer_key(layer),
                packages=told,
                files=None if tree is None else counts[number][0],
                unpacked=None if tree is None else counts[number][1],
                slim={} if inputs is None else inputs.slimmed,
            )
        )
    return Description(
        digest=str(image.digest),
        platform=str(image.platform),
        created=image.image.created,
        size=sum(layer.descriptor.size for layer in image.layers)
        + image.config_descriptor.size
        + image.descriptor.size,
        config=image.image.config.to_json(),
        annotations=dict(sorted(image.image.annotations.items())),
        layers=tuple(layers),
        inventory=inventory,
        unpacked=None if tree is None else sum(size for _, size in counts),
    )


def description_to_json(description: Description) -> dict[str, Any]:
    """Return the description as JSON values."""
    inventory = description.inventory
    runtime = None if inventory is None else inventory.runtime
    data: dict[str, Any] = {
        "digest": description.digest,
        "platform": description.platform,
        "created": description.created,
        "size": description.size,
        "unpacked": description.unpacked,
        "config": dict(description.config),
        "annotations": dict(description.annotations),
        "layers": [
            {key: list(value) if key == "packages" else value for key, value in asdict(layer).items()}
            for layer in description.layers
        ],
    }
    if inventory is not None:
        data["python"] = None if runtime is None else asdict(runtime)
        data["os"] = dict(inventory.os)
        data["packages"] = {
            "python": [
                {
                    "name": package.name,
                    "version": package.version,
                    "license": package.license or (", ".join(package.license_names) or None),
                    "layer": package.layer,
                }
                for package in inventory.python
            ],
            "debian": [
                {
                    "name": package.name,
                    "version": package.version,
                    "architecture": package.architecture,
                    "layer": package.layer,
                }
                for package in inventory.system
            ],
        }
    return data


def _packages_by_layer(inventory: Inventory | None, count: int) -> list[list[str]]:
    found: list[list[str]] = [[] for _ in range(count)]
    if inventory is not None:
        for package in inventory.python:
            found[package.layer].append(f"{package.name} {package.version}")
        for system in inventory.system:
            found[system.layer].append(f"{system.name} {system.version}")
    return found


def _told_packages(inputs: LayerInputs) -> list[str]:
    return [f"{name} {value.partition(' sha')[0]}".strip() for name, value in sorted(inputs.packages.items())]
