"""Slimming: what goes and what has to stay."""

import pytest

from shipwheel.base.debian.slim import is_wanted

STAYS = [
    "usr/share/doc",
    "usr/share/doc/libc6",  # the folder, or a link to another package's
    "usr/share/doc/libc6/copyright",
    "usr/share/common-licenses/GPL-3",
    "usr/share/zoneinfo/US/Eastern",
    "usr/share/zoneinfo/tzdata.zi",
    "usr/lib/locale/C.utf8/LC_CTYPE",
    "usr/lib/x86_64-linux-gnu/libc.so.6",
    "usr/lib/x86_64-linux-gnu/gconv/gconv-modules.cache",
    "usr/lib/python3.13/unittest/case.py",
    "usr/lib/python3.13/lib-dynload/_ssl.cpython-313-x86_64-linux-gnu.so",
    "usr/lib/python3.13/pydoc.py",
    "usr/lib/python3.13/EXTERNALLY-MANAGED",
    "usr/bin/python3.13",
    "usr/sbin/ldconfig",
    "etc/os-release",
    "etc/debian_version",
    "etc/python3.13/sitecustomize.py",
    "var/cache",
]
GOES = [
    "usr/share/doc/libc6/changelog.gz",
    "usr/share/doc/libc6/examples/copyright",
    "usr/share/man",
    "usr/share/man/man1/python3.13.1.gz",
    "usr/share/locale/de/LC_MESSAGES/x.mo",
    "usr/share/lintian/overrides/libc6",
    "usr/share/zoneinfo/right/US/Eastern",
    "usr/share/ca-certificates/mozilla/A.crt",
    "usr/lib/python3.13/test/support/__init__.py",
    "usr/lib/python3.13/idlelib",
    "usr/lib/python3.11/sqlite3/test/dbapi.py",
    "usr/lib/python3.13/__pycache__/os.cpython-313.pyc",
    "usr/lib/python3.13/json/__pycache__/x.pyc",
    "usr/lib/python3.13/lib-dynload/_testcapi.cpython-313-x86_64-linux-gnu.so",
    "usr/lib/python3.13/lib-dynload/_testinternalcapi.cpython-313-x86_64-linux-gnu.so",
    "usr/bin/localedef",
    "etc/init.d/x",
    "var/cache/debconf/x",
]


@pytest.mark.parametrize("path", STAYS)
def test_this_stays(path: str) -> None:
    assert is_wanted(path)


@pytest.mark.parametrize("path", GOES)
def test_this_goes(path: str) -> None:
    assert not is_wanted(path)
