"""The image's own interpreter, run from its unpacked files, compiles; an import then takes that bytecode."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from helpers.tools import missing, require_tool
from shipwheel.base.debian.mirrors import find_mirrors
from shipwheel.cache import Cache
from shipwheel.wheel.archive import open_wheel
from shipwheel.wheel.bytecode import compile_tree, compile_wheel
from shipwheel.wheel.interpreter import Interpreter, NoInterpreter, Root, find_interpreter
from shipwheel.wheel.layer import LayerWheel, write_wheel_layer

pytestmark = pytest.mark.network

MINOR: Final = "3.13"
STDLIB: Final = f"usr/lib/python{MINOR}"
SITE: Final = f"app/.venv/lib/python{MINOR}/site-packages"
PACKAGES: Final = (
    "base-files", "libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libffi8", "libssl3t64", "libbz2-1.0",
    "liblzma5", "libsqlite3-0", f"python{MINOR}-minimal", f"libpython{MINOR}-minimal", f"libpython{MINOR}-stdlib",
)  # fmt: skip
WHEELS: Final = (
    "annotated-types", "greenlet", "numpy", "pandas", "pydantic", "pydantic-core", "python-dateutil", "six",
    "sqlalchemy", "typing-extensions", "typing-inspection",
)  # fmt: skip
KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files of a few of trixie's packages, unpacked by Debian's own tools."""
    apt, dpkg = require_tool("apt-get"), require_tool("dpkg-deb")
    folder = tmp_path_factory.mktemp("apt")
    for name in ("lists/partial", "cache/archives/partial", "debs", "root"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    mirrors = find_mirrors(os.environ)
    if mirrors is None:
        missing("this machine's apt has no Debian mirror")
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirrors.main} trixie main\n")
    options = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "",
    }
    apt_get = [apt, "-qq", *(f"-o{key}={value}" for key, value in options.items())]
    subprocess.run([*apt_get, "update"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(
        [*apt_get, "download", *PACKAGES], check=True, stdout=subprocess.DEVNULL, cwd=folder / "debs"
    )
    for package in sorted((folder / "debs").glob("*.deb")):
        subprocess.run([dpkg, "-x", package, folder / "root"], check=True)
    return folder / "root"


@pytest.fixture
def root(debian: Path, tmp_path: Path) -> Iterator[Path]:
    # A copy, at a path that a list of folders with `:` between would break at.
    copy = tmp_path / "a root: with blanks"
    shutil.copytree(debian, copy, symlinks=True)
    yield copy
    shutil.rmtree(copy)


def own(root: Path) -> Interpreter:
    image = Root(path=root, executable=f"/usr/bin/python{MINOR}")
    refused = find_interpreter("0.0.0", root=image)
    assert isinstance(refused, NoInterpreter)
    version = refused.reasons[0].removeprefix(f"/usr/bin/python{MINOR} of the image: it is cpython ")
    found = find_interpreter(version, root=image)
    assert isinstance(found, Interpreter)
    assert (found.origin, found.version) == ("image", version)
    return found


def run(interpreter: Interpreter, program: str) -> str:
    done = subprocess.run(
        [*interpreter.command, "-c", program],
        cwd=interpreter.folder,
        env=dict(interpreter.environ),
        stdout=subprocess.PIPE,
        check=True,
    )
    return done.stdout.decode()


def poison(path: Path) -> None:
    """Make a source that fails when it is read: an import that works has taken the bytecode."""
    path.write_text("raise SystemExit(f'{__file__}: the source was read')\n")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    venv = tmp_path_factory.mktemp("pip")
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)  # the machine's own Python may lack pip
    pip: list[str | Path] = [
        venv / "bin/python",
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary",
        ":all:",
    ]
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17)] + [
        "--platform=manylinux2014_x86_64"
    ]
    command: list[str | Path] = [
        *pip,
        "--disable-pip-version-check",
        f"--python-version={MINOR}",
        *platforms,
        "--dest",
        str(folder),
    ]
    subprocess.run([*command, *WHEELS], check=True, stderr=subprocess.DEVNULL)
    return {path.name.split("-")[0]: path for path in sorted(folder.glob("*.whl"))}


def test_the_standard_library_is_compiled_and_its_bytecode_is_used(root: Path, tmp_path: Path) -> None:
    interpreter = own(root)
    bytecode = compile_tree(
        root, STDLIB, key="base", interpreter=interpreter, cache=Cache(tmp_path / "cache")
    )
    assert bytecode.skipped == {}
    assert len(bytecode.files) > 500
    for entry, content in bytecode.entries():
        path = root / entry.path
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    again = compile_tree(root, STDLIB, key="other", interpreter=interpreter, cache=Cache(tmp_path / "cache"))
    assert again.files == {}
    for source in bytecode.files:
        # Python's start-up takes this file for the sign of a standard library.
        if not source.endswith("/os.py"):
            poison(root / source)
    assert run(interpreter, "import asyncio, json, decimal, email.parser; print(json.dumps(1))") == "1\n"


def test_the_same_bytes_wherever_the_image_is_unpacked(root: Path, debian: Path, tmp_path: Path) -> None:
    packs = [
        compile_tree(
            place, STDLIB, key="base", interpreter=own(place), cache=Cache(tmp_path / name), jobs=jobs
        ).pack.read_bytes()
        for place, name, jobs in ((root, "a", 1), (debian, "b", 2))
    ]
    assert packs[0] == packs[1]


def test_imports_in_the_image_take_the_layers_bytecode(
    root: Path, wheels: Mapping[str, Path], tmp_path: Path
) -> None:
    interpreter, cache = own(root), Cache(tmp_path / "cache")
    items, compiled = [], []
    for path in wheels.values():
        wheel = open_wheel(path, filename=path.name, sha256=path.name)
        bytecode = compile_wheel(wheel, interpreter=interpreter, prefix="/app/.venv", cache=cache)
        items.append(LayerWheel(wheel=wheel, bytecode=bytecode))
        compiled += list(bytecode.files)
    file = io.BytesIO()
    layer = write_wheel_layer(items, prefix="/app/.venv", python=interpreter.version, file=file)
    assert [each.path for each in layer.collisions if not each.identical] == []
    file.seek(0)
    with tarfile.open(fileobj=file) as archive:
        archive.extractall(root)  # our own layer; Debian's 3.11.2 has no filters yet
    for source in compiled:
        poison(root / "app/.venv" / source)
    program = (
        f"import sys; sys.path.append('{SITE}')\n"
        "import pandas, sqlalchemy.orm, pydantic, numpy\n"
        "class Model(pydantic.BaseModel): a: int\n"
        "print(pandas.DataFrame({'a': [1, 2]}).a.sum(), sqlalchemy.text('x'), Model(a='3'))\n"
    )
    assert run(interpreter, program) == "3 x a=3\n"
