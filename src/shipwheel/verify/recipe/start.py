"""What a Dockerfile makes of the container: its user, its variables, what it starts, its health, its context."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from shipwheel.verify.model import Rule
from shipwheel.verify.recipe.parse import (
    Instruction,
    assignments,
    chain,
    exec_form,
    expand,
    last_of,
    used_variables,
    with_variables,
)
from shipwheel.verify.recipe.python import Recipe
from shipwheel.verify.secure.programs import ENTRY_SHELL
from shipwheel.verify.secure.user import NAMED, ROOT, WRITABLE
from shipwheel.verify.starting import IDLE, is_idle

UNDECLARED: Final = Rule(
    code="undeclared-variable",
    promise="stable",
    severity="warning",
    title="The Dockerfile uses a variable that is not set there",
    why="An ARG ends with its stage, and one from before FROM has to be declared again: the value is empty.",
    fix="Declare it in the stage that uses it: ARG NAME.",
)
NO_HEALTH: Final = Rule(
    code="no-health-check",
    promise="stable",
    severity="note",
    title="The Dockerfile has no health check",
    why="A hung program counts as running. Only Kubernetes has probes of its own, and asks no image.",
    fix="HEALTHCHECK CMD with a line of Python that asks the program, in the list form.",
)
NO_IGNORE: Final = Rule(
    code="no-dockerignore",
    promise="secure",
    severity="warning",
    title="The whole folder is copied, and there is no .dockerignore",
    why=".git, .env, caches and the machine's own .venv come along; any of them ends the build cache when it changes.",
    fix="Write a .dockerignore that leaves out everything but what the program needs.",
)
UNKNOWN_GROUP: Final = Rule(
    code="unknown-group",
    promise="stable",
    severity="error",
    title="The Dockerfile installs a group of dependencies that there is not",
    why="The installer ends in an error, or leaves it out in silence.",
    fix="Use the names of [dependency-groups], [tool.poetry.group] and [project.optional-dependencies].",
)
RULES: Final = (UNDECLARED, NO_HEALTH, NO_IGNORE, UNKNOWN_GROUP)

Told = tuple[Rule, int, str]

# Set by the bases that people use, by BuildKit for every stage, or by every shell.
_FROM_ELSEWHERE: Final = re.compile(
    r"PATH|HOME|USER|PWD|HOSTNAME|SHELL|LANG|LC_ALL|TERM|TMPDIR|GPG_KEY|PYTHON_(?:VERSION|SHA256|PIP_VERSION)|PYTHONPATH"
    r"|LD_LIBRARY_PATH|LD_PRELOAD|PKG_CONFIG_PATH|MANPATH|(?:TARGET|BUILD)(?:PLATFORM|OS|ARCH|VARIANT)"
)
_EXPANDED: Final = frozenset(
    {"ENV", "COPY", "ADD", "WORKDIR", "USER", "EXPOSE", "LABEL", "STOPSIGNAL", "VOLUME"}
)
_SHELL_WORDS: Final = re.compile(r"[|&;<>$`*?]")
_GROUPS: Final = re.compile(r"\b(?:poetry|uv|pdm)\s+(?:install|sync)\b[^&;|\n]*")
_GROUP_OPTION: Final = re.compile(
    r"--(?:with|without|only|group|only-group|no-group|extra|extras)[=\s]+[\"']?([A-Za-z0-9._, -]+?)[\"']?(?=\s+-|\s*$)"
)
_ROOT_BASES: Final = re.compile(
    r"(?:.*/)?(?:python|debian|ubuntu|alpine|fedora|uv|almalinux|rockylinux)(?:[:@].*)?"
)


def check(recipe: Recipe, *, ignored: bool | None, groups: frozenset[str] | None) -> Iterator[Told]:
    """Yield the broken rules with the line and what is there.

    `ignored` tells whether there is a .dockerignore, `groups` the names of all groups and extras of the
    project; None where that is not known.
    """
    yield from _user(recipe)
    yield from _starts(recipe)
    for stage in recipe.stages:
        yield from _variables(recipe, stage.instructions)
        for item in stage.instructions:
            if item.word in ("COPY", "ADD") and ignored is False and _copies_folder(item):
                yield NO_IGNORE, item.line, f"{item.word} {item.text}"
            if item.word == "RUN" and groups is not None:
                yield from _groups(item, groups)


def _user(recipe: Recipe) -> Iterator[Told]:
    stages, shipped = recipe.stages, recipe.production
    item = last_of(stages, shipped, "USER")
    variables = recipe.variables(shipped)
    root = chain(stages, shipped)[0].base
    if item is None:
        if _ROOT_BASES.fullmatch(expand(root, recipe.arguments)):
            yield ROOT, shipped.line, "no USER in the stage that ships"
        return
    text = expand(item.text, variables).strip()
    name, _, _ = text.partition(":")
    if name in ("root", "0"):
        yield ROOT, item.line, f"USER {text}"
    elif not name.isdecimal() and "$" not in name:
        yield NAMED, item.line, f"USER {text}"
    owners = {name, *_numbers(recipe, name)}
    for stage in chain(stages, shipped):
        for one, known in with_variables(stages, stage, recipe.arguments):
            given = expand(one.flag("chown"), known).partition(":")[0]
            if one.word in ("COPY", "ADD") and given and given in owners - {"0", "root"}:
                yield WRITABLE, one.line, f"{one.word} --chown={expand(one.flag('chown'), known)}"
            for match in re.finditer(
                r"\bchown\s+(?:-\S*R\S*|--recursive)\s+[\"']?([^\s\"']+)[\"']?\s+(\S+)", one.text
            ):
                whose = expand(match[1], known).partition(":")[0]
                if (
                    one.word == "RUN"
                    and whose in owners - {"0", "root"}
                    and not _is_data(expand(match[2], known))
                ):
                    yield WRITABLE, one.line, expand(match[0], known)


def _numbers(recipe: Recipe, name: str) -> set[str]:
    """Return the numbers and names that the Dockerfile's useradd or adduser give the user `name`."""
    found = set()
    for stage in chain(recipe.stages, recipe.production):
        for item, known in with_variables(recipe.stages, stage, recipe.arguments):
            text = expand(item.text, known) if item.word == "RUN" else ""
            for match in re.finditer(r"\b(?:useradd|adduser)\s+([^&;|\n]*)", text):
                uid = re.search(r"(?:--uid|-u)[=\s]+[\"']?(\d+)", match[1])
                last = match[1].split()[-1].strip("\"'") if match[1].split() else ""
                if uid is not None and name in (last, uid[1]):
                    found |= {uid[1], last}
    return found


def _is_data(path: str) -> bool:
    return bool(re.match(r"[\"']?/(?:home|data|var|tmp|run|srv/data|mnt)(?:/|$|[\"'])", path))


def _starts(recipe: Recipe) -> Iterator[Told]:
    stages, shipped = recipe.stages, recipe.production
    entry, command = last_of(stages, shipped, "ENTRYPOINT"), last_of(stages, shipped, "CMD")
    # A base's CMD is void below an ENTRYPOINT of ours, and the shell's form of CMD is an argument then.
    for item in (entry, command if entry is None else None):
        if item is not None and item.text and exec_form(item.text) is None and not _execs(item.text):
            yield ENTRY_SHELL, item.line, f"{item.word} {item.text[:80]}"
    words = [
        word
        for item in (entry, command)
        if item is not None
        for word in exec_form(item.text) or item.text.split()
    ]
    told = command or entry
    if told is not None and is_idle(words):
        yield IDLE, told.line, " ".join(words)
    health = last_of(stages, shipped, "HEALTHCHECK")
    if health is None or health.text.strip().upper() == "NONE":
        line = shipped.line if health is None else health.line
        yield NO_HEALTH, line, "no HEALTHCHECK" if health is None else "HEALTHCHECK NONE"


def _execs(text: str) -> bool:
    """Whether the shell makes place for the program, and `exec` is all that it does."""
    return text.lstrip().startswith("exec ") and not _SHELL_WORDS.search(
        text.replace("${", "").replace("$", "")
    )


def _variables(recipe: Recipe, instructions: list[Instruction]) -> Iterator[Told]:
    elsewhere = set(recipe.arguments)
    for stage in recipe.stages:
        for item in stage.instructions:
            if item.word in ("ARG", "ENV"):
                elsewhere |= {name for name, _ in assignments(item)}
    stage = next(one for one in recipe.stages if one.instructions is instructions)
    for item, known in with_variables(recipe.stages, stage, recipe.arguments):
        if item.word not in _EXPANDED:
            continue
        lost = [
            name
            for name in dict.fromkeys(used_variables(item.text))
            if name not in known and not _FROM_ELSEWHERE.fullmatch(name)
        ]
        for name in lost:
            itself = item.word == "ENV" and any(own == name for own, _ in assignments(item))
            if name in elsewhere or itself:
                yield UNDECLARED, item.line, f"${name} is not set in this stage"


def _copies_folder(item: Instruction) -> bool:
    return not item.flag("from") and any(word in (".", "./", "/") for word in item.words[:-1])


def _groups(item: Instruction, groups: frozenset[str]) -> Iterator[Told]:
    for command in _GROUPS.finditer(item.text):
        for match in _GROUP_OPTION.finditer(command[0].strip()):
            for name in re.split(r"[,\s]+", match[1].strip()):
                plain = re.sub(r"[-_.]+", "-", name).lower()
                if plain and plain not in groups:
                    yield UNKNOWN_GROUP, item.line, f"{name} in {match[0].strip()}"
