"""What a URL says about whom we talk to: origin, loopback, and how to show it without its secrets."""

from __future__ import annotations

import base64
import ipaddress
from typing import Final, NamedTuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from shipwheel.errors import NetworkError

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Scheme, host and port (RFC 6454): what a credential is bound to."""

    scheme: str
    host: str
    port: int


def split(url: str) -> SplitResult:
    """Split an http, https or file URL; raises NetworkError `bad-url`."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise NetworkError("bad-url", f"not a URL: {error}", place=redact(url)) from error
    if parts.scheme not in ("http", "https", "file"):
        raise NetworkError("bad-url", "only http, https and file URLs are fetched", place=redact(url))
    if parts.scheme != "file" and not parts.hostname:
        raise NetworkError("bad-url", "the URL names no host", place=redact(url))
    if any(character <= " " or character == "\x7f" for character in url):
        raise NetworkError("bad-url", "a URL holds no blanks or control characters", place=redact(url))
    return parts


def origin(url: str) -> Origin:
    """Return the origin of an http or https URL; raises NetworkError `bad-url`."""
    parts = split(url)
    host = (parts.hostname or "").rstrip(".")
    return Origin(parts.scheme, host, parts.port or _DEFAULT_PORTS.get(parts.scheme, 0))


def is_loopback(host: str) -> bool:
    """Tell whether `host` (name or address, no port) is this machine: RFC 6761 `localhost`, loopback."""
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def redact(url: str) -> str:
    """Return `url` fit to be shown: no user, password, query values or fragment (signatures live there)."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(a malformed URL)"
    netloc = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, netloc, parts.path, "…" if parts.query else "", ""))


def take_credentials(url: str) -> tuple[str, str | None]:
    """Return `url` without its userinfo and fragment, and the Basic credentials that were in it."""
    parts = split(url)
    userinfo, at, netloc = parts.netloc.rpartition("@")
    bare = urlunsplit((parts.scheme, netloc, parts.path, parts.query, ""))
    if not at:
        return bare, None
    user, _, password = userinfo.partition(":")
    return bare, basic_credentials(unquote(user), unquote(password))


def basic_credentials(user: str, password: str) -> str:
    """Return the value of an `Authorization` header (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def follow(url: str, location: str) -> str:
    """Return where a redirect from `url` to `location` leads, without userinfo.

    Raises NetworkError `redirect-refused` when it leaves the web or goes from https to http.
    """
    try:
        target = urljoin(url, location)
        bare, _ = take_credentials(target)
        scheme = urlsplit(bare).scheme
    except (ValueError, NetworkError) as error:
        raise NetworkError("redirect-refused", "a redirect leads nowhere", place=redact(url)) from error
    if scheme not in _DEFAULT_PORTS:
        raise NetworkError(
            "redirect-refused", f"a redirect leads to a {scheme}: address: {redact(bare)}", place=redact(url)
        )
    if scheme == "http" and urlsplit(url).scheme == "https":
        raise NetworkError(
            "redirect-refused",
            f"a redirect leads from https to plain http: {redact(bare)}",
            place=redact(url),
        )
    return bare
