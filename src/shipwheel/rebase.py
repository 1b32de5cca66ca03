"""Put an image on a newer base: its own layers stay as they are, and nothing is built.

What those layers were made for has to be the same in both bases: the interpreter's full version and
path, the C library, the libraries by name, the accounts, and, where it was compiled ahead, every file of
the standard library. Anything else is refused: then the image has to be built.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from shipwheel.assemble.base import BaseMaker
from shipwheel.assemble.workshop import Workshop
from shipwheel.base.inspect import Contents, inspect_image
from shipwheel.base.model import Base, DebianBase, DebianPlatform
from shipwheel.errors import ImageError, Problem, TargetError
from shipwheel.inventory import as_loaded, layer_key, layer_title
from shipwheel.oci.model import Image, Layer, Platform, RunConfig
from shipwheel.oci.read import LoadedImage, platform_matches
from shipwheel.oci.tree import Tree, iter_sources, read_tree
from shipwheel.plan.base import locked_platform
from shipwheel.plan.inputs import INPUTS_ANNOTATION, LayerInputs

_BASE_NAME: Final = "org.opencontainers.image.base.name"
_BASE_DIGEST: Final = "org.opencontainers.image.base.digest"
_SONAME: Final = re.compile(r"lib[^/]+\.so\.\d+")
_ACCOUNTS: Final = ("etc/passwd", "etc/group")
# What the plan sets in every image, whatever the base says (`plan.planner`), and the values that it
# takes where the base says nothing.
_OWN: Final = frozenset({"HOME", "VIRTUAL_ENV", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH"})
_DEFAULTS: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBase:
    """A base for one platform: layers, what is in them, its variables, and its name and digest if it has any."""

    platform: Platform
    layers: Sequence[Layer]
    env: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    digest: str | None = None


def rebase_image(
    image: LoadedImage, base: NewBase, *, old_env: Mapping[str, str] | None, place: str
) -> Image:
    """Return `image` with the layers of `base` under its own.

    `old_env` are the variables of the base that it stands on now (None: not known). The layers of both
    bases are read, the image's own are not. Raises ImageError `not-rebasable`, `old-base-unknown`;
    TargetError `base-changed` with every difference that the image's own layers would not bear.
    """
    lower, upper = split_layers(image, place=place)
    if not platform_matches(base.platform, image.platform):
        raise TargetError(
            "base-changed", f"the base is for {base.platform}, the image for {image.platform}", place=place
        )
    _check(image, lower, upper, base, place)
    # A layer that both bases have stays as the image describes it: on the same base, the same digest.
    described = {layer.descriptor.digest: layer for layer in lower}
    layers = [described.get(layer.descriptor.digest, layer) for layer in base.layers]
    names = {_BASE_NAME: base.name, _BASE_DIGEST: base.digest}
    config = image.image.config
    env = merge_env(dict(config.env or ()), base.env, old_env, place=place)
    return replace(
        image.image,
        layers=(*layers, *upper),
        config=replace(
            config,
            env=tuple(sorted(env.items())),
            labels=None if config.labels is None else _named(config.labels, names),
        ),
        annotations=_named(image.image.annotations, names),
    )


def split_layers(image: LoadedImage, *, place: str) -> tuple[Sequence[Layer], Sequence[Layer]]:
    """Return the layers of the base and those that shipwheel put on it, known by their keys.

    Raises ImageError `not-rebasable` for an image of other make, and for one that an engine gave out.
    """
    layers = image.layers
    cut = next((number for number, layer in enumerate(layers) if not _of_base(layer)), 0)
    if cut:
        return layers[:cut], layers[cut:]
    raise ImageError(
        "not-rebasable",
        "which layers are the base's cannot be told: the image has no layer keys of shipwheel's",
        place=place,
        hint="take the image from its registry, a layout or an oci-archive; other formats lose annotations",
    )


def image_base(image: LoadedImage, *, name: str | None = None) -> NewBase:
    """Return an image as a base; `name` where it is from a registry, so that labels can tell it."""
    return NewBase(
        platform=image.platform,
        layers=tuple(
            replace(layer, descriptor=replace(layer.descriptor, annotations={})) for layer in image.layers
        ),
        env=dict(image.image.config.env or ()),
        name=name,
        digest=None if name is None else str(image.digest),
    )


def locked_base(base: Base, platform: Platform, workshop: Workshop) -> NewBase:
    """Return the base that a project's shipwheel.lock pins, its layers made or opened where needed.

    Raises as `BaseMaker.layers`, and TargetError `platform-not-in-base`.
    """
    layers = tuple(BaseMaker(base, platform, workshop).layers())
    locked = locked_platform(base, platform)
    if isinstance(base, DebianBase) or isinstance(locked, DebianPlatform):
        return NewBase(platform=platform, layers=layers)
    pairs = (item.partition("=") for item in locked.env)
    registry = base.kind == "registry"
    return NewBase(
        platform=platform,
        layers=layers,
        env={name: value for name, _, value in pairs},
        name=base.reference if registry else None,
        digest=locked.digest if registry else None,
    )


def merge_env(
    env: Mapping[str, str], new: Mapping[str, str], old: Mapping[str, str] | None, *, place: str
) -> dict[str, str]:
    """Return the image's variables on the new base: what the old base set, the new one sets now.

    What the project set itself stays. Raises ImageError `old-base-unknown` where that cannot be told.
    """
    if old is None:
        doubtful = sorted(name for name in new if name not in _OWN and not _says(env, name, new[name]))
        if doubtful:
            raise ImageError(
                "old-base-unknown",
                f"whether the project or the old base set {', '.join(doubtful)} cannot be told",
                place=place,
                hint="name the base that the image stands on: --old-base IMAGE",
            )
        return dict(env)
    merged = dict(env)
    for name in sorted((old.keys() | new.keys() | _DEFAULTS.keys()) - _OWN):
        was, now = old.get(name, _DEFAULTS.get(name)), new.get(name, _DEFAULTS.get(name))
        if name == "PATH" and was is not None and env.get(name, "").endswith(f":{was}"):
            # The environment's own folder stands in front of the base's.
            merged[name] = f"{env[name].removesuffix(was)}{now}"
        elif env.get(name) == was:
            if now is None:
                merged.pop(name, None)
            else:
                merged[name] = now
    return merged


def _says(env: Mapping[str, str], name: str, value: str) -> bool:
    return env.get(name) == value or (name == "PATH" and env.get(name, "").endswith(f":{value}"))


def _of_base(layer: Layer) -> bool:
    key = layer_key(layer)
    inputs = LayerInputs.parse(layer.descriptor.annotations.get(INPUTS_ANNOTATION, ""))
    # A Debian base is of our make too; a foreign base's layers have no key.
    return key is None or key.startswith("debian-") or (inputs is not None and inputs.kind == "base")


def _check(
    image: LoadedImage, lower: Sequence[Layer], upper: Sequence[Layer], base: NewBase, place: str
) -> None:
    old_tree, new_tree = read_tree(lower), read_tree(base.layers)
    old = _contents(image, lower, dict(image.image.config.env or ()), old_tree, place)
    new = _contents(image, base.layers, base.env, new_tree, base.name or "the new base")
    found = [
        f"{what} {was} → {now}"
        for what, was, now in (
            ("Python", old.python, new.python),
            ("the C library", old.libc, new.libc),
            ("the interpreter's path", old.executable, new.executable),
        )
        if was != now
    ]
    # The image's own etc/passwd was made from the old base's and hides the new one's.
    accounts = [tree.read_files(_ACCOUNTS) for tree in (old_tree, new_tree)]
    found += [f"/{path} changed" for path in _ACCOUNTS if accounts[0].get(path) != accounts[1].get(path)]
    missing = sorted(_libraries(old_tree) - _libraries(new_tree))
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        found.append(f"libraries are gone: {', '.join(missing[:5])}{more}")
    # Bytecode compiled ahead is never compared with its source: it would hide what the new base mends.
    if not found and any(_is_bytecode(layer) for layer in upper):
        folder = _library_folder(old)
        if _sources(old_tree, folder) != _sources(new_tree, folder):
            found.append("the standard library's files changed, and the image has their bytecode")
    if found:
        raise TargetError.of(
            [
                Problem(
                    code="base-changed",
                    message=f"the new base is another one for what stands on it: {text}",
                    place=place,
                    hint="build the image on the new base: shipwheel lock, then shipwheel build",
                )
                for text in found
            ]
        )


def _contents(
    image: LoadedImage, layers: Sequence[Layer], env: Mapping[str, str], tree: Tree, place: str
) -> Contents:
    part = Image(platform=image.platform, layers=layers, config=RunConfig(env=tuple(env.items()) or None))
    return inspect_image(as_loaded(part), place=place, tree=tree)


def _is_bytecode(layer: Layer) -> bool:
    inputs = LayerInputs.parse(layer.descriptor.annotations.get(INPUTS_ANNOTATION, ""))
    return (inputs is not None and inputs.kind == "bytecode") or layer_title(layer) == "bytecode"


def _library_folder(contents: Contents) -> str:
    prefix = posixpath.dirname(posixpath.dirname(contents.executable)).strip("/")
    minor = ".".join(contents.python.split(".")[:2])
    return f"{prefix}/lib/python{minor}/"


def _libraries(tree: Tree) -> set[str]:
    return {
        name
        for path, node in tree.walk()
        if node.kind in ("file", "symlink") and _SONAME.fullmatch(name := path.rpartition("/")[2])
    }


def _sources(tree: Tree, folder: str) -> dict[str, str]:
    """Return the hash of every Python file below `folder`."""
    wanted: dict[tuple[int, int], list[str]] = {}
    for path, node in tree.walk():
        if path.startswith(folder) and path.endswith(".py") and node.source is not None:
            wanted.setdefault(node.source, []).append(path)
    found: dict[str, str] = {}
    for source, _, content in iter_sources(tree.layers, wanted):
        hasher = hashlib.sha256()
        for chunk in content:
            hasher.update(chunk)
        found.update(dict.fromkeys(wanted[source], hasher.hexdigest()))
    return found


def _named(values: Mapping[str, str], names: Mapping[str, str | None]) -> dict[str, str]:
    kept = {key: value for key, value in values.items() if key not in names}
    return kept | {key: value for key, value in names.items() if value is not None}
