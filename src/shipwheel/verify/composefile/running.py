"""How a compose file runs a Python image: its environment hidden, stale or unwritable, its health, its stop."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from shipwheel.verify.composefile.read import ComposeFile, Mount, Service, words_of
from shipwheel.verify.model import Rule

SHADOWED: Final = Rule(
    code="compose-venv-hidden",
    promise="flexible",
    severity="error",
    title="A mounted folder hides the image's environment",
    why="The container sees the host's folder instead: no package is there, or the host's, made for another Python.",
    fix="Mount the folder of the code alone, or make the environment elsewhere in the image, as /opt/venv.",
)
STALE: Final = Rule(
    code="compose-venv-stale",
    promise="stable",
    severity="warning",
    title="A volume on the environment keeps old packages",
    why="A volume is filled from the image once, when it is made: after a new build the container runs the old packages.",
    fix="Make the environment outside the mounted folder and remove the volume; or install again when the container starts.",
)
UNCOMPILED: Final = Rule(
    code="compose-never-compiled",
    promise="fast",
    severity="warning",
    title="A service compiles all its Python at every start",
    why="The image has no bytecode, and a read-only root or PYTHONDONTWRITEBYTECODE keeps none.",
    fix="Compile when building: python -m compileall -q --invalidation-mode unchecked-hash PATH; uv: UV_COMPILE_BYTECODE=1.",
)
NO_TEMPORARY: Final = Rule(
    code="compose-no-temporary-folder",
    promise="flexible",
    severity="error",
    title="A read-only service has nowhere to write temporary files",
    why="tempfile finds no usable folder; gunicorn, uploads and many libraries end in FileNotFoundError.",
    fix="tmpfs: [/tmp].",
)
NO_HEALTH: Final = Rule(
    code="compose-no-health",
    promise="stable",
    severity="note",
    title="Nobody asks a service whether it is well",
    why="A hung program counts as running; whoever waits for it is let through too early.",
    fix='healthcheck: test: ["CMD", "python", "-c", "import urllib.request as u; u.urlopen(\'http://127.0.0.1:8000/\')"].',
)
BAD_HEALTH: Final = Rule(
    code="compose-bad-health",
    promise="stable",
    severity="error",
    title="A health check cannot work in this image",
    why="Its program is not there, so that the service is never healthy and what waits for it never starts.",
    fix="Write it in Python, which is there: python -c 'import urllib.request …'.",
)
UNHEALTHY: Final = Rule(
    code="compose-waits-for-ever",
    promise="stable",
    severity="error",
    title="A service waits for the health of one that has no health check",
    why="`condition: service_healthy` is never met, and compose ends in an error.",
    fix="Give the other one a healthcheck, or wait for service_started.",
)
SLOW_STOP: Final = Rule(
    code="compose-slow-stop",
    promise="flexible",
    severity="note",
    title="A service's process 1 does not mind the signal that stops it",
    why="A shell or `sleep` as process 1 has no handler: every stop takes ten seconds until the kill.",
    fix="init: true; or write the command as a list, without a shell.",
)
NO_RESTART: Final = Rule(
    code="compose-no-restart",
    promise="stable",
    severity="note",
    title="A service stays down when it ends",
    why="Nothing starts it again after a fault, or after the host was started anew.",
    fix="restart: unless-stopped.",
)
FLOATING: Final = Rule(
    code="compose-floating-image",
    promise="stable",
    severity="warning",
    title="A service's image changes without being asked",
    why="`latest`, or no tag at all, is another image after every release, major ones included.",
    fix="Name a version, or better a digest: image: postgres:17.2@sha256:….",
)
VERSION: Final = Rule(
    code="compose-version",
    promise="stable",
    severity="note",
    title="The compose file has the obsolete `version`",
    why="Compose warns of it at every start, and reads it for nothing.",
    fix="Remove the line.",
)
INERT_CACHE: Final = Rule(
    code="compose-inert-cache",
    promise="fast",
    severity="warning",
    title="cache_from names images that carry no cache",
    why="BuildKit takes layers only from images that hold the records of their build; others are passed over in silence.",
    fix='Add to the build of the image that is named: args: BUILDKIT_INLINE_CACHE: "1"; and push it.',
)
RULES: Final = (
    SHADOWED,
    STALE,
    UNCOMPILED,
    NO_TEMPORARY,
    NO_HEALTH,
    BAD_HEALTH,
    UNHEALTHY,
    SLOW_STOP,
    NO_RESTART,
    FLOATING,
    VERSION,
    INERT_CACHE,
)

Told = tuple[Rule, int, str]

_VENV: Final = re.compile(r".*/(?:\.?venv|virtualenv|site-packages|\.virtualenvs(?:/.*)?|dist-packages)")
_TEMPORARY: Final = ("/tmp", "/var/tmp", "/usr/tmp")  # noqa: S108 - where tempfile looks, nothing is written
_FLOATS: Final = re.compile(r"latest|stable|edge|main|master|nightly|dev|current|lts")
_INSTALLS: Final = re.compile(
    r"follow-lock|\b(?:uv\s+(?:sync|pip)|uv\s+run|poetry\s+(?:install|sync)|pdm\s+(?:install|sync)|pip[0-9.]*\s+install)\b"
)
_THROUGH_SHELL: Final = re.compile(r"(?:/bin/|/usr/bin/)?(?:ba|da|a)?sh\s+-\w*c\s+(?P<script>.*)", re.DOTALL)
_SLEEPS: Final = re.compile(r"(?:/\S*/)?(?:sleep|tail)\s.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What is known of the image that a file's own services run, as far as compose can spoil it.

    `venvs` are absolute folders of environments; `compiled` whether its code has bytecode, None where
    that is not known; `health` whether it has a health check of its own; `has_program` tells whether a
    word of a command is a program in it. `starts` are the words that a build's target starts with, by
    service.
    """

    venvs: tuple[str, ...] = ()
    compiled: bool | None = None
    health: bool = False
    programs: Mapping[str, bool] = field(default_factory=dict)
    starts: Mapping[str, str] = field(default_factory=dict)


def check(file: ComposeFile, image: Image) -> Iterator[Told]:
    """Yield the broken rules with their line and what is there."""
    if (version := file.whole.get("version")) is not None:
        yield VERSION, version.line, f"version: {version.text}"
    for service in file.services:
        yield from _named(service)
        yield from _cache(file, service)
        if service.is_built and service.is_started:
            yield from _environment(service, image)
            yield from _stop(service)
            if not service.is_for_development:
                yield from _production(service, image)
    yield from _waits(file, image)


def _named(service: Service) -> Iterator[Told]:
    found = service.value.get("image")
    if found is None or service.is_built or "$" in found.text.rpartition("/")[2]:
        return
    last = found.text.rpartition("/")[2]
    _, _, tag = last.partition(":")
    if "@" not in found.text and (not tag or _FLOATS.fullmatch(tag)):
        yield FLOATING, found.line, f"{service.name}: {found.text}"


def _cache(file: ComposeFile, service: Service) -> Iterator[Told]:
    makers = {
        one.value.text_at("image"): one
        for one in file.services
        if one.is_built and one.value.text_at("image")
    }
    for item in service.value.each("build", "cache_from"):
        match = re.search(r"(?:^|,)ref=([^,]+)", item.text)
        if match is None and "type=" in item.text:
            continue
        maker = makers.get(item.text if match is None else match[1])
        if maker is None:
            continue
        args = {name: value for name, value, _ in maker.environment("build", "args")}
        exported = maker.value.each("build", "cache_to")
        if args.get("BUILDKIT_INLINE_CACHE") != "1" and not exported:
            yield INERT_CACHE, item.line, f"{service.name}: {item.text}"


def _environment(service: Service, image: Image) -> Iterator[Told]:
    mounts = list(service.mounts())
    keeps = _INSTALLS.search(
        " ".join(
            [
                words_of(service.value.get("entrypoint")) or image.starts.get(service.name, ""),
                words_of(service.value.get("command")),
            ]
        )
    )
    for mount in mounts:
        is_venv = mount.target in image.venvs or _VENV.fullmatch(mount.target)
        if mount.kind == "volume" and is_venv and not keeps:
            yield (
                STALE,
                mount.line,
                f"{service.name}: {mount.source or 'an anonymous volume'} on {mount.target}",
            )
        if mount.kind != "bind":
            continue
        for venv in image.venvs:
            if _is_below(venv, mount.target) and not _is_covered(venv, mount, mounts):
                yield SHADOWED, mount.line, f"{service.name}: {mount.source} on {mount.target} hides {venv}"


def _is_covered(venv: str, below: Mount, mounts: list[Mount]) -> bool:
    return any(
        other is not below and len(other.target) > len(below.target) and _is_below(venv, other.target)
        for other in mounts
    )


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _stop(service: Service) -> Iterator[Told]:
    command = service.value.get("command")
    if command is None or service.value.is_on("init"):
        return
    words = words_of(command).strip()
    match = _THROUGH_SHELL.fullmatch(words)
    script = words if match is None else match["script"].strip("\"' ")
    if _SLEEPS.fullmatch(script) or (match is not None and not re.search(r"(?:^|[;&]\s*)exec\s", script)):
        yield SLOW_STOP, command.line, f"{service.name}: {words[:80]}"


def _production(service: Service, image: Image) -> Iterator[Told]:
    value, name = service.value, service.name
    variables = {key: text for key, text, _ in service.environment()}
    read_only = value.is_on("read_only")
    if read_only and not variables.get("TMPDIR"):
        targets = [mount.target for mount in service.mounts()]
        if not any(_is_below(path, target) for path in _TEMPORARY for target in targets if target):
            found = value.get("read_only")
            yield (
                NO_TEMPORARY,
                value.line if found is None else found.line,
                f"{name}: read_only, no tmpfs on /tmp",
            )
    keeps_none = read_only or variables.get("PYTHONDONTWRITEBYTECODE")
    if image.compiled is False and keeps_none and not variables.get("PYTHONPYCACHEPREFIX"):
        reason = "read_only" if read_only else "PYTHONDONTWRITEBYTECODE"
        yield UNCOMPILED, value.line, f"{name}: {reason}, and no bytecode in the image"
    yield from _health(service, image)
    if service.partial or value.get("deploy", "restart_policy") is not None:
        return
    if (value.get("restart") is None or value.text_at("restart") == "no") and value.get("ports") is not None:
        yield NO_RESTART, value.line, f"{name}: no restart"


def _health(service: Service, image: Image) -> Iterator[Told]:
    check_ = service.value.get("healthcheck")
    if check_ is None:
        if not image.health and not service.partial and service.value.get("ports") is not None:
            yield NO_HEALTH, service.value.line, f"{service.name}: no healthcheck, in the image neither"
        return
    test = check_.get("test")
    words = [] if test is None else [item.text for item in test.items] or ["CMD-SHELL", test.text]
    if check_.is_on("disable") or words[:1] == ["NONE"]:
        yield NO_HEALTH, check_.line, f"{service.name}: the health check is switched off"
        return
    program = health_program(words)
    if program and image.programs.get(program) is False:
        yield BAD_HEALTH, check_.line, f"{service.name}: {program} is not in the image"


def health_program(words: list[str]) -> str:
    """Return the program that a health check starts (compose-spec, "healthcheck"); empty where it has none."""
    if words[:1] == ["CMD"]:
        return words[1] if len(words) > 1 else ""
    # Of a shell's line only the shell is sure.
    return "/bin/sh" if words[:1] == ["CMD-SHELL"] else ""


def _waits(file: ComposeFile, image: Image) -> Iterator[Told]:
    services = {service.name: service for service in file.services}
    for service in file.services:
        wanted = service.value.get("depends_on")
        for name, item in ({} if wanted is None else wanted.fields).items():
            other = services.get(name)
            if other is None or other.partial or item.text_at("condition") != "service_healthy":
                continue
            known = other.is_built and not image.health
            if known and other.value.get("healthcheck") is None:
                yield UNHEALTHY, item.line, f"{service.name}: waits for {name}, which has no healthcheck"
