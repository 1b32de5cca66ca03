"""Lines of a Dockerfile: one function an instruction's form, and the space between them. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Final

from shipwheel.render.text import shell_quote

# What a stage stands on that has nothing of another one.
BASE: Final = "${BASE}"
_RULE: Final = f"# {'-' * 78}"


def title(stage: str, what: str) -> list[str]:
    """Return the heading of a stage."""
    return [_RULE, f"# {stage}: {what}", _RULE]


def run(*steps: str, mounts: Sequence[str] = ()) -> str:
    """Return a RUN of `steps`, each only if the one before went well."""
    # Joined by &&, as not every builder obeys SHELL.
    return "RUN " + "".join(f"{mount} \\\n    " for mount in mounts) + " \\\n && ".join(steps)


def written(lines: Sequence[str], target: str) -> str:
    """Return the step that writes `lines` to the file `target`; a heredoc is not known to Debian 12's Buildah."""
    quoted = " \\\n      ".join(shell_quote(line) for line in lines)
    return f"printf '%s\\n' \\\n      {quoted} \\\n      > {target}"


def env(*pairs: str) -> str:
    """Return an ENV of pairs `NAME=value`."""
    return "ENV " + " \\\n    ".join(pairs)


def escape(value: str) -> str:
    """Return `value` for the inside of double quotes, with nothing expanded."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")


def double(value: str) -> str:
    """Return `value` in double quotes, with nothing expanded."""
    return f'"{escape(value)}"'


def below(folder: str, path: str) -> str:
    """Return `path` below `folder`, without a slash at the end."""
    return posixpath.join(folder, path).rstrip("/")


def spaced(lines: Sequence[str]) -> list[str]:
    """Return the lines with an empty one wherever another kind of instruction begins."""
    result: list[str] = []
    notes: list[str] = []
    before = ""
    for line in lines:
        if line.startswith("#") or not line:
            notes.append(line)
            continue
        kind = line.split(" ", 1)[0]
        if before and kind != before and "" not in notes:
            result.append("")
        result += [*notes, line]
        notes, before = [], kind
    return [*result, *notes]
