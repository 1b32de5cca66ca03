"""What shipwheel knows of a Python project. Frozen values; `reader` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName

from shipwheel.project.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project folder with its `pyproject.toml`.

    `data` is the whole parsed TOML document, `root` the folder, absolute. `version` is None where it
    is dynamic. `package_mode` is False for a project that is no installable package (Poetry's
    `package-mode = false`, or a pyproject.toml without `[build-system]` and without scripts): its source is copied instead.
    """

    root: Path
    data: Mapping[str, Any]
    name: NormalizedName | None
    version: str | None
    requires_python: SpecifierSet
    requires_python_source: str
    scripts: Mapping[str, str] = field(default_factory=dict)
    package_mode: bool = True
    settings: Settings = field(default_factory=Settings)

    @property
    def pyproject(self) -> Path:
        """Path of its `pyproject.toml`."""
        return self.root / "pyproject.toml"
