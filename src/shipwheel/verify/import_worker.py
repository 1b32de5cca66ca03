"""Times the imports that the program starts with, inside the image, with its own Python. Prints JSON.

Stands alone: it imports nothing of ours and runs on every Python from 3.8 on. `measure` sends it as text.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from typing import Any

# Ends with whether each module that was loaded from a file has bytecode that Python took.
LOOK = """
import sys
loaded = list(sys.modules.items())
import importlib.util as u, json, os
found = {}
for name, module in loaded:
    path = getattr(module, '__file__', None)
    if path and path.endswith('.py') and os.path.isfile(path):
        cached = getattr(module, '__cached__', None) or u.cache_from_source(path)
        found[name] = [os.path.getsize(path), os.path.exists(cached)]
sys.stdout.write('\\n' + json.dumps(found))
"""


def statement(task: dict[str, Any]) -> str:
    """Return the Python that imports what the program does; a file runs under another name than __main__."""
    lines = ["import sys", f"sys.path[:0] = {task['paths']!r}"]
    lines += [f"import {name}" for name in task["modules"]]
    lines += [f"import runpy; runpy.run_path({path!r}, run_name='measured')" for path in task["files"]]
    return "\n".join(lines)


def used() -> float:
    """Return the processor time of all children that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def timed(
    words: list[str], environ: dict[str, str], seconds: float
) -> tuple[float, subprocess.CompletedProcess[bytes]]:
    """Run Python with `words`; return how long it took from start to end."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *words], stdin=subprocess.DEVNULL, capture_output=True, env=environ,
        timeout=seconds, check=False,
    )  # fmt: skip
    return time.perf_counter() - begun, done


def own_times(text: str) -> Counter[str]:
    """Return microseconds by top-level package from what `-X importtime` writes."""
    found: Counter[str] = Counter()
    for line in text.splitlines():
        parts = line.partition("import time:")[2].split("|")
        if len(parts) == 3 and parts[0].strip().isdecimal():
            found[parts[2].strip().partition(".")[0]] += int(parts[0])
    return found


def main() -> None:
    """Do what the JSON in the first argument asks for."""
    task = json.loads(sys.argv[1])
    code, environ, seconds = statement(task), dict(os.environ), task["seconds"]
    _, first = timed(["-c", code], environ, seconds)
    if first.returncode != 0:
        lines = first.stderr.decode("utf-8", "replace").strip().splitlines()
        said = lines[-1][:300] if lines else f"it ended with {first.returncode}"
        sys.stdout.write("\n" + json.dumps({"failed": said}) + "\n")
        return
    before = used()
    runs = [timed(["-c", code], environ, seconds)[0] for _ in range(task["runs"])]
    cpu = (used() - before) / len(runs)
    bare = [timed(["-c", "pass"], environ, seconds)[0] for _ in range(task["runs"])]
    # A folder that is not there and cannot be made: every module is compiled.
    without = {**environ, "PYTHONPYCACHEPREFIX": "/proc/none", "PYTHONDONTWRITEBYTECODE": "1"}
    compiling = [timed(["-c", code], without, seconds)[0] for _ in range(task["runs"])]
    packages: list[Counter[str]] = []
    for _ in range(task["runs"]):
        told = timed(["-X", "importtime", "-c", code], environ, seconds)[1]
        packages.append(own_times(told.stderr.decode("utf-8", "replace")))
    looked = timed(["-c", code + LOOK], environ, seconds)[1].stdout.decode("utf-8", "replace")
    answer = {
        "runs": runs,
        "cpu": cpu,
        "bare": bare,
        "compiling": compiling,
        "packages": [dict(item) for item in packages],
        "modules": json.loads(looked.strip().rpartition("\n")[2]),
    }
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
