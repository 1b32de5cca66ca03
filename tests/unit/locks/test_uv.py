"""uv.lock: members, forks, conflicts, sources, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.locks import (
    DEBIAN,
    INDEX,
    chosen,
    chosen_names,
    digest,
    project_at,
    read_text_as,
    selection,
    source_text,
    target_for,
    uv_lock,
    uv_package,
    wheel,
)
from shipwheel.errors import LockError, TargetError, UsageError
from shipwheel.locks.model import Lock
from shipwheel.locks.select import select_packages

HERE = '{ virtual = "." }'


def read(tmp_path: Path, *packages: str, more: str = "", python: str = ">=3.11") -> Lock:
    return read_text_as("uv.lock", uv_lock(*packages, more=more, python=python), project_at(tmp_path))


def app(*needs: str, more: str = "", source: str = HERE) -> str:
    return uv_package("app", source=source, needs=needs, more=more)


def test_the_closure_of_the_project_without_itself(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        app('{ name = "web" }', source='{ editable = "." }'),
        uv_package(
            "web", needs=['{ name = "idna" }', '{ name = "colorama", marker = "sys_platform == \'win32\'" }']
        ),
        uv_package("idna"),
        uv_package("colorama"),
        uv_package("unused"),
    )
    idna, web = select_packages(lock, DEBIAN)
    assert (idna.name, idna.required_by) == ("idna", ("web",))
    assert (web.name, web.required_by) == ("web", ())
    assert web.index == INDEX


def test_extras_and_groups_of_the_project(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        app(
            '{ name = "web" }',
            more='[package.optional-dependencies]\nfast = [{ name = "uvloop" }]\nall = [{ name = "app", extra = ["fast"] }]\n'
            '[package.dev-dependencies]\ndev = [{ name = "pytest" }]\n',
        ),
        *(uv_package(name) for name in ("web", "uvloop", "pytest")),
    )
    assert chosen_names(lock) == ["web"]
    assert chosen_names(lock, wanted=selection(extras=["fast"])) == ["uvloop", "web"]
    assert chosen_names(lock, wanted=selection(extras=["all"])) == ["uvloop", "web"]
    assert chosen_names(lock, wanted=selection(only=["dev"])) == ["pytest"]
    assert chosen_names(lock, wanted=selection(groups=["dev"])) == ["pytest", "web"]


def test_extras_of_a_dependency(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        app('{ name = "uvicorn", extra = ["standard"] }'),
        uv_package("uvicorn", more='[package.optional-dependencies]\nstandard = [{ name = "httptools" }]\n'),
        uv_package("httptools"),
    )
    assert chosen_names(lock) == ["httptools", "uvicorn"]


def test_forks_are_told_apart_by_version_and_source(tmp_path: Path) -> None:
    cpu = f'{{ registry = "{INDEX}/cpu" }}'
    lock = read(
        tmp_path,
        app(
            f'{{ name = "torch", version = "2.1", source = {cpu}, marker = "sys_platform == \'darwin\'" }}',
            f'{{ name = "torch", version = "2.1+cpu", source = {cpu}, marker = "sys_platform != \'darwin\'" }}',
        ),
        uv_package("torch", "2.1", source=cpu, files=[wheel("torch", "2.1")]),
        uv_package("torch", "2.1+cpu", source=cpu, files=[wheel("torch", "2.1+cpu")]),
    )
    (torch,) = select_packages(lock, DEBIAN)
    assert str(torch.version) == "2.1+cpu"
    # The address is percent-encoded, the file name is not.
    assert source_text(torch) == wheel("torch", "2.1+cpu")
    assert "%2B" in repr(torch.source)


def test_workspace_members_are_folders_and_each_can_be_the_one_to_install(tmp_path: Path) -> None:
    members = '[manifest]\nmembers = ["app", "lib", "other"]\n'
    lock = read(
        tmp_path,
        app('{ name = "lib" }'),
        uv_package("lib", source='{ editable = "libs/lib" }', needs=['{ name = "idna" }']),
        uv_package(
            "other", None, source='{ virtual = "other" }', needs=['{ name = "lib" }', '{ name = "web" }']
        ),
        uv_package("idna"),
        uv_package("web"),
        more=members,
    )
    assert [source_text(one) for one in select_packages(lock, DEBIAN)] == [wheel("idna"), "libs/lib editable"]
    assert chosen_names(lock, wanted=selection(package="other")) == ["idna", "lib", "web"]
    assert chosen_names(lock, wanted=selection(package="lib")) == ["idna"]
    with pytest.raises(UsageError, match="no package 'libs'; there are: app, lib, other") as caught:
        select_packages(lock, DEBIAN, selection(package="libs"))
    assert caught.value.problems[0].hint == "did you mean lib?"


def test_several_projects_and_none_of_them_here_have_to_be_chosen_from(tmp_path: Path) -> None:
    text = uv_lock(
        uv_package("one", source='{ editable = "one" }'),
        uv_package("two", source='{ editable = "two" }'),
        more='[manifest]\nmembers = ["one", "two"]\n',
    )
    lock = read_text_as("uv.lock", text, project_at(tmp_path, "[tool.uv.workspace]\n"))
    with pytest.raises(UsageError, match="several projects: one, two") as caught:
        select_packages(lock, DEBIAN)
    assert caught.value.code == "choose-package"


def test_a_member_with_a_dynamic_version_has_none(tmp_path: Path) -> None:
    lock = read(
        tmp_path, app('{ name = "lib" }'), uv_package("lib", None, source='{ directory = "lib" }'),
        more='[manifest]\nmembers = ["app", "lib"]\n',
    )  # fmt: skip
    assert chosen(lock) == ["lib"]


CONFLICTS = 'conflicts = [[{ package = "app", extra = "cpu" }, { package = "app", extra = "gpu" }]]\n'
ENGINE = (
    f'{{ name = "engine", version = "1", source = {{ registry = "{INDEX}" }}, marker = "extra == \'extra-3-app-cpu\'" }}',
    f'{{ name = "engine", version = "2", source = {{ registry = "{INDEX}" }}, marker = "extra == \'extra-3-app-gpu\' or extra != \'extra-3-app-cpu\'" }}',
)


def conflicting(tmp_path: Path) -> Lock:
    return read(
        tmp_path,
        app(
            '{ name = "web" }',
            more="[package.optional-dependencies]\n"
            f'cpu = [{ENGINE[0]}]\ngpu = [{ENGINE[1]}]\nbig = [{{ name = "app", extra = ["gpu"] }}]\n',
        ),
        uv_package("web", needs=ENGINE),
        uv_package("engine", "1"),
        uv_package("engine", "2"),
        more=CONFLICTS,
    )


def test_a_conflicting_extra_decides_which_version_everybody_gets(tmp_path: Path) -> None:
    lock = conflicting(tmp_path)
    assert chosen(lock) == ["engine 2", "web 1.0"]
    assert chosen(lock, wanted=selection(extras=["cpu"])) == ["engine 1", "web 1.0"]
    assert chosen(lock, wanted=selection(extras=["gpu"])) == ["engine 2", "web 1.0"]


def test_conflicting_extras_cannot_be_had_together_not_even_indirectly(tmp_path: Path) -> None:
    lock = conflicting(tmp_path)
    for extras in (["cpu", "gpu"], ["cpu", "big"]):
        with pytest.raises(UsageError, match="extra cpu of app and extra gpu of app exclude") as caught:
            select_packages(lock, DEBIAN, selection(extras=extras))
        assert caught.value.code == "conflicting-extras"


def test_a_wish_may_switch_on_the_extra_that_its_own_marker_asks_for(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        app(
            more=f"[package.optional-dependencies]\ncpu = [{ENGINE[0]}]\ngpu = [{ENGINE[1]}]\n"
            "[package.dev-dependencies]\n"
            'bench = [{ name = "app", extra = ["cpu"], marker = "extra == \'extra-3-app-cpu\'" }]\n',
        ),
        uv_package("engine", "1"),
        uv_package("engine", "2"),
        more=CONFLICTS,
    )
    assert chosen(lock, wanted=selection(groups=["bench"])) == ["engine 1"]


def test_a_platform_outside_the_supported_ones_is_refused(tmp_path: Path) -> None:
    lock = read(tmp_path, app(), more="supported-markers = [\"platform_machine == 'x86_64'\"]\n")
    assert chosen(lock) == []
    with pytest.raises(TargetError) as caught:
        select_packages(lock, target_for(platform="linux/arm64"))
    assert caught.value.code == "platform-not-locked"


def test_sources_that_are_no_index(tmp_path: Path) -> None:
    commit = "b" * 40
    git = f"https://git.example/tool.git?rev=v1&subdirectory=py#{commit}"
    lock = read(
        tmp_path,
        app(*(f'{{ name = "{name}" }}' for name in ("fetched", "local", "tool", "vendored"))),
        uv_package("tool", source=f'{{ git = "{git}" }}'),
        uv_package(
            "fetched",
            source='{ url = "https://files.example/fetched-1.0.tar.gz" }',
            more=f'sdist = {{ hash = "sha256:{digest("f")}" }}',
        ),
        uv_package(
            "vendored",
            source='{ path = "vendor/vendored-1.0-py3-none-any.whl" }',
            more=f'wheels = [{{ filename = "vendored-1.0-py3-none-any.whl", hash = "sha256:{digest("v")}" }}]',
        ).replace("wheels = [\n\n]", ""),
        uv_package(
            "local",
            source='{ registry = "links" }',
            files=[],
            more='wheels = [{ path = "local-1.0-py3-none-any.whl" }]',
        ),
    )
    fetched, local, tool, vendored = select_packages(lock, DEBIAN)
    assert source_text(fetched) == "https://files.example/fetched-1.0.tar.gz"
    assert source_text(tool) == f"https://git.example/tool.git {commit} py"
    assert source_text(vendored) == "vendor/vendored-1.0-py3-none-any.whl"
    # A local index has no hashes to lock; its files are the project's own.
    assert "path='links/local-1.0-py3-none-any.whl'" in repr(local.source)


def test_a_remote_file_without_hash_is_refused(tmp_path: Path) -> None:
    package = uv_package(
        "web", files=[], more='wheels = [{ url = "https://files.example/web-1.0-py3-none-any.whl" }]'
    )
    lock = read(tmp_path, app('{ name = "web" }'), package)
    with pytest.raises(LockError) as caught:
        select_packages(lock, DEBIAN)
    assert caught.value.code == "no-hash"


def test_toml_1_1_is_read_as_uv_reads_it(tmp_path: Path) -> None:
    multi_line = uv_package("web").replace("{ url", "{\n  url").replace(" size = 10 }", "\n  size = 10,\n}")
    assert chosen_names(read(tmp_path, app('{ name = "web" }'), multi_line)) == ["web"]


def test_a_newer_format_is_refused_and_a_newer_revision_is_read(tmp_path: Path) -> None:
    text = uv_lock(app())
    project = project_at(tmp_path)
    assert (
        read_text_as("uv.lock", text.replace("revision = 3", "revision = 9"), project).info.lock_version
        == "1.9"
    )
    with pytest.raises(LockError) as caught:
        read_text_as("uv.lock", text.replace("version = 1", "version = 2"), project)
    assert caught.value.code == "unsupported-lock-version"


def test_every_problem_of_the_file_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(LockError) as caught:
        read(
            tmp_path,
            uv_package("one", "1.x.y"),
            uv_package("two", source='{ warp = "x" }'),
            uv_package("three", source='{ git = "https://user:secret@git.example/x" }'),
            uv_package("four", needs=["{ version = '1' }"]),
        )
    assert {problem.place for problem in caught.value.problems} == {
        f"uv.lock [package.{name}]" for name in ("one", "two", "three", "four")
    }
    assert "secret" not in str(caught.value)


def test_locked_twice_from_two_indexes_is_refused(tmp_path: Path) -> None:
    other = f'{{ registry = "{INDEX}/other" }}'
    lock = read(
        tmp_path,
        app(
            f'{{ name = "x", version = "1.0", source = {{ registry = "{INDEX}" }} }}',
            f'{{ name = "x", version = "1.0", source = {other} }}',
        ),
        uv_package("x"),
        uv_package("x", source=other),
    )
    with pytest.raises(LockError) as caught:
        select_packages(lock, DEBIAN)
    assert caught.value.code == "ambiguous-lock"
