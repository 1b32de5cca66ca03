"""A stand-in for the public `python:X-slim` image, made of Debian packages: no test reaches a registry.

It has what a Dockerfile expects of the original: a shell, apt, `/usr/local/bin/python3` with pip and venv, and
`PYTHON_VERSION` in its environment. Its bytes are not the original's, and differ from day to day.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from helpers.docker import DEFAULT_FOLDER, debian_mirror
from helpers.tools import missing, require_tool

# Debian's suites have one Python each.
_SUITES: Final = {"3.11": "bookworm", "3.13": "trixie"}
_CREATED: Final = "2026-01-01T00:00:00Z"
_PATH: Final = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


def python_slim(
    version: str = "3.13",
    folder: Path = DEFAULT_FOLDER / "stand-in",
    *,
    architecture: Literal["amd64", "arm64"] = "amd64",
    start: Sequence[str] = (),
) -> Path:
    """Return a docker-archive (`docker load`, `skopeo copy docker-archive:…`) named `python:VERSION-slim`.

    `version` is "3.11" or "3.13". Made once a machine (about half a minute) by mmdebstrap; `start` are words
    before its command, which bring the emulator of a foreign architecture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # 3: with a dated history, as real images have; Buildah caches nothing on another.
    archive = folder / f"python-{version}-slim-{'' if architecture == 'amd64' else f'{architecture}-'}3.tar"
    with archive.with_suffix(".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may ask at once
        if not archive.exists():
            _make(archive, version, architecture, start)
    return archive


def _make(archive: Path, version: str, architecture: str, start: Sequence[str]) -> None:
    tree = archive.with_suffix(".layer")
    python = f"python{version}"
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    made = subprocess.run(
        [
            *start,
            *(
                require_tool("mmdebstrap"),
                "--quiet",
                "--variant=apt",
                "--format=tar",
                f"--architectures={architecture}",
                # Another way to emulate is not wanted, and where we emulate nobody may make devices.
                *(["--skip=check/qemu,output/mknod"] if start else []),
            ),
            f"--include={python},{python}-venv,python3-pip,ca-certificates,netbase,tzdata",
            f"--keyring={keyring}",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            # The original's interpreter lives in /usr/local and takes what pip is told to install.
            f'--customize-hook=ln -s /usr/bin/{python} "$1/usr/local/bin/python3"',
            '--customize-hook=ln -s python3 "$1/usr/local/bin/python"',
            f'--customize-hook=rm "$1/usr/lib/{python}/EXTERNALLY-MANAGED"',
            *(_SUITES[version], str(tree)),
            f"deb [signed-by={keyring}] {debian_mirror()} {_SUITES[version]} main",
        ],
        check=False,
    )
    if made.returncode != 0:
        missing("mmdebstrap cannot make a base image here; an ordinary user needs a range in /etc/subuid")
    with tarfile.open(tree) as layer:
        full_version = _python_version(layer, python)
    diff_id = f"sha256:{_sha256(tree)}"
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Env": [f"PATH={_PATH}", "LANG=C.UTF-8", f"PYTHON_VERSION={full_version}"],
            "Cmd": ["python3"],
        },
        "created": _CREATED,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": _CREATED, "created_by": "mmdebstrap"}],
    }
    manifest = [{"Config": "config.json", "RepoTags": [f"python:{version}-slim"], "Layers": ["layer.tar"]}]
    half = archive.with_suffix(".half")
    with tarfile.open(half, "w") as out:
        out.add(tree, "layer.tar")
        for name, value in (("config.json", config), ("manifest.json", manifest)):
            content = json.dumps(value).encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    tree.unlink()
    half.rename(archive)


def _python_version(layer: tarfile.TarFile, python: str) -> str:
    """Return the interpreter's full version as the package database has it ("3.13.5-2" is "3.13.5")."""
    status = layer.extractfile("./var/lib/dpkg/status")
    assert status is not None
    for stanza in status.read().decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Package") == f"{python}-minimal":
            return fields["Version"].split("-")[0]
    raise AssertionError(f"{python}-minimal is not in the tree")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
