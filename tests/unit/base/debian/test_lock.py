"""Locking: signed indexes in, hashes of packages out."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from helpers.debian import MIRROR, NOW, SECURITY, Archive, BuiltDeb, MemoryHttp, certificate, make_deb
from shipwheel.base.debian.lock import DebianRequest, lock_debian_base
from shipwheel.base.debian.mirrors import Mirrors
from shipwheel.base.debian.suites import SUITES
from shipwheel.base.model import DebianBase, DebianPlatform, Omission
from shipwheel.cache import Cache
from shipwheel.errors import IntegrityError, LockError, NetworkError, ProjectError, TargetError

VERSIONS = {"libc6": "2.41-12+deb13u4", "python3.13-minimal": "3.13.5-2+deb13u5"}
NEEDS = {"base-files": "Pre-Depends: awk\n", "ca-certificates": "Depends: openssl, debconf | debconf-2.0\n"}


def roots(architecture: str, **versions: str) -> list[BuiltDeb]:
    return [
        make_deb(
            name,
            version=versions.get(name, VERSIONS.get(name, "1-1")),
            architecture=architecture,
            fields=NEEDS.get(name, ""),
        )
        for name in SUITES["trixie"].roots
    ]


def archive() -> Archive:
    return Archive(debs=[*roots("amd64"), *roots("arm64"), make_deb("libgl1")])


def security() -> Archive:
    fixed = make_deb("zlib1g", version="1-1+deb13u1")
    return Archive("trixie-security", [fixed], valid_until="Sat, 28 Nov 2026 08:00:00 UTC", key="security")


def keys(pin: object) -> list[bytes]:
    return [certificate("security" if getattr(pin, "security", False) else "archive")]


def lock(
    tmp_path: Path,
    http: MemoryHttp,
    *,
    platforms: tuple[str, ...] = ("linux/amd64",),
    packages: tuple[str, ...] = (),
    mirrors: Mirrors | None = None,
    previous: DebianBase | None = None,
    now: datetime = NOW,
    suite: str = "trixie",
) -> DebianBase:
    return lock_debian_base(
        DebianRequest(suite=suite, platforms=platforms, packages=packages),
        mirrors=mirrors or Mirrors(main=MIRROR),
        http=http,
        cache=Cache(tmp_path),
        now=now,
        previous=previous,
        keys=keys,
    )


def one(base: DebianBase) -> DebianPlatform:
    (platform,) = base.platforms
    return platform


def test_a_base_is_locked_with_hashes_paths_and_versions(tmp_path: Path) -> None:
    base = lock(tmp_path, MemoryHttp(archive().served()))
    platform = one(base)
    assert (base.suite, base.recipe) == ("trixie", "debian/1")
    assert (platform.platform, platform.python, platform.libc) == ("linux/amd64", "3.13.5", "glibc 2.41")
    assert platform.executable == "/usr/bin/python3.13"
    assert [package.name for package in platform.packages] == sorted(SUITES["trixie"].roots)
    deb = make_deb("zlib1g", version="1-1")
    (zlib,) = [package for package in platform.packages if package.name == "zlib1g"]
    assert zlib == deb.locked()


def test_what_is_left_out_is_locked_with_its_reason(tmp_path: Path) -> None:
    omissions = one(lock(tmp_path, MemoryHttp(archive().served()))).omissions
    assert [omission.name for omission in omissions] == ["awk", "debconf", "openssl"]
    assert all(isinstance(omission, Omission) and omission.reason for omission in omissions)


def test_both_platforms_are_locked_in_a_fixed_order(tmp_path: Path) -> None:
    http = MemoryHttp(archive().served())
    base = lock(tmp_path, http, platforms=("linux/arm64", "linux/amd64"))
    assert [platform.platform for platform in base.platforms] == ["linux/amd64", "linux/arm64"]
    assert {package.architecture for package in base.platforms[1].packages} == {"arm64"}


def test_a_newer_version_of_the_security_archive_is_taken(tmp_path: Path) -> None:
    http = MemoryHttp(archive().served() | security().served(SECURITY))
    base = lock(tmp_path, http, mirrors=Mirrors(main=MIRROR, security=SECURITY))
    assert [item.name for item in base.archives] == ["trixie", "trixie-security"]
    (zlib,) = [package for package in one(base).packages if package.name == "zlib1g"]
    assert (zlib.version, zlib.archive) == ("1-1+deb13u1", "trixie-security")


def test_without_a_security_mirror_the_lock_names_the_main_archive_alone(tmp_path: Path) -> None:
    assert [item.name for item in lock(tmp_path, MemoryHttp(archive().served())).archives] == ["trixie"]


def test_the_security_archive_may_not_be_signed_with_the_main_archives_key(tmp_path: Path) -> None:
    http = MemoryHttp(archive().served() | replace(security(), key="archive").served(SECURITY))
    with pytest.raises(IntegrityError) as caught:
        lock(tmp_path, http, mirrors=Mirrors(main=MIRROR, security=SECURITY))
    assert caught.value.code == "index-wrong-key"


def test_extra_packages_come_with_the_base(tmp_path: Path) -> None:
    names = [
        p.name for p in one(lock(tmp_path, MemoryHttp(archive().served()), packages=("libgl1",))).packages
    ]
    assert "libgl1" in names


def test_an_omitted_package_that_is_asked_for_comes(tmp_path: Path) -> None:
    debs = [*roots("amd64"), make_deb("openssl")]
    platform = one(lock(tmp_path, MemoryHttp(Archive(debs=debs).served()), packages=("openssl",)))
    assert "openssl" in [package.name for package in platform.packages]
    assert [omission.name for omission in platform.omissions] == ["awk", "debconf"]


def test_an_extra_package_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(LockError, match="no package libnothing") as caught:
        lock(tmp_path, MemoryHttp(archive().served()), packages=("libnothing",))
    assert caught.value.code == "package-not-found"


def test_an_index_older_than_the_locked_one_is_refused(tmp_path: Path) -> None:
    current = MemoryHttp(archive().served())
    base = lock(tmp_path, current)
    older = replace(archive(), date="Fri, 20 Nov 2026 08:00:00 UTC")
    with pytest.raises(IntegrityError) as caught:
        lock(tmp_path, MemoryHttp(older.served()), previous=base)
    assert caught.value.code == "index-rolled-back"
    assert lock(tmp_path, current, previous=base) == base


def test_index_files_are_asked_for_by_hash_and_kept(tmp_path: Path) -> None:
    http = MemoryHttp(archive().served())
    lock(tmp_path, http)
    assert [url for url in http.asked if "Packages" in url or "by-hash" in url] == [http.asked[1]]
    assert "/main/binary-amd64/by-hash/SHA256/" in http.asked[1]
    again = MemoryHttp(archive().served())
    lock(tmp_path, again)
    assert again.asked == [f"{MIRROR}/dists/trixie/InRelease"]


@pytest.mark.parametrize("forms", [(".gz",), ()])
def test_any_form_of_the_index_will_do(tmp_path: Path, forms: tuple[str, ...]) -> None:
    http = MemoryHttp(replace(archive(), forms=forms, by_hash=False).served())
    assert one(lock(tmp_path, http)).python == "3.13.5"


def test_a_packages_file_that_is_not_what_was_signed_is_refused(tmp_path: Path) -> None:
    files = replace(archive(), by_hash=False).served()
    url = f"{MIRROR}/dists/trixie/main/binary-amd64/Packages.xz"
    files[url] = files[url][:-1] + b"!"
    with pytest.raises(IntegrityError) as caught:
        lock(tmp_path, MemoryHttp(files))
    assert caught.value.code == "wrong-hash"


def test_a_platform_the_archive_does_not_have_is_told(tmp_path: Path) -> None:
    http = MemoryHttp(replace(archive(), architectures=("amd64",)).served())
    with pytest.raises(LockError) as caught:
        lock(tmp_path, http, platforms=("linux/arm64",))
    assert caught.value.code == "no-packages-file"


def test_a_platform_we_make_no_base_for_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    http = MemoryHttp({})
    with pytest.raises(TargetError) as caught:
        lock(tmp_path, http, platforms=("linux/s390x",))
    assert (caught.value.code, http.asked) == ("unknown-platform", [])


def test_an_unknown_suite_is_told(tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as caught:
        lock(tmp_path, MemoryHttp({}), suite="buster")
    assert caught.value.code == "unknown-suite"


def test_a_mirror_without_the_suite_is_told(tmp_path: Path) -> None:
    with pytest.raises(NetworkError):
        lock(tmp_path, MemoryHttp({}))
