"""The edits that `check --measure` makes in a copy: they are what people do by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from shipwheel.locks.model import LockKind
from shipwheel.trial.change import (
    Locked,
    Release,
    bump_version,
    code_files,
    locked_releases,
    other_release,
    replace_release,
)
from shipwheel.wheel.index import IndexFile

POETRY = """\
[[package]]
name = "Idna"
version = "3.11"
files = [
    {file = "idna-3.11-py3-none-any.whl", hash = "sha256:aa"},
    {file = "idna-3.11.tar.gz", hash = "sha256:bb"},
]

[[package]]
name = "numpy"
version = "2.4.0"
files = [
    {file = "numpy-2.4.0-cp313-cp313-manylinux_2_28_x86_64.whl", hash = "sha256:cc"},
]

[metadata]
lock-version = "2.1"
"""
UV = """\
version = 1

[[package]]
name = "idna"
version = "3.11"
source = { registry = "https://index.example/simple" }
sdist = { url = "https://files.example/idna-3.11.tar.gz", hash = "sha256:bb", size = 1 }
wheels = [
    { url = "https://files.example/idna-3.11-py3-none-any.whl", hash = "sha256:aa", size = 2 },
]
"""
REQUIREMENTS = """\
idna==3.11 ; python_version >= "3.8" \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via requests
requests==2.32.0 \\
    --hash=sha256:cc
"""
IDNA = Locked(name=canonicalize_name("idna"), version=Version("3.11"))
OLDER = Release(
    version=Version("3.10"),
    filename="idna-3.10-py3-none-any.whl",
    url="https://files.example/idna-3.10-py3-none-any.whl",
    sha256="dd",
    size=3,
)


@pytest.mark.parametrize(("kind", "text"), [("poetry", POETRY), ("uv", UV)])
def test_only_wheels_for_every_platform_are_exchanged(kind: LockKind, text: str) -> None:
    assert locked_releases(kind, text) == [IDNA]


def test_pins_of_a_requirements_file_are_read() -> None:
    assert [str(item.name) for item in locked_releases("requirements", REQUIREMENTS)] == ["idna", "requests"]


def test_poetry_lock_gets_the_other_wheel_alone() -> None:
    edited = replace_release("poetry", POETRY, IDNA, OLDER)
    assert edited is not None
    assert (
        'version = "3.10"\nfiles = [\n    {file = "idna-3.10-py3-none-any.whl", hash = "sha256:dd"},\n]'
        in edited
    )
    assert "3.11" not in edited
    assert 'version = "2.4.0"' in edited
    assert edited.endswith('[metadata]\nlock-version = "2.1"\n')


def test_uv_lock_gets_the_other_wheel_with_address_and_size() -> None:
    assert replace_release("uv", UV, IDNA, OLDER) == (
        "version = 1\n\n"
        '[[package]]\nname = "idna"\nversion = "3.10"\n'
        'source = { registry = "https://index.example/simple" }\nwheels = [\n'
        '    { url = "https://files.example/idna-3.10-py3-none-any.whl", hash = "sha256:dd", size = 3 },\n]\n'
    )


def test_requirements_keep_their_marker_and_get_the_other_hash() -> None:
    edited = replace_release("requirements", REQUIREMENTS, IDNA, OLDER)
    assert edited is not None
    assert edited.startswith('idna==3.10 ; python_version >= "3.8"  \\\n    --hash=sha256:dd\n    # via')
    assert "requests==2.32.0" in edited


def test_a_lock_of_another_kind_is_left_alone() -> None:
    assert replace_release("pipenv", "{}", IDNA, OLDER) is None
    assert replace_release("poetry", POETRY.replace("Idna", "other"), IDNA, OLDER) is None


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ('[project]\nname = "a"\nversion = "1.2"\n', '[project]\nname = "a"\nversion = "1.2.post7"\n'),
        ('[tool.poetry]\nversion = "1.2.dev1"\n[tool.x]\nversion = "9"\n', '[tool.poetry]\nversion = "1.2.post7"\n[tool.x]\nversion = "9"\n'),
        ('[tool.x]\nversion = "9"\n[project]\nname = "a"\n', None),
        ('[project]\nversion = "not a version"\n', None),
    ],
)  # fmt: skip
def test_the_projects_version_is_bumped_and_no_other(text: str, new: str | None) -> None:
    bumped = bump_version(text, 7)
    assert (None if bumped is None else bumped[0]) == new


def file(name: str, **more: Any) -> IndexFile:
    return IndexFile(filename=name, url=f"https://files.example/{name}", hashes={"sha256": name}, **more)


def test_the_release_before_is_taken_when_it_can_be_installed() -> None:
    files = [
        file("idna-3.9-py3-none-any.whl"),
        file("idna-3.10-py3-none-any.whl"),
        file("idna-3.10.1-py3-none-any.whl", yanked="broken"),
        file("idna-3.10.2-py3-none-any.whl", requires_python=">=3.14"),
        file("idna-3.10.3-cp313-cp313-win32.whl"),
        file("idna-3.11rc1-py3-none-any.whl"),
        file("idna-3.12-py3-none-any.whl"),
        file("idna-3.10.4.tar.gz"),
    ]
    found = other_release(IDNA, files, "3.13")
    assert found is not None
    assert found.version == Version("3.10")
    newer = other_release(IDNA, files[-2:], "3.13")
    assert newer is not None
    assert newer.version == Version("3.12")
    assert other_release(IDNA, files[2:5], "3.13") is None


def test_code_is_found_before_tests_and_tools(tmp_path: Path) -> None:
    for name in ("src/app/__init__.py", "src/app/main.py", "tests/test_app.py", "setup.py", ".venv/x.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert [path.name for path in code_files(tmp_path)] == ["main.py", "__init__.py"]
