"""Write and read OCI image layouts (image-spec image-layout.md): folders of blobs with an index.json.

A layout is shared: several names, also other programs' ones, live in it. Writing adds or replaces
one name and leaves the rest alone; nothing that is no longer named is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from shipwheel.errors import HostError, ImageError, UsageError
from shipwheel.oci.files import MAX_MANIFEST, BlobSource, copy_blob, host_errors, new_file
from shipwheel.oci.model import INDEX, Descriptor, FileBlob, Platform, canonical_json
from shipwheel.oci.read import (
    AnyImage,
    AnyIndex,
    LoadedImage,
    LoadedIndex,
    all_blobs,
    parse_json_object,
    read_image,
    read_platform,
)
from shipwheel.staged import beside

LAYOUT_FILE: Final = "oci-layout"
INDEX_FILE: Final = "index.json"
LAYOUT_JSON: Final = b'{"imageLayoutVersion":"1.0.0"}'
REF_NAME: Final = "org.opencontainers.image.ref.name"
# annotations.md: the grammar of REF_NAME.
_REF_NAME: Final = re.compile(
    r"[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*(?:/[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*)*"
)
# A blob of this size that is there already is hashed before it is trusted; of a larger one, only the
# size is compared: hashing 150 MB again would be most of a rebuild that changes nothing.
_HASH_UP_TO: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class LayoutSource:
    """The blobs of the layout in `path`."""

    path: Path

    def open(self, descriptor: Descriptor) -> FileBlob:
        """Return the blob; raises ImageError `absent-blob`, `wrong-size`. Its digest is checked when read."""
        digest = descriptor.digest
        path = self.path / "blobs" / digest.algorithm / digest.hex
        try:
            status = path.stat()
        except OSError as error:
            raise ImageError(
                "absent-blob",
                f"the layout has no blob {digest}",
                place=str(path),
                hint="copy the image again",
            ) from error
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise ImageError("absent-blob", "a blob is no regular file", place=str(path))
        if status.st_size != descriptor.size:
            raise ImageError(
                "wrong-size",
                f"a blob has {status.st_size} bytes, not {descriptor.size}",
                place=str(path),
                hint="the layout is damaged or was copied in part: copy the image again",
            )
        return FileBlob(path, digest, descriptor.size)


def write_layout(
    path: Path,
    value: AnyImage | AnyIndex,
    *,
    ref_name: str | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Descriptor:
    """Write `value` to the layout in `path` under `ref_name`; return its descriptor as in index.json.

    A new layout appears whole or not at all. In a layout that exists, blobs it has are kept, the
    entry with the same `ref_name` (None: those without a name) is replaced, and index.json comes
    last; two writers wait for each other. `annotations` go on the entry too.

    Raises UsageError `bad-ref-name`, `not-a-layout` (a folder with other things in it), HostError,
    and IntegrityError when a blob is not what its descriptor says.
    """
    entry = index_entry(value, ref_name, annotations)
    with host_errors(path):
        path = path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            if _write_whole(path, value, entry):
                return entry
        elif not (path / LAYOUT_FILE).is_file():
            raise UsageError(
                "not-a-layout",
                "there is something else in the place of the OCI layout",
                place=str(path),
                hint="choose a new folder, or an empty one",
            )
        _check_layout(path)
        _add(path, value, entry)
    return entry


def read_layout(
    path: Path, select: str | None = None, *, platform: Platform | None = None
) -> LoadedImage | LoadedIndex:
    """Read the image or index named `select` (a ref name or a digest) from the layout in `path`.

    Without `select` there must be one entry. With `platform`, the one image for it is returned and
    nothing else read. Layers are FileBlobs, opened by nobody yet. Raises ImageError (`not-a-layout`,
    `bad-index`, `no-such-image`, `ambiguous-image`, ...) and IntegrityError.
    """
    _check_layout(path)
    return read_selected(LayoutSource(path), _read_index(path), select, platform=platform, place=str(path))


def read_entries(path: Path) -> tuple[Descriptor, ...]:
    """Return the descriptors in the layout's index.json, in its order; raises ImageError."""
    _check_layout(path)
    return parse_entries(_read_index(path), place=str(path / INDEX_FILE))


def read_selected(
    source: BlobSource, index: Mapping[str, Any], select: str | None, *, platform: Platform | None, place: str
) -> LoadedImage | LoadedIndex:
    """Read what `select` names in `index`, the object in an index.json; see `read_layout`."""
    entries = parse_entries(index, place=place)
    names = ", ".join(sorted({entry.annotations.get(REF_NAME) or str(entry.digest) for entry in entries}))
    found = [
        entry
        for entry in entries
        if select is None or select in (entry.annotations.get(REF_NAME), str(entry.digest))
    ]
    if not found:
        what = "no image" if select is None else f"no image {select!r}"
        raise ImageError("no-such-image", f"has {what}", place=place, hint=f"it has: {names or 'nothing'}")
    if len({entry.digest for entry in found}) > 1:
        if platform is not None:
            exact = [entry for entry in found if entry.platform == platform]
            found = exact or found
        if len({entry.digest for entry in found}) > 1:
            raise ImageError(
                "ambiguous-image", f"has {len(found)} images", place=place, hint=f"name one of: {names}"
            )
    # The name is the layout's affair: the same image under another name is equal to this one.
    descriptor = replace(found[0], annotations={})
    if platform is not None:
        return read_platform(descriptor, source, platform)
    return read_image(descriptor, source)


def index_entry(
    value: AnyImage | AnyIndex, ref_name: str | None, annotations: Mapping[str, str] | None
) -> Descriptor:
    """Return the descriptor of `value` as index.json names it; raises UsageError `bad-ref-name`."""
    if ref_name is not None and not _REF_NAME.fullmatch(ref_name):
        raise UsageError(
            "bad-ref-name",
            f"not a name that a layout can hold: {ref_name[:160]!r}",
            hint="letters and digits, between them single - . _ : @ + or /",
        )
    named = {} if ref_name is None else {REF_NAME: ref_name}
    return replace(value.descriptor, annotations={**(annotations or {}), **named})


def render_index(entries: list[dict[str, Any]], rest: Mapping[str, Any] | None = None) -> bytes:
    """Return index.json with these entries, keeping `rest`, the object that was there."""
    return canonical_json({"mediaType": INDEX, **(rest or {}), "schemaVersion": 2, "manifests": entries})


def parse_entries(index: Mapping[str, Any], *, place: str) -> tuple[Descriptor, ...]:
    """Return the descriptors of an index.json; raises ImageError `bad-index`."""
    manifests = index.get("manifests")
    if index.get("schemaVersion") != 2 or not isinstance(manifests, list):
        raise ImageError("bad-index", "not an image index of schemaVersion 2", place=place)
    return tuple(Descriptor.from_json(item) for item in manifests)


def check_layout_file(data: bytes, *, place: str) -> None:
    """Raise ImageError `bad-layout` unless `data` is an oci-layout file of version 1."""
    version = parse_json_object(data, code="bad-layout", place=place).get("imageLayoutVersion")
    if not isinstance(version, str) or not version.startswith("1."):
        raise ImageError("bad-layout", f"imageLayoutVersion is {version!r}, not 1.0.0", place=place)


def _write_whole(path: Path, value: AnyImage | AnyIndex, entry: Descriptor) -> bool:
    """Make a new layout in `path`; return False, with nothing done, when another writer was first."""
    staged = beside(path)
    staged.mkdir()
    try:
        _write_blobs(staged, value)
        (staged / INDEX_FILE).write_bytes(render_index([entry.to_json()]))
        (staged / LAYOUT_FILE).write_bytes(LAYOUT_JSON)
        staged.rename(path)  # takes the place of an empty folder, and of no other
    except OSError:
        if path.is_dir() and any(path.iterdir()):
            return False
        raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return True


def _add(path: Path, value: AnyImage | AnyIndex, entry: Descriptor) -> None:
    with _locked(path):
        index = _read_index(path)
        parse_entries(index, place=str(path / INDEX_FILE))
        _write_blobs(path, value)
        name = entry.annotations.get(REF_NAME)
        kept = [item for item in index["manifests"] if _name(item) != name]
        at = next((i for i, item in enumerate(index["manifests"]) if _name(item) == name), len(kept))
        kept.insert(min(at, len(kept)), entry.to_json())
        data = render_index(kept, index)
        with new_file(path / INDEX_FILE) as file:
            file.write(data)


def _name(item: Mapping[str, Any]) -> str | None:
    name = (item.get("annotations") or {}).get(REF_NAME)
    return name if isinstance(name, str) else None


def _write_blobs(folder: Path, value: AnyImage | AnyIndex) -> None:
    for descriptor, blob in all_blobs(value):
        digest = descriptor.digest
        target = folder / "blobs" / digest.algorithm / digest.hex
        if _is_there(target, descriptor):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        # Copied, never linked: the folder is its user's to edit, and the cache's files are not.
        with new_file(target) as file:
            copy_blob(descriptor, blob, file.write)


def _is_there(path: Path, descriptor: Descriptor) -> bool:
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(status.st_mode) or status.st_size != descriptor.size:
        return False
    if descriptor.size > _HASH_UP_TO:
        return True
    return hashlib.new(descriptor.digest.algorithm, path.read_bytes()).hexdigest() == descriptor.digest.hex


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    # oci-layout is never replaced, so that its lock is everybody's: no file of ours is left behind.
    handle = os.open(path / LAYOUT_FILE, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _check_layout(path: Path) -> None:
    check_layout_file(_read_small(path / LAYOUT_FILE), place=str(path / LAYOUT_FILE))


def _read_index(path: Path) -> dict[str, Any]:
    place = path / INDEX_FILE
    return parse_json_object(_read_small(place), code="bad-index", place=str(place))


def _read_small(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ImageError("not-a-layout", "no regular file", place=str(path))
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST + 1)
    except FileNotFoundError as error:
        raise ImageError(
            "not-a-layout", "not an OCI image layout: it has no such file", place=str(path)
        ) from error
    except OSError as error:
        raise HostError("cannot-read", f"cannot read: {error.strerror}", place=str(path)) from error
    if len(data) > MAX_MANIFEST:
        raise ImageError("bad-index", f"longer than {MAX_MANIFEST} bytes", place=str(path))
    return data
