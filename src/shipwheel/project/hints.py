"""Recognise a web application, to suggest how to start it. A suggestion is shown, never acted on."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

from shipwheel.project.files import SourceFile

# What makes the object, and whether it speaks ASGI (uvicorn) or WSGI (gunicorn).
_MAKERS: Final = {
    "FastAPI": "asgi",
    "Starlette": "asgi",
    "Litestar": "asgi",
    "Quart": "asgi",
    "Sanic": "asgi",
    "Flask": "wsgi",
    "get_wsgi_application": "wsgi",
    "get_asgi_application": "asgi",
    "Bottle": "wsgi",
}
_NAMES: Final = ("app", "application", "api")
# Enough to find the one that is meant; a hint is not worth reading a large tree for.
_MOST_FILES: Final = 400
_LARGEST: Final = 256 * 1024


def web_hints(root: Path, files: Iterable[SourceFile], locked: Collection[str]) -> tuple[str, ...]:
    """Return the lines to paste for web applications found, given the locked distributions' names."""
    hints = []
    for module, name, kind in find_applications(root, files):
        target = f"{module}:{name}"
        if kind == "asgi" and "uvicorn" in locked:
            hints.append(
                f'{target} looks like a web application: entrypoint = ["uvicorn", "{target}", '
                '"--host", "0.0.0.0", "--port", "8000"]'
            )
        elif "gunicorn" in locked:
            worker = ' "--worker-class", "uvicorn.workers.UvicornWorker",' if kind == "asgi" else ""
            hints.append(
                f'{target} looks like a web application: entrypoint = ["gunicorn",{worker} '
                f'"--bind", "0.0.0.0:8000", "{target}"]'
            )
    return tuple(hints)


def find_applications(root: Path, files: Iterable[SourceFile]) -> Iterator[tuple[str, str, str]]:
    """Yield module, name and kind of each module-level application object, in the files' order."""
    sources = (file for file in files if file.path.endswith(".py") and file.link is None)
    for file in itertools.islice(sources, _MOST_FILES):
        path = root / file.path
        if path.stat().st_size > _LARGEST:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if not any(maker in text for maker in _MAKERS):
            continue
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        for statement in tree.body:
            if (found := _application(statement)) is not None:
                yield _module(file.path), *found


def _application(statement: ast.stmt) -> tuple[str, str] | None:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=func)) if name in _NAMES:
            called = func.id if isinstance(func, ast.Name) else getattr(func, "attr", "")
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.Call(func=func)) if name in _NAMES:
            called = func.id if isinstance(func, ast.Name) else getattr(func, "attr", "")
        case _:
            return None
    kind = _MAKERS.get(called)
    return (name, kind) if kind else None


def _module(path: str) -> str:
    parts = path.removesuffix(".py").removesuffix("/__init__").split("/")
    return ".".join(parts[1:] if parts[0] == "src" and len(parts) > 1 else parts)
