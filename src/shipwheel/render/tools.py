"""The stages `builder` and `workshop`: the tool that installs, and what builds the project's own wheels. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from shipwheel.plan.model import DockerfilePlan, PlannedPins
from shipwheel.render.installers import BASE_PYTHON, TOOLS, Words
from shipwheel.render.instructions import BASE, env, run, title
from shipwheel.render.text import own_region

SECRETS: Final = (
    "--mount=type=secret,id=index,target=/run/secrets/index",
    "--mount=type=secret,id=ca,target=/run/secrets/ca",
)
_PIP_CACHE: Final = "--mount=type=cache,target=/root/.cache/pip"
_UV_CACHE: Final = "--mount=type=cache,target=/root/.cache/uv"
_PIP: Final = "FOR_TOOLS=1 with-secrets python3 -m pip install --quiet"
# Hashes are asked for where there are any: see `kit`.
_UV: Final = (
    "hashes=$(grep hash /opt/workshop/$name.txt); \\\n      "
    "FOR_TOOLS=1 with-secrets uv pip install --quiet --no-config ${hashes:+--require-hashes} --compile-bytecode"
)
VENV: Final = 'python3 -m venv --without-pip "$VIRTUAL_ENV"'


def render_builder(road: DockerfilePlan, words: Words, system: Sequence[str]) -> list[str]:
    """Return the lines of `builder`; `system` are instructions that bring Debian packages."""
    pins = [f"/kit/{name}" for name, there in (("pipx.txt", road.launcher), ("tool.txt", road.tool)) if there]
    lines = [
        *title("builder", "the tools, pinned by version and hash, and an empty venv"),
        f"FROM {BASE} AS builder",
        "ARG WORKDIR",
        *words.arguments,
        env(*tool_environment(road, words)),
        *system,
        f"COPY --from=kit /kit/with-secrets /kit/compile-ahead {TOOLS}/bin/",
        *([f"COPY --from=kit {' '.join(pins)} /opt/"] if pins else []),
    ]
    if road.launcher is not None:
        lines += _launched(road, road.launcher, words)
    elif road.tool is not None:
        version, file = words.version_argument, "/opt/tool.txt"
        check = _unless_pinned(version, road.tool.version, road.installer, file)
        steps = (check, f"{_PIP} --no-compile --target {TOOLS}/lib --requirement {file}", VENV)
        lines.append(run(*steps, mounts=(_PIP_CACHE, *SECRETS)))
    else:
        lines.append(run(VENV, f'ln -s "$(command -v python3)" {BASE_PYTHON}'))
    return [*lines, *own_region("builder"), *last_step("/")]


def last_step(folder: str) -> list[str]:
    """Return what has to end a stage that is mounted: its working folder, which nobody needs."""
    return [
        "# Of a stage that it has in its cache, Buildah 1.28 mounts all but the last step. So that is this one.",
        f"WORKDIR {folder}",
    ]


def render_workshop(road: DockerfilePlan) -> list[str]:
    """Return the lines of `workshop`: apart, as the dependencies need none of it and are installed meanwhile."""
    folders = {"wheel-tools": road.wheel_tools}
    # A back-end of the project's own may need nothing.
    folders |= {
        f"build-{number}": system for number, system in enumerate(road.build_systems) if system.requirements
    }
    files = " ".join(f"/kit/{name}.txt" for name in folders)
    install, cache = (_PIP, _PIP_CACHE) if road.installer == "pip" else (_UV, _UV_CACHE)
    # Into folders of their own: a base image's Python may be the distribution's, which pip must not change.
    step = (
        f"for name in {' '.join(folders)}; do \\\n"
        f"      {install} \\\n"
        "        --target /opt/workshop/$name --requirement /opt/workshop/$name.txt || exit 1; done"
    )
    built_by = sorted({requirement for system in road.build_systems for requirement in system.requires})
    return [
        *title("workshop", "what builds the project's own wheels, made while the dependencies are installed"),
        *([f"# {', '.join(built_by)}"] if built_by else []),
        "FROM builder AS workshop",
        f"COPY --from=kit /kit/install.py {files} /opt/workshop/",
        run(step, mounts=(cache, *SECRETS)),
    ]


def install_member(build_system: int | None, mode: str, folder: str, into: str) -> str:
    """Return the step that builds the project in `folder` and installs it below `into`; `mode` as in install.py."""
    own = f"/opt/workshop/build-{build_system}"
    return (
        f'PATH="{own}/bin:$PATH" PYTHONPATH={own}:/opt/workshop/wheel-tools SOURCE_DATE_EPOCH=315532800 '
        f'"$VIRTUAL_ENV/bin/python" /opt/workshop/install.py {mode} "{folder}" {into}'
    )


def tool_environment(road: DockerfilePlan, words: Words) -> list[str]:
    """Return the pairs NAME=value that the tool runs with; they need the argument WORKDIR."""
    path = f"{TOOLS}/bin:{TOOLS}/lib/bin" if road.tool is not None else f"{TOOLS}/bin"
    return ["VIRTUAL_ENV=${WORKDIR}/.venv", *map("=".join, words.environment), f"PATH={path}:$PATH"]


def _launched(road: DockerfilePlan, launcher: PlannedPins, words: Words) -> list[str]:
    """pipx by pip, and the tool by pipx: with hashes for the versions that were pinned, without for others."""
    if road.tool is None:
        raise ValueError("a launcher without a tool")
    version, name = words.version_argument, road.installer
    plugins = "".join(f" --preinstall {_pinned(one, road.tool)}" for one in road.tool.requires[1:])
    pipx = f"FOR_TOOLS=1 PYTHONPATH={TOOLS}/lib with-secrets python3 -m pipx install"
    hashes = '--pip-args="${hashes:+--require-hashes} --constraint /opt/tool.txt"'
    wanted = f'"{name}==${{{version}}}"'
    # Older releases of pipx do not bring uv, which installs more than the tool.
    beside = next((line.split(" ")[0] for line in launcher.requirements if line.startswith("uv==")), "uv")
    check = _unless_pinned("PIPX_VERSION", launcher.version, "pipx", "/opt/pipx.txt", beside)
    return [
        run(
            check,
            f"{_PIP} --no-compile --target {TOOLS}/lib --requirement /opt/pipx.txt",
            mounts=(_PIP_CACHE, *SECRETS),
        ),
        run(
            f'if [ "${{{version}}}" = "{road.tool.version}" ]; then \\\n'
            f"      hashes=$(grep hash /opt/tool.txt); \\\n      {pipx} \\\n        {hashes}{plugins} {wanted}; \\\n"
            f"    else \\\n      {pipx} {wanted}{_injected(road, pipx)}; \\\n    fi",
            VENV,
            mounts=(_UV_CACHE, *SECRETS),
        ),
    ]


def _injected(road: DockerfilePlan, pipx: str) -> str:
    """Return what adds the plugins to a tool of another version: whichever versions of them fit that one."""
    names = " ".join(
        canonicalize_name(Requirement(one).name) for one in (road.tool.requires[1:] if road.tool else ())
    )
    return f" && {pipx.removesuffix('install')}inject {road.installer} {names}" if names else ""


def _pinned(requirement: str, pins: PlannedPins) -> str:
    name = canonicalize_name(Requirement(requirement).name)
    return next(line.split(" ")[0] for line in pins.requirements if line.startswith(f"{name}=="))


def _unless_pinned(version: str, pinned: str, requirement: str, file: str, beside: str = "") -> str:
    """Another version than the pinned one comes without hashes, for nobody has looked them up."""
    lines = f'"{requirement}==${{{version}}}"' + (f' "{beside}"' if beside else "")
    return f'if [ "${{{version}}}" != "{pinned}" ]; then printf \'%s\\n\' {lines} > {file}; fi'
