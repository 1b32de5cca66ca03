"""The filesystem that layers make together (image-spec layer.md, "Applying Changesets"), in memory.

Only names, kinds and modes are kept, with where each file's bytes are; symlinks are followed inside
the root as a runtime's kernel would. Writes nothing; `unpack` does.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from shipwheel.errors import ImageError
from shipwheel.oci.layer_read import DEFAULT_LIMITS, Limits, open_layer, read_entries
from shipwheel.oci.model import Layer

NodeKind = Literal["file", "directory", "symlink", "other"]
_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
# Linux's own limits: PATH_MAX and the number of symlinks in one resolution.
_MAX_PATH: Final = 4096
_MAX_LINKS: Final = 40


class Node:
    """One file, folder or link. Hard links are one node under several names.

    `source` is the layer's number (0: the lowest) and the entry's number in its tar; `layer` is the
    layer that spoke of it last. "other" is a device or a pipe.
    """

    __slots__ = ("children", "gid", "kind", "layer", "link", "mode", "mtime", "size", "source", "uid")

    def __init__(
        self, kind: NodeKind, layer: int, *, mode: int = 0o755, info: tarfile.TarInfo | None = None
    ) -> None:
        self.kind: NodeKind = kind
        self.layer = layer
        self.mode = mode if info is None else info.mode & 0o7777
        # A pax header may say nan or inf; such a comparison is false.
        self.mtime = int(info.mtime) if info is not None and 0 <= info.mtime < 2**33 else 0
        self.size = info.size if info is not None and kind == "file" else 0
        self.link = info.linkname if info is not None and kind == "symlink" else ""
        # A folder that no entry speaks of is root's, as runtimes make it.
        self.uid, self.gid = (0, 0) if info is None else (info.uid, info.gid)
        self.source: tuple[int, int] | None = None
        self.children: dict[str, Node] = {}


@dataclass(frozen=True, slots=True)
class Tree:
    """The merged filesystem of `layers`."""

    root: Node
    layers: Sequence[Layer]

    def walk(self) -> Iterator[tuple[str, Node]]:
        """Yield every path (no leading slash) and its node, a folder before what is in it, sorted."""
        pending = [("", iter(sorted(self.root.children.items())))]
        while pending:
            prefix, items = pending[-1]
            for name, node in items:
                path = prefix + name
                yield path, node
                if node.children:
                    pending.append((path + "/", iter(sorted(node.children.items()))))
                    break
            else:
                pending.pop()

    def find(self, path: str) -> Node | None:
        """Return what `path` is once all symlinks are followed inside the root, or None.

        Raises ImageError `symlink-loop`.
        """
        return _resolve(self.root, path, follow=True)

    def real_path(self, path: str) -> str | None:
        """Return `path` with all symlinks followed, no leading slash; None when nothing is there."""
        names: list[str] = []
        return "/".join(names) if _resolve(self.root, path, follow=True, names=names) else None

    def read_files(self, paths: Sequence[str], *, max_size: int = 16 * 1024**2) -> dict[str, bytes]:
        """Return the contents of those `paths` that are regular files, symlinks followed.

        Raises ImageError `file-too-large`, before anything is read.
        """
        wanted: dict[tuple[int, int], list[str]] = {}
        for path in paths:
            node = self.find(path)
            if node is None or node.source is None or node.kind != "file":
                continue
            if node.size > max_size:
                raise ImageError("file-too-large", f"{path} has {node.size} bytes; {max_size} are accepted")
            wanted.setdefault(node.source, []).append(path)
        found: dict[str, bytes] = {}
        for source, _info, content in iter_sources(self.layers, wanted):
            data = b"".join(content)
            found.update(dict.fromkeys(wanted[source], data))
        return {path: found[path] for path in paths if path in found}


def iter_sources(
    layers: Sequence[Layer], wanted: Mapping[tuple[int, int], object]
) -> Iterator[tuple[tuple[int, int], tarfile.TarInfo, Iterator[bytes | memoryview]]]:
    """Yield each wanted entry with its contents, in the layers' order; no layer is read further than needed.

    They are not checked: `read_tree` has done that.
    """
    for number, layer in enumerate(layers):
        left = sum(1 for source in wanted if source[0] == number)
        if not left:
            continue
        with open_layer(layer, check=False) as stream:
            for ordinal, info in enumerate(read_entries(stream)):
                if (number, ordinal) in wanted:
                    yield (number, ordinal), info, stream.chunks(info.size)
                    left -= 1
                    if not left:
                        break


def find_files(
    layers: Sequence[Layer], paths: Sequence[str], *, max_size: int = 16 * 1024**2
) -> dict[str, bytes]:
    """Return the contents of those `paths` that are regular files in the filesystem of `layers`.

    The last layer wins, whiteouts count, symlinks are followed inside the root. Every layer is read
    and checked. Raises as `read_tree`, and ImageError `file-too-large`.
    """
    return read_tree(layers).read_files(paths, max_size=max_size)


# Told of each entry: the layer's number, the entry's, what its header says, and the file's content.
Visit = Callable[[int, int, tarfile.TarInfo, Iterator[bytes | memoryview]], None]


def read_tree(
    layers: Sequence[Layer], *, limits: Limits = DEFAULT_LIMITS, visit: Visit | None = None
) -> Tree:
    """Read all layers to their end, checking them, and return the filesystem they make.

    `limits` are for all layers together. `visit` sees every entry on the way, those of whiteouts and
    of files that a later layer replaces too; what it leaves of a content is skipped. Raises ImageError `unsafe-path`, `broken-hard-link`,
    `symlink-loop`, and all that `layer_read` raises.
    """
    root = Node("directory", -1)
    size, entries = limits.size, limits.entries
    # Folders that no entry speaks of: one name may ask for two thousand.
    made = _Made(limits.entries)
    for number, layer in enumerate(layers):
        left = Limits(size=size, entries=entries)
        with open_layer(layer, limits=left) as stream:
            for ordinal, info in enumerate(read_entries(stream, limits=left)):
                try:
                    _add(root, number, ordinal, info, made)
                except ImageError as error:
                    raise ImageError(
                        error.code, error.problems[0].message, place=f"layer {layer.descriptor.digest}"
                    ) from error
                entries -= 1
                if visit is not None:
                    visit(number, ordinal, info, stream.chunks(info.size if info.isreg() else 0))
            size -= stream.tell()
    return Tree(root, tuple(layers))


def split_path(name: str) -> list[str]:
    """Return the parts of a tar entry's name below the root; raises ImageError `unsafe-path` for `..`.

    A leading slash or `./` means the root, as it does to runtimes.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name or len(name) > _MAX_PATH:
        raise ImageError("unsafe-path", f"not a path below the root: {name[:160]!r}")
    return parts


class _Made:
    """Counts folders made for paths below them."""

    __slots__ = ("left", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = self.left = limit

    def one(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise ImageError("too-many-entries", f"paths ask for more than {self.limit} folders")


def _add(root: Node, layer: int, ordinal: int, info: tarfile.TarInfo, made: _Made) -> None:
    parts = split_path(info.name)
    if not parts:
        if info.isdir():
            root.mode, root.uid, root.gid = info.mode & 0o7777, info.uid, info.gid
        return
    parent = _folder(root, parts[:-1], layer, made)
    name = parts[-1]
    if name.startswith(_WHITEOUT):
        _white_out(parent, name, layer)
        return
    if info.islnk():
        parent.children[name] = _hard_link_target(root, info)
        return
    old = parent.children.get(name)
    if info.isdir():
        node = Node("directory", layer, info=info)
        if old is not None and old.kind == "directory":
            node.children = old.children
    else:
        kind: NodeKind = "file" if info.isreg() else "symlink" if info.issym() else "other"
        node = Node(kind, layer, info=info)
        if kind == "symlink" and ("\0" in node.link or not 0 < len(node.link) <= _MAX_PATH):
            raise ImageError("unsafe-path", f"a symlink without a usable target: {info.name[:160]!r}")
        node.source = (layer, ordinal)
    parent.children[name] = node


def _white_out(parent: Node, name: str, layer: int) -> None:
    if name == _OPAQUE:
        _remove_lower(parent, layer)
        return
    victim = name[len(_WHITEOUT) :]
    # aufs kept books of its own in .wh..wh.plnk and the like; no file of the image is meant.
    if victim.startswith(_WHITEOUT):
        return
    node = parent.children.get(victim)
    # layer.md: whiteouts MUST only apply to resources in lower layers, wherever they stand in the tar.
    if node is not None and not _remains(node, layer):
        del parent.children[victim]


def _remove_lower(folder: Node, layer: int) -> None:
    folder.children = {name: node for name, node in folder.children.items() if _remains(node, layer)}


def _remains(node: Node, layer: int) -> bool:
    """Whether `node` is of this layer, or a folder that holds something of it; what is lower goes."""
    # One stack entry a folder, visited again when its children are done: depth is the image's to choose.
    keep: dict[int, bool] = {}
    stack = [(node, False)]
    while stack:
        current, visited = stack.pop()
        if visited:
            current.children = {name: child for name, child in current.children.items() if keep[id(child)]}
            keep[id(current)] = current.layer == layer or bool(current.children)
        elif current.kind == "directory":
            stack.append((current, True))
            stack.extend((child, False) for child in current.children.values())
        else:
            keep[id(current)] = current.layer == layer
    return keep[id(node)]


def _hard_link_target(root: Node, info: tarfile.TarInfo) -> Node:
    parts = split_path(info.linkname)
    parent = _resolve(root, "/".join(parts[:-1]), follow=True) if parts else None
    target = parent.children.get(parts[-1]) if parent is not None else None
    if target is None or target.kind == "directory":
        raise ImageError(
            "broken-hard-link", f"{info.name[:160]!r} is a hard link to {info.linkname[:160]!r}, no file"
        )
    return target


def _folder(root: Node, parts: list[str], layer: int, made: _Made) -> Node:
    node = _resolve(root, "/".join(parts), follow=True, create=(layer, made))
    if node is None:  # pragma: no cover - with `create` there is always one
        raise ImageError("unsafe-path", f"no folder: {parts!r}")
    return node


def _resolve(
    root: Node,
    path: str,
    *,
    follow: bool,
    create: tuple[int, _Made] | None = None,
    names: list[str] | None = None,
) -> Node | None:
    """Walk `path` from `root`, which nothing leads out of; with `create`, make folders of that layer."""
    names = [] if names is None else names
    stack, todo, links = [root], path.split("/")[::-1], 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if stack[-1].kind != "directory":
            return None
        if part == "..":
            if names:
                stack.pop()
                names.pop()
            continue
        child = stack[-1].children.get(part)
        if child is not None and child.kind == "symlink" and (follow or todo):
            links += 1
            if links > _MAX_LINKS:
                raise ImageError("symlink-loop", f"too many symlinks: {path[:160]!r}")
            if child.link.startswith("/"):
                del stack[1:], names[:]
            todo.extend(child.link.split("/")[::-1])
            continue
        if create is not None and (child is None or child.kind != "directory"):
            create[1].one()
            child = stack[-1].children[part] = Node("directory", create[0])
        if child is None:
            return None
        stack.append(child)
        names.append(part)
    return stack[-1]
