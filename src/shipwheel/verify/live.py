"""The image is run: every module imported, every command started, the program started and stopped.

What runs it is the caller's (`Machine`): without network, with a read-only root and no capability. The work
inside is `live_worker`'s, by the image's own Python.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from shipwheel.errors import HostError, ImageError
from shipwheel.verify.installed import Distribution, find_program
from shipwheel.verify.model import Finding, NotChecked, Place, Result, Rule
from shipwheel.verify.subject import Subject, count

IMPORT: Final = Rule(
    code="import-fails",
    promise="flexible",
    severity="error",
    title="Packages cannot be imported",
    why="What imports them fails when it runs: a library of the system is missing, or a file is broken.",
    fix="Add the system library that the message names, or install the package anew.",
)
EXTRA: Final = Rule(
    code="import-needs-more",
    promise="flexible",
    severity="note",
    title="Modules need packages that are not installed",
    why="They belong to an extra that was not asked for; nothing is wrong unless the program imports them.",
    fix="Add the extra if the program uses it.",
)
COMMAND: Final = Rule(
    code="command-fails",
    promise="flexible",
    severity="warning",
    title="Commands of packages do not start",
    why="They end in an error before they say how they are used.",
    fix="Install what the message names; or remove the package whose command it is.",
)
START: Final = Rule(
    code="does-not-start",
    promise="flexible",
    severity="error",
    title="The program cannot be started",
    why="It failed before it could ask for its configuration.",
    fix="Start it with `shipwheel run` or your engine, and read what it says.",
)
STOP: Final = Rule(
    code="stop-signal-unhandled",
    promise="flexible",
    severity="warning",
    title="The program does not mind the signal that stops it",
    why="As process 1 it gets no signal that it has no handler for: every stop waits for the kill, and work is lost.",
    fix="Handle SIGTERM (signal.signal), use a server that does, or run the container with an init (--init).",
)
ANY_USER: Final = Rule(
    code="needs-its-user",
    promise="flexible",
    severity="warning",
    title="The program does not start as another user",
    why="Platforms as OpenShift run images as any uid.",
    fix="Let everybody read the code, and write to /tmp or a volume alone.",
)
RULES: Final = (IMPORT, EXTRA, COMMAND, START, STOP, ANY_USER)

_WORKER: Final = Path(__file__).with_name("live_worker.py")
# An id that no image has.
OTHER_UID: Final = 1234567
_MODULE_SECONDS: Final = 30
_ALIVE_SECONDS: Final = 3.0
_PATIENCE_SECONDS: Final = 10.0
# One argument may have 128 KiB (Linux, MAX_ARG_STRLEN).
_MAX_ARGUMENT: Final = 120_000
_EXTENSION: Final = re.compile(r"([A-Za-z_]\w*)\.(?:py|(?:[\w-]+\.)?so)")
# What a program says that cannot run where it is, in contrast to one that misses its configuration.
_FAULT: Final = re.compile(
    r"ImportError|ModuleNotFoundError|SyntaxError|PermissionError|Permission denied|Read-only file system"
    r"|cannot open shared object|No such file or directory: '/app|exec format error",
    re.IGNORECASE,
)


class Completed(Protocol):
    """How a command ended."""

    @property
    def returncode(self) -> int:
        """Exit code; 128+n for signal n."""
        ...

    @property
    def stdout(self) -> bytes:
        """What it wrote to standard output."""
        ...

    @property
    def stderr(self) -> bytes:
        """What it wrote to standard error."""
        ...


class Machine(Protocol):
    """Runs commands in the image."""

    def probe(self, argv: Sequence[str], *, uid: int | None, timeout: float) -> Completed:
        """Run `argv` without network on a read-only root, as `uid` (None: the image's user).

        Raises TimeoutError, HostError, ImageError.
        """
        ...


def check(subject: Subject, machine: Machine | None) -> Iterator[Result]:
    """Yield what fails when the image runs; without a machine, that it was not run."""
    if machine is None:
        yield from _unchecked("the image was not run (--run)")
        return
    python = find_program(subject.evidence, "python") or find_program(subject.evidence, "python3")
    if python is None:
        yield from _unchecked("the image has no Python on its PATH")
        return
    # By its own name: a virtual environment is found by the link, not by what it leads to.
    name = "python" if find_program(subject.evidence, "python") else "python3"
    modules = top_level_modules(subject)
    commands = [f"/{path}" for path in _commands(subject)]
    task = {"modules": modules, "commands": commands, "seconds": _MODULE_SECONDS}
    try:
        found = _ask(machine, name, task, timeout=60.0 + _MODULE_SECONDS * (2 + len(commands)))
    except (HostError, ImageError, TimeoutError) as error:
        yield from _unchecked(
            f"the image could not be run: {str(error).splitlines()[0] if str(error) else 'timeout'}"
        )
        return
    yield from _imports(subject, found["modules"])
    yield from _command_faults(subject, found["commands"])
    yield from _start(subject, machine, name)


def top_level_modules(subject: Subject) -> dict[str, str]:
    """Return what every distribution can be imported by, and the folder (absolute) that it is in."""
    modules: dict[str, str] = {}
    for item in subject.installed.distributions:
        for row in () if item.vendored else item.rows or ():
            if not row.path.startswith(f"{item.site}/") or row.path not in subject.evidence.visible:
                continue
            first, slash, rest = row.path[len(item.site) + 1 :].partition("/")
            if slash:
                name = first if rest == "__init__.py" and first.isidentifier() else ""
            else:
                match = _EXTENSION.fullmatch(first)
                name = "" if match is None else match[1]
            if name:
                modules.setdefault(name, f"/{item.site}")
    return modules


def _unchecked(reason: str, rules: Sequence[Rule] = RULES) -> Iterator[NotChecked]:
    for rule in rules:
        yield NotChecked(rule=rule, reason=reason)


def _ask(
    machine: Machine, python: str, task: Mapping[str, Any], *, timeout: float, uid: int | None = None
) -> dict[str, Any]:
    """Run the worker; raises HostError `no-answer` when it says nothing that can be read."""
    text = json.dumps(task)
    if len(text) > _MAX_ARGUMENT:
        raise HostError("no-answer", "the image has more modules than fit into one question")
    done = machine.probe([python, "-c", _WORKER.read_text(), text], uid=uid, timeout=timeout)
    line = done.stdout.decode("utf-8", "replace").strip().rpartition("\n")[2]
    try:
        found = json.loads(line)
    except ValueError as error:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:300]
        raise HostError("no-answer", f"Python in the image ended with {done.returncode}: {said}") from error
    if not isinstance(found, dict):
        raise HostError("no-answer", "Python in the image gave no answer that can be read")
    return found


def _commands(subject: Subject) -> list[str]:
    """Return the paths of commands that Python distributions brought, sorted."""
    found = set()
    for path in subject.installed.owners:
        node = subject.evidence.visible.get(path)
        fact = subject.evidence.fact(path)
        if node is None or fact is None or "/bin/" not in f"/{path}" or not node.mode & 0o111:
            continue
        if re.match(rb"#![ \t]*/\S*python", fact.head):
            found.add(path)
    return sorted(found)


def _owner_of(subject: Subject, module: str, site: str) -> Distribution | None:
    for ending in (f"{module}/__init__.py", f"{module}.py"):
        if (owner := subject.installed.owner(f"{site.lstrip('/')}/{ending}")) is not None:
            return owner
    prefix = f"{site.lstrip('/')}/{module}."
    return next(
        (subject.installed.owner(path) for path in subject.installed.owners if path.startswith(prefix)), None
    )


def _imports(subject: Subject, modules: Mapping[str, Any]) -> Iterator[Result]:
    if not modules:
        yield from _unchecked("no installed module is on the interpreter's path", [IMPORT, EXTRA])
        return
    sites = top_level_modules(subject)
    failed: list[Place] = []
    wanting: list[Place] = []
    for name, said in sorted(modules.items()):
        if said["ok"]:
            continue
        owner = _owner_of(subject, name, sites[name])
        package = None if owner is None else f"{owner.name} {owner.version}"
        place = Place(path=f"import {name}", package=package, detail=f"{said['error']}: {said['text']}")
        missing = (said.get("missing") or "").partition(".")[0]
        (wanting if missing and missing not in sites else failed).append(place)
    if failed:
        yield Finding(rule=IMPORT, message=f"{len(failed)} of {count(len(modules), 'module')}", places=failed)
    if wanting:
        yield Finding(
            rule=EXTRA, message=f"{len(wanting)} of {count(len(modules), 'module')}", places=wanting
        )


def _command_faults(subject: Subject, commands: Mapping[str, Any]) -> Iterator[Result]:
    if not commands:
        yield NotChecked(rule=COMMAND, reason="no package brings a command")
        return
    places = []
    for path, said in sorted(commands.items()):
        code = said["code"]
        # Any exit code may be a command's own; what is none is a trace of imports, or a signal.
        faulty = code is not None and (
            code in (126, 127) or code < 0 or (code != 0 and said["trace"] and _FAULT.search(said["said"]))
        )
        if faulty:
            places.append(subject.place(path.lstrip("/"), detail=f"exit code {code}: {said['said']}"))
    if places:
        message = f"{len(places)} of {count(len(commands), 'command')}"
        yield Finding(rule=COMMAND, message=message, places=places)


def _start(subject: Subject, machine: Machine, python: str) -> Iterator[Result]:
    config = subject.evidence.image.config
    words = [*(config.entrypoint or ()), *(config.cmd or ())]
    if not words:
        yield from _unchecked("the image has neither entry point nor command", [START, STOP, ANY_USER])
        return
    name = config.stop_signal or "SIGTERM"
    number = _signal_number(name)
    task = {"start": words, "signal": number, "alive": _ALIVE_SECONDS, "patience": _PATIENCE_SECONDS}
    timeout = 30.0 + _ALIVE_SECONDS + _PATIENCE_SECONDS
    place = Place(
        path="config.Entrypoint" if config.entrypoint else "config.Cmd", detail=" ".join(words)[:200]
    )
    try:
        said = _ask(machine, python, task, timeout=timeout)["start"]
        other = _ask(machine, python, task, timeout=timeout, uid=OTHER_UID)["start"]
    except (HostError, ImageError, TimeoutError) as error:
        reason = f"the program could not be run: {str(error).splitlines()[0] if str(error) else 'timeout'}"
        yield from _unchecked(reason, [START, STOP, ANY_USER])
        return
    if _is_faulty(said):
        yield Finding(rule=START, message=f"exit code {said['code']}: {said['said']}", places=[place])
    elif _is_faulty(other):
        message = f"as uid {OTHER_UID} it ends with {other['code']}: {other['said']}"
        yield Finding(rule=ANY_USER, message=message, places=[place])
    if not said.get("alive"):
        ended = f"it ended by itself with exit code {said['code']}" + (
            f": {said['said']}" if said["said"] else ""
        )
        yield NotChecked(rule=STOP, reason=ended)
    elif said["took"] is None:
        message = f"{name} did not end it within {_PATIENCE_SECONDS:.0f} s"
        yield Finding(rule=STOP, message=message, places=[place])
    elif said["handled"] is False:
        yield Finding(rule=STOP, message=f"it has no handler for {name}", places=[place])


def _is_faulty(said: Mapping[str, Any]) -> bool:
    if said.get("alive") or said["code"] == 0:
        return False
    return said["code"] in (126, 127) or bool(_FAULT.search(said["said"]))


def _signal_number(name: str) -> int:
    if name.isdecimal():
        return int(name)
    try:
        return int(signal.Signals[name if name.startswith("SIG") else f"SIG{name}"])
    except KeyError:
        return int(signal.SIGTERM)
