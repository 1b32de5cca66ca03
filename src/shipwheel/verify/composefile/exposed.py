"""What a compose file gives away: the host, root, capabilities, passwords, databases."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from shipwheel.verify.composefile.read import ComposeFile, Service, words_of
from shipwheel.verify.model import Rule
from shipwheel.verify.secrets import find_credentials, find_secrets, is_secret_value

PRIVILEGED: Final = Rule(
    code="compose-privileged",
    promise="secure",
    severity="error",
    title="A service may do what the host's root may",
    why="Whoever takes over the program has taken over the machine.",
    fix="Remove privileged, seccomp:unconfined and apparmor:unconfined; name the one device or capability needed.",
)
CAPABILITIES: Final = Rule(
    code="compose-capabilities",
    promise="secure",
    severity="warning",
    title="A service is given capabilities",
    why="Each is a part of root's power; a web program needs none of them on a port from 1024 on.",
    fix="Remove cap_add, and drop the usual ones too: cap_drop: [ALL].",
)
HOST_NAMESPACE: Final = Rule(
    code="compose-host-namespace",
    promise="secure",
    severity="error",
    title="A service shares the host's network, processes or users",
    why="It reaches what listens on the host's loopback, or sees and signals the host's processes.",
    fix="Remove network_mode, pid, ipc, uts, cgroup and userns_mode: host; publish the port that is needed.",
)
SOCKET: Final = Rule(
    code="compose-engine-socket",
    promise="secure",
    severity="error",
    title="A service may talk to the container engine",
    why="Through the socket it starts a container with the host's files in it: that is root on the host.",
    fix="Remove the mount; a proxy that allows the one request that is needed is the least evil.",
)
ROOT: Final = Rule(
    code="compose-root",
    promise="secure",
    severity="error",
    title="A service is told to run as root",
    why="Whatever user the image has, compose overrides it.",
    fix='Remove `user`, or name a number: user: "65532:65532".',
)
WRITABLE: Final = Rule(
    code="compose-writable-root",
    promise="secure",
    severity="note",
    title="A service may write to its own root",
    why="What an intruder puts there lives until the container is made anew, and hides writes that get lost.",
    fix="read_only: true, with tmpfs: [/tmp].",
)
SECRET: Final = Rule(
    code="compose-secret",
    promise="secure",
    severity="error",
    title="A password is written into the compose file",
    why="The file is in the repository, and the value in every process's environment.",
    fix="Replace the secret where it was issued; take it from `secrets`, or from the environment: NAME: ${NAME:?}.",
)
DATABASE: Final = Rule(
    code="compose-database-port",
    promise="secure",
    severity="warning",
    title="A database is open to the network",
    why="Without an address a port is published on all of the host's, past the host's firewall.",
    fix='Remove `ports` (services reach each other without), or publish on loopback: "127.0.0.1:5432:5432".',
)
DEBUG: Final = Rule(
    code="compose-development-server",
    promise="secure",
    severity="warning",
    title="A service runs a server made for development",
    why="Debuggers in the browser run code for everybody; reloaders watch files that never change.",
    fix="Start gunicorn, uvicorn or another server without --reload, and set no DEBUG.",
)
RULES: Final = (PRIVILEGED, CAPABILITIES, HOST_NAMESPACE, SOCKET, ROOT, WRITABLE, SECRET, DATABASE, DEBUG)

Told = tuple[Rule, int, str]

_SHARED: Final = ("network_mode", "pid", "ipc", "uts", "cgroup", "userns_mode")
_SOCKETS: Final = re.compile(r".*/(?:docker|podman|containerd|crio|buildkitd)\.sock")
# The ports that IANA, or habit, gives to databases, queues and caches.
_DATABASE_PORTS: Final = {
    "1433": "SQL Server", "1521": "Oracle", "3306": "MySQL", "5432": "PostgreSQL", "5672": "RabbitMQ",
    "5984": "CouchDB", "6379": "Redis", "7687": "Neo4j", "8086": "InfluxDB", "9042": "Cassandra",
    "9092": "Kafka", "9200": "Elasticsearch", "11211": "memcached", "15672": "RabbitMQ's console",
    "26257": "CockroachDB", "27017": "MongoDB",
}  # fmt: skip
_LOOPBACK: Final = re.compile(r"127\.\d+\.\d+\.\d+|::1|localhost|\$.*")
_RELOADS: Final = re.compile(
    r"(?:^|\s)--reload\b|\bmanage\.py\s+runserver\b|\bflask\s+(?:--\S+\s+)*run\b|\bfastapi\s+dev\b|(?:^|\s)--debug\b|\bdebugpy\b"
)
_DEBUG_NAMES: Final = frozenset(
    {"FLASK_DEBUG", "DJANGO_DEBUG", "DEBUG", "WERKZEUG_DEBUG_PIN", "PYTHONBREAKPOINT"}
)


def check(file: ComposeFile) -> Iterator[Told]:
    """Yield the broken rules with their line and what is there."""
    for service in file.services:
        yield from _rights(service)
        yield from _secrets(service)
        yield from _ports(service)
        if service.is_built and service.is_started and not service.is_for_development:
            yield from _production(service)


def _rights(service: Service) -> Iterator[Told]:
    value, name = service.value, service.name
    if value.is_on("privileged"):
        yield PRIVILEGED, _line(service, "privileged"), f"{name}: privileged"
    for item in value.each("security_opt"):
        if re.search(r"unconfined|label[:=]disable", item.text):
            yield PRIVILEGED, item.line, f"{name}: {item.text}"
    for item in value.each("cap_add"):
        rule = PRIVILEGED if item.text.upper().removeprefix("CAP_") in ("ALL", "SYS_ADMIN") else CAPABILITIES
        yield rule, item.line, f"{name}: {item.text}"
    for key in _SHARED:
        if value.text_at(key) == "host":
            yield HOST_NAMESPACE, _line(service, key), f"{name}: {key}: host"
    for mount in service.mounts():
        if mount.kind == "bind" and _SOCKETS.fullmatch(mount.source):
            yield SOCKET, mount.line, f"{name}: {mount.source}"
    user = value.text_at("user")
    if user.partition(":")[0] in ("root", "0"):
        yield ROOT, _line(service, "user"), f"{name}: user: {user}"


def _secrets(service: Service) -> Iterator[Told]:
    pairs = [*service.environment(), *service.environment("build", "args")]
    for name, value, line in pairs:
        data = value.encode("utf-8", "surrogatepass")
        kinds = [found.kind for found in (*find_secrets(data), *find_credentials(data))]
        if kinds:
            yield SECRET, line, f"{service.name}: {name}: {kinds[0]}"
        elif is_secret_value(name, value):
            yield SECRET, line, f"{service.name}: {name} ({len(value)} characters)"


def _ports(service: Service) -> Iterator[Told]:
    for port in service.ports():
        kind = _DATABASE_PORTS.get(port.target)
        if kind is not None and not _LOOPBACK.fullmatch(port.address):
            yield DATABASE, port.line, f"{service.name}: port {port.target} ({kind})"


def _production(service: Service) -> Iterator[Told]:
    value, name = service.value, service.name
    if not value.is_on("read_only") and not service.partial:
        yield WRITABLE, value.line, f"{name}: no read_only"
    for key in ("command", "entrypoint"):
        match = _RELOADS.search(words_of(value.get(key)))
        if match is not None:
            yield DEBUG, _line(service, key), f"{name}: {match[0].strip()}"
    for variable, text, line in service.environment():
        if variable in _DEBUG_NAMES and text.lower() in ("1", "true", "yes", "on"):
            yield DEBUG, line, f"{name}: {variable}={text}"


def _line(service: Service, key: str) -> int:
    found = service.value.get(key)
    return service.value.line if found is None else found.line
