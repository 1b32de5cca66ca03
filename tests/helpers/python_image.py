"""An image with this machine's Python and nothing else that runs: for checks that look from the inside."""

from __future__ import annotations

import functools
import importlib.util
import io
import marshal
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from functional.engine.images import host_platform
from helpers.zoo import PASSWD, distribution, entry, layer
from shipwheel.oci.model import Image, Layer, RunConfig
from shipwheel.oci.tar import Entry

# Large, and not needed by any worker or server.
_LEFT_OUT: Final = re.compile(
    r"(?:.*/)?(?:test|tests|idlelib|tkinter|turtledemo|lib2to3|ensurepip|pydoc_data|config-3[^/]*|__pycache__"
    r"|site-packages|dist-packages)(?:/.*)?"
)
SITE: Final = "usr/lib/python3/site-packages"  # on the path by PYTHONPATH


def python_image(
    files: Mapping[str, bytes] | None = None,
    *,
    start: tuple[str, ...] = (),
    modules: Mapping[str, bytes] | None = None,
    commands: Mapping[str, bytes] | None = None,
    **config: object,
) -> Image:
    """Return an image whose PATH has `python`, with `files`, and a distribution `thing` of `modules`.

    `commands` are that distribution's in /usr/bin, by their Python code.
    `start` is the entry point; `config` are further members of the run configuration.
    """
    more: dict[str, bytes | tuple[Entry, bytes]] = dict(files or {})
    if modules:
        more |= distribution("thing", "1.0", modules, site=SITE)
        record = f"{SITE}/thing-1.0.dist-info/RECORD"
        for name, code in (commands or {}).items():
            path = f"usr/bin/{name}"
            more[path] = entry(path, b"#!/usr/bin/python\n" + code, mode=0o755)
            listed = more[record]
            assert isinstance(listed, bytes)
            more[record] = listed + f"../../../bin/{name},,\n".encode()
    settings = RunConfig(
        user="65532:65532",
        env=(("PATH", "/usr/bin:/bin"), ("PYTHONPATH", f"/{SITE}"), ("HOME", "/home/nonroot")),
        entrypoint=start or None,
        working_dir="/",
    )
    changed = {**{name: getattr(settings, name) for name in settings.__slots__}, **config}
    layers = (_python_layer(), *([layer(more)] if more else []))
    return Image(platform=host_platform(), layers=layers, config=RunConfig(**changed), created=None)


def shell_layer() -> Layer:
    """Return a layer with this machine's /bin/sh."""
    return layer(shell_files())


def shell_files() -> dict[str, tuple[Entry, bytes]]:
    """Return this machine's /bin/sh with the libraries that it loads."""
    program = Path("/bin/sh").resolve()
    return {"bin/sh": entry("bin/sh", program.read_bytes(), mode=0o755), **_libraries([program])}


@functools.cache
def _python_layer() -> Layer:
    program = Path(sys._base_executable).resolve()  # type: ignore[attr-defined] # there is no public name
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = Path(
        sysconfig.get_path("stdlib", vars={"base": sys.base_prefix, "installed_base": sys.base_prefix})
    )
    files: dict[str, bytes | tuple[Entry, bytes]] = {
        "etc/passwd": PASSWD,
        "etc/group": b"root:x:0:\nnonroot:x:65532:\n",
        f"usr/bin/{version}": entry(f"usr/bin/{version}", program.read_bytes(), mode=0o755),
        "usr/bin/python": (
            Entry(path="usr/bin/python", kind="symlink", mode=0o777, link=version),
            b"",
        ),
        "tmp": (Entry(path="tmp", kind="directory", mode=0o1777), b""),
        "srv": (Entry(path="srv", kind="directory", mode=0o755, uid=65532, gid=65532), b""),
        "home/nonroot": (Entry(path="home/nonroot", kind="directory", mode=0o755, uid=65532, gid=65532), b""),
    }
    natives = [program]
    # One archive of bytecode instead of a thousand files: quick to unpack, and to import from.
    modules = io.BytesIO()
    with zipfile.ZipFile(modules, "w") as archive:
        for path in sorted(library.rglob("*")):
            inside = path.relative_to(library).as_posix()
            if not path.is_file() or _LEFT_OUT.fullmatch(inside):
                continue
            if path.suffix == ".py":
                archive.writestr(f"{inside}c", _compiled(path))
            elif path.suffix == ".so":
                files[f"usr/lib/{version}/{inside}"] = path.read_bytes()
                natives.append(path)
    files[f"usr/lib/{version.replace('.', '')}.zip"] = modules.getvalue()
    # By this file Python finds its library.
    files[f"usr/lib/{version}/os.py"] = (library / "os.py").read_bytes()
    return layer({**files, **_libraries(natives)})


def _compiled(source: Path) -> bytes:
    """Return a module's bytecode: this machine's, where it has one."""
    kept = Path(importlib.util.cache_from_source(source))
    if kept.is_file():
        return kept.read_bytes()
    code = compile(source.read_bytes(), source.name, "exec", dont_inherit=True)
    return importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(code)


def _libraries(programs: list[Path]) -> dict[str, tuple[Entry, bytes]]:
    """Return the libraries that `programs` load, where they look for them."""
    told = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=True).stdout
    paths = sorted({match[1] for match in re.finditer(r"(/\S*\.so[.\d]*)", told) if Path(match[1]).is_file()})
    found = {}
    for path in paths:
        if "/python3" not in path:
            name = path.lstrip("/")
            found[name] = entry(name, Path(path).read_bytes(), mode=0o755)
    return found
