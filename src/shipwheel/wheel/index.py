"""What an index offers of a project: PEP 503 and 691 pages, find-links pages and folders → files.

Follows PEP 592 (yanked), 700 (size) and 629 (versions of the API). Believes nothing: hashes and sizes
on a page are what the index claims, and `fetch` compares with the lock. Pages are kept for as long as
the `Pages` object lives, never on disk.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import url2pathname

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from shipwheel.errors import NetworkError
from shipwheel.net.address import redact
from shipwheel.wheel.indexes import Index

if TYPE_CHECKING:
    from pypi_simple import ProjectPage

# PEP 691, "Version + Format Selection": the newest JSON first, then HTML in its two names.
ACCEPT: Final = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
)
_JSON: Final = "application/vnd.pypi.simple.v1+json"
_HTML: Final = ("application/vnd.pypi.simple.v1+html", "text/html", "application/xhtml+xml")
# What is wrong with a whole index and not with one of its pages.
_DOWN: Final = frozenset({"unreachable", "timeout", "tls", "not-tls", "proxy", "plain-http"})
_SUFFIXES: Final = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFile:
    """A file as an index tells of it; `url` is absolute and without the hash in its fragment.

    `hashes` maps hashlib's names to lower-case hex; `size` is in bytes; `yanked` is the reason, ""
    where none is given, and None for a file that is not yanked.
    """

    filename: str
    url: str
    hashes: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None
    yanked: str | None = None
    requires_python: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A page as it came: `url` after redirects, without credentials."""

    url: str
    content_type: str
    body: bytes


class PageSource(Protocol):
    """What gets a page."""

    def page(self, url: str, *, accept: str, via: str) -> Answer | None:
        """Return the page at `url`, None where there is none (404, 410); raises NetworkError.

        `via` is the index it belongs to, for its credentials.
        """
        ...


class Pages:
    """The pages of all indexes, each asked for once. For use by many threads."""

    def __init__(self, source: PageSource) -> None:
        """Ask `source` for pages."""
        self._source = source
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[IndexFile, ...] | None] = {}
        self._down: dict[str, NetworkError] = {}
        self._busy: dict[str, threading.Lock] = {}

    def files(self, index: Index, name: str) -> tuple[IndexFile, ...] | None:
        """Return the files that `index` has for the project `name`, in the index's order.

        None: the index does not know the project. Raises NetworkError (`bad-index-page` for a page
        that is neither HTML nor JSON of version 1).
        """
        normal = canonicalize_name(name)
        if index.kind == "find-links":
            offered = self._once(index.url, index) or ()
            mine = tuple(file for file in offered if _project_of(file.filename, normal))
            return mine or None
        return self._once(f"{index.url}{normal}/", index)

    def _once(self, url: str, index: Index) -> tuple[IndexFile, ...] | None:
        with self._lock:
            busy = self._busy.setdefault(url, threading.Lock())
        with busy:
            if index.url in self._down:
                raise self._down[index.url]
            if url not in self._kept:
                try:
                    self._kept[url] = self._read(url, index)
                except NetworkError as error:
                    # Two hundred packages should not wait in turn for a server that does not answer.
                    if error.code in _DOWN:
                        self._down[index.url] = error
                    raise
            return self._kept[url]

    def _read(self, url: str, index: Index) -> tuple[IndexFile, ...] | None:
        if not index.local:
            answer = self._source.page(url, accept=ACCEPT, via=index.url)
            return None if answer is None else parse_page(answer)
        path = path_of(url)
        if index.kind == "find-links" and path.is_dir():
            return _folder(path)
        page = path if path.is_file() else path / "index.html"
        try:
            body = page.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            # A simple API on disk may do without pages: a folder of files for each project.
            return _folder(path) if path.is_dir() else None
        except OSError as error:
            raise NetworkError(
                "bad-index-page", f"cannot be read: {error.strerror}", place=str(page)
            ) from error
        return parse_page(Answer(url=page.as_uri(), content_type="text/html", body=body))


def parse_page(answer: Answer) -> tuple[IndexFile, ...]:
    """Read a project or find-links page; raises NetworkError `bad-index-page`.

    Links that name no distribution (by the suffix of their path) are left out.
    """
    kind = answer.content_type.partition(";")[0].strip().lower()
    try:
        if kind == _JSON:
            return _parse_json(answer)
        if kind in _HTML or not kind:
            return _parse_html(answer)
    except (ValueError, TypeError, AssertionError, RecursionError) as error:
        # msgspec's and pypi_simple's errors are ValueErrors; the latter also asserts on odd attributes.
        raise _bad_page(answer, str(error).partition("\n")[0] or type(error).__name__) from error
    raise _bad_page(answer, f"its type is {kind!r}")


def _bad_page(answer: Answer, detail: str) -> NetworkError:
    return NetworkError(
        "bad-index-page",
        f"the index answers with what is no project page (PEP 503, PEP 691): {detail}",
        place=redact(answer.url),
        hint="check that the address is a simple API's, as https://index.example/simple/",
    )


def _parse_json(answer: Answer) -> tuple[IndexFile, ...]:
    from shipwheel.wheel.pep691 import decode_page

    return tuple(
        IndexFile(
            filename=file.filename,
            url=_absolute(answer.url, file.url),
            hashes={name.lower(): value.lower() for name, value in file.hashes.items()},
            size=file.size,
            yanked=file.yanked if isinstance(file.yanked, str) else ("" if file.yanked else None),
            requires_python=file.requires_python,
        )
        for file in decode_page(answer.body)
        if file.filename.endswith(_SUFFIXES) and "/" not in file.filename
    )


def _absolute(base: str, url: str) -> str:
    # Joining takes ten times as long as all the rest, and nearly every index gives whole addresses.
    whole = url if url.startswith(("https://", "http://")) else urljoin(base, url)
    return whole.partition("#")[0]


def _parse_html(answer: Answer) -> tuple[IndexFile, ...]:
    from bs4.exceptions import ParserRejectedMarkup
    from pypi_simple import ProjectPage, UnsupportedRepoVersionError

    charset = _charset(answer.content_type)
    with _PARSING, warnings.catch_warnings():
        # PEP 629: a newer minor version SHOULD only warn the user; nothing we read has changed.
        warnings.simplefilter("ignore")
        try:
            page = ProjectPage.from_html("", answer.body, answer.url, charset)
        except UnsupportedRepoVersionError as error:
            raise ValueError(f"its version is {error.declared_version}") from error
        except ParserRejectedMarkup as error:
            raise ValueError("it is no HTML") from error
    return _files(page)


# Warning filters belong to the process, not to a thread; and parsing holds the interpreter anyway.
_PARSING: Final = threading.Lock()


def _files(page: ProjectPage) -> tuple[IndexFile, ...]:
    files = []
    for package in page.packages:
        # PEP 503: the file name is the last part of the address; a link's text may be anything.
        filename = unquote(urlsplit(package.url).path.rpartition("/")[2])
        if not filename.endswith(_SUFFIXES) or "/" in filename:
            continue
        files.append(
            IndexFile(
                filename=filename,
                url=package.url,
                hashes={name.lower(): value.lower() for name, value in package.digests.items()},
                yanked=(package.yanked_reason or "") if package.is_yanked else None,
                requires_python=package.requires_python,
            )
        )
    return tuple(files)


def _folder(path: Path) -> tuple[IndexFile, ...]:
    return tuple(
        IndexFile(filename=entry.name, url=entry.as_uri(), size=entry.stat().st_size)
        for entry in sorted(path.iterdir())
        if entry.name.endswith(_SUFFIXES) and entry.is_file()
    )


def path_of(url: str) -> Path:
    """Return the path of a `file:` address."""
    return Path(url2pathname(urlsplit(url).path))


def matching(files: Sequence[IndexFile], filename: str) -> list[IndexFile]:
    """Return those of `files` that are called `filename`, however their names are escaped."""
    wanted = _comparable(filename)
    return [file for file in files if _comparable(file.filename) == wanted]


def of_version(files: Sequence[IndexFile], version: Version | None) -> list[IndexFile]:
    """Return those of `files` whose names say that they are of `version` (None: of any)."""
    return [file for file in files if version is None or _version(file.filename) == version]


def _version(filename: str) -> Version | None:
    try:
        if filename.endswith(".whl"):
            return parse_wheel_filename(filename)[1]
        return parse_sdist_filename(filename)[1]
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        return None  # an old upload's odd name: no lock of today names it


def _comparable(filename: str) -> str:
    # Old tools wrote project names with dots, dashes and capitals into file names: the name part is
    # compared in normal form, the rest as it is.
    name, dash, rest = filename.partition("-")
    return f"{canonicalize_name(name)}{dash}{rest}" if filename.endswith(".whl") else filename.lower()


def _project_of(filename: str, name: NormalizedName) -> bool:
    """Tell whether `filename` starts with the project `name` and a dash."""
    if filename.endswith(".whl"):
        return canonicalize_name(filename.partition("-")[0]) == name
    stem = canonicalize_name(filename)
    return stem.startswith(f"{name}-")


def _charset(content_type: str) -> str | None:
    for part in content_type.split(";")[1:]:
        key, _, value = part.strip().partition("=")
        if key.lower() == "charset":
            return value.strip('"') or None
    return None
