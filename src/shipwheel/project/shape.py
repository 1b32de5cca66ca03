"""Check that the tables of pyproject.toml that we read have the shape their specifications give them.

Shapes only (a table, a list of strings): what the values mean is checked by those who read them.
`[tool.shipwheel]` has its own, stricter reader.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from shipwheel.errors import Problem, ProjectError

# A type; a list of one shape; a table of named shapes, "*" standing for every other name; a choice of shapes.
_TEXTS: Final = [str]
_POETRY_TABLE: Final = {
    "extras": _TEXTS,
    **dict.fromkeys(("version", "markers", "python", "platform", "source"), str),
    "*": object,
}
_DEPENDENCIES: Final = {"*": (str, _POETRY_TABLE, [(str, _POETRY_TABLE)])}
_UV_INDEX: Final = {"name": str, "url": str, "*": object}
_UV_METADATA: Final = {
    "name": str,
    "version": str,
    "requires-dist": _TEXTS,
    "requires-python": str,
    "*": object,
}
_SHAPES: Final[Mapping[str, Any]] = {
    # PyPA, "pyproject.toml specification".
    "build-system": {"requires": _TEXTS, "build-backend": str, "backend-path": _TEXTS},
    "project": {
        "authors": [(dict, str)],
        "dependencies": _TEXTS,
        "optional-dependencies": {"*": _TEXTS},
        "dynamic": _TEXTS,
        "requires-python": str,
        "scripts": dict,
        "urls": dict,
    },
    # PyPA, "Dependency Groups".
    "dependency-groups": {"*": [(str, dict)]},
    "tool": {
        "poetry": {
            "authors": _TEXTS,
            "dependencies": _DEPENDENCIES,
            "dev-dependencies": _DEPENDENCIES,
            "extras": {"*": _TEXTS},
            "group": {"*": {"dependencies": _DEPENDENCIES, "include-groups": _TEXTS}},
            "source": [dict],
        },
        "uv": {
            **dict.fromkeys(("constraint-dependencies", "build-constraint-dependencies"), _TEXTS),
            "override-dependencies": [(str, dict)],
            "exclude-dependencies": [(str, dict)],
            **dict.fromkeys(("environments", "required-environments", "default-groups"), (str, _TEXTS)),
            **dict.fromkeys(("resolution", "fork-strategy", "index-url"), str),
            **dict.fromkeys(("dev-dependencies", "extra-index-url", "find-links"), _TEXTS),
            "conflicts": [[dict]],
            "dependency-groups": {"*": dict},
            "dependency-metadata": [_UV_METADATA],
            "exclude-newer-package": dict,
            "index": [_UV_INDEX],
            "package": bool,
            "sources": {"*": (dict, [dict])},
            "workspace": {"members": _TEXTS, "exclude": _TEXTS},
        },
        "pdm": {
            "source": [{"name": str, "url": str, "type": str, "include_packages": _TEXTS, "*": object}],
            "dev-dependencies": {"*": _TEXTS},
            "resolution": {"overrides": dict, "*": object},
            "workspace": {"members": _TEXTS},
        },
    },
}


def find_misshapen(data: Mapping[str, Any], shapes: Mapping[str, Any] = _SHAPES) -> Iterator[tuple[str, str]]:
    """Yield (key path, what it is not) for every value of another shape than its reader relies on."""
    yield from _find(data, shapes, "")


def find_bad_addresses(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield the key paths of texts that look like an address and cannot be taken apart as one."""
    stack: list[tuple[str, object]] = [("", data)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict):
            stack.extend((f"{path}.{key}" if path else key, item) for key, item in value.items())
        elif isinstance(value, list):
            stack.extend((f"{path}[{number}]", item) for number, item in enumerate(value))
        # urllib objects to brackets and to letters that turn into separators, and to nothing else.
        elif isinstance(value, str) and "://" in value and (not value.isascii() or "[" in value):
            try:
                urlsplit(value)
            except ValueError:
                yield path


def read_document(path: Path, *, place: str) -> dict[str, Any]:
    """Read another TOML file than the project's own pyproject.toml, as a workspace member's, and check its shape.

    Raises ProjectError `invalid-toml`, `unreadable-pyproject`, `bad-metadata`, with `place` as the file's name.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        line = re.search(r"line (\d+)", str(error))
        where = f"{place}:{line[1]}" if line else f"{place}:1"
        raise ProjectError("invalid-toml", f"not valid TOML: {error}", place=where) from error
    except RecursionError as error:
        raise ProjectError("invalid-toml", "nested too deeply", place=f"{place}:1") from error
    except OSError as error:
        raise ProjectError(
            "unreadable-pyproject", f"cannot be read: {error.strerror}", place=place
        ) from error
    check_document(data, place=place)
    return data


def check_document(data: Mapping[str, Any], *, place: str) -> None:
    """Check a pyproject.toml's shape and addresses; raises ProjectError `bad-metadata` with every problem."""
    wrong = [(key, f"not {what}") for key, what in find_misshapen(data)]
    wrong += [(key, "not an address") for key in find_bad_addresses(data)]
    if wrong:
        raise ProjectError.of(
            [Problem(code="bad-metadata", message=message, place=f"{place} {key}") for key, message in wrong]
        )


def _find(value: object, shape: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(shape, tuple):
        kind = next((one for one in shape if _is_kind(value, one)), None)
        if kind is None:
            yield path, " or ".join(_name(one) for one in shape)
        else:
            yield from _find(value, kind, path)
    elif not _is_kind(value, shape):
        yield path, _name(shape)
    elif isinstance(shape, list) and isinstance(value, list):
        for number, item in enumerate(value):
            yield from _find(item, shape[0], f"{path}[{number}]")
    elif isinstance(shape, Mapping) and isinstance(value, Mapping):
        for key, item in value.items():
            if (inner := shape.get(key, shape.get("*"))) is not None:
                yield from _find(item, inner, f"{path}.{key}" if path else str(key))


def _is_kind(value: object, shape: Any) -> bool:
    if isinstance(shape, list):
        return isinstance(value, list)
    if isinstance(shape, Mapping):
        return isinstance(value, Mapping)
    return isinstance(value, shape)


def _name(shape: Any) -> str:
    if isinstance(shape, list):
        return "a list"
    if shape is str:
        return "a string"
    return "true or false" if shape is bool else "a table"
