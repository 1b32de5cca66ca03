"""What only somebody who knows Python's installers sees in a Dockerfile: code, environment, bytecode, caches."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shipwheel.verify.model import Rule
from shipwheel.verify.recipe.parse import (
    Instruction,
    Stage,
    borrowed,
    chain,
    contributors,
    ends,
    final_variables,
    stage_named,
)

NO_CODE: Final = Rule(
    code="code-not-copied",
    promise="flexible",
    severity="error",
    title="The program's code never reaches the image",
    why="The stage that ships copies the environment alone: `No module named …` is all that it says.",
    fix="COPY the code into the last stage, after the environment; or install the project as a wheel.",
)
BUMP: Final = Rule(
    code="version-bump-reinstalls",
    promise="fast",
    severity="note",
    title="A new version number installs all dependencies again",
    why="pyproject.toml is copied before the installation: any edit of it, the version's too, ends the build cache there.",
    fix="Install from an exported requirements file, or from a pyproject.toml without its version: `shipwheel init` does.",
)
NO_BYTECODE_STEP: Final = Rule(
    code="no-bytecode-step",
    promise="fast",
    severity="warning",
    title="The Dockerfile compiles no bytecode",
    why="uv and Poetry do not compile unless told so: every container compiles again when it starts, for seconds.",
    fix="ENV UV_COMPILE_BYTECODE=1; poetry install --compile; or python -m compileall -q --invalidation-mode unchecked-hash PATH.",
)
TIMED_BYTECODE: Final = Rule(
    code="bytecode-with-times",
    promise="stable",
    severity="note",
    title="The Dockerfile's bytecode differs with every build",
    why="Bytecode holds its source's time: two builds of the same commit share no layer.",
    fix="python -m compileall --invalidation-mode unchecked-hash; uv: PYC_INVALIDATION_MODE=unchecked-hash.",
)
PIP_INSIDE: Final = Rule(
    code="installer-in-environment",
    promise="secure",
    severity="note",
    title="The environment is made with pip inside",
    why="Nothing in a finished image installs; pip weighs 10 MB and brings old copies of its own dependencies.",
    fix="python -m venv --without-pip; POETRY_VIRTUALENVS_OPTIONS_NO_PIP=true; uv brings none.",
)
NO_EFFECT: Final = Rule(
    code="step-without-effect",
    promise="stable",
    severity="note",
    title="A RUN has no effect on what follows",
    why="Every RUN is a shell of its own: what it sets for shells is gone after it.",
    fix="Use ENV PATH=…, WORKDIR or ENV instead, or remove the step.",
)
CACHE_LEFT: Final = Rule(
    code="cache-left",
    promise="small",
    severity="warning",
    title="The Dockerfile leaves installers' caches in a layer",
    why="Downloads are kept for a next time that never comes; removing them in a later RUN saves nothing.",
    fix="RUN --mount=type=cache,target=…; or pip install --no-cache-dir, rm -rf /var/lib/apt/lists/* in the same RUN.",
)
TOOL_FLOATS: Final = Rule(
    code="loose-tool-dependencies",
    promise="stable",
    severity="note",
    title="A tool is pinned, and what it needs is not",
    why="Poetry, PDM and their like bring dozens of packages; the newest of each is taken on the day.",
    fix='Install with hashes: pip install --require-hashes; pipx install --pip-args="--constraint FILE".',
)
RULES: Final = (
    NO_CODE,
    BUMP,
    NO_BYTECODE_STEP,
    TIMED_BYTECODE,
    PIP_INSIDE,
    NO_EFFECT,
    CACHE_LEFT,
    TOOL_FLOATS,
)

Told = tuple[Rule, int, str]

_MANIFEST: Final = re.compile(
    r"(?:.*/)?(?:pyproject\.toml|setup\.(?:cfg|py)|Pipfile|[^/]*\.lock|pylock[^/]*\.toml|poetry\.toml|uv\.toml|pdm\.toml"
    r"|[^/]*requirements?[^/]*\.(?:txt|in)|requirements|constraints[^/]*\.txt|README[^/]*|LICENSE[^/]*|\.python-version"
    r"|pip\.conf|\.npmrc|package(?:-lock)?\.json)"
)
_TOOLS: Final = frozenset(
    {"pip", "pipx", "uv", "poetry", "pdm", "pipenv", "hatch", "setuptools", "wheel", "build", "virtualenv"}
)
# uv is one program without dependencies.
_TOOLS_THAT_NEED: Final = frozenset(
    {"poetry", "pdm", "pipenv", "hatch", "pipx", "tox", "nox", "virtualenv", "build"}
)
_PROJECT_INSTALL: Final = re.compile(
    r"\bpip[0-9.]*\s+install\s(?:.*\s)?(?:-e\s+)?(?:\.{1,2}(?:\[\S*\])?|\./\S*|/\S*\.whl|\S*\.whl|\*\.whl)(?=\s|$|&|;)"
    r"|\bgit\s+clone\b|\b(?:curl|wget)\b.*\b(?:tar|unzip)\b"
)
_DEPENDENCIES_ALONE: Final = re.compile(
    r"\bpoetry\s+(?:install|sync)\b.*--no-root|\buv\s+sync\b.*--no-install-(?:project|workspace)|\bpdm\s+(?:install|sync)\b.*--no-self"
)
_QUIET_INSTALL: Final = re.compile(
    r"\b(?P<tool>uv\s+(?:sync|pip\s+(?:install|sync))|poetry\s+(?:install|sync)|pdm\s+(?:install|sync))\b"
)
_COMPILES: Final = re.compile(
    r"\bcompileall\b|\bpy_compile\b|\s--compile(?:-bytecode)?\b|UV_COMPILE_BYTECODE=[\"']?(?:1|true)|\bcompile\.py\b"
)
_BY_HASH: Final = re.compile(r"(?:un)?checked[-_]hash|SOURCE_DATE_EPOCH|compile\.py", re.IGNORECASE)
_NAMED_INSTALL: Final = re.compile(
    r"\b(?:pip[0-9.]*\s+install|pipx\s+install|uv\s+tool\s+install|uv\s+pip\s+install)\b(?P<words>[^&;|\n]*)"
)
_ALONE: Final = frozenset(
    {"--quiet", "-q", "-U", "--upgrade", "--no-cache-dir", "--user", "--force", "--system"}
)
_PYTHON_BASE: Final = re.compile(r"(?:.*/)?(?:python|uv)(?:[:@].*)?")
_INSTALLS: Final = re.compile(r"\b(?:pip[0-9.]*|pipx|uv|poetry|pdm|pipenv)\s+(?:\S+\s+)*?(?:install|sync)\b")
_NO_EFFECT: Final = re.compile(
    r"(?:python3?\s+-m\s+)?pipx\s+ensurepath(?:\s+--\S+)*|(?:\.|source)\s+\S*/bin/activate|cd\s+\S+|export\s+\S+|alias\s+\S+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A Dockerfile read: its stages, the arguments before the first, and the stage that ships."""

    stages: Sequence[Stage]
    arguments: Mapping[str, str]
    production: Stage

    def variables(self, stage: Stage) -> dict[str, str]:
        """Return what is set at the end of `stage`."""
        return final_variables(self.stages, stage, self.arguments)


def check(recipe: Recipe) -> Iterator[Told]:
    """Yield the broken rules with the line and what is there."""
    stages, shipped = recipe.stages, recipe.production
    parts = contributors(stages, shipped)
    if _is_python(parts) and not _has_code(stages, shipped, set()):
        yield NO_CODE, shipped.line, f"the stage {shipped.name or shipped.base} copies no code"
    yield from _bytecode(recipe, parts)
    for stage in stages:
        yield from _bump(stages, stage)
        for item in stage.instructions:
            if item.word == "RUN":
                yield from _run(recipe, stage, item, in_product=any(stage is part for part in parts))
    kept = {id(one): one for end in ends(stages) for one in chain(stages, end)}
    for stage in kept.values():
        for item in stage.instructions:
            if item.word == "RUN":
                variables = recipe.variables(stage)
                yield from ((CACHE_LEFT, item.line, name) for name in _caches(item.text, variables))


def _is_python(parts: Sequence[Stage]) -> bool:
    """Whether Python packages are installed, or the base is a Python: of others nothing is known."""
    return any(
        _PYTHON_BASE.fullmatch(stage.base)
        or any(item.word == "RUN" and _INSTALLS.search(item.text) for item in stage.instructions)
        for stage in parts
    )


def _has_code(stages: Sequence[Stage], stage: Stage, seen: set[int]) -> bool:
    """Whether code comes into `stage`: from the context, from a stage that has it, or installed."""
    for one in chain(stages, stage):
        if id(one) in seen:
            continue
        seen.add(id(one))
        if any(_brings_code(item) for item in one.instructions):
            return True
        for item, name in borrowed(one):
            other = stage_named(stages, name)
            if other is None:
                # An image of somebody: the tools' own bring no program of ours.
                if (
                    not re.search(r"(?:^|/)(?:uv|poetry|pdm|tini|busybox)(?:[:@]|$)", name)
                    and item.word != "RUN"
                ):
                    return True
            elif _has_code(stages, other, seen):
                return True
    return False


def _brings_code(item: Instruction) -> bool:
    if item.word in ("COPY", "ADD") and not item.flag("from"):
        return "<<" in item.text or any(not _MANIFEST.fullmatch(word) for word in item.words[:-1])
    if item.word != "RUN":
        return False
    for mount in re.findall(r"--mount=(\S*type=bind\S*)", item.text):
        source = re.search(r"(?:^|,)(?:source|src)=([^,\s]+)", mount)
        if "from=" not in mount and (source is None or not _MANIFEST.fullmatch(source[1])):
            return True
    if _PROJECT_INSTALL.search(item.text):
        return True
    # A program that is a published package.
    return any(name not in _TOOLS for name in _named(item.text))


def _named(text: str) -> list[str]:
    """Return the names of packages that a RUN installs by name."""
    found = []
    for match in _NAMED_INSTALL.finditer(text):
        words = match["words"].split()
        for before, word in zip(["", *words], words, strict=False):
            name = re.match(r"[\"']?([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?(?=[=<>!~@\"';]|$)", word)
            # The word after an option is the option's, but for those that take none.
            if name is not None and "/" not in word and (not before.startswith("-") or before in _ALONE):
                found.append(name[1].lower())
    return found


def _bytecode(recipe: Recipe, parts: Sequence[Stage]) -> Iterator[Told]:
    installs = [
        (item, match["tool"])
        for stage in parts
        for item in stage.instructions
        if item.word == "RUN" and (match := _QUIET_INSTALL.search(item.text))
    ]
    compiling = [
        item
        for stage in parts
        for item in stage.instructions
        if item.word in ("RUN", "ENV", "ARG") and _COMPILES.search(item.text)
    ]
    if installs and not compiling:
        item, tool = installs[0]
        yield NO_BYTECODE_STEP, item.line, f"{' '.join(tool.split())}, and nothing compiles"
    settled = any(
        _BY_HASH.search(item.text) or _BY_HASH.search(" ".join(recipe.variables(stage)))
        for stage in parts
        for item in stage.instructions
        if item.word in ("RUN", "ENV", "ARG")
    )
    if compiling and not settled:
        match = _COMPILES.search(compiling[0].text)
        yield TIMED_BYTECODE, compiling[0].line, "" if match is None else match[0].strip()


def _bump(stages: Sequence[Stage], stage: Stage) -> Iterator[Told]:
    manifest: Instruction | None = None
    for one in chain(stages, stage):
        for item in one.instructions:
            if item.word in ("COPY", "ADD") and not item.flag("from"):
                if any(
                    re.fullmatch(r"(?:.*/)?(?:pyproject|p\*)\.toml|pyproject\*", word)
                    for word in item.words[:-1]
                ):
                    manifest = item
            elif item.word == "RUN" and one is stage and _DEPENDENCIES_ALONE.search(item.text):
                mounted = re.search(r"--mount=\S*source=(?:\./)?pyproject\.toml", item.text)
                if manifest is not None:
                    yield BUMP, manifest.line, f"pyproject.toml, then the installation in line {item.line}"
                    return
                if mounted is not None:
                    yield BUMP, item.line, "pyproject.toml is mounted into the installation"
                    return


def _run(recipe: Recipe, stage: Stage, item: Instruction, *, in_product: bool) -> Iterator[Told]:
    commands = [command.strip() for command in re.split(r"&&|;|\n", re.sub(r"^(?:--\S+\s+)+", "", item.text))]
    for command in commands:
        if re.fullmatch(r"(?:\S*python3?\s+-m\s+)?pipx\s+ensurepath(?:\s+--\S+)*", command):
            yield NO_EFFECT, item.line, command
    if len(commands) == 1 and _NO_EFFECT.fullmatch(commands[0]) and "ensurepath" not in commands[0]:
        yield NO_EFFECT, item.line, commands[0]
    if in_product:
        yield from _pip_inside(recipe, stage, item)
    # Hashes and constraints may come in a file, or in pipx's --pip-args.
    if re.search(r"--require-hashes|--hash=|\s-c\s|--constraint|--requirement|\s-r\s", item.text):
        return
    for match in _NAMED_INSTALL.finditer(item.text):
        for word in match["words"].split():
            pinned = re.match(r"[\"']?([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==", word)
            if pinned is not None and pinned[1].lower() in _TOOLS_THAT_NEED:
                yield TOOL_FLOATS, item.line, word.strip("\"'")


def _pip_inside(recipe: Recipe, stage: Stage, item: Instruction) -> Iterator[Told]:
    variables = recipe.variables(stage)
    for match in re.finditer(r"(?:-m\s+venv|\bvirtualenv)\s+(?P<words>[^&;|\n]*)", item.text):
        if not re.search(r"--without-pip|--no-pip", match["words"]):
            yield PIP_INSIDE, item.line, match[0].strip()
    if re.search(r"\bpoetry\s+(?:install|sync)\b", item.text) and not any(
        variables.get(name, "").lower() in values
        for name, values in (
            ("POETRY_VIRTUALENVS_OPTIONS_NO_PIP", ("1", "true")),
            ("POETRY_VIRTUALENVS_CREATE", ("0", "false")),
        )
    ):
        made = any(
            re.search(r"virtualenvs\.(?:options\.no-pip\s+true|create\s+false)|-m\s+venv\s", other.text)
            for one in chain(recipe.stages, stage)
            for other in one.instructions
        )
        if not made and not variables.get("VIRTUAL_ENV"):
            yield PIP_INSIDE, item.line, "poetry makes the environment"


_CACHES: Final[Sequence[tuple[str, str, str, str]]] = (
    # who, what installs, what keeps it from caching, and the variable that does
    ("pip", r"\bpip[0-9.]*\s+install\b", r"--no-cache-dir|rm\s[^&;]*\.cache", "PIP_NO_CACHE_DIR"),
    ("pipx", r"\bpipx\s+install\b", r"--no-cache-dir|rm\s[^&;]*\.cache", "PIP_NO_CACHE_DIR"),
    (
        "poetry",
        r"\bpoetry\s+(?:install|sync)\b",
        r"--no-cache|cache\s+clear|rm\s[^&;]*(?:\.cache|POETRY_CACHE_DIR)",
        "POETRY_NO_CACHE",
    ),
    (
        "uv",
        r"\buv\s+(?:sync|pip\s+(?:install|sync)|tool\s+install)\b",
        r"--no-cache|cache\s+(?:clean|prune)|rm\s[^&;]*\.cache",
        "UV_NO_CACHE",
    ),
    ("pdm", r"\bpdm\s+(?:install|sync)\b", r"cache\s+clear|rm\s[^&;]*\.cache", "PDM_NO_CACHE"),
    (
        "apt",
        r"\bapt(?:-get)?\s+(?:-\S+\s+)*(?:update|install)\b",
        r"rm\s[^&;]*/var/lib/apt|apt-get\s+dist-?clean",
        "",
    ),
    ("apk", r"\bapk\s+(?:-\S+\s+)*add\b", r"--no-cache|rm\s[^&;]*/var/cache/apk", ""),
)


def _caches(text: str, variables: Mapping[str, str]) -> Iterator[str]:
    plain = re.sub(r"uv\s+pip", "uvpip", text)
    for name, install, avoided, variable in _CACHES:
        where = plain if name in ("pip", "pipx") else text
        match = re.search(install, where)
        if match is None or re.search(avoided, text) or "type=cache" in text:
            continue
        # pip takes `off` for "no cache" too, an old mistake that it keeps.
        if variables.get(variable, "").lower() in ("1", "true", "on", "yes", "off"):
            continue
        yield " ".join(match[0].split())
