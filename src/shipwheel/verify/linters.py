"""Findings of Dockerfile linters that are installed: hadolint and tally. Installs none, and asks no network."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from shipwheel.verify.model import Finding, NotChecked, Place, Result, Rule

LINT: Final = Rule(
    code="dockerfile-lint",
    promise="stable",
    severity="note",
    title="A linter has something to say about the Dockerfile",
    why="hadolint and tally know many mistakes that are easy to make.",
    fix="See the linter's page about the rule that it names.",
)
RULES: Final = (LINT,)

_SECONDS: Final = 60
_COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "hadolint": ("--no-fail", "--format", "json"),
    "tally": ("lint", "--format", "json", "--slow-checks", "off"),
}
# Below these is taste: blank lines, the order of words.
_LEVELS: Final = frozenset({"error", "warning"})


def check(path: Path | None, environ: Mapping[str, str]) -> Iterator[Result]:
    """Yield what the linters say of the Dockerfile at `path`, errors and warnings alone."""
    if path is None:
        yield NotChecked(rule=LINT, reason="no Dockerfile was given (--dockerfile)")
        return
    places: list[Place] = []
    asked, failed = [], []
    for name, words in _COMMANDS.items():
        program = shutil.which(name, path=environ.get("PATH"))
        if program is None:
            continue
        try:
            done = subprocess.run(
                [program, *words, str(path)],
                capture_output=True,
                check=False,
                timeout=_SECONDS,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
            )
            data = json.loads(done.stdout)
            places += _hadolint(data) if name == "hadolint" else _tally(data)
            asked.append(name)
        except (ValueError, TypeError, KeyError, AttributeError, subprocess.TimeoutExpired, OSError) as error:
            failed.append(f"{name}: {type(error).__name__}")
    if places:
        places.sort(key=lambda place: (int(place.path.rpartition(":")[2]), place.detail))
        names = ", ".join(dict.fromkeys(place.detail.partition(":")[0] for place in places))
        yield Finding(rule=LINT, message=f"{', '.join(asked)}: {names[:200]}", places=places)
    elif not asked:
        reason = "; ".join(failed) if failed else "neither hadolint nor tally is installed"
        yield NotChecked(rule=LINT, reason=reason)


def _hadolint(data: Any) -> list[Place]:
    return [
        Place(path=f"{item['file']}:{int(item['line'])}", detail=f"{item['code']}: {item['message']}")
        for item in data
        if item["level"] in _LEVELS
    ]


def _tally(data: Any) -> list[Place]:
    found = []
    for file in data["files"]:
        for item in file["violations"]:
            # Those of hadolint are told by itself where it is installed, and by tally elsewhere.
            if item["severity"] in _LEVELS:
                line = int(item["location"]["start"]["line"])
                found.append(
                    Place(path=f"{file['file']}:{line}", detail=f"{item['rule']}: {item['message']}")
                )
    return found
