"""The three changes that everybody makes, as edits of a copy: a line of code, a version, one dependency.

Text → text where that is possible. Nothing is resolved: one release takes another one's place in the lock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename, NormalizedName, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from shipwheel.locks.model import LockKind
from shipwheel.wheel.index import IndexFile

# Not the program: an edit there changes no image.
_ELSEWHERE: Final = frozenset(
    {"tests", "test", "docs", "doc", "examples", "scripts", "benchmarks", "build", "dist", "node_modules"}
)
_VERSION: Final = re.compile(r"(?m)^(version[ \t]*=[ \t]*[\"'])([^\"'\n]+)([\"'])")
_TABLE: Final = re.compile(r"(?m)^\[(?P<name>[^\[\]\n]+)\][ \t]*(?:#.*)?$")
_BLOCK: Final = re.compile(r"(?m)^(?=\[\[package\]\]\s*$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """A release that a lock has as a wheel for every platform."""

    name: NormalizedName
    version: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A wheel to lock instead: `url`, `sha256` in hex, and `size` in bytes where the index tells."""

    version: Version
    filename: str
    url: str
    sha256: str
    size: int | None = None


def code_files(root: Path) -> list[Path]:
    """Return the project's own Python files, those first that hold code rather than a package's front."""
    found = [
        path
        for path in sorted(root.rglob("*.py"))
        if not any(part in _ELSEWHERE or part.startswith(".") for part in path.relative_to(root).parts[:-1])
        and path.name not in ("setup.py", "conftest.py")
        and not path.name.startswith("test_")
    ]
    return sorted(found, key=lambda path: (path.name == "__init__.py", len(path.relative_to(root).parts)))


def bump_version(text: str, number: int) -> tuple[str, str] | None:
    """Return pyproject.toml with a post-release `number` of its version, and what that is; None: it has none."""
    tables = [(match["name"].strip(), match.end()) for match in _TABLE.finditer(text)]
    for (name, begin), (_, end) in zip(tables, [*tables[1:], ("", len(text))], strict=True):
        if name not in ("project", "tool.poetry"):
            continue
        match = _VERSION.search(text, begin, end)
        if match is None:
            continue
        try:
            new = f"{Version(match[2]).base_version}.post{number}"
        except InvalidVersion:
            return None
        return f"{text[: match.start(2)]}{new}{text[match.end(2) :]}", new
    return None


def locked_releases(kind: LockKind, text: str) -> list[Locked]:
    """Return what a lock's text has as wheels for every platform, in its order."""
    found = []
    if kind == "requirements":
        pins = re.finditer(r"(?m)^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", text)
        found = [_locked(match[1], match[2]) for match in pins]
        return [item for item in found if item is not None]
    for block in _BLOCK.split(text)[1:]:
        name = re.search(r'(?m)^name = "([^"]+)"', block)
        version = re.search(r'(?m)^version = "([^"]+)"', block)
        if name is not None and version is not None and "-none-any.whl" in block:
            found.append(_locked(name[1], version[1]))
    return [item for item in found if item is not None]


def _locked(name: str, version: str) -> Locked | None:
    try:
        return Locked(name=canonicalize_name(name), version=Version(version))
    except InvalidVersion:
        return None


def other_release(locked: Locked, files: Sequence[IndexFile], python: str) -> Release | None:
    """Return the release before the locked one that has a wheel for every platform, else the one after."""
    offered = sorted(_wheels(files, python), key=lambda item: item.version)
    before = [item for item in offered if item.version < locked.version]
    after = [item for item in offered if item.version > locked.version]
    return before[-1] if before else after[0] if after else None


def _wheels(files: Sequence[IndexFile], python: str) -> Iterator[Release]:
    for file in files:
        sha256 = file.hashes.get("sha256")
        if file.yanked is not None or sha256 is None:
            continue
        try:
            _, version, _, tags = parse_wheel_filename(file.filename)
            fits = python in SpecifierSet(file.requires_python or "")
        except (InvalidWheelFilename, InvalidVersion, InvalidSpecifier):
            continue
        plain = any(tag.platform == "any" and tag.interpreter.startswith("py") for tag in tags)
        if fits and plain and not version.is_prerelease:
            yield Release(
                version=version, filename=file.filename, url=file.url, sha256=sha256, size=file.size
            )


def replace_release(kind: LockKind, text: str, locked: Locked, release: Release) -> str | None:
    """Return the lock with `release` in the place of `locked`; None for a lock that is not edited so."""
    if kind == "requirements":
        pattern = rf"(?mi)^({_spelled(locked.name)})==[^\s;\\]+((?:[ \t]*;[^\\\n]*)?)(?:[ \t]*\\\n[ \t]*--hash=\S+)*"
        new, count = re.subn(
            pattern, rf"\g<1>=={release.version}\g<2> \\\n    --hash=sha256:{release.sha256}", text, count=1
        )
        return new if count else None
    head, *blocks = _BLOCK.split(text)
    for number, block in enumerate(blocks):
        name = re.search(r'(?m)^name = "([^"]+)"', block)
        if name is None or canonicalize_name(name[1]) != locked.name:
            continue
        edited = _edit_block(kind, block, release)
        if edited is None:
            return None
        return head + "".join([*blocks[:number], edited, *blocks[number + 1 :]])
    return None


def _edit_block(kind: LockKind, block: str, release: Release) -> str | None:
    block = re.sub(r'(?m)^version = "[^"]+"', f'version = "{release.version}"', block, count=1)
    if kind in ("poetry", "pdm"):
        line = f'    {{file = "{release.filename}", hash = "sha256:{release.sha256}"}},'
        edited, count = re.subn(r"(?ms)^files = \[.*?^\]", lambda _: f"files = [\n{line}\n]", block, count=1)
        return edited if count else None
    if kind == "uv":
        size = f", size = {release.size}" if release.size is not None else ""
        line = f'    {{ url = "{release.url}", hash = "sha256:{release.sha256}"{size} }},'
        block = re.sub(r"(?m)^sdist = \{.*\}\n", "", block)
        edited, count = re.subn(
            r"(?ms)^wheels = \[.*?^\]", lambda _: f"wheels = [\n{line}\n]", block, count=1
        )
        return edited if count else None
    return None


def _spelled(name: NormalizedName) -> str:
    return "[-_.]+".join(map(re.escape, name.split("-")))
