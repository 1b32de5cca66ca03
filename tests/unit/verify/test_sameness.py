"""Development and production are compared by the lock where there is no image for development."""

from pathlib import Path

from helpers.locks import digest, project_at, read_text_as
from helpers.zoo import check, clean_image
from shipwheel.locks.model import Lock
from shipwheel.verify.model import Report

HEAD = 'lock-version = "1.0"\ncreated-by = "test"\ndependency-groups = ["dev"]\n'


def package(name: str, version: str, marker: str = "") -> str:
    wheel = f"{name}-{version}-py3-none-any.whl"
    lines = [
        "[[packages]]",
        f'name = "{name}"',
        f'version = "{version}"',
        *([f'marker = "{marker}"'] if marker else []),
        f'wheels = [{{ name = "{wheel}", url = "https://files.example/{wheel}", hashes = {{ sha256 = "{digest(wheel)}" }} }}]',
    ]
    return "\n".join([*lines, ""])


def lock_of(tmp_path: Path, *packages: str) -> Lock:
    return read_text_as("pylock.toml", "\n".join([HEAD, *packages]), project_at(tmp_path / "app"))


def report(lock: Lock) -> Report:
    return check(clean_image(), lock=lock, only=frozenset({"dev-differs"}))


def test_a_lock_that_chooses_other_versions_for_development_is_told(tmp_path: Path) -> None:
    lock = lock_of(
        tmp_path,
        package("shared", "1.0", "'dev' not in dependency_groups"),
        package("shared", "2.0", "'dev' in dependency_groups"),
        package("same", "1.0"),
    )
    (finding,) = report(lock).findings
    assert [(place.package, place.detail) for place in finding.places] == [
        ("shared 1.0", "in development 2.0")
    ]


def test_a_lock_that_adds_to_production_keeps_the_rule(tmp_path: Path) -> None:
    lock = lock_of(tmp_path, package("same", "1.0"), package("tool", "1.0", "'dev' in dependency_groups"))
    told = report(lock)
    assert told.findings == ()
    assert [rule.code for rule in told.passed] == ["dev-differs"]


def test_a_lock_that_has_nothing_for_the_images_python_is_not_checked(tmp_path: Path) -> None:
    lock = lock_of(tmp_path, 'requires-python = ">=3.14"', package("same", "1.0"))
    (item,) = report(lock).not_checked
    assert "3.13" in item.reason
