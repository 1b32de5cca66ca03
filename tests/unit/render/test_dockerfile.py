"""The Dockerfile as text: what stands in which stage, whoever installs. Built for real in functional tests."""

import os
import re
from pathlib import Path

import pytest

from helpers.dockerfile_plans import HASH, dockerfile_plan, pins
from shipwheel.plan.model import Installer, PlannedMember
from shipwheel.render.dockerfile import render_dockerfile
from shipwheel.render.files import render_files

GOLDEN = Path(__file__).parents[2] / "golden" / "dockerfile"
INSTALLERS: tuple[Installer, ...] = ("poetry", "uv", "pdm", "pip")


def stage_of(text: str, name: str) -> str:
    """Return the text of one stage, without comments."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    parts = re.split(r"(?m)^FROM ", "\n".join(lines))
    return next(part for part in parts if re.match(rf"\S+ AS {name}\n", part))


@pytest.mark.parametrize("installer", INSTALLERS)
def test_every_file_is_as_it_was_agreed_on(installer: Installer) -> None:
    # UPDATE_GOLDEN=1 writes them anew; the diff is for people to read.
    for file in render_files(dockerfile_plan(installer, services=("postgres", "redis"))):
        golden = GOLDEN / installer / file.path.lstrip(".")
        if os.environ.get("UPDATE_GOLDEN"):
            golden.parent.mkdir(parents=True, exist_ok=True)
            golden.write_text(file.text, "utf-8")
        assert file.text == golden.read_text("utf-8"), f"UPDATE_GOLDEN=1 if {golden} should change"


@pytest.mark.parametrize("installer", INSTALLERS)
def test_the_app_is_the_base_the_venv_in_its_place_and_the_project(installer: Installer) -> None:
    text = render_dockerfile(dockerfile_plan(installer))
    before, app = stage_of(text, "app-pre"), stage_of(text, "app")
    assert before.startswith("${BASE} AS app-pre\n")
    assert copies(before) == ["COPY --from=manifests /fingerprint ${WORKDIR}/.venv/.fingerprint"]
    assert app.startswith("app-pre AS app\n")
    assert copies(app) == ["COPY --from=project /project/ /"]
    # What a tool is told must not be told to the app.
    assert "\nENV " not in before


@pytest.mark.parametrize("installer", INSTALLERS)
def test_where_dependencies_are_compiled_the_app_takes_the_venv_and_the_project_and_nothing_else(
    installer: Installer,
) -> None:
    text = render_dockerfile(dockerfile_plan(installer, build_packages=("gcc",)))
    before, app = stage_of(text, "app-pre"), stage_of(text, "app")
    assert before.startswith("builder AS app-pre\n")
    assert copies(before) == ["COPY --from=manifests /manifests/ /src/"]
    assert "type=bind" not in before
    assert app.startswith("${BASE} AS app\n")
    assert copies(app) == [
        "COPY --from=app-pre ${WORKDIR}/.venv ${WORKDIR}/.venv",
        "COPY --from=project /project/ /",
    ]


@pytest.mark.parametrize("compiles", [False, True])
@pytest.mark.parametrize("installer", INSTALLERS)
def test_the_bases_pip_is_removed_once_and_not_before_it_was_needed(
    installer: Installer, compiles: bool
) -> None:
    text = render_dockerfile(dockerfile_plan(installer, build_packages=("gcc",) if compiles else ()))
    stages = [name for name in ("app-pre", "app") if "ensurepip" in stage_of(text, name)]
    assert stages == (["app"] if compiles or installer == "pip" else ["app-pre"])


def copies(stage: str) -> list[str]:
    return re.findall(r"(?m)^COPY .*", stage)


@pytest.mark.parametrize("installer", INSTALLERS)
def test_whatever_asks_an_index_gets_the_secrets_and_keeps_none(installer: Installer) -> None:
    text = render_dockerfile(dockerfile_plan(installer))
    runs = re.findall(r"(?ms)^RUN .*?[^\\]$", text)
    asking = [run for run in runs if "with-secrets " in run and "/kit" not in run]
    assert len(asking) >= 3
    for run in asking:
        assert "--mount=type=secret,id=ca," in run
        assert "--mount=type=secret,id=index," in run


def test_every_mount_is_absolute_so_that_buildah_takes_it_too() -> None:
    text = render_dockerfile(dockerfile_plan())
    targets = re.findall(r"--mount=\S*target=([^,\s]+)", text)
    assert targets
    assert [target for target in targets if not target.startswith("/")] == []


def test_no_heredoc_is_needed_which_older_builders_do_not_know() -> None:
    assert "<<" not in render_dockerfile(dockerfile_plan())


def test_the_user_is_a_number_and_the_entry_point_has_no_shell() -> None:
    app = stage_of(render_dockerfile(dockerfile_plan()), "app")
    assert "\nUSER ${USER_UID}:${USER_GID}\n" in app
    assert '\nENTRYPOINT ["shop"]' in app
    assert "/usr/sbin/nologin" in app


def test_the_plan_gives_every_build_argument_its_default() -> None:
    text = render_dockerfile(dockerfile_plan())
    for line in (
        'ARG WORKDIR="/app"',
        'ARG USERNAME="nonroot"',
        "ARG USER_UID=65532",
        "ARG USER_GID=65532",
        'ARG PYTHON_VERSION="3.13"',
        f'ARG PYTHON_DIGEST="@{HASH}"',
        'ARG PIPX_VERSION="1.18.4"',
        'ARG POETRY_VERSION="2.5.1"',
    ):
        assert f"\n{line}\n" in f"\n{text}"
    assert '\nARG BASE="registry.example/python:${PYTHON_VERSION}-slim${PYTHON_DIGEST}"\n' in text


def test_the_tools_are_pinned_by_hash() -> None:
    text = render_dockerfile(dockerfile_plan())
    assert f"'poetry==2.5.1 --hash={HASH}'" in text
    # Hashes are asked for wherever there are any: for another Python there are none.
    assert "${hashes:+--require-hashes} --constraint /opt/tool.txt" in text
    assert text.count("${hashes:+--require-hashes}") == text.count("hashes=$(grep hash /opt/") == 2


def test_a_plugin_comes_at_its_pinned_version() -> None:
    tool = pins("poetry", "poetry-plugin-pypi-mirror", version="2.5.1")
    text = render_dockerfile(dockerfile_plan(tool=tool))
    hashes = '--pip-args="${hashes:+--require-hashes} --constraint /opt/tool.txt"'
    assert f"{hashes} --preinstall poetry-plugin-pypi-mirror==2.5.1 " in text


@pytest.mark.parametrize("stage", ["app-pre", "dev"])
def test_what_is_mounted_from_a_stage_is_told_by_something_that_is_copied_before(stage: str) -> None:
    # Buildah keys its cache by the instruction's text: it would take what was made from another lock.
    for installer in INSTALLERS:
        text = render_dockerfile(dockerfile_plan(installer))
        mounted = re.findall(r"type=bind,from=([\w-]+)", text)
        assert set(mounted) == {"builder", "manifests"}
        assert "type=bind,source" not in text
        for name in mounted:
            # Debian 12's Buildah mounts a stage from its cache without the last step.
            assert stage_of(text, name).rstrip().rpartition("\n")[2].startswith("WORKDIR /")
        before, mount, _ = stage_of(text, stage).partition("type=bind,from=manifests")
        # dev stands on app-pre.
        assert mount and (stage == "dev" or "COPY --from=manifests /fingerprint " in before)
        # Another version of the tool is another text of the step.
        arguments = re.findall(r"(?m)^ARG (\w+_VERSION)", stage_of(text, "builder"))
        assert re.findall(r"(?m)^ARG (\w+_VERSION)", stage_of(text, "app-pre")) == arguments


def test_what_the_stages_copy_from_the_kit_is_in_it() -> None:
    for installer in INSTALLERS:
        for mode in (0, None):
            members = (PlannedMember(name="shop", folder="", build_system=mode),)
            systems = () if mode is None else (pins("poetry-core"),)
            text = render_dockerfile(dockerfile_plan(installer, members=members, build_systems=systems))
            copied = re.findall(r"/kit/\S+", "".join(re.findall(r"(?m)^COPY --from=kit (.*)$", text)))
            written = re.findall(r"(?m)^      > (/kit/\S+)", text)
            assert sorted(copied) == sorted(written)


def test_system_packages_are_in_the_stages_that_need_them() -> None:
    text = render_dockerfile(dockerfile_plan(packages=("libpq5",), build_packages=("libpq-dev",)))
    assert "libpq-dev libpq5" in stage_of(text, "builder")
    app = stage_of(text, "app")
    assert "libpq5" in app
    assert "libpq-dev" not in app


def test_values_of_the_environment_are_not_expanded() -> None:
    assert 'PRICE="5 \\$ \\"net\\""' in render_dockerfile(dockerfile_plan())


def test_a_dev_stage_without_sudo_has_no_sudo() -> None:
    assert "sudo" not in stage_of(render_dockerfile(dockerfile_plan(sudo=False)), "dev")


def test_path_dependencies_are_built_from_the_repository_each_with_its_own_back_end() -> None:
    members = (
        PlannedMember(name="shop", folder="services/shop", build_system=0),
        PlannedMember(name="lib", folder="libs/lib", build_system=1),
    )
    plan = dockerfile_plan(
        context="../..",
        folder="services/shop",
        members=members,
        build_systems=(pins("poetry-core"), pins("hatchling")),
        manifests=("services/shop/poetry.lock", "services/shop/pyproject.toml"),
        lock="services/shop/poetry.lock",
    )
    project = stage_of(render_dockerfile(plan), "project")
    assert "/opt/workshop/build-0:/opt/workshop/wheel-tools" in project
    assert '/opt/workshop/install.py wheel "/src/libs/lib" /project' in project
    names = [file.path for file in render_files(plan)]
    assert "Dockerfile.dockerignore" in names
    assert ".dockerignore" not in names


def test_source_that_is_no_package_is_copied_without_write_permission() -> None:
    members = (PlannedMember(name="shop", folder="", build_system=None),)
    text = render_dockerfile(dockerfile_plan(members=members, build_systems=()))
    assert 'copy_source.py /src "/project${WORKDIR}"' in stage_of(text, "project")


def test_no_stage_is_another_name_for_its_base() -> None:
    # `buildah build --label` makes such a stage anew each time, and all that stand on it.
    text = render_dockerfile(dockerfile_plan(test=("true",)))
    stages = re.split(r"(?m)^(?=FROM )", text)[1:]
    assert [stage for stage in stages if not re.search(r"(?m)^(RUN|COPY) ", stage)] == []


def test_two_renderings_are_equal() -> None:
    assert render_files(dockerfile_plan()) == render_files(dockerfile_plan())


def test_a_release_is_no_other_dockerfile() -> None:
    plan = dockerfile_plan()
    assert "org.opencontainers.image.version" not in render_dockerfile(plan)
    assert 'org.opencontainers.image.title="shop"' in render_dockerfile(plan)


def test_a_dev_container_follows_the_requirements_of_development_too() -> None:
    names = ("requirements.txt", "requirements-dev.txt", "more/base.in")
    dev = stage_of(render_dockerfile(dockerfile_plan("pip", manifests=names)), "dev")
    assert f'LOCK_FILES="{" ".join(names)}"' in dev
    below = dockerfile_plan("uv", lock="uv.lock", folder="services/shop", context="../..")
    assert 'LOCK_FILES="/src/uv.lock"' in stage_of(render_dockerfile(below), "dev")
