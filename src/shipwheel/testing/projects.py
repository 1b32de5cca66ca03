"""Write Poetry projects with a lock (lock-version 2.1) made from wheels in hand. Resolves and builds nothing.

wheels = [index.add(make_wheel("a", requires=["b"])), index.add(make_wheel("b"))]
root = poetry_project(tmp_path, dependencies=["a"], wheels=wheels, index=index.url)
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from email.parser import BytesParser
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.testing.wheels import MadeWheel

Style = Literal["project", "poetry"]
SOURCE_NAME = "testing"

# A back-end that needs no other package and no network: it packs the module folder.
_BACK_END = '''\
"""A build back-end without requirements (PEP 517, in-tree)."""
import base64, hashlib, pathlib, tomllib, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    data = tomllib.loads(pathlib.Path("pyproject.toml").read_text())
    table = data.get("project") or data["tool"]["poetry"]
    name, version = table["name"].replace("-", "_"), table["version"]
    scripts = table.get("scripts") or data.get("tool", {}).get("poetry", {}).get("scripts", {})
    info = f"{name}-{version}.dist-info"
    files = {str(p): p.read_bytes() for p in sorted(pathlib.Path(name).rglob("*"))
             if p.is_file() and "__pycache__" not in p.parts}
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\\nName: {table['name']}\\nVersion: {version}\\n".encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\\nGenerator: in-tree\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    if scripts:
        lines = "".join(f"{key} = {value}\\n" for key, value in sorted(scripts.items()))
        files[f"{info}/entry_points.txt"] = f"[console_scripts]\\n{lines}".encode()
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b'=').decode()},{len(content)}\\n"
        for path, content in files.items())
    files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\\n").encode()
    target = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory, target), "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 2, 2, 0, 0, 0)), content)
    return target
'''


def poetry_project(
    root: Path,
    dependencies: Sequence[str] = (),
    *,
    wheels: Sequence[MadeWheel] = (),
    groups: Mapping[str, Sequence[str]] | None = None,
    style: Style = "project",
    name: str = "app",
    module: str | None = None,
    version: str = "1.0.0",
    requires_python: str = ">=3.11,<4",
    scripts: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    package_mode: bool = True,
    back_end: Literal["in-tree", "poetry-core"] = "in-tree",
    index: str | None = None,
    extra: str = "",
    lock: bool = True,
) -> Path:
    """Write a project into `root` and return it: pyproject.toml, a module that runs, and poetry.lock.

    `dependencies` and `groups` hold PEP 508 requirements; the lock takes them and what they need from
    `wheels` (several of one name and version are one package with several files). `index`, where
    given, is written as the packages' source. `files` are further files, or other contents for those
    written. `extra` is put at the end of pyproject.toml, as a `[tool.shipwheel]` table. The in-tree
    back-end needs no network. `module` is the folder with the code, where its name is not the
    project's. Raises KeyError for a requirement that no wheel is there for.
    """
    packed = "name" if module is None else repr(module)
    module = module or name.replace("-", "_")
    scripts = {name: f"{module}:main"} if scripts is None and package_mode else (scripts or {})
    pyproject = "\n".join(
        [
            *_head(
                style,
                name=name,
                version=version,
                requires_python=requires_python,
                dependencies=dependencies,
                scripts=scripts,
                package_mode=package_mode,
            ),
            *_groups(groups or {}),
            *(
                [
                    "[[tool.poetry.source]]",
                    f"name = {_q(SOURCE_NAME)}",
                    f"url = {_q(index)}",
                    'priority = "primary"',
                    "",
                ]
                if index
                else []
            ),
            *(_build_system(back_end) if package_mode else []),
            extra,
        ]
    )
    contents = {
        "pyproject.toml": pyproject,
        f"{module}/__init__.py": f'def main():\n    print("{name} {version} runs")\n',
        f"{module}/__main__.py": f"from {module} import main\n\nmain()\n",
    }
    if package_mode and back_end == "in-tree":
        contents["_back_end.py"] = _BACK_END.replace("Path(name)", f"Path({packed})")
    if lock:
        wanted = {"main": dependencies, **(groups or {})}
        contents["poetry.lock"] = poetry_lock(
            pyproject, wanted=wanted, wheels=wheels, requires_python=requires_python, index=index
        )
    for path, content in {**contents, **(files or {})}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content, encoding="utf-8")
    return root


def poetry_lock(
    pyproject: str,
    *,
    wanted: Mapping[str, Sequence[str]],
    wheels: Sequence[MadeWheel],
    requires_python: str,
    index: str | None = None,
) -> str:
    """Return a poetry.lock of lock-version 2.1 for `pyproject`: `wanted` maps groups to requirements.

    Markers are those of the project's own requirements. Raises KeyError for a requirement without wheel.
    """
    packages: dict[tuple[NormalizedName, str], list[MadeWheel]] = {}
    for wheel in wheels:
        packages.setdefault((canonicalize_name(wheel.name), wheel.version), []).append(wheel)
    by_name: dict[NormalizedName, list[MadeWheel]] = {}
    for (name, _version), files in packages.items():
        by_name.setdefault(name, []).append(files[0])
    groups, markers = _closure(wanted, by_name)
    lines = ["# This file is automatically @generated by Poetry 2.5.1 and should not be changed by hand.", ""]
    for (name, _version), files in sorted(packages.items()):
        if name in groups:
            lines += _package(files, groups=sorted(groups[name]), marker=markers.get(name), index=index)
    lines += [
        "[metadata]",
        'lock-version = "2.1"',
        f"python-versions = {_q(requires_python)}",
        f"content-hash = {_q(content_hash(tomllib.loads(pyproject)))}",
        "",
    ]
    return "\n".join(lines)


def content_hash(pyproject: Mapping[str, Any]) -> str:
    """Return the content-hash that Poetry 2.3 and later write for a parsed pyproject.toml."""
    project = pyproject.get("project", {})
    keys = ("requires-python", "dependencies", "optional-dependencies")
    content: dict[str, Any] = {}
    if own := {key: project[key] for key in keys if key in project}:
        content["project"] = own
    if groups := pyproject.get("dependency-groups"):
        content["dependency-groups"] = groups
    poetry = pyproject.get("tool", {}).get("poetry", {})
    legacy = ("dependencies", "source", "extras", "dev-dependencies")
    relevant = {key: poetry[key] for key in (*legacy, "group") if key in poetry}
    if content:
        content["tool"] = {"poetry": relevant}
    else:
        content = {**dict.fromkeys(legacy), **relevant}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _head(
    style: Style,
    *,
    name: str,
    version: str,
    requires_python: str,
    dependencies: Sequence[str],
    scripts: Mapping[str, str],
    package_mode: bool,
) -> list[str]:
    if style == "project":
        lines = ["[project]", f"name = {_q(name)}", f"version = {_q(version)}"]
        lines += [
            f"requires-python = {_q(requires_python)}",
            f"dependencies = {json.dumps(list(dependencies))}",
            "",
        ]
        lines += [] if package_mode else ["[tool.poetry]", "package-mode = false", ""]
        table = "[project.scripts]"
    else:
        lines = ["[tool.poetry]", f"name = {_q(name)}", f"version = {_q(version)}"]
        lines += ['description = ""', "authors = []", *([] if package_mode else ["package-mode = false"]), ""]
        lines.append("[tool.poetry.dependencies]")
        lines += [f"python = {_q(requires_python)}", *_poetry_table(dependencies), ""]
        table = "[tool.poetry.scripts]"
    if scripts:
        lines += [table, *(f"{_q(key)} = {_q(value)}" for key, value in scripts.items()), ""]
    return lines


def _groups(groups: Mapping[str, Sequence[str]]) -> list[str]:
    lines: list[str] = []
    for group, requirements in groups.items():
        lines += [f"[tool.poetry.group.{group}.dependencies]", *_poetry_table(requirements), ""]
    return lines


def _build_system(back_end: Literal["in-tree", "poetry-core"]) -> list[str]:
    if back_end == "poetry-core":
        return [
            "[build-system]",
            'requires = ["poetry-core>=2.0,<3"]',
            'build-backend = "poetry.core.masonry.api"',
            "",
        ]
    return ["[build-system]", "requires = []", 'build-backend = "_back_end"', 'backend-path = ["."]', ""]


def _poetry_table(requirements: Iterable[str]) -> list[str]:
    return [
        f"{_q(requirement.name)} = {_constraint(requirement)}"
        for requirement in map(Requirement, requirements)
    ]


def _constraint(requirement: Requirement, *, optional: bool = False) -> str:
    version = _q(str(requirement.specifier) or "*")
    parts = [f"version = {version}"]
    if requirement.extras:
        parts.append(f"extras = {json.dumps(sorted(requirement.extras))}")
    if optional:
        parts.append("optional = true")
    if requirement.marker is not None:
        parts.append(f"markers = {_q(str(requirement.marker))}")
    return version if len(parts) == 1 else "{" + ", ".join(parts) + "}"


def _closure(
    wanted: Mapping[str, Sequence[str]], by_name: Mapping[NormalizedName, Sequence[MadeWheel]]
) -> tuple[dict[NormalizedName, set[str]], dict[NormalizedName, str]]:
    groups: dict[NormalizedName, set[str]] = {}
    markers: dict[NormalizedName, str] = {}
    for group, requirements in wanted.items():
        pending = [Requirement(text) for text in requirements]
        for requirement in pending:
            if requirement.marker is not None:
                markers[canonicalize_name(requirement.name)] = str(requirement.marker)
        seen: set[tuple[NormalizedName, frozenset[str]]] = set()
        while pending:
            requirement = pending.pop()
            name = canonicalize_name(requirement.name)
            extras = frozenset(requirement.extras)
            if (name, extras) in seen:
                continue
            seen.add((name, extras))
            groups.setdefault(name, set()).add(group)
            for wheel in by_name[name]:
                pending += [need for need in _requires(wheel) if _asked(need, extras)]
    return groups, markers


def _asked(need: Requirement, extras: frozenset[str]) -> bool:
    marker = str(need.marker or "")
    return "extra ==" not in marker or any(f'extra == "{extra}"' in marker for extra in extras)


def _requires(wheel: MadeWheel) -> list[Requirement]:
    metadata = BytesParser().parsebytes(wheel.metadata)
    return [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]


def _package(
    files: Sequence[MadeWheel], *, groups: Sequence[str], marker: str | None, index: str | None
) -> list[str]:
    name, version = canonicalize_name(files[0].name), files[0].version
    metadata = BytesParser().parsebytes(files[0].metadata)
    lines = [
        "[[package]]",
        f"name = {_q(name)}",
        f"version = {_q(version)}",
        'description = ""',
        "optional = false",
    ]
    lines += [
        f"python-versions = {_q(metadata.get('Requires-Python', '*'))}",
        f"groups = {json.dumps(list(groups))}",
    ]
    if marker is not None:
        lines.append(f"markers = {_q(marker)}")
    lines.append("files = [")
    ordered = sorted(files, key=lambda wheel: wheel.filename)
    lines += [f'    {{file = {_q(file.filename)}, hash = "sha256:{file.sha256}"}},' for file in ordered]
    lines += ["]", ""]
    if needs := _requires(files[0]):
        lines.append("[package.dependencies]")
        for need in needs:
            optional = "extra ==" in str(need.marker or "")
            lines.append(f"{_q(need.name)} = {_constraint(need, optional=optional)}")
        lines.append("")
    if extras := metadata.get_all("Provides-Extra", []):
        lines.append("[package.extras]")
        for extra in extras:
            mine = [
                f"{need.name} ({need.specifier})" if need.specifier else need.name
                for need in needs
                if f'extra == "{extra}"' in str(need.marker)
            ]
            lines.append(f"{_q(extra)} = {json.dumps(mine)}")
        lines.append("")
    if index is not None:
        # As Poetry writes it: without a slash at the end.
        lines += [
            "[package.source]",
            'type = "legacy"',
            f"url = {_q(index.rstrip('/'))}",
            f"reference = {_q(SOURCE_NAME)}",
            "",
        ]
    return lines


def _q(text: str) -> str:
    """Quote `text` as a TOML basic string: JSON's escapes are TOML's."""
    return json.dumps(text)
