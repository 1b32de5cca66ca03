"""Requests to a registry's API (distribution-spec v1.1): where it is, over which scheme, signed in.

Knows the endpoints' roots and authentication; `pull`, `push` and `referrers` know what to ask for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, Self, TypeVar

from shipwheel.errors import NetworkError
from shipwheel.net import Body, Download, Http, Response, StatusError, is_loopback, origin
from shipwheel.oci.registry.auth import Access, Authenticator
from shipwheel.oci.registry.challenge import merge_scopes, scope
from shipwheel.oci.registry.credentials import CredentialStore
from shipwheel.oci.registry.errors import registry_error
from shipwheel.oci.registry.quirks import quirks_of

if TYPE_CHECKING:
    from shipwheel.cache import Cache
    from shipwheel.oci.model import Digest
    from shipwheel.oci.reference import Reference

_Result = TypeVar("_Result")

# The first request, a token for what it was told, and another for what it then asks for.
_SIGN_INS: Final = 2
# Of the repositories that hold a blob, so many are remembered for the next run.
_REMEMBERED: Final = 4
# What a server that speaks TLS does when it is not spoken to in TLS, and the other way round.
_WRONG_SCHEME: Final = frozenset({"cut-short", "unreachable", "timeout", "not-tls"})


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Repository:
    """A repository of a registry, without tag or digest; `str()` gives `registry/name`."""

    registry: str
    name: str

    @classmethod
    def of(cls, reference: Reference) -> Self:
        """Return the repository that `reference` is in."""
        return cls(registry=reference.registry, name=reference.repository)

    def __str__(self) -> str:
        return f"{self.registry}/{self.name}"


@dataclass(frozen=True, slots=True)
class _Endpoint:
    root: str
    allow_http: bool


class RegistryClient:
    """All registries of one run: connections, tokens, and what is known to be where. Thread-safe.

    `insecure` names registries (host and port as in references) that may be asked over plain http;
    loopback always may. `cache` receives what is pulled.
    """

    def __init__(
        self,
        http: Http,
        credentials: CredentialStore,
        cache: Cache,
        *,
        insecure: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.http = http
        self.cache = cache
        self.blob_locks = KeyedLocks()
        self._holders: dict[tuple[str, Digest], set[Repository]] = {}
        self._auth = Authenticator(http, credentials, insecure=insecure, clock=clock)
        self._insecure = frozenset(insecure)
        self._endpoints: dict[str, _Endpoint] = {}
        self._lock = threading.Lock()

    @classmethod
    def from_environ(
        cls, environ: Mapping[str, str], http: Http, cache: Cache, *, insecure: Collection[str] = ()
    ) -> Self:
        """Return a client with the credentials that `environ` leads to."""
        return cls(http, CredentialStore(environ), cache, insecure=insecure)

    def call(
        self,
        method: str,
        repository: Repository,
        path: str,
        *,
        actions: Collection[str] = ("pull",),
        also: Collection[Repository] = (),
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        retry: bool = True,
        redirects: bool = True,
    ) -> Response:
        """Send a request about `repository`, signed in as needed, and return the answer whatever it is.

        `path` goes after `/v2/<name>/`, or is a whole URL that the registry gave (an upload's place).
        `also` are repositories of the same registry that are read from (a mount's source). Raises
        NetworkError as `Http.request`, and the token service's refusals.
        """
        endpoint = self._endpoint(repository.registry)
        url = self._url(endpoint, repository, path)

        def send(authorization: Mapping[str, str]) -> tuple[Response, Response]:
            response = self.http.request(
                method,
                url,
                {**(headers or {}), **authorization},
                body,
                allow_http=endpoint.allow_http,
                retry=retry,
                redirects=redirects,
            )
            return response, response

        return self._signed_in(_access(repository, actions, also), url, endpoint, send)

    def download(
        self,
        repository: Repository,
        path: str,
        file: BinaryIO,
        *,
        size: int,
        algorithm: str,
        progress: Callable[[int], None] | None = None,
    ) -> Download:
        """Stream what is at `path` into `file`, resumed after breaks; its hash is the caller's to compare.

        Raises NetworkError as `Http.download`, with the registry's refusals as in `registry_error`.
        """
        endpoint = self._endpoint(repository.registry)
        url = self._url(endpoint, repository, path)

        def send(authorization: Mapping[str, str]) -> tuple[Response, Download | StatusError]:
            try:
                done = self.http.download(
                    url,
                    file,
                    headers=authorization,
                    size=size,
                    algorithms=(algorithm,),
                    progress=progress,
                    allow_http=endpoint.allow_http,
                )
            except StatusError as error:
                return Response(status=error.status, url=error.url, headers=error.headers), error
            return Response(status=200, url=done.url, headers=done.headers), done

        access = _access(repository, ("pull",), ())
        result = self._signed_in(access, url, endpoint, send)
        if isinstance(result, StatusError):
            answer = Response(status=result.status, url=result.url, headers=result.headers)
            raise registry_error(answer, f"pull from {repository}") from result
        return result

    def note_blob(self, repository: Repository, digest: Digest) -> None:
        """Remember that `repository` holds the blob, as this run has seen; later runs may try it."""
        with self._lock:
            self._holders.setdefault((repository.registry, digest), set()).add(repository)
        key = _holders_key(repository.registry, digest)
        known = self.cache.record(key) or []
        if repository.name not in known:
            self.cache.add_record(key, [repository.name, *known][:_REMEMBERED])

    def holders(self, registry: str, digest: Digest) -> Sequence[Repository]:
        """Return the repositories of `registry` that hold the blob, as this run has seen."""
        with self._lock:
            return sorted(self._holders.get((registry, digest), ()))

    def past_holders(self, registry: str, digest: Digest) -> Sequence[Repository]:
        """Return the repositories of `registry` that held the blob when an earlier run saw it."""
        known = self.cache.record(_holders_key(registry, digest)) or []
        return [Repository(registry=registry, name=name) for name in known]

    def refusal(self, response: Response, repository: Repository, what: str) -> StatusError:
        """Return the error for an answer to `what` ("push"), with where credentials were looked for."""
        return self._auth.explain(_access(repository, (), ()), response, f"{what} {repository}")

    def _signed_in(
        self,
        access: Access,
        url: str,
        endpoint: _Endpoint,
        send: Callable[[Mapping[str, str]], tuple[Response, _Result]],
    ) -> _Result:
        # An upload may live on a host that is not the registry: it gets no credentials.
        own = origin(url) == origin(endpoint.root)
        for left in range(_SIGN_INS, -1, -1):
            value = self._auth.authorization(access) if own else None
            response, result = send({"Authorization": value} if value is not None else {})
            # Nor is a challenge looked at that comes from where a redirect led.
            challenged = response.status == 401 and origin(response.url) == origin(endpoint.root)
            if not challenged or not left or not self._auth.learn(access, response, value):
                return result
        raise AssertionError("the last turn returns")

    def _url(self, endpoint: _Endpoint, repository: Repository, path: str) -> str:
        if "://" not in path:
            return f"{endpoint.root}/v2/{repository.name}/{path}"
        # A registry behind a proxy that ends TLS may think it is asked over plain http, and name its
        # uploads so: the host is the same, and https is what it is reached by.
        secure = f"https:{path.removeprefix('http:')}"
        if (
            path.startswith("http:")
            and endpoint.root.startswith("https:")
            and _same_host(secure, endpoint.root)
        ):
            return secure
        return path

    def _endpoint(self, registry: str) -> _Endpoint:
        with self._lock:
            if registry not in self._endpoints:
                self._endpoints[registry] = self._find_endpoint(registry)
            return self._endpoints[registry]

    def _find_endpoint(self, registry: str) -> _Endpoint:
        host = quirks_of(registry).api_host or registry
        secure = _Endpoint(f"https://{host}", registry in self._insecure)
        clear = _Endpoint(f"http://{host}", allow_http=True)
        if is_loopback(origin(secure.root).host):
            # Plain http first: TLS servers answer or hang up at once, many plain ones wait for more.
            order = [clear, secure]
        elif registry in self._insecure:
            order = [secure, clear]
        else:
            return secure
        return order[0] if self._speaks(order[0]) else order[1]

    def _speaks(self, endpoint: _Endpoint) -> bool:
        """Tell whether a registry answers here; raises NetworkError when a certificate is refused."""
        try:
            answer = self.http.request(
                "GET", f"{endpoint.root}/v2/", allow_http=endpoint.allow_http, retry=False, redirects=False
            )
        except NetworkError as error:
            if error.code in _WRONG_SCHEME:
                return False
            raise
        # Go's TLS server says "Client sent an HTTP request to an HTTPS server" with 400.
        return answer.status != 400


class KeyedLocks:
    """A lock for each key, made when first asked for."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[tuple[str, ...], threading.Lock] = {}

    @contextmanager
    def hold(self, *key: str) -> Iterator[None]:
        """Hold the lock of `key`."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            yield


def _access(repository: Repository, actions: Collection[str], also: Collection[Repository]) -> Access:
    scopes = [scope(repository.name, *actions)] if actions else []
    scopes += [scope(other.name, "pull") for other in also]
    return Access(registry=repository.registry, repository=repository.name, scopes=merge_scopes(scopes))


def _holders_key(registry: str, digest: Digest) -> str:
    return f"holders/1 {registry} {digest}"


def _same_host(url: str, root: str) -> bool:
    return origin(url).host == origin(root).host
