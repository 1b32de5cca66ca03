"""What is installed in an image: Python distributions, system packages, interpreters, accounts. Judges nothing.

Read from what installers leave behind: `*.dist-info` (PyPA, "Recording installed projects"), dpkg's and
apk's databases, `/etc/passwd`. What cannot be read is told, and taken for absent.
"""

from __future__ import annotations

import csv
import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.oci.model import RunConfig
from shipwheel.verify.evidence import Evidence

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_METADATA: Final = re.compile(r"(?P<site>.*)/(?P<info>[^/]+\.dist-info)/METADATA")
_EGG: Final = re.compile(r"(?P<site>.*)/(?P<info>[^/]+\.egg-info)(?:/PKG-INFO)?")
_INTERPRETER: Final = re.compile(r"(?P<prefix>(?:.*/)?)bin/python(?P<minor>3\.\d+)")
_MAX_ROWS: Final = 500_000


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a RECORD: the path in the image, the hash as in the file (may be empty), and the size."""

    path: str
    hash: str
    size: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """An installed Python distribution. Paths have no leading slash; `rows` is None without a RECORD.

    `site` is the folder that modules are imported from, `info` the distribution's own folder. `vendored`
    is one that another distribution carries inside: its files are that one's.
    """

    name: NormalizedName
    version: str
    site: str
    info: str
    installer: str
    direct_url: Mapping[str, Any] | None
    rows: Sequence[Row] | None
    vendored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemPackage:
    """A package of the distribution; `files` are paths that its database lists, in no more than its words."""

    kind: Literal["deb", "apk"]
    name: str
    version: str
    files: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python: its file's path without a leading slash, its version as `3.13`, and its library folder."""

    path: str
    minor: str
    library: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunUser:
    """Who the container runs as. `uid` is None where the name is in no `/etc/passwd` of the image."""

    text: str
    name: str | None
    uid: int | None
    gids: frozenset[int]
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """All that is installed. `owners` name the distribution (an index) that lists a visible path."""

    distributions: Sequence[Distribution]
    system: Sequence[SystemPackage]
    interpreters: Sequence[Interpreter]
    owners: Mapping[str, int]
    user: RunUser
    unreadable: Sequence[str]

    @property
    def sites(self) -> Sequence[str]:
        """The folders that hold distributions, sorted."""
        return sorted({item.site for item in self.distributions})

    def owner(self, path: str) -> Distribution | None:
        """Return the distribution that lists the visible `path`."""
        index = self.owners.get(path)
        return None if index is None else self.distributions[index]


def find_installed(evidence: Evidence) -> Installed:
    """Return what is installed in the filesystem that is seen in the end."""
    unreadable: list[str] = []
    distributions = _mark_vendored(tuple(_distributions(evidence, unreadable)))
    owners: dict[str, int] = {}
    # Those that are carried inside another come last: what both list is the outer one's.
    for index, item in sorted(enumerate(distributions), key=lambda pair: pair[1].vendored):
        for row in item.rows or ():
            owners.setdefault(row.path, index)
        for path, _ in evidence.files_below(item.info):
            owners.setdefault(path, index)
    return Installed(
        distributions=distributions,
        system=tuple(_system_packages(evidence)),
        interpreters=tuple(_interpreters(evidence)),
        owners=owners,
        user=_run_user(evidence),
        unreadable=unreadable,
    )


def environment(config: RunConfig) -> dict[str, str]:
    """Return the image's environment; a later value of a name wins."""
    return dict(config.env or ())


def search_path(config: RunConfig) -> tuple[str, ...]:
    """Return the folders of PATH without leading slashes, in their order."""
    words = environment(config).get("PATH", DEFAULT_PATH).split(":")
    return tuple(dict.fromkeys(word.strip("/") for word in words if word.startswith("/")))


def find_program(evidence: Evidence, word: str) -> str | None:
    """Return the path, links followed, of what `word` starts: an absolute path, or a name on PATH."""
    config = evidence.image.config
    if "/" in word:
        base = config.working_dir or "/"
        candidates = [posixpath.normpath(posixpath.join(base, word))]
    else:
        candidates = [f"{folder}/{word}" for folder in search_path(config)]
    for candidate in candidates:
        path = evidence.real_path(candidate.lstrip("/"))
        node = None if path is None else evidence.visible.get(path)
        if node is not None and node.kind == "file" and node.mode & 0o111:
            return path
    return None


def _distributions(evidence: Evidence, unreadable: list[str]) -> Iterator[Distribution]:
    for path, node in evidence.visible.items():
        match = _METADATA.fullmatch(path) or _EGG.fullmatch(path)
        if match is None or node.kind != "file":
            continue
        info = f"{match['site']}/{match['info']}"
        data = evidence.kept.get(node.source) if node.source is not None else None
        name, version = _name_and_version(data or b"")
        if not name:
            unreadable.append(f"/{path} names no distribution")
            continue
        yield Distribution(
            name=canonicalize_name(name),
            version=version,
            site=match["site"],
            info=info,
            installer=(evidence.text(f"{info}/INSTALLER") or "").strip(),
            direct_url=_direct_url(evidence, info, unreadable),
            rows=_rows(evidence, match["site"], info, unreadable),
        )


def _mark_vendored(distributions: Sequence[Distribution]) -> tuple[Distribution, ...]:
    listed: dict[str, str] = {}
    for item in distributions:
        for row in item.rows or ():
            if row.path.endswith("/METADATA") and not row.path.startswith(f"{item.info}/"):
                listed[row.path] = item.info
    return tuple(replace(item, vendored=f"{item.info}/METADATA" in listed) for item in distributions)


def _name_and_version(metadata: bytes) -> tuple[str, str]:
    head = re.split(rb"\r?\n\r?\n", metadata, maxsplit=1)[0].decode("utf-8", "replace")
    fields = dict(reversed(re.findall(r"^(Name|Version):[ \t]*(\S+)", head, re.MULTILINE)))
    return fields.get("Name", ""), fields.get("Version", "")


def _direct_url(evidence: Evidence, info: str, unreadable: list[str]) -> Mapping[str, Any] | None:
    text = evidence.text(f"{info}/direct_url.json")
    if text is None:
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        unreadable.append(f"/{info}/direct_url.json is not a JSON object")
        return None
    return data


def _rows(evidence: Evidence, site: str, info: str, unreadable: list[str]) -> tuple[Row, ...] | None:
    text = evidence.text(f"{info}/RECORD")
    if text is None:
        return None
    rows: list[Row] = []
    try:
        for fields in csv.reader(text.splitlines()):
            if len(fields) == 3 and fields[0] and len(rows) < _MAX_ROWS:
                rows.append(Row(_place(evidence, site, fields[0]), fields[1], fields[2]))
    except csv.Error:
        unreadable.append(f"/{info}/RECORD is not CSV")
        return None
    return tuple(rows)


def _place(evidence: Evidence, site: str, path: str) -> str:
    """Return where a RECORD's path is in the image, its folders' links followed."""
    joined = posixpath.normpath(posixpath.join("/", site, path)).lstrip("/")
    if joined in evidence.visible:
        return joined
    folder, _, name = joined.rpartition("/")
    real = evidence.real_path(folder)
    return joined if real is None else f"{real}/{name}".lstrip("/")


def _system_packages(evidence: Evidence) -> Iterator[SystemPackage]:
    status = evidence.text("var/lib/dpkg/status")
    for stanza in (status or "").split("\n\n"):
        package = _deb(stanza)
        if package is not None:
            name, version, architecture = package
            listed = evidence.text(f"var/lib/dpkg/info/{name}.list") or evidence.text(
                f"var/lib/dpkg/info/{name}:{architecture}.list"
            )
            yield SystemPackage(
                kind="deb", name=name, version=version, files=tuple(_listed(evidence, listed or ""))
            )
    for path, _node in evidence.files_below("var/lib/dpkg/status.d"):
        if path.endswith(".md5sums"):
            continue
        package = _deb(evidence.text(path) or "")
        if package is not None:
            sums = evidence.text(f"{path}.md5sums") or ""
            files = "\n".join(line.partition("  ")[2] for line in sums.splitlines())
            yield SystemPackage(
                kind="deb", name=package[0], version=package[1], files=tuple(_listed(evidence, files))
            )
    yield from _apks(evidence)


def _deb(stanza: str) -> tuple[str, str, str] | None:
    fields = dict(re.findall(r"^(Package|Version|Status|Architecture): *(.*\S)", stanza, re.MULTILINE))
    if "Package" not in fields or "Version" not in fields:
        return None
    if not fields.get("Status", "installed").endswith("installed") or "not-installed" in fields.get(
        "Status", ""
    ):
        return None
    return fields["Package"], fields["Version"], fields.get("Architecture", "")


def _listed(evidence: Evidence, text: str) -> Iterator[str]:
    for line in text.splitlines():
        path = line.strip("/")
        if not path or path == ".":
            continue
        if path not in evidence.visible:
            folder, _, name = path.rpartition("/")
            real = evidence.real_path(folder)
            path = path if real is None else f"{real}/{name}".lstrip("/")
        node = evidence.visible.get(path)
        if node is not None and node.kind == "file":
            yield path


def _apks(evidence: Evidence) -> Iterator[SystemPackage]:
    text = evidence.text("lib/apk/db/installed") or ""
    for stanza in text.split("\n\n"):
        name = version = folder = ""
        files = []
        for line in stanza.splitlines():
            key, _, value = line.partition(":")
            match key:
                case "P":
                    name = value
                case "V":
                    version = value
                case "F":
                    folder = value
                case "R":
                    files.append(f"{folder}/{value}")
        if name:
            listed = _listed(evidence, "\n".join(files))
            yield SystemPackage(kind="apk", name=name, version=version, files=tuple(listed))


def _interpreters(evidence: Evidence) -> Iterator[Interpreter]:
    for path, node in evidence.visible.items():
        match = _INTERPRETER.fullmatch(path)
        if match is None or node.kind != "file":
            continue
        library = f"{match['prefix']}lib/python{match['minor']}"
        if f"{library}/os.py" in evidence.visible or f"{library}/__pycache__" in evidence.visible:
            yield Interpreter(path=path, minor=match["minor"], library=library)


def _run_user(evidence: Evidence) -> RunUser:
    text = (evidence.image.config.user or "").strip()
    word, _, group = text.partition(":")
    accounts = _table(evidence.text("etc/passwd"), columns=4)
    groups = _table(evidence.text("etc/group"), columns=3)
    number = _number(word or "0")
    account = next(
        (row for row in accounts if (_number(row[2]) == number if number is not None else row[0] == word)),
        None,
    )
    uid = number if number is not None else 0 if word == "root" else None
    if uid is None and account is not None:
        uid = _number(account[2])
    gids: set[int | None] = set()
    if group:
        named = next((row for row in groups if row[0] == group), None)
        gids.add(_number(group) if _number(group) is not None or named is None else _number(named[2]))
    elif account is None:
        gids.add(0)
    else:
        # config.md, "User": supplementary groups come from /etc/group when no group is named.
        gids.add(_number(account[3]))
        gids |= {_number(row[2]) for row in groups if len(row) > 3 and account[0] in row[3].split(",")}
    return RunUser(
        text=text,
        name=None if account is None else account[0],
        uid=uid,
        gids=frozenset(gid for gid in gids if gid is not None),
        known=account is not None,
    )


def _table(text: str | None, *, columns: int) -> list[list[str]]:
    rows = [line.split(":") for line in (text or "").splitlines()]
    return [row for row in rows if len(row) >= columns]


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,10}", text) else None
