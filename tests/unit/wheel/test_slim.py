"""What is left out of a wheel, what stays although it looks like it, and that RECORD says what is there."""

import base64
import csv
import gzip
import hashlib
import io
import platform
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from helpers.elf_programs import Part, program
from shipwheel.cache import Cache
from shipwheel.project.settings import SLIM_OPTIONS
from shipwheel.testing.wheels import make_wheel
from shipwheel.wheel.archive import Wheel, open_wheel
from shipwheel.wheel.bytecode import compile_wheel
from shipwheel.wheel.install import bytecode_path
from shipwheel.wheel.interpreter import Interpreter, find_interpreter
from shipwheel.wheel.layer import LayerWheel, write_wheel_layer
from shipwheel.wheel.slim import Slimming, plan_slimming

SITE = "app/.venv/lib/python3.13/site-packages"
NATIVE = program(
    [
        Part(name=".text", data=bytes(range(256)) * 30, address=0x1000),
        Part(name=".debug_info", data=b"where" * 10_000),
    ]
)


def opened(folder: Path, files: Mapping[str, bytes | str], name: str = "thing", **more: object) -> Wheel:
    made = make_wheel(name, files=files, **more)  # type: ignore[arg-type] # make_wheel says what it takes
    return open_wheel(made.write(folder), filename=made.filename, sha256=made.sha256)


def slimming(wheel: Wheel, *options: str) -> Slimming:
    with wheel.open() as reader:
        return plan_slimming(wheel, reader, options or SLIM_OPTIONS, python="3.13.5")


def layer_of(wheel: Wheel, slim: Slimming | None, *, python: str = "3.13.5", **more: object) -> bytes:
    file = io.BytesIO()
    item = LayerWheel(wheel=wheel, slimming=slim, **more)  # type: ignore[arg-type] # LayerWheel says so
    write_wheel_layer([item], prefix="/app/.venv", python=python, file=file)
    return file.getvalue()


def files_in(layer: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer))) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}  # type: ignore[union-attr]


def mismatches(files: Mapping[str, bytes]) -> list[str]:
    """Return what RECORD says of files that is not so, and files that it does not name."""
    [record] = [path for path in files if path.endswith(".dist-info/RECORD")]
    wrong, named = [], set()
    for path, digest, size in csv.reader(files[record].decode().splitlines()):
        place = f"{SITE}/{path}"
        while "/../" in place:
            before, _, after = place.partition("/../")
            place = f"{before.rpartition('/')[0]}/{after}"
        named.add(place)
        if place not in files:
            wrong.append(f"{path} is not there")
        elif digest:
            found = base64.urlsafe_b64encode(hashlib.sha256(files[place]).digest()).rstrip(b"=").decode()
            if (digest, size) != (f"sha256={found}", str(len(files[place]))):
                wrong.append(f"{path} has other bytes")
    return wrong + sorted(files.keys() - named)


@pytest.mark.parametrize(
    ("option", "path"),
    [
        ("tests", "thing/tests/test_a.py"),
        ("tests", "thing/tests/data/table.csv"),
        ("tests", "thing/deep/test/a_test.py"),
        ("tests", "thing/conftest.py"),
        ("tests", "tests/test_top.py"),
        ("stubs", "thing/core.pyi"),
        ("stubs", "thing/__init__.pyi"),
        ("stubs", "thing/fast.pyi"),
        ("stubs", "thing-stubs/core.pyi"),
        ("headers", "thing/include/thing.h"),
        ("headers", "thing/core.pxd"),
        ("static-libraries", "thing/lib/libthing.a"),
        ("source-maps", "thing/static/app.js.map"),
    ],
)
def test_each_option_takes_its_own_files(tmp_path: Path, option: str, path: str) -> None:
    files = {
        "thing/__init__.py": "",
        "thing/core.py": "",
        "thing/fast.cpython-313-x86_64-linux-gnu.so": "",
        "thing/deep/test/a_test.py": "",
        "thing/tests/__init__.py": "",
        "thing/tests/test_a.py": "",
        path: "x",
    }
    wheel = opened(tmp_path, files)

    assert slimming(wheel, option).dropped[path] == option
    others = [other for other in SLIM_OPTIONS if other != option]
    assert path not in slimming(wheel, *others).dropped


def test_data_folders_hold_documentation_and_headers(tmp_path: Path) -> None:
    data = {"data/share/man/man1/thing.1": "m", "data/share/thing/rules": "r", "headers/thing.h": "h"}
    wheel = opened(tmp_path, {"thing.py": ""}, data=data)

    assert dict(slimming(wheel).dropped) == {
        "thing-1.0.data/data/share/man/man1/thing.1": "documentation",
        "thing-1.0.data/headers/thing.h": "headers",
    }


@pytest.mark.parametrize(
    ("why", "path"),
    [
        ("public helpers for the tests of others", "thing/test/client.py"),
        ("not called tests", "thing/testing/test_utils.py"),
        ("a module, not a folder", "thing/tests.py"),
        ("what a type checker knows of other people's code", "thing/typeshed/os.pyi"),
        ("the mark that a package is typed", "thing/py.typed"),
        ("a licence", "thing/tests/LICENSE.txt"),
        ("a licence of many", "share/doc/COPYING"),
        ("its metadata", "thing-1.0.dist-info/tests/test_a.py"),
        ("a template of a web page", "thing/templates/page.map"),
    ],
)
def test_what_only_looks_like_it_stays(tmp_path: Path, why: str, path: str) -> None:
    wheel = opened(tmp_path, {"thing/__init__.py": "", "thing/tests/test_a.py": "", path: "x"})

    assert path not in slimming(wheel).dropped


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("thing/__init__.py", "from thing.tests import helpers\n"),
        ("thing/__init__.py", "from .tests.helpers import x\n"),
        ("thing/__init__.py", "import os, thing.tests.helpers as h\n"),
        ("thing/__init__.py", "from . import (\n    core,  # the core\n    tests,\n)\n"),
        ("thing/__init__.py", "try:\n    from .tests import helpers\nexcept ImportError:\n    pass\n"),
        ("thing/deep/core.py", "from ..tests import helpers\n"),
        ("thing/deep/core.py", "class Core:\n    from thing \\\n        import tests\n"),
    ],
)
def test_tests_that_the_rest_imports_stay_and_a_note_says_why(
    tmp_path: Path, module: str, statement: str
) -> None:
    files = {
        "thing/__init__.py": "",
        "thing/deep/__init__.py": "",
        "thing/deep/tests/test_b.py": "",
        "thing/tests/__init__.py": "",
        "thing/tests/helpers.py": "from thing.other.tests import more\n",
        "thing/tests/test_a.py": "",
        "thing/other/__init__.py": "",
        "thing/other/tests/__init__.py": "",
        "thing/other/tests/more.py": "",
        "thing/other/tests/test_c.py": "",
        module: statement,
    }
    found = slimming(opened(tmp_path, files))

    # Those that these need in turn stay too.
    assert list(found.dropped) == ["thing/deep/tests/test_b.py"]
    assert found.notes == (
        "thing keeps thing/other/tests: thing/tests/helpers.py imports it",
        f"thing keeps thing/tests: {module} imports it",
    )


@pytest.mark.parametrize(
    "statement",
    [
        "def run():\n    from thing.tests import test_a\n",
        "def run():\n    if True:\n        import thing.tests\n",
        "if TYPE_CHECKING:\n    from thing.tests import x\n",
        "if typing.TYPE_CHECKING:\n    from thing.tests import x\n",
        "from other.tests import x\n",
        "# from thing.tests import x\n",
        'EXAMPLE = """\n>>> from thing.tests import x\n"""\n',
    ],
)
def test_tests_go_that_only_functions_and_type_checkers_import(tmp_path: Path, statement: str) -> None:
    wheel = opened(tmp_path, {"thing/__init__.py": statement, "thing/tests/test_a.py": ""})

    assert list(slimming(wheel).dropped) == ["thing/tests/test_a.py"]


def test_tests_that_a_command_runs_stay(tmp_path: Path) -> None:
    files = {"thing/__init__.py": "", "thing/tests/__init__.py": "", "thing/tests/test_a.py": ""}
    found = slimming(opened(tmp_path, files, scripts={"thing-check": "thing.tests:main"}))

    assert not found.dropped
    assert found.notes == ("thing keeps thing/tests: its command imports it",)


def test_stubs_stay_where_a_module_reads_its_own(tmp_path: Path) -> None:
    files = {
        "thing/__init__.py": "import lazy_loader\na, b, c = lazy_loader.attach_stub(__name__, __file__)\n",
        "thing/__init__.pyi": "from .core import f\n",
        "thing/core.py": "",
    }
    found = slimming(opened(tmp_path, files))

    assert not found.dropped
    assert found.notes == ("thing keeps its type stubs: thing/__init__.py reads them when it is imported",)


def test_packages_that_compile_when_they_run_keep_their_headers(tmp_path: Path) -> None:
    wheel = opened(tmp_path, {"triton/include/cuda.h": "h", "triton/__init__.py": ""}, name="triton")
    found = slimming(wheel)

    assert not found.dropped
    assert found.notes == ("triton keeps its headers: it compiles with them",)


MIXED: Mapping[str, bytes | str] = {
    "thing/__init__.py": "X = 1\n",
    "thing/core.py": "Y = 2\n" * 2000,
    "thing/core.pyi": "Y: int\n",
    "thing/fast.so": NATIVE,
    "thing/tests/__init__.py": "",
    "thing/tests/test_a.py": "assert True\n" * 500,
}


def test_the_record_of_a_slimmed_layer_is_right(tmp_path: Path) -> None:
    wheel = opened(tmp_path, MIXED, scripts={"thing": "thing:main"})
    whole, slim = files_in(layer_of(wheel, None)), files_in(layer_of(wheel, slimming(wheel)))

    assert mismatches(whole) == mismatches(slim) == []
    gone = {f"{SITE}/thing/{name}" for name in ("core.pyi", "tests/__init__.py", "tests/test_a.py")}
    assert whole.keys() - slim.keys() == gone
    changed = {path for path in slim if slim[path] != whole[path]}
    assert changed == {f"{SITE}/thing/fast.so", f"{SITE}/thing-1.0.dist-info/RECORD"}
    assert len(slim[f"{SITE}/thing/fast.so"]) < len(NATIVE) - 50_000 + 4096


def test_what_stays_is_copied_as_the_wheel_has_it(tmp_path: Path) -> None:
    text = hashlib.sha256(b"").hexdigest() * 700
    wheel = opened(tmp_path, {**MIXED, "thing/big.txt": "".join(f"{n}{text[n]}" for n in range(20_000))})
    with wheel.open() as reader:
        stream = b"".join(reader.raw(wheel.by_path["thing/big.txt"]))

    assert stream in layer_of(wheel, slimming(wheel))


def test_tests_have_no_bytecode_left_out_or_not_and_the_rest_has(tmp_path: Path) -> None:
    interpreter = find_interpreter(platform.python_version())
    assert isinstance(interpreter, Interpreter)
    wheel = opened(tmp_path, MIXED)
    cache = Cache(tmp_path / "cache")
    slim = slimming(wheel, "tests")
    packs = [
        compile_wheel(wheel, interpreter=interpreter, prefix="/p", cache=cache, without=without)
        for without in ((), slim.dropped, ())
    ]

    library = f"lib/python{'.'.join(platform.python_version_tuple()[:2])}/site-packages"
    assert {*packs[0].files} == {f"{library}/thing/{name}.py" for name in ("__init__", "core")}
    assert packs[0].files == packs[1].files == packs[2].files
    files = files_in(layer_of(wheel, slim, python=interpreter.version, bytecode=packs[1]))
    assert [path.rpartition("site-packages/")[2] for path in files if path.endswith(".pyc")] == [
        bytecode_path(f"thing/{name}.py", interpreter.cache_tag) for name in ("__init__", "core")
    ]


def test_the_bytes_follow_from_wheel_and_options_alone(tmp_path: Path) -> None:
    wheel = opened(tmp_path, MIXED)

    assert layer_of(wheel, slimming(wheel)) == layer_of(wheel, slimming(wheel))
    assert (
        len({layer_of(wheel, slimming(wheel, option)) for option in ("tests", "stubs", "debug-symbols")}) == 3
    )
    # Of an option that finds nothing there is no trace.
    assert layer_of(wheel, slimming(wheel, "source-maps")) == layer_of(wheel, None)
