"""A wheel's layer holds, file by file, what pip puts into a virtual environment.

Known differences, each with its reason, are `DIFFERENCES`; everything else must be equal: paths, modes,
contents, RECORD's rows.
"""

import csv
import io
import marshal
import platform
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import pytest
from packaging.utils import canonicalize_name

from shipwheel.cache import Cache
from shipwheel.testing.wheels import make_wheel
from shipwheel.wheel.archive import open_wheel
from shipwheel.wheel.bytecode import compile_wheel
from shipwheel.wheel.interpreter import Interpreter, find_interpreter
from shipwheel.wheel.layer import LayerWheel, write_wheel_layer

HERE: Final = platform.python_version()
MINOR: Final = ".".join(HERE.split(".")[:2])
SITE: Final = f"lib/python{MINOR}/site-packages"

DIFFERENCES: Final = {
    "INSTALLER": "says shipwheel, and so does its hash in RECORD",
    "RECORD": "sorted with \\n line ends; compared as a set of rows",
    "REQUESTED": "whether a package was asked for is not a property of the wheel",
    "*.pyc": "hash-based, pip's are timestamp-based; the paths and the code are the same",
    "tests/__pycache__": "pip compiles test suites inside packages too",
    "bin/__pycache__": "pip compiles scripts that end in .py, which are run and never imported",
    "share/__pycache__": "the same for what is installed as data",
    "the mode of .data/scripts": "0755 as the specification has it; pip leaves what has no `#!python` alone",
    "rows of absent files": "pip keeps RECORD's rows for files that the wheel does not hold",
}


@dataclass(frozen=True)
class File:
    """What is compared of a file."""

    mode: int
    content: bytes


@pytest.fixture(scope="module")
def venv() -> Iterator[Path]:
    # A short path: the first line of a script has room for 127 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pip-", dir="/tmp")).resolve()
    subprocess.run([sys.executable, "-m", "venv", folder / "v"], check=True)
    # Up to Python 3.11 a new environment has it, and one of the wheels below is another version of it.
    subprocess.run([folder / "v/bin/python", "-m", "pip", "uninstall", "-qy", "setuptools"], check=True)
    yield folder / "v"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def interpreter() -> Interpreter:
    found = find_interpreter(HERE)
    assert isinstance(found, Interpreter)
    return found


def by_pip(venv: Path, wheel: Path) -> dict[str, File]:
    """Return what pip adds to the environment for the wheel, and take it away again."""
    before = set(venv.rglob("*"))
    # Headers go to a folder of the name as it was typed; in a lock it is the normalized one.
    name, version = canonicalize_name(wheel.name.split("-")[0]), wheel.name.split("-")[1]
    command: list[str | Path] = [
        venv / "bin/python",
        "-m",
        "pip",
        "--isolated",
        "install",
        "--no-index",
        "--no-deps",
        "--quiet",
    ]
    # As from an index: of a file named directly pip writes a direct_url.json.
    command += ["--find-links", wheel.parent, "--disable-pip-version-check", f"{name}=={version}"]
    subprocess.run(command, check=True, umask=0o022)
    found = {}
    for path in sorted(set(venv.rglob("*")) - before, reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
            continue
        found[path.relative_to(venv).as_posix()] = File(stat.S_IMODE(path.lstat().st_mode), path.read_bytes())
        path.unlink()
    return found


def by_shipwheel(venv: Path, wheel: Path, interpreter: Interpreter, cache: Cache) -> dict[str, File]:
    """Return the files of the wheel's layer below an environment at the same place."""
    opened = open_wheel(wheel, filename=wheel.name, sha256=str(wheel))
    bytecode = compile_wheel(opened, interpreter=interpreter, prefix=str(venv), cache=cache)
    file = io.BytesIO()
    item = LayerWheel(wheel=opened, bytecode=bytecode)
    write_wheel_layer([item], prefix=str(venv), python=HERE, file=file)
    found = {}
    with tarfile.open(fileobj=io.BytesIO(file.getvalue())) as archive:
        for member in archive:
            if member.isfile():
                content = archive.extractfile(member)
                assert content is not None
                path = Path("/", member.name).relative_to(venv).as_posix()
                found[path] = File(member.mode, content.read())
    return found


def normal(files: Mapping[str, File], scripts: frozenset[str]) -> dict[str, object]:
    """Return the files without what may differ (see DIFFERENCES)."""
    kept: dict[str, object] = {}
    for path, file in files.items():
        name = path.rpartition("/")[2]
        below_site = path.startswith(SITE)
        if name == "REQUESTED" or (name.endswith(".pyc") and not below_site):
            continue
        if name in ("INSTALLER", "RECORD") and ".dist-info/" in path:
            continue
        if name.endswith(".pyc"):
            kept[path] = (file.mode, marshal.loads(file.content[16:]) if len(file.content) > 16 else b"")
        elif path in scripts:
            kept[path] = script(file)
        elif path.startswith("bin/"):
            kept[path] = file.content
        else:
            kept[path] = file
    return kept


def script(file: File) -> object:
    """Return what makes out a script: mode, interpreter, and the code without blank and comment lines."""
    first, _, rest = file.content.decode().partition("\n")
    lines = [
        line for line in rest.replace('"', "'").splitlines() if line.strip() and not line.startswith("#")
    ]
    return (file.mode, first.rpartition("/")[0], lines)


def rows(files: Mapping[str, File]) -> set[tuple[str, ...]]:
    """Return RECORD's rows without those that may differ."""
    (path,) = (path for path in files if path.endswith(".dist-info/RECORD") and path.count("/") == 4)
    found = {tuple(row) for row in csv.reader(files[path].content.decode().splitlines())}
    present = {f"{SITE}/{row[0]}" for row in found} | {row[0].removeprefix("../../../") for row in found}
    assert present >= set(files), "every file is listed"
    generated = {f"../../../{path}" for path, file in files.items() if path.startswith("bin/")}
    return {
        # A script's text is another template's, and so is its hash.
        (row[0],) if row[0] in generated else row
        for row in found
        if not row[0].endswith(("/INSTALLER", "/REQUESTED"))
        and not (row[0].startswith("../") and row[0].endswith(".pyc"))
        and (f"{SITE}/{row[0]}" in files or row[0].startswith("../"))
    }


def without_bytecode_of_suites(files: Mapping[str, File]) -> dict[str, File]:
    """Return the files without what was compiled of modules in folders of tests."""
    suites = {
        str(folder)
        for path in map(PurePosixPath, files)
        if any(path.match(name) for name in ("test_*.py", "*_test.py", "conftest.py"))
        for folder in path.parents
        if folder.name in ("test", "tests")
    }
    return {
        path: file
        for path, file in files.items()
        if not (path.endswith(".pyc") and suites.intersection(map(str, PurePosixPath(path).parents)))
    }


def compare(venv: Path, wheel: Path, interpreter: Interpreter, cache: Cache) -> None:
    expected = without_bytecode_of_suites(by_pip(venv, wheel))
    found = by_shipwheel(venv, wheel, interpreter, cache)
    generated = frozenset(
        path
        for path, file in expected.items()
        if path.startswith("bin/")
        and b"sys.argv[0] = re.sub" in file.content
        and b"# -*- coding" in file.content
    )
    ours, theirs = normal(found, generated), normal(expected, generated)
    assert sorted(ours) == sorted(theirs)
    assert {path: each for path, each in ours.items() if each != theirs[path]} == {}
    assert rows(found) == rows(expected)


MADE: Final = {
    "plain": make_wheel("plain"),
    "schemes": make_wheel(
        "with.schemes",
        "1.2",
        files={"with_schemes/__init__.py": "", "with_schemes/run.sh": "#!/bin/sh\n", "top.py": "x = 1\n"},
        data={
            "purelib/pure/mod.py": "pure = 1\n",
            "platlib/plat/mod.py": "plat = 1\n",
            "headers/deep/api.h": "/* api */\n",
            "scripts/shell": "#!/bin/sh\n",
            "scripts/rewritten": "#!python -E\nprint('x')\n",
            "scripts/windowed.py": "#!pythonw\nprint('x')\n",
            "data/share/with.schemes/a.txt": "a\n",
            "data/etc/x.conf": "x\n",
            "data/share/with.schemes/lib.py": "x = 1\n",
        },
        scripts={"with-schemes": "with_schemes:main", "old": "with_schemes.cli:App.run"},
        gui_scripts={"with-schemes-gui": "with_schemes:gui"},
        executable=["with_schemes/run.sh"],
    ),
    "platform": make_wheel(
        "native",
        tag="py3-none-linux_x86_64",
        files={"native/lib.so": b"\x7fELF" + bytes(9000), "native/x.py": "x\n"},
    ),
    "odd names": make_wheel(
        "odd",
        files={
            "odd/a,b.txt": "1",
            "odd/with blank.py": "x = 1\n",
            "odd/ünïcode.py": "x = 1\n",
            "odd/A.py": "",
        },
    ),
    "wrappers": make_wheel(
        "wrapped",
        scripts={"tool": "wrapped:main"},
        data={"scripts/tool": "#!python\nold\n", "scripts/tool-script.py": "old\n", "scripts/tool.exe": "MZ"},
    ),
    "not python": make_wheel(
        "templates", files={"templates/x.py": "print '{{ name }}'\n", "templates/y.py": "y = 1\n"}
    ),
    "its own bytecode": make_wheel(
        "compiled",
        files={
            "compiled/x.py": "x = 1\n",
            f"compiled/__pycache__/old.cpython-{MINOR.replace('.', '')}.pyc": b"old",
        },
    ),
    "missing files": make_wheel("missing", broken="missing-file"),
    "large": make_wheel("large", files={"large/data.txt": "0123456789" * 50_000}, padding=30_000),
}


@pytest.mark.parametrize("name", MADE)
def test_made_wheels_are_installed_as_by_pip(
    name: str, venv: Path, interpreter: Interpreter, tmp_path: Path
) -> None:
    compare(venv, MADE[name].write(tmp_path), interpreter, Cache(tmp_path / "cache"))


REAL: Final = (
    "black", "certifi", "cowsay", "debugpy", "docutils", "fastapi", "greenlet", "gunicorn", "httpx", "jmespath",
    "jupyterlab-widgets", "lxml", "mypy", "ninja", "notebook-shim", "numpy", "pandas", "protobuf", "psycopg-binary",
    "pybind11", "pydantic-core", "pytest", "pywin32-ctypes", "ruff", "setuptools", "six", "sqlalchemy",
    "typing-extensions", "tzdata", "uvicorn",
)  # fmt: skip


@pytest.fixture(scope="module")
def downloaded(venv: Path) -> Mapping[str, Path]:
    folder = venv.parent / "wheels"
    command: list[str | Path] = [
        venv / "bin/python",
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--quiet",
    ]
    subprocess.run([*command, "--disable-pip-version-check", "--dest", folder, *REAL], check=True)
    return {path.name.split("-")[0].lower().replace("_", "-"): path for path in folder.glob("*.whl")}


@pytest.mark.network
@pytest.mark.parametrize("name", REAL)
def test_real_wheels_are_installed_as_by_pip(
    name: str, venv: Path, downloaded: Mapping[str, Path], interpreter: Interpreter, tmp_path: Path
) -> None:
    wheel = tmp_path / downloaded[name].name
    wheel.symlink_to(downloaded[name])
    compare(venv, wheel, interpreter, Cache(tmp_path / "cache"))
