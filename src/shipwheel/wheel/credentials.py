"""Which user and password a package index gets: URL, the tools' own variables and files, netrc, keyring.

A login belongs to one origin (RFC 6454: scheme, host and port) and is given for no other. Sends
nothing itself. Poetry's and PDM's upload tokens (`POETRY_PYPI_TOKEN_…`) are no reading credentials
and not looked at; a `default` entry in netrc, which is for every host there is, neither.
"""

from __future__ import annotations

import netrc
import re
import shutil
import subprocess
import threading
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from shipwheel.errors import NetworkError
from shipwheel.net.address import Origin, basic_credentials, origin

_KEYRING_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A user and a password; neither shows the password nor itself in a repr or a log.

    With `bearer` the password is a token that stands alone.
    """

    user: str
    password: str = field(repr=False)
    bearer: bool = False

    def header(self) -> str:
        """Return the value of an `Authorization` header (RFC 7617, UTF-8; RFC 6750)."""
        return f"Bearer {self.password}" if self.bearer else basic_credentials(self.user, self.password)


def split_login(url: str) -> tuple[str, Login | None]:
    """Return `url` without user and password, and these; None where there is no user."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url, None
    userinfo, _, host = parts.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    bare = urlunsplit(parts._replace(netloc=host))
    # A user may stand alone (`https://token@…`): the password is then empty, or the keyring's.
    return bare, Login(user=unquote(user), password=unquote(password)) if userinfo.strip(":") else None


def env_name(name: str) -> str:
    """Return an index's name as it stands in environment variables (uv, Poetry): `MY_INDEX`."""
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An address that credentials are known for: those in its URL, or those of its `name`."""

    url: str
    name: str | None = None
    login: Login | None = None


class Credentials:
    """Logins by address. Files are read once, the keyring is asked only by `ask_keyring`.

    `problems` says which files could not be read, for the hint of an error.
    """

    def __init__(self, known: Iterable[Known], *, environ: Mapping[str, str], home: Path) -> None:
        """Know the logins of `known` addresses, of the environment, and of the files below `home`."""
        self.problems: list[str] = []
        self._environ = environ
        self._home = home
        self._known = tuple(known)
        self._netrc = self._read_netrc()
        self._poetry = self._read_poetry()
        self._pdm = self._read_pdm()
        self._uv = self._read_uv()
        self._asked: dict[tuple[Origin, str | None], Login | None] = {}
        self._lock = threading.Lock()

    def login_for(self, url: str, *, via: str | None = None) -> Login | None:
        """Return the login to send to `url` unasked, or None. `via` is the index whose page named it.

        In this order: in `url` itself; of the known address on the same origin that shares the longest
        path with it, by its URL, then by its name in uv's and Poetry's variables, Poetry's auth.toml
        and PDM's configuration; netrc; what `uv auth login` stored.
        """
        bare, own = split_login(url)
        if own is not None and own.password:
            return own
        known = self._nearest(bare, via)
        if known is not None:
            if known.login is not None and known.login.password:
                return known.login
            if (named := self._named(known)) is not None:
                return named
        place = origin(bare)
        # netrc names a host without a scheme: in the clear it goes only where somebody configured it.
        by_host = self._netrc.get(place.host)
        if by_host is not None and (place.scheme == "https" or known is not None):
            return by_host
        user = next((one.user for one in (own, known.login if known else None) if one), None)
        if (stored := self._stored(bare, user)) is not None:
            return stored
        # A user without a password is a token, and is sent as one.
        return own or (known.login if known is not None else None)

    def ask_keyring(self, url: str, *, via: str | None = None) -> Login | None:
        """Return what the `keyring` program has for `url`, or None; for an index that answered 401.

        The program is started once for an origin and user, with no terminal: it cannot ask back.
        """
        provider = (
            self._environ.get("PIP_KEYRING_PROVIDER")
            or self._environ.get("UV_KEYRING_PROVIDER")
            or "subprocess"
        )
        program = shutil.which("keyring", path=self._environ.get("PATH"))
        if program is None or provider == "disabled":
            return None
        bare, own = split_login(url)
        known = self._nearest(bare, via)
        login = own or (known.login if known else None)
        user = login.user if login else self._user_of(known)
        place = origin(bare)
        with self._lock:
            if (place, user) not in self._asked:
                self._asked[place, user] = self._from_keyring(program, known.url if known else bare, user)
            return self._asked[place, user]

    def _nearest(self, bare: str, via: str | None) -> Known | None:
        place = origin(bare)
        # Files often lie beside the simple API: the page that named one says which index it is of.
        path = urlsplit(via if via is not None and origin(via) == place else bare).path
        same = [known for known in self._known if origin(known.url) == place]
        return max(same, key=lambda known: _shared(urlsplit(known.url).path, path), default=None)

    def _stored(self, bare: str, user: str | None) -> Login | None:
        """Return uv's login for the longest path that leads to `bare`; None where two users are as near."""
        place, path = origin(bare), urlsplit(bare).path
        best: list[Login] = []
        length = -1
        for service, login in self._uv:
            prefix = urlsplit(service).path.rstrip("/")
            inside = path == prefix or path.startswith(f"{prefix}/")
            if origin(service) != place or not inside or (user is not None and login.user != user):
                continue
            if len(prefix) > length:
                best, length = [login], len(prefix)
            elif len(prefix) == length:
                best.append(login)
        return best[0] if len(best) == 1 else None

    def _named(self, known: Known) -> Login | None:
        if known.name is None:
            return None
        name, environ = env_name(known.name), self._environ
        for user, password in (
            (f"UV_INDEX_{name}_USERNAME", f"UV_INDEX_{name}_PASSWORD"),
            (f"POETRY_HTTP_BASIC_{name}_USERNAME", f"POETRY_HTTP_BASIC_{name}_PASSWORD"),
        ):
            if environ.get(user) or environ.get(password):
                return Login(user=environ.get(user, ""), password=environ.get(password, ""))
        for table in (self._poetry.get(known.name), self._pdm.get(known.name)):
            if table is not None and table.password:
                return table
        return None

    def _user_of(self, known: Known | None) -> str | None:
        if known is None or known.name is None:
            return None
        name = env_name(known.name)
        for variable in (f"UV_INDEX_{name}_USERNAME", f"POETRY_HTTP_BASIC_{name}_USERNAME"):
            if user := self._environ.get(variable):
                return user
        table = self._poetry.get(known.name) or self._pdm.get(known.name)
        return table.user if table else None

    def _from_keyring(self, program: str, url: str, user: str | None) -> Login | None:
        if user is None:
            # keyring 25.2 and later: user and password on two lines.
            lines = self._run_keyring([program, "--mode", "creds", "get", url])
            return Login(user=lines[0], password=lines[1]) if len(lines) == 2 else None
        if user.startswith("-"):
            return None
        # As pip does: the whole address first, then the host alone.
        for service in (url, urlsplit(url).netloc):
            if lines := self._run_keyring([program, "get", service, user]):
                return Login(user=user, password=lines[0])
        return None

    def _run_keyring(self, command: list[str]) -> list[str]:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=dict(self._environ),
                timeout=_KEYRING_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            self.problems.append(f"the keyring program failed: {type(error).__name__}")
            return []
        return done.stdout.decode(errors="replace").splitlines() if done.returncode == 0 else []

    def _read_netrc(self) -> dict[str, Login]:
        if named := self._environ.get("NETRC"):
            candidates = [Path(named).expanduser()]
        else:
            candidates = [self._home / ".netrc", self._home / "_netrc"]
        for path in candidates:
            try:
                hosts = netrc.netrc(path).hosts
            except FileNotFoundError:
                continue
            except netrc.NetrcParseError as error:
                # Not the parser's message: it quotes the file, passwords included.
                self.problems.append(f"{path}:{error.lineno} is not netrc")
                continue
            except (OSError, UnicodeDecodeError) as error:
                self.problems.append(f"{path} cannot be read: {type(error).__name__}")
                continue
            return {
                host.lower(): Login(user=login or account or "", password=password or "")
                for host, (login, account, password) in hosts.items()
                if host != "default"
            }
        return {}

    def _read_poetry(self) -> dict[str, Login]:
        folder = self._environ.get("POETRY_CONFIG_DIR")
        path = (Path(folder) if folder else self._config_home() / "pypoetry") / "auth.toml"
        return _logins(self._read_toml(path).get("http-basic"))

    def _read_pdm(self) -> dict[str, Login]:
        named = self._environ.get("PDM_CONFIG_FILE")
        path = Path(named) if named else self._config_home() / "pdm" / "config.toml"
        return _logins(self._read_toml(path).get("pypi"))

    def _read_uv(self) -> list[tuple[str, Login]]:
        """Read what `uv auth login` stored (uv, "The uv credentials store"); addresses that are none are left out."""
        data = Path(self._environ.get("XDG_DATA_HOME") or self._home / ".local" / "share")
        folder = self._environ.get("UV_CREDENTIALS_DIR") or data / "uv" / "credentials"
        entries = self._read_toml(Path(folder) / "credentials.toml").get("credential")
        found = []
        for entry in entries if isinstance(entries, list) else []:
            service = entry.get("service") if isinstance(entry, dict) else None
            if not isinstance(service, str):
                continue
            service = service if "://" in service else f"https://{service}"
            bearer = entry.get("scheme") == "bearer"
            user, secret = entry.get("username") or "", entry.get("token" if bearer else "password") or ""
            try:
                origin(service)
            except (NetworkError, ValueError):
                self.problems.append("uv's credentials name an address that is none")
                continue
            found.append((service, Login(user=str(user), password=str(secret), bearer=bearer)))
        return found

    def _config_home(self) -> Path:
        named = self._environ.get("XDG_CONFIG_HOME")
        return Path(named) if named else self._home / ".config"

    def _read_toml(self, path: Path) -> dict[str, Any]:
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            self.problems.append(f"{path} cannot be read: {type(error).__name__}")
            return {}


def _logins(table: object) -> dict[str, Login]:
    if not isinstance(table, dict):
        return {}
    return {
        str(name): Login(user=str(entry["username"]), password=str(entry.get("password", "")))
        for name, entry in table.items()
        if isinstance(entry, dict) and "username" in entry
    }


def _shared(left: str, right: str) -> int:
    """Return how many leading path segments two paths share."""
    count = 0
    for one, other in zip(left.strip("/").split("/"), right.strip("/").split("/"), strict=False):
        if one != other:
            break
        count += 1
    return count
