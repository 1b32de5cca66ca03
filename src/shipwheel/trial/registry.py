"""A registry on loopback for as long as a measurement takes: Docker's, where its program is installed."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROGRAMS: Final = ("docker-registry", "registry")
_START_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrowAway:
    """An empty registry at `address` (host:port) that speaks plain http and keeps its blobs in `folder`."""

    address: str
    folder: Path

    def stored(self) -> int:
        """Return the bytes of all blobs that were pushed so far: layers, configurations and manifests."""
        return sum(path.stat().st_size for path in self.folder.rglob("blobs/sha256/*/*/data"))


@contextlib.contextmanager
def throw_away_registry(environ: Mapping[str, str]) -> Iterator[ThrowAway | None]:
    """Yield a registry that is gone after the block; None where no program for one is on the PATH or starts."""
    path = environ.get("PATH")
    program = next((found for name in _PROGRAMS if (found := shutil.which(name, path=path))), None)
    if program is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="shipwheel-") as text:
        folder = Path(text)
        config = {
            "version": "0.1",
            "log": {"level": "info", "formatter": "text"},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
            "http": {"addr": "127.0.0.1:0"},
        }
        (folder / "config.yml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        log = folder / "log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                [program, "serve", str(folder / "config.yml")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            address = _address(server, log)
            yield None if address is None else ThrowAway(address=address, folder=folder / "data")
        finally:
            server.terminate()
            server.wait()


def _address(server: subprocess.Popen[bytes], log: Path) -> str | None:
    """Return what the server says it listens on: the system chose the port."""
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        found = re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text(errors="replace"))
        if found is not None:
            return found[1]
        time.sleep(0.02)
    return None
