"""What is really measured of an image that runs: its imports, its first answer, its end. Judges nothing.

Every number is of this machine and of this moment; what cannot be measured says why.
"""

from __future__ import annotations

import configparser
import posixpath
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from shipwheel.errors import HostError, ImageError
from shipwheel.verify.installed import environment
from shipwheel.verify.machine import Machine, ask, find_python, reason_of
from shipwheel.verify.model import Measurement
from shipwheel.verify.start import Observation, words_of
from shipwheel.verify.subject import Subject

IMPORTS: Final = "imports of the program"
ANSWER: Final = "from start to the first answer"
STOP: Final = "from the stop signal to the end"

_WORKER: Final = Path(__file__).with_name("import_worker.py")
_RUNS: Final = 5
_SECONDS: Final = 60.0
_SLOWEST: Final = 6
_MODULE: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_PYTHON: Final = re.compile(r"python(?:3(?:\.\d+)?)?")
_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the program imports when it starts: `modules`, and `files` that are scripts; `paths` come first."""

    modules: Sequence[str] = ()
    files: Sequence[str] = ()
    paths: Sequence[str] = ()


def measure(
    subject: Subject, machine: Machine | None, seen: Observation | Exception | None
) -> Iterator[Measurement]:
    """Yield how long the image's program imports, takes to answer, and takes to end."""
    yield measure_imports(subject, machine, find_entry(subject))
    yield from _measure_run(seen)


def measure_imports(subject: Subject, machine: Machine | None, entry: Entry | str) -> Measurement:
    """Return how long the image's Python takes for the imports of `entry`, a text where it is not known."""
    python = find_python(subject.evidence)
    if machine is None or python is None:
        reason = "the image has no Python on its PATH" if python is None else "the image was not run"
        return Measurement(what=IMPORTS, reason=reason)
    if isinstance(entry, str):
        return Measurement(what=IMPORTS, reason=entry)
    task = {
        "modules": list(entry.modules),
        "files": list(entry.files),
        "paths": list(entry.paths),
        "runs": _RUNS,
        "seconds": _SECONDS,
    }
    try:
        found = ask(machine, python, task, timeout=60 + 4 * _RUNS * _SECONDS, worker=_WORKER)
    except (HostError, ImageError, TimeoutError) as error:
        return Measurement(what=IMPORTS, reason=reason_of(error))
    if "failed" in found:
        return Measurement(what=IMPORTS, reason=found["failed"])
    names = ", ".join([*entry.modules, *entry.files])
    return Measurement(
        what=IMPORTS, seconds=statistics.median(found["runs"]), detail=f"{names}; {_import_detail(found)}"
    )


def _import_detail(found: Mapping[str, Any]) -> str:
    runs = found["runs"]
    parts = [
        f"{len(runs)} runs from {min(runs):.2f} to {max(runs):.2f} s, processor time {found['cpu']:.2f} s",
        f"Python alone {statistics.median(found['bare']):.2f} s",
        f"without any bytecode {statistics.median(found['compiling']):.2f} s",
    ]
    modules: Mapping[str, Sequence[Any]] = found["modules"]
    lacking = [size for size, has in modules.values() if not has]
    if modules:
        total = sum(size for size, _ in modules.values())
        share = f" ({sum(lacking) / total:.0%} of their source)" if lacking and total else ""
        parts.append(f"{len(lacking)} of {len(modules)} modules have no bytecode{share}")
    names = {name for packages in found["packages"] for name in packages}
    medians = {
        name: statistics.median(packages.get(name, 0) for packages in found["packages"]) for name in names
    }
    slowest = sorted(medians.items(), key=lambda item: (-item[1], item[0]))[:_SLOWEST]
    told = ", ".join(f"{name} {micro / 1000:.0f} ms" for name, micro in slowest if micro >= 500)
    if told:
        parts.append(f"slowest by themselves: {told}")
    return "; ".join(parts)


def _measure_run(seen: Observation | Exception | None) -> Iterator[Measurement]:
    if seen is None or isinstance(seen, Exception):
        reason = "the image starts no program" if seen is None else reason_of(seen)
        for what in (ANSWER, STOP):
            yield Measurement(what=what, reason=reason)
        return
    ended = f"the program ended by itself with exit code {seen.code}"
    if seen.ready is not None:
        yield Measurement(what=ANSWER, seconds=seen.ready, detail=seen.answer)
    elif not seen.alive:
        yield Measurement(what=ANSWER, reason=ended)
    else:
        reason = "the image has no health check that passes, and no exposed port that answers"
        yield Measurement(what=ANSWER, reason=reason)
    if not seen.alive or seen.ended_anyway:
        yield Measurement(what=STOP, reason=ended)
    elif seen.took is None:
        yield Measurement(what=STOP, reason="the program had to be killed")
    else:
        yield Measurement(what=STOP, seconds=seen.took)


def find_entry(subject: Subject) -> Entry | str:
    """Return what the image's program imports when it starts, or why that is not known."""
    words = words_of(subject.evidence.image.config)
    if not words:
        return "the image starts no program"
    program = posixpath.basename(words[0])
    if program in _SHELLS:
        return "the program is started through a shell"
    if _PYTHON.fullmatch(program):
        return _python_entry(subject, words[1:])
    module = _console_script(subject, program)
    if module is None:
        return f"{program} is no command of an installed Python package"
    return Entry(modules=_distinct(module, _named(subject, words[1:])), paths=_workdir(subject))


def _python_entry(subject: Subject, words: Sequence[str]) -> Entry | str:
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
        rest.pop(0)
    if not rest or rest[0] == "-c":
        return "the image starts Python with no module and no file"
    if rest[0] == "-m":
        if len(rest) < 2:
            return "the image starts Python with no module"
        # What `-m` runs is a package's __main__, which would run the program: its package is what is imported.
        return Entry(modules=_distinct(rest[1], _named(subject, rest[2:])), paths=_workdir(subject))
    base = subject.evidence.image.config.working_dir or "/"
    path = posixpath.normpath(posixpath.join(base, rest[0]))
    if subject.evidence.real_path(path.lstrip("/")) not in subject.evidence.visible:
        return f"{path} is not in the image"
    return Entry(files=(path,), modules=_named(subject, rest[1:]), paths=(posixpath.dirname(path),))


def _console_script(subject: Subject, name: str) -> str | None:
    for item in subject.installed.distributions:
        text = subject.evidence.text(f"{item.info}/entry_points.txt")
        if text is None:
            continue
        parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
        parser.optionxform = str  # type: ignore[assignment, method-assign] # names keep their case
        try:
            parser.read_string(text)
        except configparser.Error:
            continue
        if parser.has_option("console_scripts", name):
            module = parser.get("console_scripts", name).partition(":")[0].strip()
            if _MODULE.fullmatch(module):
                return module
    return None


def _named(subject: Subject, words: Sequence[str]) -> tuple[str, ...]:
    """Return the modules that arguments name, as `shop.main:app` for a server."""
    found = []
    for word in words:
        module = word.partition(":")[0]
        if _MODULE.fullmatch(module) and _is_module(subject, module):
            found.append(module)
    return tuple(found)


def _is_module(subject: Subject, module: str) -> bool:
    path = module.replace(".", "/")
    folders = [*subject.installed.sites, *(folder.strip("/") for folder in _workdir(subject))]
    folders += [
        part.strip("/")
        for part in environment(subject.evidence.image.config).get("PYTHONPATH", "").split(":")
    ]
    endings = (f"{path}.py", f"{path}/__init__.py")
    return any(
        f"{folder}/{ending}".lstrip("/") in subject.evidence.visible
        for folder in folders
        for ending in endings
    )


def _workdir(subject: Subject) -> tuple[str, ...]:
    return (subject.evidence.image.config.working_dir or "/",)


def _distinct(first: str, more: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((first, *more)))
