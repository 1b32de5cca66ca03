"""Which modules, of those that are to go, what stays imports when it is imported. Runs nothing.

Reads `import` statements that run at import, not those in functions, nor those for type checkers. Line by
line and without a parser: what that takes for Python changes with the Python that runs it, and the answer
is part of a layer's bytes. An example in a text may look like a statement; then more stays than must.
What is imported by a computed name is found when the image's packages are imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

# Files without such a line are not looked at any closer.
_MENTIONS: Final = re.compile(
    rb"(?m)^(?:[ \t]*(?:from|import)\b[^\n]*\b(?:tests?|conftest)\b|[ \t]*(?:tests?|conftest)\b[^\n=(]*,?[ \t)]*\r?$)"
)
_STATEMENT: Final = re.compile(
    r"[ \t]*(?:from[ \t]+(?P<dots>\.*)[ \t]*(?P<base>[\w.]*)[ \t]*import\b|import[ \t])"
)
_LATER: Final = re.compile(r"[ \t]*(?:(?:async[ \t]+)?def[ \t]|if\b.*\bTYPE_CHECKING\b)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module's full name; `package`: it is an `__init__.py`."""

    name: str
    package: bool


def needed_by(
    modules: Mapping[str, Module],
    going: Mapping[str, str],
    *,
    read: Callable[[str], bytes],
    also: Mapping[str, Sequence[str]],
) -> dict[str, str]:
    """Return the groups that must stay, each with the file that imports something of it.

    `modules` are all modules by path; `going` maps the paths that are to go to their group, which goes or
    stays whole; `also` maps who to the modules that they name besides.
    """
    group_of: dict[str, str] = {}
    for path, module in modules.items():
        if path in going:
            group_of[module.name] = going[path]
    needed: dict[str, str] = {}

    def note(names: Iterable[str], who: str) -> Iterator[str]:
        for name in names:
            group = group_of.get(name)
            if group is not None and group not in needed:
                needed[group] = who
                yield group

    pending = [group for who, names in also.items() for group in note(names, who)]
    for path in sorted(modules.keys() - going.keys()):
        pending += note(_imports(modules[path], read(path)), path)
    while pending:
        group = pending.pop()
        # What stays may need others that were to go.
        for path in sorted(path for path in modules if going.get(path) == group):
            pending += note(_imports(modules[path], read(path)), path)
    return needed


def _imports(module: Module, source: bytes) -> Iterator[str]:
    """Yield the names of modules that may be imported with `module`, absolute; for `from a import b` both."""
    if not _MENTIONS.search(source):
        return
    text = source.decode("utf-8", "replace").replace("\r\n", "\n")
    lines = text.replace("\\\n", " ").split("\n")
    package = module.name if module.package else module.name.rpartition(".")[0]
    for number, line in enumerate(lines):
        match = _STATEMENT.match(line)
        if match is None or _is_later(lines, number):
            continue
        words = _whole(lines, number, match.end())
        if match["dots"] is None:
            for name in words.split(","):
                yield from _with_parents(name.split(" as ")[0].strip())
            continue
        base = match["base"] or ""
        if match["dots"]:
            parents = package.split(".")
            base = ".".join([*parents[: len(parents) - len(match["dots"]) + 1], *([base] if base else [])])
        yield from _with_parents(base)
        for name in words.split(","):
            yield f"{base}.{name.split(' as ')[0].strip()}"


def _whole(lines: Sequence[str], number: int, at: int) -> str:
    """Return what follows `import` in a statement, over all its lines, without brackets and comments."""
    text = lines[number][at:].partition("#")[0]
    while "(" in text and ")" not in text and number + 1 < len(lines):
        number += 1
        text = f"{text} {lines[number].partition('#')[0]}"
    return text.partition(")")[0].replace("(", " ").partition(";")[0]


def _is_later(lines: Sequence[str], number: int) -> bool:
    """Tell whether the statement is in a function, or for type checkers alone: by what it is indented under."""
    indent = _indent(lines[number])
    while indent and number:
        number -= 1
        line = lines[number]
        if line.strip() and _indent(line) < indent:
            indent = _indent(line)
            if _LATER.match(line):
                return True
    return False


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        yield ".".join(parts[:count])
