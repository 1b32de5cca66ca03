"""Work in the dev stage, over compose.yaml: up, shell, run COMMAND, down.

  shipwheel dev up [--services]     build if needed, start, and wait until it runs
  shipwheel dev shell               a shell in it
  shipwheel dev run COMMAND...      one command in a container of its own
  shipwheel dev down [--volumes]    stop it; with --volumes forget the venv too

The source is mounted, files belong to you, and the venv is a volume that follows the lock.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from shipwheel.engine.secrets import build_secrets, variables_of_addresses
from shipwheel.errors import HostError, ProjectError
from shipwheel.project.reader import read_project
from shipwheel.wheel.index_variables import with_index_variables

SERVICE: Final = "app-dev"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's words."""
    parser.add_argument(
        "--project", default=".", metavar="FOLDER", help="the project's folder (default: here)"
    )
    what = parser.add_subparsers(dest="what", required=True, metavar="up|shell|run|down")
    up = what.add_parser("up", help="build if needed, start, wait")
    up.add_argument("--services", action="store_true", help="the databases of the profile `services` too")
    what.add_parser("shell", help="a shell in the running container")
    run_ = what.add_parser("run", help="one command in a container of its own")
    run_.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="as: pytest -x")
    down = what.add_parser("down", help="stop and remove the container")
    down.add_argument("--volumes", action="store_true", help="remove the venv's volume too")


def run(options: argparse.Namespace) -> int:
    """Run compose, and return its exit code."""
    root = Path(options.project).absolute()
    if not (root / "compose.yaml").is_file():
        hint = "`shipwheel init` writes it"
        raise ProjectError("no-compose-file", "there is no compose.yaml", place=str(root), hint=hint)
    words = compose_words(options, tty=sys.stdin.isatty() and sys.stdout.isatty())
    command = [
        *find_compose(os.environ),
        "--project-directory",
        str(root),
        "--file",
        str(root / "compose.yaml"),
    ]
    manifests = (root / "pyproject.toml", root / "Pipfile", *sorted(root.glob("*requirements*.txt")))
    told: Mapping[str, str] = os.environ
    if options.what in ("up", "run"):  # they may build
        data = read_project(root).data if manifests[0].is_file() else {}
        told = with_index_variables(os.environ, home=Path.home(), root=root, project=data)
    with build_secrets((), told, variables_of_addresses(manifests)) as secrets:
        environ = compose_environ(os.environ, secrets, uid=os.getuid(), gid=os.getgid())
        return subprocess.run([*command, *words], env=environ, check=False).returncode


def compose_words(options: argparse.Namespace, *, tty: bool) -> list[str]:
    """Return what compose is told."""
    match options.what:
        case "up":
            services = ["--profile", "services"] if options.services else []
            # With --services everything that is meant to start; app and builder have no replicas.
            only = [] if options.services else [SERVICE]
            return [*services, "up", "--detach", "--build", "--wait", *only]
        case "shell":
            return ["exec", *([] if tty else ["--no-TTY"]), SERVICE, "bash"]
        case "run":
            return ["run", "--rm", *([] if tty else ["--no-TTY"]), SERVICE, *options.command]
        case _:
            # The profile too, or its containers would stay.
            return ["--profile", "services", "down", *(["--volumes"] if options.volumes else [])]


def compose_environ(
    environ: Mapping[str, str], secrets: Mapping[str, Path], *, uid: int, gid: int
) -> dict[str, str]:
    """Return the environment for compose: the host's user, and the files that the build gets as secrets."""
    names = {"ca": "CA_BUNDLE", "index": "INDEX_LOGIN"}
    ours = {"HOST_UID": str(uid), "HOST_GID": str(gid)}
    return {**ours, **{names[key]: str(path) for key, path in secrets.items()}, **environ}


def find_compose(environ: Mapping[str, str]) -> Sequence[str]:
    """Return the start of a compose command; raises HostError `no-compose`, `engine-not-running`."""
    docker = shutil.which("docker", path=environ.get("PATH"))
    reason = "docker is not installed"
    if docker is not None:
        if _succeeds([docker, "compose", "version"], environ):
            if _succeeds([docker, "version"], environ):
                return (docker, "compose")
            reason = "docker does not answer"
        else:
            reason = "docker has no compose plugin"
    podman = shutil.which("podman-compose", path=environ.get("PATH"))
    if podman is not None:
        return (podman,)
    code = "engine-not-running" if reason.endswith("answer") else "no-compose"
    hint = "start it, or install podman-compose" if code == "engine-not-running" else "install docker-compose"
    raise HostError(code, f"nothing here runs compose files: {reason}", hint=hint)


def _succeeds(command: Sequence[str], environ: Mapping[str, str]) -> bool:
    return subprocess.run(command, env=dict(environ), capture_output=True, check=False).returncode == 0
