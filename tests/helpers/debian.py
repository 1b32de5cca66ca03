"""Make small Debian packages and signed archives, and serve them from memory."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import struct
import tarfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import BinaryIO, Final

from pysequoia import SignatureMode, Tsk, sign

from shipwheel.base.model import DebianPackage
from shipwheel.errors import NetworkError
from shipwheel.net import Download, Response, StatusError

MIRROR: Final = "https://mirror.example/debian"
SECURITY: Final = "https://mirror.example/debian-security"
NOW: Final = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Member:
    """An entry of a package's data archive; `kind` is a type of the tarfile module."""

    path: str
    content: bytes = b""
    mode: int = 0o644
    kind: bytes = tarfile.REGTYPE
    link: str = ""
    uid: int = 0


def folder(path: str, mode: int = 0o755) -> Member:
    return Member(path, mode=mode, kind=tarfile.DIRTYPE)


def symlink(path: str, target: str) -> Member:
    return Member(path, mode=0o777, kind=tarfile.SYMTYPE, link=target)


def hardlink(path: str, target: str) -> Member:
    return Member(path, kind=tarfile.LNKTYPE, link=target)


@dataclass(frozen=True)
class BuiltDeb:
    """A .deb's bytes and the stanza that an archive's Packages file has of it."""

    name: str
    version: str
    architecture: str
    data: bytes
    stanza: str

    @property
    def path(self) -> str:
        return f"pool/main/{self.name[0]}/{self.name}/{self.name}_{self.version}_{self.architecture}.deb"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def locked(self, **changes: str | int) -> DebianPackage:
        fields: dict[str, str | int] = {
            "name": self.name,
            "version": self.version,
            "architecture": self.architecture,
            "archive": "trixie",
            "path": self.path,
            "size": len(self.data),
            "sha256": self.sha256,
            **changes,
        }
        return DebianPackage(**fields)  # type: ignore[arg-type]


def make_deb(
    name: str,
    members: Sequence[Member] = (),
    *,
    version: str = "1.0-1",
    architecture: str = "amd64",
    scripts: Mapping[str, str] | None = None,
    md5sums: str | None = None,
    compression: str = "xz",
    fields: str = "",
) -> BuiltDeb:
    stanza = f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n{fields}"
    control = [Member("./control", stanza.encode())]
    control += [Member(f"./{kind}", text.encode(), 0o755) for kind, text in (scripts or {}).items()]
    if md5sums is not None:
        control.append(Member("./md5sums", md5sums.encode()))
    data = ar(
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", lzma.compress(make_tar(control))),
        ("data.tar" + (f".{compression}" if compression else ""), _compress(make_tar(members), compression)),
    )
    return BuiltDeb(name, version, architecture, data, stanza)


def ar(*members: tuple[str, bytes]) -> bytes:
    pieces = [b"!<arch>\n"]
    for name, data in members:
        pieces.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode())
        pieces.append(data + b"\n" * (len(data) % 2))
    return b"".join(pieces)


def make_tar(members: Sequence[Member]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for member in members:
            info = tarfile.TarInfo(member.path)
            info.type, info.mode, info.linkname, info.uid = member.kind, member.mode, member.link, member.uid
            info.size = len(member.content)
            tar.addfile(info, io.BytesIO(member.content))
    return buffer.getvalue()


def _compress(data: bytes, form: str) -> bytes:
    if form == "xz":
        return lzma.compress(data)
    return gzip.compress(data, mtime=0) if form == "gz" else data


def elf(soname: str, machine: int = 62, kind: int = 3) -> bytes:
    """Make a shared object with nothing but a name: a load segment and a dynamic one."""
    strings = b"\0" + soname.encode() + b"\0"
    strings_at = 64 + 2 * 56
    dynamic_at = strings_at + len(strings)
    tags = [(5, 0x1000 + strings_at), *([(14, 1)] if soname else []), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *tag) for tag in tags)
    size = dynamic_at + len(dynamic)
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", kind, machine, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0
    )
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x1000, 0x1000, size, size, 4096)
    dyn = struct.pack("<IIQQQQQQ", 2, 6, dynamic_at, 0, 0, len(dynamic), len(dynamic), 8)
    return header + load + dyn + strings + dynamic


@cache
def signing_key(name: str = "archive") -> Tsk:
    return Tsk.generate(user_id=f"{name} <{name}@mirror.example>")


def certificate(name: str = "archive") -> bytes:
    return bytes(signing_key(name).extract_certificate())


def fingerprint(name: str = "archive") -> str:
    return str(signing_key(name).extract_certificate().fingerprint).upper()


def clear_sign(text: str, name: str = "archive") -> bytes:
    return sign(signing_key(name).signer(), text.encode(), mode=SignatureMode.CLEAR)


@dataclass
class Archive:
    """A signed archive's index for some packages; `inrelease` and `files` are what a mirror serves."""

    codename: str = "trixie"
    debs: Sequence[BuiltDeb] = ()
    date: str = "Sat, 21 Nov 2026 08:00:00 UTC"
    valid_until: str | None = None
    key: str = "archive"
    by_hash: bool = True
    forms: Sequence[str] = ("", ".xz", ".gz")
    architectures: Sequence[str] = ("amd64", "arm64")
    extra: Mapping[str, str] = field(default_factory=dict)

    def packages(self, architecture: str) -> bytes:
        stanzas = [
            f"{deb.stanza}Filename: {deb.path}\nSize: {len(deb.data)}\nSHA256: {deb.sha256}\n"
            for deb in self.debs
            if deb.architecture in (architecture, "all")
        ]
        return "\n".join(stanzas).encode()

    def indexes(self) -> dict[str, bytes]:
        pack: dict[str, Callable[[bytes], bytes]] = {
            "": bytes,
            ".xz": lzma.compress,
            ".gz": lambda data: gzip.compress(data, mtime=0),
        }
        return {
            f"main/binary-{architecture}/Packages{form}": pack[form](self.packages(architecture))
            for architecture in self.architectures
            for form in ("", *self.forms)
        }

    def release_text(self) -> str:
        lines = [
            "Origin: Debian",
            f"Codename: {self.codename}",
            f"Date: {self.date}",
            *([f"Valid-Until: {self.valid_until}"] if self.valid_until else []),
            *(["Acquire-By-Hash: yes"] if self.by_hash else []),
            f"Architectures: all {' '.join(self.architectures)}",
            *(f"{name}: {value}" for name, value in self.extra.items()),
            "SHA256:",
            *(
                f" {hashlib.sha256(data).hexdigest()} {len(data):>8} {path}"
                for path, data in self.indexes().items()
            ),
        ]
        return "\n".join(lines) + "\n"

    def inrelease(self) -> bytes:
        return clear_sign(self.release_text(), self.key)

    def served(self, mirror: str = MIRROR) -> dict[str, bytes]:
        """Return what `mirror` serves, by URL: the index, its files (by hash too) and the packages."""
        below = f"{mirror}/dists/{self.codename}"
        files = {f"{below}/InRelease": self.inrelease()}
        for path, data in self.indexes().items():
            files[f"{below}/{path}"] = data
            if self.by_hash:
                digest = hashlib.sha256(data).hexdigest()
                files[f"{below}/{path.rpartition('/')[0]}/by-hash/SHA256/{digest}"] = data
        return files | {f"{mirror}/{deb.path}": deb.data for deb in self.debs}


class MemoryHttp:
    """What `shipwheel.net.Http` would find in `files`; `asked` are the addresses in order."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.asked: list[str] = []

    def get(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        max_bytes: int = 1 << 30,
        allow_http: bool = False,
    ) -> Response:
        return Response(status=200, url=url, headers={}, body=self._body(url))

    def download(
        self,
        url: str,
        file: BinaryIO,
        *,
        size: int | None = None,
        algorithms: Collection[str] = ("sha256",),
        progress: Callable[[int], None] | None = None,
        allow_http: bool = False,
    ) -> Download:
        body = self._body(url)
        if size is not None and len(body) != size:
            raise NetworkError("cut-short", f"{len(body)} bytes of {size}", place=url)
        file.write(body)
        file.flush()
        digests = {name: hashlib.new(name, body).hexdigest() for name in algorithms}
        return Download(url=url, size=len(body), digests=digests, headers={})

    def _body(self, url: str) -> bytes:
        self.asked.append(url)
        if url not in self.files:
            raise StatusError("http-status", "the server answers 404", place=url)
        return self.files[url]
