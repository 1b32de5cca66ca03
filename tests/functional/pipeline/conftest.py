"""A loopback index, and projects on a small local base: the whole pipeline without any network."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from helpers.command import shipwheel
from helpers.tiny_base import SETTINGS, add_base
from shipwheel.oci.layer_read import open_layer, read_entries
from shipwheel.oci.layout import read_layout
from shipwheel.oci.model import Platform
from shipwheel.oci.read import LoadedImage
from shipwheel.oci.validate import validate_layout
from shipwheel.testing.index import FakeIndex
from shipwheel.testing.projects import poetry_project
from shipwheel.testing.wheels import MadeWheel


@dataclass
class Bench:
    """Makes projects below `folder` and runs shipwheel on them, with the loopback index as the default."""

    folder: Path
    index: FakeIndex
    environ: dict[str, str] = field(default_factory=dict)

    def project(
        self,
        dependencies: Sequence[str] = (),
        *,
        wheels: Sequence[MadeWheel] = (),
        where: str = "project",
        settings: str = "",
        base: bool = True,
        **more: Any,
    ) -> Path:
        """Write a Poetry project whose wheels the index serves."""
        for wheel in wheels:
            self.index.add(wheel)
        text = (
            SETTINGS.replace("[tool.shipwheel]\n", f"[tool.shipwheel]\n{settings}", 1) if base else settings
        )
        root = poetry_project(
            self.folder / where, dependencies, wheels=wheels, extra=f"{more.pop('extra', '')}\n{text}", **more
        )
        if base:
            add_base(root)
        return root

    def run(
        self, *words: str | Path, environ: Mapping[str, str] | None = None, folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the program."""
        return shipwheel(*words, environ={**self.environ, **(environ or {})}, folder=folder)

    def build(self, project: Path, *words: str, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Build, and return what `--json` says."""
        done = self.run("build", "--json", "--quiet", project, *words, environ=environ)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def image(self, project: Path, *words: str, platform: str = "linux/amd64") -> LoadedImage:
        """Build into a layout that has to be valid, and return the image for `platform`."""
        layout = self.folder / "layout"
        self.build(project, "--output", str(layout), *words)
        assert validate_layout(layout) == []
        found = read_layout(layout, platform=Platform.parse(platform))
        assert isinstance(found, LoadedImage)
        return found

    def fails(
        self, *words: str | Path, code: str, exit_code: int, environ: Mapping[str, str] | None = None
    ) -> str:
        """Run what has to fail in this way; return the message."""
        done = self.run(*words, environ=environ)
        assert f"error[{code}]" in done.stderr, done.stderr
        assert done.returncode == exit_code, done.stderr
        assert done.stdout == ""
        assert "shipwheel/cli/main.py" not in done.stderr
        return done.stderr


def tree(folder: Path, name: str, version: str = "1.0", code: str = "VALUE = 1\n", **more: str) -> Path:
    """Write a project that builds without any requirement into `folder`."""
    files = {f"{name}/__init__.py": code, **more}
    return poetry_project(folder, name=name, version=version, scripts={}, files=files, lock=False)


def files_of(image: LoadedImage, *, layers: slice = slice(1, None)) -> dict[str, str]:
    """Return type and mode of every path in the image's layers above the base."""
    found: dict[str, str] = {}
    for layer in image.layers[layers]:
        with open_layer(layer) as stream:
            for info in read_entries(stream):
                kind = "d" if info.isdir() else "l" if info.issym() else "f"
                found[info.name.rstrip("/")] = f"{kind} {info.mode:o} {info.uid}:{info.gid}"
    return found


def content_of(image: LoadedImage, path: str) -> bytes:
    """Return the content of the file at `path`."""
    from shipwheel.oci.tree import find_files

    return find_files(image.layers, [path])[path]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Give a bench with a cache of its own and no other index than its own."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_", "POETRY_")):
            monkeypatch.delenv(name)
    empty = tmp_path / "home"
    empty.mkdir()
    with FakeIndex() as index:
        yield Bench(
            folder=tmp_path,
            index=index,
            environ={
                "SHIPWHEEL_CACHE_DIR": str(tmp_path / "cache"),
                "HOME": str(empty),
                "XDG_CONFIG_HOME": str(empty),
                "PIP_CONFIG_FILE": os.devnull,
                "UV_DEFAULT_INDEX": index.url,
            },
        )
