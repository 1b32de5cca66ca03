"""Compile the venv ahead. What was compiled before, byte for byte, comes from the cache."""

import concurrent.futures
import hashlib
import importlib.util
import os
import pathlib
import py_compile
import sys

VENV, CACHE = map(pathlib.Path, sys.argv[1:])


def compile_file(path: pathlib.Path) -> None:
    """Put the bytecode of one file beside it."""
    target = pathlib.Path(importlib.util.cache_from_source(str(path)))
    key = hashlib.sha256(f"{sys.version}\0{path}\0".encode() + path.read_bytes()).hexdigest()
    kept = CACHE / key
    target.parent.mkdir(exist_ok=True)
    if kept.exists():
        target.write_bytes(kept.read_bytes())
        return
    # Unchecked: time stamps are set anew when an image is made reproducible, which would void the others.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    # Some packages ship files for other Pythons; a program that imports one hears of it then.
    if py_compile.compile(str(path), str(target), quiet=2, invalidation_mode=mode):
        half = CACHE / f"{key}.{os.getpid()}"
        half.write_bytes(target.read_bytes())
        half.replace(kept)


def main() -> None:
    """Compile every file, on all processors."""
    os.umask(0o022)
    sources = sorted(VENV.glob("lib/**/*.py"))
    with concurrent.futures.ProcessPoolExecutor() as pool:
        list(pool.map(compile_file, sources, chunksize=32))


if __name__ == "__main__":
    main()
