"""The cache: what is found again, what is not, and that nothing half-written is ever seen."""

import hashlib
import os
import threading
from pathlib import Path

import pytest

from shipwheel.cache import Cache
from shipwheel.errors import HostError


def keep(cache: Cache, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    with cache.staging() as (path, file):
        file.write(content)
        file.close()
        cache.add_file(path, "sha256", digest)
    return digest


def test_a_file_is_found_by_its_hash_and_nothing_is_left_staged(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    digest = keep(cache, b"wheel")

    found = cache.file("sha256", digest)
    assert found is not None
    assert found.read_bytes() == b"wheel"
    assert list((cache.root / "tmp").iterdir()) == []
    assert cache.file("sha256", "0" * 64) is None


def test_what_was_staged_and_not_kept_is_removed(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    with pytest.raises(RuntimeError), cache.staging() as (_, file):
        file.write(b"half")
        raise RuntimeError

    assert list((cache.root / "tmp").iterdir()) == []


def test_a_record_is_found_by_its_key_alone(tmp_path: Path) -> None:
    Cache(tmp_path).add_record("layer x", {"size": 1})

    assert Cache(tmp_path).record("layer x") == {"size": 1}
    assert Cache(tmp_path).record("layer y") is None


def test_a_damaged_record_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.add_record("layer x", {"size": 1})
    [path] = (cache.root / "records").glob("*/*")
    path.write_bytes(path.read_bytes()[:-5])

    assert cache.record("layer x") is None


def test_a_fresh_cache_sees_its_own_records_and_no_older_ones(tmp_path: Path) -> None:
    Cache(tmp_path).add_record("old", 1)
    fresh = Cache(tmp_path, fresh=True)
    fresh.add_record("new", 2)

    assert fresh.record("old") is None
    assert fresh.record("new") == 2
    assert fresh.file("sha256", keep(Cache(tmp_path), b"download")) is not None


def test_the_first_of_two_folders_of_one_key_wins(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for content in ("first", "second"):
        with cache.staging_folder() as folder:
            (folder / "file").write_text(content)
            kept = cache.add_folder(folder, "root x")

    assert (kept / "file").read_text() == "first"
    assert list((cache.root / "tmp").iterdir()) == []


def test_a_fresh_cache_sees_folders_that_were_downloaded_and_no_others(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with cache.staging_folder() as folder:
        cache.add_folder(folder, "environment")

    fresh = Cache(tmp_path, fresh=True)

    assert fresh.folder("environment") is None
    assert fresh.folder("environment", downloaded=True) is not None


def test_prune_removes_what_was_not_used_lately(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    old, new = keep(cache, b"old"), keep(cache, b"new")
    path = cache.file("sha256", old)
    assert path is not None
    os.utime(path, (1, 1))

    entries, size = cache.prune(older_than=3600)

    assert (entries, size) == (1, 3)
    assert cache.file("sha256", old) is None
    assert cache.file("sha256", new) is not None


def test_prune_waits_for_builds_in_progress(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    digest = keep(cache, b"in use")
    pruned = threading.Event()

    def prune() -> None:
        Cache(tmp_path).prune(older_than=-1)
        pruned.set()

    with cache.in_use():
        thread = threading.Thread(target=prune)
        thread.start()
        assert not pruned.wait(0.3)
        assert cache.file("sha256", digest) is not None
    thread.join(10)
    assert pruned.is_set()
    assert cache.file("sha256", digest) is None


def test_folders_without_write_permission_can_be_pruned(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with cache.staging_folder() as folder:
        (folder / "locked").mkdir()
        (folder / "locked" / "file").write_text("x")
        (folder / "locked").chmod(0o500)
        cache.add_folder(folder, "root")

    assert cache.prune(older_than=-1)[0] == 1
    assert cache.folder("root") is None


def test_a_cache_that_cannot_be_written_says_how_to_choose_another(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(HostError) as caught:
        Cache(tmp_path / "file")

    assert "SHIPWHEEL_CACHE_DIR" in str(caught.value)


def test_the_environment_names_the_folder(tmp_path: Path) -> None:
    assert Cache.default({"SHIPWHEEL_CACHE_DIR": str(tmp_path / "here")}).root.is_relative_to(
        tmp_path / "here"
    )
