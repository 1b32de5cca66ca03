#!/usr/bin/env python3
"""Run a command that installs into the venv, and compile what it installed, beginning while it still runs.

What was compiled before, byte for byte, comes from the cache. Test suites inside packages, which no program
imports, are left as they are."""

import concurrent.futures
import gc
import hashlib
import importlib.util
import marshal
import os
import pathlib
import re
import subprocess
import sys
import warnings
from typing import Dict, Iterator, List, Set, Tuple

VENV = pathlib.Path(os.environ["VIRTUAL_ENV"])
CACHE = pathlib.Path("/root/.cache/bytecode")
# PEP 552: by hash, and unchecked. Time stamps are set anew when an image is made reproducible, which would
# void the other kind.
UNCHECKED_HASH = (1).to_bytes(4, "little")
# The outermost folder of that name which holds what pytest or unittest would collect.
SUITE = re.compile(r"(.*?/tests?/)(?:.*/)?(?:test_[^/]*|[^/]*_test|conftest)\.py")


def compile_file(path: pathlib.Path, source: bytes) -> bytes:
    """Return the bytecode of one file as it is stored; nothing for what this Python does not understand."""
    try:
        code = compile(source, str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        # Some packages ship files for other Pythons; a program that imports one hears of it then.
        return b""
    return (
        importlib.util.MAGIC_NUMBER
        + UNCHECKED_HASH
        + importlib.util.source_hash(source)
        + marshal.dumps(code)
    )


def compile_files(names: List[str]) -> Dict[str, Tuple[int, int]]:
    """Put bytecode beside each file; return what shows whether the files change afterwards."""
    gc.disable()  # code has no cycles, and looking for them takes a tenth of the time
    warnings.simplefilter("ignore")
    paths = [VENV / name for name in names]
    states = [path.stat() for path in paths]
    sources = [path.read_bytes() for path in paths]
    key = hashlib.sha256(sys.version.encode())
    for path, source in zip(paths, sources):
        key.update(b"\0%s %d " % (os.fsencode(path), len(source)) + source)
    # One file for all of them: to make a file takes longer than to fill it.
    cached = CACHE / key.hexdigest()
    try:
        compiled = marshal.loads(cached.read_bytes())
    except FileNotFoundError:
        compiled = [compile_file(path, source) for path, source in zip(paths, sources)]
        half = CACHE / f"{cached.name}.{os.getpid()}"
        half.write_bytes(marshal.dumps(compiled))
        half.replace(cached)
    for path, content in zip(paths, compiled):
        if content:
            target = pathlib.Path(importlib.util.cache_from_source(str(path)))
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(content)
    return {name: (state.st_mtime_ns, state.st_size) for name, state in zip(names, states)}


def without_suites(names: List[str]) -> List[str]:
    """Return the names, without those in folders of tests."""
    suites = tuple({found[1] for found in map(SUITE.fullmatch, names) if found})
    return [name for name in names if not name.startswith(suites)]


def installed(record: pathlib.Path) -> List[str]:
    """Return the Python files that a package brought, from the venv."""
    site = record.parent.parent.relative_to(VENV).as_posix()
    names = [f"{site}/{line.split(',')[0]}" for line in record.read_text("utf-8").splitlines()]
    return [name for name in without_suites(names) if name.endswith(".py") and (VENV / name).is_file()]


def chunks(names: List[str]) -> Iterator[List[str]]:
    """Yield a few files at a time."""
    return (names[start : start + 32] for start in range(0, len(names), 32))


def main(command: List[str]) -> int:
    """Run the command; return its exit code."""
    os.umask(0o022)
    CACHE.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(command)
    records: Set[pathlib.Path] = set()
    jobs: List["concurrent.futures.Future[Dict[str, Tuple[int, int]]]"] = []
    with concurrent.futures.ProcessPoolExecutor() as pool:
        while True:
            try:
                code = process.wait(timeout=0.2)
                break
            except subprocess.TimeoutExpired:
                for record in set(VENV.glob("lib/*/site-packages/*.dist-info/RECORD")) - records:
                    # Written when all else of the package is there.
                    if (record.parent / "INSTALLER").exists():
                        records.add(record)
                        jobs += [pool.submit(compile_files, some) for some in chunks(installed(record))]
        if code == 0:
            done: Dict[str, Tuple[int, int]] = {}
            for job in jobs:
                done.update(job.result())
            # Whatever was not there then, or is no longer what it was.
            left = []
            found = sorted(path.relative_to(VENV).as_posix() for path in VENV.glob("lib/**/*.py"))
            for name in without_suites(found):
                state = (VENV / name).stat()
                if done.get(name) != (state.st_mtime_ns, state.st_size):
                    left.append(name)
            for _ in pool.map(compile_files, chunks(left)):
                pass
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
