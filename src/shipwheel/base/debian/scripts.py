"""Which maintainer scripts may stay unrun: those whose effects we reproduce, or that have none here.

A .deb's `preinst` and `postinst` are programs for an installation; no program runs when a base is
assembled. So each one must be known: a script of the reviewed packages by the hash of its normal
form, any other only when nothing is left of it but what has no effect in a new image. Everything
else is refused, never skipped. (`prerm`, `postrm` and `config` never run in an image.)
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Final

from shipwheel.errors import IntegrityError

INSTALL_SCRIPTS: Final = ("preinst", "postinst")

# Versions, architectures and comments differ from build to build and change no effect.
_VERSION: Final = re.compile(rb"(?<![\w.-])\d+(?:[:.]\d+)+[\w.+~:\\-]*")
_TRIPLET: Final = re.compile(rb"(?:x86_64|aarch64)-linux-gnu")
_ARCHITECTURE: Final = re.compile(rb":(?:amd64|arm64)\b")

# debhelper's generated sections whose lines have no effect in a new image: `ldconfig` (the cache is
# written by us), clean-up after upgrades, byte-compilation, services that nothing starts.
_SECTION: Final = re.compile(
    rb"# Automatically added by (?P<tool>dh_\w+)/[^\n]*\n(?P<body>.*?)# End automatically added section\n?",
    re.DOTALL,
)
_BOILERPLATE: Final = (
    rb"set -e[ux]*",
    rb"exit [01]",
    rb":|true|;;|esac|fi|else|then|done",
    rb'case "?\$\{?1\}?"? in',
    rb"[a-z*|\s-]+\)",
    (
        rb"if \[ \"?\$\{?1\}?\"? = \"?'?(?:configure|triggered|install|upgrade|abort-\w+)'?\"?"
        rb"(?: \] \|\| \[ \"?\$1\"? = \"?(?:configure|triggered|abort-\w+)\"?)* \] ?; ?then"
    ),
    rb"echo [^`$;|&<>]*(?:\\?[`'\"]?\$\{?1\}?[`'\"]?)?[^`$;|&<>]*(?:>&2)?",
)
_SECTION_LINES: Final = {
    b"dh_makeshlibs": (rb"ldconfig",),
    b"dh_installdeb": (
        rb"dpkg-maintscript-helper (?:rm_conffile|mv_conffile|symlink_to_dir|dir_to_symlink) [^`$;|&<>]*(?:\"\$@\")?",
    ),
    b"dh_python3": (
        rb"if command -v py3compile >/dev/null 2>&1; then",
        rb"if command -v pypy3compile >/dev/null 2>&1; then",
        rb"(?:pypy3|py3)compile -p [a-z0-9.+-]+(?::\w+)?(?: -V [\d.-]+)?(?: \|\| true)?",
    ),
}


def check_script(package: str, kind: str, content: bytes) -> None:
    """Return if the script `kind` (`preinst`, `postinst`) of `package` need not run.

    Raises IntegrityError `deb-unknown-script`.
    """
    if script_hash(content) in _reviewed().get(family(package), frozenset()) or _has_no_effect(content):
        return
    raise IntegrityError(
        "deb-unknown-script",
        f"{package} has a {kind} script that shipwheel does not know, and its effects would be missing",
        place=f"{package}: {kind}",
        hint="leave the package out of [tool.shipwheel.base] packages, use a base image that has it,"
        " or ask for it in an issue",
    )


def family(package: str) -> str:
    """Return the package's name without Python's minor version: `python3.*-minimal`."""
    return re.sub(r"python3\.\d+", "python3.*", package)


def script_hash(content: bytes) -> str:
    """Return the SHA-256 of a script's normal form: no comments, blanks, versions, architectures."""
    text = b"\n".join(_code_lines(content))
    for pattern, name in ((_TRIPLET, b"TRIPLET"), (_ARCHITECTURE, b":ARCH"), (_VERSION, b"VERSION")):
        text = pattern.sub(name, text)
    return hashlib.sha256(text).hexdigest()


def _code_lines(content: bytes) -> Iterator[bytes]:
    for line in content.splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith(b"#"):
            yield stripped


def _has_no_effect(content: bytes) -> bool:
    if re.match(rb"#! ?/bin/(?:da|ba)?sh(?: -[eux]+)?\n", content) is None:
        return False
    rest = content
    for section in _SECTION.finditer(content):
        allowed = _SECTION_LINES.get(section["tool"])
        if allowed is None or not _all_match(section["body"], (*allowed, *_BOILERPLATE)):
            return False
        rest = rest.replace(section[0], b"", 1)
    return _all_match(rest, _BOILERPLATE)


def _all_match(text: bytes, patterns: tuple[bytes, ...]) -> bool:
    return all(any(re.fullmatch(pattern, line) for pattern in patterns) for line in _code_lines(text))


@cache
def _reviewed() -> Mapping[str, frozenset[str]]:
    """Return the hashes of reviewed scripts by package family (`scripts.json` says why each may rest)."""
    text = (resources.files("shipwheel.base.debian") / "scripts.json").read_text("utf-8")
    return {name: frozenset(entry["hashes"]) for name, entry in json.loads(text).items()}
