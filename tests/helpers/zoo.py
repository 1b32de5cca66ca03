"""A small image that keeps every rule of `shipwheel check`, and ways to spoil it. Everything is in memory."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from helpers.bases import elf
from shipwheel.oci.layer import LayerWriter
from shipwheel.oci.model import BytesBlob, Descriptor, Digest, Image, Layer, Platform, RunConfig
from shipwheel.oci.read import LoadedImage
from shipwheel.oci.tar import Entry
from shipwheel.project.settings import CheckSettings
from shipwheel.verify.check import Question, check_image
from shipwheel.verify.model import Finding, Report

KEPT = random.Random(9).randbytes(3_000_000)
TODAY = date(2026, 11, 22)
AMD64 = Platform(os="linux", architecture="amd64")
SITE = "app/.venv/lib/python3.13/site-packages"
PASSWD = b"root:x:0:0:root:/root:/usr/sbin/nologin\nnonroot:x:65532:65532::/home/nonroot:/usr/sbin/nologin\n"
# PEP 552: bytecode that is taken without asking for the source's time.
HASHED_PYC = b"\xf3\x0d\x0d\x0a" + (1).to_bytes(4, "little") + b"8 bytes." + b"code"

Files = Mapping[str, "bytes | tuple[Entry, bytes]"]


def entry(path: str, content: bytes = b"", **changes: Any) -> tuple[Entry, bytes]:
    """Return a file with another mode or owner than usual."""
    return Entry(path=path, size=len(content), **changes), content


def program(content: bytes = b"") -> bytes:
    """Return a native program for amd64."""
    return elf(architecture="amd64") + content


def layer(files: Files, *, created_by: str = "shipwheel: a layer") -> Layer:
    """Return a layer of `files` with their folders: path → content, or entry and content."""
    folders = {"/".join(path.split("/")[:end]) for path in files for end in range(1, path.count("/") + 1)}
    buffer = io.BytesIO()
    writer = LayerWriter(buffer)
    for path in sorted({*folders, *files}):
        if path not in files:
            writer.add(Entry(path=path, kind="directory", mode=0o755), b"")
            continue
        value = files[path]
        made = value if isinstance(value, tuple) else _plain_entry(path, value)
        writer.add(*made)
    descriptor, diff_id = writer.finish()
    return Layer(
        descriptor=descriptor, diff_id=diff_id, blob=BytesBlob(buffer.getvalue()), created_by=created_by
    )


def _plain_entry(path: str, content: bytes) -> tuple[Entry, bytes]:
    runs = content.startswith((b"\x7fELF", b"#!"))
    return Entry(path=path, size=len(content), mode=0o755 if runs else 0o644), content


def distribution(
    name: str, version: str, modules: Mapping[str, bytes], *, site: str = SITE
) -> dict[str, bytes]:
    """Return the files of an installed distribution, its RECORD right; `modules` are below `site`."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    files = dict(modules)
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nText\n".encode()
    files[f"{info}/INSTALLER"] = b"shipwheel\n"
    rows = []
    for path, content in sorted(files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(content)}\n")
    rows.append(f"{info}/RECORD,,\n")
    files[f"{info}/RECORD"] = "".join(rows).encode()
    return {f"{site}/{path}": content for path, content in files.items()}


def compiled(path: str, header: bytes = HASHED_PYC) -> dict[str, bytes]:
    """Return the bytecode of the source at `path`."""
    folder, _, name = path.rpartition("/")
    return {f"{folder}/__pycache__/{name.removesuffix('.py')}.cpython-313.pyc": header}


BASE: dict[str, bytes | tuple[Entry, bytes]] = {
    "etc/passwd": PASSWD,
    "etc/group": b"root:x:0:\nnonroot:x:65532:\n",
    "etc/os-release": b'ID=debian\nVERSION_ID="13"\n',
    "etc/ssl/certs/ca-certificates.crt": b"certificates",
    "usr/share/zoneinfo/Europe/Berlin": b"TZif2",
    "usr/bin/python3.13": program(),
    "usr/lib/python3.13/os.py": b"import sys\n",
    **compiled("usr/lib/python3.13/os.py"),
    "tmp": (Entry(path="tmp", kind="directory", mode=0o1777), b""),
    "home/nonroot": (Entry(path="home/nonroot", kind="directory", mode=0o755, uid=65532, gid=65532), b""),
    "var/lib/dpkg/status.d/libc6": b"Package: libc6\nStatus: install ok installed\nVersion: 2.41\n",
    "var/lib/dpkg/status.d/libc6.md5sums": b"d41d8cd98f00b204e9800998ecf8427e  usr/share/zoneinfo/Europe/Berlin\n",
}
DEPENDENCY = distribution("friendly", "1.2.3", {"friendly/__init__.py": b"VALUE = 1\n"})
APP: dict[str, bytes | tuple[Entry, bytes]] = {
    "app/main.py": b"import friendly\n",
    "app/.venv/pyvenv.cfg": b"home = /usr/bin\nversion = 3.13.5\n",
    "app/.venv/bin/python": (
        Entry(path="app/.venv/bin/python", kind="symlink", mode=0o777, link="/usr/bin/python3.13"),
        b"",
    ),
    "app/.venv/bin/serve": b"#!/app/.venv/bin/python\nimport main\n",
}
CONFIG = RunConfig(
    user="65532:65532",
    env=(("PATH", "/app/.venv/bin:/usr/bin:/bin"), ("LANG", "C.UTF-8")),
    entrypoint=("serve",),
    exposed_ports=("8000/tcp",),
    working_dir="/app",
)


def clean_image(*more: Layer, config: RunConfig = CONFIG, without: Sequence[str] = ()) -> Image:
    """Return the image that keeps every rule, with `more` on top and `without` some files."""
    base = {path: content for path, content in BASE.items() if path not in without}
    wheels = {**DEPENDENCY, **compiled(f"{SITE}/friendly/__init__.py")}
    kept = {path: content for path, content in wheels.items() if path not in without}
    app = {path: content for path, content in APP.items() if path not in without}
    return Image(
        platform=AMD64, layers=(layer(base), layer(kept), layer(app), *more), config=config, created=None
    )


def with_config(**changes: Any) -> Image:
    """Return the clean image with another run configuration."""
    return clean_image(config=replace(CONFIG, **changes))


def with_files(files: Files, *, created_by: str = "shipwheel: more") -> Image:
    """Return the clean image with a layer of `files` on top."""
    return clean_image(layer(files, created_by=created_by))


def with_history(line: str) -> Image:
    """Return the clean image whose last layer was made by `line`."""
    return with_files({"srv/text": b"text"}, created_by=line)


def with_health(image: Image, test: Sequence[str]) -> LoadedImage:
    """Return the image as Docker would have written it, with a health check."""
    config = json.loads(image.config_blob().data)
    config["config"]["Healthcheck"] = {"Test": list(test)}
    data = json.dumps(config).encode()
    descriptor = Descriptor(media_type="application/json", digest=Digest.of(data), size=len(data))
    return LoadedImage(
        image=image, descriptor=descriptor, manifest=b"{}", config_descriptor=descriptor, config=data
    )


def foreign_layer(members: Sequence[tuple[tarfile.TarInfo, bytes]]) -> Layer:
    """Return an uncompressed layer that another program could have written."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    data = buffer.getvalue()
    digest = Digest.of(data)
    media_type = "application/vnd.oci.image.layer.v1.tar"
    descriptor = Descriptor(media_type=media_type, digest=digest, size=len(data))
    return Layer(descriptor=descriptor, diff_id=digest, blob=BytesBlob(data))


def check(image: Image | LoadedImage, **more: Any) -> Report:
    """Return the report on `image`."""
    return check_image(Question(image=image, name="zoo", **{"today": TODAY, **more}))


def codes(image: Image, *, settings: CheckSettings | None = None) -> list[str]:
    """Return the codes of all findings on `image`."""
    report = check(image, settings=settings or CheckSettings())
    return [finding.rule.code for finding in report.findings]


def only_finding(image: Image) -> Finding:
    """Return the one finding on `image`."""
    (finding,) = check(image).findings
    return finding
