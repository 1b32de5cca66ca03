"""The pipeline's bench, with a real registry to push to and machines that know nothing."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from functional.pipeline.conftest import Bench, bench
from shipwheel.cache import Cache
from shipwheel.net import Http
from shipwheel.oci.model import Platform
from shipwheel.oci.read import LoadedImage
from shipwheel.oci.reference import Reference
from shipwheel.oci.registry import RegistryClient, Repository, list_tags, pull_image, pull_platform
from shipwheel.oci.validate import validate_image
from shipwheel.testing.wheels import make_wheel

__all__ = ["bench", "yard"]  # fixtures

COW = make_wheel("cow", "1.0", {"cow.py": "def say():\n    return 'moo'\n"})
HEN = make_wheel("hen", "1.0", {"hen.py": "EGGS = 1\n"})
HEN_2 = make_wheel("hen", "2.0", {"hen.py": "EGGS = 2\n"})


@dataclass
class Yard:
    """A bench and a registry: `name` is the repository of this test, as `127.0.0.1:PORT/…`."""

    bench: Bench
    registry: str
    repository: str
    client: RegistryClient
    _machines: Iterator[int] = field(default_factory=itertools.count)

    @property
    def name(self) -> str:
        return f"{self.registry}/{self.repository}"

    def machine(self) -> dict[str, str]:
        """Return the environment of a machine that has never built anything."""
        folder = self.bench.folder / f"machine-{next(self._machines)}"
        return {"SHIPWHEEL_CACHE_DIR": str(folder / "cache"), "UV_CACHE_DIR": str(folder / "uv")}

    def push(
        self, project: Path, *words: str, tag: str = "1.0.0", environ: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Push and return what `--json` says; `pushed` has one report."""
        done = self.bench.run(
            "push", "--json", "--tag", f"{self.name}:{tag}", project, *words, environ=environ
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def tags(self) -> tuple[str, ...]:
        return list_tags(self.client, Repository(registry=self.registry, name=self.repository))

    def image(self, tag: str = "1.0.0", *, platform: str | None = None) -> LoadedImage:
        """Pull an image, which has to be valid."""
        reference = Reference.parse(f"{self.name}:{tag}")
        if platform is not None:
            found = pull_platform(self.client, reference, Platform.parse(platform))
        else:
            pulled = pull_image(self.client, reference)
            assert isinstance(pulled, LoadedImage)
            found = pulled
        assert validate_image(found) == []
        return found

    def origins(self, answer: dict[str, Any], *, platform: int = 0) -> dict[str, str]:
        """Return where each layer came from, by its name."""
        return {layer["name"]: layer["origin"] for layer in answer["platforms"][platform]["layers"]}


def edit(project: Path, text: str = "# edited\n") -> None:
    """Add a line to the project's code."""
    source = project / "app" / "__init__.py"
    source.write_text(source.read_text() + text)


@pytest.fixture
def yard(bench: Bench, registry: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Yard]:
    """Give a bench with a repository of this test's own in the session's registry."""
    # Two tests' long names may begin alike.
    repository = f"ship/{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]}"
    with Http({}) as http:
        client = RegistryClient.from_environ({}, http, Cache(tmp_path / "reader"))
        yield Yard(bench=bench, registry=registry, repository=repository, client=client)
