"""Get locked files: from the cache, the lock's own address or an index, and hash the bytes received.

The lock's hashes decide alone. Any configured place may serve a file; what a page says of hashes and
sizes only sets the order in which its links are tried. A file is in the cache under its locked hash or
not at all. Which places there are is `indexes`' part, how one is asked `client`'s.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Protocol, Self

from packaging.utils import NormalizedName

from shipwheel.cache import Cache
from shipwheel.errors import IntegrityError, LockError, NetworkError, Problem, ShipwheelError
from shipwheel.locks.model import KnownByHash, LockedFile, Selected
from shipwheel.net import Download, Http
from shipwheel.net.address import redact
from shipwheel.wheel.client import IndexClient
from shipwheel.wheel.credentials import Credentials
from shipwheel.wheel.index import IndexFile, Pages, PageSource, matching, of_version, path_of
from shipwheel.wheel.indexes import Index, Indexes
from shipwheel.wheel.wanted import Wanted, all_wanted

_WORKERS: Final = 8
_HINT: Final = "is the index that was locked from configured here (PIP_INDEX_URL, UV_INDEX, …)?"
_TAMPERED: Final = "the file is not the one that was locked: find out why before you lock again"

Progress = Callable[[Selected, int, int | None], None]
"""Told by many threads: which file, bytes so far, bytes in all where known. The last call has all."""


class Client(PageSource, Protocol):
    """What gets pages and files; `client.IndexClient`."""

    def download(
        self,
        url: str,
        file: BinaryIO,
        *,
        via: str | None,
        algorithms: Collection[str],
        max_bytes: int | None,
        progress: Callable[[int], None] | None,
    ) -> Download:
        """Stream `url` into `file`; raises NetworkError, `file-gone` for 404."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watch:
    """Who wants to hear of a download, and when to give up."""

    progress: Progress | None
    stop: threading.Event


@dataclass(frozen=True, slots=True, kw_only=True)
class _Link:
    """One address to try: `via` is the index whose page named it, `claims` what that page says."""

    url: str
    via: str | None
    named_by: str
    claims: Mapping[str, str] = field(default_factory=dict)
    yanked: str | None = None


@dataclass(frozen=True, slots=True)
class _Attempts:
    """What became of the places asked for one file."""

    asked: list[str] = field(default_factory=list)
    mismatches: list[Problem] = field(default_factory=list)
    failures: list[Problem] = field(default_factory=list)


class Fetcher:
    """Fetches locked files. For use by many threads and, through the cache, many processes.

    `notes` collects what a user may want to know and what stops nothing: yanked files, places that
    offered other bytes, damaged cache entries.
    """

    def __init__(self, cache: Cache, client: Client, indexes: Indexes, *, root: Path) -> None:
        """Fetch into `cache` from `indexes`; paths in a lock are relative to `root`."""
        self._cache, self._client, self._indexes, self._root = cache, client, indexes, root
        self._pages = Pages(client)
        self._lock = threading.Lock()
        self._busy: dict[str, threading.Lock] = {}
        self._verified: set[str] = set()
        self._notes: set[str] = set()

    @classmethod
    def over(
        cls, http: Http, cache: Cache, indexes: Indexes, *, environ: Mapping[str, str], home: Path, root: Path
    ) -> Self:
        """Return a fetcher over `http`, with the logins of `indexes`, `environ` and the files below `home`."""
        credentials = Credentials(indexes.known(), environ=environ, home=home)
        return cls(cache, IndexClient(http, credentials), indexes, root=root)

    @property
    def notes(self) -> tuple[str, ...]:
        """What happened that stops nothing, sorted."""
        with self._lock:
            return tuple(sorted(self._notes))

    def fetch(
        self, selected: Selected, progress: Progress | None = None, *, stop: threading.Event | None = None
    ) -> Path:
        """Return the path in the cache of the locked file of `selected`, downloading it if need be.

        A file from the cache is hashed once per process (0.1 s for 150 MB). `stop`, once set, ends a
        download. Raises IntegrityError (`unhashed-file`, `weak-hash`, `hash-mismatch`,
        `size-mismatch`), LockError (`no-such-file` for a locked path), NetworkError (`not-on-index`,
        `index-login`, `bad-index-page` and what the network gives).
        """
        wanted = Wanted.of(selected)
        watch = _Watch(progress=progress, stop=stop or threading.Event())
        with self._lock:
            busy = self._busy.setdefault(wanted.key, threading.Lock())
        with busy:
            path = self._cached(wanted)
            if path is None:
                path = self._obtain(wanted, watch)
                self._cache.add_record(_size_key(wanted), path.stat().st_size)
            self._verified.add(wanted.key)
        if progress is not None:
            size = path.stat().st_size
            progress(selected, size, size)
        return path

    def fetch_all(
        self, selected: Sequence[Selected], progress: Progress | None = None, *, workers: int = _WORKERS
    ) -> tuple[Path, ...]:
        """Return the paths of all `selected` in their order, at most `workers` downloads at a time.

        The first failure ends the others; raised are the problems of its family, in the order of
        `selected`. Raises what `fetch` does; a lock that misses hashes is refused before any download.
        """
        sizes = [wanted.size or 0 for wanted in all_wanted(selected)]
        stop = threading.Event()
        # The largest first: a long download that starts last is waited for alone.
        order = sorted(range(len(selected)), key=lambda at: -sizes[at])
        with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="fetch") as pool:
            futures = {at: pool.submit(self.fetch, selected[at], progress, stop=stop) for at in order}
            finished = False
            try:
                finished = not wait(futures.values(), return_when=FIRST_EXCEPTION).not_done
            finally:
                if not finished:  # one failed, or Ctrl-C: the threads must end before it can go on
                    stop.set()
                    pool.shutdown(wait=False, cancel_futures=True)
        return _results([futures[at] for at in range(len(selected))])

    def size_of(self, selected: Selected, *, ask: bool = True) -> int | None:
        """Return the file's size in bytes: from the lock, the cache, or (with `ask`) an index's page.

        None where nobody says. What a page says is its claim; the lock's and the cache's are true.
        Raises IntegrityError (`unhashed-file`, `weak-hash`), NetworkError.
        """
        wanted = Wanted.of(selected)
        size = wanted.size
        if size is None:
            path = self._cache.file(wanted.algorithm, wanted.digest)
            size = path.stat().st_size if path is not None else self._cache.record(_size_key(wanted))
        if size is None and wanted.path is not None and (self._root / wanted.path).is_file():
            size = (self._root / wanted.path).stat().st_size
        if size is None and ask and not wanted.direct and wanted.path is None:
            size = self._claimed_size(wanted)
        return size

    def sizes_of(
        self, selected: Sequence[Selected], *, ask: bool = True, workers: int = _WORKERS
    ) -> tuple[int | None, ...]:
        """Return what `size_of` does for each of `selected`, in their order; several are asked at once."""
        with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="size") as pool:
            return tuple(pool.map(lambda each: self.size_of(each, ask=ask), selected))

    def list_files(self, selected: Selected) -> tuple[LockedFile, ...]:
        """Return the files of the selected release that its index lists, for `locks.choose.name_file`.

        For a `KnownByHash` source (requirements.txt, Pipfile.lock). Addresses are left out: `fetch`
        finds them again, and a mirror's has no business in a selection. A file of which the page tells
        none of the locked algorithms' hashes is fetched and hashed where it lies on this machine.
        Raises NetworkError, `not-on-index` where no place knows the release.
        """
        known = selected.source.hashes if isinstance(selected.source, KnownByHash) else ()
        algorithms = sorted({text.partition(":")[0] for text in known})
        found: dict[tuple[str, tuple[tuple[str, str], ...]], LockedFile] = {}
        asked: list[str] = []
        for index in self._indexes.places(selected.index):
            offered = self._pages.files(index, selected.name)
            asked.append(_describe(index) + ("" if offered is None else ", which has other files"))
            for file in of_version(offered or (), selected.version):
                hashes = dict(file.hashes)
                if not hashes.keys() & set(algorithms) and file.url.startswith("file:") and index.local:
                    hashes = {name: _hash_file(path_of(file.url), name) for name in algorithms}
                locked = LockedFile(name=file.filename, hashes=hashes, size=file.size)
                found.setdefault((file.filename, tuple(sorted(hashes.items()))), locked)
        if not found:
            raise NetworkError(
                "not-on-index",
                f"no index has {selected.name} {selected.version}; asked: {', '.join(asked) or _NONE}",
                place=selected.place,
                hint=_HINT,
            )
        return tuple(found.values())

    def offered(self, name: NormalizedName, index: str | None) -> tuple[IndexFile, ...]:
        """Return all files of a project that the first index lists which knows it; none where none does.

        `index` is the lock's (None: the default). Raises NetworkError.
        """
        for place in self._indexes.places(index):
            files = self._pages.files(place, name)
            if files:
                return files
        return ()

    def _cached(self, wanted: Wanted) -> Path | None:
        path = self._cache.file(wanted.algorithm, wanted.digest)
        if path is None or wanted.key in self._verified:
            return path
        if _hash_file(path, wanted.algorithm) != wanted.digest:
            # A crash of the machine, somebody's hand: as if it were not there.
            path.unlink(missing_ok=True)
            self._note(f"{wanted.filename} was damaged in the cache and is fetched again")
            return None
        return path

    def _obtain(self, wanted: Wanted, watch: _Watch) -> Path:
        attempts = _Attempts()
        for link in self._links(wanted, attempts):
            try:
                path = self._receive(wanted, link, watch)
            except IntegrityError as error:
                attempts.mismatches.extend(error.problems)
            except NetworkError as error:
                if error.code == "interrupted":
                    raise
                if error.code in ("file-gone", "file-missing"):
                    attempts.asked.append(f"{redact(link.url)} (gone)")
                else:
                    attempts.failures.extend(error.problems)
            else:
                self._note_success(wanted, link, attempts)
                return path
        if attempts.mismatches:
            raise IntegrityError.of([*attempts.mismatches, *attempts.failures])
        if attempts.failures:
            raise NetworkError.of(attempts.failures)
        raise NetworkError(
            "not-on-index",
            f"no index has {wanted.filename}; asked: {', '.join(attempts.asked) or _NONE}",
            place=wanted.selected.place,
            hint=_HINT,
        )

    def _links(self, wanted: Wanted, attempts: _Attempts) -> Iterator[_Link]:
        """Yield the addresses to try, best first; a page is read only when what came before failed."""
        locked_index = wanted.selected.index
        if wanted.path is not None:
            path = self._root / wanted.path
            if not path.is_file():
                message = f"the locked file {wanted.path} is not there"
                raise LockError("no-such-file", message, place=wanted.selected.place)
            yield _Link(url=path.resolve().as_uri(), via=None, named_by="the lock")
            return
        own = None if wanted.url is None else _Link(url=wanted.url, via=locked_index, named_by="the lock")
        if wanted.direct:
            if own is not None:
                yield own
            return
        last: list[_Link] = []
        overridden = self._indexes.overrides(locked_index)
        for index in self._indexes.places(locked_index):
            if own is not None and not overridden and not index.local:
                yield own
                own = None
            for link in self._links_on(index, wanted, attempts):
                # Either the page lies or it has another file of this name: only if all else fails.
                if wanted.contradicts(link.claims):
                    last.append(link)
                else:
                    yield link
        if own is not None and not self._indexes.no_index:
            yield own
        yield from last

    def _links_on(self, index: Index, wanted: Wanted, attempts: _Attempts) -> Iterator[_Link]:
        try:
            files = self._pages.files(index, wanted.selected.name)
        except NetworkError as error:
            attempts.failures.extend(error.problems)
            return
        mine = matching(files or (), wanted.filename)
        if not mine:
            attempts.asked.append(_describe(index) + ("" if files is None else ", which has other files"))
        for file in mine:
            # A page on the network has no say about this machine's files.
            if index.local or not file.url.startswith("file:"):
                yield _Link(
                    url=file.url,
                    via=index.url,
                    named_by=_describe(index),
                    claims=file.hashes,
                    yanked=file.yanked,
                )

    def _receive(self, wanted: Wanted, link: _Link, watch: _Watch) -> Path:
        """Stream `link` into the cache; raises IntegrityError unless every locked hash fits."""
        seen = 0

        def tell(received: int) -> None:
            nonlocal seen
            seen += received
            if watch.stop.is_set():
                raise NetworkError("interrupted", f"{wanted.filename}: given up, for another download failed")
            if watch.progress is not None:
                watch.progress(wanted.selected, seen, wanted.size)

        with self._cache.staging() as (staged, file):
            try:
                done = self._client.download(
                    link.url,
                    file,
                    via=link.via,
                    algorithms=wanted.hashes,
                    max_bytes=wanted.size,
                    progress=tell,
                )
            except NetworkError as error:
                if error.code == "too-large":
                    raise _mismatch("size", wanted, link, str(wanted.size), "more") from error
                raise
            if wanted.size is not None and done.size != wanted.size:
                raise _mismatch("size", wanted, link, str(wanted.size), str(done.size))
            for algorithm, expected in wanted.hashes.items():
                if done.digests[algorithm] != expected:
                    received = f"{algorithm}:{done.digests[algorithm]}"
                    raise _mismatch("hash", wanted, link, f"{algorithm}:{expected}", received)
            file.close()
            return self._cache.add_file(staged, wanted.algorithm, wanted.digest)

    def _claimed_size(self, wanted: Wanted) -> int | None:
        for index in self._indexes.places(wanted.selected.index):
            for file in matching(self._pages.files(index, wanted.selected.name) or (), wanted.filename):
                if file.size is not None and not wanted.contradicts(file.hashes):
                    return file.size
        return None

    def _note_success(self, wanted: Wanted, link: _Link, attempts: _Attempts) -> None:
        if link.yanked is not None:
            self._note(f"{wanted.filename} is yanked" + (f": {link.yanked}" if link.yanked else ""))
        for problem in (*attempts.mismatches, *attempts.failures):
            self._note(f"{link.named_by} served it after: {problem.message} ({problem.place})")

    def _note(self, text: str) -> None:
        with self._lock:
            self._notes.add(text)


_NONE: Final = "none, as no-index is set"


def _mismatch(kind: str, wanted: Wanted, link: _Link, expected: str, received: str) -> IntegrityError:
    return IntegrityError(
        f"{kind}-mismatch",
        f"{wanted.filename}: the lock's {kind} is {expected}, received from {link.named_by}: {received}",
        place=f"{redact(link.url)}, {wanted.selected.place}",
        hint=_TAMPERED,
    )


def _size_key(wanted: Wanted) -> str:
    return f"size of {wanted.key}"


def _hash_file(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _describe(index: Index) -> str:
    return f"{index} ({index.configured})" if index.configured else str(index)


def _results(futures: Sequence[Future[Path]]) -> tuple[Path, ...]:
    """Return the results; raises the problems of every future that failed as the first one did."""
    errors = [error for future in futures if not future.cancelled() and (error := future.exception())]
    if not errors:
        return tuple(future.result() for future in futures)
    for error in errors:
        if not isinstance(error, ShipwheelError):
            raise error
    ours = [error for error in errors if isinstance(error, ShipwheelError) and error.code != "interrupted"]
    family = type(ours[0])
    raise family.of([problem for error in ours if isinstance(error, family) for problem in error.problems])
