"""Build a Dockerfile with docker, buildx, podman or buildah: the words for each, and what became of it.

Progress passes through to standard error as the engine writes it. Knows nothing of plans: `road` does.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TextIO

from shipwheel.engine.listen import run_and_listen
from shipwheel.errors import BuildError, HostError, UsageError

BuildEngine = Literal["docker", "buildx", "podman", "buildah"]
BUILD_ENGINES: Final[tuple[BuildEngine, ...]] = ("docker", "buildx", "podman", "buildah")
# The first that know secrets and cache mounts as the Dockerfile writes them.
_OLDEST: Final = {"docker": (23, 0), "podman": (4, 0), "buildah": (1, 24)}
_STAGE: Final = re.compile(r"(?im)^FROM\s+(?:--\S+\s+)*\S+\s+AS\s+(\S+)")
# BuildKit's summary of the failed step, `#7 ERROR` before it, and the steps that Buildah announces.
_FAILED: Final = re.compile(r"^ > \[(?P<step>[^\]]+)\] (?P<what>.*?):?$")
# Where BuildKit saw the reason: "Dockerfile:12".
_LINE: Final = re.compile(r"^(?P<place>[^\s:]*Dockerfile[^\s:]*:\d+)$")
_STEP: Final = re.compile(r"^(?:\[\d+/\d+\] )?STEP \d+/\d+: (?P<what>.*)$")
# What an OCI image has no word for: Buildah would leave it out.
_DOCKERS_OWN: Final = re.compile(r"(?im)^\s*(?:SHELL|HEALTHCHECK|ONBUILD)\s")
_HINTS: Final = (
    (
        re.compile(r"no builder .* found"),
        "`docker buildx ls` lists the builders, `docker buildx create` makes one",
    ),
    (
        re.compile(r"use `docker --context=(?P<name>\S+) buildx`"),
        "that is a context: DOCKER_CONTEXT={name}, without --builder",
    ),
    (
        re.compile(r"not supported for the docker driver|Docker container driver"),
        "another builder can: `docker buildx create`, then --builder NAME; or turn containerd's image store on",
    ),
    (
        re.compile(r"exec format error"),
        "a program of another platform: Debian's qemu-user-static emulates it, a --builder of that platform runs it",
    ),
    (re.compile(r"secret (?P<name>\S+): not found"), "give it: --secret id={name},src=FILE"),
    (re.compile(r"stat .*: no such file"), "the secret's file has to be there"),
    (re.compile(r"no space left on device"), "`docker system prune` makes room"),
    (
        re.compile(r"x509: |CERTIFICATE_VERIFY_FAILED|UnknownIssuer|invalid peer certificate"),
        "behind a company's certificate authority: --secret id=ca,src=BUNDLE.pem",
    ),
    (
        re.compile(
            r"failed to (?:push|authorize).*(?:40[13]|denied|authoriz)|push access denied|pull access denied|failed to resolve source metadata.*40[13]"
            r"|authentication required|no basic auth credentials|access to the resource is denied"
        ),
        "a registry wants a login, or does not know you: docker login, podman login or buildah login HOST",
    ),
    (
        re.compile(r"\b401\b|\b403\b|Unauthorized|Forbidden"),
        "an index wants a login: --secret id=index,src=FILE, with lines NAME=value such as PIP_INDEX_URL=…",
    ),
    # Poetry; uv; PDM; Pipenv.
    (
        re.compile(
            r"changed significantly|--locked|lock ?file is (?:not up|out)|needs to be updated"
            r"|Lockfile doesn't satisfy|Aborting deploy"
        ),
        "lock the project again",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineBuild:
    """One build: `dockerfile` and `ignore` are files, `context` a folder, `tags` full names.

    `secrets` maps ids to files. `extra` are words for the engine's own build command.
    """

    dockerfile: Path
    context: Path
    target: str
    tags: Sequence[str]
    ignore: Path | None = None
    image_format: Literal["oci", "docker"] = "oci"
    platforms: Sequence[str] = ()
    load: bool = False
    push: bool = False
    cache_from: Sequence[str] = ()
    cache_to: Sequence[str] = ()
    no_cache: bool = False
    builder: str | None = None
    epoch: int | None = None
    secrets: Mapping[str, Path] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    extra: Sequence[str] = ()


def check_target(dockerfile: str, target: str) -> None:
    """Raise UsageError `unknown-target` unless the text of a Dockerfile has the stage `target`."""
    stages = _STAGE.findall(dockerfile)
    if target.lower() not in (stage.lower() for stage in stages):
        raise UsageError(
            "unknown-target",
            f"the Dockerfile has no stage {target}",
            place="--target",
            hint=f"there are: {', '.join(stages) or 'none with a name'}",
        )


def image_format(dockerfile: str) -> Literal["oci", "docker"]:
    """Return the format that keeps all that the text of a Dockerfile says."""
    return "docker" if _DOCKERS_OWN.search(dockerfile) else "oci"


def build_commands(engine: BuildEngine, build: EngineBuild, program: str) -> list[list[str]]:
    """Return the commands, in order; raises UsageError `engine-option` for what the engine cannot do."""
    words = ["--file", str(build.dockerfile), "--target", build.target]
    words += [word for tag in build.tags for word in ("--tag", tag)]
    if build.platforms:
        words += ["--platform", ",".join(build.platforms)]
    cache_from, cache_to = build.cache_from, build.cache_to
    if engine in ("podman", "buildah"):
        cache_from = [_cache_repository(value, engine, "--cache-from") for value in cache_from]
        cache_to = [_cache_repository(value, engine, "--cache-to") for value in cache_to]
    words += [word for value in cache_from for word in ("--cache-from", value)]
    words += [word for value in cache_to for word in ("--cache-to", value)]
    if build.no_cache:
        words.append("--no-cache")
    words += [
        word for name, path in sorted(build.secrets.items()) for word in ("--secret", f"id={name},src={path}")
    ]
    words += [word for name, value in sorted(build.labels.items()) for word in ("--label", f"{name}={value}")]
    if engine in ("docker", "buildx"):
        return [_buildkit(build, [program, "buildx", "build"], words)]
    if build.builder is not None:
        raise UsageError(
            "engine-option", f"{engine} has no builders", place="--builder", hint="--engine buildx"
        )
    if len(build.platforms) > 1:
        hint = "one --platform at a time, or --engine buildx"
        raise UsageError(
            "engine-option",
            f"{engine} would overwrite one platform by the next",
            place="--platform",
            hint=hint,
        )
    if build.ignore is not None:
        words += ["--ignorefile", str(build.ignore)]
    if build.epoch is not None:
        words += ["--timestamp", str(build.epoch)]
    # Docker's format has random names in it: no date makes it the same twice, and no cache of another
    # machine's goes further than a stage's first step.
    words = ["--layers", "--format", build.image_format, *words, *build.extra]
    commands = [[program, "build", *words, str(build.context)]]
    if build.push:
        commands += [[program, "push", tag] for tag in build.tags]
    return commands


def _cache_repository(value: str, engine: BuildEngine, place: str) -> str:
    """Return the repository that BuildKit's `type=registry,ref=…` names: Buildah knows no other cache."""
    if "=" not in value:
        return value
    fields = dict(part.partition("=")[::2] for part in value.split(","))
    if fields.get("type") != "registry" or not fields.get("ref"):
        hint = "type=registry,ref=REPOSITORY, or --engine buildx"
        message = f"{engine} keeps caches in registries alone, not in {value}"
        raise UsageError("engine-option", message, place=place, hint=hint)
    # Buildah gives each step a tag of its own there.
    folder, slash, name = fields["ref"].rpartition("/")
    return f"{folder}{slash}{name.partition(':')[0]}"


def _buildkit(build: EngineBuild, start: list[str], words: list[str]) -> list[str]:
    if build.builder is not None:
        words = ["--builder", build.builder, *words]
    if build.epoch is not None:
        words += ["--build-arg", f"SOURCE_DATE_EPOCH={build.epoch}"]
        if not any(word.startswith(("--provenance", "--attest")) for word in build.extra):
            # It has the time of day, and would give the same image another digest each time.
            words.append("--provenance=false")
    if build.push and build.epoch is not None:
        names = ",".join(build.tags)
        words += ["--output", f'type=image,"name={names}",push=true,rewrite-timestamp=true']
    elif build.push:
        words.append("--push")
    if build.load:
        words.append("--load")
    return [*start, *words, *build.extra, str(build.context)]


def find_build_engine(engine: BuildEngine, environ: Mapping[str, str]) -> str:
    """Return the path of the engine's program.

    Raises HostError `no-engine` where it is not installed, `engine-not-running` where its daemon does
    not answer, `engine-too-old` where it does not know what the Dockerfile needs.
    """
    name = "docker" if engine == "buildx" else engine
    program = shutil.which(name, path=environ.get("PATH"))
    if program is None:
        others = [other for other in BUILD_ENGINES if shutil.which(other, path=environ.get("PATH"))]
        hint = f"there is {', '.join(others)}: --engine" if others else "`shipwheel build` needs none of them"
        raise HostError("no-engine", f"{name} is not installed", hint=hint)
    if name == "docker":
        _check_buildx(program, environ)
    if engine != "buildx":
        asked = ("version", "--format", "{{.Server.Version}}") if name == "docker" else ("--version",)
        _check_version(name, _ask(program, asked, environ))
    return program


def _check_buildx(program: str, environ: Mapping[str, str]) -> None:
    done = subprocess.run([program, "buildx", "version"], env=dict(environ), capture_output=True, check=False)
    if done.returncode != 0:
        raise HostError(
            "engine-too-old",
            "this docker has no buildx, so it cannot build with secrets and cache mounts",
            hint="install the buildx plugin (Debian: docker-buildx), or use --engine podman",
        )


def _ask(program: str, words: Sequence[str], environ: Mapping[str, str]) -> str:
    done = subprocess.run([program, *words], env=dict(environ), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise HostError(
            "engine-not-running",
            f"{Path(program).name} does not answer: {lines[-1] if lines else done.returncode}",
            hint="start it, or see which one DOCKER_HOST names; `shipwheel build` needs none",
        )
    return done.stdout


def _check_version(name: str, text: str) -> None:
    found = re.search(r"(\d+)\.(\d+)", text)
    if found is None:
        return
    version = (int(found[1]), int(found[2]))
    if version < _OLDEST[name]:
        oldest = ".".join(map(str, _OLDEST[name]))
        raise HostError(
            "engine-too-old",
            f"{name} {found[0]} does not know what the Dockerfile needs",
            hint=f"{name} {oldest} does; or build without one: shipwheel build",
        )


def run_build(
    commands: Sequence[Sequence[str]], environ: Mapping[str, str], stream: TextIO | None = None
) -> None:
    """Run the commands, with all they say on `stream` (default: standard error).

    Raises BuildError `dockerfile-build` that names the failing step, with a hint where its reason is known.
    """
    stream = sys.stderr if stream is None else stream
    for command in commands:
        code, said = run_and_listen(command, environ, stream)
        if code != 0:
            raise _failure(command, code, said)


def _failure(command: Sequence[str], code: int, said: Sequence[str]) -> BuildError:
    step = ""
    for line in said:
        if found := _FAILED.match(line):
            step = f"{' '.join(found['step'].split())}: {found['what']}"
            break
        if found := _STEP.match(line):
            step = found["what"]
    text = "\n".join(said[-200:])
    hints = ((pattern.search(text), way_out) for pattern, way_out in _HINTS)
    hint = next((way_out.format(**found.groupdict()) for found, way_out in hints if found), None)
    if "push" in command[1:2]:
        step = f"push {command[-1]}"
    return BuildError(
        "dockerfile-build",
        f"{Path(command[0]).name} ended with {code}" + (f" in the step {_shortened(step)}" if step else ""),
        place=next((found["place"] for found in map(_LINE.match, said) if found), "Dockerfile"),
        hint=hint or "what it said stands above",
    )


def _shortened(step: str) -> str:
    step = re.sub(r"--mount=\S+\s+", "", step)
    return step if len(step) <= 160 else f"{step[:157]}..."
