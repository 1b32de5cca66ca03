"""Which package indexes there are: the project's sources, and this machine's pip, uv, PDM and Poetry settings.

Only says where to look. The lock decides what is taken: every file must have a locked hash, so no
place can slip in another one, and none of these addresses goes into a lock or an image. `index` reads
the places, `fetch` chooses among them, `credentials` knows their logins.
"""

from __future__ import annotations

import configparser
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from shipwheel.errors import HostError, NetworkError, Problem
from shipwheel.net.address import Origin, origin, redact
from shipwheel.wheel.credentials import Known, Login, split_login

Kind = Literal["simple", "find-links"]
# In rising order, as pip merges them for `pip install`.
_PIP_SECTIONS: Final = ("global", "install")


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """A place that serves distributions: a simple-API address, or a find-links page or folder.

    `url` holds no credentials; a simple API's ends with a slash, a folder is a `file:` address.
    `configured` says where, as `PIP_INDEX_URL` or `/etc/pip.conf [global] index-url`.
    """

    url: str
    kind: Kind = "simple"
    name: str | None = None
    configured: str = ""
    login: Login | None = field(default=None, repr=False)

    @property
    def local(self) -> bool:
        """Whether it is on this machine's disk."""
        return self.url.startswith("file:")

    def __str__(self) -> str:
        return redact(self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexes:
    """All the places. `mirrors` stand for the default index, `extra` are asked besides.

    `named` are the sources that the project names (Poetry, uv, PDM), asked only for the packages that
    are locked to their address. `no_index`: only find-links may be asked.
    """

    mirrors: Sequence[Index] = ()
    extra: Sequence[Index] = ()
    named: Sequence[Index] = ()
    no_index: bool = False

    def known(self) -> tuple[Known, ...]:
        """Return every address with what is known of its credentials; named ones first."""
        return tuple(
            Known(url=index.url, name=index.name, login=index.login)
            for index in (*self.named, *self.mirrors, *self.extra)
            if not index.local
        )

    def places(self, locked: str | None) -> tuple[Index, ...]:
        """Return where to look for a package of the index `locked` (None: the default), in order.

        Folders of this machine come first, for they cost nothing. A package of another index than the
        default is never asked for at the default or its mirrors: its name may be a secret.
        """
        wanted: list[Index] = [index for index in self.extra if index.local]
        if self.no_index:
            return tuple(index for index in self.extra if index.kind == "find-links")
        if locked is None or same_index(locked, default_url()):
            wanted += self.mirrors or [Index(url=default_url(), configured="the default index")]
        else:
            known = next((index for index in self.named if same_index(index.url, locked)), None)
            wanted.append(known or Index(url=as_simple(split_login(locked)[0]), configured="the lock"))
        wanted += [index for index in self.extra if not index.local]
        return tuple(dict.fromkeys(wanted))

    def overrides(self, locked: str | None) -> bool:
        """Tell whether this machine has a mirror (or no leave) for a package of the index `locked`."""
        if self.no_index:
            return True
        return bool(self.mirrors) and (locked is None or same_index(locked, default_url()))


def default_url() -> str:
    """Return the default index's address, as the library ships it."""
    # An import of 0.2 s: only when something has to be downloaded.
    from pypi_simple import PYPI_SIMPLE_ENDPOINT

    return as_simple(PYPI_SIMPLE_ENDPOINT)


def same_index(left: str, right: str) -> bool:
    """Tell whether two simple-API addresses are one: credentials, case of host and last slash aside."""
    return _canonical(left) == _canonical(right)


def as_simple(url: str) -> str:
    """Return a simple API's address with the slash at its end that relative links need (PEP 503)."""
    return url if url.endswith("/") else url + "/"


def read_indexes(
    *,
    environ: Mapping[str, str],
    home: Path,
    root: Path,
    project: Mapping[str, Any] | None = None,
    prefix: Path | None = None,
    etc: Path = Path("/etc"),
    requirements: Path | None = None,
) -> Indexes:
    """Read what the machine and the project at `root` (its `pyproject.toml` as `project`) configure.

    A tool's variables beat its files, and uv's settings are asked before pip's, then PDM's and
    Poetry's mirror. `prefix` is the virtual environment whose pip.conf counts; a variable's relative
    path is relative to `root`. `requirements` is the lock where it is a requirements.txt: the options in
    it count more than pip's settings. Raises HostError `bad-index-config` with every file that cannot be
    read, or for an address that cannot be asked.
    """
    from shipwheel.wheel.project_indexes import pipfile_sources, project_sources, read_options

    reader = MachineSettings(environ=environ, home=home, root=root, etc=etc)
    uv, pip = reader.uv(), reader.pip(prefix)
    stored = reader.pdm_config()
    file = read_options(requirements, environ=environ, home=home) if requirements else Found()
    own = [
        (role, index)
        for role, index in [
            *file.places,
            *project_sources(project or {}, root, environ, stored),
            *pipfile_sources(root, environ),
        ]
        # For the default index itself the machine may name a mirror.
        if role != "default" or not same_index(index.url, default_url())
    ]
    machine = [*uv.places, *pip.places, *reader.pdm(stored), *reader.poetry_mirror()]
    if reader.problems:
        raise HostError.of(reader.problems)
    if any(role == "default" for role, _ in own):
        # What the project names as the default index stands for the machine's.
        machine = [(role, index) for role, index in machine if role != "default"]
    places = [*own, *machine]
    return Indexes(
        mirrors=_distinct(index for role, index in places if role == "default"),
        extra=_distinct(index for role, index in places if role == "extra"),
        named=_distinct(index for role, index in places if role == "named"),
        no_index=uv.no_index or pip.no_index or file.no_index,
    )


Role = Literal["default", "extra", "named"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one tool's settings say: places with their role, and whether indexes may be asked at all."""

    places: Sequence[tuple[Role, Index]] = ()
    no_index: bool = False


class MachineSettings:
    """Reads what each tool is told on this machine; collects what is wrong in `problems`."""

    def __init__(
        self, *, environ: Mapping[str, str], home: Path, root: Path, etc: Path = Path("/etc")
    ) -> None:
        """Read files below `home` and `etc`, and the project's own in `root`."""
        self._environ, self._home, self._root, self._etc = environ, home, root, etc
        self.problems: list[Problem] = []

    def pip_settings(self, prefix: Path | None = None) -> dict[str, tuple[str, str]]:
        """Return value and origin by key (pip user guide, "Configuration"): global, user, site, PIP_CONFIG_FILE, variables."""
        merged: dict[tuple[str, str], tuple[str, str]] = {}
        for path in self._pip_files(prefix):
            for section, key, value in self._ini(path):
                merged[section, key] = (value, f"{path} [{section}] {key}")
        settings: dict[str, tuple[str, str]] = {}
        for section in _PIP_SECTIONS:
            settings |= {key: value for (part, key), value in merged.items() if part == section}
        for variable, value in sorted(self._environ.items()):
            # pip: an empty variable is no setting.
            if variable.startswith("PIP_") and value:
                settings[variable[4:].lower().replace("_", "-")] = (value, variable)
        return settings

    def pip(self, prefix: Path | None = None) -> Found:
        """Return the places in pip's settings."""
        settings = self.pip_settings(prefix)
        places: list[tuple[Role, Index]] = []
        roles: dict[str, Role] = {"index-url": "default", "extra-index-url": "extra"}
        for key, role in roles.items():
            text, where = settings.get(key, ("", ""))
            places += [(role, self._simple(word, where)) for word in text.split()]
        text, where = settings.get("find-links", ("", ""))
        places += [("extra", self._links(word, where, self._root)) for word in text.split()]
        no_index = settings.get("no-index", ("", ""))[0].lower() in ("1", "true", "yes", "on", "y", "t")
        return Found(places=places, no_index=no_index)

    def uv(self) -> Found:
        """Read uv's settings (uv reference, "Settings"): variables, the project's uv.toml, the user's, the system's."""
        places: list[tuple[Role, Index]] = []
        environ = self._environ
        roles: dict[str, Role] = {
            "UV_DEFAULT_INDEX": "default",
            "UV_INDEX_URL": "default",
            "UV_INDEX": "extra",
            "UV_EXTRA_INDEX_URL": "extra",
        }
        for variable, role in roles.items():
            places += [(role, self._named(word, variable)) for word in environ.get(variable, "").split()]
        words = re.split(r"[\s,]+", environ.get("UV_FIND_LINKS", ""))
        places += [("extra", self._links(word, "UV_FIND_LINKS", self._root)) for word in words if word]
        no_index = environ.get("UV_NO_INDEX", "").lower() in ("1", "true", "yes", "on", "y", "t")
        for path in self._uv_files():
            data = self._toml(path)
            places += self._uv_table(data, str(path), path.parent)
            no_index = no_index or data.get("no-index") is True
        return Found(places=places, no_index=no_index)

    def pdm_config(self) -> Mapping[str, Any]:
        """Read `[pypi]` of PDM's settings: the user's, then the project's pdm.toml (PDM, "Configure the project")."""
        named = self._environ.get("PDM_CONFIG_FILE")
        path = Path(named) if named else self._config_home() / "pdm" / "config.toml"
        merged: dict[str, Any] = {}
        for file in (path, self._root / "pdm.toml", self._root / ".pdm.toml"):
            for key, value in table_of(self._toml(file), "pypi").items():
                before = merged.get(key)
                if isinstance(value, dict) and isinstance(before, dict):
                    value = {**before, **value}  # noqa: PLW2901
                merged[key] = value
        return merged

    def pdm(self, stored: Mapping[str, Any]) -> list[tuple[Role, Index]]:
        """Return PDM's default index and the stored ones, with their logins (PDM reference, `pypi.*`)."""
        environ = self._environ
        places: list[tuple[Role, Index]] = []
        url = environ.get("PDM_PYPI_URL", "") or str(stored.get("url", ""))
        if url:
            index = self._simple(url, "PDM's pypi.url")
            user = environ.get("PDM_PYPI_USERNAME") or stored.get("username")
            password = environ.get("PDM_PYPI_PASSWORD") or stored.get("password")
            if user and index.login is None:
                index = replace(index, login=Login(user=str(user), password=str(password or "")))
            places.append(("default", index))
        ignored = environ.get("PDM_IGNORE_STORED_INDEX", str(stored.get("ignore_stored_index", "")))
        if ignored.lower() in ("1", "true", "yes", "on"):
            return places
        for name, table in sorted(stored.items()):
            if isinstance(table, dict) and isinstance(table.get("url"), str):
                entry = {**table, "name": name}
                places += [("extra", pdm_source(entry, expand(table["url"], environ), self._root, environ))]
        return places

    def poetry_mirror(self) -> list[tuple[Role, Index]]:
        """Read the variable of Poetry's mirror plugin."""
        url = self._environ.get("POETRY_PYPI_MIRROR_URL")
        return [("default", self._simple(url, "POETRY_PYPI_MIRROR_URL"))] if url else []

    def _pip_files(self, prefix: Path | None) -> Iterator[Path]:
        named = self._environ.get("PIP_CONFIG_FILE")
        if named == os.devnull:
            return
        for folder in reversed(self._environ.get("XDG_CONFIG_DIRS", str(self._etc / "xdg")).split(":")):
            if folder:
                yield Path(folder) / "pip" / "pip.conf"
        yield self._etc / "pip.conf"
        yield self._home / ".pip" / "pip.conf"
        yield self._config_home() / "pip" / "pip.conf"
        if prefix is not None:
            yield prefix / "pip.conf"
        if named:
            yield Path(named)

    def _ini(self, path: Path) -> Iterator[tuple[str, str, str]]:
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(path.read_text(encoding="utf-8"), source=str(path))
        except (FileNotFoundError, NotADirectoryError):
            return
        except configparser.Error as error:
            line = getattr(error, "lineno", None)
            self._problem(f"{path}:{line}" if line else str(path), type(error).__name__)
            return
        except (OSError, UnicodeDecodeError) as error:
            self._problem(str(path), type(error).__name__)
            return
        for section in parser.sections():
            for key, value in parser.items(section):
                yield section, key.lower().replace("_", "-").removeprefix("--"), value

    def _uv_files(self) -> Iterator[Path]:
        environ = self._environ
        if environ.get("UV_NO_CONFIG", "").lower() in ("1", "true"):
            return
        if named := environ.get("UV_CONFIG_FILE"):
            yield Path(named)
            return
        for folder in (self._root, *self._root.parents):
            if (folder / "uv.toml").is_file():
                yield folder / "uv.toml"
                break
        yield self._config_home() / "uv" / "uv.toml"
        for folder_name in environ.get("XDG_CONFIG_DIRS", str(self._etc / "xdg")).split(":"):
            if folder_name:
                yield Path(folder_name) / "uv" / "uv.toml"
        yield self._etc / "uv" / "uv.toml"

    def _uv_table(self, data: Mapping[str, Any], place: str, folder: Path) -> Iterator[tuple[Role, Index]]:
        for entry in tables_of(data.get("index")):
            if url := str(entry.get("url", "")):
                role: Role = "extra"
                if entry.get("default") is True or entry.get("explicit") is True:
                    # uv: an explicit index serves only the packages that are pinned to it.
                    role = "default" if entry.get("default") is True else "named"
                name = str(entry["name"]) if "name" in entry else None
                where = f"{place} [[index]]"
                if entry.get("format") == "flat":
                    yield role, self._links(url, where, folder, name=name)
                else:
                    yield role, self._simple(url, where, name=name)
        if isinstance(old := data.get("index-url"), str):
            yield "default", self._simple(old, f"{place} index-url")
        for url in strings_of(data.get("extra-index-url")):
            yield "extra", self._simple(url, f"{place} extra-index-url")
        for url in strings_of(data.get("find-links")):
            yield "extra", self._links(url, f"{place} find-links", folder)

    def _named(self, word: str, where: str) -> Index:
        """Read uv's `name=address`."""
        match = re.match(r"([A-Za-z0-9_.-]+)=(.+)", word)
        return self._simple(match[2], where, name=match[1]) if match else self._simple(word, where)

    def _simple(self, url: str, where: str, *, name: str | None = None) -> Index:
        return simple_index(url, where, folder=self._root, name=name)

    def _links(self, text: str, where: str, folder: Path, *, name: str | None = None) -> Index:
        return find_links(text, where, folder=folder, home=self._home, name=name)

    def _toml(self, path: Path) -> dict[str, Any]:
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError) as error:
            # A TOML error quotes no value, but a position.
            self._problem(str(path), str(error) if isinstance(error, ValueError) else type(error).__name__)
            return {}

    def _problem(self, place: str, detail: str) -> None:
        self.problems.append(
            Problem(
                code="bad-index-config",
                message=f"index settings cannot be read: {detail}",
                place=place,
                hint="mend the file, or point PIP_CONFIG_FILE or UV_CONFIG_FILE at another",
            )
        )

    def _config_home(self) -> Path:
        named = self._environ.get("XDG_CONFIG_HOME")
        return Path(named) if named else self._home / ".config"


def simple_index(url: str, where: str, *, folder: Path, name: str | None = None) -> Index:
    """Return the simple index at `url`, which may hold credentials or be a path relative to `folder`."""
    if not _is_url(url, where):
        return Index(url=as_simple((folder / url).resolve().as_uri()), name=name, configured=where)
    bare, login = split_login(url)
    return Index(url=as_simple(bare), name=name, configured=where, login=login)


def find_links(text: str, where: str, *, folder: Path, home: Path, name: str | None = None) -> Index:
    """Return the find-links place `text`: an address, or a path (`~` is `home`) relative to `folder`."""
    if _is_url(text, where):
        bare, login = split_login(text)
        return Index(url=bare, kind="find-links", name=name, configured=where, login=login)
    path = home / text[2:] if text.startswith("~/") else folder / text
    return Index(url=path.resolve().as_uri(), kind="find-links", name=name, configured=where)


def pdm_source(entry: Mapping[str, Any], url: str, root: Path, environ: Mapping[str, str]) -> Index:
    """Return PDM's source `entry` at `url`, with its user and password where they stand beside it."""
    where, name = "[[tool.pdm.source]]", name_of(entry)
    if entry.get("type") == "find_links":
        return find_links(url, where, folder=root, home=root, name=name)
    index = simple_index(url, where, folder=root, name=name)
    if isinstance(user := entry.get("username"), str):
        password = expand(str(entry.get("password", "")), environ)
        login = Login(user=expand(user, environ), password=password)
        return Index(url=index.url, name=name, configured=where, login=login)
    return index


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Put `${NAME}` in; what is not set stays as it stands."""
    return re.sub(r"\$\{(\w+)\}", lambda match: environ.get(match[1], match[0]), text)


def _canonical(url: str) -> tuple[Origin, str]:
    bare = as_simple(split_login(url)[0])
    return origin(bare), urlsplit(bare).path


def _distinct(indexes: Iterable[Index]) -> tuple[Index, ...]:
    """Return `indexes` without those whose address came before; one with a name or login is kept for it."""
    kept: dict[tuple[str, Kind], Index] = {}
    for index in indexes:
        before = kept.get((index.url, index.kind))
        if before is None:
            kept[index.url, index.kind] = index
        elif (before.login is None and index.login) or (before.name is None and index.name):
            kept[index.url, index.kind] = Index(
                url=before.url,
                kind=before.kind,
                name=before.name or index.name,
                configured=before.configured,
                login=before.login or index.login,
            )
    return tuple(kept.values())


def _is_url(text: str, where: str) -> bool:
    """Tell an address from a path; raises HostError `bad-index-config` for one that cannot be asked."""
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:", text) is None:
        return False
    try:
        origin(split_login(text)[0])
    except (ValueError, NetworkError) as error:
        detail = error.problems[0].message if isinstance(error, NetworkError) else "it is malformed"
        raise HostError(
            "bad-index-config",
            f"not an index's address: {detail}",
            place=f"{where}: {redact(text)}",
            hint="an index is an http, https or file address, as https://index.example/simple/",
        ) from error
    return True


def name_of(entry: Mapping[str, Any]) -> str | None:
    """Return the name of a source, or None."""
    name = entry.get("name")
    return name if isinstance(name, str) else None


def table_of(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the table at `key`, empty where there is none."""
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def tables_of(value: object) -> list[Mapping[str, Any]]:
    """Return the tables in a list, empty for anything else."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def strings_of(value: object) -> list[str]:
    """Return the texts in a list, empty for anything else."""
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []
