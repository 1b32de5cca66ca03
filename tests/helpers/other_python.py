"""A base image whose Python no Debian release has: one that was compiled on this machine, put into /usr/local."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any, Final

from helpers.stand_in import python_slim
from helpers.tools import require_tool

_LEFT_OUT: Final = ("/test/", "/site-packages/", "/__pycache__/", "/config-3")


def find_python() -> tuple[Path, str] | None:
    """Return prefix and minor version of a CPython with its headers, as pyenv makes them, or None."""
    for minor in ("3.12", "3.10"):
        for prefix in sorted(Path.home().glob(f".pyenv/versions/{minor}.*")):
            if (prefix / f"include/python{minor}/Python.h").is_file():
                return prefix, minor
    return None


def write_base(layout: Path, prefix: Path, minor: str) -> None:
    """Write an image of Debian bookworm with the Python of `prefix` into the layout folder `layout`."""
    layer, archive = layout.with_name("python.tar"), layout.with_name("image.tar")
    with tarfile.open(layer, "w") as tar:
        names = (f"bin/python{minor}", "bin/python3", "include", f"lib/python{minor}")
        libraries = (f"lib/{path.name}" for path in prefix.glob(f"lib/libpython{minor}.so.*"))
        for name in (*names, *libraries):
            tar.add(prefix / name, f"usr/local/{name}", filter=_kept)
    with tarfile.open(python_slim("3.11")) as given, tarfile.open(archive, "w") as made:
        manifest = _json(given, "manifest.json")
        config = _json(given, manifest[0]["Config"])
        digest = hashlib.sha256(layer.read_bytes()).hexdigest()
        config["rootfs"]["diff_ids"].append(f"sha256:{digest}")
        config["history"].append({"created_by": "a Python from elsewhere"})
        config["config"]["Env"] = ["PATH=/usr/local/bin:/usr/bin:/bin", "LD_LIBRARY_PATH=/usr/local/lib"]
        manifest[0]["Layers"].append(layer.name)
        changed = {"manifest.json": manifest, manifest[0]["Config"]: config}
        for member in given.getmembers():
            if member.name not in changed:
                made.addfile(member, given.extractfile(member))
        for name, value in changed.items():
            content = json.dumps(value).encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
        made.add(layer, layer.name)
    copy = [require_tool("skopeo"), "copy", "--quiet", f"docker-archive:{archive}"]
    subprocess.run([*copy, f"oci:{layout}:latest"], check=True)
    layer.unlink()
    archive.unlink()


def _kept(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    info.uid = info.gid = 0
    return None if any(part in f"/{info.name}/" for part in _LEFT_OUT) else info


def _json(archive: tarfile.TarFile, name: str) -> Any:
    member = archive.extractfile(name)
    assert member is not None
    return json.load(member)
