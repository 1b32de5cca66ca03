"""Pipfile.lock: categories, sources, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.locks import DEBIAN, chosen, chosen_names, digest, project_at, selection, source_text, target_for
from shipwheel.errors import LockError, TargetError
from shipwheel.locks.model import Lock
from shipwheel.locks.read import read_lock
from shipwheel.locks.select import select_packages

A = f"sha256:{digest('a')}"


def read(tmp_path: Path, requires: dict[str, str] | None = None, **categories: dict[str, Any]) -> Lock:
    sources = [{"name": "main", "url": "https://u:p@index.example/simple", "verify_ssl": True}]
    meta = {"hash": {"sha256": "0"}, "pipfile-spec": 6, "requires": requires or {}, "sources": sources}
    path = tmp_path / "Pipfile.lock"
    path.write_text(json.dumps({"_meta": meta, **categories}))
    return read_lock(path, "pipenv", project_at(tmp_path))


def pinned(version: str = "1.0", **more: object) -> dict[str, object]:
    return {"version": f"=={version}", "hashes": [A], "index": "main", **more}


def test_categories_are_groups(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        default={"web": pinned(), "Idna": pinned("3.7")},
        develop={"pytest": pinned(), "idna": pinned("3.7")},
        docs={"sphinx": pinned()},
    )
    assert chosen(lock) == ["idna 3.7", "web 1.0"]
    assert chosen_names(lock, wanted=selection(groups=["dev"])) == ["idna", "pytest", "web"]
    assert chosen_names(lock, wanted=selection(only=["develop"])) == ["idna", "pytest"]
    assert chosen_names(lock, wanted=selection(only=["docs"])) == ["sphinx"]
    web = select_packages(lock, DEBIAN)[1]
    assert (web.index, web.place) == ("https://index.example/simple", "Pipfile.lock [default.web]")
    assert source_text(web) == A


def test_markers_and_the_required_python(tmp_path: Path) -> None:
    lock = read(
        tmp_path, {"python_version": "3.13"}, default={"colorama": pinned(markers="sys_platform == 'win32'")}
    )
    assert chosen(lock) == []
    with pytest.raises(TargetError):
        select_packages(lock, target_for("3.12.1"))


def test_sources_that_are_no_index(tmp_path: Path) -> None:
    lock = read(
        tmp_path,
        default={
            "beside": {"editable": True, "path": "./libs/beside"},
            "fetched": {"file": "https://files.example/fetched.zip", "hashes": [A]},
            "forked": {"git": "https://git.example/f.git", "ref": "f" * 40},
        },
    )
    assert [source_text(one) for one in select_packages(lock, DEBIAN)] == [
        "./libs/beside editable",
        "https://files.example/fetched.zip",
        f"https://git.example/f.git {'f' * 40}",
    ]


def test_what_is_not_pinned_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LockError) as caught:
        read(tmp_path, default={"web": {"version": "*", "hashes": ["sha256:short"]}})
    assert {problem.place for problem in caught.value.problems} == {"Pipfile.lock [default.web]"}


def test_invalid_json_is_located_by_line(tmp_path: Path) -> None:
    (tmp_path / "Pipfile.lock").write_text('{\n  "_meta": {},\n  oops\n}')
    with pytest.raises(LockError) as caught:
        read_lock(tmp_path / "Pipfile.lock", "pipenv", project_at(tmp_path))
    assert caught.value.problems[0].place == "Pipfile.lock:3"
