"""Run a command in an image and capture what it says, for checks that look from the inside."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from shipwheel.engine.spec import Network, Runner, RunSpec, Streams
from shipwheel.oci.model import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """How a command ended and what it wrote. `returncode` is 128+n when signal n killed it."""

    returncode: int
    stdout: bytes
    stderr: bytes


def probe(
    image: Image,
    argv: Sequence[str],
    *,
    runner: Runner,
    uid: int | None = None,
    timeout: float,
    network: Network = "none",
) -> Completed:
    """Run `argv` in place of entry point and command, as `uid` (None: the image's user), with no input.

    Raises TimeoutError after `timeout` seconds, by when the command has been killed, and what
    `Runner.run` raises.
    """
    spec = RunSpec(
        entrypoint=tuple(argv),
        args=(),
        user=None if uid is None else f"{uid}:{uid}",
        network=network,
        publish=(),
        interactive=False,
    )
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        streams = Streams(stdout=stdout.fileno(), stderr=stderr.fileno())
        code = runner.run(image, spec, streams=streams, timeout=timeout)
        for file in (stdout, stderr):
            file.seek(0, os.SEEK_SET)
        return Completed(returncode=code, stdout=stdout.read(), stderr=stderr.read())
