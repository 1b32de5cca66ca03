"""Becomes the image's program, watched by a child: is it ready, does it pass its health check, does it stop.

Runs inside the image, with its own Python, as process 1. `run` in place of the program is the program: same
process, environment, folder and user. The child stays beside it, reports in lines of JSON on standard output
(what the program says goes to standard error), and ends with it, as everything does when process 1 ends.
Stands alone: it imports nothing of ours and runs on every Python from 3.8 on. `live` sends it as text.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

BEAT = 0.01


def last_line(data: bytes) -> str:
    """Return the last line that says something, at most 300 characters."""
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def become(words: list[str], told: int) -> int:
    """Be the program; else write why that does not work to `told`, and return the exit code for it."""
    try:
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and that would be inherited
            signal.signal(number, signal.SIG_DFL)
        os.execvpe(words[0], words, first_environment())  # noqa: S606 - the image's own program
    except OSError as error:
        os.write(told, f"{words[0]}: {error.strerror}".encode())
        return 127 if isinstance(error, FileNotFoundError) else 126


def first_environment() -> dict[str, str]:
    """Return the environment that this process was started with: Python may have added to it."""
    try:
        data = Path("/proc/self/environ").read_bytes()
    except OSError:
        return dict(os.environ)
    pairs = [item.partition(b"=") for item in data.split(b"\0") if b"=" in item]
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


class Watcher:
    """Looks at the program, process `pid`, and reports to the descriptor `report`."""

    def __init__(self, pid: int, report: int, task: dict[str, Any]) -> None:
        self.pid = pid
        self.report = report
        self.task = task
        self.begun = time.monotonic()

    def say(self, **event: Any) -> None:
        """Write one line; leave when the program is gone."""
        os.write(self.report, json.dumps(event).encode() + b"\n")
        if os.getppid() != self.pid:
            os._exit(0)

    def since(self) -> float:
        """Return the seconds since the program was started."""
        return round(time.monotonic() - self.begun, 4)

    def pause(self, seconds: float) -> None:
        """Wait; leave when the program is gone."""
        until = time.monotonic() + seconds
        while True:
            if os.getppid() != self.pid:
                os._exit(0)
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.05))

    def run(self) -> None:
        """Wait until it is ready, run its health check, send the signal, and tell how long it stays."""
        if self.task.get("health"):
            self.check_health(self.task["health"])
        elif self.task.get("ports"):
            self.wait_for_port(self.task["ports"])
        left = self.task["alive"] - (time.monotonic() - self.begun)
        self.pause(max(left, 0))
        number = self.task["signal"]
        handled = self.catches(number)
        self.say(alive=self.since(), pid=self.pid, name=self.name(), handled=handled)
        sent = self.send(number)
        while time.monotonic() - sent < self.task["patience"]:
            self.say(stopping=round(time.monotonic() - sent, 4))
            time.sleep(BEAT)
            if handled is False and self.catches(number):
                # It was still starting, and the signal was lost on process 1.
                handled = True
                self.say(handled=True)
                sent = self.send(number)
        self.say(end="it stays")

    def send(self, number: int) -> float:
        """Send the program a signal; return when."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
        return time.monotonic()

    def check_health(self, health: dict[str, Any]) -> None:
        """Run the health check as an engine does, until it passes or its time is up; tell each run."""
        while True:
            at = self.since()
            said = self.run_check(health["test"], health["timeout"])
            self.say(health={**said, "at": at, "by": self.since()})
            # Passed; or no such program, which no waiting mends.
            if said["code"] in (0, 126, 127) or self.since() > health["until"]:
                return
            self.pause(health["pause"])

    def run_check(self, words: list[str], seconds: float) -> dict[str, Any]:
        """Run the health check once; code None: it took too long."""
        begun = time.monotonic()
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=seconds, check=False,
            )  # fmt: skip
        except OSError as error:
            return {"code": 127, "said": f"{words[0]}: {error.strerror}", "took": 0.0}
        except subprocess.TimeoutExpired as error:
            return {"code": None, "said": last_line(error.output or b""), "took": seconds}
        took = round(time.monotonic() - begun, 4)
        return {"code": done.returncode, "said": last_line(done.stdout), "took": took}

    def wait_for_port(self, ports: list[int]) -> None:
        """Wait until one of the ports answers: with a line of HTTP, or by taking the connection."""
        while time.monotonic() - self.begun < self.task["ready"]:
            for port in ports:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as peer:
                    self.say(port=port, at=self.since())
                    peer.settimeout(2)
                    peer.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    answer = peer.recv(64)
                    if answer.startswith(b"HTTP/"):
                        self.say(http=answer.split(b"\r\n")[0].decode("latin-1"), at=self.since())
                    return
            self.pause(BEAT)

    def name(self) -> str:
        """Return the program's name as the kernel has it."""
        try:
            return Path(f"/proc/{self.pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""

    def catches(self, number: int) -> bool | None:
        """Tell whether the program has a handler for a signal; None where /proc does not say."""
        with contextlib.suppress(OSError, ValueError):
            text = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii", errors="replace")
            for line in text.splitlines():
                if line.startswith("SigCgt:"):
                    return bool(int(line.split()[1], 16) >> (number - 1) & 1)
        return None


def main() -> None:
    """Do what the JSON in the first argument asks for."""
    task = json.loads(sys.argv[1])
    program = os.getpid()
    report = os.dup(1)
    os.dup2(2, 1)
    reader, writer = os.pipe()  # closed when the program runs, and it says why if it does not
    ready, say_ready = os.pipe()
    child = os.fork()
    if child:
        os.close(report)
        os.close(reader)
        os.close(say_ready)
        # A program that ends at once takes the watcher with it, which has to have said something by then.
        os.read(ready, 1)
        code = become(task["start"], writer)
        os.close(writer)
        os.waitpid(child, 0)
        os._exit(code)
    try:
        os.setsid()
        os.close(writer)
        watcher = Watcher(program, report, task)
        watcher.say(started=program)
        os.write(say_ready, b"r")
        refused = os.read(reader, 4096)
        watcher.begun = time.monotonic()
        if refused:
            watcher.say(refused=refused.decode("utf-8", "replace"))
        else:
            watcher.run()
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
