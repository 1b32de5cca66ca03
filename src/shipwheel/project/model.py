"""What shipwheel knows of a Python project. Frozen values; `reader` makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName

from shipwheel.project.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonRequirement:
    """Which Pythons the project admits, in the words of its author, and where they stand.

    `style` tells the grammar: PEP 440 specifiers, or Poetry's constraints (`^3.11 || ~3.9`).
    """

    text: str = ""
    place: str = ""
    style: Literal["pep440", "poetry"] = "pep440"

    def admits(self, version: str) -> bool:
        """Tell whether the full Python `version`, as `3.13.5`, is admitted."""
        if not self.text.strip():
            return True
        if self.style == "pep440":
            return SpecifierSet(self.text).contains(version, prereleases=True)
        from poetry.core.constraints.version import Version, parse_constraint

        return bool(parse_constraint(self.text).allows(Version.parse(version)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The parts of the project's metadata that images are labelled with."""

    description: str | None = None
    license: str | None = None
    authors: Sequence[str] = ()
    urls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project folder with its `pyproject.toml`.

    `data` is the whole parsed TOML document, `root` the folder, absolute. `version` is None where it
    is dynamic. `package_mode` is False for a project that is no installable package (Poetry's
    `package-mode = false`, uv's `package = false`, or neither `[build-system]` nor a Poetry section):
    its source is copied instead.
    """

    root: Path
    data: Mapping[str, Any]
    name: NormalizedName | None
    version: str | None
    python: PythonRequirement = field(default_factory=PythonRequirement)
    scripts: Mapping[str, str] = field(default_factory=dict)
    package_mode: bool = True
    metadata: Metadata = field(default_factory=Metadata)
    settings: Settings = field(default_factory=Settings)

    @property
    def pyproject(self) -> Path:
        """Path of its `pyproject.toml`."""
        return self.root / "pyproject.toml"

    @property
    def title(self) -> str:
        """The project's name, or its folder's where it has none."""
        return str(self.name or self.root.name)
