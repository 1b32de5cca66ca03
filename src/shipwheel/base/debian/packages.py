"""Read a Packages file: where each package's stanza is, and the fields of those that are asked for.

A subset of deb822 (Debian Policy 5.1): the 55 MB of a Packages file are gone through once, only names
and offsets are kept, and a stanza is parsed when a closure asks for it.
"""

from __future__ import annotations

import gzip
import lzma
import re
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import IO, BinaryIO, Final, Protocol, Self

from shipwheel.base.debian.relations import Alternatives, parse_relations
from shipwheel.errors import IntegrityError, LockError

_CHUNK: Final = 1024 * 1024
_WANTED: Final = frozenset(
    {
        "package",
        "version",
        "architecture",
        "multi-arch",
        "depends",
        "pre-depends",
        "provides",
        "conflicts",
        "breaks",
        "filename",
        "size",
        "sha1",
        "sha256",
    }
)
_PROVIDED: Final = re.compile(rb"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stanza:
    """One package of a Packages file; `size` in bytes, `filename` below the archive's root."""

    name: str
    version: str
    architecture: str
    archive: str
    filename: str
    size: int
    sha256: str
    sha1: str | None = None
    multi_arch: str = "no"
    depends: tuple[Alternatives, ...] = ()
    provides: tuple[Alternatives, ...] = ()
    conflicts: tuple[Alternatives, ...] = ()


class _Reader(Protocol):
    def read(self, size: int, /) -> bytes: ...


class PackagesIndex:
    """The packages of one archive for one architecture, in a temporary file; close it after use."""

    def __init__(self, compressed: BinaryIO, *, archive: str, form: str, size: int, place: str) -> None:
        """Read `compressed` (its hash was checked), whose `form` is `xz`, `gz` or empty.

        `size` is what it unpacks to. Raises IntegrityError `index-malformed` when it is damaged or
        unpacks to another length.
        """
        self._archive = archive
        self._place = place
        self._names: dict[bytes, list[tuple[int, int]]] = {}
        self._providers: dict[bytes, list[tuple[int, int]]] = {}
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        try:
            self._read(compressed, form, size)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the temporary file."""
        self._file.close()

    def named(self, name: str) -> list[Stanza]:
        """Return the packages called `name`, in the file's order."""
        return [self._stanza(*span) for span in self._names.get(name.encode(), ())]

    def providing(self, name: str) -> list[Stanza]:
        """Return the packages whose Provides names `name`, in the file's order."""
        return [self._stanza(*span) for span in self._providers.get(name.encode(), ())]

    def _read(self, compressed: BinaryIO, form: str, size: int) -> None:
        offset, rest = 0, b""
        total = 0
        for chunk in self._unpacked(compressed, form):
            total += len(chunk)
            if total > size:
                break
            self._file.write(chunk)
            block = rest + chunk
            end = block.rfind(b"\n\n")
            if end < 0:
                rest = block
                continue
            self._note(block[: end + 1], offset)
            offset += end + 2
            rest = block[end + 2 :]
        if total != size:
            raise IntegrityError(
                "index-malformed",
                f"unpacks to {'more' if total > size else 'less'} than {size} bytes",
                place=self._place,
            )
        self._note(rest, offset)

    def _unpacked(self, compressed: BinaryIO, form: str) -> Iterator[bytes]:
        opened: AbstractContextManager[_Reader] = nullcontext(compressed)
        if form == "xz":
            opened = lzma.LZMAFile(compressed)  # noqa: SIM115 - closed by the `with` below
        elif form == "gz":
            opened = gzip.GzipFile(fileobj=compressed)
        try:
            with opened as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except (lzma.LZMAError, EOFError, OSError) as error:
            raise IntegrityError("index-malformed", f"damaged: {error}", place=self._place) from error

    def _note(self, block: bytes, offset: int) -> None:
        for stanza in block.split(b"\n\n"):
            length = len(stanza)
            start = 0 if stanza.startswith(b"Package: ") else stanza.find(b"\nPackage: ") + 1
            if start or stanza.startswith(b"Package: "):
                end = stanza.find(b"\n", start)
                name = stanza[start + 9 : end if end >= 0 else length].strip()
                self._names.setdefault(name, []).append((offset, length))
                provides = stanza.find(b"\nProvides: ")
                if provides >= 0:
                    end = stanza.find(b"\n", provides + 1)
                    field = stanza[provides + 11 : end if end >= 0 else length]
                    for provided in _PROVIDED.findall(field):
                        self._providers.setdefault(provided, []).append((offset, length))
            offset += length + 2

    def _stanza(self, offset: int, length: int) -> Stanza:
        self._file.seek(offset)
        fields = parse_fields(self._file.read(length), self._place)
        try:
            size = int(fields["size"])
            stanza = Stanza(
                name=fields["package"],
                version=fields["version"],
                architecture=fields["architecture"],
                archive=self._archive,
                filename=fields["filename"],
                size=size,
                sha256=fields["sha256"],
                sha1=fields.get("sha1"),
                multi_arch=fields.get("multi-arch", "no"),
                depends=parse_relations(f"{fields.get('pre-depends', '')},{fields.get('depends', '')}"),
                provides=parse_relations(fields.get("provides", "")),
                conflicts=parse_relations(f"{fields.get('conflicts', '')},{fields.get('breaks', '')}"),
            )
        except (KeyError, ValueError) as error:
            raise IntegrityError(
                "index-malformed",
                f"package {fields.get('package')!r}: missing or bad {error}",
                place=self._place,
            ) from error
        except LockError as error:
            raise IntegrityError(
                "index-malformed",
                f"package {fields['package']}: {error.problems[0].message}",
                place=self._place,
            ) from error
        safe = all(part not in ("", ".", "..") for part in stanza.filename.split("/"))
        if not re.fullmatch("[0-9a-f]{64}", stanza.sha256) or size <= 0 or not safe:
            raise IntegrityError(
                "index-malformed", f"package {stanza.name}: bad Filename, Size or SHA256", place=self._place
            )
        return stanza


def parse_fields(stanza: bytes, place: str) -> dict[str, str]:
    """Return the fields of one stanza that we use, names in lower case, folded lines joined.

    Raises IntegrityError `index-malformed` for a field that comes twice or is not UTF-8.
    """
    fields: dict[str, str] = {}
    name = ""
    try:
        for line in stanza.decode().splitlines():
            if line[:1] in (" ", "\t"):
                if name in _WANTED:
                    fields[name] += " " + line.strip()
                continue
            name, _, value = line.partition(":")
            name = name.lower()
            if name in _WANTED:
                if name in fields:
                    raise IntegrityError("index-malformed", f"{name} comes twice in a stanza", place=place)
                fields[name] = value.strip()
    except UnicodeDecodeError as error:
        raise IntegrityError("index-malformed", "a stanza is not UTF-8", place=place) from error
    return fields
