"""Write Dockerfile, .dockerignore, compose.yaml, dev container and bake file for the project, or check them.

Files that somebody else wrote or edited stay as they are unless --force. Lines between <own NAME> and
</own> are the user's, and kept. Prints the paths of the files that were written.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shipwheel.cli.console import open_console
from shipwheel.cli.options import add_project, add_selection, make_request, open_workshop, project_of
from shipwheel.errors import HostError, Problem, ProjectError
from shipwheel.staged import written_whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's words."""
    add_project(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--check", action="store_true", help="write nothing; fail with a diff when files drifted"
    )
    what.add_argument("--diff", action="store_true", help="write nothing; print what would change")
    what.add_argument("--force", action="store_true", help="overwrite files that were edited or are not ours")
    parser.add_argument(
        "--unpinned",
        action="store_true",
        help="take the base image's tag where its registry cannot be reached",
    )
    add_selection(parser)


def run(options: argparse.Namespace) -> int:
    """Write, check or show."""
    return write_files(options)


def write_files(options: argparse.Namespace, *, leave_out: Sequence[str] = ()) -> int:
    """Write, check or show all files but those whose paths are in `leave_out`."""
    from shipwheel.render.files import render_files
    from shipwheel.road import plan_dockerfile

    project = project_of(options)
    request = make_request(options, project, os.environ)
    with open_console(quiet=options.quiet) as progress:
        plan = plan_dockerfile(request, open_workshop(options, project, progress), unpinned=options.unpinned)
        for hint in plan.hints:
            progress.said(f"hint: {hint}")
    changes = [
        read_change(project.root, file.path, file.text)
        for file in render_files(plan)
        if file.path not in leave_out
    ]
    if options.diff or options.check:
        sys.stdout.write("".join(change.diff() for change in changes))
        return refuse_drift(changes) if options.check else 0
    if not options.force:
        refuse_foreign(changes)
    for change in changes:
        if change.before != change.after:
            write(change)
            print(change.path)
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A file as it is (None: it is not there) and as it should be, with the user's own regions put in."""

    path: Path
    name: str
    before: str | None
    after: str
    lost: Sequence[str] = ()

    def diff(self) -> str:
        """Return a unified diff, empty where nothing would change."""
        old = (self.before or "").splitlines(keepends=True)
        new = self.after.splitlines(keepends=True)
        return "".join(difflib.unified_diff(old, new, f"{self.name} (as it is)", f"{self.name} (as planned)"))


def read_change(root: Path, name: str, text: str) -> Change:
    """Compare the file `name` below `root` with `text`; raises ProjectError `unreadable-file`."""
    from shipwheel.render.text import lost_regions, own_regions, with_own

    path = root / name
    try:
        before = path.read_text("utf-8") if path.exists() else None
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise ProjectError("unreadable-file", f"not a text file: {error}", place=str(path)) from error
    own = own_regions(before or "")
    return Change(
        path=path, name=name, before=before, after=with_own(text, own), lost=lost_regions(text, own)
    )


def refuse_drift(changes: Sequence[Change]) -> int:
    """Return 0 when every file is as planned; raises ProjectError `drifted`, one problem a file."""
    problems = [
        Problem(
            code="drifted",
            message=f"{change.name} is {'not there' if change.before is None else 'not as planned'}",
            place=str(change.path),
            hint="`shipwheel init` writes it",
        )
        for change in changes
        if change.before != change.after
    ]
    if problems:
        raise ProjectError.of(problems)
    return 0


def refuse_foreign(changes: Sequence[Change]) -> None:
    """Raise ProjectError for every file in the way: `file-in-the-way`, `edited-file`, `lost-region`."""
    from shipwheel.render.text import is_sealed, is_untouched

    problems = []
    for change in changes:
        if change.before is None or change.before == change.after:
            continue
        place = str(change.path)
        if not is_sealed(change.before):
            hint = "move it away, or overwrite it: shipwheel init --force"
            problem = Problem(
                code="file-in-the-way", message=f"{change.name} is your own", place=place, hint=hint
            )
        elif not is_untouched(change.before):
            hint = "`shipwheel init --diff` shows; keep edits between <own …> and </own>, or give them up: --force"
            message = f"{change.name} was edited outside of your own regions"
            problem = Problem(code="edited-file", message=message, place=place, hint=hint)
        elif change.lost:
            hint = "move its lines to another one, or give them up: --force"
            message = f"{change.name} no longer has the region {', '.join(change.lost)}"
            problem = Problem(code="lost-region", message=message, place=place, hint=hint)
        else:
            continue
        problems.append(problem)
    if problems:
        raise ProjectError.of(problems)


def write(change: Change) -> None:
    """Write the file whole or not at all; raises HostError `cannot-write`."""
    try:
        change.path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(change.path) as staged:
            staged.write_text(change.after, "utf-8")
    except OSError as error:
        raise HostError(
            "cannot-write", f"cannot be written: {error.strerror}", place=str(change.path)
        ) from error
