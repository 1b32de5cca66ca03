"""Many processes may fetch into one cache, and one that is killed leaves no half file."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from shipwheel.testing.index import FakeIndex
from shipwheel.testing.wheels import MadeWheel, make_wheel

# A process of its own, as two builds at once are.
FETCH = """
import sys
from pathlib import Path
from packaging.pylock import PackageWheel
from packaging.utils import canonicalize_name
from shipwheel.cache import Cache
from shipwheel.locks.model import Selected
from shipwheel.net import Http
from shipwheel.wheel.fetch import Fetcher
from shipwheel.wheel.indexes import Index, Indexes

root, url, filename, sha256 = Path(sys.argv[1]), *sys.argv[2:]
selected = Selected(
    name=canonicalize_name(filename.partition("-")[0]), version=None, place="a lock",
    source=PackageWheel(name=filename, hashes={"sha256": sha256}),
)
with Http({}) as http:
    indexes = Indexes(mirrors=(Index(url=url),))
    fetcher = Fetcher.over(http, Cache(root), indexes, environ={}, home=root, root=root)
    print(fetcher.fetch(selected))
"""


def start(cache: Path, index: FakeIndex, wheel: MadeWheel) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, str(cache), index.url, wheel.filename, wheel.sha256],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")},
    )


def staged(cache: Path) -> list[Path]:
    return [path for path in (cache / "v1" / "tmp").glob("*") if path.stat().st_size]


def files(cache: Path) -> list[Path]:
    return [path for path in (cache / "v1" / "files").rglob("*") if path.is_file()]


def test_processes_that_fetch_one_file_at_once_all_get_it(tmp_path: Path) -> None:
    with FakeIndex() as index:
        wheel = index.add(make_wheel("a", padding=500_000))
        index.fail("*.whl", "slow", seconds=0.005)
        running = [start(tmp_path, index, wheel) for _ in range(4)]
        results = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0] * 4, results
    assert len({out for out, _ in results}) == 1
    (path,) = files(tmp_path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == wheel.sha256
    assert not staged(tmp_path)


def test_a_process_killed_in_the_middle_leaves_no_half_file(tmp_path: Path) -> None:
    with FakeIndex() as index:
        wheel = index.add(make_wheel("a", padding=2_000_000))
        index.fail("*.whl", "slow", seconds=0.05, times=1)
        process = start(tmp_path, index, wheel)
        try:
            deadline = time.monotonic() + 60
            while not staged(tmp_path) and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        assert files(tmp_path) == []
        assert staged(tmp_path)
        again = start(tmp_path, index, wheel)
        out, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert hashlib.sha256(Path(out.strip()).read_bytes()).hexdigest() == wheel.sha256
