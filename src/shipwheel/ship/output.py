"""Image → layout folder or archive file. Outputs appear whole or not at all."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shipwheel.errors import UsageError
from shipwheel.oci.model import Image, ImageIndex
from shipwheel.oci.reference import Reference


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


def write_output(image: Image | ImageIndex, output: Output, reference: Reference) -> None:
    """Write `image` under `reference` (with a tag) to `output`."""
    if output.kind == "oci":
        from shipwheel.oci.layout import write_layout

        write_layout(Path(output.path), image, ref_name=reference.tag)
        return
    from shipwheel.oci.archive import write_docker_archive, write_oci_archive

    destination = sys.stdout.buffer if output.path == "-" else Path(output.path)
    if output.kind == "oci-archive":
        write_oci_archive(destination, image, ref_name=reference.tag)
    else:
        write_docker_archive(destination, image, tags=[reference])
