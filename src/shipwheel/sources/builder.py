"""Compile a source tree for the target: in a root folder of Debian packages, isolated and without network.

The root is assembled from the packages in shipwheel.lock's `[builder]`; the build requirements are wheels
for the target, by their pinned hashes. Decides nothing about what has to be compiled.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packaging.markers import Marker
from packaging.pylock import PackageWheel
from packaging.utils import canonicalize_name
from packaging.version import Version

from shipwheel.assemble.workshop import Once, Workshop
from shipwheel.base.debian.builder import BuilderRoot, builder_id, read_builder, write_builder
from shipwheel.base.model import DebianBase, DebianPlatform
from shipwheel.engine.detect import find_runner
from shipwheel.engine.process import Process, User
from shipwheel.engine.rootless import Container, Launcher, RootlessRunner
from shipwheel.engine.spec import Mount, Streams
from shipwheel.engine.supervise import supervise
from shipwheel.errors import BuildError, HostError, TargetError
from shipwheel.lockfile import FILE
from shipwheel.locks.choose import name_file
from shipwheel.locks.model import KnownByHash, Selected
from shipwheel.target import Target
from shipwheel.wheel.build import BackEnd, environment_id
from shipwheel.wheel.native import missing_package
from shipwheel.wheel.pins import BuildPin, BuildSystem
from shipwheel.wheel.source import BuiltWheel

# Zip's dates start in 1980; a wheel's own dates reach no image.
_EPOCH: Final = "315532800"
# A runaway build ends some day; the slowest honest ones take half an hour on two cores.
_SECONDS: Final = 2 * 3600.0
# Where official images, and whoever compiles Python, put it.
OWN_PREFIX: Final = "/usr/local"
_RUNNERS: Final = ("unshare", "bwrap", "runc")
_TAIL: Final = 25
# How cargo, git, curl, Go and Python say that there is no network.
_ASKED_NETWORK: Final = re.compile(
    r"[Cc]ould not resolve host|Temporary failure in name resolution|Name or service not known"
    r"|no such host|dial tcp|Network is unreachable|failed to lookup address"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One hook to call: the project's `tree`, of which `folder` (its outermost parent) is seen inside."""

    folder: Path
    tree: Path
    back_end: BackEnd
    system: BuildSystem
    title: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPython:
    """A base image's interpreter, with which is compiled: in OWN_PREFIX of its `root`, unpacked.

    `title` at `place` is what has to be compiled.
    """

    title: str
    place: str
    root: Callable[[], Path]


class Builder:
    """Compiles for one target. The root is assembled when something first needs it.

    `name` is `names.builder_name`; `own` the interpreter that stands in for the root's own. `unbuilt` tells the names of the wheels that a build system's sources become, and `make` makes one.
    """

    def __init__(
        self,
        lock: DebianBase,
        platform: DebianPlatform,
        target: Target,
        workshop: Workshop,
        *,
        name: str,
        own: OwnPython | None = None,
        unbuilt: Callable[[BuildSystem], Sequence[str]],
        make: Callable[[Selected, Builder], BuiltWheel],
    ) -> None:
        self._lock, self._platform, self._workshop = lock, platform, workshop
        self.target, self.unbuilt, self._make = target, unbuilt, make
        self.id, self._own = name, own
        self.root = Once(self._root)
        self._launcher = Once(self._find_launcher)

    def requires(self, order: Order) -> list[str]:
        """Return what the back-end asks for beside `[build-system] requires` (PEP 517)."""
        with tempfile.TemporaryDirectory(prefix="shipwheel-") as folder:
            return [str(text) for text in self._call(order, "get_requires_for_build_wheel", [], Path(folder))]

    def build(self, order: Order, into: Path) -> Path:
        """Build the wheel into the folder `into` and return its path.

        Raises BuildError `build-failed` with the end of the output and what it seems to miss,
        and what making its build requirements raises; HostError `no-isolation`.
        """
        with tempfile.TemporaryDirectory(prefix="shipwheel-") as folder:
            name = self._call(order, "build_wheel", ["/build/out"], Path(folder))
            built = into / Path(str(name)).name
            made = Path(folder) / "out" / built.name
            if made.is_symlink() or not made.is_file():
                raise BuildError(
                    "build-failed", f"building {order.title} left no {built.name}", place=order.place
                )
            shutil.move(made, built)
        return built

    def _call(self, order: Order, hook: str, arguments: Sequence[str], work: Path) -> Any:
        for name in ("out", "home", "tmp"):
            (work / name).mkdir()
        # The same path for whatever it is built from: compilers write it into what they make.
        shutil.copytree(order.folder, work / "source", symlinks=True)
        inside = Path("/build/source") / order.tree.relative_to(order.folder)
        worker = Path(__file__).parent.parent / "wheel" / "hook_worker.py"
        (work / "hook.py").write_bytes(worker.read_bytes())
        orders = {
            "back_end": order.back_end.name,
            "path": list(order.back_end.path),
            "hook": hook,
            "arguments": list(arguments),
        }
        (work / "orders").write_text(json.dumps(orders))
        code, output = self._run(
            ["/env/bin/python", "/build/hook.py", "/build/orders"], work, str(inside), order
        )
        answer = work / "orders.answer"
        if code != 0 or answer.is_symlink() or not answer.is_file():
            raise _failed(order, code, output, self._workshop.project.settings.base.build_packages)
        return json.loads(answer.read_text())

    def _run(self, argv: Sequence[str], work: Path, cwd: str, order: Order) -> tuple[int, str]:
        env, own = self._environment(order.system), self._own_prefix()
        container = Container(
            root=self.root().path,
            process=Process(
                argv=tuple(argv),
                # Official images have libpython there, which their linker's cache knows and this one's does not.
                env={**_environ(), **({} if own is None else {"LD_LIBRARY_PATH": f"{OWN_PREFIX}/lib"})},
                cwd=cwd,
                user=User(uid=os.geteuid(), gid=os.getegid()),
            ),
            path=argv[0],
            mounts=[
                Mount(source=work.resolve(), target="/build", read_only=False),
                Mount(source=env.resolve(), target="/env"),
                *([] if own is None else [Mount(source=own.resolve(), target=OWN_PREFIX)]),
            ],
            tmpfs=["/tmp"],  # noqa: S108 - inside the container
            isolate_network=True,
        )
        with tempfile.TemporaryFile() as output, Path(os.devnull).open("rb") as nothing:
            streams = Streams(stdin=nothing.fileno(), stdout=output.fileno(), stderr=output.fileno())
            try:
                with self._launcher().launch(container, streams) as launch:
                    code = launch.check(supervise(launch.start, launch.deliver, timeout=_SECONDS))
            except TimeoutError as error:
                raise BuildError(
                    "build-timeout", f"building {order.title} takes hours", place=order.place
                ) from error
            output.seek(0)
            return code, output.read().decode("utf-8", "replace")

    def _find_launcher(self) -> Launcher:
        reasons = []
        for name in _RUNNERS:
            try:
                runner = find_runner(self._workshop.environ, prefer=name, cache=self._workshop.cache)
            except HostError as error:
                reasons.append(error.problems[0].message)
                continue
            if isinstance(runner, RootlessRunner):
                return runner.launcher
        raise HostError(
            "no-isolation",
            f"compiling needs user namespaces, and none can be made here: {'; '.join(reasons)}",
            hint="allow them (kernel.unprivileged_userns_clone, a container's --security-opt), or lock wheels",
        )

    def _root(self) -> BuilderRoot:
        from shipwheel.base.debian.fetch import fetch_packages

        workshop, platform = self._workshop, self._platform
        key = f"builder root {builder_id(platform)}"
        if (kept := workshop.cache.folder(key)) is not None:
            return read_builder(kept)
        title = f"{len(platform.packages)} Debian packages to compile with"
        workshop.progress.started(key, title)
        debs = fetch_packages(workshop.http, workshop.cache, self._lock, platform.packages, workshop.mirrors)
        with workshop.cache.staging_folder() as staged:
            write_builder(platform, debs, staged / "builder")
            kept = workshop.cache.add_folder(staged / "builder", key)
        workshop.progress.finished(key, title, note="unpacked")
        return read_builder(kept)

    def _own_prefix(self) -> Path | None:
        """Return the folder to mount at OWN_PREFIX; raises TargetError `sdist-only` where it has no headers."""
        if self._own is None:
            return None
        prefix = self._own.root() / OWN_PREFIX.lstrip("/")
        header = f"include/python{self.target.python_minor}/Python.h"
        if not (prefix / header).is_file():
            raise TargetError(
                "sdist-only",
                f"{self._own.title} has code to compile, and the base's Python has no headers: {OWN_PREFIX}/{header}",
                place=self._own.place,
                hint="choose a version with a wheel, or a base image that keeps them",
            )
        return prefix

    def _environment(self, system: BuildSystem) -> Path:
        """Return a virtual environment of the pins as the builder's Python has it at /env."""
        key = " ".join(("builder environment", self.id, environment_id(system), *self.unbuilt(system)))
        if (kept := self._workshop.cache.folder(key)) is not None:
            return kept
        pins = pins_for(system, self.target)
        with self._workshop.cache.staging_folder() as staged:
            env = staged / "env"
            site = env / "lib" / f"python{self.target.python_minor}" / "site-packages"
            for made in (env / "bin", site):
                made.mkdir(parents=True)
            folder = "/usr/bin" if self._own_prefix() is None else f"{OWN_PREFIX}/bin"
            python = f"{folder}/python{self.target.python_minor}"
            for name in ("python", "python3"):
                (env / "bin" / name).symlink_to(python)
            text = f"home = {folder}\ninclude-system-site-packages = false\nversion = {self.target.python}\n"
            (env / "pyvenv.cfg").write_text(text)
            for pin in pins:
                self._install(pin, env, site, staged)
            return self._workshop.cache.add_folder(env, key)

    def _install(self, pin: BuildPin, env: Path, site: Path, staged: Path) -> None:
        from installer import install
        from installer.destinations import SchemeDictionaryDestination
        from installer.sources import WheelFile

        named = name_requirement(pin, self.target, self._workshop)
        if isinstance(named.source, PackageWheel):
            filename, path = named.source.filename, self._workshop.fetcher.fetch(named)
        else:
            built = self._make(named, self)
            filename, path = built.filename, built.path
        # The wheel's name counts, and the cache's is a hash.
        link = staged / filename
        link.symlink_to(path)
        destination = SchemeDictionaryDestination(
            {
                "purelib": str(site),
                "platlib": str(site),
                "scripts": str(env / "bin"),
                "data": str(env),
                "headers": str(env / "include" / pin.name),
            },
            interpreter="/env/bin/python",
            script_kind="posix",
        )
        with WheelFile.open(link) as source:
            install(source, destination, additional_metadata={})


def pins_for(system: BuildSystem, target: Target) -> list[BuildPin]:
    """Return the pins whose markers are true on `target`."""
    environment = {name: str(value) for name, value in target.marker_environment().items()}
    return [pin for pin in system.pins if pin.marker is None or Marker(pin.marker).evaluate(environment)]


def name_requirement(pin: BuildPin, target: Target, workshop: Workshop) -> Selected:
    """Return the file of the index that `pin` is on `target`: its best wheel, or else its source.

    Raises LockError `hash-not-on-index`, TargetError `no-wheel-for-target`, NetworkError.
    """
    asked = Selected(
        name=canonicalize_name(pin.name),
        version=Version(pin.version),
        source=KnownByHash(tuple(pin.hashes)),
        place=f"{FILE} [build-systems]",
    )
    return name_file(asked, workshop.fetcher.list_files(asked), target)


def find_builder(lock: DebianBase | None, target: Target) -> DebianPlatform | None:
    """Return the locked builder for the target's platform, or None."""
    return next(
        (item for item in (lock.platforms if lock else ()) if item.platform == str(target.platform)), None
    )


def _environ() -> Mapping[str, str]:
    return {
        "PATH": "/env/bin:/usr/local/bin:/usr/bin:/usr/sbin",
        "HOME": "/build/home",
        "TMPDIR": "/build/tmp",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SOURCE_DATE_EPOCH": _EPOCH,
        # An image has no use for a debugger's tables; they are most of a library.
        "CFLAGS": "-g0",
        "CXXFLAGS": "-g0",
    }


def _failed(order: Order, code: int, output: str, packages: Sequence[str]) -> BuildError:
    lines = output.rstrip().splitlines()
    missing = missing_package(output)
    hint = "it has no network and the packages of [tool.shipwheel.base] build-packages; a wheel needs no building"
    if missing is not None:
        what, package = missing
        named = ", ".join(f'"{name}"' for name in sorted({*packages, package}))
        hint = (
            f"{what} seems to be missing. Perhaps this helps, then `shipwheel lock`:"
            f" [tool.shipwheel.base] build-packages = [{named}]"
        )
    elif _ASKED_NETWORK.search(output):
        hint = (
            "it wants to download something, and nothing is compiled with a network: what a lock does not pin "
            "stays out. An sdist that brings all it needs can be compiled (Rust crates: `cargo vendor`), and a "
            "wheel needs no building"
        )
    tail = "\n".join(lines[-_TAIL:])
    return BuildError(
        "build-failed", f"building {order.title} ended with {code}:\n{tail}", place=order.place, hint=hint
    )
