"""What this machine's files say of package indexes, as the variables that say the same in a container.

A build in a container sees no pip.conf, uv.toml, auth.toml or netrc. Files, keyrings and folders of this
machine stay here: what has no variable (PDM's stored sources, a keyring's logins) is not told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

from shipwheel.wheel.credentials import Credentials, Login, env_name
from shipwheel.wheel.indexes import Found, Index, MachineSettings, read_indexes

# Older names of variables that are told by their newer ones.
_OLDER: Final = ("UV_INDEX_URL", "UV_EXTRA_INDEX_URL")
_BUNDLES: Final = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_NAMED: Final = {
    "[[tool.poetry.source]]": "POETRY_HTTP_BASIC_{}_{}",
    "[[tool.uv.index]]": "UV_INDEX_{}_{}",
}


def with_index_variables(
    environ: Mapping[str, str],
    *,
    home: Path,
    root: Path,
    project: Mapping[str, Any] | None = None,
    etc: Path = Path("/etc"),
) -> dict[str, str]:
    """Return `environ` with what pip, uv, Poetry and PDM are told of indexes on this machine, logins included.

    `project` is the pyproject.toml in `root`, for the sources that it names. A variable that is set counts more
    than a file; addresses of this machine's folders are left out. Raises HostError `bad-index-config`.
    """
    # This refuses files that cannot be read: all that follows reads the same ones.
    indexes = read_indexes(environ=environ, home=home, root=root, project=project, etc=etc)
    settings = MachineSettings(environ=environ, home=home, root=root, etc=etc)
    logins = Credentials(indexes.known(), environ=environ, home=home)
    pip, uv, pdm = settings.pip(), settings.uv(), settings.pdm(settings.pdm_config())
    trusted, _ = settings.pip_settings().get("trusted-host", ("", ""))
    told = {
        "PIP_INDEX_URL": _first(pip, logins),
        "PIP_EXTRA_INDEX_URL": _extra(pip, logins),
        "PIP_TRUSTED_HOST": _unencrypted(pip, trusted),
        "UV_DEFAULT_INDEX": _first(uv, logins),
        "UV_INDEX": _extra(uv, logins),
    }
    found = {name: value for name, value in environ.items() if name not in told and name not in _OLDER}
    found.update({name: value for name, value in told.items() if value})
    for index in (index for role, index in pdm if role == "default" and not index.local):
        found["PDM_PYPI_URL"] = index.url
        found.update(_login("PDM_PYPI_{}", logins.login_for(_with_login(index, index.login))))
    for index in (*indexes.named, *indexes.mirrors, *indexes.extra):
        pattern = _NAMED.get(index.configured)
        if pattern is not None and index.name is not None and not index.local:
            words = pattern.format(env_name(index.name), "{}")
            found.update(_login(words, logins.login_for(index.url)))
    # One bundle is told: a variable's, whichever tool it is meant for, before the file's.
    named = any(found.get(name) for name in _BUNDLES)
    return found if named else with_pip_cert(found, home=home, etc=etc)


def with_pip_cert(environ: Mapping[str, str], *, home: Path, etc: Path = Path("/etc")) -> dict[str, str]:
    """Return `environ` with pip.conf's `cert` as PIP_CERT; a file that cannot be read is for others to tell."""
    settings = MachineSettings(environ=environ, home=home, root=home, etc=etc)
    value, _ = settings.pip_settings().get("cert", ("", ""))
    return {**environ, "PIP_CERT": str(Path(value).expanduser())} if value else dict(environ)


def _places(found: Found, role: str) -> Iterator[Index]:
    return (
        index for kind, index in found.places if kind == role and index.kind == "simple" and not index.local
    )


def _first(found: Found, logins: Credentials) -> str:
    """Return the address that stands for the default index, with its login; "" where there is none."""
    return next((_address(index, logins) for index in _places(found, "default")), "")


def _extra(found: Found, logins: Credentials) -> str:
    return " ".join(_address(index, logins) for index in _places(found, "extra"))


def _unencrypted(found: Found, trusted: str) -> str:
    """Return those of pip's trusted hosts that are asked in the clear: certificates are checked all the same."""
    places = [urlsplit(index.url) for _, index in found.places if index.url.startswith("http:")]
    asked = {name for place in places for name in (place.hostname, place.netloc)}
    return " ".join(host for host in trusted.split() if host.lower() in asked)


def _address(index: Index, logins: Credentials) -> str:
    url = _with_login(index, logins.login_for(_with_login(index, index.login)))
    # uv's `name=address`; pip's settings name none.
    return f"{index.name}={url}" if index.name is not None else url


def _with_login(index: Index, login: Login | None) -> str:
    if login is None or login.bearer:
        return index.url
    parts = urlsplit(index.url)
    user = quote(login.user, safe="")
    password = f":{quote(login.password, safe='')}" if login.password else ""
    return urlunsplit(parts._replace(netloc=f"{user}{password}@{parts.netloc}"))


def _login(pattern: str, login: Login | None) -> dict[str, str]:
    if login is None or login.bearer:
        return {}
    return {pattern.format("USERNAME"): login.user, pattern.format("PASSWORD"): login.password}
