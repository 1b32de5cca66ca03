"""Debian's docker-registry on loopback: the registry of other people that pushes and pulls are tested with."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from helpers.tools import require_tool

_START_SECONDS: Final = 20.0


@contextlib.contextmanager
def docker_registry(folder: Path) -> Iterator[str]:
    """Serve an empty registry that keeps its blobs in `folder`; give its "127.0.0.1:PORT". Plain HTTP."""
    config = {
        "version": "0.1",
        "log": {"level": "info", "formatter": "text"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:0"},
    }
    program = require_tool("docker-registry")
    folder.mkdir(parents=True, exist_ok=True)
    config_path, log_path = folder / "config.yml", folder / "log"
    config_path.write_text(json.dumps(config))  # JSON is YAML
    with (
        log_path.open("wb") as log,
        subprocess.Popen([program, "serve", config_path], stdout=log, stderr=log) as server,
    ):
        try:
            yield _address(server, log_path)
        finally:
            server.terminate()


def _address(server: subprocess.Popen[bytes], log_path: Path) -> str:
    """Return what the server says it listens on: the system chose the port."""
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        if found := re.search(r"listening on (127\.0\.0\.1:\d+)", log_path.read_text()):
            return found[1]
        time.sleep(0.02)
    raise AssertionError(f"docker-registry does not start:\n{log_path.read_text()}")
