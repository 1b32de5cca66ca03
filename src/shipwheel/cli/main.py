"""The `shipwheel` program: finds the command, runs it, and turns errors into messages and exit codes.

The only top-level `except`. Commands are imported when they are called: `--version` stays quick.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Final, NoReturn

from shipwheel import __version__
from shipwheel.errors import HostError, ShipwheelError

# Order is the order of `--help`. Each is a module of this package with `add_arguments` and `run`.
COMMANDS: Final = {
    "build": "build the project's image",
    "push": "build the project's image and push it",
    "load": "build the project's image and give it to Docker or Podman",
    "run": "build the image if needed and run it",
    "check": "check an image: secure, small, fast, flexible, stable; with evidence",
    "init": "write Dockerfile, compose.yaml, dev container and bake file",
    "dev": "work in the dev stage: up, shell, run, down",
    "devcontainer": "write the dev container's files alone",
    "plan": "show what the image will be, and why",
    "slim": "say what leaving out tests, stubs or debug symbols would save",
    "lock": "write shipwheel.lock: base and build tools by hash",
    "tags": "print the tags that the image gets",
    "inspect": "show what is in an image",
    "diff": "compare two images: packages, files, and bytes to pull",
    "sbom": "print an image's list of components (CycloneDX)",
    "rebase": "put an image on a newer base without rebuilding it",
    "cache": "show or prune the cache",
    "schema": "print a JSON schema: of the settings, or of the plan",
}
_INTERRUPTED: Final = 130
# How long downloads may take to notice that nobody waits for them.
_GRACE: Final = 2.0


class _Terminated(BaseException):
    """SIGTERM came. As KeyboardInterrupt: `finally` and `with` put things right on the way up."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program with `arguments` (default: the process's); return its exit code."""
    if arguments is None and sys.getfilesystemencoding() != "utf-8":
        # A locale decides how Python reads file names, and those end up in images: names are UTF-8.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - itself
    words = list(sys.argv[1:] if arguments is None else arguments)
    signal.signal(signal.SIGTERM, _terminate)
    code = _guarded(words)
    _end_threads(code)
    return code


def _guarded(words: list[str]) -> int:
    try:
        return _run(words)
    except ShipwheelError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; nothing was left half-written", file=sys.stderr)
        return _INTERRUPTED
    except _Terminated:
        print("terminated; nothing was left half-written", file=sys.stderr)
        return 128 + signal.SIGTERM
    except BrokenPipeError:
        # The reader of our output went away; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        print(_from_os_error(error), file=sys.stderr)
        return HostError.exit_code


def _run(words: list[str]) -> int:
    # The command's own arguments come from its module, so only that one is imported.
    name = next((word for word in words if not word.startswith("-")), None)
    parser = _parser()
    if name in COMMANDS and words[0] == name:
        module = importlib.import_module(f"shipwheel.cli.{name}")
        command = argparse.ArgumentParser(
            prog=f"shipwheel {name}",
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(command)
        rest, passed_on = words[1:], []
        if "--" in rest and hasattr(module, "PASSES_ON"):
            cut = rest.index("--")
            rest, passed_on = rest[:cut], rest[cut + 1 :]
        options = command.parse_args(rest)
        if hasattr(module, "PASSES_ON"):
            options.passed_on = passed_on if "--" in words else None
        return int(module.run(options))
    if not words:
        parser.print_help(sys.stderr)
        return 2
    parser.parse_args(words)
    return 0


def _parser() -> argparse.ArgumentParser:
    lines = "\n".join(f"  {name:<13}{what}" for name, what in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="shipwheel",
        description="From pyproject.toml and a lock file to a container image.",
        epilog=f"commands:\n{lines}\n\n`shipwheel COMMAND --help` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="shipwheel COMMAND [OPTIONS]",
    )
    parser.add_argument("--version", action="version", version=f"shipwheel {__version__}")
    parser.add_argument("command", choices=tuple(COMMANDS), metavar="COMMAND", help=argparse.SUPPRESS)
    return parser


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise _Terminated


def _end_threads(code: int) -> None:
    """Leave at once when threads still wait for a network that nobody needs an answer from any more."""
    deadline = time.monotonic() + _GRACE
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)


def _from_os_error(error: OSError) -> HostError:
    place = str(error.filename) if error.filename else None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return HostError("disk-full", "no space left", place=place, hint="`shipwheel cache prune` makes room")
    if isinstance(error, PermissionError):
        return HostError(
            "no-permission",
            str(error.strerror),
            place=place,
            hint="may this user read and write there? SHIPWHEEL_CACHE_DIR names another cache, TMPDIR another "
            "place for temporary files",
        )
    return HostError("host", str(error.strerror or error), place=place)


if __name__ == "__main__":
    sys.exit(main())
