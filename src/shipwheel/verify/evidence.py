"""Collect what the rules need from an image: one pass over its layers, bounded in memory. Judges nothing.

Every regular file is hashed; the small ones that rules read (package metadata, system tables) are kept,
all others only as facts. Secrets are looked for on the way, in files that a later layer removes too.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from shipwheel.errors import ImageError
from shipwheel.oci.layer_read import Limits
from shipwheel.oci.model import Digest, Image
from shipwheel.oci.read import LoadedImage
from shipwheel.oci.tree import Node, Tree, read_tree
from shipwheel.verify import elf
from shipwheel.verify.secrets import Secret, find_credentials, find_secrets

# What an image may be before a check gives up: no real one comes near, and a bomb must not take the machine.
CHECK_LIMITS: Final = Limits(size=48 * 1024**3, entries=1_000_000)
# Deflate packs at most 1032 to 1, real layers 20 to 1 at most.
_MAX_RATIO: Final = 200
_FREE_SIZE: Final = 1024**3
_KEEP_FILE: Final = 16 * 1024**2
_KEEP_TOTAL: Final = 256 * 1024**2
_KEEP_METADATA: Final = 64 * 1024
# Larger files are read for secrets in windows that overlap by this much.
_WINDOW: Final = 4 * 1024**2
_OVERLAP: Final = 8 * 1024
_HEAD: Final = 64
# All paths together: a large image has 30 MB of them.
_MAX_PATHS: Final = 500_000_000
_MAX_SECRETS: Final = 1000

Source = tuple[int, int]

_KEPT: Final = re.compile(
    r"""
      (?:.*/)?[^/]+\.(?:dist|egg)-info/(?:METADATA|PKG-INFO|RECORD|INSTALLER|direct_url\.json|entry_points\.txt|top_level\.txt)
    | (?:.*/)?[^/]+\.egg-info
    | (?:.*/)?[^/]+\.egg-link
    | (?:.*/)?(?:site|dist)-packages/[^/]+\.pth
    | (?:.*/)?pyvenv\.cfg
    | etc/(?:passwd|group|os-release)
    | usr/lib/os-release
    | var/lib/dpkg/status
    | var/lib/dpkg/status\.d/[^/]+
    | var/lib/dpkg/info/[^/]+\.list
    | lib/apk/db/installed
    | usr/lib/apk/db/installed
    """,
    re.VERBOSE,
)
_HEADED: Final = re.compile(r"(?:.*/)?(?:METADATA|PKG-INFO)")
# Where credentials in an address are real, and not an example in somebody's documentation.
_CONFIGURATION: Final = re.compile(
    r"""
      (?:.*/)?(?:pip\.conf|pip\.ini|uv\.toml|pyproject\.toml|\.?netrc|\.pypirc|\.npmrc|\.git-credentials|\.condarc)
    | (?:.*/)?(?:poetry\.toml|pypoetry/(?:auth|config)\.toml|direct_url\.json|requirements[^/]*\.(?:txt|in)|\.env(?:\.[^/]+)?)
    | (?:.*/)?(?:poetry\.lock|uv\.lock|pdm\.lock|pylock(?:\.[^/]+)?\.toml|Pipfile(?:\.lock)?|\.git/config|sources\.list)
    | (?:.*/)?sources\.list\.d/[^/]+
    | (?:.*/)?(?:settings|config|application)\.(?:toml|ya?ml|json|ini|cfg)
    """,
    re.VERBOSE,
)
_BINARY: Final = (
    b"\x7fELF",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"BZh",
    b"\xfd7zXZ",
    b"\x28\xb5\x2f\xfd",
)
CAPABILITY: Final = "SCHILY.xattr.security.capability"


@dataclass(frozen=True, slots=True)
class FileFact:
    """A regular file in a layer, seen in the end or not. `path` is as in the tar, without a leading slash.

    `head` are the first 64 bytes of programs, scripts and bytecode, and empty for everything else.
    `debug` are the bytes of a native program's debugging data.
    """

    path: str
    layer: int
    size: int
    sha256: bytes
    head: bytes
    debug: int = 0


@dataclass(frozen=True, slots=True)
class FoundSecret:
    """A secret in a file of a layer, seen in the end or not."""

    source: Source
    path: str
    secret: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One line of the history (config.md, "history"); `layer` is None for those that made none."""

    number: int
    created_by: str
    layer: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is known of an image.

    `visible` are paths of the merged filesystem without a leading slash, sorted; `facts` and `kept`
    go by where a file's bytes are (`Node.source`). `truncated` says what did not fit into memory.
    """

    image: Image
    digest: Digest
    tree: Tree
    visible: Mapping[str, Node]
    facts: Mapping[Source, FileFact]
    kept: Mapping[Source, bytes]
    secrets: Sequence[FoundSecret]
    capabilities: Mapping[str, int]
    history: Sequence[HistoryEntry]
    unpacked: Sequence[int]
    files: Sequence[int]
    truncated: Sequence[str] = ()

    def fact(self, path: str) -> FileFact | None:
        """Return what is known of the file at `path`, links not followed."""
        node = self.visible.get(path)
        return None if node is None or node.source is None else self.facts.get(node.source)

    def text(self, path: str) -> str | None:
        """Return a kept file's content; links are followed. None: it is not there, or was not kept."""
        real = self.real_path(path)
        node = None if real is None else self.visible.get(real)
        if node is None or node.source is None:
            return None
        data = self.kept.get(node.source)
        return None if data is None else data.decode("utf-8", "surrogateescape")

    def real_path(self, path: str) -> str | None:
        """Return `path` with all links followed, no leading slash; None where they lead nowhere."""
        try:
            return self.tree.real_path(path)
        except ImageError:  # a loop of links
            return None

    def files_below(self, folder: str) -> Iterator[tuple[str, Node]]:
        """Yield the paths below `folder` (no slashes at its ends), sorted."""
        node = self.visible.get(folder)
        if node is not None:
            for path, child in Tree(node, ()).walk():
                yield f"{folder}/{path}", child


@dataclass
class _Collector:
    """The visitor of `read_tree`."""

    facts: dict[Source, FileFact] = field(default_factory=dict)
    kept: dict[Source, bytes] = field(default_factory=dict)
    secrets: list[FoundSecret] = field(default_factory=list)
    capabilities: dict[str, int] = field(default_factory=dict)
    unpacked: dict[int, int] = field(default_factory=dict)
    files: dict[int, int] = field(default_factory=dict)
    truncated: dict[str, None] = field(default_factory=dict)
    kept_bytes: int = 0
    look_for_secrets: bool = True

    def visit(
        self, layer: int, ordinal: int, info: tarfile.TarInfo, content: Iterator[bytes | memoryview]
    ) -> None:
        if not info.isreg():
            return
        path = _plain(info.name)
        self.unpacked[layer] = self.unpacked.get(layer, 0) + info.size
        self.files[layer] = self.files.get(layer, 0) + 1
        if CAPABILITY in info.pax_headers:
            self.capabilities[path] = layer
        source = (layer, ordinal)
        keep = self._may_keep(path, info.size)
        hasher = hashlib.sha256()
        head, pieces, kept_size = b"", [], 0
        window = bytearray()
        scanned = binary = False
        lines = 0  # before the window
        tail = bytearray()
        for chunk in content:
            hasher.update(chunk)
            if not head:
                head = bytes(chunk[:_HEAD])
                binary = not self.look_for_secrets or head.startswith(_BINARY)
            if keep and kept_size < keep:
                pieces.append(bytes(chunk[: keep - kept_size]))
                kept_size += len(pieces[-1])
            if head.startswith(b"\x7fELF"):
                tail += chunk
                del tail[: -elf.TAIL]
            if not binary:
                window += chunk
                if len(window) >= _WINDOW:
                    self._scan(source, path, bytes(window), lines)
                    scanned = True
                    lines += window.count(b"\n", 0, len(window) - _OVERLAP)
                    del window[:-_OVERLAP]
        if window and not (scanned and len(window) <= _OVERLAP):
            self._scan(source, path, bytes(window), lines)
        if keep:
            self.kept[source] = b"".join(pieces)
            self.kept_bytes += kept_size
        told = head if head.startswith((b"\x7fELF", b"#!")) or path.endswith(".pyc") else b""
        debug = elf.debug_bytes(head, bytes(tail), info.size) if tail else 0
        self.facts[source] = FileFact(path, layer, info.size, hasher.digest(), told, debug)

    def _may_keep(self, path: str, size: int) -> int:
        """Return how many bytes of a file are kept."""
        if not _KEPT.fullmatch(path):
            return 0
        limit = _KEEP_METADATA if _HEADED.fullmatch(path) else _KEEP_FILE
        if (limit == _KEEP_FILE and size > limit) or self.kept_bytes + min(size, limit) > _KEEP_TOTAL:
            self.truncated[f"/{path} has {size} bytes, more than a check keeps"] = None
            return 0
        return limit

    def _scan(self, source: Source, path: str, data: bytes, lines: int) -> None:
        # Disk images and sparse files are mostly holes; looking at those takes longer than unpacking them.
        if not data.strip(b"\0"):
            return
        found = list(find_secrets(data))
        if _CONFIGURATION.fullmatch(path):
            found += find_credentials(data)
        if found and len(self.secrets) >= _MAX_SECRETS:
            self.truncated[f"more than {_MAX_SECRETS} secrets were found; the others are left out"] = None
            return
        self.secrets += (
            FoundSecret(source, path, replace(secret, line=secret.line + lines)) for secret in found
        )


def collect(
    image: Image | LoadedImage, *, limits: Limits = CHECK_LIMITS, look_for_secrets: bool = True
) -> Evidence:
    """Read every layer of `image` to its end, checking them, and return what is known of it.

    Looking for secrets takes most of the time; without, no file is searched.

    Raises ImageError `layer-too-large` for a layer that unpacks to 200 times its size (and more than
    1 GiB), and all that `oci.tree.read_tree` raises.
    """
    plain = image.image if isinstance(image, LoadedImage) else image
    config = image.config if isinstance(image, LoadedImage) else image.config_blob().data
    packed = sum(layer.descriptor.size for layer in plain.layers)
    limits = Limits(size=min(limits.size, max(_FREE_SIZE, packed * _MAX_RATIO)), entries=limits.entries)
    collector = _Collector(look_for_secrets=look_for_secrets)
    tree = read_tree(plain.layers, limits=limits, visit=collector.visit)
    visible = _visible(tree)
    numbers = range(len(plain.layers))
    return Evidence(
        image=plain,
        digest=image.digest,
        tree=tree,
        visible=visible,
        facts=collector.facts,
        kept=collector.kept,
        secrets=_once(collector.secrets),
        capabilities={
            path: layer
            for path, layer in collector.capabilities.items()
            if (node := visible.get(path)) is not None and node.source is not None and node.source[0] == layer
        },
        history=read_history(config),
        unpacked=[collector.unpacked.get(number, 0) for number in numbers],
        files=[collector.files.get(number, 0) for number in numbers],
        truncated=tuple(collector.truncated),
    )


def _visible(tree: Tree) -> dict[str, Node]:
    """Return every path; raises ImageError `paths-too-long` when they are more than memory should hold."""
    visible: dict[str, Node] = {}
    left = _MAX_PATHS
    for path, node in tree.walk():
        left -= len(path)
        if left < 0:
            raise ImageError("paths-too-long", f"all paths together are longer than {_MAX_PATHS} bytes")
        visible[path] = node
    return visible


def read_history(config: bytes) -> tuple[HistoryEntry, ...]:
    """Return the history in an image's configuration, those lines that made no layer too.

    Raises ImageError `bad-config`.
    """
    try:
        data: Any = json.loads(config)
        entries = [] if data.get("history") is None else list(data["history"])
        found, layer = [], 0
        for number, entry in enumerate(entries):
            empty = bool(entry.get("empty_layer"))
            text = str(entry.get("created_by") or "")
            found.append(HistoryEntry(number=number, created_by=text, layer=None if empty else layer))
            layer += not empty
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ImageError("bad-config", f"malformed history: {error}") from error
    return tuple(found)


def _once(secrets: Sequence[FoundSecret]) -> tuple[FoundSecret, ...]:
    # Windows overlap, so that a secret may have been seen twice.
    return tuple(dict.fromkeys(secrets))


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))
