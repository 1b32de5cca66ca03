"""Hashes get their files' names and paths lead from the project, whatever the lock left open."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from packaging.pylock import PackageArchive, PackageDirectory, PackageSdist, PackageVcs, PackageWheel
from packaging.utils import canonicalize_name
from packaging.version import Version

from shipwheel.errors import LockError, TargetError
from shipwheel.locks.model import KnownByHash, LockedFile, Selected, Source
from shipwheel.oci.model import Platform
from shipwheel.sources.settle import Settler
from shipwheel.target import Libc, Target

TARGET = Target(python="3.13.5", platform=Platform.parse("linux/amd64"), libc=Libc.parse("glibc 2.41"))
ANY, MAC, SDIST = "dep-1.0-py3-none-any.whl", "dep-1.0-cp313-cp313-macosx_11_0_arm64.whl", "dep-1.0.tar.gz"


def selected(source: Source) -> Selected:
    return Selected(name=canonicalize_name("dep"), version=Version("1.0"), source=source, place="the lock")


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


class Index:
    """Lists files, and counts how often it is asked."""

    def __init__(self, *names: str) -> None:
        self.names, self.asked = names, 0

    def __call__(self, item: Selected) -> Sequence[LockedFile]:
        self.asked += 1
        return [LockedFile(name=name, hashes={"sha256": digest(name)}) for name in self.names]


def settler(index: Index, **names: str) -> Settler:
    return Settler(
        root=Path("/work/project"),
        lock_folder=Path("/work/project"),
        names={f"sha256:{value}": key for key, value in names.items()},
        list_files=index,
    )


def hashes(*names: str) -> KnownByHash:
    return KnownByHash(tuple(sorted(f"sha256:{digest(name)}" for name in names)))


def test_a_hash_becomes_the_best_file_that_the_index_has_for_it() -> None:
    index = Index(ANY, MAC, SDIST, "dep-1.0-cp313-cp313-manylinux_2_17_x86_64.whl")

    [item] = settler(index).settle([selected(hashes(ANY, SDIST))], TARGET)

    assert isinstance(item.source, PackageWheel)
    assert item.source.name == ANY
    assert item.source.hashes == {"sha256": digest(ANY)}


def test_names_that_are_known_are_not_asked_for() -> None:
    index = Index()
    names = {f"sha256:{digest(name)}": name for name in (ANY, SDIST)}
    known = Settler(root=Path("/p"), lock_folder=Path("/p"), names=names, list_files=index)

    [item] = known.settle([selected(hashes(ANY, SDIST))], TARGET)

    assert isinstance(item.source, PackageWheel)
    assert (index.asked, known.learnt) == (0, {})


def test_what_was_asked_is_learnt_except_for_systems_that_no_image_has() -> None:
    index = Index(ANY, MAC, SDIST)
    asking = settler(index)

    for _ in range(2):
        asking.settle([selected(hashes(ANY, MAC, SDIST))], TARGET)

    assert sorted(asking.learnt.values()) == [ANY, SDIST]
    assert index.asked == 1


def test_a_release_without_wheel_is_its_sdist() -> None:
    [item] = settler(Index(SDIST)).settle([selected(hashes(SDIST))], TARGET)

    assert isinstance(item.source, PackageSdist)


def test_all_that_have_no_file_for_the_target_are_told_at_once() -> None:
    with pytest.raises(TargetError) as caught:
        settler(Index(MAC)).settle([selected(hashes(MAC)), selected(hashes(MAC))], TARGET)

    assert len(caught.value.problems) == 2


def test_paths_lead_from_the_project_though_the_lock_lies_elsewhere() -> None:
    above = Settler(root=Path("/work/packages/api"), lock_folder=Path("/work"), names={}, list_files=Index())
    known = {"sha256": digest("x")}

    items = above.settle(
        [
            selected(PackageDirectory(path="packages/core", editable=True)),
            selected(PackageDirectory(path="packages", subdirectory="deep")),
            selected(PackageArchive(path="vendor/dep-1.0.tar.gz", hashes=known)),
            selected(PackageVcs(type="git", path="code", commit_id="0" * 40)),
        ],
        TARGET,
    )

    assert [item.source.path for item in items if not isinstance(item.source, KnownByHash)] == [
        "../core",
        "../deep",
        "../../vendor/dep-1.0.tar.gz",
        "../../code",
    ]


def test_a_file_beside_the_project_that_has_no_hash_gets_its_own(tmp_path: Path) -> None:
    (tmp_path / ANY).write_bytes(b"content")
    here = Settler(root=tmp_path, lock_folder=tmp_path, names={}, list_files=Index())

    [item] = here.settle([selected(PackageArchive(path=ANY, hashes={}))], TARGET)

    assert isinstance(item.source, PackageArchive)
    assert item.source.hashes == {"sha256": hashlib.sha256(b"content").hexdigest()}


def test_a_file_beside_the_project_that_is_gone_is_told(tmp_path: Path) -> None:
    here = Settler(root=tmp_path, lock_folder=tmp_path, names={}, list_files=Index())

    with pytest.raises(LockError, match="is not there"):
        here.settle([selected(PackageArchive(path=ANY, hashes={}))], TARGET)
