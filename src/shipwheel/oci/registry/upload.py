"""Bring one blob into a repository: found there, mounted from another, or uploaded and resumed.

distribution-spec, "Pushing Blobs". `push` decides which blobs, and in what order.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Final, Literal
from urllib.parse import quote, urljoin, urlsplit

from shipwheel.errors import IntegrityError, NetworkError
from shipwheel.net import Response, StatusError, redact, retry_after
from shipwheel.oci.model import Blob, Descriptor
from shipwheel.oci.registry.client import RegistryClient, Repository
from shipwheel.oci.registry.pull import RegistryBlob
from shipwheel.oci.registry.quirks import quirks_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Outcome = Literal["present", "mounted", "uploaded"]

_PUSH: Final = ("pull", "push")
_ATTEMPTS: Final = 5
_BREAKS: Final = 50
_MAX_MOUNTS: Final = 3
# Up to here a blob goes in one request with its digest; sent again when it breaks.
_AT_ONCE: Final = 4 * 1024 * 1024
_SKIPPED: Final = 256 * 1024
# What to try after "413 Content Too Large": a proxy before the registry limits bodies.
_PIECES: Final = (64 * 1024 * 1024, 16 * 1024 * 1024, 4 * 1024 * 1024, 1024 * 1024)
_AGAIN: Final = frozenset({404, 408, 416, 429, 500, 502, 503, 504})
_BROKEN: Final = frozenset({"unreachable", "timeout", "cut-short"})


class StoppedError(Exception):
    """The push was given up; what is under way ends at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploader:
    """Puts blobs into `repository`; `sources` are where else its registry may have them.

    `on_bytes` gets what was sent of a blob (negative for what has to be sent again); `stop` ends all.
    """

    client: RegistryClient = field(repr=False)
    repository: Repository
    sources: Collection[Repository] = ()
    on_bytes: Callable[[Descriptor, int], None] | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def ensure(self, descriptor: Descriptor, blob: Blob) -> Outcome:
        """Make the repository have the blob and return how; of one blob, one at a time on this machine.

        Raises NetworkError (`registry-unauthorized`, `registry-denied`, `digest-refused`, ...), StoppedError.
        """
        registry, digest = self.repository.registry, descriptor.digest
        # One lock for the whole registry: a push to another repository then mounts instead of sending.
        with (
            self.client.blob_locks.hold("push", registry, str(digest)),
            self.client.cache.locked(f"push {registry} {digest}", check=self.check),
        ):
            self.check()
            holders = self.client.holders(registry, digest)
            if self.repository in holders or self.is_there(descriptor):
                outcome: Outcome = "present"
            else:
                origins = [blob.repository] if isinstance(blob, RegistryBlob) else []
                earlier = self.client.past_holders(registry, digest)
                outcome = self._bring(descriptor, blob, [*origins, *holders, *self.sources, *earlier])
            self.client.note_blob(self.repository, digest)
            return outcome

    def check(self) -> None:
        """Raise StoppedError when the push was given up."""
        if self.stop.is_set():
            raise StoppedError

    def is_there(self, descriptor: Descriptor) -> bool:
        """Tell whether the repository has the blob."""
        response = self.call("HEAD", f"blobs/{descriptor.digest}", redirects=False)
        if response.status == 200 or 300 <= response.status < 400:  # a redirect to where it is kept
            return True
        if response.status in (404, 405):
            return False
        raise self.refusal(response)

    def _bring(self, descriptor: Descriptor, blob: Blob, sources: Sequence[Repository]) -> Outcome:
        location, least = None, 0
        for source in self._candidates(sources):
            try:
                response = self.call(
                    "POST",
                    f"blobs/uploads/?mount={quote(str(descriptor.digest))}&from={quote(source.name, safe='')}",
                    also=(source,),
                )
            except StatusError:
                # No token for a repository that may not be read: then it is no source.
                continue
            if response.status == 201:
                return "mounted"
            if response.status == 202:
                # distribution-spec, "Mounting a blob": not mounted, and an upload has begun instead. Of
                # several the last is used; the others expire.
                location, least = self.location(response), _least_chunk(response)
        _Upload(self, descriptor, blob, location, least).run()
        return "uploaded"

    def _candidates(self, sources: Sequence[Repository]) -> Sequence[Repository]:
        if not quirks_of(self.repository.registry).mounts:
            return []
        fitting = dict.fromkeys(source for source in sources if source.registry == self.repository.registry)
        fitting.pop(self.repository, None)
        return list(fitting)[:_MAX_MOUNTS]

    def call(
        self,
        method: str,
        path: str,
        *,
        also: Collection[Repository] = (),
        headers: dict[str, str] | None = None,
        body: bytes | Callable[[], BinaryIO] | None = None,
        retry: bool = True,
        redirects: bool = True,
    ) -> Response:
        """Send a request with the right to push; see `RegistryClient.call`."""
        return self.client.call(
            method,
            self.repository,
            path,
            actions=_PUSH,
            also=also,
            headers=headers,
            body=body,
            retry=retry,
            redirects=redirects,
        )

    def location(self, response: Response) -> str:
        """Return where an upload goes on; raises NetworkError `registry-error` when it is not said."""
        location = response.headers.get("location")
        if not location:
            raise NetworkError(
                "registry-error", "the registry does not say where an upload goes", place=redact(response.url)
            )
        return urljoin(response.url, location)

    def refusal(self, response: Response) -> StatusError:
        """Return the error for an answer that is not a success."""
        return self.client.refusal(response, self.repository, "push to")


class _Upload:
    """One blob on its way: `offset` bytes have arrived at `location`, None before it has begun.

    No chunk but the last has fewer than `least` bytes.
    """

    def __init__(
        self, uploader: Uploader, descriptor: Descriptor, blob: Blob, location: str | None, least: int
    ) -> None:
        self._up = uploader
        self._descriptor = descriptor
        self._blob = blob
        self._location = location
        self._offset = 0
        self._piece: int | None = None
        self._least = least
        self._reported = 0

    def run(self) -> None:
        failures = 0
        for _ in range(_BREAKS):
            before = self._offset
            try:
                self._go_on()
            except NetworkError as error:
                self._up.check()
                failures = 1 if self._offset > before else failures + 1
                status = error.status if isinstance(error, StatusError) else 0
                if status == 413 and self._shrink():
                    self._location = None
                    continue
                if (status not in _AGAIN and error.code not in _BROKEN) or failures >= _ATTEMPTS:
                    raise
                asked = retry_after(error.headers) if isinstance(error, StatusError) else None
                self._up.client.http.pause(failures, self._location or str(self._up.repository), error, asked)
                if self._find_place():
                    return
            else:
                self._report(self._descriptor.size)
                return
        raise NetworkError(
            "cut-short",
            "an upload broke again and again",
            place=f"{self._up.repository}@{self._descriptor.digest}",
        )

    def _go_on(self) -> None:
        size = self._descriptor.size
        if self._location is None:
            response = self._up.call("POST", "blobs/uploads/", headers={"Content-Length": "0"})
            if response.status != 202:
                raise self._up.refusal(response)
            self._location, self._offset = self._up.location(response), 0
            self._least = _least_chunk(response)
        if size <= _AT_ONCE and self._piece is None and self._offset == 0:
            self._finish(size)
            return
        while self._offset < size:
            self._send_piece(min(size - self._offset, max(self._piece or size, self._least)))
        self._finish(0)

    def _send_piece(self, length: int) -> None:
        start = self._offset
        headers = _body_headers(length)
        # One stream from the start goes without a range, as every registry takes it.
        if start or length < self._descriptor.size:
            headers["Content-Range"] = f"{start}-{start + length - 1}"
        response = self._up.call(
            "PATCH", self._place(), headers=headers, body=self._body(length), retry=False
        )
        if response.status not in (202, 204):
            raise self._up.refusal(response)
        self._location = self._up.location(response)
        arrived = _range_end(response)
        self._offset = start + length if arrived is None else arrived
        self._report(self._offset)

    def _finish(self, length: int) -> None:
        place = self._place()
        separator = "&" if urlsplit(place).query else "?"
        response = self._up.call(
            "PUT",
            f"{place}{separator}digest={quote(str(self._descriptor.digest), safe='')}",
            headers=_body_headers(length),
            body=self._body(length) if length else b"",
            retry=False,
        )
        if response.status not in (201, 204):
            raise self._up.refusal(response)

    def _find_place(self) -> bool:
        """After a break, learn where to go on; True when the blob has arrived all the same."""
        place, self._location = self._location, None
        if place is not None:
            response = self._up.call("GET", place, redirects=False)
            arrived = _range_end(response)
            if response.status in (202, 204) and arrived is not None and arrived <= self._descriptor.size:
                location = response.headers.get("location")
                self._location = urljoin(response.url, location) if location else place
                self._offset = arrived
                self._report(arrived)
                return False
        self._offset = 0
        self._report(0)
        # The answer to the last request may be all that was lost.
        return self._up.is_there(self._descriptor)

    def _shrink(self) -> bool:
        smaller = [
            piece
            for piece in _PIECES
            if self._least <= piece < min(self._piece or self._descriptor.size, self._descriptor.size)
        ]
        if not smaller:
            return False
        self._piece = smaller[0]
        return True

    def _place(self) -> str:
        if self._location is None:
            raise AssertionError("an upload has begun before it is sent to")
        return self._location

    def _body(self, length: int) -> Callable[[], BinaryIO]:
        start = self._offset

        def open_slice() -> BinaryIO:
            self._report(start)
            file = self._blob.open()
            _skip(file, start)
            return io.BufferedReader(_Slice(file, length, self))

        return open_slice

    def sent(self, count: int) -> None:
        """Note that `count` more bytes are on their way."""
        self._up.check()
        self._report(self._reported + count)

    def too_short(self) -> IntegrityError:
        """Return the error for a blob with fewer bytes than its descriptor says."""
        return IntegrityError(
            "wrong-size",
            f"a blob has fewer than the {self._descriptor.size} bytes that it should have",
            place=str(self._descriptor.digest),
            hint="its file was damaged: `shipwheel cache prune` clears the cache",
        )

    def _report(self, total: int) -> None:
        if self._up.on_bytes is not None and total != self._reported:
            self._up.on_bytes(self._descriptor, total - self._reported)
        self._reported = total


class _Slice(io.RawIOBase):
    """`length` bytes of a file from where it stands, counted as they are read."""

    def __init__(self, file: BinaryIO, length: int, upload: _Upload) -> None:
        self._file = file
        self._left = length
        self._upload = upload

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        data = self._file.read(min(len(memoryview(buffer)), self._left))
        if not data and self._left:
            raise self._upload.too_short()
        memoryview(buffer)[: len(data)] = data
        self._left -= len(data)
        self._upload.sent(len(data))
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _skip(file: BinaryIO, count: int) -> None:
    if file.seekable():
        file.seek(count)
        return
    while count and (data := file.read(min(count, _SKIPPED))):  # a compressed archive's member
        count -= len(data)


def _body_headers(length: int) -> dict[str, str]:
    return {"Content-Type": "application/octet-stream", "Content-Length": str(length)}


def _least_chunk(response: Response) -> int:
    """Return the least size of a chunk that is not the last (`OCI-Chunk-Min-Length`), 0 where none is said."""
    told = response.headers.get("oci-chunk-min-length", "")
    return int(told) if re.fullmatch(r"\d{1,12}", told) else 0


def _range_end(response: Response) -> int | None:
    """Return how many bytes have arrived (`Range: 0-<last>`); registries say `0-0` of none too."""
    match = re.fullmatch(r"(?:bytes=)?0-(\d{1,15})", response.headers.get("range", ""))
    if match is None:
        return None
    return 0 if match[1] == "0" else int(match[1]) + 1
