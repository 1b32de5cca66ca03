"""Read a Dockerfile: instructions, stages, variables, and which stage ships. Judges nothing, builds nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

_HEREDOC: Final = re.compile(r"<<-?\s*([\"']?)([A-Za-z_]\w*)\1")
_VARIABLE: Final = re.compile(
    r"(?<!\\)\$(?:\{(?P<braced>\w+)(?::?(?P<sign>[-+?])(?P<word>[^}]*))?\}|(?P<bare>\w+))"
)
FOR_DEVELOPMENT: Final = re.compile(
    r"(?:.*[-_])?(?:dev|devel|develop|development|devcontainer|debug|test|tests|testing|ci|lint|linter|docs|check|checks)(?:[-_].*)?"
)
_ASSIGNMENT: Final = re.compile(
    r"(?P<name>[A-Za-z_]\w*)=(?P<value>(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|\\.|[^\s\"'\\])*)"
)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its word in capitals, the rest with lines joined, and its first line (from 1)."""

    word: str
    text: str
    line: int

    def flag(self, name: str) -> str:
        """Return the value of the flag `--name=`; empty where it is not given."""
        match = re.search(rf"(?:^|\s)--{name}=(\S+)", self.text)
        return "" if match is None else match[1].strip("\"'")

    @property
    def words(self) -> list[str]:
        """What COPY and ADD name: sources, and last the target; in either form."""
        plain = re.sub(r"^(?:--\S+\s+)+", "", self.text)
        return exec_form(plain) or plain.split()


@dataclass(slots=True)
class Stage:
    """A build stage: its base, its name where it has one, and what follows FROM."""

    base: str
    name: str | None
    line: int
    instructions: list[Instruction] = field(default_factory=list)


def parse_dockerfile(text: str) -> tuple[Instruction, ...]:
    """Return the instructions (Dockerfile reference, "Format"): comments left out, lines joined, heredocs kept."""
    lines = text.splitlines()
    directive = re.match(r"\s*#\s*escape\s*=\s*([\\`])", text, re.IGNORECASE)
    escape = directive[1] if directive else "\\"
    found: list[Instruction] = []
    number = 0
    while number < len(lines):
        start = number
        parts: list[str] = []
        while number < len(lines):
            line = lines[number]
            number += 1
            if line.lstrip().startswith("#") or (parts and not line.strip()):
                continue
            stripped = line.rstrip()
            parts.append(stripped.removesuffix(escape))
            if not stripped.endswith(escape):
                break
        joined = " ".join(part.strip() for part in parts).strip()
        for _, word in _HEREDOC.findall(joined) if joined.upper().startswith(("RUN", "COPY", "ADD")) else ():
            while number < len(lines):
                number += 1
                if lines[number - 1].strip() == word:
                    break
                joined += "\n" + lines[number - 1]
        word, _, rest = joined.partition(" ")
        if word:
            found.append(Instruction(word.upper(), rest.strip(), _first_line(lines, start)))
    return tuple(found)


def _first_line(lines: Sequence[str], start: int) -> int:
    while start < len(lines) - 1 and (not lines[start].strip() or lines[start].lstrip().startswith("#")):
        start += 1
    return start + 1


def split_stages(instructions: Sequence[Instruction]) -> tuple[list[Stage], dict[str, str]]:
    """Return the stages, and the arguments before the first one with their defaults."""
    stages: list[Stage] = []
    arguments: dict[str, str] = {}
    for item in instructions:
        if item.word == "FROM":
            words = [word for word in item.text.split() if not word.startswith("--")]
            named = len(words) >= 3 and words[1].upper() == "AS"
            stages.append(Stage(words[0] if words else "", words[2].lower() if named else None, item.line))
        elif stages:
            stages[-1].instructions.append(item)
        elif item.word == "ARG":
            arguments |= {name: expand(value, arguments) for name, value in assignments(item)}
    return stages, arguments


def assignments(item: Instruction) -> Iterator[tuple[str, str]]:
    """Yield the names and values of an ARG or ENV; a value without one is empty."""
    found = [(match["name"], _unquoted(match["value"])) for match in _ASSIGNMENT.finditer(item.text)]
    if found:
        yield from found
    elif item.word == "ENV":  # the old form, `ENV NAME the value`
        name, _, value = item.text.partition(" ")
        yield name, value.strip()
    if item.word == "ARG":
        plain = _ASSIGNMENT.sub(" ", item.text)
        yield from ((word, "") for word in plain.split() if re.fullmatch(r"[A-Za-z_]\w*", word))


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1] if text[:1] in ("'", '"') and text[-1:] == text[:1] else text)


def exec_form(text: str) -> list[str] | None:
    """Return the words of a JSON list; None for the shell's form."""
    if not text.lstrip().startswith("["):
        return None
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return [str(word) for word in words] if isinstance(words, list) else None


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Return `text` with the variables that are known; others stay as they are (Dockerfile reference, "ENV")."""

    def value(match: re.Match[str]) -> str:
        name, word = match["braced"] or match["bare"], match["word"] or ""
        known = variables.get(name, "")
        if match["sign"] == "-":
            return known or word
        if match["sign"] == "+":
            return word if known else ""
        return known if name in variables else match[0]

    return _VARIABLE.sub(value, text)


def used_variables(text: str) -> list[str]:
    """Return the names that `text` asks for without a default."""
    return [
        match["braced"] or match["bare"]
        for match in _VARIABLE.finditer(text)
        if match["sign"] not in ("-", "+")
    ]


def chain(stages: Sequence[Stage], stage: Stage) -> list[Stage]:
    """Return the stages that `stage` stands on, the lowest first, and itself."""
    found = [stage]
    while True:
        before = stages[: _index(stages, found[0])]
        parent = next((one for one in reversed(before) if one.name == found[0].base.lower()), None)
        if parent is None:
            return found
        found.insert(0, parent)


def _index(stages: Sequence[Stage], stage: Stage) -> int:
    return next(number for number, one in enumerate(stages) if one is stage)


def stage_named(stages: Sequence[Stage], name: str) -> Stage | None:
    """Return the stage that `--from=name` or `--target name` means: by name, or by number."""
    if name.isdecimal() and int(name) < len(stages):
        return stages[int(name)]
    return next((stage for stage in stages if stage.name == name.lower()), None)


def borrowed(stage: Stage) -> Iterator[tuple[Instruction, str]]:
    """Yield the instructions of `stage` that take from elsewhere, with the name of where."""
    for item in stage.instructions:
        if item.word in ("COPY", "ADD") and (name := item.flag("from")):
            yield item, name
        elif item.word == "RUN":
            for mount in re.findall(r"--mount=(\S+)", item.text):
                match = re.search(r"(?:^|,)from=([^,\s]+)", mount)
                if match is not None:
                    yield item, match[1]


def ends(stages: Sequence[Stage]) -> list[Stage]:
    """Return the stages that no other one stands on or takes from: those that become images."""
    used = {stage.base.lower() for stage in stages}
    for stage in stages:
        for _, name in borrowed(stage):
            found = stage_named(stages, name)
            used |= {found.name or ""} if found is not None else set()
            if found is not None and found.name is None:
                used.add(f"#{_index(stages, found)}")
    return [
        stage
        for number, stage in enumerate(stages)
        if (stage.name is None or stage.name not in used) and f"#{number}" not in used
    ]


def production(stages: Sequence[Stage]) -> Stage:
    """Return the stage that ships: the last that becomes an image and is not for development.

    Where all of them are, it is the highest that one of them stands on.
    """
    last = ends(stages)
    candidates = [*reversed(last), *(one for end in reversed(last) for one in reversed(chain(stages, end)))]
    for stage in candidates:
        if stage.name is None or not FOR_DEVELOPMENT.fullmatch(stage.name):
            return stage
    return stages[-1]


def contributors(stages: Sequence[Stage], stage: Stage) -> list[Stage]:
    """Return the stages whose files may be in the image of `stage`, itself and those it stands on included."""
    found: list[Stage] = []
    todo = [stage]
    while todo:
        for one in chain(stages, todo.pop()):
            if any(one is known for known in found):
                continue
            found.append(one)
            todo += [other for _, name in borrowed(one) if (other := stage_named(stages, name))]
    return sorted(found, key=lambda one: one.line)


def with_variables(
    stages: Sequence[Stage], stage: Stage, arguments: Mapping[str, str]
) -> Iterator[tuple[Instruction, dict[str, str]]]:
    """Yield each instruction of `stage` with the variables that are set before it.

    A stage inherits the variables of the one that it stands on; an argument from before the first FROM
    has to be declared again ("Understand how ARG and FROM interact").
    """
    variables: dict[str, str] = {}
    for one in chain(stages, stage):
        for item in one.instructions:
            if one is stage:
                yield item, dict(variables)
            if item.word in ("ARG", "ENV"):
                before = dict(variables)
                for name, value in assignments(item):
                    plain = expand(value, before)
                    if item.word == "ENV":
                        variables[name] = plain
                    else:
                        variables[name] = plain or before.get(name, "") or arguments.get(name, "")


def final_variables(stages: Sequence[Stage], stage: Stage, arguments: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are set at the end of `stage`."""
    ended = Stage(
        stage.base, stage.name, stage.line, [*stage.instructions, Instruction("END", "", stage.line)]
    )
    others = [ended if one is stage else one for one in stages]
    *_, (_, variables) = with_variables(others, ended, arguments)
    return variables


def last_of(stages: Sequence[Stage], stage: Stage, word: str) -> Instruction | None:
    """Return the instruction `word` that holds at the end of `stage`."""
    found = None
    for one in chain(stages, stage):
        for item in one.instructions:
            found = item if item.word == word else found
    return found


def start_of(stages: Sequence[Stage], target: str) -> str:
    """Return what the stage `target` (empty: the last) starts with, as text."""
    stage = stage_named(stages, target) if target else (stages[-1] if stages else None)
    if stage is None:
        return ""
    items = [last_of(stages, stage, word) for word in ("ENTRYPOINT", "CMD")]
    return " ".join(" ".join(exec_form(item.text) or [item.text]) for item in items if item is not None)
