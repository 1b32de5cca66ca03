"""Runs inside a slimmed image, with its own Python: imports packages and loads their libraries. Prints JSON.

Stands alone: it imports nothing of ours and runs on every Python from 3.9 on. `slimmed` sends it as text.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

# Before the name of a module that is not installed: an extra that nobody asked for.
WANTS = "wants "
ELF = b"\x7fELF"
MODULE = re.compile(r"([A-Za-z_]\w*)\.(?:py|(?:[\w-]+\.)?so)")


def apart(work: Callable[[], str], seconds: float) -> str:
    """Do `work` in a child of its own; return what it returns, or how the child ended."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reader)
            null = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(null, number)
            os.write(writer, work().encode("utf-8", "replace")[:4000])
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    deadline = time.monotonic() + seconds
    pause = 0.001
    done, status = os.waitpid(pid, os.WNOHANG)
    while not done and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
        done, status = os.waitpid(pid, os.WNOHANG)
    if not done:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    data = os.read(reader, 4096).decode("utf-8", "replace")
    os.close(reader)
    if not done:
        return f"no end after {seconds:.0f} s"
    if os.WIFSIGNALED(status):
        return f"killed by signal {os.WTERMSIG(status)}"
    return data


def imported(name: str) -> str:
    """Import a module; return the error in a line, `WANTS` and what is not installed, or nothing."""
    try:
        __import__(name)
    except BaseException as error:  # noqa: BLE001 - a module may raise anything, and that is the answer
        if isinstance(error, ModuleNotFoundError) and error.name and is_absent(error.name.partition(".")[0]):
            return f"{WANTS}{error.name}"
        return f"{type(error).__name__}: {error}".partition("\n")[0][:300]
    return ""


def is_absent(top: str) -> bool:
    """Tell whether no package of this name was installed: then nobody can have left out a part of it."""
    return top not in ("test", "tests", "conftest") and importlib.util.find_spec(top) is None


def loaded(path: str, before: Sequence[str] = ()) -> str:
    """Load a library with all its symbols, after others; return the error in a line, or nothing."""
    import ctypes

    try:
        for other in before:
            ctypes.CDLL(other, mode=os.RTLD_NOW)
        ctypes.CDLL(path, mode=os.RTLD_NOW)
    except OSError as error:
        return str(error).partition("\n")[0][:300]
    return ""


def top_modules(paths: list[str]) -> list[str]:
    """Return what a distribution is imported by: its outermost packages and modules."""
    known = set(paths)
    found = set()
    for path in paths:
        *folders, name = path.split("/")
        match = MODULE.fullmatch(name)
        if match is None or name == "__main__.py" or not all(part.isidentifier() for part in folders):
            continue
        for count in range(1, len(folders) + 1):
            if f"{'/'.join(folders[:count])}/__init__.py" in known:
                found.add(".".join(folders[:count]))
                break
        else:
            found.add(".".join([*folders, match[1]]))
    return sorted(found)


def try_libraries(libraries: list[tuple[str, str]], modules: list[str], seconds: float) -> str:
    """Load each library after `modules`; return as JSON what fails, with the error."""
    for module in modules:
        imported(module)
    said = {path: apart(partial(loaded, place), seconds) for path, place in libraries}
    fine = [place for path, place in libraries if not said[path]]
    faults = {}
    for path, place in libraries:
        # Libraries that others load first find nothing by themselves.
        if said[path] and (again := apart(partial(loaded, place, fine), seconds)):
            faults[path] = again
    return json.dumps(dict(list(faults.items())[:10]))


def try_package(name: str, seconds: float) -> dict[str, dict[str, str]]:
    """Return what fails of a distribution, with the error, and what wants others that are not installed."""
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError as error:
        return {"faults": {"its metadata": f"not found: {error}"}, "wanting": {}}
    files = [file for file in distribution.files or () if not file.is_absolute() and ".." not in file.parts]
    modules = top_modules([file.as_posix() for file in files])
    for point in distribution.entry_points:
        if point.group in ("console_scripts", "gui_scripts"):
            modules.append(point.value.partition(":")[0].strip())
    faults, wanting = {}, {}
    for module in sorted(set(modules)):
        said = apart(partial(imported, module), seconds)
        if said.startswith(WANTS):
            wanting[f"import {module}"] = said[len(WANTS) :]
        elif said:
            faults[f"import {module}"] = said
    libraries = []
    for file in files:
        place = Path(str(distribution.locate_file(file)))
        if ".so" in file.name and place.is_file():
            with place.open("rb") as stream:
                if stream.read(4) == ELF:
                    libraries.append((file.as_posix(), str(place)))
    if libraries:
        good = sorted({module for module in modules if f"import {module}" not in {**faults, **wanting}})
        said = apart(partial(try_libraries, libraries, good, seconds), seconds * 4)
        try:
            faults.update(json.loads(said))
        except ValueError:
            faults["its libraries"] = said[:300]
    return {"faults": faults, "wanting": wanting}


def main() -> None:
    """Do what the JSON in the first argument asks for."""
    task = json.loads(sys.argv[1])
    found: dict[str, Any] = {name: try_package(name, task["seconds"]) for name in task["packages"]}
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
