"""How two images differ: packages, files, configuration, and what a node that has one must pull for the other.

Two images are compared by what is in them; an image and a plan by what the plan's locks say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from shipwheel.inventory import Inventory, layer_key, read_inventory
from shipwheel.oci.model import Layer
from shipwheel.oci.read import LoadedImage
from shipwheel.oci.tree import Node, Tree, iter_sources, read_tree
from shipwheel.plan.model import BuildPlan

Ecosystem = Literal["python", "debian"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageChange:
    """A package that is in one image alone, or in both at different versions. None: not there."""

    ecosystem: Ecosystem
    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """A path that is in one image alone (`before` or `after` None) or another thing; sizes in bytes."""

    path: str
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledLayer:
    """A layer that a node must pull: its title, and its bytes (None: not known before it is built)."""

    title: str
    size: int | None
    digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """From image A to image B. `files` is None where files are not known (a plan).

    `pull`: the layers of B that a node with A lacks; `shared` layers in number and bytes. `documents`
    are the bytes of B's manifest and configuration.
    """

    packages: Sequence[PackageChange]
    files: Sequence[FileChange] | None
    config: Sequence[tuple[str, Any, Any]]
    pull: Sequence[PulledLayer]
    shared: int
    shared_size: int
    documents: int = 0

    @property
    def pull_size(self) -> int:
        """Bytes to pull, as far as they are known."""
        return sum(layer.size or 0 for layer in self.pull) + self.documents

    @property
    def same(self) -> bool:
        """Whether nothing differs that was compared."""
        return not (self.packages or self.files or self.config or self.pull)


def diff_images(
    before: LoadedImage, after: LoadedImage, *, places: tuple[str, str], by_diff_id: bool = False
) -> Difference:
    """Return how `after` differs from `before`; all layers of both are read.

    `by_diff_id`: layers are the same where their unpacked bytes are, for images from an engine, whose
    packed layers nobody has. Raises as `oci.tree.read_tree`.
    """
    trees = (read_tree(before.layers), read_tree(after.layers))
    inventories = (
        read_inventory(before, place=places[0], tree=trees[0]),
        read_inventory(after, place=places[1], tree=trees[1]),
    )
    has = {_identity(layer, by_diff_id) for layer in before.layers}
    lacking = {
        _identity(layer, by_diff_id): layer
        for layer in after.layers
        if _identity(layer, by_diff_id) not in has
    }
    shared = [layer for layer in after.layers if _identity(layer, by_diff_id) in has]
    same = before.digest == after.digest
    return Difference(
        packages=tuple(_package_changes(_versions(inventories[0]), _versions(inventories[1]))),
        files=tuple(_file_changes(*trees)),
        config=tuple(_config_changes(before, after)),
        pull=tuple(
            PulledLayer(
                title=layer.created_by, size=layer.descriptor.size, digest=str(layer.descriptor.digest)
            )
            for layer in lacking.values()
        ),
        shared=len(shared),
        shared_size=sum(layer.descriptor.size for layer in shared),
        documents=0 if same else after.config_descriptor.size + after.descriptor.size,
    )


def diff_plan(before: LoadedImage, plan: BuildPlan, system: Mapping[str, str], *, place: str) -> Difference:
    """Return how the image of `plan` will differ from `before`; nothing is built.

    `system` are the Debian packages of the plan's base, name to version (empty where they are not
    known: then the image's count as unchanged). Layers are compared by their keys; those that follow
    from the project's own files are not known before they are built, and count as to be pulled.
    """
    inventory = read_inventory(before, place=place)
    versions = _versions(inventory)
    planned: dict[tuple[Ecosystem, str], str] = {
        ("python", wheel.name): wheel.version or "" for layer in plan.layers for wheel in layer.wheels
    }
    own = {package.name for package in inventory.python if package.first_party}
    # The project itself is no wheel of the plan, and its dynamic version is not known.
    if plan.mode == "wheel" and (plan.version is not None or plan.project in own):
        known = versions.get(("python", plan.project), "")
        planned["python", plan.project] = plan.version or known
    if system:
        planned |= {("debian", name): version for name, version in system.items()}
    else:
        planned |= {key: value for key, value in versions.items() if key[0] == "debian"}
    keys = {layer_key(layer): layer for layer in before.layers}
    digests = {str(layer.descriptor.digest): layer for layer in before.layers}
    found = [(layer, keys.get(layer.key) or digests.get(layer.key or "")) for layer in plan.layers]
    shared = [layer for planned_layer, layer in found if planned_layer.key and layer is not None]
    return Difference(
        packages=tuple(_package_changes(versions, planned)),
        files=None,
        config=(),
        pull=tuple(
            PulledLayer(title=layer.name, size=layer.size)
            for layer, known_layer in found
            if layer.key is None or known_layer is None
        ),
        shared=len(shared),
        shared_size=sum(layer.descriptor.size for layer in shared),
    )


def difference_to_json(difference: Difference) -> dict[str, Any]:
    """Return the difference as JSON values."""
    files = difference.files
    return {
        "same": difference.same,
        "packages": [
            {"ecosystem": item.ecosystem, "name": item.name, "before": item.before, "after": item.after}
            for item in difference.packages
        ],
        "config": [{"key": key, "before": old, "after": new} for key, old, new in difference.config],
        "files": None
        if files is None
        else [{"path": item.path, "before": item.before, "after": item.after} for item in files],
        "pull": {
            "size": difference.pull_size,
            "layers": [
                {"title": layer.title, "size": layer.size, "digest": layer.digest}
                for layer in difference.pull
            ],
            "shared": difference.shared,
            "shared_size": difference.shared_size,
        },
    }


def _identity(layer: Layer, by_diff_id: bool) -> object:
    return layer.diff_id if by_diff_id else layer.descriptor.digest


def _versions(inventory: Inventory) -> dict[tuple[Ecosystem, str], str]:
    python: dict[tuple[Ecosystem, str], str] = {
        ("python", package.name): package.version for package in inventory.python
    }
    return python | {("debian", package.name): package.version for package in inventory.system}


def _package_changes(
    before: Mapping[tuple[Ecosystem, str], str], after: Mapping[tuple[Ecosystem, str], str]
) -> Iterator[PackageChange]:
    for ecosystem, name in sorted(before.keys() | after.keys()):
        old, new = before.get((ecosystem, name)), after.get((ecosystem, name))
        if old != new:
            yield PackageChange(ecosystem=ecosystem, name=name, before=old, after=new)


def _config_changes(before: LoadedImage, after: LoadedImage) -> Iterator[tuple[str, Any, Any]]:
    old, new = (_flat(image.image.config.to_json()) for image in (before, after))
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield key, old.get(key), new.get(key)


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with a key for each variable and label."""
    flat = {key: value for key, value in config.items() if key not in ("Env", "Labels")}
    flat |= {f"Env {item.partition('=')[0]}": item.partition("=")[2] for item in config.get("Env") or ()}
    return flat | {f"Label {key}": value for key, value in (config.get("Labels") or {}).items()}


def _file_changes(before: Tree, after: Tree) -> Iterator[FileChange]:
    old, new = dict(before.walk()), dict(after.walk())
    doubtful = [
        path
        for path, node in new.items()
        if path in old and _may_differ(old[path], node, before.layers, after.layers)
    ]
    hashes = (_hashes(before, doubtful), _hashes(after, doubtful))
    differing = {path for path in doubtful if hashes[0].get(path) != hashes[1].get(path)}
    for path in sorted(old.keys() | new.keys()):
        was, now = old.get(path), new.get(path)
        same = was is not None and now is not None and _shape(was) == _shape(now)
        # A folder comes and goes with what is in it.
        alone = {node.kind for node in (was, now) if node is not None} if None in (was, now) else set()
        if (same and path not in differing) or alone == {"directory"}:
            continue
        yield FileChange(
            path=path, before=None if was is None else was.size, after=None if now is None else now.size
        )


def _shape(node: Node) -> tuple[object, ...]:
    return (node.kind, node.mode, node.size, node.link)


def _may_differ(old: Node, new: Node, before: Sequence[Layer], after: Sequence[Layer]) -> bool:
    """Whether only the bytes can tell two files apart; files of one and the same layer are the same."""
    if old.kind != "file" or _shape(old) != _shape(new) or old.source is None or new.source is None:
        return False
    same_layer = before[old.source[0]].diff_id == after[new.source[0]].diff_id
    return not (same_layer and old.source[1] == new.source[1])


def _hashes(tree: Tree, paths: Sequence[str]) -> dict[str, str]:
    wanted: dict[tuple[int, int], list[str]] = {}
    nodes = dict(tree.walk()) if paths else {}
    for path in paths:
        source = nodes[path].source
        if source is not None:
            wanted.setdefault(source, []).append(path)
    found: dict[str, str] = {}
    for source, _, content in iter_sources(tree.layers, wanted):
        hasher = hashlib.sha256()
        for chunk in content:
            hasher.update(chunk)
        found.update(dict.fromkeys(wanted[source], hasher.hexdigest()))
    return found
