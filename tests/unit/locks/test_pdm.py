"""pdm.lock: groups, extras, targets, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.locks import (
    DEBIAN,
    chosen,
    chosen_names,
    pdm_lock,
    pdm_package,
    project_at,
    read_text_as,
    selection,
    source_text,
    target_for,
)
from shipwheel.errors import LockError, TargetError, UsageError
from shipwheel.locks.model import Lock
from shipwheel.locks.select import select_packages

PROJECT = """
[project]
name = "app"
version = "1"
requires-python = ">=3.11"
dependencies = ["web[fast]>=1"]
[project.optional-dependencies]
redis = ["redis"]
[dependency-groups]
dev = ["pytest"]
"""


def read(tmp_path: Path, lock: str, pyproject: str = PROJECT) -> Lock:
    return read_text_as("pdm.lock", lock, project_at(tmp_path, pyproject))


def test_groups_and_extras_share_their_names(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        pdm_lock(
            pdm_package("web"),
            pdm_package("redis", groups=["redis"]),
            pdm_package("pytest", groups=["dev"]),
            pdm_package("idna", groups=["default", "dev"]),
            groups=["default", "dev", "redis"],
        ),
    )
    assert chosen_names(lock) == ["idna", "web"]
    assert chosen_names(lock, wanted=selection(groups=["dev"])) == ["idna", "pytest", "web"]
    assert chosen_names(lock, wanted=selection(extras=["redis"])) == ["idna", "redis", "web"]
    assert chosen_names(lock, wanted=selection(groups=["redis"])) == ["idna", "redis", "web"]
    assert chosen_names(lock, wanted=selection(only=["default"])) == ["idna", "web"]


def test_a_group_that_was_not_locked_is_unknown(tmp_path: Path) -> None:
    lock = read(tmp_path, pdm_lock(pdm_package("web")))
    with pytest.raises(UsageError) as caught:
        select_packages(lock, DEBIAN, selection(groups=["dev"]))
    assert caught.value.code == "unknown-group"


def test_an_entry_with_extras_is_the_same_package(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        pdm_lock(
            pdm_package("web", "1.5", needs=["idna<4,>=3"]),
            pdm_package("web", "1.5", extras=["fast"], needs=["uvloop; sys_platform != 'win32'", "web==1.5"]),
            pdm_package("idna", "3.7"),
            pdm_package("uvloop"),
        ),
    )
    assert chosen(lock) == ["idna 3.7", "uvloop 1.0", "web 1.5"]
    idna, uvloop, web = select_packages(lock, DEBIAN)
    assert idna.required_by == ("web",)
    assert uvloop.required_by == ("web",)
    assert web.required_by == ()


def test_markers_choose_among_versions(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        pdm_lock(
            pdm_package("numpy", "1.26", marker='python_version < "3.12"'),
            pdm_package("numpy", "2.0", marker='python_version >= "3.12"'),
        ),
    )
    assert chosen(lock) == ["numpy 2.0"]
    assert chosen(lock, target_for("3.11.1")) == ["numpy 1.26"]


def test_without_inherit_metadata_the_graph_is_walked(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        pdm_lock(
            pdm_package("web", "1.5", groups=None, needs=['colorama; sys_platform == "win32"']),
            pdm_package("web", "1.5", groups=None, extras=["fast"], needs=["uvloop", "web==1.5"]),
            pdm_package("uvloop", groups=None),
            pdm_package("colorama", groups=None),
            pdm_package("pytest", groups=None),
            groups=["default", "dev"],
            strategy=["cross_platform"],
            version="4.4.1",
        ),
    )
    assert chosen_names(lock) == ["uvloop", "web"]
    assert chosen_names(lock, wanted=selection(only=["dev"])) == ["pytest"]


@pytest.mark.parametrize(
    ("target", "fits"),
    [
        ({"requires_python": ">=3.11"}, True),
        ({"requires_python": "==3.13.*", "platform": "linux"}, True),
        ({"requires_python": "*", "platform": "manylinux_2_17_x86_64", "implementation": "cpython"}, True),
        ({"requires_python": "==3.12.*"}, False),
        ({"requires_python": ">=3.11", "platform": "windows_amd64"}, False),
        ({"requires_python": ">=3.11", "platform": "macos_arm64"}, False),
        ({"requires_python": ">=3.11", "platform": "linux_aarch64"}, False),
        ({"requires_python": ">=3.11", "implementation": "pypy"}, False),
    ],
)
def test_the_target_has_to_be_one_of_those_locked_for(
    tmp_path: Path, target: dict[str, str], fits: bool
) -> None:
    lock = read(tmp_path, pdm_lock(pdm_package("web"), targets=[target]))
    if fits:
        assert chosen_names(lock) == ["web"]
        return
    with pytest.raises(TargetError) as caught:
        select_packages(lock, DEBIAN)
    assert caught.value.code == "platform-not-locked"


def test_one_of_several_targets_is_enough(tmp_path: Path) -> None:
    targets = [{"requires_python": ">=3.11", "platform": platform} for platform in ("windows", "linux")]
    assert chosen_names(read(tmp_path, pdm_lock(pdm_package("web"), targets=targets))) == ["web"]


def test_sources_that_are_no_index(tmp_path: Path) -> None:
    commit = "c" * 40
    lock = read(
        tmp_path,
        pdm_lock(
            pdm_package("beside", files=[], more='path = "./libs/beside"\neditable = true'),
            pdm_package(
                "forked",
                files=[],
                more=f'git = "https://git.example/f.git"\nref = "main"\nrevision = "{commit}"',
            ),
            pdm_package("fetched", more='url = "https://files.example/fetched-1.0-py3-none-any.whl"'),
            pdm_package("inner", files=[], more='url = "file:///${PROJECT_ROOT}/libs/inner"'),
        ),
    )
    assert [source_text(one) for one in select_packages(lock, DEBIAN)] == [
        "./libs/beside editable",
        "https://files.example/fetched-1.0-py3-none-any.whl",
        f"https://git.example/f.git {commit}",
        "./libs/inner",
    ]


def test_a_source_that_claims_packages_is_their_index(tmp_path: Path) -> None:
    source = (
        '[[tool.pdm.source]]\nname = "private"\nurl = "https://u:p@mirror.example/simple"\n'
        'include_packages = ["acme-*"]\n'
    )
    lock = read(tmp_path, pdm_lock(pdm_package("acme-core"), pdm_package("web")), PROJECT + source)
    acme, web = select_packages(lock, DEBIAN)
    assert acme.index == "https://mirror.example/simple"
    assert web.index is None


def test_files_may_stand_in_one_table(tmp_path: Path) -> None:
    text = pdm_lock(pdm_package("web", groups=None), strategy=[], version="4.0")
    files = text[text.index("files = [") + len("files = ") :].partition("\n")[0]
    moved = text.replace(f"files = {files}\n", "") + f'[metadata.files]\n"web 1.0" = {files}\n'
    assert chosen_names(read(tmp_path, moved, PROJECT.replace("[fast]", ""))) == ["web"]


@pytest.mark.parametrize("version", ["3.1", "5.0", ""])
def test_an_unknown_format_is_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(LockError) as caught:
        read(tmp_path, pdm_lock(version=version))
    assert caught.value.code == "unsupported-lock-version"


def test_a_broken_dependency_is_located(tmp_path: Path) -> None:
    with pytest.raises(LockError) as caught:
        read(tmp_path, pdm_lock(pdm_package("web", needs=["??"])))
    assert caught.value.problems[0].place == "pdm.lock [package.web]"


def test_a_version_that_leads_nowhere_is_taken_back(tmp_path: Path) -> None:
    # b 2.0 would need another a than the one that is asked for: b 1.0 it is.
    project = project_at(tmp_path, '[project]\nname = "app"\ndependencies = ["a==1.0", "b"]\n')
    text = pdm_lock(
        pdm_package("a", "1.0", groups=None),
        pdm_package("a", "2.0", groups=None),
        pdm_package("b", "1.0", groups=None),
        pdm_package("b", "2.0", groups=None, needs=["a==2.0"]),
        strategy=(),
    )
    assert chosen(read_text_as("pdm.lock", text, project)) == ["a 1.0", "b 1.0"]
