"""Names for what is made of wheels, from lock data alone and before a wheel was fetched. Reads nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from shipwheel.oci.layer import RECIPE as LAYER_RECIPE

# Each is part of every key: it changes whenever the same wheels would give other bytes.
BYTECODE_RECIPE: Final = "bytecode/2"
WHEEL_LAYER_RECIPE: Final = f"wheel-layer/1+{LAYER_RECIPE}"
# Of `slim`, `slim_needs` and `slim_elf`; only in the keys of layers that are slimmed.
SLIM_RECIPE: Final = "slim/1"


def planned_bytecode_id(version: str, *, host: bool = False) -> str:
    """Return what a key holds for bytecode of CPython `version` (`3.13.5`), known without running it.

    `host`: compiled by this machine's Python of the same version, not by the image's own.
    """
    return f"{BYTECODE_RECIPE}+cpython-{version}{'+host' if host else ''}"


def wheel_layer_key(
    hashes: Iterable[str],
    *,
    python: str,
    prefix: str,
    bytecode: str | None,
    direct_urls: Mapping[str, Mapping[str, Any]] | None = None,
    slim: Mapping[str, Collection[str]] | None = None,
    recipe: str = WHEEL_LAYER_RECIPE,
) -> str:
    """Return what tells one wheel layer from another, as `sha256:<hex>`.

    `hashes` are the wheels' (`sha256:…`), in any order; `python` is the target's version, of which the
    minor counts; `prefix` the environment's path; `bytecode` the `planned_bytecode_id`, None for none;
    `direct_urls` maps the hashes of wheels that get a direct_url.json to its content, `slim` those of
    wheels that are slimmed to the options.
    """
    data: dict[str, Any] = {
        "bytecode": bytecode,
        "direct_urls": {key: dict(value) for key, value in (direct_urls or {}).items()},
        "prefix": prefix,
        "python": ".".join(python.split(".")[:2]),
        "recipe": recipe,
        "wheels": sorted(hashes),
    }
    if slimmed := {key: sorted(options) for key, options in (slim or {}).items() if options}:
        data["slim"] = {"recipe": SLIM_RECIPE, "wheels": slimmed}
    return "sha256:" + hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def built_wheel_id(source: str, *, environment: str, builder: str | None, recipe: str) -> str:
    """Return what names a wheel that is built of `source` (`origin.source_id`), as `sha256:<hex>`.

    `environment` is the build requirements' `build.environment_id`; `builder` the root that it is
    compiled in (`base.debian.builder.builder_id`), None for what any Python builds alike.
    """
    data = {"builder": builder, "environment": environment, "recipe": recipe, "source": source}
    return "sha256:" + hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
