"""Which Python compiles for an image, and that nothing of this machine reaches what it makes."""

import importlib.util
import marshal
import os
import platform
import sys
import types
from pathlib import Path

import pytest

from shipwheel.errors import BuildError
from shipwheel.wheel import interpreter as module
from shipwheel.wheel.interpreter import Interpreter, NoInterpreter, Root, find_interpreter, resolve_in_root

HERE = platform.python_version()
# An ELF header for EM_S390 (22), big-endian, without program headers.
S390 = b"\x7fELF\x02\x02\x01".ljust(16, b"\0") + b"\0\x02\0\x16" + b"\0" * 44


@pytest.fixture(scope="module")
def host() -> Interpreter:
    found = find_interpreter(HERE)
    assert isinstance(found, Interpreter)
    return found


def test_the_running_python_serves_when_it_has_exactly_the_version(host: Interpreter) -> None:
    assert (host.version, host.origin, host.cache_tag) == (HERE, "host", sys.implementation.cache_tag)
    assert host.magic == importlib.util.MAGIC_NUMBER.hex()
    assert host.id == f"cpython-{HERE}{host.abiflags}-{host.magic}+host"


def test_without_one_every_candidate_says_why_not(tmp_path: Path) -> None:
    found = find_interpreter(
        "3.99.1", root=Root(path=tmp_path, executable="/usr/bin/python3.99"), named=[tmp_path / "none"]
    )
    assert isinstance(found, NoInterpreter)
    assert "/usr/bin/python3.99 of the image: it is not there" in str(found)
    assert f"it is cpython {HERE}" in str(found)
    assert f"{tmp_path / 'none'}: it does not start" in str(found)


def test_an_image_for_another_platform_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/python3.13").write_bytes(S390)
    found = find_interpreter("3.13.99", root=Root(path=tmp_path, executable="/usr/bin/python3.13"))
    assert isinstance(found, NoInterpreter)
    assert "it is for linux s390x" in str(found)


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF\x02\x01"])
def test_what_is_no_program_is_not_run(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "python").write_bytes(content)
    found = find_interpreter("3.13.99", root=Root(path=tmp_path, executable="/python"))
    assert "it is no ELF program" in str(found)


def test_links_are_followed_inside_the_image(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/x").mkdir(parents=True)
    (tmp_path / "usr/lib/x/file").write_text("")
    (tmp_path / "lib").symlink_to("usr/lib")
    (tmp_path / "abs").symlink_to("/lib/x")
    (tmp_path / "usr/up").symlink_to("../../../../abs/file")
    (tmp_path / "loop").symlink_to("loop")
    assert resolve_in_root(tmp_path, "/lib/x/file") == "usr/lib/x/file"
    assert resolve_in_root(tmp_path, "/abs/file") == "usr/lib/x/file"
    assert resolve_in_root(tmp_path, "/usr/up") == "usr/lib/x/file"
    assert resolve_in_root(tmp_path, "/loop") is None
    assert resolve_in_root(tmp_path, "/etc/passwd") is None
    assert resolve_in_root(tmp_path, "/lib/../../../lib/x") == "usr/lib/x"


@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="this machine has no Python below /usr")
def test_an_interpreter_runs_through_the_loader_of_its_own_root() -> None:
    asked = find_interpreter("0.0.0", root=Root(path=Path("/"), executable="/usr/bin/python3"))
    version = str(asked).split("of the image: it is cpython ")[1].split(";")[0]
    found = find_interpreter(version, root=Root(path=Path("/"), executable="/usr/bin/python3"))
    assert isinstance(found, Interpreter)
    assert found.origin == "image"
    assert found.id == f"cpython-{version}{found.abiflags}-{found.magic}"
    assert "--library-path" in found.command
    (pyc,) = found.compile([("/app/x.py", b"x = 1\n")])
    assert isinstance(pyc, bytes)


@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="this machine has no Python below /usr")
def test_the_same_version_of_another_platform_serves_for_an_image_that_cannot_run_here(
    tmp_path: Path,
) -> None:
    (tmp_path / "python").write_bytes(S390)
    image, other = (
        Root(path=tmp_path, executable="/python"),
        Root(path=Path("/"), executable="/usr/bin/python3"),
    )
    version = (
        str(find_interpreter("0.0.0", root=other)).split("of the image: it is cpython ")[1].split(";")[0]
    )
    found = find_interpreter(version, root=image, others=[other])
    assert isinstance(found, Interpreter)
    assert found.origin == "other image"
    assert not found.id.endswith("+host")


def test_the_result_is_unchecked_hash_bytecode_with_the_path_in_the_image(host: Interpreter) -> None:
    source = b"def f(x):\n    assert x, 'kept'\n    return __file__\n"
    (pyc,) = host.compile([("/app/.venv/lib/x.py", source)])
    assert isinstance(pyc, bytes)
    assert pyc[:4] == importlib.util.MAGIC_NUMBER
    assert pyc[4:8] == b"\x01\0\0\0"
    assert pyc[8:16] == importlib.util.source_hash(source)
    code = marshal.loads(pyc[16:])
    assert isinstance(code, types.CodeType)
    assert code.co_filename == "/app/.venv/lib/x.py"
    # Optimisation level 0: assertions and docstrings stay.
    assert b"kept" in pyc


HOSTILE = {
    "syntax": (b"print 'Python 2'\n", "SyntaxError"),
    "nul": (b"x = '\0'\n", None),
    "encoding": (b"# coding: no-such-codec\n", "SyntaxError"),
    "bytes": (b"x = '\xff'\n", "SyntaxError"),
    "nested": (b"x = " + b"(" * 100_000 + b")" * 100_000, None),
    "operators": (b"x = " + b"-" * 100_000 + b"1\n", None),
    "sum": (b"x = " + b"+".join([b"1"] * 100_000), None),
    "attributes": (b"x" + b".a" * 100_000, None),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_source_that_does_not_compile_is_left_out_and_the_next_one_is_not(
    name: str, host: Interpreter
) -> None:
    source, reason = HOSTILE[name]
    first, second, third = host.compile(
        [("/a.py", b"a = 1\n"), ("/hostile.py", source), ("/b.py", b"b = 1\n")]
    )
    assert isinstance(first, bytes)
    assert isinstance(third, bytes)
    if reason is not None:
        assert second == reason
    again = host.compile([("/a.py", b"a = 1\n"), ("/hostile.py", source), ("/b.py", b"b = 1\n")])
    assert again == [first, second, third]


def crashing(host: Interpreter, folder: Path, how: str) -> Interpreter:
    """Return an interpreter whose worker goes wrong at the sources that say BOOM."""
    wrapper = folder / "python"
    wrapper.write_text(
        f"#!{sys.executable}\n"
        "import builtins, os, sys, time\n"
        "real = compile\n"
        "def boom(source, *args, **kwargs):\n"
        f"    if b'BOOM' in source: {how}\n"
        "    return real(source, *args, **kwargs)\n"
        "program = real(sys.argv[sys.argv.index('-c') + 1], '-c', 'exec')\n"
        "builtins.compile = boom\n"
        "exec(program)\n"
    )
    wrapper.chmod(0o755)
    return Interpreter(
        command=(str(wrapper),),
        folder=folder,
        environ={"PYTHONHASHSEED": "0"},
        origin="host",
        where="a test",
        implementation="cpython",
        version=host.version,
        cache_tag=host.cache_tag,
        magic=host.magic,
    )


@pytest.mark.parametrize("how", ["os.abort()", "os._exit(3)", "raise KeyboardInterrupt"])
def test_a_source_that_brings_the_worker_down_costs_itself_alone(
    how: str, host: Interpreter, tmp_path: Path
) -> None:
    sources = [("/a.py", b"a = 1\n"), ("/boom.py", b"BOOM\n"), ("/b.py", b"b = 1\n"), ("/c.py", b"BOOM")]
    first, boom, second, last = crashing(host, tmp_path, how).compile(sources)
    assert isinstance(first, bytes)
    assert isinstance(second, bytes)
    assert boom == last == "crash"


def test_a_source_that_stalls_is_given_up_and_many_are_an_error(
    host: Interpreter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0.7)
    slow = crashing(host, tmp_path, "time.sleep(60)")
    assert slow.compile([("/boom.py", b"BOOM\n"), ("/b.py", b"b = 1\n")])[0] == "timeout"
    with pytest.raises(BuildError, match=r"(?s)bytecode-timeout.*/boom.py"):
        slow.compile([("/boom.py", b"BOOM\n")] * 5)


def test_nothing_of_the_process_that_asks_reaches_the_bytes(
    host: Interpreter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = b"X = {'one', 'two', None, 3} - set('abc')\ndef f(x): return x in {'a', 'b', 'c', None, 1.5}\n"
    expected = host.compile([("/app/x.py", source)])
    (tmp_path / "importlib.py").write_text("raise SystemExit('imported from the working directory')\n")
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('site')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONHASHSEED", "12345")
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("HOME", str(tmp_path))
    before = os.umask(0o077)
    try:
        assert host.compile([("/app/x.py", source)]) == expected
    finally:
        os.umask(before)
