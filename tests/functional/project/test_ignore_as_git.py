"""Patterns of .gitignore match what git says that they match."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from helpers.tools import require_tool
from shipwheel.project.ignore import IgnoreFile

# Files; what stands before a slash is a folder.
PATHS = [
    "a",
    "b/a",
    "c/a/d",
    "a/d",
    "b/a/c",
    "xa",
    "b/xa",
    "ax",
    "a.py",
    "b/a.py",
    "b/c/a.py",
    "a.pyc",
    "dir/a",
    "b/dir/a",
    "dir/sub/a",
    "dir/sub/deep/a",
    "#a",
    "!a",
    "a b",
    "a ",
    "größe",
    "b/größe",
    "[a]",
    "a*",
    "b.",
    ".env",
    "b/.env",
]
PATTERNS = [
    ["a"],
    ["a/"],
    ["/a"],
    ["/a/"],
    ["b/a"],
    ["/b/a"],
    ["dir/"],
    ["dir/sub"],
    ["dir/*"],
    ["dir/**"],
    ["**/a"],
    ["b/**/a.py"],
    ["*.py"],
    ["*.py[co]"],
    ["?a"],
    ["[!x]a"],
    ["\\#a"],
    ["\\!a"],
    ["#a"],
    ["a b"],
    ["a   "],
    ["a\\ "],
    ["größe"],
    ["\\[a\\]"],
    ["a\\*"],
    [".env"],
    ["*", "!a"],
    ["*.py", "!/a.py"],
    ["dir/", "!dir/a"],
    ["dir/*", "!dir/a"],
    ["a", "!b/a"],
    [""],
    ["/"],
]


@pytest.mark.parametrize("lines", PATTERNS, ids=" ".join)
def test_what_is_ignored_is_what_git_ignores(tmp_path: Path, lines: list[str]) -> None:
    git = [require_tool("git"), "-C", str(tmp_path), "-c", "core.quotePath=false"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    (tmp_path / ".gitignore").write_text("\n".join(lines) + "\n", encoding="utf-8")
    asked = subprocess.run(
        [*git, "check-ignore", "--no-index", "-z", "--stdin"],
        input="\0".join(PATHS).encode(),
        capture_output=True,
        check=False,
    )
    theirs = set(asked.stdout.decode().split("\0")) - {""}
    ours = IgnoreFile.from_gitignore(lines)

    assert {path for path in PATHS if is_out(ours, path)} == theirs


def is_out(patterns: IgnoreFile, path: str) -> bool:
    """Tell whether the path or a folder that it is in is ignored: nobody descends into such a folder."""
    parts = path.split("/")
    return any(
        patterns.decide("/".join(parts[:length]), is_folder=length < len(parts))
        for length in range(1, len(parts) + 1)
    )
