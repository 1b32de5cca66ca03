"""The real default index serves what a lock names, over JSON and HTML."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from packaging.pylock import PackageWheel
from packaging.utils import canonicalize_name
from packaging.version import Version

from shipwheel.cache import Cache
from shipwheel.locks.model import KnownByHash, Selected
from shipwheel.net import Http
from shipwheel.wheel import index as index_module
from shipwheel.wheel.fetch import Fetcher
from shipwheel.wheel.indexes import Indexes

COWSAY = "cowsay-6.1-py3-none-any.whl"
COWSAY_SHA256 = "274b1e6fc1b966d53976333eb90ac94cb07a450a700b455af9fbdf882244b30a"


@pytest.mark.network
@pytest.mark.parametrize("accept", [None, "text/html"])
def test_a_wheel_of_the_real_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accept: str | None
) -> None:
    if accept is not None:
        monkeypatch.setattr(index_module, "ACCEPT", accept)
    selected = Selected(
        name=canonicalize_name("cowsay"),
        version=Version("6.1"),
        source=PackageWheel(name=COWSAY, hashes={"sha256": COWSAY_SHA256}),
        place="poetry.lock [package.cowsay]",
    )
    # Proxies and authorities of this machine count; its pip configuration does not.
    with Http(os.environ) as http:
        fetcher = Fetcher.over(http, Cache(tmp_path), Indexes(), environ={}, home=tmp_path, root=tmp_path)
        assert fetcher.fetch(selected).stat().st_size == 25_560
        known = Selected(
            name=selected.name,
            version=selected.version,
            source=KnownByHash((f"sha256:{COWSAY_SHA256}",)),
            place="requirements.txt",
        )
        listed = {file.name: file.hashes["sha256"] for file in fetcher.list_files(known)}
        assert listed[COWSAY] == COWSAY_SHA256
