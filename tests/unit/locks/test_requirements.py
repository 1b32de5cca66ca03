"""requirements.txt with hashes: pip's format, what is a lock and what is a wish list."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.locks import ALPINE, DEBIAN, chosen, chosen_names, digest, project_at, selection, source_text
from shipwheel.errors import LockError, UsageError
from shipwheel.locks.model import Lock
from shipwheel.locks.read import read_lock
from shipwheel.locks.select import select_packages

A, B = f"sha256:{digest('a')}", f"sha256:{digest('b')}"


def read(tmp_path: Path, text: str, **others: str) -> Lock:
    project = project_at(tmp_path)
    for name, content in others.items():
        (tmp_path / f"{name}.txt").write_text(content)
    path = tmp_path / "requirements.txt"
    path.write_text(text)
    return read_lock(path, "requirements", project)


def test_hashes_go_on_over_continuation_lines_and_comments_do_not_count(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        f"""# head
web==1.0 \\
    --hash={A} \\
    --hash={B}
    # via
    #   -r requirements.in
    #   framework
framework==2 --hash {A}  # via -r requirements.in
idna==3.7 ; python_version >= "3.8" \\
    --hash={A}
    # via web, framework
""",
    )
    framework, idna, web = select_packages(lock, DEBIAN)
    assert source_text(web) == " ".join(sorted([A, B]))
    assert web.place == "requirements.txt:2"
    assert web.required_by == ("framework",)
    assert framework.required_by == ()
    assert idna.required_by == ("framework", "web")


def test_markers_are_evaluated_for_the_target(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        f'numpy==1.26 ; python_version < "3.12" --hash={A}\n'
        f'numpy==2.0 ; python_version >= "3.12" --hash={B}\n'
        f'colorama==1.0 ; sys_platform == "win32" --hash={A}\n',
    )
    assert chosen(lock, ALPINE) == ["numpy 2.0"]


def test_included_files_belong_and_constraints_only_pin_and_hash(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        "-r more.txt\n-c pins.txt\nweb==1.0\n",
        more=f"idna==3.7 --hash={A}\n",
        pins=f"web==1.0 --hash={B}\nunused==9 --hash={A}\n",
    )
    assert chosen(lock) == ["idna 3.7", "web 1.0"]
    idna, web = select_packages(lock, DEBIAN)
    assert idna.place == "more.txt:1"
    assert source_text(web) == B


def test_files_that_include_each_other_end(tmp_path: Path) -> None:
    assert chosen(read(tmp_path, "-r more.txt\n", more=f"-r requirements.txt\nweb==1 --hash={A}\n")) == [
        "web 1"
    ]


def test_a_file_without_hashes_is_a_wish_list(tmp_path: Path) -> None:
    with pytest.raises(LockError, match="it is a wish list and not a lock") as caught:
        read(tmp_path, "\nweb==1.0\nidna\n")
    assert caught.value.code == "not-a-lock"
    assert caught.value.problems[0].place == "requirements.txt:2"


def test_every_open_end_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    text = f"web==1.0 --hash={A}\nidna>=3 --hash={A}\nh11==0.14\nx==1.* --hash={A}\ny==1 --hash=md5:0\n???\n--warp\n-r gone.txt\n"
    with pytest.raises(LockError) as caught:
        read(tmp_path, text)
    assert sorted((problem.place or "", problem.code) for problem in caught.value.problems) == [
        ("requirements.txt:2", "not-locked"),
        ("requirements.txt:3", "no-hash"),
        ("requirements.txt:4", "not-locked"),
        ("requirements.txt:5", "bad-hash"),
        ("requirements.txt:6", "bad-lock"),
        ("requirements.txt:7", "bad-lock"),
        ("requirements.txt:8", "bad-lock"),
    ]


def test_addresses_and_folders(tmp_path: Path) -> None:
    commit = "d" * 40
    (tmp_path / "libs" / "beside").mkdir(parents=True)
    (tmp_path / "libs" / "beside" / "pyproject.toml").write_text('[project]\nname = "Be.side"\n')
    lock = read(
        tmp_path,
        f"-e .\n-e ./libs/beside\nfetched @ https://files.example/fetched-1.0.tar.gz --hash={A}\n"
        f"https://files.example/other-2.0-py3-none-any.whl#sha256={digest('b')}\n"
        f"forked @ git+https://git.example/f.git@{commit}#subdirectory=py\n"
        f"./vendor/local-1.0-py3-none-any.whl --hash={A}\n",
    )
    found = {one.name: source_text(one) for one in select_packages(lock, DEBIAN)}
    assert found == {
        "be-side": "libs/beside editable",
        "fetched": "https://files.example/fetched-1.0.tar.gz",
        "forked": f"https://git.example/f.git {commit} py",
        "local": "vendor/local-1.0-py3-none-any.whl",
        "other": "https://files.example/other-2.0-py3-none-any.whl",
    }


def test_a_branch_is_not_locked(tmp_path: Path) -> None:
    with pytest.raises(LockError) as caught:
        read(tmp_path, f"web==1 --hash={A}\nforked @ git+https://u:secret@git.example/f.git@main\n")
    assert [problem.code for problem in caught.value.problems] == ["not-locked"]
    assert "secret" not in str(caught.value)


def test_the_only_index_is_the_packages_index_without_credentials(tmp_path: Path) -> None:
    lock = read(tmp_path, f"--index-url https://u:p@index.example/simple\nweb==1 --hash={A}\n")
    assert select_packages(lock, DEBIAN)[0].index == "https://index.example/simple"
    more = read(
        tmp_path,
        f"-i https://index.example/simple\n--extra-index-url=https://mirror.example/\nweb==1 --hash={A}\n",
    )
    assert select_packages(more, DEBIAN)[0].index is None
    assert dict(more.info.sources) == {
        "index-url": "https://index.example/simple",
        "extra-index-url-1": "https://mirror.example/",
    }


def test_a_requirement_given_twice_joins_its_hashes_and_another_version_is_refused(tmp_path: Path) -> None:
    assert source_text(
        select_packages(read(tmp_path, f"web==1 --hash={A}\nweb==1 --hash={B}\n"), DEBIAN)[0]
    ) == (" ".join(sorted([A, B])))
    with pytest.raises(LockError) as caught:
        select_packages(read(tmp_path, f"web==1 --hash={A}\nweb==2 --hash={B}\n"), DEBIAN)
    assert caught.value.code == "ambiguous-lock"


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    assert chosen_names(read(tmp_path, f"\ufeffweb==1 --hash={A}\n")) == ["web"]


def test_there_are_no_groups(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no group at all"):
        select_packages(read(tmp_path, f"web==1 --hash={A}\n"), DEBIAN, selection(groups=["dev"]))


def test_options_of_building_do_not_change_what_is_locked(tmp_path: Path) -> None:
    text = f'--require-hashes\n--no-binary :all:\nweb==1 --config-settings="--x=y" --hash={A}\n'
    assert chosen_names(read(tmp_path, text)) == ["web"]


def test_the_projects_own_folder_may_be_written_as_a_variable(tmp_path: Path) -> None:
    project = project_at(tmp_path)
    project_at(tmp_path / "libs/beside", '[project]\nname = "Beside"\n')
    path = tmp_path / "requirements.txt"
    # As Windows saves it, with a byte order mark.
    path.write_bytes(
        b"\xef\xbb\xbf-e file:///${PROJECT_ROOT}/libs/beside\r\nother @ file:///${PWD}/libs/other\r\n"
        + f"a==1.0 \\\r\n    --hash=sha256:{digest('a')}\r\n".encode()
    )
    found = [
        (one.name, source_text(one))
        for one in select_packages(read_lock(path, "requirements", project), DEBIAN)
    ]
    assert found[1:] == [("beside", "libs/beside editable"), ("other", "libs/other")]
    path.write_text("x @ https://${HOST}/x-1.0.whl --hash=sha256:" + digest("x") + "\n")
    with pytest.raises(LockError, match="depends on the variable"):
        read_lock(path, "requirements", project)
    path.write_text("x @ https://${WHO}:${PW}@files.example/x-1.0.whl --hash=sha256:" + digest("x") + "\n")
    (package,) = read_lock(path, "requirements", project).packages
    assert "files.example" in str(package.direct)
    assert "PW" not in str(package.direct)
