"""What Poetry, uv, PDM, Pipenv and pip are told in the Dockerfile: one place for each tool's words. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from shipwheel.plan.model import DockerfilePlan

# pip installs pipx or uv; uv all else. Its cache is another file system, which cannot be linked from.
_BY_PIP: Final = (("PIP_DISABLE_PIP_VERSION_CHECK", "1"), ("PIP_ROOT_USER_ACTION", "ignore"))
_BY_UV: Final = (*_BY_PIP, ("UV_LINK_MODE", "copy"), ("UV_PYTHON_DOWNLOADS", "never"))
_PIPX: Final = (("PIPX_HOME", "/opt/tools/pipx"), ("PIPX_BIN_DIR", "/opt/tools/bin"), *_BY_UV)

# All that installs, in one folder: a stage that is to ship has it mounted for as long as it needs it.
TOOLS: Final = "/opt/tools"

# The base's own interpreter, which has pip: in a dev container the venv's comes first on PATH.
BASE_PYTHON: Final = f"{TOOLS}/bin/base-python"
# Where a dev container keeps manifests without the projects that it has the source of.
_REDUCED: Final = "$HOME/.cache/reduced"
# A path of the context → the same file, as a tool is told of it.
At = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A tool's commands, run in the project's folder with the venv active.

    `arguments` are ARG lines, `version_argument` the one that has the tool's version. `follow` brings a dev
    container up to the lock that lies in the project now.
    """

    version_argument: str
    arguments: Sequence[str]
    environment: Sequence[tuple[str, str]]
    cache: str
    production: str
    development: str
    follow: str


def installer_words(road: DockerfilePlan) -> Words:
    """Return the words of the plan's tool."""
    return _MAKERS[road.installer](road)


def _poetry(road: DockerfilePlan) -> Words:
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
        follow=f"{install}{extras}",
    )


def _pdm(road: DockerfilePlan) -> Words:
    install = "pdm install --frozen-lockfile --check"
    groups = "".join(f" --group {name}" for name in (*road.groups, *road.extras))

    def develop(at: At) -> str:
        where = at(road.folder or ".")
        return f"{install}{'' if where == '.' else f' --project {where}'} --no-self{groups}"

    return Words(
        version_argument="PDM_VERSION",
        arguments=_arguments(road, "PDM_VERSION"),
        environment=(*_PIPX, ("PDM_CHECK_UPDATE", "0")),
        cache="--mount=type=cache,target=/root/.cache/pdm",
        production=f"{install} --prod --no-self{groups}",
        development=develop(_here(road)),
        follow=_reduced(road, develop),
    )


def _pipenv(road: DockerfilePlan) -> Words:
    def install(at: At) -> str:
        pipfile = at(posixpath.join(posixpath.dirname(road.lock), "Pipfile"))
        # --deploy refuses a lock that is older than the Pipfile.
        return f"{'' if pipfile == 'Pipfile' else f'env PIPENV_PIPFILE={pipfile} '}pipenv install --deploy"

    categories = f' --categories "{" ".join(("packages", *road.groups))}"' if road.groups else ""
    return Words(
        version_argument="PIPENV_VERSION",
        arguments=_arguments(road, "PIPENV_VERSION"),
        # The active environment is the one to install into; no notes about that.
        environment=(*_PIPX, ("PIPENV_VERBOSITY", "-1"), ("PIPENV_NOSPIN", "1")),
        cache="--mount=type=cache,target=/root/.cache/pipenv",
        production=f"{install(_here(road))}{categories}",
        development=f"{install(_here(road))} --dev",
        follow=_reduced(road, lambda at: f"{install(at)} --dev"),
    )


def _uv(road: DockerfilePlan) -> Words:
    if road.lock_kind == "pylock":

        def sync_from(at: At) -> str:
            return f"uv pip sync --require-hashes {at(road.lock)}"

        production = development = sync_from(_here(road))
        follow = _reduced(road, sync_from)
    else:
        package = ""
        if posixpath.dirname(road.lock) != road.folder:
            package = f" --package {road.members[0].name}"
        extras = "".join(f" --extra {extra}" for extra in road.extras)
        groups = "".join(f" --group {group}" for group in road.groups)
        sync = f"uv sync --locked --inexact --no-install-local{package}{extras}"
        production = f"{sync} --no-default-groups{groups}"
        development = follow = f"{sync}{groups}"
    return Words(
        version_argument="UV_VERSION",
        arguments=_arguments(road, "UV_VERSION"),
        environment=(("UV_PROJECT_ENVIRONMENT", "${WORKDIR}/.venv"), *_BY_UV),
        cache="--mount=type=cache,target=/root/.cache/uv",
        production=production,
        development=development,
        follow=follow,
    )


def _pip(road: DockerfilePlan) -> Words:
    # --no-deps: the lock is complete, or it is wrong.
    install = (
        f'{BASE_PYTHON} -m pip --python "$VIRTUAL_ENV/bin/python" install --no-compile --no-deps --require-hashes '
        "--requirement"
    )
    wanted = road.dev_requirements or road.lock
    return Words(
        version_argument="",
        arguments=(),
        environment=_BY_PIP,
        cache="--mount=type=cache,target=/root/.cache/pip",
        production=f"{install} {_here(road)(road.lock)}",
        development=f"{install} {_here(road)(wanted)}",
        follow=_reduced(road, lambda at: f"{install} {at(wanted)}"),
    )


def _here(road: DockerfilePlan) -> At:
    """Return what leads from the project's folder to a path of the context."""
    return lambda path: posixpath.relpath(path, road.folder or ".")


def _reduced(road: DockerfilePlan, install: Callable[[At], str]) -> str:
    """Return what installs from the lock in the project; `install` is told where a path of the context is.

    Where projects in the repository are dependencies, it goes by manifests without them: they are there already.
    """
    here = _here(road)
    if len(road.members) < 2:
        return install(here)
    reduce = f"python3 /opt/reduce.py {here('.')} {_REDUCED} {' '.join(road.manifests)}"
    return f"{reduce} && {install(lambda path: posixpath.join(_REDUCED, path))}"


def _arguments(road: DockerfilePlan, name: str) -> list[str]:
    lines = []
    if road.launcher is not None:
        lines.append(f'ARG PIPX_VERSION="{road.launcher.version}"')
    if road.tool is not None:
        lines.append(f'ARG {name}="{road.tool.version}"')
    return lines


_MAKERS: Final = {"poetry": _poetry, "uv": _uv, "pdm": _pdm, "pipenv": _pipenv, "pip": _pip}
