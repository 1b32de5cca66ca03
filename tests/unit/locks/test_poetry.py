"""poetry.lock: every generation, groups, markers, sources, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.locks import (
    ALPINE,
    DEBIAN,
    INDEX,
    MANYLINUX,
    MUSLLINUX,
    chosen,
    chosen_file,
    chosen_names,
    digest,
    poetry_lock,
    poetry_package,
    project_at,
    read_text_as,
    sdist,
    selection,
    source_text,
    target_for,
    wheel,
)
from shipwheel.errors import LockError, ProjectError, TargetError, UsageError
from shipwheel.locks.model import Lock
from shipwheel.locks.select import select_packages

TOOL = '[tool.poetry]\nname = "app"\n[tool.poetry.dependencies]\npython = "^3.11"\n'


def read(tmp_path: Path, lock: str, pyproject: str = TOOL) -> Lock:
    return read_text_as("poetry.lock", lock, project_at(tmp_path, pyproject))


def test_production_is_the_main_group_and_groups_are_added_or_stand_alone(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        poetry_lock(
            poetry_package("web"),
            poetry_package("both", groups=["main", "dev"]),
            poetry_package("pytest", groups=["dev"]),
        ),
    )
    assert chosen_names(lock) == ["both", "web"]
    assert chosen_names(lock, wanted=selection(groups=["dev"])) == ["both", "pytest", "web"]
    assert chosen_names(lock, wanted=selection(only=["dev"])) == ["both", "pytest"]
    assert chosen_names(lock, wanted=selection(only=["main"])) == ["both", "web"]
    assert chosen_names(lock, wanted=selection(groups=["dev"], without=["main"])) == ["both", "pytest"]


def test_group_names_are_compared_normalised(tmp_path: Path) -> None:
    lock = read(tmp_path, poetry_lock(poetry_package("docs-tool", groups=["My_Docs"])))
    assert chosen_names(lock, wanted=selection(only=["my-docs"])) == ["docs-tool"]


def test_markers_may_differ_by_group(tmp_path: Path) -> None:
    package = poetry_package(
        "colorama", groups=["main", "dev"], markers="{main = \"sys_platform == 'win32'\"}"
    )
    lock = read(tmp_path, poetry_lock(package))
    assert chosen_names(lock) == []
    assert chosen_names(lock, wanted=selection(groups=["dev"])) == ["colorama"]


def test_extras_are_a_set_and_unknown_ones_are_named_with_a_suggestion(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        poetry_lock(
            poetry_package("web"),
            poetry_package("orjson", markers='"extra == \\"fast\\" or extra == \\"all\\""'),
            poetry_package("slow", markers='"extra != \\"fast\\""'),
            extras='fast = ["orjson"]\nall = ["orjson"]',
        ),
    )
    assert chosen_names(lock) == ["slow", "web"]
    assert chosen_names(lock, wanted=selection(extras=["fast", "all"])) == ["orjson", "web"]
    assert chosen_names(lock, wanted=selection(extras=["all"])) == ["orjson", "slow", "web"]
    with pytest.raises(UsageError, match="no extra 'fest'; there are: all, fast") as caught:
        select_packages(lock, DEBIAN, selection(extras=["fest"]))
    assert caught.value.code == "unknown-extra"
    assert caught.value.problems[0].hint == "did you mean fast?"


def test_an_unknown_group_is_named_with_those_that_exist(tmp_path: Path) -> None:
    lock = read(tmp_path, poetry_lock(poetry_package("pytest", groups=["test"])))
    with pytest.raises(UsageError, match="no group 'tests'; there are: test") as caught:
        select_packages(lock, DEBIAN, selection(groups=["tests"]))
    assert caught.value.code == "unknown-group"


def test_markers_are_evaluated_for_the_targets_exact_python(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        poetry_lock(
            poetry_package("old", markers='"python_full_version <= \\"3.13.4\\""'),
            poetry_package("new", markers='"python_full_version > \\"3.13.4\\""'),
        ),
    )
    assert chosen_names(lock) == ["new"]
    assert chosen_names(lock, target_for("3.13.4")) == ["old"]


def test_versions_of_one_name_are_told_apart_by_markers(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        poetry_lock(
            poetry_package("numpy", "1.26", markers='"python_version < \\"3.12\\""'),
            poetry_package("numpy", "2.0", markers='"python_version >= \\"3.12\\""'),
        ),
    )
    assert chosen(lock) == ["numpy 2.0"]
    assert chosen(lock, target_for("3.11.9")) == ["numpy 1.26"]


def test_two_versions_at_once_are_refused(tmp_path: Path) -> None:
    lock = read(tmp_path, poetry_lock(poetry_package("numpy", "1.26"), poetry_package("numpy", "2.0")))
    with pytest.raises(LockError, match=r"numpy is locked twice for this target: 1\.26 and 2\.0") as caught:
        select_packages(lock, DEBIAN)
    assert caught.value.code == "ambiguous-lock"
    assert caught.value.problems[0].place == "poetry.lock [package.numpy]"


def test_the_same_version_of_two_sources_keeps_its_index(tmp_path: Path) -> None:
    cpu = f'type = "legacy"\nurl = "{INDEX}/cpu"\nreference = "cpu"'
    lock = read(
        tmp_path,
        poetry_lock(
            poetry_package("torch", "2.0", markers='"sys_platform == \\"darwin\\""'),
            poetry_package("torch", "2.0", source=cpu, markers='"sys_platform == \\"linux\\""'),
        ),
    )
    (torch,) = select_packages(lock, DEBIAN)
    assert torch.index == f"{INDEX}/cpu"
    assert lock.info.sources == {"cpu": f"{INDEX}/cpu"}


def test_credentials_in_a_source_are_not_kept(tmp_path: Path) -> None:
    source = 'type = "legacy"\nurl = "https://user:secret@index.example/simple"\nreference = "private"'
    lock = read(tmp_path, poetry_lock(poetry_package("inner", source=source)))
    assert select_packages(lock, DEBIAN)[0].index == INDEX
    assert "secret" not in repr(lock)


def test_a_python_that_the_lock_does_not_admit_is_refused(tmp_path: Path) -> None:
    lock = read(tmp_path, poetry_lock(poetry_package("web"), python="^3.11 || ~3.9"))
    assert chosen_names(lock, target_for("3.9.2")) == ["web"]
    with pytest.raises(TargetError, match=r"the image has 3\.10\.1") as caught:
        select_packages(lock, target_for("3.10.1"))
    assert caught.value.code == "python-not-locked"


def test_path_git_url_and_file_sources(tmp_path: Path) -> None:
    commit = "a" * 40
    lock = read(
        tmp_path,
        poetry_lock(
            poetry_package(
                "beside", files=[], source='type = "directory"\nurl = "../beside"', more="develop = true"
            ),
            poetry_package(
                "forked",
                files=[],
                source='type = "git"\nurl = "https://git.example/forked.git"\nreference = "main"\n'
                f'resolved_reference = "{commit}"\nsubdirectory = "python"',
            ),
            poetry_package(
                "fetched",
                files=["fetched.zip"],
                source='type = "url"\nurl = "https://files.example/fetched.zip"',
            ),
            poetry_package("vendored", source='type = "file"\nurl = "vendor/vendored-1.0-py3-none-any.whl"'),
        ),
    )
    assert [source_text(one) for one in select_packages(lock, DEBIAN)] == [
        "../beside editable",
        "https://files.example/fetched.zip",
        f"https://git.example/forked.git {commit} python",
        "vendor/vendored-1.0-py3-none-any.whl",
    ]


def test_an_address_without_hash_is_refused_when_it_is_wanted(tmp_path: Path) -> None:
    url = 'type = "url"\nurl = "https://files.example/bot.zip"'
    lock = read(tmp_path, poetry_lock(poetry_package("bot", files=[], source=url, groups=["dev"])))
    assert chosen_names(lock) == []
    with pytest.raises(LockError, match="by address and without a hash") as caught:
        select_packages(lock, DEBIAN, selection(groups=["dev"]))
    assert caught.value.code == "no-hash"


def test_musl_and_glibc_take_their_own_wheel(tmp_path: Path) -> None:
    files = [wheel("numpy", "2.0", MANYLINUX), wheel("numpy", "2.0", MUSLLINUX)]
    lock = read(tmp_path, poetry_lock(poetry_package("numpy", "2.0", files=files)))
    assert chosen_file(lock, DEBIAN) == files[0]
    assert chosen_file(lock, ALPINE) == files[1]


# --- generations before 2.1: the graph is walked from pyproject.toml ---


def test_before_2_1_the_graph_decides_and_dev_dependencies_are_a_group(tmp_path: Path) -> None:
    pyproject = TOOL + 'web = "^1.0"\n[tool.poetry.dev-dependencies]\npytest = "*"\n'
    lock = read(
        tmp_path,
        poetry_lock(
            poetry_package(
                "web",
                needs='starlette = ">=1"\ncolorama = {version = "*", markers = "os_name == \'nt\'"}',
                groups=None,
            ),
            poetry_package("starlette", groups=None),
            poetry_package("colorama", groups=None),
            poetry_package("pytest", groups=None),
            version="2.0",
        ),
        pyproject,
    )
    assert chosen_names(lock) == ["starlette", "web"]
    assert chosen_names(lock, wanted=selection(groups=["dev"])) == ["pytest", "starlette", "web"]
    starlette, web = select_packages(lock, DEBIAN)
    assert starlette.required_by == ("web",)
    assert web.required_by == ()


def test_constraints_choose_among_several_locked_versions(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        poetry_lock(
            poetry_package("idna", "2.10", groups=None),
            poetry_package("idna", "3.7", groups=None),
            poetry_package("web", needs='idna = "*"', groups=None),
            version="2.0",
        ),
        TOOL
        + 'web = "*"\nidna = [{version = "^2.0", python = "<3.12"}, {version = "^3.0", python = ">=3.12"}]\n',
    )
    assert chosen(lock) == ["idna 3.7", "web 1.0"]
    assert chosen(lock, target_for("3.11.2")) == ["idna 2.10", "web 1.0"]


def test_a_choice_is_taken_back_when_a_later_wish_forbids_it(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        poetry_lock(
            poetry_package("a", needs='shared = "*"', groups=None),
            poetry_package("b", needs='c = "*"\nother = "*"', groups=None),
            poetry_package("c", "1.0", needs='shared = "<2"', groups=None),
            poetry_package("other", "1.0", groups=None, needs='third = "*"'),
            poetry_package("third", "1.0", groups=None, needs='shared = "<2"'),
            poetry_package("shared", "1.0", groups=None),
            poetry_package("shared", "2.0", groups=None, needs='extra-thing = "*"'),
            poetry_package("extra-thing", groups=None),
            version="2.0",
        ),
        TOOL + 'a = "*"\nb = "*"\n',
    )
    assert "shared 1.0" in chosen(lock)
    assert "extra-thing 1.0" not in chosen(lock)


def test_wishes_that_exclude_each_other_are_refused(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        poetry_lock(
            poetry_package("a", needs='shared = "<2"', groups=None),
            poetry_package("b", needs='shared = ">=2"', groups=None),
            poetry_package("shared", "1.0", groups=None),
            poetry_package("shared", "2.0", groups=None),
            version="2.0",
        ),
        TOOL + 'a = "*"\nb = "*"\n',
    )
    with pytest.raises(LockError) as caught:
        select_packages(lock, DEBIAN)
    assert caught.value.code == "ambiguous-lock"


def test_extras_of_a_dependency_switch_on_its_optional_dependencies(tmp_path: Path) -> None:
    web = poetry_package(
        "web",
        groups=None,
        needs='uvloop = {version = "*", optional = true, markers = "extra == \\"fast\\" and sys_platform != \\"win32\\""}\n'
        'slowloop = {version = "*", optional = true}',
        extras='fast = ["uvloop (>=0.1) ; sys_platform != \\"win32\\""]\nslow = ["slowloop"]',
    )
    packages = (web, poetry_package("uvloop", groups=None), poetry_package("slowloop", groups=None))
    lock = read(
        tmp_path,
        poetry_lock(*packages, version="2.0"),
        TOOL + 'web = {version = "*", extras = ["fast"]}\n',
    )
    assert chosen_names(lock) == ["uvloop", "web"]


def test_the_projects_extras_switch_on_its_optional_dependencies(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        poetry_lock(
            poetry_package("lxml", groups=None),
            poetry_package("redis", groups=None),
            version="2.0",
            extras='xml = ["lxml"]\nall = ["lxml", "redis"]',
        ),
        TOOL
        + 'lxml = {version = "*", optional = true}\nredis = {version = "*", optional = true}\n'
        + '[tool.poetry.extras]\nxml = ["lxml"]\nall = ["lxml", "redis"]\n',
    )
    assert chosen_names(lock) == []
    assert chosen_names(lock, wanted=selection(extras=["xml"])) == ["lxml"]
    assert chosen_names(lock, wanted=selection(all_extras=True)) == ["lxml", "redis"]


def test_optional_in_main_and_plain_in_dev_counts_for_dev(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        poetry_lock(
            poetry_package("parameterized", groups=None), version="2.0", extras='test = ["parameterized"]'
        ),
        TOOL
        + 'parameterized = {version = "*", optional = true}\n[tool.poetry.extras]\ntest = ["parameterized"]\n'
        + '[tool.poetry.group.dev.dependencies]\nparameterized = "*"\n',
    )
    assert chosen_names(lock) == []
    assert chosen_names(lock, wanted=selection(groups=["dev"])) == ["parameterized"]


def test_groups_may_include_groups(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        poetry_lock(poetry_package("a", groups=None), poetry_package("b", groups=None), version="2.0"),
        TOOL
        + '[tool.poetry.group.test.dependencies]\na = "*"\n'
        + '[tool.poetry.group.dev]\ninclude-groups = ["test"]\n[tool.poetry.group.dev.dependencies]\nb = "*"\n',
    )
    assert chosen_names(lock, wanted=selection(groups=["dev"])) == ["a", "b"]


def test_packages_that_poetry_never_locked_are_left_out(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        poetry_lock(poetry_package("web", needs='setuptools = "*"', groups=None), version="1.1"),
        TOOL + 'web = "*"\n',
    )
    assert chosen_names(lock) == ["web"]


def test_a_need_that_is_not_locked_is_an_error_at_who_needs_it(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        poetry_lock(poetry_package("web", needs='gone = "^1.2"', groups=None), version="2.0"),
        TOOL + 'web = "*"\n',
    )
    with pytest.raises(
        LockError, match=r"web 1\.0 needs gone >=1\.2,<2, which the lock does not have"
    ) as caught:
        select_packages(lock, DEBIAN)
    assert caught.value.code == "incomplete-lock"
    assert caught.value.problems[0].place == "poetry.lock [package.web]"


def _beside_the_packages(*names: str) -> str:
    """`[metadata.files]` of 1.0 and 1.1: one list per name, whatever the versions."""
    lines = ["[metadata.files]"]
    for name in dict.fromkeys(file.split("-")[0] for file in names):
        entries = ", ".join(
            f'{{file = "{one}", hash = "sha256:{digest(one)}"}}' for one in names if one.startswith(name)
        )
        lines.append(f"{name} = [{entries}]")
    return "\n".join(lines)


@pytest.mark.parametrize("version", ["", "1.0", "1.1"])
def test_files_beside_the_packages_are_told_apart_by_version(tmp_path: Path, version: str) -> None:
    files = (wheel("idna", "2.10"), sdist("idna", "2.10"), wheel("idna", "3.7"))
    package = 'category = "main"\n[[package]]\nname = "idna"\noptional = false\npython-versions = "*"\n'
    lock = read(
        tmp_path,
        poetry_lock(version=version, more=_beside_the_packages(*files)).replace(
            "[metadata]",
            f'{package.partition(chr(10))[2]}version = "2.10"\n{package.partition(chr(10))[2]}version = "3.7"\n[metadata]',
            1,
        ),
        TOOL + 'idna = "^2.0"\n',
    )
    (idna,) = select_packages(lock, DEBIAN)
    assert source_text(idna) == wheel("idna", "2.10")
    assert idna.alternatives == (sdist("idna", "2.10"),)


def test_the_oldest_locks_know_hashes_only(tmp_path: Path) -> None:
    text = (
        '[[package]]\ncategory = "main"\nname = "idna"\noptional = false\npython-versions = "*"\nversion = "2.8"\n'
        '[metadata]\ncontent-hash = "0"\npython-versions = "*"\n[metadata.hashes]\n'
        f'idna = ["{digest("b")}", "{digest("a")}"]\n'
    )
    lock = read(tmp_path, text, TOOL + 'idna = "*"\n')
    assert lock.info.lock_version == "pre-1.0"
    assert chosen_file(lock) == " ".join(sorted([f"sha256:{digest('a')}", f"sha256:{digest('b')}"]))


def test_format_1_0_keeps_platform_markers_with_the_package(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        poetry_lock(
            poetry_package("loguru", needs='win32-setctime = "*"\ncolorama = "*"', groups=None),
            poetry_package("win32-setctime", groups=None, more="marker = \"sys_platform == 'win32'\""),
            # Before 1.0 the marker may speak of somebody else's extra: the graph knows better.
            poetry_package("colorama", groups=None, more="marker = \"extra == 'all'\""),
            version="1.0",
        ),
        TOOL + 'loguru = "*"\n',
    )
    assert chosen_names(lock) == ["colorama", "loguru"]


def test_what_old_releases_say_of_themselves_does_not_spoil_the_lock(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        poetry_lock(
            poetry_package("web", needs='idna = ">=2.0.x-dev"', groups=None, python="!=3.0*"),
            poetry_package("idna", groups=None),
            version="2.0",
        ),
        TOOL + 'web = "*"\n',
    )
    assert chosen_names(lock) == ["idna", "web"]


# --- what is refused while reading ---


def test_every_problem_of_the_file_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    text = poetry_lock(
        poetry_package("one", "not a version"),
        poetry_package("two").replace("sha256:", "md5:"),
        poetry_package("three", source='type = "warp"\nurl = "x"'),
        poetry_package("four", groups=None),
        python="nonsense",
    )
    with pytest.raises(LockError) as caught:
        read(tmp_path, text)
    problems = [(problem.code, problem.place) for problem in caught.value.problems]
    assert problems == [
        ("bad-lock", "poetry.lock [package.one]"),
        ("bad-lock", "poetry.lock [package.one]"),
        ("bad-hash", "poetry.lock [package.two]"),
        ("bad-lock", "poetry.lock [package.three]"),
        ("bad-lock", "poetry.lock [package.four]"),
        ("bad-lock", "poetry.lock [metadata.python-versions]"),
    ]


def test_a_duplicate_key_is_located_by_line(tmp_path: Path) -> None:
    with pytest.raises(LockError) as caught:
        read(tmp_path, '[metadata]\nlock-version = "2.1"\nlock-version = "2.0"\n')
    assert caught.value.code == "invalid-toml"
    assert caught.value.problems[0].place == "poetry.lock:3"


def test_conflict_markers_are_located_by_line(tmp_path: Path) -> None:
    with pytest.raises(LockError) as caught:
        read(tmp_path, "# first\n<<<<<<< HEAD\n[metadata]\n=======\n>>>>>>> other\n")
    assert caught.value.code == "merge-conflict"
    assert caught.value.problems[0].place == "poetry.lock:2"


@pytest.mark.parametrize("version", ["3.0", "0.9", "soon"])
def test_an_unknown_format_is_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(LockError) as caught:
        read(tmp_path, poetry_lock(version=version))
    assert caught.value.code == "unsupported-lock-version"


def test_a_file_that_is_no_lock_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LockError) as caught:
        read(tmp_path, 'title = "hello"\n')
    assert caught.value.code == "bad-lock"


def test_a_broken_marker_is_located_when_it_is_needed(tmp_path: Path) -> None:
    lock = read(tmp_path, poetry_lock(poetry_package("web", markers='"python_version is 3"')))
    with pytest.raises(LockError) as caught:
        select_packages(lock, DEBIAN)
    assert caught.value.code == "bad-marker"
    assert caught.value.problems[0].place == "poetry.lock [package.web]"


def test_a_mistake_in_pyproject_is_the_projects(tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as caught:
        read(tmp_path, poetry_lock(), TOOL + 'web = "^^1"\n')
    assert caught.value.code == "bad-requirement"
    assert caught.value.problems[0].place == "pyproject.toml [tool.poetry.dependencies]"
