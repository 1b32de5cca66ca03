"""What every reader needs: text → TOML with located errors, typed access, and a list of problems."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import tomli
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from shipwheel.errors import LockError, Problem
from shipwheel.project.shape import find_bad_addresses

_CONFLICT = re.compile(r"^(<{7}|={7}|>{7})( |$)", re.MULTILINE)
_HEX = re.compile(r"[0-9a-f]+")
# Hexadecimal digits of the digests that hashlib guarantees and that are still sound for pinning.
_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128, "sha224": 56, "sha3_256": 64, "sha3_384": 96, "sha3_512": 128}  # fmt: skip


def read_text(path: Path) -> str:
    """Read the file as UTF-8; raises LockError `no-lock`, `unreadable-lock`."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise LockError("no-lock", "there is no such file", place=str(path)) from error
    except UnicodeDecodeError as error:
        raise LockError("bad-lock", f"not UTF-8: byte {error.start}", place=str(path)) from error
    except OSError as error:
        raise LockError("unreadable-lock", f"cannot be read: {error.strerror}", place=str(path)) from error


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """Parse the lock's text; raises LockError `merge-conflict` or `invalid-toml` with the line."""
    if conflict := _CONFLICT.search(text):
        line = text.count("\n", 0, conflict.start()) + 1
        raise LockError(
            "merge-conflict",
            "git's conflict markers stand in the file",
            place=f"{path.name}:{line}",
            hint="take one side and let the tool lock again",
        )
    # tomli and not tomllib: uv reads TOML 1.1, and locks that were formatted by hand use it.
    try:
        data = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise LockError(
            "invalid-toml",
            f"not valid TOML: {error.msg}",
            place=f"{path.name}:{error.lineno}",
            hint="a merge may have spoilt it: let the tool lock again",
        ) from error
    except RecursionError as error:
        raise LockError("invalid-toml", "nested too deeply", place=f"{path.name}:1") from error
    check_addresses(data, path)
    return data


def check_addresses(data: Mapping[str, Any], path: Path) -> None:
    """Check that every address in the lock can be taken apart; raises LockError `bad-lock`."""
    problems = Problems(path.name)
    for key in find_bad_addresses(data):
        problems.add("bad-lock", "not an address", problems.place(key))
    problems.check()


@dataclass
class Problems:
    """Collects what is wrong in one file; `check` raises it all at once."""

    file: str
    found: list[Problem] = field(default_factory=list)

    def place(self, key: str) -> str:
        """`poetry.lock [key]`."""
        return f"{self.file} [{key}]"

    def add(self, code: str, message: str, place: str, hint: str | None = None) -> None:
        """Note one problem."""
        self.found.append(Problem(code=code, message=message, place=place, hint=hint))

    def check(self) -> None:
        """Raise LockError with all problems; nothing without any."""
        if self.found:
            raise LockError.of(self.found)

    def text(self, table: Mapping[str, Any], key: str, place: str) -> str | None:
        """Return a string or None where the key is missing; another type is a problem."""
        value = table.get(key)
        if value is not None and not isinstance(value, str):
            self.add("bad-lock", f"{key} has to be a string, not {type(value).__name__}", place)
            return None
        return value

    def table(self, table: Mapping[str, Any], key: str, place: str) -> Mapping[str, Any]:
        """Return a table, empty where the key is missing; another type is a problem."""
        value = table.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.add("bad-lock", f"{key} has to be a table, not {type(value).__name__}", place)
            return {}
        return value

    def tables(self, table: Mapping[str, Any], key: str, place: str) -> Sequence[Mapping[str, Any]]:
        """Return an array of tables, empty where the key is missing; another type is a problem."""
        value = table.get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.add("bad-lock", f"{key} has to be an array of tables", place)
            return ()
        return value

    def texts(self, table: Mapping[str, Any], key: str, place: str) -> Sequence[str]:
        """Return an array of strings, empty where the key is missing; another type is a problem."""
        value = table.get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.add("bad-lock", f"{key} has to be an array of strings", place)
            return ()
        return value

    def name_of(self, table: Mapping[str, Any], number: int) -> NormalizedName | None:
        """Return the normalised `name` of package entry `number` (from 0); a missing one is a problem."""
        name = self.text(table, "name", self.place(f"package #{number + 1}"))
        if not name:
            self.add("bad-lock", "a package without a name", self.place(f"package #{number + 1}"))
            return None
        return canonicalize_name(name)

    def version_of(self, table: Mapping[str, Any], place: str) -> str | None:
        """Return the `version`, checked to be one; None where missing."""
        version = self.text(table, "version", place)
        if version is not None:
            try:
                Version(version)
            except InvalidVersion:
                self.add("bad-lock", f"not a version: {version!r}", place)
                return None
        return version

    def hashes(self, text: object, place: str) -> dict[str, str]:
        """Parse `sha256:…`; a form or algorithm that cannot be checked is a problem."""
        if isinstance(text, str):
            algorithm, _, digest = text.partition(":")
            if len(digest) == _DIGITS.get(algorithm) and _HEX.fullmatch(digest):
                return {algorithm: digest}
        self.add(
            "bad-hash",
            f"not a hash that can be checked: {text!r}",
            place,
            "sha256:… with 64 hexadecimal digits",
        )
        return {}


def without_credentials(url: str) -> str:
    """Return `url` without user and password: what is written down names no secret."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    if parts.scheme.endswith("ssh"):
        # The user says which account is meant, as in git@host; the key is the secret.
        user = parts.netloc.rpartition("@")[0].partition(":")[0]
        return urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}"))
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def normalized(names: Iterable[str]) -> frozenset[NormalizedName]:
    """Return the normalised names."""
    return frozenset(canonicalize_name(name) for name in names)
