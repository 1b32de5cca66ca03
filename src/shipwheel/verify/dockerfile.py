"""What a Dockerfile costs a Python project: bases, order, caches, leftovers, secrets. Reads text, builds nothing.

General style is the linters' (`linters`); here is what needs to know Python, or the promises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Final

from shipwheel.verify.lifetimes import base_faults
from shipwheel.verify.model import Finding, NotChecked, Place, Result, Rule
from shipwheel.verify.recipe import python, start
from shipwheel.verify.recipe.parse import (
    Instruction,
    Stage,
    expand,
    parse_dockerfile,
    production,
    split_stages,
)
from shipwheel.verify.secrets import find_credentials, find_secrets
from shipwheel.verify.stable import history_faults

BASE_TAG: Final = Rule(
    code="base-by-tag",
    promise="stable",
    severity="warning",
    title="The Dockerfile's base can change under its name",
    why="A tag is moved with every release: tomorrow's build stands on something else.",
    fix="Pin it: FROM python:3.13-slim@sha256:…, and let a bot renew the digest.",
)
COPY_FIRST: Final = Rule(
    code="copy-before-install",
    promise="fast",
    severity="warning",
    title="The Dockerfile copies the code before it installs dependencies",
    why="The build cache ends at the first change: each edited line installs all dependencies again.",
    fix="COPY pyproject.toml and the lock, RUN the installation, and COPY the rest after it.",
)
NO_CACHE: Final = Rule(
    code="no-cache-mount",
    promise="fast",
    severity="note",
    title="The Dockerfile installs without a cache",
    why="When the layer is made again, every package is downloaded and built again.",
    fix="RUN --mount=type=cache,target=/root/.cache/pip (uv: /root/.cache/uv, Poetry: /root/.cache/pypoetry).",
)
BUILD_TOOLS: Final = Rule(
    code="build-tools-in-last-stage",
    promise="small",
    severity="warning",
    title="The Dockerfile's last stage installs what only building needs",
    why="Compilers and headers are shipped and pulled with every version.",
    fix="Install them in an earlier stage, and COPY --from the environment.",
)
ARGUMENT: Final = Rule(
    code="secret-as-argument",
    promise="secure",
    severity="error",
    title="The Dockerfile takes secrets as arguments or variables",
    why="ARG and ENV are stored in the image's history or configuration, for everybody to read.",
    fix="RUN --mount=type=secret,id=NAME gives it to one command alone.",
)
RULES: Final = (BASE_TAG, COPY_FIRST, NO_CACHE, BUILD_TOOLS, ARGUMENT, *python.RULES, *start.RULES)

_SECRET_NAME: Final = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|SECRET|SECRET_KEY|TOKEN|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIALS?)$",
    re.IGNORECASE,
)
_INSTALL: Final = re.compile(
    r"\b(?:pip[0-9.]*\s+install|uv\s+(?:pip\s+(?:install|sync)|sync)|poetry\s+(?:install|sync)|pdm\s+(?:install|sync)"
    r"|pipenv\s+(?:install|sync))\b"
)
_BUILD_TOOLS: Final = re.compile(
    r"(?:^|\s)(?P<name>build-essential|gcc|g\+\+|clang|make|cmake|gfortran|rustc|cargo|[a-z0-9.+-]+-dev|musl-dev|libffi-dev)"
    r"(?:=\S+)?(?=\s|$)"
)
_SYSTEM_INSTALL: Final = re.compile(
    r"\b(?:apt-get|apt|apk|dnf|microdnf|yum)\b.*\b(?:install|add)\b(?P<words>.*)"
)

# Notes a broken rule with the line and what is there.
Tell = Callable[[Rule, int, str], None]


def check(
    path: str | None,
    text: str | None,
    *,
    today: date | None = None,
    ignored: bool | None = None,
    groups: frozenset[str] | None = None,
) -> Iterator[Result]:
    """Yield what is wrong with the Dockerfile `text`; `path` names it in places. None: there is none.

    `today` tells what has ended, `ignored` whether a .dockerignore is beside it, `groups` which groups
    and extras the project has; None where that is not known.
    """
    if path is None or text is None:
        for rule in RULES:
            yield NotChecked(rule=rule, reason="no Dockerfile was given (--dockerfile)")
        return
    stages, arguments = split_stages(parse_dockerfile(text))
    if not stages:
        for rule in RULES:
            yield NotChecked(rule=rule, reason=f"{path} has no FROM")
        return
    if ignored is None:
        yield NotChecked(rule=start.NO_IGNORE, reason="the folder that is copied is not known")
    if groups is None:
        yield NotChecked(rule=start.UNKNOWN_GROUP, reason="no project with a lock was given (--project)")
    found: dict[str, tuple[Rule, dict[Place, None]]] = {}

    def tell(rule: Rule, line: int, detail: str) -> None:
        found.setdefault(rule.code, (rule, {}))[1][Place(path=f"{path}:{line}", detail=detail)] = None

    recipe = python.Recipe(stages=stages, arguments=arguments, production=production(stages))
    _bases(stages, arguments, today, tell)
    for stage in stages:
        _stage(stage, tell)
    for item in recipe.production.instructions:
        for name in _build_tools(item.text) if item.word == "RUN" else ():
            tell(BUILD_TOOLS, item.line, name)
    for told in (*python.check(recipe), *start.check(recipe, ignored=ignored, groups=groups)):
        tell(*told)
    for rule, places in found.values():
        details = dict.fromkeys(place.detail for place in places)
        yield Finding(rule=rule, message="; ".join(list(details)[:4]), places=tuple(places))


def _bases(stages: Sequence[Stage], arguments: dict[str, str], today: date | None, tell: Tell) -> None:
    names: set[str] = set()
    for stage in stages:
        base = expand(stage.base, arguments)
        if base.lower() not in names | {"scratch"}:
            if "@sha256:" not in base:
                tell(BASE_TAG, stage.line, base)
            for rule, detail in base_faults(base, today):
                tell(rule, stage.line, f"{base}: {detail}")
        if stage.name is not None:
            names.add(stage.name)


def _stage(stage: Stage, tell: Tell) -> None:
    copied: Instruction | None = None
    installed = False
    for item in stage.instructions:
        if item.word in ("COPY", "ADD") and _copies_all(item.text):
            # After dependencies were installed, a second installation adds the project alone.
            copied = copied if copied is not None or installed else item
        elif item.word in ("ARG", "ENV"):
            _variables(item, tell)
        elif item.word == "RUN":
            installed = _run(item, copied, tell) or installed
        if item.word == "ADD":
            for rule, detail in history_faults(f"ADD {item.text}"):
                tell(rule, item.line, detail)


def _run(item: Instruction, copied: Instruction | None, tell: Tell) -> bool:
    """Look at a RUN after everything was `copied`; return whether it installs Python packages."""
    for rule, detail in history_faults(re.sub(r"^(?:--\S+\s+)+", "", item.text)):
        tell(rule, item.line, detail)
    for secret in (*find_secrets(item.text.encode()), *find_credentials(item.text.encode())):
        tell(ARGUMENT, item.line, f"{secret.kind}: {secret.shown}")
    install = _INSTALL.search(item.text)
    if install is None:
        return False
    if copied is not None and not re.search("--no-deps|--only-root", item.text):
        tell(COPY_FIRST, copied.line, f"{copied.word} {copied.text}, then {install[0]} in line {item.line}")
    if "type=cache" not in item.text:
        tell(NO_CACHE, item.line, install[0])
    return True


def _copies_all(text: str) -> bool:
    words = [word for word in text.split() if not word.startswith("--")]
    return "--from=" not in text and any(word in (".", "./", "/") for word in words[:-1])


def _variables(item: Instruction, tell: Tell) -> None:
    for name, value in re.findall(r"(?:^|\s)([A-Za-z_]\w*)(?:=(\"[^\"]*\"|'[^']*'|\S*))?", item.text):
        plain = value.strip("\"'")
        takes = item.word == "ARG" or (plain and not plain.startswith(("/", "$")))
        if _SECRET_NAME.search(name) and takes:
            tell(ARGUMENT, item.line, f"{item.word} {name}")
    for secret in (*find_secrets(item.text.encode()), *find_credentials(item.text.encode())):
        tell(ARGUMENT, item.line, f"{item.word}: {secret.kind}: {secret.shown}")


def _build_tools(text: str) -> list[str]:
    found = []
    # What a shell puts in on a condition is not there as a rule.
    text = re.sub(r"\$\([^)]*\)", " ", text)
    removed = re.search(r"\b(?:purge|autoremove|apk\s+del|--virtual)\b", text)
    for command in re.split(r"&&|;|\n|\|\|", text):
        install = _SYSTEM_INSTALL.search(command)
        if install is not None and removed is None:
            found += [match["name"] for match in _BUILD_TOOLS.finditer(install["words"])]
    return found
