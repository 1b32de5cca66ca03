"""The files of a base while it is put together: packages merged into one tree, contents on disk.

Files are spooled into temporary files, so memory holds names and not contents. Rewrites the paths of
merged /usr; decides nothing about which files are wanted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

from shipwheel.errors import IntegrityError
from shipwheel.oci.tar import Kind

_CHUNK: Final = 256 * 1024
# Folders that merged /usr turns into links (file-hierarchy(7)), and those base-files makes links of.
_MERGED: Final = ("bin", "lib", "lib32", "lib64", "libo32", "libx32", "sbin")
_MOVED: Final = (*((name, f"usr/{name}") for name in _MERGED), ("var/lock", "run/lock"), ("var/run", "run"))


class Spool:
    """Contents one after the other in a temporary file; safe to read from several threads."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("w+b")
        self._end = 0

    def add(self, chunks: Iterable[bytes]) -> Content:
        """Append a content and return where it is."""
        start = self._end
        for chunk in chunks:
            self._file.write(chunk)
            self._end += len(chunk)
        return Content(self, start, self._end - start)

    def flush(self) -> None:
        """Make what was added readable."""
        self._file.flush()

    def close(self) -> None:
        """Close the temporary file."""
        self._file.close()

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`."""
        return os.pread(self._file.fileno(), size, offset)


@dataclass(frozen=True, slots=True)
class Content:
    """A file's content: `size` bytes in `spool` from `start`. Two files may share one (hard links)."""

    spool: Spool
    start: int
    size: int

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset` of this content."""
        return self.spool.read(self.start + offset, max(0, min(size, self.size - offset)))

    def chunks(self) -> Iterator[bytes]:
        """Yield the content in pieces."""
        for offset in range(0, self.size, _CHUNK):
            yield self.read(offset, _CHUNK)

    def bytes(self) -> bytes:
        """Return the whole content, which is known to be small."""
        return self.read(0, self.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One file, folder or link of the image; `package` is empty for what the assembly makes itself."""

    path: str
    kind: Kind
    mode: int
    package: str = ""
    link: str = ""
    content: Content | bytes | None = None

    @property
    def size(self) -> int:
        """Length of a file's content in bytes."""
        if self.content is None:
            return 0
        return len(self.content) if isinstance(self.content, bytes) else self.content.size

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes of a file's content from `offset`."""
        if self.content is None:
            return b""
        if isinstance(self.content, bytes):
            return self.content[offset : offset + size]
        return self.content.read(offset, size)


def merged_path(path: str) -> str:
    """Return where `path` is in an image with merged /usr: `lib/x` is `usr/lib/x`."""
    for name, target in _MOVED:
        if path == name or path.startswith(name + "/"):
            return target + path[len(name) :]
    return path


def is_moved(path: str) -> bool:
    """Tell whether `path` is itself one of the folders that merged /usr makes a link."""
    return any(path == name for name, _ in _MOVED)


class Tree:
    """Nodes by path. Folders may come from many packages, anything else from one."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._nodes

    def __iter__(self) -> Iterator[Node]:
        """Yield the nodes by path."""
        for path in sorted(self._nodes):
            yield self._nodes[path]

    def get(self, path: str) -> Node | None:
        """Return the node at `path`, or None."""
        return self._nodes.get(path)

    def add(self, node: Node) -> None:
        """Add a package's `node` at its place in merged /usr; hard links must follow their target.

        Raises IntegrityError `deb-file-conflict` when another package has something else there, and
        `deb-malformed` for a hard link to nothing.
        """
        if is_moved(node.path) and node.kind == "symlink":
            return  # `complete` makes these for every base
        path = merged_path(node.path)
        node = replace(node, path=path)
        if node.kind == "hardlink":
            target = self._nodes.get(merged_path(node.link))
            if target is None or target.kind != "file" or target.package != node.package:
                raise IntegrityError(
                    "deb-malformed",
                    f"{path} is a hard link to {node.link}, which is not there",
                    place=node.package,
                )
            node = replace(target, path=path)
        before = self._nodes.get(path)
        if before is None:
            self._nodes[path] = node
        elif not _same(before, node):
            raise IntegrityError(
                "deb-file-conflict",
                f"{before.package} and {node.package} both have /{path}",
                place=node.package,
                hint="these packages cannot be installed together: leave one out",
            )

    def put(self, node: Node) -> None:
        """Add what the assembly makes, in the place of what may be there."""
        self._nodes[node.path] = node

    def remove(self, path: str) -> None:
        """Remove the node at `path`."""
        del self._nodes[path]

    def complete(self) -> None:
        """Add the folders that nothing brought and the links of merged /usr.

        Raises IntegrityError `deb-unsafe-path` for what lies below a link.
        """
        self._add_parents()
        for name, target in _MOVED:
            # bin, lib and sbin always; lib64 and the like where a package has something in them.
            if target in self._nodes or name in ("bin", "lib", "sbin"):
                link = f"/{target}" if "/" in name else target
                self._nodes[name] = Node(path=name, kind="symlink", mode=0o777, link=link)
        self._add_parents()

    def _add_parents(self) -> None:
        for path in sorted(self._nodes):
            parts = path.split("/")[:-1]
            for count in range(1, len(parts) + 1):
                parent = "/".join(parts[:count])
                node = self._nodes.setdefault(parent, Node(path=parent, kind="directory", mode=0o755))
                if node.kind != "directory":
                    raise IntegrityError(
                        "deb-unsafe-path",
                        f"/{path} would be written through /{parent}, which is no folder",
                        place=self._nodes[path].package or node.package,
                    )


def _same(one: Node, other: Node) -> bool:
    if one.kind == "directory" and other.kind == "directory":
        return True
    if (one.kind, one.link, one.size) != (other.kind, other.link, other.size):
        return False
    return all(
        one.read(offset, _CHUNK) == other.read(offset, _CHUNK) for offset in range(0, one.size, _CHUNK)
    )
