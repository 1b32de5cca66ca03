"""What went wrong on the way to a server, as NetworkError: urllib3's exceptions and bad answers."""

from __future__ import annotations

import socket
import ssl
import time
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from shipwheel.errors import NetworkError
from shipwheel.net.address import redact, split

# Another try may do better; a certificate or a proxy's refusal stays what it is.
TRANSIENT: Final = frozenset({"unreachable", "timeout", "cut-short"})


class StatusError(NetworkError):
    """A server answered with a status that is not a success; `url` is where redirects led."""

    status: int = 0
    url: str = ""
    headers: Mapping[str, str] = types.MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer: `url` after redirects, header names in lower case, the body (decoded) in memory."""

    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes = b""


def status_error(response: Response, *, message: str | None = None, hint: str | None = None) -> StatusError:
    """Return the error for an answer that is not a success, code `http-status`."""
    text = message or f"the server answers {response.status} {_REASONS.get(response.status, '')}".rstrip()
    error = StatusError(
        "http-status", text, place=redact(response.url), hint=hint or _HINTS.get(response.status)
    )
    error.status, error.url, error.headers = response.status, response.url, response.headers
    return error


def too_large(url: str, limit: int) -> NetworkError:
    """Return the error for a body longer than `limit` bytes."""
    return NetworkError("too-large", f"more than the {limit} bytes that were expected", place=redact(url))


def cut_short(url: str, received: int, expected: int | None) -> NetworkError:
    """Return the error for a body that ended early."""
    of = "" if expected is None else f" of {expected}"
    return NetworkError(
        "cut-short", f"the connection ended after {received}{of} bytes, again and again", place=redact(url)
    )


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn urllib3's exceptions into NetworkError: `timeout`, `tls`, `proxy`, `cut-short`, `unreachable`."""
    import urllib3.exceptions as u3

    try:
        yield
    except u3.NewConnectionError as error:  # a kind of timeout to urllib3, so it comes first
        raise _error("unreachable", f"cannot connect: {_reason(error)}", url, _OFFLINE) from error
    except u3.TimeoutError as error:  # connecting and reading
        raise _error("timeout", "no answer in time", url) from error
    except u3.SSLError as error:
        raise _tls_error(error, url) from error
    except u3.ProxyError as error:
        raise _proxy_error(error, url) from error
    except (u3.IncompleteRead, u3.DecodeError, u3.ProtocolError) as error:
        raise _error("cut-short", f"the connection broke: {_reason(error)}", url) from error
    except u3.LocationValueError as error:
        raise _error("bad-url", "the URL names no host that can be asked", url) from error
    except u3.HTTPError as error:
        raise _error("unreachable", f"the request failed: {_reason(error)}", url) from error
    except ssl.SSLError as error:
        raise _tls_error(error, url) from error
    except OSError as error:
        raise _error("unreachable", f"cannot connect: {_reason(error)}", url, _OFFLINE) from error


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Return the seconds a `Retry-After` header asks for (RFC 9110 section 10.2.3), or None."""
    import email.utils

    value = next((text.strip() for name, text in headers.items() if name.lower() == "retry-after"), "")
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = email.utils.parsedate_to_datetime(value).timestamp()
        return max(0.0, moment - (time.time() if now is None else now))
    except (ValueError, OverflowError):
        return None


_OFFLINE: Final = "check the address and the network; behind a proxy, set HTTPS_PROXY"
_REASONS: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    407: "Proxy Authentication Required",
    410: "Gone",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
_HINTS: Final = {
    401: "credentials are missing or wrong",
    403: "these credentials may not do this, or a firewall forbids it",
    429: "the server limits requests; try again later, or sign in",
}


def _error(code: str, message: str, url: str, hint: str | None = None) -> NetworkError:
    return NetworkError(code, message, place=redact(url), hint=hint)


def _tls_error(error: BaseException, url: str) -> NetworkError:
    verification = _find(error, ssl.SSLCertVerificationError)
    if isinstance(verification, ssl.SSLCertVerificationError):
        return _error(
            "tls",
            f"the certificate of {split(url).hostname} is not to be trusted: {verification.verify_message}",
            url,
            "a company's own authority is named with SSL_CERT_FILE=/path/to/ca.pem",
        )
    if any(word in str(error) for word in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")):
        return _error("not-tls", "the server does not speak TLS on this port", url, "ask it over http")
    # A handshake that was cut off: another try may do better.
    return _error("unreachable", "the TLS handshake failed", url)


def _proxy_error(error: BaseException, url: str) -> NetworkError:
    verification = _find(error, ssl.SSLCertVerificationError)
    if verification is not None:
        return _tls_error(verification, url)
    return _error(
        "proxy",
        f"the proxy does not let us through: {_reason(error)}",
        url,
        "check HTTPS_PROXY and HTTP_PROXY; NO_PROXY exempts hosts",
    )


def _reason(error: BaseException) -> str:
    # The operating system's own words where there are any: urllib3's hold object addresses.
    found = _find(error, OSError)
    if isinstance(found, socket.gaierror):
        return "the name is unknown"
    if isinstance(found, OSError) and found.strerror:
        return found.strerror
    return str(error.args[0] if error.args and isinstance(error.args[0], str) else type(error).__name__)


def _find(error: BaseException | None, kind: type[BaseException]) -> BaseException | None:
    seen: list[BaseException] = []
    pending = [error]
    while pending:
        current = pending.pop(0)
        if current is None or current in seen:
            continue
        if isinstance(current, kind):
            return current
        seen.append(current)
        pending += [current.__cause__, current.__context__]
        pending += [item for item in current.args if isinstance(item, BaseException)]
    return None
