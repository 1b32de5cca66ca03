"""Copy a project that is no package, readable by all and writable by root alone, without what only builds it."""

import fnmatch
import os
import pathlib
import shutil
import sys
from typing import List

LEFT_OUT = (
    "shipwheel.lock", "poetry.lock", "uv.lock", "pdm.lock", "Pipfile*", "pylock*.toml", "requirements*.txt",
    "pyproject.toml", "poetry.toml", "Dockerfile*", "Containerfile*", "compose*.y*ml", "docker-compose*.y*ml",
    "docker-bake.hcl", "Makefile", ".git*", ".dockerignore", ".pre-commit-config.yaml",
)  # fmt: skip


def main(source: str, target: str) -> None:
    """Copy the folder `source` to `target`."""
    root = pathlib.Path(source)

    def unwanted(folder: str, names: List[str]) -> List[str]:
        top = pathlib.Path(folder) == root
        return [name for name in names if top and any(fnmatch.fnmatch(name, one) for one in LEFT_OUT)]

    shutil.copytree(root, target, ignore=unwanted, symlinks=True, dirs_exist_ok=True)
    for folder, _, names in os.walk(target):
        pathlib.Path(folder).chmod(0o755)
        for name in names:
            path = pathlib.Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o111 else 0o644)


main(*sys.argv[1:])
