"""Runs inside the image under check, with its own Python: imports, commands, and what the program writes.

Prints JSON. Stands alone: it imports nothing of ours and runs on every Python from 3.8 on. `live` sends it
as text. What becomes the program itself is `start_worker`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def last_line(data: bytes) -> str:
    """Return the last line that says something, at most 300 characters."""
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def wait(pid: int, seconds: float) -> int | None:
    """Wait for a child; return its status, or None when it had to be killed."""
    deadline = time.monotonic() + seconds
    pause = 0.001
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def try_import(name: str, seconds: float, before: tuple[str, ...] = ()) -> dict[str, Any]:
    """Import a module in a child of its own, after the modules `before`; return what happened."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reader)
            null = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(null, number)
            for other in before:
                imported(other)
            said = imported(name)
            os.write(writer, json.dumps(said).encode()[:4000])
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    status = wait(pid, seconds)
    data = os.read(reader, 4096)
    os.close(reader)
    if status is None:
        return {"ok": False, "error": "timeout", "text": f"no end after {seconds} s", "missing": None}
    if data:
        said = json.loads(data.decode())
        return dict(said)
    killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    return {"ok": False, "error": "crash", "text": f"killed by signal {killed}", "missing": None}


def try_imports(names: list[str], seconds: float) -> dict[str, Any]:
    """Import each module by itself, and those that refuse once more after all the others."""
    found = {name: try_import(name, seconds) for name in names}
    good = tuple(name for name in names if found[name]["ok"])
    for name in names:
        # Halves of other packages say so: "should be imported before".
        if found[name].get("error") == "ImportError":
            again = try_import(name, seconds * 4, good)
            found[name] = again if again["ok"] else found[name]
    return found


def imported(name: str) -> dict[str, Any]:
    """Import a module; return whether that went well, or the error."""
    begun = time.perf_counter()
    try:
        __import__(name)
    except BaseException as error:  # noqa: BLE001 - a module may raise anything, and that is the answer
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        return {"ok": False, "error": type(error).__name__, "text": str(error)[:300], "missing": missing}
    return {"ok": True, "seconds": time.perf_counter() - begun}


def started(words: list[str]) -> subprocess.Popen[bytes]:
    """Start a program that reads nothing, in a session of its own; raises OSError."""
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def try_command(words: list[str], seconds: float) -> dict[str, Any]:
    """Run a command to its end; return its exit code (None: it went on) and the end of what it said."""
    try:
        child = started(words)
    except OSError as error:
        return {"code": 127, "said": str(error), "trace": False}
    code: int | None
    try:
        output = child.communicate(timeout=seconds)[0]
        code = child.returncode
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        output = child.communicate()[0]
        code = None
    return {"code": code, "said": last_line(output), "trace": b"Traceback (most recent call last)" in output}


class Program:
    """A started program, and the end of what it says."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.child = child
        self.output = b""
        if child.stdout is not None:
            os.set_blocking(child.stdout.fileno(), False)

    def read(self) -> None:
        """Take what it has said, so that it is never kept waiting."""
        if self.child.stdout is not None:
            with contextlib.suppress(OSError):
                self.output = (self.output + os.read(self.child.stdout.fileno(), 65536))[-65536:]

    def runs_until(self, deadline: float) -> bool:
        """Wait for its end; return whether it still runs at `deadline`."""
        while self.child.poll() is None and time.monotonic() < deadline:
            self.read()
            time.sleep(0.02)
        running = self.child.poll() is None
        self.read()
        return running


def try_start(words: list[str], alive: float) -> dict[str, Any]:
    """Start the program, and end it after a while; return whether it was still there."""
    try:
        program = Program(started(words))
    except OSError as error:
        return {"alive": False, "code": 127, "said": str(error), "output": ""}
    child = program.child
    running = program.runs_until(time.monotonic() + alive)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    output = program.output[-8000:].decode("utf-8", "replace")
    return {"alive": running, "code": child.returncode, "said": last_line(program.output), "output": output}


def now() -> int:
    """Return the time, in nanoseconds, that the kernel would give a file that is changed now."""
    coarse = getattr(time, "CLOCK_REALTIME_COARSE", 5)
    return time.clock_gettime_ns(coarse)


def changed_since(begun: int, most: int, root: str) -> list[str]:
    """Return what was made or changed below `root` after `begun`, in its own filesystem: files, then folders.

    A folder is named when nothing in it explains why it changed: something was there for a while.
    """
    found: list[str] = []
    device = Path(root).lstat().st_dev
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if same_device(f"{folder.rstrip('/')}/{name}", device))
        here = [f"{folder.rstrip('/')}/{name}" for name in (*names, *sorted(files))]
        changed = [path for path in here if changed_at(path) > begun]
        found += [path for path in changed if not (os.path.isdir(path) and not os.path.islink(path))]  # noqa: PTH112, PTH114
        if not changed and changed_at(folder) > begun:
            found.append(f"{folder.rstrip('/')}/")
        if len(found) >= most:
            break
    return found[:most]


def same_device(path: str, device: int) -> bool:
    """Tell whether a folder is on a filesystem, and not another one mounted there."""
    try:
        return os.lstat(path).st_dev == device
    except OSError:
        return False


def changed_at(path: str) -> int:
    """Return when a file's content, mode or owner changed last, or 0 when that cannot be known."""
    try:
        return os.lstat(path).st_ctime_ns
    except OSError:
        return 0


def main() -> None:
    """Do what the JSON in the first argument asks for."""
    task = json.loads(sys.argv[1])
    found: dict[str, Any] = {}
    seconds = task.get("seconds", 0)
    if "modules" in task:
        wanted = [name for name, site in task["modules"].items() if site in sys.path]
        found["modules"] = try_imports(sorted(wanted), seconds)
    if "commands" in task:
        found["commands"] = {path: try_command([path, "--help"], seconds) for path in task["commands"]}
    if "start" in task:
        begun = now()
        found["start"] = try_start(task["start"], task["alive"])
        if task.get("written"):
            found["written"] = changed_since(begun, task["written"], task.get("root", "/"))
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
