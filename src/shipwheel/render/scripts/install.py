"""Build a first-party project with its own back-end and install it into the venv that runs this."""

import gc
import importlib
import importlib.util
import marshal
import os
import pathlib
import sys
import sysconfig
import tempfile
from typing import Any

from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile

gc.disable()  # a run is short, and looking for garbage a twentieth of it
# PEP 552: by hash, and unchecked. Time stamps are set anew when an image is made reproducible, which would
# void the other kind.
UNCHECKED_HASH = (1).to_bytes(4, "little")
TOML = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")


def back_end(folder: pathlib.Path) -> Any:
    """Return the build back-end that the project names (PEP 517)."""
    system = TOML.loads((folder / "pyproject.toml").read_text("utf-8")).get("build-system", {})
    sys.path[:0] = [str(folder / path) for path in system.get("backend-path", ())]
    module, _, attributes = system.get("build-backend", "setuptools.build_meta:__legacy__").partition(":")
    found = importlib.import_module(module)
    for attribute in filter(None, attributes.split(".")):
        found = getattr(found, attribute)
    return found


def compile_file(path: pathlib.Path, name: str) -> None:
    """Put bytecode beside the file that will be called `name`; what this Python does not understand has none."""
    source = path.read_bytes()
    try:
        code = compile(source, name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return
    target = pathlib.Path(importlib.util.cache_from_source(str(path)))
    target.parent.mkdir(exist_ok=True)
    checksum = importlib.util.source_hash(source)
    target.write_bytes(importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + checksum + marshal.dumps(code))


def main(mode: str, folder: str, destdir: str) -> None:
    """Install the project in `folder` below `destdir`; `mode` is wheel or editable."""
    os.umask(0o022)
    os.chdir(folder)
    builder = back_end(pathlib.Path(folder))
    editable = getattr(builder, "build_editable", None) if mode == "editable" else None
    with tempfile.TemporaryDirectory() as wheels:
        wheel = (editable or builder.build_wheel)(wheels)
        with WheelFile.open(pathlib.Path(wheels, wheel)) as source:
            destination = SchemeDictionaryDestination(
                sysconfig.get_paths(),
                interpreter=sys.executable,
                script_kind="posix",
                destdir=destdir or None,
                overwrite_existing=True,
            )
            install(source, destination, {"INSTALLER": b"shipwheel\n"})
    if destdir:
        for path in sorted(pathlib.Path(destdir).rglob("*.py")):
            compile_file(path, f"/{path.relative_to(destdir)}")


main(*sys.argv[1:])
