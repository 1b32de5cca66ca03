"""Projects whose Dockerfile a real engine builds: on the stand-in base from a real registry, by digest.

Packages of the projects come from a loopback index behind a login; tools come from this machine's index.
"""

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pypi_simple import PYPI_SIMPLE_ENDPOINT

from helpers.command import shipwheel
from helpers.docker import DockerEngine
from shipwheel.lockfile import FILE
from shipwheel.testing.index import FakeIndex
from shipwheel.testing.projects import poetry_project
from shipwheel.testing.wheels import make_wheel

# For indexes without the JSON interface that Poetry asks, as a company's mirror is.
MIRROR = {"POETRY_PYPI_MIRROR_URL": PYPI_SIMPLE_ENDPOINT}
PLUGIN = '[tool.shipwheel.dockerfile]\nplugins = ["poetry-plugin-pypi-mirror"]\n'
USER, PASSWORD = "reader", "s3cret-of-the-index"
# Prints what an image is like from the inside, as JSON.
PROBE = """
import json, os, pathlib, shutil, sys
def kind(path):
    return pathlib.Path(path).read_bytes()[4:8].hex()
def writable():
    top = pathlib.Path(os.environ.get("VIRTUAL_ENV", "/app/.venv")).parent
    return [str(p) for p in top.rglob("*") if not p.is_symlink() and os.access(p, os.W_OK)]
try:
    import pip
    has_pip = True
except ImportError:
    has_pip = False
home = pathlib.Path.home() / "x"
home.write_text("works")
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(), "pip": has_pip, "home": str(home), "writable": writable(),
    "bytecode": sorted({kind(p) for p in pathlib.Path(sys.prefix).rglob("*.pyc")}),
    "uncompiled": [str(p) for p in pathlib.Path(sys.prefix).rglob("*.py") if not list(p.parent.glob(f"__pycache__/{p.stem}.*")) and "tests" not in p.parts],
    "programs": [n for n in ("pip", "pip3", "poetry", "pipx", "uv", "gcc", "git", "sudo") if shutil.which(n)],
    "app": sorted(str(p) for p in pathlib.Path("/app").iterdir()),
    "found": sorted(str(p) for n in ("*.lock", "pyproject.toml", "Dockerfile", ".env", ".git") for p in pathlib.Path("/app").rglob(n)),
    "shell": [line for line in open("/etc/passwd").read().splitlines() if line.startswith("nonroot:")],
}))
"""


@dataclass
class Road:
    """Runs shipwheel and the engine on projects below `folder`."""

    folder: Path
    engine: DockerEngine
    base: str
    index: FakeIndex
    environ: dict[str, str] = field(default_factory=dict)
    # The company's, among those that builds are given to trust.
    certificate: str = ""
    # Part of every name that the engine gets from here: other test runs may use the same engine.
    token: str = field(default_factory=lambda: secrets.token_hex(3))

    def project(self, where: str, *, settings: str = "", also: Sequence[str] = (), **more: Any) -> Path:
        """Write a Poetry project that needs `parts` and what is in `also`, with `checks` in its dev group.

        Its name is `where` and our token: images and compose projects of two tests are two.
        """
        wheels = [
            self.index.add(make_wheel("parts", "1.0", {"parts/__init__.py": "COUNT = 41\n"})),
            self.index.add(make_wheel("checks", "1.0", {"checks/__init__.py": ""})),
            *(self.index.add(make_wheel(name, "1.0", {f"{name}/__init__.py": ""})) for name in also),
        ]
        program = (
            "import os, signal, sys, time\nimport parts\n\n\ndef main():\n"
            "    print(parts.COUNT + 1, os.getpid(), flush=True)\n"
            "    if sys.argv[1:] == ['wait']:\n"
            "        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n        time.sleep(60)\n"
        )
        files = {
            "app/__init__.py": program,
            "tests/test_app.py": (
                "import unittest\nimport checks\nimport app\n\n\nclass TestApp(unittest.TestCase):\n"
                "    def test_count(self) -> None:\n        self.assertEqual(app.parts.COUNT, 41)\n"
            ),
            "tests/__init__.py": "",
            ".env": "TOKEN=never-in-an-image\n",
            ".git/HEAD": "ref: refs/heads/main\n",
        }
        base = f'[tool.shipwheel.base]\nimage = "{self.base}"\n'
        root = poetry_project(
            self.folder / where,
            ["parts>=1", *also],
            name=f"{where}-{self.token}",
            module="app",
            wheels=wheels,
            groups={"dev": ["checks>=1"]},
            index=self.index.url,
            files={**files, **more.pop("files", {})},
            extra=f"{settings}\n{base}",
            **({"scripts": {"app": "app:main"}} | more),
        )
        # Looking the tools up takes long, and they are the same for all.
        if self._pins.exists():
            shutil.copyfile(self._pins, root / FILE)
        return root

    def as_secrets(self, login: Mapping[str, str]) -> dict[str, str]:
        """Return the variables of compose.yaml and docker-bake.hcl that name the files to give as secrets."""
        path = self.folder / "login.env"
        path.write_text("".join(f"{name}={value}\n" for name, value in sorted(login.items())))
        bundle = {**os.environ, **self.environ}.get("SSL_CERT_FILE", os.devnull)
        return {"INDEX_LOGIN": str(path), "CA_BUNDLE": bundle}

    @property
    def _pins(self) -> Path:
        return self.folder / FILE

    def run(
        self, *words: str | Path, folder: Path | None = None, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run shipwheel with the engine in reach and the index's login."""
        done = shipwheel(
            *words, folder=folder, environ={**self.engine.environ, **self.environ, **(environ or {})}
        )
        for word in words:
            if isinstance(word, Path) and word.parent == self.folder and (word / FILE).exists():
                shutil.copyfile(word / FILE, self._pins)
        return done

    def init(self, project: Path, *words: str) -> None:
        """Write the files; it has to work."""
        done = self.run("init", "--quiet", *words, project)
        assert done.returncode == 0, done.stderr

    def build(self, project: Path, *words: str, target: str = "app") -> tuple[str, str]:
        """Build with `shipwheel build --engine docker`; return the image's name and what the engine said."""
        done = self.run(
            "build",
            "--quiet",
            "--engine",
            "docker",
            "--target",
            target,
            project,
            *words,
            "--",
            "--network=host",
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout.strip(), done.stderr

    def clean(self) -> None:
        """Remove every image that has our token in its name."""
        images = self.engine.docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split()
        ours = [image for image in images if self.token in image]
        if ours:
            self.engine.docker("image", "rm", "--force", *ours)

    def layers(self, image: str) -> list[str]:
        """Return the digests of the image's layers, bottom-up."""
        found: list[str] = json.loads(
            self.engine.docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image)
        )
        return found

    def inside(self, image: str, *words: str, options: Sequence[str] = (), entrypoint: str = "python") -> str:
        """Run a program in the image and return its stdout."""
        return self.engine.docker(
            "run", "--rm", "--network=host", *options, "--entrypoint", entrypoint, image, *words
        )
