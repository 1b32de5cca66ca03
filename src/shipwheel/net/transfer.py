"""The receiving side of one download: bytes written and hashed, and where to go on after a break."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from shipwheel.errors import NetworkError
from shipwheel.net.address import redact
from shipwheel.net.failures import cut_short, too_large


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """What was written: `size` in bytes, hexadecimal `digests` by algorithm of the bytes received."""

    url: str
    size: int
    digests: Mapping[str, str]
    headers: Mapping[str, str]


class Transfer:
    """Bytes on their way into `file`, which holds `received` of them so far."""

    def __init__(
        self,
        file: BinaryIO,
        algorithms: Collection[str],
        url: str,
        limit: int | None,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._file = file
        self._algorithms = sorted(algorithms)
        self._url = url
        self._limit = limit
        self._progress = progress
        self._validator: str | None = None
        self.received = 0
        self.start()

    def start(self) -> None:
        """Begin again with nothing received."""
        if self._progress is not None and self.received:
            self._progress(-self.received)
        self._file.seek(0)
        self._file.truncate()
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in self._algorithms}
        self._validator = None
        self.received = 0

    def request_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return `headers` with what asks for the missing part (RFC 9110 section 14)."""
        wanted = dict(headers)
        if self.received:
            wanted["Range"] = f"bytes={self.received}-"
            if self._validator is not None:
                wanted["If-Range"] = self._validator
        return wanted

    def accept(self, status: int, headers: Mapping[str, str]) -> None:
        """Take an answer of 200 or 206: go on where we were, or begin again where the server does."""
        if status == 206 and self.received:
            match = re.match(r"bytes (\d+)-", headers.get("content-range", ""))
            if match is None or int(match[1]) != self.received:
                raise NetworkError(
                    "bad-range", "the server sends another part than asked for", place=self._place
                )
            return
        if status == 206:
            raise NetworkError(
                "bad-range", "the server sends a part of what was asked for", place=self._place
            )
        self.start()
        etag = headers.get("etag", "")
        # RFC 9110 section 13.1.5: If-Range takes no weak validator.
        self._validator = etag if etag and not etag.startswith("W/") else headers.get("last-modified")
        length = headers.get("content-length", "")
        if self._limit is not None and length.isdigit() and int(length) > self._limit:
            raise too_large(self._url, self._limit)

    def write(self, chunk: bytes) -> None:
        """Write and hash `chunk`; raises NetworkError `too-large`."""
        if self._limit is not None and self.received + len(chunk) > self._limit:
            raise too_large(self._url, self._limit)
        self._file.write(chunk)
        for running in self._hashes.values():
            running.update(chunk)
        self.received += len(chunk)
        if self._progress is not None:
            self._progress(len(chunk))

    def finish(self, url: str, size: int | None, headers: Mapping[str, str]) -> Download:
        """Return what was written; raises NetworkError `cut-short` when it is not `size` bytes."""
        if size is not None and self.received != size:
            raise cut_short(url, self.received, size)
        self._file.flush()
        digests = {name: running.hexdigest() for name, running in self._hashes.items()}
        return Download(url=url, size=self.received, digests=digests, headers=headers)

    @property
    def _place(self) -> str:
        return redact(self._url)
