"""The fake index speaks both formats and fails on demand, seen through a client that is not ours."""

from __future__ import annotations

import urllib3

from shipwheel.testing.index import HTML_TYPE, JSON_TYPE, FakeIndex
from shipwheel.testing.wheels import make_wheel


def get(address: str, **headers: str) -> urllib3.BaseHTTPResponse:
    with urllib3.PoolManager(retries=False) as pool:
        return pool.request("GET", address, headers={key.replace("_", "-"): v for key, v in headers.items()})


def test_json_is_given_to_who_asks_for_it_and_html_otherwise() -> None:
    with FakeIndex() as index:
        wheel = index.add(make_wheel("My_Name"), yanked="bad", requires_python=">=3.8")
        page = get(index.url + "my-name/", accept=JSON_TYPE).json()
        assert page["files"] == [
            {
                "filename": wheel.filename,
                "url": f"/files/{wheel.sha256}/{wheel.filename}",
                "hashes": {"sha256": wheel.sha256},
                "size": wheel.size,
                "requires-python": ">=3.8",
                "yanked": "bad",
            }
        ]
        answer = get(index.url + "my-name/")
        assert answer.headers["content-type"] == HTML_TYPE
        assert f'href="/files/{wheel.sha256}/{wheel.filename}#sha256={wheel.sha256}"' in answer.data.decode()
        assert get(index.file_url(wheel)).data == wheel.data
        assert get(index.url + "other/").status == 404


def test_a_fault_counts_down_and_requests_are_recorded() -> None:
    with FakeIndex() as index:
        wheel = index.add(make_wheel("a"))
        index.fail("*.whl", "status", status=503, times=1, headers={"Retry-After": "0"})
        address = index.file_url(wheel)
        assert [get(address).status, get(address).status] == [503, 200]
        assert len(index.paths("*.whl")) == 2


def test_a_range_is_served_and_credentials_are_asked_for() -> None:
    with FakeIndex(user="me", password="secret") as index:
        wheel = index.add(make_wheel("a"))
        assert get(index.file_url(wheel)).status == 401
        answer = get(index.file_url(wheel), range="bytes=10-", **urllib3.make_headers(basic_auth="me:secret"))
        assert (answer.status, answer.data) == (206, wheel.data[10:])
        assert index.requests[-1].headers["authorization"].startswith("Basic ")
