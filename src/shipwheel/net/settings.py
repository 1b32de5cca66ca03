"""What the environment says of proxies and certificate authorities."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from shipwheel.errors import HostError
from shipwheel.net.address import Origin, is_loopback, redact

# The variables curl, requests, pip and OpenSSL read; all of them count, beside the system's own store.
_CA_VARIABLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
# Where systems keep their bundle, for a Python that was built to look elsewhere.
_SYSTEM_BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def tls_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return a verifying context with the system's authorities and those the environment names.

    Raises HostError `ca-bundle-unreadable`.
    """
    context = ssl.create_default_context()
    if not context.get_ca_certs():
        for bundle in _SYSTEM_BUNDLES:
            if Path(bundle).is_file():
                context.load_verify_locations(cafile=bundle)
                break
    named = {environ[name]: name for name in reversed(_CA_VARIABLES) if environ.get(name)}
    for location, variable in sorted(named.items()):
        _load(context, variable, location)
    return context


def _load(context: ssl.SSLContext, variable: str, location: str) -> None:
    try:
        if variable == "SSL_CERT_DIR":  # OpenSSL: a list, and what is missing is passed over
            for folder in filter(None, location.split(":")):
                if Path(folder).is_dir():
                    context.load_verify_locations(capath=folder)
        elif Path(location).is_dir():
            context.load_verify_locations(capath=location)
        elif location not in _SYSTEM_BUNDLES or not context.get_ca_certs():
            context.load_verify_locations(cafile=location)
    except (OSError, ssl.SSLError) as error:
        raise HostError(
            "ca-bundle-unreadable",
            f"{variable} names no certificates in PEM form: {error}",
            place=location,
            hint=f"correct {variable}, or unset it to use the system's authorities alone",
        ) from error


def proxy_for(target: Origin, environ: Mapping[str, str]) -> str | None:
    """Return the URL of the proxy for `target`, or None to connect directly.

    Loopback never goes through a proxy. Raises HostError `proxy-unsupported`.
    """
    if is_loopback(target.host) or _is_exempt(target, _lookup(environ, "no_proxy") or ""):
        return None
    proxy = _lookup(environ, f"{target.scheme}_proxy") or _lookup(environ, "all_proxy")
    if not proxy:
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if urlsplit(proxy).scheme not in ("http", "https"):
        raise HostError(
            "proxy-unsupported",
            "only http and https proxies are supported",
            place=redact(proxy),
            hint="name an http proxy in HTTPS_PROXY, or exempt the host in NO_PROXY",
        )
    return proxy


def _lookup(environ: Mapping[str, str], name: str) -> str | None:
    # curl's order: the lower-case name is the older one and wins.
    return environ.get(name) or environ.get(name.upper())


def _is_exempt(target: Origin, no_proxy: str) -> bool:
    for item in no_proxy.replace(",", " ").split():
        if item == "*":
            return True
        name, _, port = item.rpartition(":")
        if port.isdigit() and "]" not in port and name and ":" not in name.strip("[]"):
            if int(port) != target.port:
                continue
            item = name  # noqa: PLW2901 - the rest of the rule is about the name alone
        suffix = item.lower().removeprefix("*").strip("[]")
        if target.host == suffix.lstrip(".") or target.host.endswith("." + suffix.lstrip(".")):
            return True
        if _in_network(target.host, suffix):
            return True
    return False


def _in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
