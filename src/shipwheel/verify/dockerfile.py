"""What a Dockerfile costs a Python project: bases, order, caches, leftovers, secrets. Reads text, builds nothing.

General style is the linters' (`linters`); here is what needs to know Python, or the promises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from shipwheel.verify.model import Finding, NotChecked, Place, Result, Rule
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
RULES: Final = (BASE_TAG, COPY_FIRST, NO_CACHE, BUILD_TOOLS, ARGUMENT)

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
_HEREDOC: Final = re.compile(r"<<-?\s*([\"']?)([A-Za-z_]\w*)\1")


# Notes a broken rule with the line and what is there.
Tell = Callable[[Rule, int, str], None]


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its word in capitals, the rest with lines joined, and its first line (from 1)."""

    word: str
    text: str
    line: int


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
            name, _, value = item.text.partition("=")
            arguments[name.strip()] = value.strip().strip("\"'")
    return stages, arguments


def check(path: str | None, text: str | None) -> Iterator[Result]:
    """Yield what is wrong with the Dockerfile `text`; `path` names it in places. None: there is none."""
    if path is None or text is None:
        for rule in RULES:
            yield NotChecked(rule=rule, reason="no Dockerfile was given (--dockerfile)")
        return
    stages, arguments = split_stages(parse_dockerfile(text))
    if not stages:
        for rule in RULES:
            yield NotChecked(rule=rule, reason=f"{path} has no FROM")
        return
    found: dict[str, tuple[Rule, list[Place]]] = {}

    def tell(rule: Rule, line: int, detail: str) -> None:
        found.setdefault(rule.code, (rule, []))[1].append(Place(path=f"{path}:{line}", detail=detail))

    _bases(stages, arguments, tell)
    for stage in stages:
        _stage(stage, tell)
    for item in stages[-1].instructions:
        if item.word == "RUN":
            for name in _build_tools(item.text):
                tell(BUILD_TOOLS, item.line, name)
    for rule, places in found.values():
        details = dict.fromkeys(place.detail for place in places)
        yield Finding(rule=rule, message="; ".join(list(details)[:4]), places=places)


def _bases(stages: Sequence[Stage], arguments: dict[str, str], tell: Tell) -> None:
    names: set[str] = set()
    for stage in stages:
        base = re.sub(r"\$\{?(\w+)(?::?-([^}]*))?\}?", lambda match: _value(match, arguments), stage.base)
        if base.lower() not in names | {"scratch"} and "@sha256:" not in base:
            tell(BASE_TAG, stage.line, base)
        if stage.name is not None:
            names.add(stage.name)


def _value(match: re.Match[str], arguments: dict[str, str]) -> str:
    return arguments.get(match[1]) or match[2] or match[0]


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
    removed = re.search(r"\b(?:purge|autoremove|apk\s+del|--virtual)\b", text)
    for command in re.split(r"&&|;|\n|\|\|", text):
        install = _SYSTEM_INSTALL.search(command)
        if install is not None and removed is None:
            found += [match["name"] for match in _BUILD_TOOLS.finditer(install["words"])]
    return found
