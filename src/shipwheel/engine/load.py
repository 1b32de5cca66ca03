"""Give an image to Docker or Podman under its names, sending only what the engine has not.

The engine pulls from a registry of one image on loopback (`oci.registry.serve`). One that cannot
reach this machine's loopback (a daemon in a virtual machine or far away) gets an archive instead.
docs/decisions has the measurements.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final, Literal, cast

from shipwheel.assemble.workshop import Workshop
from shipwheel.engine.engine import reason_in
from shipwheel.errors import HostError, UsageError
from shipwheel.oci.archive import write_docker_archive
from shipwheel.oci.model import Digest
from shipwheel.oci.read import AnyImage, LoadedImage
from shipwheel.oci.reference import Reference

EngineName = Literal["docker", "podman", "auto"]
ENGINES: Final = ("docker", "podman")
_BY_NAME: Final[Mapping[str, EngineName]] = {"docker": "docker", "podman": "podman", "auto": "auto"}
Way = Literal["present", "pulled", "archive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What loading did: into which engine, how, and the bytes that were sent."""

    engine: str
    way: Way
    sent: int
    names: Sequence[str]


def load_image(image: AnyImage, names: Sequence[Reference], engine: EngineName, workshop: Workshop) -> Loaded:
    """Give `image` to the engine, under `names`.

    `auto` is Docker where its daemon answers, else Podman. Raises HostError `no-engine`,
    `engine-failed`.
    """
    client = _find(engine, workshop.environ)
    tags = [
        str(Reference(registry=name.registry, repository=name.repository, tag=name.tag)) for name in names
    ]
    key = f"load {client.name}"
    workshop.progress.started(key, f"into {client.name}")
    way, sent = client.bring(image, tags)
    workshop.progress.finished(
        key, f"into {client.name}", note="present" if way == "present" else "loaded", size=sent
    )
    return Loaded(engine=client.name, way=way, sent=sent, names=tuple(tags))


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStore:
    """An engine's store of images, reached by its command-line client."""

    name: str
    program: str
    environ: Mapping[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the client and return how it ended."""
        return subprocess.run(
            [self.program, *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=dict(self.environ),
        )

    def bring(self, image: AnyImage, tags: Sequence[str]) -> tuple[Way, int]:
        """Make `tags` name `image`; return how, and the bytes sent."""
        if all(self.has(image, tag) for tag in tags):
            return "present", 0
        sent = self.pull(image, tags)
        if sent is not None:
            return "pulled", sent
        return "archive", self.send_archive(image, tags)

    def has(self, image: AnyImage, tag: str) -> bool:
        """Tell whether `tag` names the image: an engine's id is the config's digest, or the manifest's."""
        told = self.run("image", "inspect", "--format", "{{.Id}}", tag)
        known = {image.digest.hex, _config_digest(image).hex}
        return told.returncode == 0 and told.stdout.strip().removeprefix("sha256:") in known

    def pull(self, image: AnyImage, tags: Sequence[str]) -> int | None:
        """Have the engine pull; return the bytes sent, None where it cannot reach us."""
        from shipwheel.oci.registry.serve import serve_image

        # What is built for another machine is wanted as it is.
        words = ["pull", "--quiet", "--platform", str(image.platform)]
        if self.name == "podman":
            words += ["--tls-verify=false"]
        with serve_image(image) as served:
            reference = str(served.reference)
            if self.run(*words, reference).returncode != 0:
                return None
        for tag in tags:
            tagged = self.run("tag", reference, tag)
            if tagged.returncode != 0:
                raise self._failed(f"cannot name the image {tag}", tagged.stderr)
        # The name it was served under: the image stays, by its other names.
        self.run("rmi", "--no-prune", reference) if self.name == "docker" else self.run(
            "untag", reference, reference
        )
        return served.sent_bytes

    def send_archive(self, image: AnyImage, tags: Sequence[str]) -> int:
        """Send all of the image; return the bytes. Raises HostError `engine-failed`."""
        counted = 0
        with tempfile.TemporaryFile() as output:
            loading = subprocess.Popen(
                [self.program, "load"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=dict(self.environ),
            )
            with loading:
                try:
                    # A client that gives up early closes its end; its message says why.
                    with contextlib.suppress(BrokenPipeError):
                        pipe = cast(BinaryIO, loading.stdin)
                        write_docker_archive(pipe, image, tags=[Reference.parse(tag) for tag in tags])
                        pipe.flush()
                        counted = sum(layer.descriptor.size for layer in image.layers)
                except BaseException:
                    loading.kill()
                    raise
                with contextlib.suppress(BrokenPipeError):
                    cast(BinaryIO, loading.stdin).close()
                loading.stdin = None
            if loading.returncode != 0:
                output.seek(0)
                raise self._failed("cannot load the image", output.read().decode(errors="replace"))
        return counted

    def _failed(self, what: str, message: str) -> HostError:
        return HostError(
            "engine-failed",
            f"{self.name}: {what}: {reason_in(message)}",
            hint="--output docker-archive:FILE writes what `docker load` and `podman load` take",
        )


def _config_digest(image: AnyImage) -> Digest:
    if isinstance(image, LoadedImage):
        return image.config_descriptor.digest
    return image.config_blob().digest


def _find(engine: EngineName, environ: Mapping[str, str]) -> EngineStore:
    reasons = []
    for name in ENGINES if engine == "auto" else (engine,):
        program = shutil.which(name, path=environ.get("PATH"))
        if program is None:
            reasons.append(f"{name} is not installed")
            continue
        client = EngineStore(name=name, program=program, environ=environ)
        # A daemon has to answer; Podman has none.
        answered = client.run("version" if name == "docker" else "--version")
        if answered.returncode == 0:
            return client
        lines = answered.stderr.strip().splitlines()
        reasons.append(f"{name}: {lines[-1] if lines else 'it does not answer'}")
    raise HostError(
        "no-engine",
        "; ".join(reasons),
        hint="--output docker-archive:FILE writes a file that another machine can load",
    )


def parse_engine(text: str) -> EngineName:
    """Return the engine that `text` names; raises UsageError `unknown-engine`."""
    if text in _BY_NAME:
        return _BY_NAME[text]
    raise UsageError("unknown-engine", f"no engine {text!r}", place="--load", hint="docker or podman")
