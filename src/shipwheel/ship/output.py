"""Image → layout folder or archive file. Outputs appear whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from shipwheel.errors import UsageError
from shipwheel.oci.model import Image, ImageIndex
from shipwheel.oci.reference import Reference

# The annotation specification's own, `org.opencontainers.image.ref.name`, is the tag alone.
_WHOLE_NAME: Final = "io.containerd.image.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where an image is written: a layout folder, or an archive file (`-`: standard output)."""

    kind: Literal["oci", "oci-archive", "docker-archive"]
    path: str

    @classmethod
    def parse(cls, text: str) -> Output:
        """Parse `FOLDER`, `oci:FOLDER`, `oci-archive:FILE` or `docker-archive:FILE`.

        Raises UsageError `bad-output`.
        """
        kind, colon, rest = text.partition(":")
        if not colon:
            kind, rest = "oci", text
        if kind not in ("oci", "oci-archive", "docker-archive") or not rest:
            raise UsageError(
                "bad-output",
                f"not an output: {text!r}",
                place="--output",
                hint="FOLDER, oci:FOLDER, oci-archive:FILE or docker-archive:FILE",
            )
        if kind == "oci" and rest == "-":
            raise UsageError("bad-output", "a folder cannot be written to standard output", place="--output")
        known: Literal["oci", "oci-archive", "docker-archive"]
        known = "oci" if kind == "oci" else "oci-archive" if kind == "oci-archive" else "docker-archive"
        return cls(kind=known, path=rest)


def write_output(image: Image | ImageIndex, output: Output, references: Sequence[Reference]) -> None:
    """Write `image` under all of `references` (with tags) to `output`."""
    names = [(reference.tag, _named(reference)) for reference in _one_a_tag(references)]
    if output.kind == "oci":
        from shipwheel.oci.layout import write_layout

        for tag, annotations in names:
            write_layout(Path(output.path), image, ref_name=tag, annotations=annotations)
        return
    from shipwheel.oci.archive import write_docker_archive, write_oci_archive

    destination = sys.stdout.buffer if output.path == "-" else Path(output.path)
    if output.kind == "oci-archive":
        (tag, annotations), *more = names
        more_names = [(str(other), notes) for other, notes in more]
        write_oci_archive(destination, image, ref_name=tag, annotations=annotations, more_names=more_names)
    else:
        write_docker_archive(destination, image, tags=references)


def _one_a_tag(references: Sequence[Reference]) -> list[Reference]:
    """An entry of a layout is found by its tag: of two names with one tag, the first is kept."""
    return list({reference.tag: reference for reference in reversed(references)}.values())[::-1]


def _named(reference: Reference) -> dict[str, str]:
    """Return the note by which containerd, `docker load` and `podman load` name an image whole."""
    return {_WHOLE_NAME: f"{reference.name}:{reference.tag}"}
