"""The fifth promise: whether the image could be made again, and would be the same."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Final

from shipwheel.errors import LockError
from shipwheel.locks.fresh import check_fresh
from shipwheel.verify.model import Finding, NotChecked, Place, Result, Rule
from shipwheel.verify.subject import Chapter, Subject, count

UNPINNED_PYTHON: Final = Rule(
    code="unpinned-python-packages",
    promise="stable",
    severity="warning",
    title="Python packages were installed without fixed versions",
    why="The next build takes what is newest then, and nobody knows what is in this one.",
    fix="Install from a lock: pip install --require-hashes -r requirements.txt, uv sync --locked, poetry sync.",
)
UNPINNED_NODE: Final = Rule(
    code="unpinned-node-packages",
    promise="stable",
    severity="warning",
    title="Node packages were installed without a lock",
    why="npm install takes what is newest on the day.",
    fix="Use npm ci with package-lock.json.",
)
UNPINNED_SYSTEM: Final = Rule(
    code="unpinned-system-packages",
    promise="stable",
    severity="note",
    title="System packages were installed without fixed versions",
    why="The same Dockerfile gives another image tomorrow; that is how security updates come, and surprises.",
    fix="Pin the base by digest and take packages from a snapshot of the archive; shipwheel.lock does both.",
)
PIPED: Final = Rule(
    code="piped-to-shell",
    promise="stable",
    severity="warning",
    title="A script from the network was run unseen",
    why="Whoever holds that address decides what is in the image; no hash was checked.",
    fix="Download it, check its sha256, then run it; or copy the program from an image pinned by digest.",
)
REMOTE_ADD: Final = Rule(
    code="remote-add",
    promise="stable",
    severity="warning",
    title="ADD took a file from the network without a checksum",
    why="The address may give something else tomorrow.",
    fix="ADD --checksum=sha256:… ADDRESS.",
)
LOOSE_SOURCE: Final = Rule(
    code="loose-source",
    promise="stable",
    severity="warning",
    title="Packages came from an address without a hash or commit",
    why="What was installed cannot be found again.",
    fix="Lock the address with a hash, or the repository with a commit.",
)
STALE_LOCK: Final = Rule(
    code="stale-lock",
    promise="stable",
    severity="error",
    title="The lock does not fit pyproject.toml",
    why="The project asks for something else than what is locked, and installed.",
    fix="Lock again with the tool that made the lock.",
)
UNHASHED_LOCK: Final = Rule(
    code="lock-without-hashes",
    promise="stable",
    severity="warning",
    title="The lock has packages without hashes",
    why="An index, or somebody on the way, can give other bytes under the same version.",
    fix="Lock with hashes: pip-compile --generate-hashes, uv export, poetry lock.",
)
RULES: Final = (
    UNPINNED_PYTHON,
    UNPINNED_NODE,
    UNPINNED_SYSTEM,
    PIPED,
    REMOTE_ADD,
    LOOSE_SOURCE,
    STALE_LOCK,
    UNHASHED_LOCK,
)

_HISTORY_RULES: Final = (UNPINNED_PYTHON, UNPINNED_NODE, UNPINNED_SYSTEM, PIPED, REMOTE_ADD)
_PIPED: Final = re.compile(
    r"(?:curl|wget)\b[^|;&]*\|\s*(?:sudo\s+)?(?:env\s+\S+\s+)?(?:\S*/)?(?:sh|bash|dash|ash|python3?|perl|node)\b"
)
_REMOTE_ADD: Final = re.compile(r"(?:^|\s)ADD\s+(?!.*--checksum=)(?:--\S+\s+)*https?://\S+", re.DOTALL)
# Longer lines are a machine's, and splitting words takes its time.
_LONGEST_LINE: Final = 20_000
_COMMANDS: Final = re.compile(r"&&|\|\||[;\n|&]")
# Also one that a variable switches on: ${hashes:+--require-hashes}.
_AN_OPTION: Final = re.compile(r"-|\$\{\w+:?\+-")
_PINNED: Final = re.compile(r".*(?:===?|@).*", re.DOTALL)
# Options of pip and uv that take a word.
_WITH_WORD: Final = frozenset(
    [
        "-i",
        "--index-url",
        "--extra-index-url",
        "-f",
        "--find-links",
        "-t",
        "--target",
        "--prefix",
        "--root",
        "-c",
        "--constraint",
        "-p",
        "--python",
        "--platform",
        "--python-version",
        "--cache-dir",
        "--trusted-host",
        "--timeout",
        "--retries",
        "--no-binary",
        "--only-binary",
        "--index",
        "--default-index",
        "--src",
        "--proxy",
        "--cert",
        "--progress-bar",
        "--index-strategy",
        "--link-mode",
    ]
)


def _check_history(subject: Subject) -> Iterator[Result]:
    entries = [entry for entry in subject.evidence.history if entry.created_by.strip()]
    if not entries:
        for rule in _HISTORY_RULES:
            yield NotChecked(rule=rule, reason="the image has no history")
        return
    found: dict[str, list[Place]] = {rule.code: [] for rule in _HISTORY_RULES}
    for entry in entries:
        for rule, detail in history_faults(entry.created_by):
            found[rule.code].append(Place(path=f"history[{entry.number}]", layer=entry.layer, detail=detail))
    for rule in _HISTORY_RULES:
        if places := found[rule.code]:
            yield Finding(rule=rule, message="; ".join(place.detail for place in places[:3]), places=places)


def history_faults(line: str) -> Iterator[tuple[Rule, str]]:
    """Yield the rule and the words that break it, for one line of a history or one RUN."""
    line = line[:_LONGEST_LINE]
    if _PIPED.search(line):
        yield PIPED, _shortened(line)
    if _REMOTE_ADD.search(line):
        yield REMOTE_ADD, _shortened(line)
    for command in _COMMANDS.split(re.sub(r"\\\r?\n", " ", line)):
        words = _words(command)
        for index, word in enumerate(words):
            program, rest = word.rpartition("/")[2], words[index + 1 :]
            fault = _fault(program, rest)
            if fault is not None:
                yield fault, _shortened(" ".join(words[index:]))
                break


def _fault(program: str, rest: list[str]) -> Rule | None:
    verb = next((word for word in rest if not word.startswith("-")), "")
    if (program, verb) in (("pipx", "install"), ("pipx", "inject")) or (
        program == "uv" and rest[:2] == ["tool", "install"]
    ):
        packages = _arguments(rest[rest.index("inject" if verb == "inject" else "install") + 1 :])
        return UNPINNED_PYTHON if any(not _PINNED.fullmatch(word) for word in packages) else None
    if re.fullmatch(r"pip[0-9.]*", program) and verb == "install":
        return UNPINNED_PYTHON if _is_loose(rest[rest.index("install") + 1 :]) else None
    if program in ("apt-get", "apt") and verb == "install":
        packages = _arguments(rest[rest.index("install") + 1 :])
        return UNPINNED_SYSTEM if any("=" not in word for word in packages) else None
    if program == "apk" and verb == "add":
        packages = _arguments(rest[rest.index("add") + 1 :])
        return UNPINNED_SYSTEM if any(not re.search("[=<~]", word) for word in packages) else None
    if program in ("npm", "yarn", "pnpm") and verb in ("install", "i", "add"):
        return None if "--frozen-lockfile" in rest else UNPINNED_NODE
    return None


def _is_loose(words: list[str]) -> bool:
    """Whether `pip install` with these words takes what is newest."""
    if "--require-hashes" in words:
        return False
    return any(
        not _PINNED.fullmatch(word) and not word.endswith(".whl") and not re.match(r"[./~]|file:|/", word)
        for word in _arguments(words)
    )


def _arguments(words: list[str]) -> list[str]:
    found, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif _AN_OPTION.match(word):
            # The files that -r and -e name are pinned or not by themselves.
            skip = word in _WITH_WORD or word in ("-r", "--requirement", "-e", "--editable")
        elif re.match(r"[0-9]*[<>]", word) or word.startswith("#"):
            break
        else:
            found.append(word)
    return found


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command, posix=True)
    except ValueError:  # a quote that another part of the line closes
        return command.split()


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 120 else f"{text[:117]}..."


def _check_sources(subject: Subject) -> Iterator[Result]:
    places = []
    for item in subject.installed.distributions:
        data = item.direct_url
        if data is None or item.name in subject.first_party:
            continue
        vcs, archive = data.get("vcs_info"), data.get("archive_info")
        detail = ""
        if isinstance(vcs, dict) and not vcs.get("commit_id"):
            detail = "a repository without a commit"
        elif isinstance(archive, dict) and not archive.get("hash") and not archive.get("hashes"):
            detail = "an archive without a hash"
        if detail:
            places.append(
                Place(
                    path=f"/{item.info}/direct_url.json", package=f"{item.name} {item.version}", detail=detail
                )
            )
    if places:
        yield Finding(rule=LOOSE_SOURCE, message=f"{count(len(places), 'package')}", places=places)


def _check_lock(subject: Subject) -> Iterator[Result]:
    if subject.lock is None or subject.project is None:
        problem = subject.lock_problem
        if problem is not None and problem.code == "not-a-lock":
            places = [Place(path=problem.place or "")]
            yield Finding(rule=UNHASHED_LOCK, message=problem.message, places=places, fix=problem.hint)
        else:
            yield NotChecked(rule=UNHASHED_LOCK, reason=subject.no_lock)
        yield NotChecked(rule=STALE_LOCK, reason=subject.no_lock)
        return
    path = subject.lock.info.path.name
    try:
        check_fresh(subject.lock, subject.project)
    except LockError as error:
        yield Finding(
            rule=STALE_LOCK,
            message="; ".join(problem.message for problem in error.problems),
            places=[Place(path=path)],
            fix=error.problems[0].hint,
        )
    places = [
        Place(path=path, package=f"{item.name} {item.version or ''}".strip())
        for item in subject.lock.packages
        if item.direct is None
        and not item.virtual
        and not item.hashes
        and not (item.files and all(file.hashes for file in item.files))
    ]
    if places:
        names = ", ".join(place.package or "" for place in places[:5])
        message = f"{count(len(places), 'package')}: {names}"
        yield Finding(rule=UNHASHED_LOCK, message=message, places=places)


# In the order of the report.
CHAPTERS: Final = (
    Chapter(rules=_HISTORY_RULES, check=_check_history),
    Chapter(rules=(LOOSE_SOURCE,), check=_check_sources),
    Chapter(rules=(STALE_LOCK, UNHASHED_LOCK), check=_check_lock),
)
