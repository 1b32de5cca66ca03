"""The same project and locks give the same digest on a real Debian base, with bytecode, by any Python and user."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from helpers.circumstances import Circumstance, build_under, other_python, stranger
from helpers.command import copy_example, uv
from helpers.tools import require_tool

# One worker for all: they compare with one image, and share its downloads.
pytestmark = [pytest.mark.network, pytest.mark.xdist_group("reproducible")]

ROOT = Path(__file__).parent.parent.parent
AS_EVER = Circumstance(name="as ever")
# The bytecode of the other platform is compiled by the interpreter of this one.
_WORDS = ("--platform=linux/amd64,linux/arm64", "--output=oci-archive:image.tar")
# What tells a machine how to reach the network; an index or a mirror changes no byte.
_NETWORK = ("PIP_", "UV_", "SSL_CERT_", "HTTP", "http", "NO_PROXY", "no_proxy", "SHIPWHEEL_DEBIAN_")


@dataclass(frozen=True, kw_only=True)
class Original:
    """An example with its shipwheel.lock, the image that was built of it first, and what was downloaded."""

    project: Path
    downloads: Path
    environ: dict[str, str]
    built: dict[str, Any]
    archive: str

    def built_under(self, circumstance: Circumstance, folder: Path) -> None:
        """Build it under a circumstance, with every layer made anew; it must show nowhere."""
        built, copy = build_under(
            circumstance,
            self.project,
            folder,
            *_WORDS,
            "--locked",
            environ=self.environ,
            files=self.downloads,
        )
        assert built == self.built
        assert _sha256(copy.parent / "image.tar") == self.archive


@pytest.fixture(scope="module", params=["hello"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Original:
    folder = tmp_path_factory.mktemp("original")
    environ = {name: value for name, value in os.environ.items() if name.startswith(_NETWORK)}
    example = copy_example(request.param, folder)
    built, copy = build_under(AS_EVER, example, folder, *_WORDS, environ=environ)
    return Original(
        project=copy,
        downloads=copy.parent / "cache" / "v1" / "files",
        environ=environ,
        built=built,
        archive=_sha256(copy.parent / "image.tar"),
    )


@pytest.fixture(scope="module")
def other_tool(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give a Python of another minor version with what shipwheel needs, and this checkout."""
    python = other_python()
    if python is None:
        # Not a failure even where all must run: bookworm's own archive has one Python alone.
        pytest.skip("there is no second CPython from 3.11 on")
    venv = tmp_path_factory.mktemp("other-tool") / "venv"
    uv("venv", "--quiet", "--no-project", "--python", python, venv)
    program = str(venv / "bin" / "python")
    requirements = ROOT / "requirements" / "runtime.txt"
    uv("pip", "install", "--quiet", "--python", program, "--require-hashes", "-r", requirements)
    [packages] = venv.glob("lib/python3.*/site-packages")
    (packages / "shipwheel.pth").write_text(f"{ROOT / 'src'}\n")
    return program


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on another filesystem where there is one: what it lists comes in another order."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def test_everything_that_a_machine_may_have_otherwise_shows_nowhere(
    original: Original, elsewhere: Path
) -> None:
    circumstance = Circumstance(
        name="all at once",
        folder="ein Ordner/mit Größe",
        umask=0o077,
        reverse=True,
        environ={
            "TZ": "Pacific/Kiritimati",
            "LC_ALL": "POSIX",
            "PYTHONCOERCECLOCALE": "0",
            "PYTHONUTF8": "0",
            "PYTHONHASHSEED": "4242",
            "PYTHONOPTIMIZE": "2",
            "TMPDIR": "{place}/home",
        },
        # How much stack a program has decides what deep sources compile to.
        prefix=(require_tool("prlimit"), "--stack=1048576"),
    )
    original.built_under(circumstance, elsewhere)


def test_another_user_builds_the_same_image(original: Original, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    require_tool("setpriv")
    original.built_under(stranger(), tmp_path)


def test_another_python_builds_the_same_image(original: Original, tmp_path: Path, other_tool: str) -> None:
    original.built_under(Circumstance(name=other_tool, python=other_tool), tmp_path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
