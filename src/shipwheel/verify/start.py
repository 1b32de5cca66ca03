"""The image's program, run as an engine or a cluster would: as process 1, watched, checked, and asked to stop.

`start_worker` becomes the program inside; what it reports is read here and judged. Then the program is started
as another user, and once more on a root that it may write to, to see what it writes.
"""

from __future__ import annotations

import json
import posixpath
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from shipwheel.errors import HostError, ImageError
from shipwheel.oci.model import RunConfig
from shipwheel.verify.health import HealthCheck
from shipwheel.verify.machine import Machine, ask, packed, reason_of
from shipwheel.verify.model import Finding, NotChecked, Place, Result, Rule
from shipwheel.verify.subject import count

START: Final = Rule(
    code="does-not-start",
    promise="flexible",
    severity="error",
    title="The program cannot be started",
    why="It failed before it could ask for its configuration.",
    fix="Start it with `shipwheel run` or your engine, and read what it says.",
)
STOP: Final = Rule(
    code="stop-signal-unhandled",
    promise="flexible",
    severity="warning",
    title="The program does not mind the signal that stops it",
    why="As process 1 it gets no signal that it has no handler for: every stop waits for the kill, and work is lost.",
    fix="Handle SIGTERM (signal.signal), use a server that does, or run the container with an init (--init).",
)
HEALTH: Final = Rule(
    code="health-check-fails",
    promise="flexible",
    severity="warning",
    title="The health check does not pass",
    why="An engine or a cluster takes the container for ill: it gets no traffic, and is started again and again.",
    fix="Run the check in the container by hand; it may only use programs that the image has.",
)
READ_ONLY: Final = Rule(
    code="needs-writable-root",
    promise="flexible",
    severity="warning",
    title="The program does not start on a read-only root",
    why="Hardened platforms run images so (readOnlyRootFilesystem), and what is written is lost with the container.",
    fix="Write to /tmp, or to folders that are volumes.",
)
WRITES: Final = Rule(
    code="writes-to-image",
    promise="flexible",
    severity="note",
    title="The program writes beside its code",
    why="On a read-only root, or as another user, it cannot; and what is written is lost with the container.",
    fix="Write to /tmp, or to folders that are volumes.",
)
ANY_USER: Final = Rule(
    code="needs-its-user",
    promise="flexible",
    severity="warning",
    title="The program does not start as another user",
    why="Platforms as OpenShift run images as any uid.",
    fix="Let everybody read the code, and write to /tmp or a volume alone.",
)
RULES: Final = (START, STOP, HEALTH, READ_ONLY, WRITES, ANY_USER)

_WORKER: Final = Path(__file__).with_name("start_worker.py")
# An id that no image has.
OTHER_UID: Final = 1234567
_ALIVE_SECONDS: Final = 3.0
# What a port or a health check gets to answer in. An engine may be told to wait longer; a check is not.
_READY_SECONDS: Final = 30.0
# How long engines wait between the signal and the kill, unless told.
_PATIENCE_SECONDS: Final = 10.0
_HEALTH_PAUSE: Final = 0.2
_MOST_WRITTEN: Final = 200
# Where a program may write on every platform: folders in memory or volumes, as `shipwheel run` gives.
_FREE: Final = re.compile(r"/(?:tmp|run|var/tmp|var/run|dev|proc|sys)(?:/.*)?")
# What a program says that cannot run where it is, in contrast to one that misses its configuration.
FAULT: Final = re.compile(
    r"ImportError|ModuleNotFoundError|SyntaxError|PermissionError|Permission denied|Read-only file system"
    r"|cannot open shared object|No such file or directory: '/app|exec format error",
    re.IGNORECASE,
)
# As Python, coreutils and shells say it.
_REFUSED: Final = re.compile(
    r"(?:Read-only file system|Permission denied): '([^']+)'"
    r"|(/[^\s:\u2018\u2019'\"]+)[\u2019'\"]?: (?:Read-only file system|Permission denied)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What was seen of the program as process 1. Times are seconds since it was started.

    `alive`: it still ran when it was asked to stop; else `code` is how it ended. `took` is how long it stayed
    then, None: until it was killed. `ready` is its first answer and `answer` what that was. `health` are the runs
    of the health check.
    """

    alive: bool
    code: int
    said: str
    refused: Sequence[str]
    name: str = ""
    first: bool = True
    handled: bool | None = None
    took: float | None = None
    ready: float | None = None
    answer: str = ""
    health: Sequence[Mapping[str, Any]] = ()

    @property
    def ended_anyway(self) -> bool:
        """Whether it ended by itself while it was asked to: process 1 gets no signal without a handler."""
        return self.took is not None and self.first and self.handled is False


def words_of(config: RunConfig) -> list[str]:
    """Return what an engine starts: entry point, then command."""
    return [*(config.entrypoint or ()), *(config.cmd or ())]


def observe(machine: Machine, python: str, config: RunConfig, health: HealthCheck | None) -> Observation:
    """Run the program as process 1 until it is ready, then stop it. Raises as `Machine`."""
    wait = 0.0 if health is None else min(health.within, _READY_SECONDS)
    task = {
        "start": words_of(config),
        "signal": signal_number(config.stop_signal or "SIGTERM"),
        "alive": _ALIVE_SECONDS,
        "ready": _READY_SECONDS,
        "patience": _PATIENCE_SECONDS,
        "ports": _tcp_ports(config),
        "health": None
        if health is None
        else {
            "test": health.test,
            "timeout": min(health.timeout, _READY_SECONDS),
            "until": wait,
            "pause": _HEALTH_PAUSE,
        },
    }
    done = machine.watch(
        [python, "-c", _WORKER.read_text(encoding="utf-8"), packed(task)],
        timeout=60 + _ALIVE_SECONDS + _PATIENCE_SECONDS + 2 * _READY_SECONDS,
        is_last=lambda line: b'"end"' in line,
    )
    return _observation(done.stdout, done.stderr, done.returncode)


def _observation(stdout: bytes, stderr: bytes, code: int) -> Observation:
    merged: dict[str, Any] = {}
    health: list[Mapping[str, Any]] = []
    ready: float | None = None
    answer = ""
    for line in stdout.splitlines():
        try:
            event = json.loads(line)
        except ValueError:  # the last one was cut short when process 1 ended
            continue
        merged |= event
        if "health" in event:
            health.append(event["health"])
            if event["health"]["code"] == 0:
                ready, answer = event["health"]["by"], "health check"
        if "port" in event or "http" in event:
            ready, answer = event["at"], event.get("http") or f"port {event['port']}"
    if "started" not in merged:
        said = _last_line(stderr)
        raise HostError("no-answer", f"Python in the image ended with {code}: {said}")
    refused = merged.get("refused")
    return Observation(
        alive="alive" in merged,
        code=code,
        said=refused or _last_line(stderr),
        refused=_refused(stderr),
        name=str(merged.get("name", "")),
        first=merged.get("pid", 1) == 1,
        handled=merged.get("handled"),
        took=None if "end" in merged else merged.get("stopping"),
        ready=ready,
        answer=answer,
        health=tuple(health),
    )


def check(
    machine: Machine,
    python: str,
    config: RunConfig,
    health: HealthCheck | None,
    seen: Observation | Exception,
) -> Iterator[Result]:
    """Yield what is wrong with how the program starts and stops; `seen` is what `observe` gave or raised."""
    words = words_of(config)
    if isinstance(seen, Exception):
        yield from _unchecked(f"the program could not be run: {reason_of(seen)}", RULES)
        return
    task = {"start": words, "alive": _ALIVE_SECONDS}
    timeout = 30.0 + _ALIVE_SECONDS
    try:
        other = ask(machine, python, task, timeout=timeout, uid=OTHER_UID)["start"]
        free = ask(machine, python, {**task, "written": _MOST_WRITTEN}, timeout=2 * timeout, writable=True)
    except (HostError, ImageError, TimeoutError) as error:
        yield from _unchecked(f"the program could not be run: {reason_of(error)}", RULES)
        return
    place = Place(
        path="config.Entrypoint" if config.entrypoint else "config.Cmd", detail=" ".join(words)[:200]
    )
    faulty = _is_faulty(alive=seen.alive, code=seen.code, said=seen.said)
    written = [path for path in free["written"] if not _is_free(path, config)]
    runs_free = not _is_faulty(**_parts(free["start"]))
    if faulty and runs_free:
        paths = written or list(seen.refused)
        yield _writing(READ_ONLY, f"exit code {seen.code}: {seen.said}", paths, config)
    elif faulty:
        yield Finding(rule=START, message=f"exit code {seen.code}: {seen.said}", places=[place])
    elif _is_faulty(**_parts(other)):
        message = f"as uid {OTHER_UID} it ends with {other['code']}: {other['said']}"
        refused = [Place(path=path, detail="refused") for path in _refused(other["output"].encode())]
        yield Finding(rule=ANY_USER, message=message, places=[*refused, place])
    if written and not (faulty and runs_free):
        yield _writing(WRITES, f"{count(len(written), 'path')}, in {_ALIVE_SECONDS:.0f} s", written, config)
    yield from _check_stop(seen, config, place)
    yield from _check_health(seen, health)


def _check_stop(seen: Observation, config: RunConfig, place: Place) -> Iterator[Result]:
    name = config.stop_signal or "SIGTERM"
    if not seen.alive:
        said = f": {seen.said}" if seen.said else ""
        yield NotChecked(rule=STOP, reason=f"it ended by itself with exit code {seen.code}{said}")
        return
    if seen.took is None:
        why = f"{seen.name or 'the program'} has no handler for {name}" if seen.handled is False else ""
        why = why or f"{seen.name or 'the program'} goes on after {name}"
        message = f"{name} did not end it within {_PATIENCE_SECONDS:.0f} s as process 1: {why}"
        yield Finding(rule=STOP, message=message, places=[place], fix=_stop_fix(config))
    elif seen.ended_anyway:
        reason = f"it ended by itself with exit code {seen.code}, {seen.took:.1f} s after {name}"
        yield NotChecked(rule=STOP, reason=reason)
    elif seen.handled is False:
        # This runner had a process 1 of its own; without one the signal would have been lost.
        message = f"{seen.name or 'the program'} has no handler for {name}"
        yield Finding(rule=STOP, message=message, places=[place], fix=_stop_fix(config))


def _stop_fix(config: RunConfig) -> str | None:
    words = words_of(config)
    if len(words) > 2 and posixpath.basename(words[0]) in ("sh", "bash", "dash", "ash") and words[1] == "-c":
        return (
            'Name the program in the exec form, ENTRYPOINT ["program", "argument"], or start it with '
            "`exec` in the shell line: the shell is process 1 now, and passes no signal on."
        )
    return None


def _check_health(seen: Observation, health: HealthCheck | None) -> Iterator[Result]:
    if health is None:
        yield NotChecked(rule=HEALTH, reason="neither the image nor a compose file has a health check")
        return
    if any(run["code"] == 0 for run in seen.health):
        return
    if not seen.health or not seen.alive:
        said = f": {seen.said}" if seen.said else ""
        reason = f"the program ended before its health check, with exit code {seen.code}{said}"
        yield NotChecked(rule=HEALTH, reason=reason)
        return
    last = seen.health[-1]
    how = f"no end within {last['took']:.0f} s" if last["code"] is None else f"exit code {last['code']}"
    said = f": {last['said']}" if last["said"] else ""
    message = f"it failed {count(len(seen.health), 'time')} in {last['by']:.0f} s; the last one: {how}{said}"
    place = Place(path=health.source, detail=" ".join(health.test)[:300])
    yield Finding(rule=HEALTH, message=message, places=[place])


def _writing(rule: Rule, message: str, paths: Sequence[str], config: RunConfig) -> Finding:
    """Return a finding about paths that are written, with the folders to free in its fix."""
    home = dict(config.env or ()).get("HOME", "")
    folders = sorted({path if path.endswith("/") else posixpath.dirname(path) for path in paths})
    folders = [folder.rstrip("/") or "/" for folder in folders]
    # A folder inside another one that is named already says nothing more.
    outer = [f for f in folders if not any(f != o and f.startswith(f"{o.rstrip('/')}/") for o in folders)]
    shown = ", ".join(outer[:5])
    fix = None
    if outer:
        options = " ".join(f"--tmpfs {folder}" for folder in outer[:5])
        fix = f"Write below /tmp instead; or give it folders that it may write to ({options}; Dockerfile: VOLUME {shown})."
        if any(folder == home for folder in outer):
            fix += f" {home} is its HOME: caches there move with XDG_CACHE_HOME=/tmp/cache."
        if any(path.endswith(".pyc") for path in paths):
            fix += " Bytecode is compiled when the image is built, or not at all: PYTHONDONTWRITEBYTECODE=1."
    return Finding(rule=rule, message=message, places=[Place(path=path) for path in paths], fix=fix)


def _is_free(path: str, config: RunConfig) -> bool:
    volumes = [posixpath.normpath(volume) for volume in config.volumes or ()]
    # HOME is given as a folder in memory by `shipwheel run`, unless the code is below it.
    home, workdir = posixpath.normpath(dict(config.env or ()).get("HOME") or "/"), config.working_dir or "/"
    if home != "/" and not f"{workdir}/".startswith(f"{home}/"):
        volumes.append(home)
    return bool(_FREE.fullmatch(path)) or any(f"{path}/".startswith(f"{volume}/") for volume in volumes)


def _parts(said: Mapping[str, Any]) -> dict[str, Any]:
    return {"alive": bool(said.get("alive")), "code": said["code"], "said": said["said"]}


def _is_faulty(*, alive: bool, code: int, said: str) -> bool:
    if alive or code == 0:
        return False
    return code in (126, 127) or bool(FAULT.search(said))


def _refused(stderr: bytes) -> tuple[str, ...]:
    text = stderr.decode("utf-8", "replace")
    return tuple(dict.fromkeys(match[1] or match[2] for match in _REFUSED.finditer(text)))


def _last_line(data: bytes) -> str:
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def _tcp_ports(config: RunConfig) -> list[int]:
    found = (re.fullmatch(r"(\d{1,5})(?:/tcp)?", text) for text in sorted(config.exposed_ports or ()))
    return [int(match[1]) for match in found if match is not None]


def _unchecked(reason: str, rules: Sequence[Rule]) -> Iterator[NotChecked]:
    for rule in rules:
        yield NotChecked(rule=rule, reason=reason)


def signal_number(name: str) -> int:
    """Return a signal's number; an image may name it with or without SIG, or by number."""
    if name.isdecimal():
        return int(name)
    try:
        return int(signal.Signals[name if name.startswith("SIG") else f"SIG{name}"])
    except KeyError:
        return int(signal.SIGTERM)
