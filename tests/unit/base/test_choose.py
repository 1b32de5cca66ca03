"""Which base a project gets."""

from pathlib import Path

import pytest

from shipwheel.base.choose import BaseChoice, check_python, choose_base, matches_lock
from shipwheel.base.model import DebianArchive, DebianBase, ImageBase
from shipwheel.errors import ProjectError
from shipwheel.project.model import Project, PythonRequirement
from shipwheel.project.settings import read_settings

BOOKWORM_LIKE = ">=3.10,<3.13"


def project(requires: str = "", **base: str) -> Project:
    table: dict[str, object] = {"base": base}
    if "python" in base:
        table = {"python": base.pop("python"), "base": base}
    settings, problems = read_settings(table, file="pyproject.toml")
    assert problems == []
    python = PythonRequirement(text=requires, place="pyproject.toml [project] requires-python")
    return Project(root=Path("/p"), data={}, name=None, version=None, python=python, settings=settings)


def chosen(requires: str = "", *, mirror_known: bool = True, **base: str) -> str:
    choice = choose_base(project(requires, **base), mirror_known=mirror_known)
    return f"{choice.kind} {choice.name}"


@pytest.mark.parametrize(
    ("requires", "base"),
    [
        ("", "debian trixie"),
        (">=3.11", "debian trixie"),
        (">=3.11,<3.13", "debian bookworm"),
        ("~=3.11.0", "debian bookworm"),
        ("==3.12.*", "registry python:3.12-slim"),
        (">=3.9,<3.11", "registry python:3.10-slim"),
        (">=3.14", "registry python:3.14-slim"),
    ],
)
def test_debian_is_taken_where_it_has_a_python_that_is_admitted(requires: str, base: str) -> None:
    assert chosen(requires) == base


def test_without_a_mirror_the_official_image_is_the_base() -> None:
    assert chosen(">=3.11", mirror_known=False) == "registry python:3.13-slim"
    assert chosen(">=3.11,<3.13", mirror_known=False) == "registry python:3.12-slim"


def test_what_is_configured_wins() -> None:
    assert chosen(image="registry.example/python:3.12") == "registry registry.example/python:3.12"
    assert chosen(layout="base") == "layout base"
    assert chosen(suite="bookworm") == "debian bookworm"
    assert chosen(python="3.11") == "debian bookworm"
    assert chosen(python="3.12.4") == "registry python:3.12.4-slim"


def test_two_bases_are_refused() -> None:
    with pytest.raises(ProjectError) as caught:
        chosen(suite="trixie", layout="base")

    assert caught.value.code == "two-bases"


def test_an_unknown_suite_and_a_python_that_nobody_has_are_refused() -> None:
    with pytest.raises(ProjectError, match="unknown-suite"):
        chosen(suite="sid")
    with pytest.raises(ProjectError, match="no-base-for-python"):
        chosen("<3.8")


def test_the_locked_python_is_checked_to_the_patch() -> None:
    check_python(project(">=3.13.2"), "3.13.5", place="shipwheel.lock")
    with pytest.raises(ProjectError, match="python-not-admitted"):
        check_python(project(">=3.13.6"), "3.13.5", place="shipwheel.lock")
    with pytest.raises(ProjectError, match="python-not-admitted"):
        check_python(project(python="3.13.4"), "3.13.5", place="shipwheel.lock")
    check_python(project(python="3.13"), "3.13.5", place="shipwheel.lock")


def test_a_lock_fits_the_choice_with_the_same_suite_and_packages_alone() -> None:
    archive = DebianArchive(name="trixie", inrelease="sha256:00", date="2026-09-12T00:00:00Z")
    locked = DebianBase(
        suite="trixie", recipe="debian/1", archives=(archive,), platforms=(), requested=("libpq5",)
    )
    trixie = BaseChoice(kind="debian", name="trixie", source="default")

    assert matches_lock(trixie, locked, ("libpq5",))
    assert not matches_lock(trixie, locked, ())
    assert not matches_lock(BaseChoice(kind="debian", name="bookworm", source="default"), locked, ("libpq5",))
    image = ImageBase(kind="registry", reference="python:3.13-slim", digest="sha256:00", platforms=())
    assert matches_lock(BaseChoice(kind="registry", name="python:3.13-slim", source="default"), image, ())
    assert not matches_lock(trixie, image, ())


def test_an_official_image_says_why_nothing_of_debian_serves() -> None:
    debian = choose_base(project(">=3.11"), mirror_known=True)
    python = choose_base(project("==3.12.*"), mirror_known=True)
    mirror = choose_base(project(">=3.11"), mirror_known=False)

    assert debian.because is None
    assert python.because == "Debian brings Python 3.13 and 3.11, and the project asks for ==3.12.*"
    assert mirror.because == "no Debian mirror is known here"
