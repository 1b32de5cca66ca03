"""What Poetry, uv, PDM and pip are told in the Dockerfile: one place for each tool's words. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shipwheel.plan.model import DockerfilePlan

_PIPX: Final = (("PIPX_HOME", "/opt/pipx/home"), ("PIPX_BIN_DIR", "/opt/pipx/bin"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A tool's commands, run in the project's folder with the venv active.

    `arguments` are ARG lines, `version_argument` the one that has the tool's version.
    """

    version_argument: str
    arguments: Sequence[str]
    environment: Sequence[tuple[str, str]]
    cache: str
    production: str
    development: str


def installer_words(road: DockerfilePlan, source: str) -> Words:
    """Return the words of the plan's tool. `source` is where the context lies in the stages that build."""
    return _MAKERS[road.installer](road, source)


def _poetry(road: DockerfilePlan, _source: str) -> Words:
    # --no-directory: path dependencies are built like the project itself, with pinned tools.
    install = "poetry install --no-interaction --no-root --no-directory"
    only = ",".join(("main", *road.groups))
    extras = "".join(f" --extras {extra}" for extra in road.extras)
    return Words(
        version_argument="POETRY_VERSION",
        arguments=_arguments(road, "POETRY_VERSION"),
        environment=(*_PIPX, ("POETRY_VIRTUALENVS_CREATE", "false"), ("POETRY_NO_INTERACTION", "1")),
        cache="--mount=type=cache,target=/root/.cache/pypoetry",
        production=f"{install} --only {only}{extras}",
        development=f"{install}{extras}",
    )


def _pdm(road: DockerfilePlan, _source: str) -> Words:
    groups = "".join(f" --group {name}" for name in (*road.groups, *road.extras))
    return Words(
        version_argument="PDM_VERSION",
        arguments=_arguments(road, "PDM_VERSION"),
        environment=(*_PIPX, ("PDM_CHECK_UPDATE", "0")),
        cache="--mount=type=cache,target=/root/.cache/pdm",
        production=f"pdm install --frozen-lockfile --check --prod --no-self{groups}",
        development=f"pdm install --frozen-lockfile --check --no-self{groups}",
    )


def _uv(road: DockerfilePlan, source: str) -> Words:
    if road.lock_kind == "pylock":
        lock = posixpath.join(source, road.lock)
        production = development = f"uv pip sync --require-hashes {lock}"
    else:
        package = ""
        if posixpath.dirname(road.lock) != road.folder:
            package = f" --package {road.members[0].name}"
        extras = "".join(f" --extra {extra}" for extra in road.extras)
        groups = "".join(f" --group {group}" for group in road.groups)
        sync = f"uv sync --locked --inexact --no-install-local{package}{extras}"
        production = f"{sync} --no-default-groups{groups}"
        development = f"{sync}{groups}"
    return Words(
        version_argument="UV_VERSION",
        arguments=_arguments(road, "UV_VERSION"),
        environment=(
            ("UV_PROJECT_ENVIRONMENT", "${WORKDIR}/.venv"),
            ("UV_PYTHON_DOWNLOADS", "never"),
            ("UV_LINK_MODE", "copy"),
        ),
        cache="--mount=type=cache,target=/root/.cache/uv",
        production=production,
        development=development,
    )


def _pip(road: DockerfilePlan, source: str) -> Words:
    # --no-deps: the lock is complete, or it is wrong.
    install = (
        'python3 -m pip --python "$VIRTUAL_ENV/bin/python" install --disable-pip-version-check --no-compile '
        "--no-deps --require-hashes --requirement"
    )
    production = f"{install} {posixpath.join(source, road.lock)}"
    development = production
    if road.dev_requirements:
        development = f"{install} {posixpath.join(source, road.dev_requirements)}"
    return Words(
        version_argument="",
        arguments=(),
        environment=(("PIP_ROOT_USER_ACTION", "ignore"),),
        cache="--mount=type=cache,target=/root/.cache/pip",
        production=production,
        development=development,
    )


def _arguments(road: DockerfilePlan, name: str) -> list[str]:
    lines = []
    if road.launcher is not None:
        lines.append(f'ARG PIPX_VERSION="{road.launcher.version}"')
    if road.tool is not None:
        lines.append(f'ARG {name}="{road.tool.version}"')
    return lines


_MAKERS: Final = {"poetry": _poetry, "uv": _uv, "pdm": _pdm, "pip": _pip}
