"""Build the image if needed and run it: with Docker or Podman where one works, else rootless.

The root is read-only, no capability is held, and the user is the image's numeric one. Exit code and
signals pass through. Words after `--` replace the image's default arguments.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from shipwheel.cli.build import summary
from shipwheel.cli.console import open_console
from shipwheel.cli.options import add_project, add_selection, make_request, open_workshop, project_of
from shipwheel.engine.spec import Mount, Network, Publish, RunSpec
from shipwheel.errors import UsageError
from shipwheel.pipeline import build

# Words after `--` are the program's.
PASSES_ON = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's words."""
    add_project(parser)
    parser.add_argument("--runner", metavar="NAME", help="docker, podman, bwrap, runc or unshare")
    parser.add_argument(
        "--env", "-e", action="append", default=[], metavar="NAME=VALUE", help="a variable to set"
    )
    parser.add_argument(
        "--publish", "-p", action="append", metavar="[[IP:]PORT:]PORT", help="a port to reach on this machine"
    )
    parser.add_argument(
        "--volume",
        "-v",
        action="append",
        default=[],
        metavar="HERE:INSIDE[:rw]",
        help="a folder to see inside",
    )
    parser.add_argument(
        "--network", choices=("default", "host", "none"), default="default", help="its network"
    )
    parser.add_argument("--user", metavar="UID[:GID]", help="instead of the image's user")
    parser.add_argument("--entrypoint", metavar="PROGRAM", help="instead of the image's entry point")
    parser.add_argument("--writable", action="store_true", help="let the program write to its root")
    parser.add_argument("--tag", "-t", action="append", metavar="NAME", help=argparse.SUPPRESS)
    add_selection(parser)


def run(options: argparse.Namespace) -> int:
    """Build, run, and return the program's exit code."""
    from shipwheel.engine.detect import find_runner

    project = project_of(options)
    request = make_request(options, project, os.environ)
    if len(request.platforms) != 1:
        raise UsageError("one-platform", "an image is run for one platform", place="--platform")
    # Before anything is built for nothing.
    spec = make_spec(options)
    with open_console(quiet=options.quiet) as progress:
        workshop = open_workshop(options, project, progress)
        built = build(request, workshop)
        runner = find_runner(os.environ, options.runner, cache=workshop.cache)
        progress.said(f"{summary(built)}; running it with {runner.name}")
    with workshop.cache.in_use():
        return runner.run(built.images[0], spec)


def make_spec(options: argparse.Namespace) -> RunSpec:
    """Return how to run, from the words; raises UsageError `bad-env`, `bad-publish`, `bad-mount`."""
    network: Network = options.network
    return RunSpec(
        args=options.passed_on,
        entrypoint=None if options.entrypoint is None else [options.entrypoint],
        env=dict(_variable(text) for text in options.env),
        publish=None if options.publish is None else [_publish(text) for text in options.publish],
        mounts=[_mount(text) for text in options.volume],
        read_only=not options.writable,
        user=options.user,
        network=network,
        tty=sys.stdin.isatty() and sys.stdout.isatty(),
    )


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name:
        raise UsageError("bad-env", f"not a variable: {text!r}", place="--env", hint="NAME=VALUE")
    # As with Docker: a bare name takes the caller's value.
    return name, value if equals else os.environ.get(name, "")


def _publish(text: str) -> Publish:
    rest, _, protocol = text.partition("/")
    ip, _, ports = rest.rpartition(":") if rest.count(":") > 1 else ("", "", rest)
    host, _, container = ports.rpartition(":")
    try:
        inside = int(container)
        outside = int(host) if host else inside
    except ValueError as error:
        raise UsageError(
            "bad-publish",
            f"not a port: {text!r}",
            place="--publish",
            hint="8000, 8080:8000, 0.0.0.0:8080:8000",
        ) from error
    if protocol == "udp":
        return Publish(container_port=inside, host_port=outside, host_ip=ip or "127.0.0.1", protocol="udp")
    return Publish(container_port=inside, host_port=outside, host_ip=ip or "127.0.0.1")


def _mount(text: str) -> Mount:
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if mode not in ("", "ro", "rw"):
        raise UsageError("bad-mount", f"neither ro nor rw: {mode!r}", place="--volume", hint="HERE:INSIDE:rw")
    if not target.startswith("/"):
        raise UsageError(
            "bad-mount", f"not an absolute path inside: {target!r}", place="--volume", hint="HERE:INSIDE:rw"
        )
    here = Path(source).absolute()
    if not source or not here.exists():
        raise UsageError("bad-mount", f"there is no {here}", place="--volume", hint="make the folder first")
    return Mount(source=here, target=target, read_only=mode != "rw")
