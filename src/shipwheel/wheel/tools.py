"""Pin the programs that a Dockerfile's build stages use, by the hashes of exactly the files that fit there.

A lock for every Python and platform would put thousands of hashes into a file that people read.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packaging.pylock import PackageSdist, PackageWheel

from shipwheel.locks.pylock import parse_pylock
from shipwheel.locks.select import select_packages
from shipwheel.project.model import Project
from shipwheel.target import Target
from shipwheel.wheel.build import run_uv
from shipwheel.wheel.pins import BuildPin, ToolPins
from shipwheel.wheel.source import Builder


def pin_tools(
    requires: Sequence[str], targets: Sequence[Target], project: Project, builder: Builder
) -> ToolPins:
    """Resolve `requires` for `targets`, which have one Python, and return the pins.

    Raises BuildError `build-requirements` when they cannot be resolved.
    """
    python = targets[0].python_minor
    words = ["pip", "compile", "--quiet", "--universal", "--generate-hashes"]
    words += [
        "--python",
        sys.executable,
        "--python-version",
        python,
        "--format",
        "pylock.toml",
        "--no-config",
        "--no-header",
        "--no-annotate",
        *builder.index.options,
    ]
    text = run_uv([*words, "-"], "\n".join(requires), builder.environ, builder.index)
    return ToolPins(
        requires=tuple(requires), python=python, pins=_pins(tomllib.loads(text), targets, project)
    )


def _pins(document: dict[str, Any], targets: Sequence[Target], project: Project) -> tuple[BuildPin, ...]:
    lock = parse_pylock({"created-by": "uv", **document}, Path("pylock.tools.toml"), project)
    found: dict[tuple[str, str], set[str]] = {}
    for target in targets:
        for item in select_packages(lock, target):
            if not isinstance(item.source, PackageWheel | PackageSdist):
                raise TypeError(f"not from an index: {item.source!r}")
            hashes = found.setdefault((str(item.name), str(item.version)), set())
            hashes.add(f"sha256:{item.source.hashes['sha256']}")
    return tuple(
        BuildPin(name=name, version=version, hashes=tuple(sorted(hashes)))
        for (name, version), hashes in sorted(found.items())
    )
