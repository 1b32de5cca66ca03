"""Read `pyproject.toml` into a `Project` (PyPA "pyproject.toml specification", Poetry's own table).

Both styles, `[project]` and `[tool.poetry]`, and their mixture. Evaluates no dependency.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.errors import Problem, ProjectError
from shipwheel.project.model import Metadata, Project, PythonRequirement
from shipwheel.project.settings import read_settings
from shipwheel.project.shape import check_document

FILE = "pyproject.toml"


def read_project(path: Path) -> Project:
    """Read the project in folder `path` (or the pyproject.toml named by it).

    Raises ProjectError with all problems found: no-pyproject, unreadable-pyproject, invalid-toml,
    bad-metadata, unknown-setting, bad-setting, bad-requires-python.
    """
    root = (path.parent if path.name == FILE and not path.is_dir() else path).absolute()
    data = _parse(root)
    check_document(data, place=FILE)
    reader = _Reader(data)
    name = reader.name()
    version = reader.text("version", wanted=False)
    python = reader.python()
    table = reader.table(reader.table(data, "tool", "tool"), "shipwheel", "tool.shipwheel")
    settings, problems = read_settings(table, file=FILE)
    project = Project(
        root=root,
        data=data,
        name=name,
        version=None if reader.is_placeholder(version) else version,
        python=python,
        scripts=reader.scripts(),
        package_mode=reader.package_mode(),
        metadata=reader.metadata(),
        settings=settings,
    )
    if found := [*reader.problems, *problems]:
        raise ProjectError.of(found)
    return project


def _parse(root: Path) -> dict[str, Any]:
    file = root / FILE
    try:
        return tomllib.loads(file.read_bytes().decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ProjectError(
            "no-pyproject",
            "there is no pyproject.toml here",
            place=str(root),
            hint="name the project's folder: shipwheel build PATH",
        ) from None
    except OSError as error:
        raise ProjectError(
            "unreadable-pyproject", f"cannot be read: {error.strerror}", place=str(file)
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ProjectError("invalid-toml", "not UTF-8", place=f"{file}:{line}") from error
    except RecursionError as error:
        raise ProjectError("invalid-toml", "nested too deeply", place=f"{file}:1") from error
    except tomllib.TOMLDecodeError as error:
        line_match = re.search(r"line (\d+)", str(error))
        place = f"{file}:{line_match[1]}" if line_match else str(file)
        raise ProjectError("invalid-toml", str(error), place=place) from error


class _Reader:
    """Takes values out of the document and collects what is wrong with them."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.problems: list[Problem] = []
        tool = self.table(data, "tool", "tool")
        self._data = data
        self._tool = tool
        self._project = self.table(data, "project", "project")
        self._poetry = self.table(tool, "poetry", "tool.poetry")
        self._uv = self.table(tool, "uv", "tool.uv")

    def table(self, data: Mapping[str, Any], key: str, full: str) -> Mapping[str, Any]:
        value = data.get(key, {})
        if isinstance(value, dict):
            return value
        self._bad(f"[{full}]", f"{full} is not a table")
        return {}

    def text(self, key: str, *, wanted: bool) -> str | None:
        """Return a string from [project], else from [tool.poetry]."""
        for table, name in ((self._project, "project"), (self._poetry, "tool.poetry")):
            if key in table:
                if isinstance(table[key], str):
                    return str(table[key])
                self._bad(f"[{name}] {key}", f"{key} is not a string")
                return None
        if wanted:
            self._bad("[project]", f"there is no {key}")
        return None

    def name(self) -> NormalizedName | None:
        name = self.text("name", wanted=self.package_mode() and bool(self._project or self._poetry))
        # PyPA "Names and normalization".
        if name is not None and not re.fullmatch(r"(?i)[A-Z0-9]|[A-Z0-9][A-Z0-9._-]*[A-Z0-9]", name):
            self._bad("name", f"not a valid project name: {name!r}")
            return None
        return None if name is None else canonicalize_name(name)

    def is_dynamic(self, key: str) -> bool:
        dynamic = self._project.get("dynamic", [])
        return isinstance(dynamic, list) and key in dynamic

    def is_placeholder(self, version: str | None) -> bool:
        """Tell whether the version that stands there is replaced when the wheel is built."""
        plug_in = self.table(self._tool, "poetry-dynamic-versioning", "tool.poetry-dynamic-versioning")
        return plug_in.get("enable") is True or (version == "0" and self.is_dynamic("version"))

    def python(self) -> PythonRequirement:
        if "requires-python" in self._project:
            place = f"{FILE} [project] requires-python"
            text = self._project["requires-python"]
            try:
                SpecifierSet(text)
            except (InvalidSpecifier, AttributeError, TypeError):
                self._bad("[project] requires-python", f"not a version specifier: {text!r}")
                return PythonRequirement()
            return PythonRequirement(text=text, place=place)
        text = self.table(self._poetry, "dependencies", "tool.poetry.dependencies").get("python")
        if text is None:
            return PythonRequirement()
        requirement = PythonRequirement(
            text=str(text), place=f"{FILE} [tool.poetry.dependencies] python", style="poetry"
        )
        try:
            requirement.admits("3.13.0")
        except ValueError as error:
            self._bad("[tool.poetry.dependencies] python", f"not a version constraint: {error}")
            return PythonRequirement()
        return requirement

    def scripts(self) -> dict[str, str]:
        """Console scripts, from either style; Poetry also writes them as tables."""
        found: dict[str, str] = {}
        own = self.table(self._project, "scripts", "project.scripts")
        for name, value in [
            *self.table(self._poetry, "scripts", "tool.poetry.scripts").items(),
            *own.items(),
        ]:
            if isinstance(value, str):
                found[name] = value
            elif isinstance(value, dict) and value.get("type", "console") == "console":
                found[name] = str(value.get("reference") or value.get("callable") or "")
            elif not isinstance(value, dict):
                self._bad(f"scripts {name}", f"script {name} is not a string")
        return dict(sorted(found.items()))

    def package_mode(self) -> bool:
        if self._poetry.get("package-mode") is False or self._uv.get("package") is False:
            return False
        if self._uv.get("package") is True or "build-system" in self._data:
            return True
        # Poetry builds with its own back-end where none is named; a [project] alone is no package
        # for uv and PDM, and Poetry warns about it.
        return bool(self._poetry.get("name")) or bool(self._poetry.get("packages"))

    def metadata(self) -> Metadata:
        authors = []
        for author in self._project.get("authors") or self._poetry.get("authors") or []:
            if isinstance(author, str):
                authors.append(author)
            elif isinstance(author, dict):
                name, mail = author.get("name"), author.get("email")
                authors.append(f"{name} <{mail}>" if name and mail else str(name or mail or ""))
        urls = {
            str(key): str(value) for key, value in self.table(self._project, "urls", "project.urls").items()
        }
        for key in ("homepage", "repository", "documentation"):
            if isinstance(self._poetry.get(key), str):
                urls.setdefault(key, self._poetry[key])
        return Metadata(
            description=self.text("description", wanted=False),
            license=self._license(),
            authors=tuple(authors),
            urls=urls,
        )

    def _license(self) -> str | None:
        value = self._project.get("license", self._poetry.get("license"))
        if isinstance(value, dict):  # the older form: {text = …} or {file = …}
            text = value.get("text")
            # Whole licence texts stand here in practice; a label wants the short name.
            return text if isinstance(text, str) and len(text) < 80 else None
        return value if isinstance(value, str) else None

    def _bad(self, where: str, message: str) -> None:
        problem = Problem(code="bad-metadata", message=message, place=f"{FILE} {where}")
        if problem not in self.problems:
            self.problems.append(problem)
