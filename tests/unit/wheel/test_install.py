"""Where a wheel's files go, and what an installer adds."""

import base64
import csv
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from shipwheel.errors import IntegrityError
from shipwheel.testing.wheels import MadeWheel, make_wheel
from shipwheel.wheel.archive import Wheel, open_wheel
from shipwheel.wheel.install import InstalledFile, installed_files, python_sources, read_entry_points

SITE = "lib/python3.13/site-packages"


def opened(made: MadeWheel, folder: Path) -> Wheel:
    return open_wheel(made.write(folder), filename=made.filename, sha256=made.sha256)


def installed(made: MadeWheel, folder: Path, **arguments: Any) -> dict[str, InstalledFile]:
    wheel = opened(made, folder)
    with wheel.open() as reader:
        files = installed_files(wheel, reader, prefix="/app/.venv", python="3.13.5", **arguments)
    assert [file.path for file in files] == sorted({file.path for file in files})
    return {file.path: file for file in files}


def record(files: Mapping[str, InstalledFile], info: str) -> dict[str, tuple[str, str]]:
    content = files[f"{SITE}/{info}/RECORD"].content
    assert content is not None
    rows = list(csv.reader(content.decode().splitlines()))
    assert rows == sorted(rows)
    return {row[0]: (row[1], row[2]) for row in rows}


def test_the_root_goes_to_site_packages_and_each_scheme_to_its_place(tmp_path: Path) -> None:
    made = make_wheel(
        "My.Thing",
        files={"my_thing/__init__.py": ""},
        data={
            "purelib/pure.py": "",
            "platlib/plat.py": "",
            "headers/thing.h": "",
            "scripts/tool": "#!/bin/sh\n",
            "data/share/doc/thing.txt": "",
            "data/etc/thing.toml": "",
        },
    )
    info = f"{SITE}/my_thing-1.0.dist-info"
    assert set(installed(made, tmp_path)) == {
        f"{SITE}/my_thing/__init__.py",
        f"{SITE}/pure.py",
        f"{SITE}/plat.py",
        "include/site/python3.13/my-thing/thing.h",
        "bin/tool",
        "share/doc/thing.txt",
        "etc/thing.toml",
        *(f"{info}/{name}" for name in ("INSTALLER", "METADATA", "RECORD", "WHEEL")),
    }


def test_modes_are_plain_and_do_not_depend_on_the_archive_but_for_the_executable_bit(tmp_path: Path) -> None:
    made = make_wheel(
        "thing",
        files={"thing/run": "", "thing/plain.py": ""},
        data={"scripts/tool": "#!/bin/sh\n"},
        executable=["thing/run"],
    )
    files = installed(made, tmp_path)
    assert files[f"{SITE}/thing/run"].mode == 0o755
    assert files[f"{SITE}/thing/plain.py"].mode == 0o644
    assert files["bin/tool"].mode == 0o755


@pytest.mark.parametrize(
    ("first", "rewritten"),
    [
        ("#!python", True),
        ("#!pythonw", True),
        ("#!python3 -E", True),
        ("#!/usr/bin/env python", False),
        ("import os", False),
    ],
)
def test_scripts_that_ask_for_python_get_the_environments(
    first: str, rewritten: bool, tmp_path: Path
) -> None:
    made = make_wheel("thing", data={"scripts/tool": f"{first}\nprint('hi')\n"})
    files = installed(made, tmp_path)
    content = files["bin/tool"].content
    if not rewritten:
        assert content is None
        return
    assert content == b"#!/app/.venv/bin/python\nprint('hi')\n"
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    listed = record(files, "thing-1.0.dist-info")["../../../bin/tool"]
    assert listed == (f"sha256={digest}", str(len(content)))


def test_entry_points_become_scripts(tmp_path: Path) -> None:
    made = make_wheel(
        "thing", scripts={"thing": "thing.cli:main.run"}, gui_scripts={"thing-gui": "thing:gui"}
    )
    files = installed(made, tmp_path)
    content = files["bin/thing"].content
    assert content is not None
    assert content.startswith(b"#!/app/.venv/bin/python\n")
    assert b"from thing.cli import main\n" in content
    assert b"sys.exit(main.run())" in content
    assert files["bin/thing"].mode == files["bin/thing-gui"].mode == 0o755


def test_extras_of_an_entry_point_are_no_part_of_the_function(tmp_path: Path) -> None:
    wheel = opened(make_wheel("thing", scripts={"thing": "thing:main [fast]"}), tmp_path)
    with wheel.open() as reader:
        (point,) = read_entry_points(wheel, reader)
    assert (point.module, point.attr) == ("thing", "main")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("../../escape", "a:b"),
        ("a/b", "a:b"),
        ("thing", "module.only"),
        ("thing", "a:b; import os"),
        ("thing", ""),
    ],
)
def test_a_command_that_is_no_command_is_refused(name: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="bad-entry-point"):
        installed(make_wheel("thing", scripts={name: value}), tmp_path)


def test_wrappers_that_setuptools_once_made_give_way_to_the_entry_point(tmp_path: Path) -> None:
    made = make_wheel(
        "thing",
        scripts={"thing": "thing:main"},
        data={"scripts/thing": "old\n", "scripts/thing-script.py": "old\n", "scripts/other": "#!/bin/sh\n"},
    )
    files = installed(made, tmp_path)
    assert {path for path in files if path.startswith("bin/")} == {"bin/thing", "bin/other"}
    assert set(record(files, "thing-1.0.dist-info")) >= {"../../../bin/thing", "../../../bin/other"}


def test_record_lists_every_file_once_and_itself_without_a_hash(tmp_path: Path) -> None:
    made = make_wheel(
        "thing", files={"thing/a,b.py": "x\n"}, scripts={"thing": "thing:main"}, broken="missing-file"
    )
    files = installed(made, tmp_path)
    rows = record(files, "thing-1.0.dist-info")
    below = {path.removeprefix(SITE + "/") if path.startswith(SITE) else "../../../" + path for path in files}
    assert set(rows) == below
    assert [path for path, row in rows.items() if row == ("", "")] == ["thing-1.0.dist-info/RECORD"]


def test_bytecode_is_listed_as_pip_lists_it(tmp_path: Path) -> None:
    made = make_wheel("thing", files={"thing/__init__.py": "", "top.py": ""})
    files = installed(
        made, tmp_path, compiled=[f"{SITE}/thing/__init__.py", f"{SITE}/top.py"], cache_tag="cpython-313"
    )
    rows = record(files, "thing-1.0.dist-info")
    assert rows["thing/__pycache__/__init__.cpython-313.pyc"] == ("", "")
    assert rows["__pycache__/top.cpython-313.pyc"] == ("", "")
    assert files[f"{SITE}/__pycache__/top.cpython-313.pyc"].source == f"{SITE}/top.py"


def test_what_comes_from_no_index_says_where_it_is_from(tmp_path: Path) -> None:
    files = installed(
        make_wheel("thing"), tmp_path, direct_url={"url": "https://files.example/x", "dir_info": {}}
    )
    content = files[f"{SITE}/thing-1.0.dist-info/direct_url.json"].content
    assert content == b'{"dir_info": {}, "url": "https://files.example/x"}'
    assert "thing-1.0.dist-info/direct_url.json" in record(files, "thing-1.0.dist-info")


def test_the_installer_is_shipwheel_whatever_the_wheel_says(tmp_path: Path) -> None:
    made = make_wheel("thing", files={"thing-1.0.dist-info/INSTALLER": "conda\n"})
    assert installed(made, tmp_path)[f"{SITE}/thing-1.0.dist-info/INSTALLER"].content == b"shipwheel\n"


@pytest.mark.parametrize("path", ["unknown/x", "x"])
def test_a_data_folder_holds_schemes_and_nothing_else(path: str, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="bad-data-folder"):
        installed(make_wheel("thing", data={path: ""}), tmp_path)


@pytest.mark.parametrize(
    "path", ["data/bin/python", "data/pyvenv.cfg", "scripts/python3", "data/bin/python/x"]
)
def test_a_wheel_cannot_replace_the_environments_own_files(path: str, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="overwrites-environment"):
        installed(make_wheel("thing", data={path: "x"}), tmp_path)


def test_a_scheme_may_replace_a_file_of_the_root(tmp_path: Path) -> None:
    made = make_wheel("thing", files={"thing.py": "root\n"}, data={"purelib/thing.py": "data\n"})
    file = installed(made, tmp_path)[f"{SITE}/thing.py"]
    assert file.member is not None
    assert file.member.path == "thing-1.0.data/purelib/thing.py"


def test_what_is_compiled_ahead_is_what_can_be_imported(tmp_path: Path) -> None:
    made = make_wheel(
        "thing",
        files={"thing/b.py": "", "thing/a.py": "", "thing/data.txt": ""},
        data={"scripts/tool.py": "", "data/share/x.py": "", "purelib/c.py": ""},
    )
    sources = python_sources(opened(made, tmp_path), python="3.13.5")
    assert [path for path, _ in sources] == [f"{SITE}/c.py", f"{SITE}/thing/a.py", f"{SITE}/thing/b.py"]
