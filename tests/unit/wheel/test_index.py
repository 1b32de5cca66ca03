"""Project pages in both forms are read for what fetching needs, and odd ones are refused in plain words."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from shipwheel.errors import NetworkError
from shipwheel.wheel.index import Answer, IndexFile, Pages, matching, of_version, parse_page
from shipwheel.wheel.indexes import Index

JSON = "application/vnd.pypi.simple.v1+json"
URL = "https://index.example/simple/a/"


def html(body: str, content_type: str = "text/html") -> tuple[IndexFile, ...]:
    return parse_page(Answer(url=URL, content_type=content_type, body=body.encode()))


def json_page(*files: dict[str, Any], version: str = "1.1") -> tuple[IndexFile, ...]:
    page = {"meta": {"api-version": version}, "name": "a", "files": list(files)}
    return parse_page(Answer(url=URL, content_type=JSON, body=json.dumps(page).encode()))


def test_an_html_link_gives_all_it_says() -> None:
    (file,) = html(
        '<a href="../../f/a-1.0%2Bcpu-py3-none-any.whl#sha512=ABC" data-requires-python="&gt;=3.8"'
        ' data-yanked="it &amp; that">anything</a>'
    )
    assert file == IndexFile(
        filename="a-1.0+cpu-py3-none-any.whl",
        url="https://index.example/f/a-1.0%2Bcpu-py3-none-any.whl",
        hashes={"sha512": "abc"},
        yanked="it & that",
        requires_python=">=3.8",
    )


def test_a_json_file_gives_all_it_says() -> None:
    (file,) = json_page(
        {
            "filename": "a-1.0-py3-none-any.whl",
            "url": "../../f/a-1.0-py3-none-any.whl#sha256=x",
            "hashes": {"sha256": "ABC", "blake2b": "d"},
            "size": 12,
            "yanked": True,
            "requires-python": ">=3.8",
            "core-metadata": {"sha256": "y"},
        }
    )
    assert file == IndexFile(
        filename="a-1.0-py3-none-any.whl",
        url="https://index.example/f/a-1.0-py3-none-any.whl",
        hashes={"sha256": "abc", "blake2b": "d"},
        size=12,
        yanked="",
        requires_python=">=3.8",
    )


@pytest.mark.parametrize(("yanked", "expected"), [(False, None), (True, ""), ("why", "why")])
def test_yanked_has_three_forms(yanked: bool | str, expected: str | None) -> None:
    (file,) = json_page({"filename": "a-1.zip", "url": "a-1.zip", "hashes": {}, "yanked": yanked})
    assert file.yanked == expected


def test_a_base_element_counts_and_links_to_no_distribution_do_not() -> None:
    files = html(
        '<base href="https://files.example/x/"><a href="a-1.tar.gz">.</a>'
        '<a href="../">up</a><a href="a-1.tar.gz.asc">sig</a><a name="no-link">.</a>'
    )
    assert [file.url for file in files] == ["https://files.example/x/a-1.tar.gz"]


def test_a_newer_minor_version_is_read_and_a_newer_major_one_refused() -> None:
    file = {"filename": "a-1.zip", "url": "a-1.zip", "hashes": {}}
    assert json_page(file, version="1.99")
    meta = '<meta name="pypi:repository-version" content="{}"><a href="a-1.zip">.</a>'
    assert html(meta.format("1.99"))
    with pytest.raises(NetworkError, match=r"bad-index-page.*version is 2\.0"):
        json_page(file, version="2.0")
    with pytest.raises(NetworkError, match=r"bad-index-page.*version is 2\.0"):
        html(meta.format("2.0"))


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, b"{"),
        (JSON, b"[]"),
        (JSON, b'{"meta": {"api-version": "1.0"}, "files": [{"filename": 1}]}'),
        (JSON, b'{"meta": {"api-version": "1.0"}, "files": {}}'),
        (JSON, b"\xff\xfe"),
        ("text/html", b"\x00<![\x00"),
        ("image/png", b"\x89PNG"),
        ("application/json", b"{}"),
    ],
)
def test_what_is_no_page_is_refused_with_its_address(content_type: str, body: bytes) -> None:
    url = "https://me:s3cret@index.example/simple/a/?token=s3cret"
    with pytest.raises(NetworkError) as caught:
        parse_page(Answer(url=url, content_type=content_type, body=body))
    assert caught.value.code == "bad-index-page"
    assert "https://index.example/simple/a/" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@given(st.binary(max_size=300), st.sampled_from([JSON, "text/html", "text/html; charset=latin-1", ""]))
def test_any_bytes_are_a_page_or_a_plain_refusal(body: bytes, content_type: str) -> None:
    try:
        files = parse_page(Answer(url=URL, content_type=content_type, body=body))
    except NetworkError as error:
        assert error.code == "bad-index-page"
    else:
        assert all(file.filename for file in files)


def test_names_are_compared_as_projects_are() -> None:
    files = [
        IndexFile(filename=name, url=name) for name in ("My.Name-1.0-py3-none-any.whl", "my_name-1.0.tar.gz")
    ]
    assert matching(files, "my_name-1.0-py3-none-any.whl") == files[:1]
    assert matching(files, "My_Name-1.0.tar.gz") == files[1:]
    assert of_version(files, Version("1")) == files
    assert of_version(files, Version("2")) == []


class Source:
    """Counts what it is asked for."""

    def __init__(self, *, down: bool = False) -> None:
        self.asked: list[str] = []
        self.down = down

    def page(self, url: str, *, accept: str, via: str) -> Answer | None:
        self.asked.append(url)
        if self.down:
            raise NetworkError("unreachable", "nobody answers")
        if "none" in url:
            return None
        return Answer(
            url=url, content_type="text/html", body=b'<a href="a-1.zip">.</a><a href="a-b-1.zip">.</a>'
        )


def test_a_page_is_asked_for_once_by_all_threads() -> None:
    source = Source()
    pages, index = Pages(source), Index(url="https://index.example/simple/")
    threads = [
        threading.Thread(target=pages.files, args=(index, name)) for name in ("A_B", "a.b", "none") * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(source.asked) == [f"{index.url}a-b/", f"{index.url}none/"]


def test_an_index_that_does_not_answer_is_not_asked_for_the_next_package() -> None:
    source = Source(down=True)
    pages = Pages(source)
    for name in ("a", "b"):
        with pytest.raises(NetworkError, match="unreachable"):
            pages.files(Index(url="https://index.example/simple/"), name)
    assert len(source.asked) == 1


def test_a_find_links_page_is_for_all_projects() -> None:
    source = Source()
    pages, index = Pages(source), Index(url="https://files.example/", kind="find-links")
    assert [file.filename for file in pages.files(index, "a.b") or ()] == ["a-b-1.zip"]
    assert pages.files(index, "c") is None
    assert source.asked == ["https://files.example/"]


def test_a_folder_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    for kind in ("simple", "find-links"):
        index = Index(url=(tmp_path / "none").as_uri() + "/", kind=kind)
        assert Pages(Source()).files(index, "a") is None


# msgspec crashes when two threads decode a type for the first time at once; each copy of the module is a first time.
FIRST_PAGES = """
import importlib.util, sys, threading
sys.setswitchinterval(1e-6)
for number in range(60):
    spec = importlib.util.find_spec("shipwheel.wheel.pep691")
    spec.name = spec.loader.name = f"copy{number}"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    body = b'{"meta": {"api-version": "1.0"}, "files": [{"filename": "a", "url": "u", "hashes": {"x": "y"}}]}'
    barrier = threading.Barrier(8)
    def decode():
        barrier.wait()
        module.decode_page(body)
    threads = [threading.Thread(target=decode) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_the_first_pages_may_be_read_by_several_threads_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_PAGES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
