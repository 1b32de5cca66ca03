"""Debian packages → layers: unpack, slim, add what scripts would have made, write.

Two layers: `os` (every package but Python's) and above it `python` (the packages built from Python's
own source, and /etc/ld.so.cache, which covers both). A user's account is in neither.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from shipwheel.base.debian import system
from shipwheel.base.debian.deb import Control, DebEntry, open_deb
from shipwheel.base.debian.recipe import LAYERS, LayerName, created_by, layer_of
from shipwheel.base.debian.slim import DROPPED_SETID, is_wanted
from shipwheel.base.debian.tree import Content, Node, Spool, Tree
from shipwheel.base.model import DebianPackage, DebianPlatform
from shipwheel.errors import LockError
from shipwheel.oci.files import host_errors
from shipwheel.oci.layer import LayerWriter
from shipwheel.oci.model import FileBlob, Layer
from shipwheel.oci.tar import Entry

# Unpacking xz takes most of the time and up to 65 MB a package.
_JOBS: Final = 2


def assemble_debian(platform: DebianPlatform, debs: Mapping[str, Path], out: Path) -> tuple[Layer, ...]:
    """Write the layers of `platform` into the folder `out` as `os.tar.gz` and `python.tar.gz`.

    `debs` are the packages' files by SHA-256 (`fetch.fetch_packages`). The same packages give the
    same bytes. Raises LockError `deb-missing`; IntegrityError as `deb.open_deb`, `deb.Deb.entries`
    and `tree.Tree.add`; HostError `disk-full`, `no-permission`.
    """
    missing = [package.name for package in platform.packages if package.sha256 not in debs]
    if missing:
        raise LockError("deb-missing", f"packages that were not fetched: {', '.join(missing)}")
    python = ".".join(platform.python.split(".")[:2])
    with (
        host_errors(out),
        tempfile.TemporaryDirectory(dir=out) as folder,
        _spools(Path(folder)) as spools,
    ):
        tree, controls = _merge(platform.packages, debs, spools)
        system.add_system_files(tree, python)
        system.remove_dead_scripts(tree)
        system.add_package_database(tree, controls)
        system.add_library_cache(tree)
        tree.complete()
        with ThreadPoolExecutor(max_workers=_JOBS) as pool:
            return tuple(pool.map(lambda name: _write(tree, name, platform, out), LAYERS))


class _Spools:
    """One spool for each thread that unpacks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._local = threading.local()
        self._lock = threading.Lock()
        self.all: list[Spool] = []

    def mine(self) -> Spool:
        spool: Spool | None = getattr(self._local, "spool", None)
        if spool is None:
            with self._lock:
                spool = Spool(self._folder / f"spool-{len(self.all)}")
                self.all.append(spool)
            self._local.spool = spool
        return spool


@contextlib.contextmanager
def _spools(folder: Path) -> Iterator[_Spools]:
    spools = _Spools(folder)
    try:
        yield spools
    finally:
        for spool in spools.all:
            spool.close()


def _merge(
    packages: Sequence[DebianPackage], debs: Mapping[str, Path], spools: _Spools
) -> tuple[Tree, dict[str, Control]]:
    ordered = sorted(packages, key=lambda package: package.name)
    with ThreadPoolExecutor(max_workers=_JOBS) as pool:
        unpacked = list(
            pool.map(lambda package: _unpack(package, debs[package.sha256], spools.mine()), ordered)
        )
    for spool in spools.all:
        spool.flush()
    tree = Tree()
    for _, nodes in unpacked:
        for node in nodes:
            tree.add(node)
    controls = {package.name: control for package, (control, _) in zip(ordered, unpacked, strict=True)}
    return tree, controls


def _unpack(package: DebianPackage, path: Path, spool: Spool) -> tuple[Control, list[Node]]:
    nodes: list[Node] = []
    with open_deb(path, package) as deb:
        for entry, content in deb.entries(DROPPED_SETID.get(package.name, {})):
            if is_wanted(entry.path) or system.CERTIFICATES.fullmatch(entry.path):
                stored = spool.add(content) if entry.kind == "file" else None
                nodes.append(_node(package, entry, stored))
        return deb.control, nodes


def _node(package: DebianPackage, entry: DebEntry, content: Content | None) -> Node:
    return Node(
        path=entry.path,
        kind=entry.kind,
        mode=entry.mode,
        package=package.name,
        link=entry.link,
        content=content,
    )


def _write(tree: Tree, name: LayerName, platform: DebianPlatform, out: Path) -> Layer:
    path = out / f"{name}.tar.gz"
    chosen = _select(tree, name)
    written: dict[Content, str] = {}
    with path.open("wb") as file:
        writer = LayerWriter(file)
        for node in chosen:
            entry = Entry(path=node.path, kind=node.kind, mode=node.mode, size=node.size, link=node.link)
            content = node.content
            if isinstance(content, Content) and content.size:
                first = written.setdefault(content, node.path)
                if first != node.path:
                    writer.add(Entry(path=node.path, kind="hardlink", mode=node.mode, link=first))
                    continue
                writer.add(entry, content.chunks())
            else:
                writer.add(entry, content if isinstance(content, bytes) else b"")
        descriptor, diff_id = writer.finish()
    blob = FileBlob(path, descriptor.digest, descriptor.size)
    return Layer(descriptor=descriptor, diff_id=diff_id, blob=blob, created_by=created_by(platform, name))


def _select(tree: Tree, name: LayerName) -> list[Node]:
    """Return the layer's nodes by path: its files and links, and the folders they are in.

    Folders without files belong to the lower layer; one in both has the same mode in both.
    """
    paths: set[str] = set()
    for node in tree:
        if _node_layer(node) == name:
            parts = node.path.split("/")
            paths.update("/".join(parts[:count]) for count in range(1, len(parts) + 1))
    return [node for node in tree if node.path in paths]


def _node_layer(node: Node) -> LayerName:
    if node.path == "etc/ld.so.cache":
        return "python"
    return layer_of(node.package)
