"""Which line of a Dockerfile made which layer, by the image's history. What is not sure is left out.

The history (config.md, "history") has what ran, in the words of who built it: BuildKit writes `RUN /bin/sh -c
make # buildkit` and `COPY a /b # buildkit`, Docker's old builder and Buildah `/bin/sh -c make` and `/bin/sh
-c #(nop) COPY file:… in /b`. Both are followed from the end; a line is told where the words agree.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from shipwheel.verify.evidence import HistoryEntry
from shipwheel.verify.recipe.parse import (
    Instruction,
    chain,
    exec_form,
    expand,
    parse_dockerfile,
    production,
    split_stages,
    stage_named,
    with_variables,
)

_NOP: Final = re.compile(r"(?:/bin/sh -c )?#\(nop\)\s+(?P<rest>.*)", re.DOTALL)
_SHELL: Final = re.compile(
    r"(?:RUN\s+)?(?:\|\d+ .*?)?(?:/bin/(?:ba|a|da)?sh|\S*/sh) (?:-\S+ )+(?P<script>.*)", re.DOTALL
)
_LAYERS: Final = frozenset({"RUN", "COPY", "ADD", "WORKDIR"})


def layer_lines(text: str, history: Sequence[HistoryEntry], *, target: str = "") -> Mapping[int, int]:
    """Return for layers (from 0) the line of the Dockerfile `text` (from 1) that made them.

    `target` is the stage that was built; empty: the one that ships, or where that fits less, the last.
    """
    stages, arguments = split_stages(parse_dockerfile(text))
    if not stages:
        return {}
    wanted = stage_named(stages, target) if target else None
    candidates = [wanted] if wanted is not None else [production(stages), stages[-1]]
    found = []
    for stage in candidates:
        made = [
            (item, variables)
            for one in chain(stages, stage)
            for item, variables in with_variables(stages, one, arguments)
            if item.word in _LAYERS
        ]
        found.append(dict(_aligned(made, history)))
    return max(found, key=len)


def _aligned(
    made: Sequence[tuple[Instruction, Mapping[str, str]]], history: Sequence[HistoryEntry]
) -> Iterator[tuple[int, int]]:
    left = len(made)
    for entry in reversed(history):
        if entry.layer is None:
            continue
        for number in range(left - 1, -1, -1):
            item, variables = made[number]
            if _made(item, variables, entry.created_by):
                yield entry.layer, item.line
                left = number
                break


def _made(item: Instruction, variables: Mapping[str, str], told: str) -> bool:
    told = told.removesuffix("# buildkit").strip()
    nop = _NOP.fullmatch(told)
    plain = told if nop is None else nop["rest"].strip()
    if item.word == "RUN":
        return nop is None and _run(item, plain)
    if not plain.upper().startswith(f"{item.word} "):
        return False
    words = plain.split()
    if item.word == "WORKDIR":
        return _same_folder(words[-1], expand(item.text.strip(), variables))
    return bool(item.words) and _same_folder(words[-1], expand(item.words[-1], variables))


def _same_folder(told: str, written: str) -> bool:
    """Whether the history's target is the Dockerfile's, which may be relative or hold what a build was given."""
    told, written = (text.strip("\"'") for text in (told, written))
    if "$" in written:
        known = re.escape(written)
        return bool(re.fullmatch(re.sub(r"\\\$(?:\\\{\w+[^}]*\\\}|\w+)", ".*", known), told))
    plain = posixpath.normpath(written).lstrip("./")
    return posixpath.normpath(told).rstrip("/").endswith(plain) if plain else True


def _run(item: Instruction, told: str) -> bool:
    written = re.sub(r"^(?:--\S+\s+)+", "", item.text)
    # Of a here-document its lines are what ran.
    written = re.sub(r"^<<-?\s*[\"']?\w+[\"']?\s*\n", "", written)
    words = exec_form(written)
    if words is not None:
        written = " ".join(words)
    else:
        shell = _SHELL.fullmatch(told)
        told = told if shell is None else shell["script"]
    told = re.sub(r"^RUN\s+", "", told)
    return bool(_squeezed(written)) and _squeezed(told).endswith(_squeezed(written))


def _squeezed(text: str) -> str:
    """Return `text` without white space and line ends, which builders keep in different ways."""
    return re.sub(r"(?:\\\s*\n)|\s+|\\(?=\s|$)", "", re.sub(r"(?m)^\s*#.*$", "", text))
