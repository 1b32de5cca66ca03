"""Ask an index over HTTP: the right login for each origin, the keyring after a refusal, plain words after both.

Connections, retries, resuming and redirects (which never carry a login to another origin) are
`shipwheel.net`'s; what a page or a file means is `index`' and `fetch`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import BinaryIO, Final, TypeVar
from urllib.parse import urlsplit

from shipwheel.errors import NetworkError
from shipwheel.net import Download, Http, StatusError
from shipwheel.net.address import redact
from shipwheel.wheel.credentials import Credentials, split_login
from shipwheel.wheel.index import Answer

_GONE: Final = frozenset({404, 410})
_REFUSED: Final = frozenset({401, 403})
_T = TypeVar("_T")


class IndexClient:
    """Pages and files of indexes. For use by many threads."""

    def __init__(self, http: Http, credentials: Credentials) -> None:
        """Ask over `http` with the logins of `credentials`."""
        self._http, self._credentials = http, credentials

    def page(self, url: str, *, accept: str, via: str) -> Answer | None:
        """Return the page at `url`, None where there is none (404, 410).

        Raises NetworkError as `Http.get` does, `index-login` for 401 and 403.
        """
        bare = split_login(url)[0]

        def get(headers: Mapping[str, str]) -> Answer | None:
            response = self._http.get(
                bare, {"Accept": accept, **headers}, accept=_GONE, allow_http=_plain(bare, via)
            )
            if response.status in _GONE:
                return None
            content_type = response.headers.get("content-type", "")
            return Answer(url=split_login(response.url)[0], content_type=content_type, body=response.body)

        return self._with_login(url, via, get)

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
        """Stream `url` into `file` as `Http.download` does.

        Raises NetworkError as that does, `file-gone` for 404 and 410, `index-login` for 401 and 403.
        """
        bare = split_login(url)[0]

        def download(headers: Mapping[str, str]) -> Download:
            return self._http.download(
                bare,
                file,
                headers=headers,
                max_bytes=max_bytes,
                algorithms=algorithms,
                progress=progress,
                allow_http=_plain(bare, via),
            )

        try:
            return self._with_login(url, via, download)
        except StatusError as error:
            if error.status in _GONE:
                raise NetworkError("file-gone", "the index has no such file", place=redact(bare)) from error
            raise

    def _with_login(self, url: str, via: str | None, ask: Callable[[Mapping[str, str]], _T]) -> _T:
        login = self._credentials.login_for(url, via=via)
        try:
            return ask({"Authorization": login.header()} if login else {})
        except StatusError as error:
            if error.status not in _REFUSED:
                raise
            # Only for who asks: the keyring program may take a second, or a person's patience.
            found = self._credentials.ask_keyring(url, via=via) if error.status == 401 else None
            if found is None:
                raise self._refused(error, known=login is not None) from error
        try:
            return ask({"Authorization": found.header()})
        except StatusError as error:
            raise (self._refused(error, known=True) if error.status in _REFUSED else error) from error

    def _refused(self, error: StatusError, *, known: bool) -> NetworkError:
        problems = "".join(f"; {problem}" for problem in self._credentials.problems)
        return NetworkError(
            "index-login",
            f"the index refuses ({error.status}): "
            + (
                "the user or password that is configured for it is not right" if known else "it wants a login"
            ),
            place=redact(error.url),
            hint="name one in netrc, keyring, UV_INDEX_<NAME>_USERNAME and _PASSWORD, "
            f"or POETRY_HTTP_BASIC_<NAME>_USERNAME and _PASSWORD{problems}",
        )


def _plain(url: str, via: str | None) -> bool:
    """Tell whether `url` may be asked without TLS: the index or the lock names it so, and hashes protect it."""
    return urlsplit(url).scheme == "http" and (via is None or urlsplit(via).scheme == "http")
