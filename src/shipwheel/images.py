"""Open an image wherever it is: a registry, an OCI layout, an archive, or an engine's store.

Returns what is there, unread: layers are opened (and, from a registry, fetched) by who needs them.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from shipwheel.errors import HostError, ImageError, NetworkError, UsageError
from shipwheel.oci.layout import LAYOUT_FILE
from shipwheel.oci.model import Platform
from shipwheel.oci.read import LoadedImage, LoadedIndex, platform_matches
from shipwheel.oci.reference import Reference
from shipwheel.plan.host import default_platform

if TYPE_CHECKING:
    from shipwheel.oci.registry.client import RegistryClient

Kind = Literal["registry", "oci", "archive", "docker", "podman", "engine"]
# skopeo's words for the same places, and `podman` for the one that nobody remembers. There is no short
# word for a registry or Docker: `registry:2` and `docker:27` are images.
_KINDS: Final[Mapping[str, Kind]] = {
    "docker": "registry",
    "oci": "oci",
    "oci-archive": "archive",
    "docker-archive": "archive",
    "docker-daemon": "docker",
    "podman": "podman",
    "containers-storage": "podman",
}
_HINT: Final = (
    "write NAME[:TAG] for a registry, FOLDER or oci:FOLDER:NAME, FILE or oci-archive:FILE:NAME, "
    "docker-daemon:NAME or podman:NAME"
)
_PROJECT: Final = (
    "`shipwheel plan` shows the image that it will be, `shipwheel diff IMAGE FOLDER` compares one with it, "
    "and `shipwheel build --output` makes it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an image is: `name` is a reference or a path, `select` one image of a layout or archive.

    "engine" is whichever of Docker and Podman has it. `guess` is what was written where nothing in it
    says that a registry is meant: a folder that is not there looks the same.
    """

    kind: Kind
    name: str
    select: str | None = None
    guess: str | None = field(default=None, compare=False)

    @classmethod
    def parse(cls, text: str) -> Place:
        """Parse what people write; without a prefix a path that is there is meant, else a name.

        A name of no registry (`localhost/…`, as engines call what was made on this machine) is looked
        for in the engines. Raises UsageError `bad-image`, `bad-reference`.
        """
        prefix, colon, rest = text.partition(":")
        kind = _KINDS.get(prefix) if colon else None
        if kind in ("oci", "archive"):
            return _in_file(kind, rest)
        if kind == "registry" and rest.startswith("//"):  # docker:27 is an image
            return cls(kind=kind, name=str(Reference.parse(rest.removeprefix("//"))))
        if kind is not None and kind != "registry":
            return cls(kind=kind, name=rest)
        return _plain(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opener:
    """What opening needs of the machine: a client for registries, made when asked for, and variables."""

    registry: Callable[[], RegistryClient]
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedImage:
    """An image or index, and where it is from. It can be read while `open_image`'s block runs."""

    place: Place
    value: LoadedImage | LoadedIndex

    @property
    def real_blobs(self) -> bool:
        """Whether the layers have the digests that they have in a registry.

        An engine gives its layers out unpacked: only their diff_ids tell them apart.
        """
        return self.place.kind in ("registry", "oci") or all(
            layer.descriptor.digest != layer.diff_id for image in self.images for layer in image.layers
        )

    @property
    def images(self) -> Sequence[LoadedImage]:
        """The images, one a platform."""
        return self.value.images if isinstance(self.value, LoadedIndex) else (self.value,)

    def image_for(self, platform: Platform | None, *, default: Platform) -> LoadedImage:
        """Return the only image, or the one for `platform` (of several, None means `default`).

        Raises ImageError `no-such-platform`.
        """
        wanted = platform or (default if len(self.images) != 1 else None)
        for image in self.images:
            if wanted is None or platform_matches(image.platform, wanted):
                return image
        raise ImageError(
            "no-such-platform",
            f"the image has no {wanted}",
            place=self.place.name,
            hint=f"it has: {', '.join(sorted(str(image.platform) for image in self.images)) or 'none'}",
        )


@contextlib.contextmanager
def open_image(text: str | Place, opener: Opener) -> Iterator[OpenedImage]:
    """Yield the image that `text` names; what was copied for it is removed after the block.

    Raises UsageError as `Place.parse`; NetworkError, ImageError and IntegrityError as the readers of
    registries, layouts and archives; HostError `no-engine`, `engine-failed`.
    """
    place = Place.parse(text) if isinstance(text, str) else text
    match place.kind:
        case "registry":
            from shipwheel.oci.registry import pull_image

            with _explained(place):
                value = pull_image(opener.registry(), Reference.parse(place.name))
            yield OpenedImage(place=place, value=value)
        case "oci":
            from shipwheel.oci.layout import read_layout

            yield OpenedImage(place=place, value=read_layout(Path(place.name), place.select))
        case "archive":
            from shipwheel.oci.archive_read import read_archive

            yield OpenedImage(place=place, value=read_archive(Path(place.name), place.select))
        case _:
            from shipwheel.oci.archive_read import read_archive

            with tempfile.TemporaryDirectory(prefix="shipwheel-") as folder:
                archive = Path(folder) / "image.tar"
                _save(place, archive, opener.environ)
                try:
                    value = read_archive(archive)
                except ImageError as error:
                    if error.code != "absent-blob":
                        raise
                    # containerd's store names every platform of an image, and has the one that was pulled.
                    value = read_archive(archive, platform=default_platform())
                yield OpenedImage(place=place, value=value)


def _in_file(kind: Kind, rest: str) -> Place:
    # A path may hold colons, and so may a name: the shortest path that is there is meant.
    parts = rest.split(":")
    for count in range(1, len(parts) + 1):
        path, select = ":".join(parts[:count]), ":".join(parts[count:])
        if path and Path(path).exists():
            return Place(kind=kind, name=path, select=select or None)
    raise UsageError("bad-image", "there is no such file or folder", place=rest, hint=_HINT)


def _plain(text: str) -> Place:
    path = Path(text)
    if (path / LAYOUT_FILE).exists():
        return Place(kind="oci", name=text)
    if path.is_dir():
        project = (path / "pyproject.toml").is_file()
        hint = _PROJECT if project else _HINT
        what = "a project, and no image" if project else "no OCI layout"
        raise UsageError("bad-image", f"the folder is {what}", place=text, hint=hint)
    if path.exists():
        return Place(kind="archive", name=text)
    if text.startswith(("/", ".")):
        raise UsageError("bad-image", "there is no such file or folder", place=text, hint=_HINT)
    reference = Reference.parse(text)
    if reference.registry != "localhost":
        # As references are told apart: a first part without dot and colon is no registry.
        first, slash, _ = text.partition("/")
        named = bool(slash) and ("." in first or ":" in first)
        return Place(kind="registry", name=str(reference), guess=None if named else text)
    if reference.digest is not None:
        raise UsageError(
            "bad-image",
            "the name has no registry, and engines do not know digests of what they were given",
            place=text,
            hint="leave out the digest",
        )
    return Place(kind="engine", name=str(reference))


@contextlib.contextmanager
def _explained(place: Place) -> Iterator[None]:
    """Say how a name was read that may have been meant otherwise, where it led to no image."""
    try:
        yield
    except NetworkError as error:
        if place.guess is None:
            raise
        [first, *more] = error.problems
        read = f"no file or folder is called {place.guess}, so that {place.name} was asked for"
        hint = read if first.hint is None else f"{read}; {first.hint}"
        raise NetworkError.of([replace(first, hint=hint), *more]) from error


def _save(place: Place, archive: Path, environ: Mapping[str, str]) -> None:
    """Let an engine write the image to `archive`; raises HostError `no-engine`, `engine-failed`."""
    engines = ("docker", "podman") if place.kind == "engine" else (place.kind,)
    reasons = []
    for engine in engines:
        program = shutil.which(engine, path=environ.get("PATH"))
        if program is None:
            reasons.append(f"{engine} is not installed")
            continue
        words = ["save", "--output", str(archive)]
        if engine == "podman":
            words += ["--quiet", "--format", "docker-archive"]
        done = subprocess.run(
            [program, *words, place.name],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode == 0:
            return
        said = done.stderr.strip().splitlines()
        reasons.append(f"{engine}: {said[-1] if said else f'it ended with {done.returncode}'}")
    raise HostError(
        "engine-failed",
        "no engine gives the image: " + "; ".join(reasons),
        place=place.name,
        hint="is the name right, and the engine running? For an image in a folder or a file: " + _HINT,
    )
