"""Ask a docker credential helper program: `docker-credential-NAME get`, with a limit on its patience."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from shipwheel.oci.registry.errors import clean


class HelperError(Exception):
    """A helper did not do its job; `str()` says how, without anything that it printed."""


def ask_helper(name: str, server: str, environ: Mapping[str, str], seconds: float) -> tuple[str, str] | None:
    """Return user and secret for `server`, or None when the helper has none; raises HelperError.

    The protocol is docker-credential-helpers': the server on stdin, JSON on stdout, and for a missing
    entry exit 1 with "credentials not found in native keychain".
    """
    program = f"docker-credential-{name}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise HelperError(f"{clean(name)!r} is not the name of a credential helper")
    path = shutil.which(program, path=environ.get("PATH"))
    if path is None:
        raise HelperError(f"{program} is not installed")
    code, output = _run([path, "get"], server.encode(), environ, seconds)
    if code != 0:
        if b"credentials not found" in output:
            return None
        raise HelperError(f"{program} failed (exit {code})")
    try:
        data = json.loads(output)
        username, secret = data["Username"], data["Secret"]
        if not isinstance(username, str) or not isinstance(secret, str):
            raise TypeError("not strings")
    except (ValueError, KeyError, TypeError, RecursionError):
        # Without the cause: it would quote what may be a secret.
        raise HelperError(f"{program} answers something that is not a credential") from None
    return (username, secret) if secret else None


def _run(
    command: Sequence[str], question: bytes, environ: Mapping[str, str], seconds: float
) -> tuple[int, bytes]:
    program = Path(command[0]).name
    try:
        # A session of its own: what the helper started ends with it.
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            start_new_session=True,
        )
    except OSError as error:
        raise HelperError(f"{program} cannot be started: {error.strerror}") from error
    with process:
        try:
            output, _ = process.communicate(question, timeout=seconds)
        except subprocess.TimeoutExpired as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise HelperError(f"{program} gave no answer in {seconds:g} seconds") from error
    return process.returncode, output
