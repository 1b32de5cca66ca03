"""Run commands again and again and say what they took: seconds, CPU seconds and memory of all their processes."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent
SHIPWHEEL: Final = str(Path(sys.executable).with_name("shipwheel"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was measured, over `runs` runs: medians of seconds and of CPU seconds (user and system).

    `memory` is the most that any one of the processes ever held, in MB (`spawn` says which are counted);
    `goal` is in words.
    """

    name: str
    goal: str
    seconds: float
    cpu: float
    memory: float
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where measuring happens: a folder for copies, and the environment with a cache of its own."""

    folder: Path
    environ: dict[str, str]
    repeat: int

    @classmethod
    def in_folder(cls, folder: Path, *, repeat: int) -> Bench:
        """Use `folder` for everything, Python's bytecode of shipwheel itself included."""
        # An installed tool has its bytecode, whatever this machine's environment says.
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environ |= {
            "SHIPWHEEL_CACHE_DIR": str(folder / "cache"),
            "PYTHONPYCACHEPREFIX": str(folder / "pycache"),
        }
        return cls(folder=folder, environ=environ, repeat=repeat)

    @property
    def cache(self) -> Path:
        """The cache's folder."""
        return self.folder / "cache"

    def measure(
        self,
        name: str,
        command: Sequence[str],
        *,
        goal: str = "",
        before: Callable[[int], None] = lambda _: None,
        repeat: int | None = None,
        stdin: Path | None = None,
    ) -> Row:
        """Run `command` again and again, each time after `before(number)`; end at the first that fails.

        What is to be run several times is run once more before, and that does not count.
        """
        runs = repeat or self.repeat
        seconds: list[float] = []
        cpu: list[float] = []
        memory: list[float] = []
        usage = self.folder / "usage"
        for number in range(0 if runs == 1 else -1, runs):
            before(number)
            log = self.folder / "log"
            with log.open("wb") as output, (stdin or Path(os.devnull)).open("rb") as given:
                spawn = [sys.executable, "-I", "-S", str(HERE / "spawn.py"), str(usage)]
                code = subprocess.call(
                    [*spawn, *command], env=self.environ, stdin=given, stdout=output, stderr=output
                )
            if code != 0:
                sys.exit(f"{' '.join(command)}\n{log.read_text()}")
            if number >= 0:
                took = [float(word) for word in usage.read_text().split()]
                seconds.append(took[0])
                cpu.append(took[1])
                memory.append(took[2] / 1024)
        row = Row(
            name=name,
            goal=goal,
            seconds=statistics.median(seconds),
            cpu=statistics.median(cpu),
            memory=max(memory),
            runs=runs,
        )
        print(f"{name}: {row.seconds:.2f} s", file=sys.stderr)
        return row

    def output(self, command: Sequence[str]) -> str:
        """Run a command that has to work, and return what it prints."""
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{done.stderr}")
        return done.stdout

    def built(self, project: Path) -> dict[str, Any]:
        """Build `project` and return what `--json` says."""
        answer: dict[str, Any] = json.loads(
            self.output([SHIPWHEEL, "build", str(project), "--quiet", "--json"])
        )
        return answer

    def copy(self, source: Path, name: str | None = None) -> Path:
        """Return a fresh copy of a project, without what stands in the repository around it."""
        target = self.folder / (name or source.name)
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        return target


def build_command(bench: Bench, project: Path, *words: str) -> list[str]:
    """Return the command that builds `project` into a layout beside it."""
    return [
        SHIPWHEEL,
        "build",
        str(project),
        "--output",
        str(bench.folder / f"{project.name}.oci"),
        "--quiet",
        *words,
    ]


def layers_of(built: dict[str, Any]) -> dict[str, int]:
    """Return size by digest of the layers that `--json` names."""
    return {layer["digest"]: layer["size"] for platform in built["platforms"] for layer in platform["layers"]}


def new_bytes(before: dict[str, Any], after: dict[str, Any]) -> int:
    """Return the size of the layers that a registry which has `before` lacks of `after`."""
    known = layers_of(before)
    return sum(size for digest, size in layers_of(after).items() if digest not in known)
