"""Check that the tables of pyproject.toml that we read have the shape their specifications give them.

Shapes only (a table, a list of strings): what the values mean is checked by those who read them.
`[tool.shipwheel]` has its own, stricter reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

# A type; a list of one shape; a table of named shapes, "*" standing for every other name; a choice of shapes.
_TEXTS: Final = [str]
_DEPENDENCIES: Final = {"*": (str, {"extras": _TEXTS, "*": object}, [(str, {"extras": _TEXTS, "*": object})])}
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
            "index": [dict],
            "sources": {"*": (dict, [dict])},
            "workspace": {"members": _TEXTS, "exclude": _TEXTS},
        },
        "pdm": {"source": [dict], "dev-dependencies": {"*": _TEXTS}},
    },
}


def find_misshapen(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (key path, what it is not) for every value of another shape than its reader relies on."""
    yield from _find(data, _SHAPES, "")


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
    return "a string" if shape is str else "a table"
