"""Debian's docker-registry on loopback: the registry of other people that pushes and pulls are tested with."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from helpers.tools import require_tool

_START_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenService:
    """The registry's own names for where tokens come from and whose signature is good."""

    realm: str
    service: str
    issuer: str
    rootcertbundle: str


@contextlib.contextmanager
def docker_registry(
    folder: Path,
    *,
    users: Mapping[str, str] | None = None,
    token_service: TokenService | None = None,
    tls: tuple[Path, Path] | None = None,
) -> Iterator[str]:
    """Serve an empty registry that keeps its blobs in `folder`; give its "127.0.0.1:PORT".

    Plain HTTP unless `tls` names a certificate and its key. `users` (name to password) may sign in with
    Basic; `token_service` is whom it sends clients to for bearer tokens.
    """
    program = require_tool("docker-registry")
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "info", "formatter": "text"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:0", "relativeurls": False},
    }
    if tls is not None:
        certificate, key = tls
        config["http"] = {"addr": "127.0.0.1:0", "tls": {"certificate": str(certificate), "key": str(key)}}
    if users is not None:
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(_write_htpasswd(folder, users))}}
    if token_service is not None:
        config["auth"] = {"token": asdict(token_service)}
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


def _write_htpasswd(folder: Path, users: Mapping[str, str]) -> Path:
    path = folder / "htpasswd"
    program = require_tool("htpasswd")
    lines = [
        # The registry takes bcrypt alone; 4 rounds are the fewest there are.
        subprocess.run(
            [program, "-niBC", "4", name], input=password, capture_output=True, text=True, check=True
        ).stdout.strip()
        for name, password in users.items()
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def _address(server: subprocess.Popen[bytes], log_path: Path) -> str:
    """Return what the server says it listens on: the system chose the port."""
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        if found := re.search(r"listening on (127\.0\.0\.1:\d+)", log_path.read_text()):
            return found[1]
        time.sleep(0.02)
    raise AssertionError(f"docker-registry does not start:\n{log_path.read_text()}")
