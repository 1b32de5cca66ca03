"""Which files of a package an image does without, as rules over paths. Copyright files always stay."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# Set-id files of packages that are useful without them: package → path → reason.
DROPPED_SETID: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "libpam-modules-bin": {
            "usr/sbin/unix_chkpwd": "checks passwords in /etc/shadow, which an image has not",
            "sbin/unix_chkpwd": "checks passwords in /etc/shadow, which an image has not",
        }
    }
)

_KEPT: Final = re.compile(r"usr/share/doc/[^/]+(?:/copyright(?:\.gz)?)?")
_DROPPED: Final = re.compile(
    r"""
      usr/share/doc/[^/]+/.*
    | usr/share/(?:bug|doc-base|gcc|gdb|info|lintian|locale|man|menu|perl5|bash-completion|zsh|fish
        |pixmaps|applications|icons|binfmts|polkit-1|debhelper|apport|python3/runtime\.d)(?:/.*)?
    | usr/share/zoneinfo/(?:right|posix)(?:/.*)?
    | usr/(?:games|include|src)(?:/.*)?
    | usr/lib/(?:systemd|tmpfiles\.d|sysusers\.d|udev|pkgconfig|valgrind|debug)(?:/.*)?
    | usr/lib/[^/]+-linux-gnu/(?:pkgconfig|perl5?|systemd)(?:/.*)?
    | usr/lib/[^/]+-linux-gnu/[^/]+\.(?:a|la|o)
    | etc/(?:init\.d|cron\.\w+|logrotate\.d|update-motd\.d|skel|profile\.d|apt|default/nss)(?:/.*)?
    | var/(?:backups|cache|lib/(?:dpkg/info|systemd|ucf)|log)/.*
    | boot | media
    | usr/share/base-files(?:/.*)?

    # What makes data for an installation: locales, time zones, character sets.
    | usr/s?bin/(?:localedef|zic|zdump|iconvconfig|pldd|tzselect)

    # Certificates are in the bundle.
    | usr/share/ca-certificates/.*

    # Python: tests, teaching and desktop programs, what builds extensions.
    | usr/lib/python3\.\d+/(?:test|idlelib|turtledemo|tkinter|ensurepip|pydoc_data|lib2to3/tests|distutils/tests
        |config-3[^/]*|ctypes/test|sqlite3/test|unittest/test|turtle\.py)(?:/.*)?
    | usr/lib/python3\.\d+/(?:.*/)?__pycache__(?:/.*)?
    | usr/lib/python3\.\d+/lib-dynload/(?:_test\w*|_ctypes_test|xxlimited\w*|xxsubtype|_xxtestfuzz|nis)\.[^/]*
    """,
    re.VERBOSE,
)


def is_wanted(path: str) -> bool:
    """Tell whether the file, link or folder at `path` (relative to the root) goes into the image."""
    return _KEPT.fullmatch(path) is not None or _DROPPED.fullmatch(path) is None
