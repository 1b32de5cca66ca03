"""Find a Python that compiles for an image: the image's own, run from its unpacked files, or its equal.

The own one is started through the image's own dynamic loader, without root and without touching this
machine's libraries. Compiles what it is handed; `bytecode` decides what that is and keeps it.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import resource
import shutil
import stat
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from shipwheel.errors import BuildError

# An environment of our own: no setting, hash seed, locale or user reaches the bytes.
_ENVIRONMENT: Final = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
# No site, no user site, no bytecode written, no warnings shown.
_FLAGS: Final = ("-S", "-s", "-B", "-W", "ignore")
_PROBE: Final = """
import sys, importlib.util
v = sys.version_info
level = "" if v.releaselevel == "final" else {"alpha": "a", "beta": "b"}.get(v.releaselevel, "rc") + str(v.serial)
print(sys.implementation.name, "%d.%d.%d%s" % (v[0], v[1], v[2], level), sys.implementation.cache_tag,
      importlib.util.MAGIC_NUMBER.hex(), getattr(sys, "abiflags", "") or "-")
"""
# What a source may take; one that takes more stays without bytecode.
_MEMORY: Final = 4 << 30
_SECONDS: Final = 300.0
_SLOW_LIMIT: Final = 3
_LINKS: Final = 40
# Where a Linux distribution keeps libraries; the multiarch folders are found beside them.
_LIBRARIES: Final = ("usr/local/lib", "lib64", "usr/lib64", "lib", "usr/lib")
_MACHINES: Final = {
    62: "x86_64",
    183: "aarch64",
    3: "i686",
    40: "armv7l",
    21: "ppc64le",
    22: "s390x",
    243: "riscv64",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python that was asked who it is. `command` starts it; `origin` says whose it is.

    `version` is full, as `3.13.5`; `magic` is the bytecode's magic number in hex; `where` is for people.
    """

    command: Sequence[str]
    folder: Path
    environ: Mapping[str, str]
    origin: Literal["image", "other image", "host"]
    where: str
    implementation: str
    version: str
    cache_tag: str
    magic: str
    abiflags: str = ""

    @property
    def id(self) -> str:
        """What the bytes depend on. That a host's Python stood in for the image's own shows."""
        name = f"{self.implementation}-{self.version}{self.abiflags}-{self.magic}"
        return name + ("+host" if self.origin == "host" else "")

    def compile(self, sources: Sequence[tuple[str, bytes]]) -> list[bytes | str]:
        """Return for each (path in the image, source) its .pyc, or in one word why there is none.

        All are compiled by one new process in their order: which objects marshal shares depends on
        what a process has seen before. A source that brings the process down is left out, and a new
        one goes on behind it. Raises BuildError `bytecode-timeout` when sources stall again and again.
        """
        results: list[bytes | str] = []
        slow = 0
        while len(results) < len(sources):
            answers, ending = self._run(sources[len(results) :])
            results += answers
            if len(results) < len(sources):
                slow += ending == "timeout"
                if slow > _SLOW_LIMIT:
                    place = sources[len(results)][0]
                    raise BuildError(
                        "bytecode-timeout",
                        "compiling takes minutes a file",
                        place=place,
                        hint="build with bytecode off, or leave this package out",
                    )
                results.append(ending)
        return results

    def _run(self, sources: Sequence[tuple[str, bytes]]) -> tuple[list[bytes | str], str]:
        """Compile in one process; return the answers it gave and how it ended (`crash`, `timeout`)."""
        pieces: list[bytes] = []
        for path, source in sources:
            name = path.encode("utf-8", "surrogatepass")
            pieces += [len(name).to_bytes(4, "big"), name, len(source).to_bytes(4, "big"), source]
        program = Path(__file__).with_name("compile_worker.py").read_text(encoding="utf-8")
        ending = "crash"
        with subprocess.Popen(
            [*self.command, "-c", program],
            cwd=self.folder,
            env=dict(self.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            _limit(process.pid)
            try:
                output, _ = process.communicate(b"".join(pieces), timeout=_SECONDS)
            except subprocess.TimeoutExpired:
                ending = "timeout"
                process.kill()
                output, _ = process.communicate()
        return _answers(output), ending


@dataclass(frozen=True, slots=True, kw_only=True)
class NoInterpreter:
    """There is no Python here that could compile for the image, and why: a line for each that was tried."""

    version: str
    reasons: Sequence[str]

    def __str__(self) -> str:
        return f"no Python {self.version} runs here: " + "; ".join(self.reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """An image's files, unpacked at `path`; `executable` is its Python's absolute path in the image."""

    path: Path
    executable: str


def find_interpreter(
    version: str,
    *,
    root: Root | None = None,
    others: Iterable[Root] = (),
    named: Sequence[Path] = (),
    search_path: str = "",
) -> Interpreter | NoInterpreter:
    """Return a Python of exactly `version` (`3.13.5`) that runs here, or why there is none.

    Tried in this order: the image's own (`root`), the same version for another platform (`others`),
    the interpreters `named`, the one that runs this, `pythonX.Y` on `search_path` (PATH's form).
    Bytecode does not depend on the platform, only on the version.
    """
    reasons: list[str] = []
    for candidate in (*_images(root, others, reasons), *_hosts(version, named, search_path)):
        found = _ask(candidate, version)
        if isinstance(found, Interpreter):
            return found
        reasons.append(f"{candidate.where}: {found}")
    return NoInterpreter(version=version, reasons=tuple(reasons))


def resolve_in_root(root: Path, path: str) -> str | None:
    """Return `path` (in the image) with every link followed as if `root` were /, relative to it.

    None when it does not exist or its links go in circles. No link ever leads out of `root`.
    """
    todo = [part for part in path.split("/") if part not in ("", ".")][::-1]
    done: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            del done[-1:]
            continue
        here = root.joinpath(*done, part)
        try:
            mode = here.lstat().st_mode
        except OSError:
            return None
        if not stat.S_ISLNK(mode):
            done.append(part)
            continue
        links += 1
        if links > _LINKS:
            return None
        target = str(here.readlink())
        if target.startswith("/"):
            done.clear()
        todo += [step for step in target.split("/") if step not in ("", ".")][::-1]
    return "/".join(done)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    command: Sequence[str]
    folder: Path
    environ: Mapping[str, str]
    origin: Literal["image", "other image", "host"]
    where: str


def _images(root: Root | None, others: Iterable[Root], reasons: list[str]) -> Iterator[_Candidate]:
    """Yield the images' Pythons; why one cannot be started goes to `reasons`."""
    for each in (*([] if root is None else [root]), *others):
        origin: Literal["image", "other image"] = "image" if each is root else "other image"
        found = _in_root(each, origin)
        if isinstance(found, _Candidate):
            yield found
        else:
            reasons.append(f"{each.executable} of the {origin}: {found}")


def _hosts(version: str, named: Sequence[Path], search_path: str) -> Iterator[_Candidate]:
    minor = ".".join(version.split(".")[:2])
    on_path = shutil.which(f"python{minor}", path=search_path) if search_path else None
    for host in dict.fromkeys([*(str(path) for path in named), sys.executable, on_path]):
        if host:
            yield _Candidate(
                command=(host, *_FLAGS), folder=Path("/"), environ=_ENVIRONMENT, origin="host", where=host
            )


def _in_root(root: Root, origin: Literal["image", "other image"]) -> _Candidate | str:
    """Return how to start the root's Python, or why it cannot be. Paths are relative: none may hold a `:`."""
    executable = resolve_in_root(root.path, root.executable)
    if executable is None:
        return "it is not there"
    try:
        machine, loader = _read_elf(root.path / executable)
    except (OSError, ValueError, struct.error) as error:
        return f"it is no ELF program: {error}"
    if machine != os.uname().machine or not sys.platform.startswith("linux"):
        return f"it is for linux {machine}"
    command = [str(root.path / executable)]
    if loader is not None:
        inside = resolve_in_root(root.path, loader)
        if inside is None:
            return f"its loader {loader} is not there"
        libraries = ":".join(_library_folders(root.path, posixpath.dirname(inside)))
        # Both glibc's and musl's loader take this option and then the program's path.
        command = [str(root.path / inside), "--library-path", libraries, executable]
    home = posixpath.dirname(posixpath.dirname(executable)) or "."
    return _Candidate(
        command=(*command, *_FLAGS),
        folder=root.path,
        environ={**_ENVIRONMENT, "PYTHONHOME": home},
        origin=origin,
        where=f"{root.executable} of the {origin}",
    )


def _library_folders(root: Path, loaders: str) -> list[str]:
    found = [loaders]
    for place in _LIBRARIES:
        inside = resolve_in_root(root, place)
        if inside is None:
            continue
        found.append(inside)
        found += sorted(
            f"{inside}/{path.name}" for path in (root / inside).glob("*-linux-*") if path.is_dir()
        )
    return list(dict.fromkeys(found))


def _read_elf(path: Path) -> tuple[str, str | None]:
    """Return the machine and the loader (PT_INTERP) of an ELF program; raises ValueError, struct.error."""
    with path.open("rb") as file:
        head = file.read(64)
        if head[:4] != b"\x7fELF":
            raise ValueError("bad magic number")
        order = "<" if head[5] == 1 else ">"
        wide = head[4] == 2
        machine = struct.unpack_from(order + "H", head, 18)[0]
        start = struct.unpack_from(order + ("Q" if wide else "L"), head, 32 if wide else 28)[0]
        size, count = struct.unpack_from(order + "HH", head, 54 if wide else 42)
        loader = None
        for index in range(count):
            file.seek(start + index * size)
            header = file.read(size)
            if struct.unpack_from(order + "L", header)[0] == 3:  # PT_INTERP
                offset, length = (
                    (
                        struct.unpack_from(order + "Q", header, 8)[0],
                        struct.unpack_from(order + "Q", header, 32)[0],
                    )
                    if wide
                    else (
                        struct.unpack_from(order + "L", header, 4)[0],
                        struct.unpack_from(order + "L", header, 16)[0],
                    )
                )
                file.seek(offset)
                loader = file.read(min(length, 4096)).rstrip(b"\0").decode()
    return _MACHINES.get(machine, f"machine {machine}"), loader


def _ask(candidate: _Candidate, version: str) -> Interpreter | str:
    """Start it and have it say who it is; return the interpreter, or what is wrong with it."""
    try:
        done = subprocess.run(
            [*candidate.command, "-c", _PROBE],
            cwd=candidate.folder,
            env=dict(candidate.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"it does not start: {error}"
    words = done.stdout.decode(errors="replace").split()
    if done.returncode != 0 or len(words) != 5:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return f"it does not start (exit {done.returncode}): {last[0] if last else 'no output'}"
    implementation, own, cache_tag, magic, abiflags = words
    if own != version or implementation != "cpython":
        return f"it is {implementation} {own}"
    return Interpreter(
        command=candidate.command,
        folder=candidate.folder,
        environ=candidate.environ,
        origin=candidate.origin,
        where=candidate.where,
        implementation=implementation,
        version=own,
        cache_tag=cache_tag,
        magic=magic,
        abiflags="" if abiflags == "-" else abiflags,
    )


def _limit(pid: int) -> None:
    """Bound what the worker may take. It waits for its input meanwhile, so this is soon enough."""
    if not hasattr(resource, "prlimit"):  # not on macOS
        return
    # It may be over already, and a limit below ours cannot be raised again.
    with contextlib.suppress(ProcessLookupError, PermissionError, ValueError):
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
        resource.prlimit(pid, resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def _answers(output: bytes) -> list[bytes | str]:
    answers: list[bytes | str] = []
    at = 0
    while at + 5 <= len(output):
        end = at + 5 + int.from_bytes(output[at + 1 : at + 5], "big")
        if end > len(output):  # it ended while writing
            break
        data = output[at + 5 : end]
        answers.append(data if output[at : at + 1] == b"P" else data.decode(errors="replace"))
        at = end
    return answers
