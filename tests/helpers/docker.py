"""A current Docker engine for tests: the machine's own where it answers, else a private one.

The private engine is Debian's newest packages unpacked into a folder of ours and run from there, so
no package of the machine's changes. It needs root and Debian's archive keyring. Several
test processes share one engine: the first brings it up, the last takes it down.

By hand, from the repository: `PYTHONPATH=tests python -m helpers.docker up`, `env` or `down`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from helpers.tools import missing
from shipwheel.base.debian.mirrors import find_mirrors

# Root's; another user's own is beside it.
DEFAULT_FOLDER: Final = Path(f"/var/tmp/shipwheel-engine{f'-{os.geteuid()}' if os.geteuid() else ''}")
# The suite that has a current engine. Its programs run on an older libc; runc and tini do not, so
# those two are the machine's own (tests/engine/install-tools.sh).
_SUITE: Final = "forky"
_PACKAGES: Final = ("docker.io", "docker-cli", "docker-buildx", "docker-compose", "containerd")
_PROGRAMS: Final = ("bin/docker", "bin/containerd", "bin/containerd-shim-runc-v2", "sbin/dockerd")
_PLUGINS: Final = ("docker-buildx", "docker-compose")
_BRIDGE: Final = "shipwheel0"
_BRIDGE_ADDRESS: Final = "172.31.250.1/24"
_START_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerEngine:
    """An engine that answers. `environ` is the whole environment to start its client with."""

    client: str
    environ: Mapping[str, str] = field(repr=False)

    def docker(self, *arguments: str, check: bool = True, input_: bytes | None = None) -> str:
        """Run `docker ARGUMENTS` and return its stdout. Raises CalledProcessError unless `check` is off."""
        done = subprocess.run(
            [self.client, *arguments], env=self.environ, input=input_, stdout=subprocess.PIPE, check=check
        )
        return done.stdout.decode()


@contextlib.contextmanager
def docker_engine(folder: Path = DEFAULT_FOLDER) -> Iterator[DockerEngine]:
    """Give an engine while the block runs; a private one is stopped again by its last user.

    Without an engine and without the means to bring one up, the running test ends by `missing`.
    """
    own = _own_engine()
    if own is not None:
        yield own
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        missing("no Docker engine answers; bringing up a private one needs root on Debian")
    private = _PrivateEngine(folder)
    with private.users() as is_last:
        yield private.up()
        if is_last():
            private.down()


def _own_engine() -> DockerEngine | None:
    """Return the machine's own engine where it answers and can build with BuildKit."""
    client = shutil.which("docker")
    if client is None:
        return None
    engine = DockerEngine(client=client, environ={**os.environ, "BUILDKIT_PROGRESS": "plain"})
    able = all(_succeeds([client, *words], engine.environ) for words in (["version"], ["buildx", "version"]))
    return engine if able else None


def _succeeds(command: list[str], environ: Mapping[str, str]) -> bool:
    return subprocess.run(command, env=environ, capture_output=True, check=False).returncode == 0


class _PrivateEngine:
    """The engine in `folder`: `bin/` and `cli/` link to the unpacked packages, `run/` has socket and log."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._run = folder / "run"
        self._kept = self._run / "kept"  # brought up by hand: no test run takes it down
        self._pidfile = self._run / "dockerd.pid"
        self._socket = self._run / "docker.sock"
        for part in ("bin", "cli/cli-plugins", "run"):
            (folder / part).mkdir(parents=True, exist_ok=True)

    @property
    def environ(self) -> dict[str, str]:
        """What points a Docker client, ours or another's, at this engine and at no other."""
        return {
            "DOCKER_HOST": f"unix://{self._socket}",
            "DOCKER_CONFIG": str(self._folder / "cli"),
            "PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}",
            "BUILDKIT_PROGRESS": "plain",
        }

    @contextlib.contextmanager
    def users(self) -> Iterator[Callable[[], bool]]:
        """Count this process among the users; what is given tells once whether no other is left."""
        with (self._run / "users").open("ab") as users:
            fcntl.flock(users, fcntl.LOCK_SH)
            yield lambda: not self._kept.exists() and _try_exclusive(users.fileno())

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with (self._run / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def up(self) -> DockerEngine:
        """Return the running engine, unpacking and starting it where it is not there yet."""
        engine = DockerEngine(client=str(self._folder / "bin/docker"), environ={**os.environ, **self.environ})
        with self._alone():
            if not (self._folder / "bin/docker").exists():
                self._unpack()
            if not _succeeds([engine.client, "version"], engine.environ):
                self._start(engine)
        return engine

    def keep(self) -> None:
        """Let the engine outlive the test runs that use it."""
        self._kept.touch()

    def down(self) -> None:
        """Stop the engine that `up` started, if it runs, wait until it has gone, and remove what it stored.

        Without the last step each test run would leave its images and build cache behind, gigabytes of them.
        """
        with self._alone():
            self._kept.unlink(missing_ok=True)
            pid = self._pid()
            if pid is not None:
                os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + _START_SECONDS
            while self._pid() is not None and time.monotonic() < deadline:
                time.sleep(0.1)
            if self._pid() is not None:
                raise TimeoutError(f"dockerd does not stop; see {self._run / 'dockerd.log'}")
            if _bridge_exists():
                subprocess.run(["ip", "link", "delete", _BRIDGE], check=True)
            self._remove_data()

    def _remove_data(self) -> None:
        """Remove images, containers and build cache; dockerd may leave mounts of its own in the way."""
        data, run = self._folder / "data", self._run / "exec"
        points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for point in sorted(points, reverse=True):
            if any(Path(point).is_relative_to(folder) for folder in (data, run)):
                subprocess.run(["umount", "--lazy", point], check=True)
        if data.exists():
            shutil.rmtree(data)

    def _pid(self) -> int | None:
        """Return the id of our dockerd while it lives; an id that another program has taken is not ours."""
        try:
            pid = int(self._pidfile.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        return pid if str(self._pidfile).encode() in command.split(b"\0") else None

    def _unpack(self) -> None:
        """Fetch the packages with an apt state of our own (apt checks the signatures) and unpack them."""
        apt = self._folder / "apt"
        for part in ("lists/partial", "cache/archives/partial", "packages"):
            (apt / part).mkdir(parents=True, exist_ok=True)
        (apt / "status").touch()
        keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
        (apt / "sources.list").write_text(f"deb [signed-by={keyring}] {debian_mirror()} {_SUITE} main\n")
        apt_get = ["apt-get", "-qq"]
        for option in (
            f"Dir::Etc::sourcelist={apt / 'sources.list'}",
            "Dir::Etc::sourceparts=/dev/null",
            f"Dir::State::lists={apt / 'lists'}",
            f"Dir::State::status={apt / 'status'}",
            f"Dir::Cache={apt / 'cache'}",
            "Acquire::Languages=none",
            "Acquire::Retries=3",
            # A suite in development may be refreshed late; these are test tools, and still signed.
            "Acquire::Check-Valid-Until=false",
            "APT::Sandbox::User=root",
        ):
            apt_get += ["-o", option]
        packages = apt / "packages"
        subprocess.run([*apt_get, "update"], stdout=sys.stderr, check=True)
        subprocess.run([*apt_get, "download", *_PACKAGES], cwd=packages, stdout=sys.stderr, check=True)
        tree = self._folder / "tree"
        for package in sorted(packages.glob("*.deb")):
            subprocess.run(["dpkg-deb", "--extract", package, tree], check=True)
            package.unlink()
        self._link(tree / "usr")

    def _link(self, usr: Path) -> None:
        for plugin in _PLUGINS:
            _symlink(self._folder / "cli/cli-plugins" / plugin, usr / "libexec/docker/cli-plugins" / plugin)
        (self._folder / "cli/config.json").write_text("{}\n")
        binaries = self._folder / "bin"
        for proxy in (usr / "sbin/docker-proxy", usr / "libexec/docker/docker-proxy"):
            if proxy.exists():
                _symlink(binaries / "docker-proxy", proxy)
        # It runs inside the containers, whose libc is theirs: it must be the static one.
        _symlink(binaries / "docker-init", Path("/usr/bin/tini-static"))
        for program in reversed(_PROGRAMS):  # `docker` last: its presence says that the rest is there
            _symlink(binaries / Path(program).name, usr / program)

    def _start(self, engine: DockerEngine) -> None:
        """Start dockerd away from this process, so that a killed test run leaves no zombie behind."""
        if not _bridge_exists():
            subprocess.run(["ip", "link", "add", _BRIDGE, "type", "bridge"], check=True)
            subprocess.run(["ip", "address", "add", _BRIDGE_ADDRESS, "dev", _BRIDGE], check=True)
        self._pidfile.unlink(missing_ok=True)
        dockerd = [
            *("setsid", "--fork", str(self._folder / "bin/dockerd")),
            *("--host", f"unix://{self._socket}"),
            *("--data-root", str(self._folder / "data")),
            *("--exec-root", str(self._run / "exec")),
            *("--pidfile", str(self._pidfile)),
            # A bridge and port mapping, as users have them; docker0 may be another daemon's.
            f"--bridge={_BRIDGE}",
            "--ip6tables=false",
        ]
        log_path = self._run / "dockerd.log"
        with log_path.open("wb") as log:
            subprocess.run(
                dockerd, env=engine.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True
            )
        deadline = time.monotonic() + _START_SECONDS
        while not _succeeds([engine.client, "version"], engine.environ):
            if time.monotonic() > deadline:
                missing(f"dockerd does not start; the end of {log_path}:\n{log_path.read_text()[-2000:]}")
            time.sleep(0.1)


def debian_mirror() -> str:
    """Return the address of the Debian mirror that this machine's apt uses, as its sources name it."""
    found = find_mirrors(os.environ)
    if found is None:
        missing("apt knows no Debian mirror")
    return found.main


def _bridge_exists() -> bool:
    return Path("/sys/class/net", _BRIDGE).exists()


def _try_exclusive(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _symlink(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def main(arguments: list[str]) -> int:
    """Bring the private engine up, print what points a shell at it, or take it down."""
    private = _PrivateEngine(DEFAULT_FOLDER)
    match arguments:
        case ["up"]:
            private.keep()
            print(
                private.up().docker(
                    "version", "--format", "client {{.Client.Version}} server {{.Server.Version}}"
                )
            )
        case ["env"]:
            for name, value in private.environ.items():
                print(f"export {name}={shlex.quote(value)}")
        case ["down"]:
            private.down()
        case _:
            print("usage: python -m helpers.docker up|env|down", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
