"""The files that Debian's maintainer scripts would have made, and the package database for scanners.

Each function takes the merged tree and adds to it; what is made follows from the tree alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from shipwheel.base.debian import ldcache
from shipwheel.base.debian.deb import Control
from shipwheel.base.debian.tree import Node, Tree, merged_path

CERTIFICATES: Final = re.compile(r"usr/share/ca-certificates/.*\.crt")
CA_BUNDLE: Final = "etc/ssl/certs/ca-certificates.crt"
# `nobody` is nobody: no login, no home; an image's own user is in a layer of its own.
ACCOUNTS: Final = (
    "root:x:0:0:root:/root:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
)
GROUPS: Final = "root:x:0:\nnogroup:x:65534:\n"


def add_system_files(tree: Tree, python: str) -> None:
    """Add accounts, name service order, time zone, CA bundle and links; `python` as `3.13`."""
    _file(tree, "etc/passwd", ACCOUNTS.encode())
    _file(tree, "etc/group", GROUPS.encode())
    _copy(tree, "usr/share/libc-bin/nsswitch.conf", "etc/nsswitch.conf")
    if "usr/share/zoneinfo/Etc/UTC" in tree:
        _link(tree, "etc/localtime", "/usr/share/zoneinfo/Etc/UTC")
    if "etc/dpkg/origins/debian" in tree:
        _link(tree, "etc/dpkg/origins/default", "debian")
    _add_certificates(tree)
    _folder(tree, "run/lock", 0o1777)
    _folder(tree, "tmp", 0o1777)
    if f"usr/bin/python{python}" in tree:
        _link(tree, "usr/bin/python3", f"python{python}", package=f"python{python}-minimal")
        _folder(tree, f"usr/local/lib/python{python}/dist-packages", 0o755, package=f"python{python}-minimal")


def remove_dead_scripts(tree: Tree) -> None:
    """Remove commands whose interpreter (a shell, Perl) is not in the image."""
    for node in list(tree):
        if node.kind == "file" and node.path.startswith(("usr/bin/", "usr/sbin/")):
            match = re.match(rb"#! ?(/[^\s\0]+)", node.read(0, 256))
            if match and merged_path(match[1].decode("utf-8", "replace").lstrip("/")) not in tree:
                tree.remove(node.path)


def add_package_database(tree: Tree, controls: Mapping[str, Control]) -> None:
    """Add `var/lib/dpkg/status.d/<package>` and `<package>.md5sums`, which scanners read.

    As distroless images have it: one stanza a file. The sums are of the files that are there.
    """
    for name, control in sorted(controls.items()):
        stanza = re.sub(rb"\n+", b"\n", control.stanza.strip())
        head, newline, rest = stanza.partition(b"\n")
        stanza = head + b"\nStatus: install ok installed" + newline + rest + b"\n"
        _file(tree, f"var/lib/dpkg/status.d/{name}", stanza, package=name)
        sums = []
        for line in control.md5sums.decode("utf-8", "surrogateescape").splitlines():
            digest, _, path = line.partition("  ")
            node = tree.get(merged_path(path))
            if node is not None and node.kind == "file":
                sums.append(f"{digest}  {node.path}\n")
        text = "".join(sums).encode("utf-8", "surrogateescape")
        _file(tree, f"var/lib/dpkg/status.d/{name}.md5sums", text, package=name)


def add_library_cache(tree: Tree) -> None:
    """Add /etc/ld.so.cache for the libraries of the whole tree."""
    configuration = {
        f"/{node.path}": node.read(0, node.size).decode("utf-8", "replace")
        for node in tree
        if node.kind == "file" and re.fullmatch(r"etc/ld\.so\.conf(?:\.d/[^/]+\.conf)?", node.path)
    }
    ldconfig = tree.get("usr/sbin/ldconfig")
    if ldconfig is None or not configuration:
        return
    wanted: dict[str, str] = {}
    for folder in ldcache.configured_folders(configuration):
        # One folder under two names (merged /usr) goes by the name that is configured first.
        wanted.setdefault(merged_path(folder.lstrip("/")), folder)
    libraries: dict[str, list[ldcache.Library]] = {folder: [] for folder in wanted.values()}
    for node in tree:
        parent, _, name = node.path.rpartition("/")
        if parent in wanted and node.kind in ("file", "symlink") and ldcache.is_library_name(name):
            real = _follow(tree, node)
            if real is not None:
                is_link = node.kind == "symlink"
                library = ldcache.Library(name, real.path.rpartition("/")[2], is_link, real)
                libraries[wanted[parent]].append(library)
    generator = ldcache.generator_of(ldconfig.read(0, ldconfig.size))
    _file(tree, "etc/ld.so.cache", ldcache.render_cache(list(libraries.items()), generator))


def _add_certificates(tree: Tree) -> None:
    certificates = [node for node in tree if node.kind == "file" and CERTIFICATES.fullmatch(node.path)]
    if not certificates:
        return
    pieces = [node.read(0, node.size).rstrip(b"\n") + b"\n" for node in certificates]
    for node in certificates:
        tree.remove(node.path)
    package = certificates[0].package
    _file(tree, CA_BUNDLE, b"".join(pieces), package=package)
    # OpenSSL's default paths; the bundle makes links by hash needless.
    _link(tree, "usr/lib/ssl/cert.pem", f"/{CA_BUNDLE}", package=package)
    _link(tree, "usr/lib/ssl/certs", "/etc/ssl/certs", package=package)


def _follow(tree: Tree, node: Node) -> Node | None:
    """Return the file at the end of the links from `node`, or None."""
    for _ in range(16):
        if node.kind == "file":
            return node
        if node.kind != "symlink":
            return None
        base = [] if node.link.startswith("/") else node.path.split("/")[:-1]
        for part in node.link.split("/"):
            if part == "..":
                base = base[:-1]
            elif part not in ("", "."):
                base.append(part)
        target = tree.get(merged_path("/".join(base)))
        if target is None:
            return None
        node = target
    return None


def _file(tree: Tree, path: str, content: bytes, *, package: str = "") -> None:
    tree.put(Node(path=path, kind="file", mode=0o644, content=content, package=package))


def _link(tree: Tree, path: str, target: str, *, package: str = "") -> None:
    tree.put(Node(path=path, kind="symlink", mode=0o777, link=target, package=package))


def _folder(tree: Tree, path: str, mode: int, *, package: str = "") -> None:
    tree.put(Node(path=path, kind="directory", mode=mode, package=package))


def _copy(tree: Tree, source: str, path: str) -> None:
    node = tree.get(source)
    if node is not None:
        tree.put(Node(path=path, kind="file", mode=0o644, content=node.content))
