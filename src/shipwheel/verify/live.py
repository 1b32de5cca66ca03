"""The image is run: every module imported, every command started, and the program itself (see `start`).

What runs it is the caller's (`Machine`): without network, with a read-only root and no capability. The work
inside is `live_worker`'s, by the image's own Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from shipwheel.errors import HostError, ImageError
from shipwheel.verify import start
from shipwheel.verify.health import HealthCheck
from shipwheel.verify.installed import Distribution
from shipwheel.verify.machine import Machine, ask, find_python, reason_of
from shipwheel.verify.model import Finding, NotChecked, Place, Result, Rule
from shipwheel.verify.start import Observation
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
RULES: Final = (IMPORT, EXTRA, COMMAND, *start.RULES)

_MODULE_SECONDS: Final = 30
_EXTENSION: Final = re.compile(r"([A-Za-z_]\w*)\.(?:py|(?:[\w-]+\.)?so)")


def check(
    subject: Subject,
    machine: Machine | None,
    health: HealthCheck | None,
    seen: Observation | Exception | None,
) -> Iterator[Result]:
    """Yield what fails when the image runs; without a machine, that it was not run.

    `seen` is what `start.observe` gave or raised, None where there was no program to observe.
    """
    if machine is None:
        yield from _unchecked("the image was not run (--run)")
        return
    python = find_python(subject.evidence)
    if python is None:
        yield from _unchecked("the image has no Python on its PATH")
        return
    modules = top_level_modules(subject)
    commands = [f"/{path}" for path in _commands(subject)]
    task = {"modules": modules, "commands": commands, "seconds": _MODULE_SECONDS}
    try:
        found = ask(machine, python, task, timeout=60.0 + _MODULE_SECONDS * (2 + len(commands)))
    except (HostError, ImageError, TimeoutError) as error:
        yield from _unchecked(f"the image could not be run: {reason_of(error)}")
        return
    yield from _imports(subject, found["modules"])
    yield from _command_faults(subject, found["commands"])
    if seen is None:
        yield from _unchecked("the image has neither entry point nor command", start.RULES)
        return
    yield from start.check(machine, python, subject.evidence.image.config, health, seen)


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
            code in (126, 127)
            or code < 0
            or (code != 0 and said["trace"] and start.FAULT.search(said["said"]))
        )
        if faulty:
            places.append(subject.place(path.lstrip("/"), detail=f"exit code {code}: {said['said']}"))
    if places:
        message = f"{len(places)} of {count(len(commands), 'command')}"
        yield Finding(rule=COMMAND, message=message, places=places)
