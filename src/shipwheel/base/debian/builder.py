"""A root folder to compile in: the base's Debian packages, a compiler, headers. No layer is made of it.

Nothing of it reaches an image except what is compiled in it, so the rules of images are relaxed: files
are not slimmed but for documentation, and maintainer scripts are neither run nor reviewed. What
`update-alternatives` would have linked is read from their plain words (docs/decisions/0010).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from shipwheel.base.debian import system
from shipwheel.base.debian.deb import open_deb
from shipwheel.base.debian.suites import SUITES
from shipwheel.base.debian.tree import Content, Node, Spool, Tree, merged_path
from shipwheel.base.model import DebianBase, DebianPlatform
from shipwheel.oci.files import host_errors

# Changes whenever the same packages would give another root.
RECIPE: Final = "builder/1"
# What scripts of build systems take for granted, and Debian calls essential (Policy 3.8).
_ESSENTIAL: Final = (
    "bash",
    "coreutils",
    "dash",
    "debianutils",
    "diffutils",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "mawk",
    "perl-base",
    "sed",
    "tar",
)
# Where the build's folders are mounted.
FOLDERS: Final = ("build", "env", "proc", "dev", "sys", "tmp", "run")
_DROPPED: Final = re.compile(
    r"usr/share/(?:doc|man|info|locale|lintian|bug|doc-base|gdb|menu|bash-completion)(?:/.*)?"
    r"|usr/lib/python3\.\d+/(?:test|idlelib|turtledemo)(?:/.*)?|(?:boot|media|var/cache)(?:/.*)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuilderRoot:
    """An assembled root at `path`; `owners` tells by file name which package a library is of."""

    path: Path
    owners: Mapping[str, str]


def builder_packages(suite: str, requested: Sequence[str]) -> tuple[str, ...]:
    """Return the packages to lock beside the suite's own roots, sorted, with those `requested`."""
    python = SUITES[suite].python
    return tuple(sorted({"build-essential", "pkgconf", f"python{python}-dev", *_ESSENTIAL, *requested}))


def as_builder(locked: DebianBase, requested: Sequence[str]) -> DebianBase:
    """Return what `lock_debian_base` gave for `builder_packages` as shipwheel.lock's `[builder]`."""
    return replace(locked, recipe=RECIPE, requested=tuple(requested))


def builder_id(platform: DebianPlatform) -> str:
    """Return what names the root of `platform`: `sha256:<hex>` over its packages and the recipe."""
    identity = [RECIPE, platform.platform, *sorted(package.sha256 for package in platform.packages)]
    return f"sha256:{hashlib.sha256(json.dumps(identity).encode()).hexdigest()}"


def write_builder(platform: DebianPlatform, debs: Mapping[str, Path], folder: Path) -> None:
    """Write the root of `platform` into the new folder `folder` as `root`, and `owners.json` beside it.

    `debs` are the packages' files by SHA-256. Raises IntegrityError as `deb.open_deb` and `tree.Tree.add`;
    HostError `disk-full`, `no-permission`.
    """
    python = ".".join(platform.python.split(".")[:2])
    with host_errors(folder):
        folder.mkdir()
        spool = Spool(folder / "spool")
        try:
            tree, links = _merge(platform, debs, spool)
            system.add_system_files(tree, python)
            for link, target in links:
                if link not in tree and merged_path(target.lstrip("/")) in tree:
                    tree.put(Node(path=link, kind="symlink", mode=0o777, link=target))
            system.add_library_cache(tree)
            for name in FOLDERS:
                tree.put(Node(path=name, kind="directory", mode=0o755))
            tree.complete()
            _write(tree, folder / "root")
        finally:
            spool.close()
            (folder / "spool").unlink()
        owners = {node.path.rpartition("/")[2]: node.package for node in tree if ".so" in node.path}
        (folder / "owners.json").write_text(json.dumps(owners, sort_keys=True))


def read_builder(folder: Path) -> BuilderRoot:
    """Return what `write_builder` wrote into `folder`."""
    return BuilderRoot(path=folder / "root", owners=json.loads((folder / "owners.json").read_text()))


def alternatives(postinst: str) -> Iterator[tuple[str, str]]:
    """Yield (link, target) of each `update-alternatives --install` that a script says without variables.

    Links are relative to the root, at their place in merged /usr.
    """
    for line in postinst.replace("\\\n", " ").splitlines():
        if "update-alternatives" not in line or "--install" not in line:
            continue
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # a quotation that ends on another line
            continue
        for at, word in enumerate(words):
            # update-alternatives(1): --install link name path priority, --slave link name path
            if word in ("--install", "--slave") and len(words) > at + 3:
                link, target = words[at + 1], words[at + 3]
                if link.startswith("/") and target.startswith("/") and "$" not in link + target:
                    yield merged_path(link.lstrip("/")), target


def _merge(
    platform: DebianPlatform, debs: Mapping[str, Path], spool: Spool
) -> tuple[Tree, list[tuple[str, str]]]:
    tree = Tree()
    links: list[tuple[str, str]] = []
    for package in sorted(platform.packages, key=lambda package: package.name):
        with open_deb(debs[package.sha256], package, for_image=False) as deb:
            links += alternatives(deb.control.postinst.decode("utf-8", "replace"))
            for entry, content in deb.entries(None):
                if _DROPPED.fullmatch(entry.path):
                    continue
                stored = spool.add(content) if entry.kind == "file" else None
                if stored is not None:
                    spool.flush()
                tree.add(
                    Node(
                        path=entry.path,
                        kind=entry.kind,
                        mode=entry.mode,
                        package=package.name,
                        link=entry.link,
                        content=stored,
                    )
                )
    return tree, links


def _write(tree: Tree, root: Path) -> None:
    """Write folders and files, then links: no path that is written goes through a link."""
    root.mkdir()
    symlinks: list[Node] = []
    written: dict[Content, str] = {}
    for node in tree:
        place = root / node.path
        if node.kind == "directory":
            place.mkdir()
        elif node.kind == "symlink":
            symlinks.append(node)
        elif isinstance(node.content, Content) and node.content in written:
            os.link(root / written[node.content], place)
        else:
            with place.open("xb") as file:
                if isinstance(node.content, Content):
                    written[node.content] = node.path
                    for chunk in node.content.chunks():
                        file.write(chunk)
                else:
                    file.write(node.content or b"")
            place.chmod(node.mode & 0o755 | 0o400)
    for node in symlinks:
        (root / node.path).symlink_to(node.link)
