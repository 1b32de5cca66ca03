"""What a lock names as a folder is a package, whatever its files say."""

from pathlib import Path

from shipwheel.wheel.build import BackEnd
from shipwheel.wheel.source import read_member


def test_a_folder_with_setup_py_alone_is_built_by_setuptools(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("from setuptools import setup\nsetup()\n")

    member = read_member(tmp_path, "Old_One")

    assert (member.name, member.package_mode) == ("old-one", True)
    assert BackEnd.of(member.data).name == "setuptools.build_meta:__legacy__"


def test_a_project_table_without_build_system_is_a_package_where_a_lock_installs_it(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "plain"\nversion = "1"\n')

    assert read_member(tmp_path, "plain").package_mode
