"""Run a command in an image and capture what it says, for checks that look from the inside."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Sequence
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
    writable: bool = False,
) -> Completed:
    """Run `argv` in place of entry point and command, as `uid` (None: the image's user), with no input.

    `writable` gives it a root of its own to write to, and no folder in memory.
    Raises TimeoutError after `timeout` seconds, by when the command has been killed, and what
    `Runner.run` raises.
    """
    spec = _spec(argv, uid=uid, network=network, writable=writable)
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        streams = Streams(stdout=stdout.fileno(), stderr=stderr.fileno())
        code = runner.run(image, spec, streams=streams, timeout=timeout)
        for file in (stdout, stderr):
            file.seek(0, os.SEEK_SET)
        return Completed(returncode=code, stdout=stdout.read(), stderr=stderr.read())


def watch(
    image: Image,
    argv: Sequence[str],
    *,
    runner: Runner,
    uid: int | None = None,
    timeout: float,
    is_last: Callable[[bytes], bool],
) -> Completed:
    """Run `argv` as process 1, with no init above it; kill it after a line of its output that `is_last`.

    Otherwise as `probe`. The return code says nothing once the container was killed.
    """
    spec = _spec(argv, uid=uid, network="none", writable=False, init=False)
    reader, writer = os.pipe()
    stop_reader, stop_writer = os.pipe()
    lines: list[bytes] = []

    def read() -> None:
        with os.fdopen(reader, "rb") as output:
            for line in output:
                lines.append(line)
                if is_last(line):
                    os.write(stop_writer, b"s")

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        with tempfile.TemporaryFile() as stderr:
            streams = Streams(stdout=writer, stderr=stderr.fileno())
            try:
                code = runner.run(image, spec, streams=streams, timeout=timeout, stop=stop_reader)
            finally:
                os.close(writer)
                thread.join()
            stderr.seek(0, os.SEEK_SET)
            return Completed(returncode=code, stdout=b"".join(lines), stderr=stderr.read())
    finally:
        os.close(stop_reader)
        os.close(stop_writer)


def _spec(
    argv: Sequence[str], *, uid: int | None, network: Network, writable: bool, init: bool = True
) -> RunSpec:
    return RunSpec(
        entrypoint=tuple(argv),
        args=(),
        user=None if uid is None else f"{uid}:{uid}",
        network=network,
        publish=(),
        interactive=False,
        read_only=not writable,
        tmpfs=() if writable else None,
        init=init,
    )
