#!/usr/bin/env python3
"""Run a command that installs into the venv, and compile what it installed, beginning while it still runs.

What was compiled before, byte for byte, comes from the cache."""

import concurrent.futures
import gc
import hashlib
import importlib.util
import marshal
import os
import pathlib
import subprocess
import sys
import warnings
from typing import Dict, Iterator, List, Set, Tuple

VENV = pathlib.Path(os.environ["VIRTUAL_ENV"])
CACHE = pathlib.Path("/root/.cache/bytecode")
# PEP 552: by hash, and unchecked. Time stamps are set anew when an image is made reproducible, which would
# void the other kind.
UNCHECKED_HASH = (1).to_bytes(4, "little")


def compile_file(path: pathlib.Path) -> Tuple[int, int]:
    """Put the bytecode of one file beside it; return what shows whether the file changes afterwards."""
    status = path.stat()
    source = path.read_bytes()
    key = hashlib.sha256(f"{sys.version}\0{path}\0".encode() + source).hexdigest()
    try:
        compiled = (CACHE / key).read_bytes()
    except FileNotFoundError:
        try:
            code = compile(source, str(path), "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            # Some packages ship files for other Pythons; a program that imports one hears of it then.
            return status.st_mtime_ns, status.st_size
        checksum = importlib.util.source_hash(source)
        compiled = importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + checksum + marshal.dumps(code)
        half = CACHE / f"{key}.{os.getpid()}"
        half.write_bytes(compiled)
        half.replace(CACHE / key)
    target = pathlib.Path(importlib.util.cache_from_source(str(path)))
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(compiled)
    return status.st_mtime_ns, status.st_size


def compile_files(paths: List[pathlib.Path]) -> Dict[pathlib.Path, Tuple[int, int]]:
    """Compile several files in one process."""
    gc.disable()  # code has no cycles, and looking for them takes a tenth of the time
    warnings.simplefilter("ignore")
    return {path: compile_file(path) for path in paths}


def installed(record: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield the Python files that a package brought."""
    for line in record.read_text("utf-8").splitlines():
        path = record.parent.parent / line.split(",")[0]
        if path.suffix == ".py" and path.is_file():
            yield path


def chunks(paths: List[pathlib.Path]) -> Iterator[List[pathlib.Path]]:
    """Yield a few files at a time."""
    return (paths[start : start + 32] for start in range(0, len(paths), 32))


def main(command: List[str]) -> int:
    """Run the command; return its exit code."""
    os.umask(0o022)
    CACHE.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(command)
    records: Set[pathlib.Path] = set()
    jobs: List["concurrent.futures.Future[Dict[pathlib.Path, Tuple[int, int]]]"] = []
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
                        jobs += [pool.submit(compile_files, some) for some in chunks([*installed(record)])]
        if code == 0:
            done: Dict[pathlib.Path, Tuple[int, int]] = {}
            for job in jobs:
                done.update(job.result())
            # Whatever was not there then, or is no longer what it was.
            left = []
            for path in sorted(VENV.glob("lib/**/*.py")):
                status = path.stat()
                if done.get(path) != (status.st_mtime_ns, status.st_size):
                    left.append(path)
            for _ in pool.map(compile_files, chunks(left)):
                pass
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
