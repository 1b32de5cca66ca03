"""Read a compose file into services whose every value knows its line. Judges nothing, and resolves no variable.

Values stay text: whether `yes` or `22:22` is a boolean or a number differs between versions of YAML, and
whoever asks knows what is meant. Anchors and `<<` are followed (YAML, "merge key"); `extends` and
`include` are not, and a service that uses them is `partial`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import yaml

from shipwheel.errors import UsageError
from shipwheel.verify.recipe.parse import FOR_DEVELOPMENT

# Real ones have some hundred; anchors can make millions of a few lines.
_MAX_NODES: Final = 100_000
_MAX_DEPTH: Final = 50
_WINDOWS_PATH: Final = re.compile(r"[A-Za-z]:[\\/]")


@dataclass(frozen=True, slots=True)
class Value:
    """A scalar (`text`), a list (`items`) or a mapping (`fields`), with its first line, from 1."""

    line: int
    text: str = ""
    items: Sequence[Value] = ()
    fields: Mapping[str, Value] = field(default_factory=dict)

    def get(self, *names: str) -> Value | None:
        """Return what is under `names`, one below the other."""
        found: Value | None = self
        for name in names:
            found = None if found is None else found.fields.get(name)
        return found

    def text_at(self, *names: str) -> str:
        """Return the scalar under `names`; empty where there is none."""
        found = self.get(*names)
        return "" if found is None else found.text

    def is_on(self, *names: str) -> bool:
        """Whether the scalar under `names` is a YAML `true`, in any spelling of YAML 1.1."""
        return self.text_at(*names).lower() in ("true", "yes", "on")

    def each(self, *names: str) -> Sequence[Value]:
        """Return the list under `names`; a single scalar is a list of one."""
        found = self.get(*names)
        if found is None:
            return ()
        return found.items or ((found,) if found.text else ())


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount of a service. `kind` is bind, volume or tmpfs; `source` is empty for an anonymous volume."""

    kind: str
    source: str
    target: str
    line: int


@dataclass(frozen=True, slots=True)
class Port:
    """A published port: the address of the host (empty: all of them) and the container's port."""

    address: str
    published: str
    target: str
    line: int


@dataclass(frozen=True, slots=True)
class Service:
    """One service. `partial`: other files tell more of it, so that what is absent here may be there."""

    name: str
    value: Value
    partial: bool

    @property
    def is_built(self) -> bool:
        """Whether its image is built from this project."""
        return self.value.get("build") is not None

    @property
    def is_started(self) -> bool:
        """Whether a replica is ever started."""
        return self.value.text_at("deploy", "replicas") != "0" and self.value.text_at("scale") != "0"

    @property
    def is_for_development(self) -> bool:
        """Whether it is for working in: it says so, mounts a folder of source, is watched, or waits for ever."""
        names = (self.name, self.value.text_at("build", "target"))
        if any(FOR_DEVELOPMENT.fullmatch(name) for name in names):
            return True
        if self.value.get("develop") is not None or _WAITS.search(words_of(self.value.get("command"))):
            return True
        return any(mount.kind == "bind" and _SOURCE.fullmatch(mount.source) for mount in self.mounts())

    def mounts(self) -> Iterator[Mount]:
        """Yield what is mounted (compose-spec, "volumes", short and long; "tmpfs")."""
        for item in self.value.each("volumes"):
            if item.fields:
                kind = item.text_at("type") or "volume"
                yield Mount(kind, item.text_at("source"), _plain(item.text_at("target")), item.line)
                continue
            source, target = _short_mount(item.text)
            kind = (
                "bind" if source.startswith((".", "/", "~", "$")) or _WINDOWS_PATH.match(source) else "volume"
            )
            yield Mount(kind, source, _plain(target), item.line)
        for item in self.value.each("tmpfs"):
            yield Mount("tmpfs", "", _plain(item.text.partition(":")[0]), item.line)

    def ports(self) -> Iterator[Port]:
        """Yield what is published (compose-spec, "ports", short and long)."""
        for item in self.value.each("ports"):
            if item.fields:
                yield Port(
                    item.text_at("host_ip"), item.text_at("published"), item.text_at("target"), item.line
                )
                continue
            text = _interpolated(item.text).partition("/")[0]
            rest, _, target = text.rpartition(":")
            address, _, published = rest.rpartition(":")
            yield Port(address.strip("[]"), published, target, item.line)

    def environment(self, *names: str) -> Iterator[tuple[str, str, int]]:
        """Yield names, values and lines of `environment`, or of the mapping or list under `names`."""
        found = self.value.get(*(names or ("environment",)))
        if found is None:
            return
        for item in found.items:
            name, _, value = item.text.partition("=")
            yield name, value, item.line
        for name, item in found.fields.items():
            yield name, item.text, item.line


@dataclass(frozen=True, slots=True)
class ComposeFile:
    """A compose file: its name in places, the whole, and its services in their order."""

    name: str
    folder: str
    whole: Value
    services: Sequence[Service]


# What people mount to edit: the project itself, or the folder of its code.
_SOURCE: Final = re.compile(r"(?:\.{1,2}|\$PWD|\$\{PWD\})/?|(?:\./|\.\./)*(?:src|app|source|code|backend)/?")
_WAITS: Final = re.compile(r"\bsleep\s+(?:infinity|inf)\b|\btail\s+-[fF]\s+/dev/null\b")


def words_of(value: Value | None) -> str:
    """Return a command as one text, whether it is a string or a list."""
    if value is None:
        return ""
    return value.text or " ".join(item.text for item in value.items)


def read_compose(name: str, text: str, *, overridden: bool = False) -> ComposeFile:
    """Return the compose file `text`, which `name` (its path) is said of.

    `overridden`: another file adds to it, or it to another one.
    Raises UsageError `bad-compose-file` for what is no YAML, no mapping, or without services.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        whole = _Reader().value(node) if node is not None else Value(1)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = name if mark is None else f"{name}:{mark.line + 1}"
        problem = getattr(error, "problem", None) or "it cannot be read as YAML"
        raise UsageError("bad-compose-file", str(problem), place=place) from error
    services = whole.get("services")
    if services is None or not services.fields:
        raise UsageError("bad-compose-file", "there are no services in it", place=name)
    more = overridden or whole.get("include") is not None
    return ComposeFile(
        name=name,
        folder=posixpath.dirname(name) or ".",
        whole=whole,
        services=tuple(
            Service(key, value, more or value.get("extends") is not None)
            for key, value in services.fields.items()
        ),
    )


class _Reader:
    """Makes values of YAML nodes; an alias is the same node again, perhaps inside itself."""

    def __init__(self) -> None:
        self._left = _MAX_NODES

    def value(self, node: yaml.Node, depth: int = 0) -> Value:
        self._left -= 1
        if depth > _MAX_DEPTH or self._left < 0:
            raise yaml.MarkedYAMLError(problem="it is nested too deep", problem_mark=node.start_mark)
        line = node.start_mark.line + 1
        if isinstance(node, yaml.SequenceNode):
            return Value(line, items=tuple(self.value(item, depth + 1) for item in node.value))
        if not isinstance(node, yaml.MappingNode):
            return Value(line, text="" if node.tag == "tag:yaml.org,2002:null" else str(node.value))
        fields: dict[str, Value] = {}
        merged: dict[str, Value] = {}
        for key, item in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                found = self.value(item, depth + 1)
                for one in found.items or (found,):
                    merged = {**one.fields, **merged}
            else:
                value = self.value(item, depth + 1)
                # Scalars and lists are on the line of their key; that is the line to look at.
                fields[str(key.value)] = Value(key.start_mark.line + 1, value.text, value.items, value.fields)
        return Value(line, fields={**merged, **fields})


def _short_mount(text: str) -> tuple[str, str]:
    text = _interpolated(text)
    drive = _WINDOWS_PATH.match(text)
    source, colon, rest = text[2:].partition(":") if drive else text.partition(":")
    if not colon:
        return "", text
    return (text[:2] if drive else "") + source, rest.partition(":")[0]


def _plain(path: str) -> str:
    return posixpath.normpath(path) if path else ""


def _interpolated(text: str) -> str:
    """Return `text` with the defaults of `${NAME:-default}`, whose colon would be taken for another."""
    return re.sub(r"\$\{(\w+)(?::?-([^}]*)|:?\?[^}]*)?\}", lambda match: match[2] or f"${match[1]}", text)
