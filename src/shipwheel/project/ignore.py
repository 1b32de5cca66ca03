"""Patterns of `.gitignore` (gitignore(5)) and `.dockerignore`, matched without git or Docker.

Reads no file: takes lines, answers for paths. Paths are relative, with `/`, without a leading one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

_WILD: Final = frozenset("*?[\\")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line: what it matches, whether it takes back (`!`), and whether it is for folders alone.

    `text` is a regular expression for a whole path, or a path without wildcards, which is most of them
    and compared as it is; `anywhere` lets that stand below any folder.
    """

    text: str | re.Pattern[str]
    negated: bool
    folders_only: bool
    anywhere: bool = False

    def matches(self, path: str) -> bool:
        """Tell whether the whole of `path` is matched."""
        if isinstance(self.text, re.Pattern):
            return self.text.fullmatch(path) is not None
        if not path.endswith(self.text):
            return False
        extra = len(path) - len(self.text)
        return extra == 0 or (self.anywhere and path[extra - 1] == "/")


@dataclass(frozen=True, slots=True)
class IgnoreFile:
    """The patterns of one file, in force below `folder` ("" for the root).

    `above` is the root's own path seen from the file's folder, for a file that stands higher up.
    """

    patterns: Sequence[Pattern]
    folder: str = ""
    above: str = ""

    @property
    def takes_back(self) -> bool:
        """Whether a pattern takes something back (`!`)."""
        return any(pattern.negated for pattern in self.patterns)

    @classmethod
    def from_gitignore(cls, lines: Iterable[str], *, folder: str = "", above: str = "") -> Self:
        """Read lines as git does: a pattern without an inner slash matches at any depth."""
        return cls(tuple(filter(None, (_git_pattern(line) for line in lines))), folder, above)

    @classmethod
    def from_dockerignore(cls, lines: Iterable[str]) -> Self:
        """Read lines as Docker does: every pattern starts at the root of the context."""
        return cls(tuple(filter(None, (_docker_pattern(line) for line in lines))))

    def decide(self, path: str, *, is_folder: bool) -> bool | None:
        """Return True when `path` is ignored, False when it is taken back, None when nothing matches."""
        if self.folder:
            if not path.startswith(f"{self.folder}/"):
                return None
            path = path[len(self.folder) + 1 :]
        if self.above:
            path = f"{self.above}/{path}"
        for pattern in reversed(self.patterns):
            if (is_folder or not pattern.folders_only) and pattern.matches(path):
                return not pattern.negated
        return None


def is_ignored(files: Sequence[IgnoreFile], path: str, *, is_folder: bool) -> bool:
    """Tell whether `path` is ignored by `files`, the deepest of which come last and win.

    Judges `path` alone: the caller does not descend into ignored folders, as git does not.
    """
    for file in reversed(files):
        decision = file.decide(path, is_folder=is_folder)
        if decision is not None:
            return decision
    return False


def _git_pattern(line: str) -> Pattern | None:
    line = line.rstrip("\r\n")
    # gitignore(5): trailing spaces are ignored unless quoted with a backslash.
    line = re.sub(r"(?<!\\)[ \t]+$", "", line)
    if not line or line.startswith("#"):
        return None
    negated = line.startswith("!")
    line = line[1:] if negated else line
    folders_only = line.endswith("/")
    line = line.rstrip("/")
    if not line:
        return None
    anchored = "/" in line
    if _WILD.isdisjoint(line):
        return Pattern(line.lstrip("/"), negated, folders_only, anywhere=not anchored)
    body = _translate(line.lstrip("/"))
    return Pattern(re.compile(body if anchored else f"(?:.*/)?{body}", re.DOTALL), negated, folders_only)


def _docker_pattern(line: str) -> Pattern | None:
    line = line.strip()
    if not line or line.startswith("#"):
        return None
    negated = line.startswith("!")
    line = (line[1:] if negated else line).strip()
    parts = [part for part in line.split("/") if part not in ("", ".")]
    if not parts:
        return None
    # A match of a folder is a match of all it holds, and may be taken back for single files in it.
    return Pattern(re.compile(f"{_translate('/'.join(parts))}(?:/.*)?", re.DOTALL), negated, False)


def _translate(pattern: str) -> str:
    """Turn a wildcard pattern into a regular expression: `*` and `?` stop at slashes, `**` does not."""
    out, index = "", 0
    while index < len(pattern):
        rest = pattern[index:]
        if rest.startswith("**/") and (index == 0 or pattern[index - 1] == "/"):
            out, index = out + "(?:.*/)?", index + 3
        elif rest == "**" and (index == 0 or pattern[index - 1] == "/"):
            out, index = out + ".+", index + 2
        elif rest.startswith("**"):
            out, index = out + "[^/]*", index + 2
        elif rest[0] == "*":
            out, index = out + "[^/]*", index + 1
        elif rest[0] == "?":
            out, index = out + "[^/]", index + 1
        elif rest[0] == "[" and (match := re.match(r"\[(!|\^)?(\]?[^\]]*)\]", rest)):
            inside = match[2].replace("\\", r"\\").replace("[", r"\[")
            out, index = out + f"(?!/)[{'^' if match[1] else ''}{inside}]", index + match.end()
        elif rest[0] == "\\" and len(rest) > 1:
            out, index = out + re.escape(rest[1]), index + 2
        else:
            out, index = out + re.escape(rest[0]), index + 1
    return out
