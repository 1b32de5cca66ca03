"""The same inputs give the same bytes, whatever the machine is like: image, archive and lock.

Without bytecode, which needs a base that runs: tests/e2e/test_reproducible.py has that.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from helpers.circumstances import Circumstance, build_under, stranger
from helpers.tools import require_tool
from shipwheel.testing.index import FakeIndex
from shipwheel.testing.wheels import make_wheel

from .conftest import Bench

WHEELS = [
    make_wheel(
        "cow", "6.1", {"cow/__init__.py": "def say():\n    return 'moo'\n"}, scripts={"cow": "cow:say"}
    ),
    make_wheel("heavy", "1.0", padding=3_000_000, requires=["light"]),
    make_wheel(
        "light",
        "2.0",
        {"light/__init__.py": "", "light/größe.txt": "2\n", "light/tool.sh": "#!/bin/sh\n"},
        data={"scripts/light-tool": "#!python\nprint()\n", "data/share/light/a": "a"},
        executable=["light/tool.sh"],
    ),
    *(make_wheel(f"small-{number}", "1.0") for number in range(6)),
]
NEEDS = ["cow", "heavy", *(f"small-{number}" for number in range(6))]
# One wheel alone: the others meet in buckets.
SETTINGS = "[tool.shipwheel.layers]\nalone = 1\n"
FILES = {
    "app/größe/__init__.py": "SIZE = 1\n",
    "app/data/run.sh": "#!/bin/sh\n",
    "app/data/empty": "",
    "app/z.py": "Z = 1\n",
    "app/a.py": "A = 1\n",
}

AS_EVER = Circumstance(name="as ever")
CIRCUMSTANCES = [
    AS_EVER,
    Circumstance(name="another folder", folder="ein Ordner/mit Größe & more: $HOME"),
    Circumstance(name="nobody else may read", umask=0o077),
    Circumstance(name="everybody may write", umask=0),
    Circumstance(name="another time zone", environ={"TZ": "Pacific/Kiritimati"}),
    Circumstance(name="another locale", environ={"LC_ALL": "C.UTF-8", "LANG": "tr_TR.UTF-8"}),
    Circumstance(
        name="a locale of ASCII alone",
        environ={"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ),
    Circumstance(name="another hash seed", environ={"PYTHONHASHSEED": "4242"}),
    Circumstance(name="Python without assertions and docstrings", environ={"PYTHONOPTIMIZE": "2"}),
    Circumstance(name="another folder for temporary files", environ={"TMPDIR": "{place}/home"}),
    Circumstance(name="files made in another order", reverse=True),
]


@dataclass(frozen=True, kw_only=True)
class Original:
    """A project, where its wheels come from, and the image that was built of it first."""

    project: Path
    environ: dict[str, str]
    built: dict[str, Any]
    archive: str
    lock: bytes

    def built_under(self, circumstance: Circumstance, folder: Path) -> Path:
        """Build it under a circumstance, which must show nowhere; return the copy that was built."""
        built, copy = build_under(circumstance, self.project, folder, *_WORDS, environ=self.environ)
        assert built == self.built
        assert _sha256(copy.parent / "image.tar") == self.archive
        return copy


_WORDS = ("--platform=linux/amd64,linux/arm64", "--output=oci-archive:image.tar")


@pytest.fixture(scope="module", params=["package", "source"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Original]:
    """A package with dependencies alone and in buckets; and one whose source is copied."""
    folder = tmp_path_factory.mktemp("original")
    with FakeIndex() as index:
        bench = Bench(folder=folder, index=index)
        project = bench.project(
            NEEDS,
            wheels=WHEELS,
            extra=SETTINGS,
            files=FILES,
            package_mode=request.param == "package",
            settings="" if request.param == "package" else 'entrypoint = ["python", "-m", "app"]\n',
        )
        (project / "app/data/run.sh").chmod(0o755)
        if request.param == "source":
            (project / "app/data/link").symlink_to("../a.py")
        environ = {"UV_DEFAULT_INDEX": index.url, "PIP_CONFIG_FILE": os.devnull}
        built, copy = build_under(AS_EVER, project, folder / "first", *_WORDS, environ=environ)
        yield Original(
            project=project,
            environ=environ,
            built=built,
            archive=_sha256(copy.parent / "image.tar"),
            lock=(copy / "shipwheel.lock").read_bytes(),
        )


@pytest.mark.parametrize("circumstance", CIRCUMSTANCES, ids=str)
def test_the_same_inputs_give_the_same_image_and_archive_and_lock(
    original: Original, tmp_path: Path, circumstance: Circumstance
) -> None:
    copy = original.built_under(circumstance, tmp_path)

    assert (copy / "shipwheel.lock").read_bytes() == original.lock


def test_another_filesystem_gives_the_same_image(original: Original) -> None:
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev:
        pytest.skip("there is no second filesystem to write to")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        original.built_under(AS_EVER, Path(folder))


def test_another_user_gets_the_same_image(original: Original, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    require_tool("setpriv")

    copy = original.built_under(stranger(), tmp_path)

    assert (copy.parent / "image.tar").stat().st_uid != 0


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
