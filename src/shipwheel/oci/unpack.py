"""Unpack an image into a folder, without root. Interprets the layers in memory first (`tree`).

The merged tree is known, and every layer checked, before anything is written. Each file is then
written once, into folders made here, and the symlinks come last: no path that is written goes
through a link, whatever the image holds.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from shipwheel.errors import HostError, ImageError
from shipwheel.oci.files import host_errors
from shipwheel.oci.layer_read import DEFAULT_LIMITS, Limits
from shipwheel.oci.model import Layer
from shipwheel.oci.read import AnyImage
from shipwheel.oci.tree import Node, Tree, iter_sources, read_tree
from shipwheel.staged import beside


def unpack_image(
    image: AnyImage, into: Path, *, limits: Limits = DEFAULT_LIMITS, owners: bool = False
) -> None:
    """Unpack `image` into the new (or empty) folder `into`, which appears whole or not at all.

    Permission bits are kept without setuid and setgid, folders can be written by their owner (so
    that they can be removed), owners are applied if `owners` (which takes root), devices and pipes are left
    out. Raises
    HostError `folder-not-empty`, `no-permission`, `disk-full`, and what `read_tree` raises.
    """
    unpack_layers(image.layers, into, limits=limits, owners=owners)


def unpack_layers(
    layers: Sequence[Layer],
    into: Path,
    *,
    limits: Limits = DEFAULT_LIMITS,
    owners: bool = False,
    leave_out: Sequence[str] = (),
) -> None:
    """Unpack `layers`, the lowest first, as `unpack_image` does; not what is in the folders `leave_out`."""
    into = Path(os.path.abspath(into))  # noqa: PTH100 - not resolve(): a symlink in its place stays one
    if os.path.lexists(into) and (into.is_symlink() or not into.is_dir() or any(into.iterdir())):
        raise HostError("folder-not-empty", "not an empty folder to unpack into", place=str(into))
    tree = read_tree(layers, limits=limits)
    staged = beside(into)
    with host_errors(into):
        staged.parent.mkdir(parents=True, exist_ok=True)
        staged.mkdir(mode=0o700)
        try:
            _write(tree, staged, owners=owners, leave_out=tuple(f"{name}/" for name in leave_out))
            staged.rename(into)
        except BaseException:
            shutil.rmtree(staged)
            raise


def _write(tree: Tree, root: Path, *, owners: bool, leave_out: tuple[str, ...]) -> None:
    folders: list[tuple[str, Node]] = [(str(root), tree.root)]
    symlinks: list[tuple[str, str]] = []
    names: dict[tuple[int, int], list[str]] = {}
    modes: dict[tuple[int, int], Node] = {}
    for path, node in ((path, node) for path, node in tree.walk() if not path.startswith(leave_out)):
        # A name that the filesystem takes for something else cannot get here: no slash, no NUL, no dots.
        place = f"{root}/{path}"
        if node.kind == "directory":
            os.mkdir(place, 0o700)  # noqa: PTH102 - ten thousand times
            folders.append((place, node))
        elif node.kind == "symlink":
            symlinks.append((node.link, place))
        elif node.kind == "file" and node.source is not None:
            names.setdefault(node.source, []).append(place)
            modes[node.source] = node
    for source, _info, content in iter_sources(tree.layers, names):
        first, *others = names[source]
        node = modes[source]
        handle = os.open(first, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            written = 0
            for chunk in content:
                written += _write_all(handle, chunk)
            if owners:
                os.fchown(handle, node.uid, node.gid)
            os.fchmod(handle, node.mode & 0o777)
            # So that bytecode with a source's time in it stays valid.
            os.utime(handle, (node.mtime, node.mtime))
        finally:
            os.close(handle)
        if written != node.size:
            raise ImageError("bad-layer", "a layer changed while it was unpacked", place=first)
        for other in others:
            os.link(first, other)
    for target, place in symlinks:
        os.symlink(target, place)  # noqa: PTH211
    for place, node in reversed(folders):
        _finish_folder(place, node, owners=owners)


def _finish_folder(place: str, node: Node, *, owners: bool) -> None:
    if owners:
        os.chown(place, node.uid, node.gid)
    # The sticky bit of /tmp stays; setuid and setgid do not.
    os.chmod(place, node.mode & 0o1777 | 0o700)  # noqa: PTH101 - ten thousand times


def _write_all(handle: int, data: bytes | memoryview) -> int:
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]
    return len(data)
