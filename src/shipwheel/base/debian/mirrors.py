"""Where Debian packages come from: settings, the environment, or this machine's apt sources.

No mirror is built in. A wrong mirror can do no harm, only be of no use: everything is checked
against pinned keys. Reads apt's files (sources.list(5)), connects to nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shipwheel.base.debian.suites import SUITES
from shipwheel.errors import ProjectError

MAIN_VARIABLE: Final = "SHIPWHEEL_DEBIAN_MIRROR"
SECURITY_VARIABLE: Final = "SHIPWHEEL_DEBIAN_SECURITY_MIRROR"
SNAPSHOT_VARIABLE: Final = "SHIPWHEEL_DEBIAN_SNAPSHOT"
_NONE: Final = "none"
# Aliases that an archive's suites go by, beside the codenames.
_SUITE_NAMES: Final = frozenset(
    {"oldoldstable", "oldstable", "stable", "testing", "unstable", "sid", "bullseye", *SUITES}
)
_DEBIAN_KEYRING: Final = re.compile(r"(?:^|/)debian-archive-[^/]*\.(?:gpg|pgp|asc)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrors:
    """URLs without a trailing slash: `main` holds `dists/trixie`, `security` `dists/trixie-security`.

    `snapshot` serves `archive/debian/<time>/<path>` and `file/<sha1>`.
    """

    main: str
    security: str | None = None
    snapshot: str | None = None


@dataclass(frozen=True, slots=True)
class _Source:
    url: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str


def find_mirrors(
    environ: Mapping[str, str],
    *,
    main: str | None = None,
    security: str | None = None,
    snapshot: str | None = None,
    apt: Path = Path("/etc/apt"),
) -> Mirrors | None:
    """Return the mirrors: arguments (settings) before the environment before apt's sources below `apt`.

    None when no main mirror is known. The value `none` stands for "do not use any". Raises
    ProjectError `bad-mirror` for a setting that is not an http, https or file URL.
    """
    sources = list(_apt_sources(apt))
    main = _setting(main, environ, MAIN_VARIABLE) or _first(sources, security=False)
    security = _setting(security, environ, SECURITY_VARIABLE) or _first(sources, security=True)
    snapshot = _setting(snapshot, environ, SNAPSHOT_VARIABLE)
    if main is None or main == _NONE:
        return None
    return Mirrors(
        main=main,
        security=None if security == _NONE else security,
        snapshot=None if snapshot == _NONE else snapshot,
    )


def _setting(value: str | None, environ: Mapping[str, str], variable: str) -> str | None:
    place = "[tool.shipwheel.base]" if value else variable
    chosen = value or environ.get(variable) or None
    if chosen is None or chosen == _NONE:
        return chosen
    if not re.match(r"(?:https?|file)://", chosen):
        raise ProjectError(
            "bad-mirror",
            f"a mirror is an http, https or file URL: {chosen!r}",
            place=place,
            hint="as in https://mirror.example/debian",
        )
    return chosen.rstrip("/")


def _first(sources: list[_Source], *, security: bool) -> str | None:
    for source in sources:
        if any(_serves(suite, security=security) for suite in source.suites):
            return source.url
    return None


def _serves(suite: str, *, security: bool) -> bool:
    if security:
        return suite.removesuffix("-security") in _SUITE_NAMES and suite.endswith("-security")
    return suite in _SUITE_NAMES


def _apt_sources(apt: Path) -> Iterator[_Source]:
    """Yield apt's http and https sources of Debian's `main` component, in apt's order of reading."""
    paths = [apt / "sources.list"]
    folder = apt / "sources.list.d"
    if folder.is_dir():
        paths += sorted(path for path in folder.iterdir() if path.suffix in (".list", ".sources"))
    for path in paths:
        try:
            text = path.read_text("utf-8", "replace")
        except OSError:  # none there, or not for us to read: as if apt did not have it
            continue
        for source in _stanzas(text) if path.suffix == ".sources" else _lines(text):
            signed = not source.signed_by or _DEBIAN_KEYRING.search(source.signed_by)
            if signed and "main" in source.components and re.match("https?://", source.url):
                yield source


def _lines(text: str) -> Iterator[_Source]:
    """Read the one-line format: `deb [option=value ...] uri suite component...`."""
    for line in text.splitlines():
        match = re.fullmatch(r"deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s+([^#]*)(?:#.*)?", line.strip())
        if match is None:
            continue
        options = dict(item.partition("=")[::2] for item in (match[1] or "").split())
        yield _Source(
            match[2].rstrip("/"), (match[3],), tuple(match[4].split()), options.get("signed-by", "")
        )


def _stanzas(text: str) -> Iterator[_Source]:
    """Read the deb822 format: stanzas of `Types`, `URIs`, `Suites`, `Components`."""
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t"):
                fields[name] = f"{fields.get(name, '')}\n{line.strip()}"
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in (
            "no",
            "false",
            "0",
        ):
            continue
        for url in fields.get("uris", "").split():
            yield _Source(
                url.rstrip("/"),
                tuple(fields.get("suites", "").split()),
                tuple(fields.get("components", "").split()),
                fields.get("signed-by", ""),
            )
