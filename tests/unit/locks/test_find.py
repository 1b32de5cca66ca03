"""Which lock a project has, and what is said when it has none or several."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipwheel.errors import LockError
from shipwheel.locks.find import find_lock

HASHED = "web==1.0 --hash=sha256:0\n"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("poetry.lock", "poetry"),
        ("uv.lock", "uv"),
        ("pdm.lock", "pdm"),
        ("pylock.toml", "pylock"),
        ("pylock.prod.toml", "pylock"),
        ("Pipfile.lock", "pipenv"),
        ("requirements.txt", "requirements"),
        ("requirements-prod.txt", "requirements"),
    ],
)
def test_a_lock_is_known_by_its_name(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_text(HASHED)
    assert find_lock(tmp_path) == (kind, tmp_path / name)


def test_requirements_without_hashes_are_no_lock(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("web>=1\n")
    (tmp_path / "poetry.lock").touch()
    assert find_lock(tmp_path) == ("poetry", tmp_path / "poetry.lock")


def test_requirements_txt_comes_before_its_siblings(tmp_path: Path) -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        (tmp_path / name).write_text(HASHED)
    assert find_lock(tmp_path)[1].name == "requirements.txt"


def test_several_locks_are_an_error_that_names_them_and_the_setting(tmp_path: Path) -> None:
    (tmp_path / "poetry.lock").touch()
    (tmp_path / "uv.lock").touch()
    with pytest.raises(LockError, match=r"poetry\.lock, uv\.lock") as caught:
        find_lock(tmp_path)
    assert caught.value.code == "several-locks"
    assert caught.value.problems[0].hint == 'choose in pyproject.toml: [tool.shipwheel] lock = "poetry.lock"'


def test_the_setting_decides_and_may_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "poetry.lock").touch()
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "main.txt").write_text(HASHED)
    assert find_lock(tmp_path, "requirements/main.txt") == (
        "requirements",
        tmp_path / "requirements" / "main.txt",
    )
    with pytest.raises(LockError) as caught:
        find_lock(tmp_path, "uv.lock")
    assert caught.value.code == "no-lock"
    with pytest.raises(LockError) as caught:
        (tmp_path / "some.yaml").touch()
        find_lock(tmp_path, "some.yaml")
    assert caught.value.code == "unknown-lock"


@pytest.mark.parametrize(
    ("pyproject", "beside", "command"),
    [
        ("[tool.poetry]\n", "", "poetry lock"),
        ('[build-system]\nbuild-backend = "poetry.core.masonry.api"\n', "", "poetry lock"),
        ("[tool.pdm]\n", "", "pdm lock"),
        ('[build-system]\nbuild-backend = "pdm.backend"\n', "", "pdm lock"),
        ("[tool.uv]\n", "", "uv lock"),
        ('[project]\nname = "x"\n', "", "uv lock"),
        ("", "Pipfile", "pipenv lock"),
        ("", "requirements.in", "pip-compile --generate-hashes requirements.in"),
        ("not toml", "requirements.in", "pip-compile --generate-hashes requirements.in"),
        ("[tool.pip-tools]\n", "", "pip-compile --generate-hashes pyproject.toml"),
    ],
)
def test_without_a_lock_the_command_that_writes_one_is_told(
    tmp_path: Path, pyproject: str, beside: str, command: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(pyproject)
    if beside:
        (tmp_path / beside).touch()
    with pytest.raises(LockError) as caught:
        find_lock(tmp_path)
    assert caught.value.code == "no-lock"
    assert caught.value.problems[0].hint == f"`{command}` writes one"


@pytest.mark.parametrize(
    ("members", "exclude", "member", "found"),
    [
        ('["packages/*"]', "[]", "packages/a", True),
        ('["packages/a"]', "[]", "packages/a", True),
        ('["./packages/a/"]', "[]", "packages/a", True),
        ('["packages/*"]', "[]", "packages/deep/a", False),
        ('["packages/**"]', "[]", "packages/deep/a", True),
        ('["packages/*"]', '["packages/a"]', "packages/a", False),
        ('["other/*"]', "[]", "packages/a", False),
    ],
)
def test_a_member_is_served_by_its_workspaces_lock(
    tmp_path: Path, members: str, exclude: str, member: str, found: bool
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        f"[tool.uv.workspace]\nmembers = {members}\nexclude = {exclude}\n"
    )
    (tmp_path / "uv.lock").touch()
    project = tmp_path / member
    project.mkdir(parents=True)
    (project / "pyproject.toml").write_text('[project]\nname = "a"\n')
    if found:
        assert find_lock(project) == ("uv", tmp_path / "uv.lock")
    else:
        with pytest.raises(LockError):
            find_lock(project)
