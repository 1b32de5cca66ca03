"""Ways to run the test image: every runner, as root and as an ordinary user."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from functional.engine.images import CONFIG, compile_program, image_with
from helpers.tools import missing, require_tool
from shipwheel.oci.model import RunConfig

ROOT = Path(__file__).parents[3]
# An ordinary user that every machine has, and that owns nothing.
NOBODY = 65534
WAYS = ["docker-root", "podman-root", "runc-root", "unshare-root", "bwrap-user", "unshare-user"]
ENGINES = ["docker-root", "podman-root"]


@dataclass(frozen=True, kw_only=True)
class Ended:
    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()


@dataclass(frozen=True, kw_only=True)
class Way:
    """A runner and who runs it."""

    runner: str
    python: str
    environ: Mapping[str, str]
    uid: int | None
    program: Path
    folder: Path
    config: RunConfig = field(default_factory=RunConfig)

    def command(self, args: list[str], *, files: Mapping[str, str] | None = None, **spec: Any) -> list[str]:
        spec.setdefault("network", "none")
        config = spec.pop("config", None)
        orders = {
            "runner": self.runner,
            "program": str(self.program),
            "cache": str(self.folder / "cache"),
            "config": (config or self.config).to_json(),
            "files": dict(files or {}),
            "spec": {"args": args, **spec},
        }
        return [self.python, "-m", "functional.engine.driver", json.dumps(orders)]

    def run(self, *args: str, stdin: str = "", **spec: Any) -> Ended:
        ended = subprocess.run(
            self.command(list(args), **spec),
            **self._options(),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        return Ended(code=ended.returncode, stdout=ended.stdout, stderr=ended.stderr)

    @contextlib.contextmanager
    def start(self, *args: str, **spec: Any) -> Iterator[subprocess.Popen[str]]:
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True, **self._options()}
        options.update(spec.pop("popen", {}))
        child = subprocess.Popen(self.command(list(args), **spec), **options)
        try:
            yield child
        finally:
            child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()

    def engine_name(self) -> str:
        """What an engine knows the image as."""
        return (
            f"localhost/shipwheel-run:{image_with(self.program, config=self.config).config_blob().digest.hex}"
        )

    def forget_image(self) -> None:
        """Remove the image from the engine."""
        command = [self.runner, "image", "rm", self.engine_name()]
        subprocess.run(command, env=dict(self.environ), check=False, capture_output=True)

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"env": dict(self.environ), "cwd": "/"}
        if self.uid is not None:
            options |= {"user": self.uid, "group": self.uid, "extra_groups": []}
        return options


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_program(tmp_path_factory.mktemp("program"))


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.engine] if name in ENGINES else []) for name in WAYS],
)
def way(
    request: pytest.FixtureRequest, program: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Way]:
    """Give each runner in turn, each for root and for an ordinary user where it is for them."""
    runner, who = str(request.param).split("-")
    if runner not in ("docker", "unshare"):
        require_tool(runner)
    if who == "root" and os.geteuid() != 0:
        pytest.skip("run the tests as root to see what root gets")
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(_paths())}
    if runner == "docker":
        environ |= request.getfixturevalue("docker_engine").environ
    # Not below pytest's own folder, which is for its user alone.
    folder = Path(f"/var/tmp/shipwheel-test-{uuid.uuid4().hex}")
    folder.mkdir(mode=0o755)
    try:
        way = _way(runner, who, environ, program, folder)
        yield way
        if f"{runner}-{who}" in ENGINES:
            way.forget_image()
    finally:
        shutil.rmtree(folder)


def _way(runner: str, who: str, environ: dict[str, str], program: Path, folder: Path) -> Way:
    (folder / "tmp").mkdir()
    (folder / "cache").mkdir()
    own = folder / "program"
    shutil.copy(program, own)
    own.chmod(0o755)
    is_other = who == "user" and os.geteuid() == 0
    if is_other:
        for path in (folder / "tmp", folder / "cache"):
            os.chown(path, NOBODY, NOBODY)
        if not _can_read(NOBODY, _paths()):
            environ["PYTHONPATH"] = os.pathsep.join(_readable_copies(folder / "python"))
    environ |= {"TMPDIR": str(folder / "tmp"), "HOME": str(folder / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}
    return Way(
        runner=runner,
        python=_python_for(NOBODY) if is_other else sys.executable,
        environ=environ,
        uid=NOBODY if is_other else None,
        program=own,
        folder=folder,
        # An image of these tests alone: others may be running at the same time, on the same engine.
        config=replace(CONFIG, env=(*(CONFIG.env or ()), ("TESTS", folder.name))),
    )


def _paths() -> list[str]:
    site = [path for path in sys.path if path.endswith("site-packages")]
    return [str(ROOT / "src"), str(ROOT / "tests"), *site]


def _can_read(uid: int, paths: list[str]) -> bool:
    """Tell whether user `uid` may read these folders: a checkout may be in a home folder or a private one."""
    code = "import os, sys; sys.exit(not all(os.access(path, os.R_OK) for path in sys.argv[1:]))"
    files = [str(path) for folder in paths for path in Path(folder).glob("*/__init__.py")]
    command = [_python_for(uid), "-I", "-S", "-c", code, *paths, *files]
    return subprocess.run(command, user=uid, group=uid, extra_groups=[], cwd="/", check=False).returncode == 0


def _readable_copies(folder: Path) -> list[str]:
    """Copy shipwheel, the tests and what they import to `folder`, for every user to read."""
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    pinned = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements/runtime.txt").read_text(), re.MULTILINE)
    for name in (*pinned, "pytest", "pluggy", "iniconfig"):
        with contextlib.suppress(metadata.PackageNotFoundError):  # for another Python or system
            for file in metadata.files(name) or ():
                if ".." not in file.parts and file.suffix != ".pyc":
                    target = folder / "site" / file
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(str(file.locate()), target)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return [str(folder / name) for name in ("src", "tests", "site")]


def _python_for(uid: int) -> str:
    """Return an interpreter of this version that user `uid` can start: a developer's own may be out of reach."""
    minor = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{minor}", f"/usr/local/bin/{minor}"):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([python, "-c", ""], user=uid, group=uid, extra_groups=[], cwd="/", check=True)
            return python
    return missing(f"no {minor} that an ordinary user can start")
