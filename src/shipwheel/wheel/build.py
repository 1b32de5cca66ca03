"""Build a wheel from a source tree with its own back-end (PEP 517), pinned by hash and isolated.

The tree is a staged copy, so a back-end can neither see what is ignored nor litter the project. Its
environment holds the pinned requirements alone. Chooses no files and makes no layer.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import tomllib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from shipwheel.cache import Cache
from shipwheel.errors import BuildError, HostError
from shipwheel.wheel.pins import BuildPin, BuildSystem

RECIPE: Final = "build/1"
# PEP 518: what stands where [build-system] does not.
_LEGACY: Final[Mapping[str, Any]] = {
    "requires": ["setuptools>=40.8.0"],
    "build-backend": "setuptools.build_meta:__legacy__",
}
# Zip cannot say 1970 (its dates start in 1980); the wheel's own dates reach no image anyway.
_ZIP_EPOCH: Final = 315532800
# What a back-end may see of the caller's environment: enough to run programs, nothing that varies.
_PASSED_ON: Final = (
    "PATH",
    "HOME",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CC",
    "CXX",
    "CFLAGS",
    "LDFLAGS",
)
_INSTALL: Final = [
    "pip",
    "install",
    "--quiet",
    "--no-deps",
    "--require-hashes",
    "--no-config",
]
# For every Python that shipwheel runs on; addresses of indexes are nobody's business but this machine's.
_COMPILE: Final = [
    "pip",
    "compile",
    "--quiet",
    "--universal",
    "--generate-hashes",
    "--python",
    sys.executable,
    "--python-version",
    "3.11",
    "--format",
    "requirements.txt",
    "--no-config",
    "--no-header",
    "--no-annotate",
    "--no-emit-index-url",
    "--no-emit-find-links",
]


_FINDING: Final = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class BackEnd:
    """A project's `[build-system]` (PyPA "pyproject.toml specification")."""

    requires: Sequence[str]
    name: str
    path: Sequence[str] = ()

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> BackEnd:
        """Read it from a parsed pyproject.toml; without one, Poetry's for Poetry projects, else setuptools."""
        system = data.get("build-system")
        if system is None and "poetry" in data.get("tool", {}) and "project" not in data:
            system = {"requires": ["poetry-core>=1.0.0"], "build-backend": "poetry.core.masonry.api"}
        system = system or _LEGACY
        return cls(
            requires=tuple(system.get("requires", _LEGACY["requires"])),
            name=system.get("build-backend", _LEGACY["build-backend"]),
            path=tuple(system.get("backend-path", ())),
        )


class KitSource(Protocol):
    """Who has build tools as files; `wheel.kit.Kits`."""

    def obtain(self, system: BuildSystem) -> Mapping[str, Path] | None:
        """Return the wheels of `system` by file name, or None where an index has to be asked by uv."""
        ...

    def reused(self, system: BuildSystem) -> bool:
        """Note that an environment of `system` is there; tell whether an earlier run made it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexOptions:
    """Where `uv` finds packages: its command-line options, and credentials in its environment.

    What `kits` have as files is not looked for anywhere else.
    """

    options: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    kits: KitSource | None = None


def pin_requirements(
    requires: Sequence[str], *, index: IndexOptions, environ: Mapping[str, str]
) -> BuildSystem:
    """Choose a version for each of `requires` and what they need, for every Python, by hash.

    Raises BuildError `build-requirements`.
    """
    pins = _resolve(requires, index, environ) if requires else ()
    return BuildSystem(requires=tuple(sorted(requires)), pins=pins)


def extra_requirements(
    tree: Path,
    back_end: BackEnd,
    system: BuildSystem,
    *,
    cache: Cache,
    index: IndexOptions,
    environ: Mapping[str, str],
) -> Sequence[str]:
    """Return what the back-end asks for beside what `[build-system]` says (PEP 517), most often nothing."""
    if adds_nothing(back_end):
        return ()
    env = prepare_environment(system, cache=cache, index=index, environ=environ)
    return _hook(tree, back_end, env, environ).get_requires_for_build_wheel()


def prepare_environment(
    system: BuildSystem, *, cache: Cache, index: IndexOptions, environ: Mapping[str, str]
) -> Path:
    """Return the folder of a virtual environment with exactly the pins; made once, then cached.

    Raises BuildError `build-environment`, also when a hash differs from the pinned one.
    """
    key = f"{RECIPE} environment {sys.implementation.cache_tag} {sys.executable} {environment_id(system)}"
    if found := cache.folder(key, downloaded=True):
        if index.kits is not None and index.kits.reused(system):
            _compile(found)
        return found
    files = None if index.kits is None else index.kits.obtain(system)
    lines = [
        f"{pin.name}=={pin.version}{f' ; {pin.marker}' if pin.marker else ''} "
        + " ".join(f"--hash={text}" for text in pin.hashes)
        for pin in system.pins
    ]
    with cache.staging_folder() as folder:
        env = folder / "env"
        run_uv(
            ["venv", "--quiet", "--relocatable", "--no-project", "--python", sys.executable, str(env)],
            "",
            environ,
            index,
        )
        options = list(index.options)
        if files is not None:
            # Under their own names, which count; the cache's are hashes.
            wheels = folder / "wheels"
            wheels.mkdir()
            for name, path in files.items():
                (wheels / name).symlink_to(path)
            options = ["--offline", "--no-index", "--find-links", str(wheels)]
        run_uv(
            [*_INSTALL, "--python", str(env / "bin" / "python"), *options, "-r", "-"],
            "\n".join(lines),
            environ,
            index,
        )
        return cache.add_folder(env, key)


def _compile(env: Path) -> None:
    """Compile an environment that a second run uses: most machines in CI never come to that, and to compile
    all of it takes longer than to load what one build needs.
    """
    done = env / "compiled"
    if done.exists():
        return
    words = [str(env / "bin" / "python"), "-m", "compileall", "-q", str(env / "lib")]
    subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    # A cache that cannot be written works without.
    with contextlib.suppress(OSError):
        done.touch()


def build_wheel(
    tree: Path, back_end: BackEnd, env: Path, into: Path, *, environ: Mapping[str, str], epoch: int = 0
) -> Path:
    """Build `tree`'s wheel into the folder `into` and return its path.

    Raises BuildError `build-failed` with the end of the back-end's own output.
    """
    hooks = _hook(tree, back_end, env, environ, epoch=epoch)
    name = hooks.build_wheel(str(into))
    return into / str(name)


def read_back_end(tree: Path) -> BackEnd:
    """Return the back-end of a source tree; one without pyproject.toml has setuptools'."""
    try:
        return BackEnd.of(tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return BackEnd.of({})


def adds_nothing(back_end: BackEnd) -> bool:
    """Tell whether the back-end is known to ask for nothing more: asking costs an environment and a process."""
    return (
        back_end.name in ("poetry.core.masonry.api", "flit_core.buildapi", "uv_build") and not back_end.path
    )


def environment_id(system: BuildSystem) -> str:
    """Return a hex sha256 over the pins: equal pins, equal environment."""
    text = "\n".join(f"{pin.name}=={pin.version} {pin.marker} {sorted(pin.hashes)}" for pin in system.pins)
    return hashlib.sha256(text.encode()).hexdigest()


class _Hooks:
    """Calls a back-end's hooks in a process of its own and turns failures into BuildError."""

    def __init__(
        self, tree: Path, back_end: BackEnd, env: Path, environ: Mapping[str, str], epoch: int
    ) -> None:
        import pyproject_hooks

        # Since 1.3 it repeats here what a back-end warns its authors of.
        if (category := getattr(pyproject_hooks, "BuildBackendWarning", None)) is not None:
            warnings.filterwarnings("ignore", category=category)
        self._output: list[str] = []
        self._environ = {name: environ[name] for name in _PASSED_ON if name in environ} | {
            "PATH": f"{env / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}",
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "SOURCE_DATE_EPOCH": str(max(epoch, _ZIP_EPOCH)),
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
        }
        if (git := environ.get("GIT_DIR")) is not None:
            self._environ["GIT_DIR"] = git
        try:
            self._caller = pyproject_hooks.BuildBackendHookCaller(
                str(tree),
                back_end.name,
                backend_path=list(back_end.path) or None,
                runner=self._run,
                python_executable=str(env / "bin" / "python"),
            )
        except ValueError as error:
            raise BuildError(
                "no-back-end",
                f"the build back-end cannot be imported: {error}",
                place="pyproject.toml [build-system] backend-path",
                hint="its paths are relative, and inside the project",
            ) from error

    def build_wheel(self, into: str) -> str:
        return str(self._call("build_wheel", into))

    def get_requires_for_build_wheel(self) -> list[str]:
        return list(self._call("get_requires_for_build_wheel"))

    def _call(self, hook: str, *arguments: str) -> Any:
        from pyproject_hooks import BackendUnavailable, HookMissing

        try:
            return getattr(self._caller, hook)(*arguments)
        except subprocess.CalledProcessError as error:
            tail = "\n".join("".join(self._output).rstrip().splitlines()[-15:])
            raise BuildError(
                "build-failed",
                f"the build back-end failed with exit code {error.returncode}:\n{tail}",
                place="pyproject.toml [build-system]",
                hint="it was given the files that git and .dockerignore do not ignore, and no network settings",
            ) from error
        except (BackendUnavailable, HookMissing, ValueError) as error:
            raise BuildError(
                "no-back-end",
                f"the build back-end cannot be imported: {error}",
                place="pyproject.toml [build-system]",
                hint="is what provides it in requires?",
            ) from error

    def _run(
        self,
        cmd: Sequence[str],
        cwd: str | None = None,
        extra_environ: Mapping[str, str] | None = None,
    ) -> None:
        done = subprocess.run(
            cmd,
            cwd=cwd,
            env={**self._environ, **(extra_environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            umask=0o022,
            check=False,
        )
        self._output.append(done.stdout)
        done.check_returncode()


def _hook(tree: Path, back_end: BackEnd, env: Path, environ: Mapping[str, str], *, epoch: int = 0) -> _Hooks:
    return _Hooks(tree, back_end, env, environ, epoch)


def _resolve(
    requires: Sequence[str], index: IndexOptions, environ: Mapping[str, str]
) -> tuple[BuildPin, ...]:
    """Let uv choose versions for every Python that a build may run on, with every file's hash."""
    text = run_uv(
        [*_COMPILE, *index.options, "-"],
        "\n".join(requires),
        environ,
        index,
    )
    return tuple(_read_pin(line) for line in text.replace("\\\n", " ").splitlines() if line.strip())


def _read_pin(line: str) -> BuildPin:
    requirement, *hashes = line.split("--hash=")
    pinned, _, marker = requirement.partition(";")
    name, _, version = pinned.strip().partition("==")
    return BuildPin(
        name=name,
        version=version.strip(),
        hashes=tuple(sorted(text.strip() for text in hashes)),
        marker=marker.strip() or None,
    )


def run_uv(arguments: Sequence[str], stdin: str, environ: Mapping[str, str], index: IndexOptions) -> str:
    """Run `uv ARGUMENTS` with the machine's certificates and `index`'s login, and return its stdout.

    Raises BuildError `build-requirements` where it could not resolve, `build-environment` for the rest.
    """
    env = {
        name: value
        for name, value in environ.items()
        if not name.startswith(("UV_", "VIRTUAL_ENV", "PYTHON"))
    }
    kept = {
        name: environ[name]
        for name in ("UV_CACHE_DIR", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS")
        if name in environ
    }
    defaults = {
        "UV_NO_PROGRESS": "1",
        # Our own Python resolves for any other; uv would look for that one first, and download it.
        "UV_PYTHON_DOWNLOADS": "never",
        # The machine's certificates, as everywhere else; both of uv's names for that, older and newer.
        "UV_NATIVE_TLS": "true",
        "UV_SYSTEM_CERTS": "true",
    }
    env |= defaults | kept | dict(index.environ)
    if not (env.get("SSL_CERT_FILE") or env.get("SSL_CERT_DIR")):
        # uv reads OpenSSL's names alone.
        bundles = (env.get(name, "") for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"))
        if bundle := next(filter(os.path.isfile, bundles), ""):
            env["SSL_CERT_FILE"] = bundle
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [_find_uv(), *arguments],
            input=stdin,
            env=env,
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    if done.returncode == 0:
        return done.stdout
    code = "build-requirements" if arguments[:2] == ["pip", "compile"] else "build-environment"
    raise BuildError(
        code,
        f"uv {arguments[0]} failed:\n{done.stderr.strip()}",
        place="pyproject.toml [build-system] requires",
        hint="is the index reachable? `shipwheel lock` pins the build requirements anew",
    )


def _find_uv() -> str:
    from uv import find_uv_bin

    try:
        # Python 3.11's sysconfig, which it asks, answers None to a second thread while the first one fills it.
        with _FINDING:
            return str(find_uv_bin())
    except FileNotFoundError:
        if found := shutil.which("uv"):
            return found
        raise HostError(
            "no-uv", "uv is not installed", hint="reinstall shipwheel, or put uv on PATH"
        ) from None
