"""Show what is in an image: how it runs, its layers and what is in each, its packages and sizes.

IMAGE is a name in a registry, a layout folder, an archive, docker-daemon:NAME or podman:NAME. Layers are
read for it; `--quick` reads the manifest and configuration alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

from shipwheel.cli.console import human_size
from shipwheel.cli.images import add_image_options, add_platform, make_opener
from shipwheel.describe import Description, LayerDescription, describe_image, description_to_json
from shipwheel.images import OpenedImage, open_image
from shipwheel.inventory import Inventory
from shipwheel.plan.host import default_platform

# Packages named in a layer's line; the list below has them all.
_NAMED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's words."""
    parser.add_argument("image", metavar="IMAGE", help="a name, a folder, a file, or podman:NAME")
    add_platform(parser)
    parser.add_argument("--quick", action="store_true", help="read no layer")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    add_image_options(parser)


def run(options: argparse.Namespace) -> int:
    """Read and print."""
    with make_opener(options) as opener, open_image(options.image, opener) as opened:
        image = opened.image_for(options.platform, default=default_platform())
        found = describe_image(image, place=opened.place.name, contents=not options.quick)
        if options.json:
            data = {"image": opened.place.name, **_others(opened), **description_to_json(found)}
            print(json.dumps(data, indent=2))
        else:
            print("\n".join(render(found, opened)))
    return 0


def render(found: Description, opened: OpenedImage) -> Iterator[str]:
    """Yield lines for people."""
    platforms = [str(image.platform) for image in opened.images]
    others = f" (of {', '.join(platforms)})" if len(platforms) > 1 else ""
    unpacked = "" if found.unpacked is None else f", {human_size(found.unpacked)} unpacked"
    yield f"image       {opened.place.name}"
    yield f"digest      {found.digest}"
    yield f"platform    {found.platform}{others}"
    if found.created:
        yield f"created     {found.created}"
    yield f"size        {human_size(found.size)} in {len(found.layers)} layers{unpacked}"
    yield from _config(found.config)
    if found.inventory is not None:
        yield from _system(found.inventory)
    yield f"layers      {len(found.layers)}"
    for number, layer in enumerate(found.layers, start=1):
        yield _layer(number, layer)
    if found.inventory is not None:
        yield from _packages(found.inventory)


def _others(opened: OpenedImage) -> dict[str, Any]:
    return {
        "kind": opened.place.kind,
        "index": str(opened.value.digest),
        "platforms": [str(image.platform) for image in opened.images],
    }


def _config(config: Mapping[str, Any]) -> Iterator[str]:
    names = (("user", "User"), ("workdir", "WorkingDir"), ("entrypoint", "Entrypoint"), ("cmd", "Cmd"))
    for title, key in names:
        if config.get(key):
            value = config[key]
            yield f"{title:<12}{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
    for title, items in (
        ("env", config.get("Env") or []),
        ("ports", sorted(config.get("ExposedPorts") or {})),
        ("volumes", sorted(config.get("Volumes") or {})),
        ("labels", [f"{name}={value}" for name, value in (config.get("Labels") or {}).items()]),
    ):
        for at, item in enumerate(items):
            yield f"{title if not at else '':<12}{item}"


def _system(inventory: Inventory) -> Iterator[str]:
    if name := inventory.os.get("PRETTY_NAME") or inventory.os.get("ID"):
        yield f"system      {name}"
    if (runtime := inventory.runtime) is not None:
        yield f"python      {runtime.python}, {runtime.libc}, {runtime.executable}"


def _layer(number: int, layer: LayerDescription) -> str:
    named = list(layer.packages[:_NAMED])
    more = len(layer.packages) - len(named)
    holds = f": {', '.join(named)}{f' and {more} more' if more > 0 else ''}" if named else ""
    title = " ".join(layer.created_by.split())[:60] or "(no history)"
    if len(layer.packages) == 1 and layer.packages[0].startswith(f"{title} "):
        title, holds = layer.packages[0], ""
    counted = "" if layer.files is None else f", {layer.files} files"
    if layer.slim:
        # Most often the same of all; else by package.
        texts = set(layer.slim.values())
        one = len(texts) == 1 and len(layer.slim) == len(layer.packages)
        parts = texts if one else [f"{name}: {text}" for name, text in sorted(layer.slim.items())]
        counted += f", without {'; '.join(parts)}"
    key = f"  key {layer.key[:19]}" if layer.key else ""
    return f"  {number:>3} {human_size(layer.size):>10}  {layer.digest[7:19]}  {title}{holds}{counted}{key}"


def _packages(inventory: Inventory) -> Iterator[str]:
    for title, packages in (("python", inventory.python), ("debian", inventory.system)):
        if packages:
            yield f"packages    {len(packages)} {title}"
        for package in packages:
            license_ = getattr(package, "license", None) or ", ".join(getattr(package, "license_names", ()))
            yield f"      {package.name} {package.version}{f'   ({license_})' if license_ else ''}"
