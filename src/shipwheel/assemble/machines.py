"""No image with programs for another machine: each layer's processors are compared with the platform's.

`oci.layer` looks at every file it writes and puts the processors on the layer's descriptor, so a layer
is opened here only to name the files of one that does not fit.
"""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Collection, Mapping
from typing import Final

from packaging.utils import canonicalize_name

from shipwheel.cache import Cache
from shipwheel.errors import Problem, TargetError
from shipwheel.oci.layer import MACHINES
from shipwheel.oci.machine import HEAD, foreign_programs, machine_of
from shipwheel.oci.model import Layer, Platform

_RECORD_LIMIT: Final = 64 << 20
_SHOWN: Final = 5


def check_machines(
    layer: Layer, platform: Platform, *, name: str, allowed: Collection[str], cache: Cache
) -> None:
    """Raise TargetError `foreign-binary` when `layer` holds a program or library for another processor.

    `name` is whose files they are where no package's RECORD lists them; those of the packages `allowed`
    (normalized names) are let through, and those that have a twin for this processor.
    """
    told = layer.descriptor.annotations.get(MACHINES, "")
    if not set(told.split(",")) - {"", platform.architecture}:
        return
    problems = []
    binaries = _binaries(layer, name, cache)
    machines = {path: machine for path, (_, machine) in binaries.items()}
    foreign = [
        (path, binaries[path][0], machine)
        for path, machine in foreign_programs(
            machines, platform.architecture, lambda path: binaries[path][0]
        ).items()
        if canonicalize_name(binaries[path][0]) not in allowed
    ]
    for path, owner, machine in foreign[:_SHOWN]:
        problems.append(
            Problem(
                code="foreign-binary",
                message=f"{owner} brings a program for {machine} into an image for {platform.architecture}",
                place=f"{owner}: {path}",
                hint="lock a wheel for this platform; if the program is never run there, "
                f'[tool.shipwheel] foreign-binaries = ["{owner}"] lets it through',
            )
        )
    if len(foreign) > _SHOWN:
        problems.append(
            Problem(code="foreign-binary", message=f"and {len(foreign) - _SHOWN} files more", place=name)
        )
    if problems:
        raise TargetError.of(problems)


def _binaries(layer: Layer, name: str, cache: Cache) -> Mapping[str, tuple[str, str]]:
    """Return each ELF file's owner and machine by its path, sorted."""
    key = f"binaries/1 {layer.descriptor.digest} {name}"
    kept = cache.record(key)
    if kept is None:
        kept = {path: list(found) for path, found in _read_binaries(layer, name).items()}
        cache.add_record(key, kept)
    return {path: (owner, machine) for path, (owner, machine) in sorted(kept.items())}


def _read_binaries(layer: Layer, name: str) -> dict[str, tuple[str, str]]:
    from shipwheel.oci.layer_read import open_layer, read_entries

    machines: dict[str, str] = {}
    owners: dict[str, str] = {}
    with open_layer(layer) as stream:
        for info in read_entries(stream):
            if not info.isreg():
                continue
            if info.name.endswith(".dist-info/RECORD") and info.size <= _RECORD_LIMIT:
                owners |= _recorded(info.name, b"".join(stream.chunks(info.size)))
                continue
            machine = machine_of(b"".join(stream.chunks(min(HEAD, info.size))))
            if machine is not None:
                machines[info.name] = machine
    return {path: (owners.get(path, name), machine) for path, machine in machines.items()}


def _recorded(path: str, content: bytes) -> dict[str, str]:
    """Return the owner of each path in a RECORD (PyPA, "Recording installed projects")."""
    info = posixpath.dirname(path)
    owner = posixpath.basename(info).partition("-")[0]
    rows = csv.reader(content.decode("utf-8", "surrogateescape").splitlines())
    return {posixpath.normpath(posixpath.join(posixpath.dirname(info), row[0])): owner for row in rows if row}
