"""Bytecode is the same each time, is kept, and is never taken from a file that was changed."""

import importlib.util
import platform
import py_compile
from collections.abc import Callable
from pathlib import Path

import pytest

from shipwheel.cache import Cache
from shipwheel.testing.wheels import make_wheel
from shipwheel.wheel.archive import Wheel, open_wheel
from shipwheel.wheel.bytecode import Bytecode, compile_tree, compile_wheel
from shipwheel.wheel.interpreter import Interpreter, find_interpreter

HERE = platform.python_version()
SITE = f"lib/python{'.'.join(HERE.split('.')[:2])}/site-packages"


@pytest.fixture(scope="module")
def host() -> Interpreter:
    found = find_interpreter(HERE)
    assert isinstance(found, Interpreter)
    return found


def wheel_of(folder: Path, name: str = "thing", count: int = 250) -> Wheel:
    """Return a wheel of so many modules that several processes compile it, each with names of its own."""
    files: dict[str, bytes | str] = {
        f"{name}/m{number}.py": f"from os import path\nNAME = 'value {number % 7}'\ndef f{number}(x={number}.5):\n"
        f"    'a docstring'\n    return x in {{'one', 'two', None, {number}}}, path, NAME\n"
        for number in range(count)
    }
    made = make_wheel(name, files={**files, f"{name}/template.py": "print '{{ name }}'\n"})
    return open_wheel(made.write(folder), filename=made.filename, sha256=made.sha256)


def never(self: Interpreter, sources: object) -> list[bytes | str]:
    raise AssertionError("compiled anew")


def test_what_compiles_has_bytecode_and_what_does_not_is_told(tmp_path: Path, host: Interpreter) -> None:
    wheel = wheel_of(tmp_path, count=3)
    bytecode = compile_wheel(wheel, interpreter=host, prefix="/app/.venv", cache=Cache(tmp_path / "cache"))
    assert sorted(bytecode.files) == [f"{SITE}/thing/m{number}.py" for number in range(3)]
    assert bytecode.skipped == {f"{SITE}/thing/template.py": "SyntaxError"}
    with bytecode.open() as reader:
        assert reader.read(f"{SITE}/thing/m1.py")[:4] == importlib.util.MAGIC_NUMBER
        assert f"/app/.venv/{SITE}/thing/m1.py".encode() in reader.read(f"{SITE}/thing/m1.py")


@pytest.mark.parametrize("jobs", [1, 2, 7])
def test_the_same_bytes_in_every_cache_with_any_number_of_processes_and_after_other_wheels(
    jobs: int, tmp_path: Path, host: Interpreter
) -> None:
    def pack(cache: Cache, jobs: int) -> bytes:
        wheel = wheel_of(tmp_path)
        return compile_wheel(wheel, interpreter=host, prefix="/p", cache=cache, jobs=jobs).pack.read_bytes()

    cache = Cache(tmp_path / "another cache")
    compile_wheel(wheel_of(tmp_path, "other"), interpreter=host, prefix="/p", cache=cache)
    assert pack(Cache(tmp_path / "cache"), 1) == pack(cache, jobs)


def test_a_wheel_is_compiled_once_for_an_interpreter_and_a_prefix(
    tmp_path: Path, host: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, wheel = Cache(tmp_path / "cache"), wheel_of(tmp_path, count=3)
    first = compile_wheel(wheel, interpreter=host, prefix="/a", cache=cache)
    other = compile_wheel(wheel, interpreter=host, prefix="/b", cache=cache)
    assert first.pack != other.pack
    monkeypatch.setattr(Interpreter, "compile", never)
    assert compile_wheel(wheel, interpreter=host, prefix="/a", cache=cache) == first


def flip(pack: Path) -> None:
    pack.chmod(0o644)
    data = bytearray(pack.read_bytes())
    data[-1] ^= 1
    pack.write_bytes(data)


def truncate(pack: Path) -> None:
    pack.chmod(0o644)
    pack.write_bytes(pack.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink])
def test_bytecode_that_was_changed_in_the_cache_is_made_anew(
    damage: Callable[[Path], object], tmp_path: Path, host: Interpreter
) -> None:
    cache, wheel = Cache(tmp_path / "cache"), wheel_of(tmp_path, count=3)
    first = compile_wheel(wheel, interpreter=host, prefix="/a", cache=cache)
    sound = first.pack.read_bytes()
    damage(first.pack)
    again = compile_wheel(wheel, interpreter=host, prefix="/a", cache=cache)
    assert again.pack.read_bytes() == sound


def test_a_source_too_large_to_be_honest_is_left_alone(tmp_path: Path, host: Interpreter) -> None:
    made = make_wheel("thing", files={"thing.py": "#" * (17 << 20)})
    wheel = open_wheel(made.write(tmp_path), filename=made.filename, sha256=made.sha256)
    bytecode = compile_wheel(wheel, interpreter=host, prefix="/a", cache=Cache(tmp_path / "cache"))
    assert bytecode.skipped == {f"{SITE}/thing.py": "too-large"}


def tree(root: Path) -> Path:
    folder = root / "usr/lib/python3.x"
    (folder / "json").mkdir(parents=True)
    (folder / "json/__init__.py").write_text("X = 1\n")
    (folder / "os.py").write_text("Y = 2\n")
    (folder / "bad.py").write_text("print 'no'\n")
    (folder / "link.py").symlink_to("os.py")
    return folder


def compiled(root: Path, key: str, host: Interpreter) -> Bytecode:
    return compile_tree(root, "usr/lib/python3.x", key=key, interpreter=host, cache=Cache(root / "cache"))


def test_a_tree_is_compiled_with_its_paths_in_the_image(tmp_path: Path, host: Interpreter) -> None:
    tree(tmp_path)
    bytecode = compiled(tmp_path, "a", host)
    tag = host.cache_tag
    assert [entry.path for entry, _ in bytecode.entries()] == [
        f"usr/lib/python3.x/__pycache__/os.{tag}.pyc",
        f"usr/lib/python3.x/json/__pycache__/__init__.{tag}.pyc",
    ]
    assert all(len(content) == entry.size and entry.mode == 0o644 for entry, content in bytecode.entries())
    assert b"/usr/lib/python3.x/os.py" in next(iter(bytecode.entries()))[1]
    assert set(bytecode.skipped) == {"usr/lib/python3.x/bad.py"}


@pytest.mark.parametrize(
    ("mode", "kept"),
    [
        (py_compile.PycInvalidationMode.UNCHECKED_HASH, True),
        (py_compile.PycInvalidationMode.CHECKED_HASH, False),
        (py_compile.PycInvalidationMode.TIMESTAMP, True),
    ],
)
def test_valid_bytecode_that_is_there_stays(
    mode: py_compile.PycInvalidationMode, kept: bool, tmp_path: Path, host: Interpreter
) -> None:
    folder = tree(tmp_path)
    py_compile.compile(str(folder / "os.py"), invalidation_mode=mode)
    assert ("usr/lib/python3.x/os.py" not in compiled(tmp_path, "a", host).files) == kept


def test_stale_bytecode_is_replaced(tmp_path: Path, host: Interpreter) -> None:
    folder = tree(tmp_path)
    py_compile.compile(str(folder / "os.py"), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
    (folder / "os.py").write_text("Y = 'longer than before'\n")
    assert "usr/lib/python3.x/os.py" in compiled(tmp_path, "a", host).files
