"""What the image starts and asks: its program, its health check, its PATH. Part of the fourth promise."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from shipwheel.verify.installed import DEFAULT_PATH, environment, find_program
from shipwheel.verify.model import Finding, Place, Result, Rule
from shipwheel.verify.subject import Chapter, Subject

IDLE: Final = Rule(
    code="starts-no-program",
    promise="flexible",
    severity="warning",
    title="The image starts an interpreter and no program",
    why="It prints a version or waits for input that never comes, and ends: usual where the base's CMD was left.",
    fix='Say what to start: ENTRYPOINT ["python", "-m", "app"].',
)
HEALTH: Final = Rule(
    code="health-check-broken",
    promise="flexible",
    severity="error",
    title="The health check's program is not in the image",
    why="The container is never healthy: what waits for it never starts, and orchestrators restart it for ever.",
    fix='Write it in Python, which is there: HEALTHCHECK CMD ["python", "-c", "import urllib.request …"].',
)
PATH_MISSING: Final = Rule(
    code="path-entry-missing",
    promise="flexible",
    severity="note",
    title="PATH names folders that are not there",
    why="Something was moved or never made; a folder that somebody may create later is searched first.",
    fix="Remove the folder from ENV PATH, or correct it.",
)
RULES: Final = (IDLE, HEALTH, PATH_MISSING)

_PYTHON: Final = re.compile(r"(?:\S*/)?python(?:[23](?:\.\d+)?)?")
_SHELLS: Final = frozenset({"sh", "bash", "ash", "dash"})
_ONLY_TELLS: Final = frozenset({"--version", "-V", "-VV", "--help", "-h"})
_USUAL: Final = frozenset(word.strip("/") for word in DEFAULT_PATH.split(":"))
# Of a line for the shell, words that any shell does itself.
_BUILT_IN: Final = frozenset(
    {"exit", "test", "[", "true", "false", "echo", "exec", "cd", ":", "if", "for", "!"}
)


def is_idle(words: Sequence[str]) -> bool:
    """Whether a command is an interpreter that has nothing to run."""
    if not words or not _PYTHON.fullmatch(words[0]):
        return False
    rest = [word for word in words[1:] if word not in ("-u", "-O", "-B", "-I")]
    return not rest or rest[0] in _ONLY_TELLS


def _check_start(subject: Subject) -> Iterator[Result]:
    config = subject.evidence.image.config
    words = [*(config.entrypoint or ()), *(config.cmd or ())]
    if is_idle(words):
        name = "config.Cmd" if config.cmd else "config.Entrypoint"
        yield Finding(rule=IDLE, message=" ".join(words), places=[Place(path=name, detail=" ".join(words))])


def _check_path(subject: Subject) -> Iterator[Result]:
    folders = environment(subject.evidence.image.config).get("PATH", "").split(":")
    missing = [
        folder
        for folder in dict.fromkeys(folders)
        if folder.startswith("/")
        and folder.strip("/") not in _USUAL
        and subject.evidence.real_path(folder.strip("/")) is None
    ]
    if missing:
        places = [Place(path="env.PATH", detail=folder) for folder in missing]
        yield Finding(rule=PATH_MISSING, message=", ".join(missing), places=places)


def _check_health(subject: Subject) -> Iterator[Result]:
    words = () if subject.health is None else subject.health.test
    if not words:
        return
    missing = words[0] if find_program(subject.evidence, words[0]) is None else ""
    if not missing and words[0].rpartition("/")[2] in _SHELLS and words[1:2] == ("-c",):
        first = re.match(r"\s*([\w./-]+)", words[2] if len(words) > 2 else "")
        if (
            first is not None
            and first[1] not in _BUILT_IN
            and find_program(subject.evidence, first[1]) is None
        ):
            missing = first[1]
    if missing:
        place = Place(path="config.Healthcheck", detail=" ".join(words)[:200])
        yield Finding(rule=HEALTH, message=f"{missing} is not there", places=[place])


CHAPTERS: Final = (
    Chapter(rules=(IDLE,), check=_check_start),
    Chapter(rules=(PATH_MISSING,), check=_check_path),
    Chapter(rules=(HEALTH,), check=_check_health),
)
