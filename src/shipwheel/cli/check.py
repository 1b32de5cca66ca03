"""Check an image for the five promises: secure, small, fast, flexible, stable. Each finding has its evidence.

IMAGE is a name in a registry, an OCI layout (FOLDER or oci:FOLDER:NAME), an archive (FILE), or
docker-daemon:NAME and podman:NAME; made by shipwheel or by anything else. PROJECT is a folder with a
pyproject.toml: its image is built, and its lock and settings are looked at too. The report is on standard
output. Exit code 1 tells of findings as grave as --fail-on.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from shipwheel.cli.checking import (
    dockerfile_of,
    is_project,
    machine_for,
    open_target,
    platform_of,
    registry_of,
)
from shipwheel.cli.console import open_console
from shipwheel.cli.options import add_selection
from shipwheel.errors import LockError, Problem, UsageError
from shipwheel.oci.files import new_file
from shipwheel.plan.host import default_platform
from shipwheel.project.reader import read_project
from shipwheel.project.settings import CheckSettings

if TYPE_CHECKING:
    from shipwheel.locks.model import Lock
    from shipwheel.oci.model import Image
    from shipwheel.oci.read import LoadedImage
    from shipwheel.progress import Progress
    from shipwheel.project.model import Project
    from shipwheel.verify.model import Report

FORMATS: Final = ("text", "json", "sarif", "junit", "markdown", "html")
_FAILED: Final = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's words."""
    parser.add_argument(
        "target", nargs="?", default=".", metavar="IMAGE|PROJECT", help="what to check (default: here)"
    )
    parser.add_argument(
        "--project",
        metavar="FOLDER",
        help="the project that an IMAGE was made from: its lock and settings are used",
    )
    parser.add_argument(
        "--scan",
        action="store_true",
        help="ask trivy, grype or osv-scanner, where installed, for known vulnerabilities",
    )
    parser.add_argument(
        "--offline-scan", action="store_true", help="ask them without network, by the databases they have"
    )
    parser.add_argument("--dockerfile", metavar="FILE", help="the Dockerfile of an IMAGE, to look at too")
    parser.add_argument(
        "--compose", metavar="FILE", help="the compose file that runs the image (default: the project's)"
    )
    parser.add_argument(
        "--dev", metavar="IMAGE", help="the project's image for development, to compare with production"
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="of the report (default: text)")
    # Not `output`, by which `make_request` means the image.
    parser.add_argument("--output", "-o", dest="report_file", metavar="FILE", help="write the report there")
    parser.add_argument(
        "--compare",
        metavar="FILE",
        help="an earlier report (--format json) that an HTML report compares with",
    )
    parser.add_argument(
        "--fail-on",
        choices=("error", "warning", "note", "never"),
        help="the least that makes exit code 1 (default: as configured, else error)",
    )
    parser.add_argument(
        "--run",
        action="store_true",
        help="run the image: import every module, start every command, start and stop the program",
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="--run, and time it: imports, first answer, end; and what changes of PROJECT (or of an IMAGE's "
        "--dockerfile) take to build and push, made in a scratch copy",
    )
    parser.add_argument(
        "--rebuild", action="store_true", help="build PROJECT once more from nothing and compare the images"
    )
    parser.add_argument("--runner", metavar="NAME", help="docker, podman, bwrap, runc or unshare")
    parser.add_argument("--only", action="append", default=[], metavar="CODE", help="these rules alone")
    parser.add_argument("--all", action="store_true", help="show all places of every finding")
    parser.add_argument("--rules", action="store_true", help="list the rules and check nothing")
    parser.add_argument("--quiet", "-q", action="store_true", help="show no progress")
    parser.add_argument("--no-cache", action="store_true", help="make every layer of PROJECT anew")
    parser.add_argument(
        "--insecure-registry",
        action="append",
        default=[],
        metavar="HOST",
        help="a registry that may be asked over plain http, as host:port; loopback always may",
    )
    add_selection(parser)


def run(options: argparse.Namespace) -> int:
    """Check and print the report."""
    from shipwheel.verify.check import Question, check_image
    from shipwheel.verify.model import at_least

    if options.rules:
        print(_rules(), end="")
        return 0
    if options.compare is not None and options.format != "html":
        raise UsageError("compare-html", "only the HTML report compares", place="--compare")
    project = _project(options)
    settings = CheckSettings() if project is None else project.settings.check
    with open_console(quiet=options.quiet) as progress:
        lock, problem = _lock(project)
        if problem is not None and is_project(options.target):
            raise LockError.of([problem])
        with (
            open_target(options, project, progress) as target,
            _layout(options, target.image) as layout,
            _dev(options, progress) as dev,
        ):
            report = check_image(
                Question(
                    image=target.image,
                    name=target.name,
                    project=project,
                    lock=lock,
                    lock_problem=problem,
                    settings=settings,
                    again=target.again,
                    layout=layout,
                    offline=options.offline_scan,
                    dockerfile=dockerfile_of(options),
                    compose=_compose(options, project),
                    dev=dev,
                    today=datetime.now(UTC).date(),
                    environ=dict(os.environ),
                    machine=machine_for(options, target.image, progress),
                    measure=options.measure,
                    tried=target.tried,
                    only=frozenset(word for words in options.only for word in words.split(",") if word),
                )
            )
    text = render(report, options.format, everything=options.all, before=options.compare)
    if options.report_file is None:
        sys.stdout.write(text)
    else:
        with new_file(Path(options.report_file)) as file:
            file.write(text.encode())
    limit = options.fail_on or settings.fail_on
    worst = report.worst()
    return _FAILED if limit != "never" and worst is not None and at_least(worst, limit) else 0


def render(report: Report, form: str, *, everything: bool, before: str | None = None) -> str:
    """Return the report in one of `FORMATS`; `before` is the file of an earlier one, which HTML compares."""
    if form == "html":
        from shipwheel.verify.report.compare import compare_reports
        from shipwheel.verify.report.html import render_html

        return render_html(report, None if before is None else compare_reports(Path(before), report))
    if form == "json":
        from shipwheel.verify.report.data import render_json

        return render_json(report)
    if form == "sarif":
        from shipwheel.verify.report.sarif import render_sarif

        return render_sarif(report)
    if form == "junit":
        from shipwheel.verify.report.junit import render_junit

        return render_junit(report)
    if form == "markdown":
        from shipwheel.verify.report.markdown import render_markdown

        return render_markdown(report)
    from shipwheel.verify.report.text import render_text

    return render_text(report, everything=everything)


def _rules() -> str:
    from shipwheel.verify.check import RULES

    return "".join(f"{rule.promise:<9} {rule.severity:<8} {rule.code:<26} {rule.title}\n" for rule in RULES)


def _project(options: argparse.Namespace) -> Project | None:
    if is_project(options.target):
        if options.project is not None:
            raise UsageError("two-projects", "the target is a project already", place="--project")
        return read_project(Path(options.target))
    return None if options.project is None else read_project(Path(options.project))


@contextmanager
def _layout(options: argparse.Namespace, image: Image | LoadedImage) -> Iterator[Path | None]:
    """Yield a folder with the image for scanners, where they are asked."""
    if not options.scan and not options.offline_scan:
        yield None
        return
    from shipwheel.oci.layout import write_layout

    with tempfile.TemporaryDirectory(prefix="shipwheel-") as folder:
        write_layout(Path(folder) / "image", image)
        yield Path(folder) / "image"


def _compose(options: argparse.Namespace, project: Project | None) -> Path | None:
    """Return the compose file: the one that is named, or the project's."""
    if options.compose is not None:
        path = Path(options.compose)
        if not path.is_file():
            raise UsageError("no-such-compose-file", "there is no such file", place=str(path))
        return path
    if project is None:
        return None
    from shipwheel.verify.composefile.check import find_compose

    found = find_compose(project.root)
    # As people name it from where they are: reports show it, and code hosts look for it there.
    here = Path.cwd()
    return found.relative_to(here) if found is not None and found.is_relative_to(here) else found


@contextmanager
def _dev(options: argparse.Namespace, progress: Progress) -> Iterator[Image | LoadedImage | None]:
    """Yield the image for development, opened where it is."""
    if options.dev is None:
        yield None
        return
    from shipwheel.images import Opener, open_image

    opener = Opener(registry=lambda: registry_of(options, progress), environ=dict(os.environ))
    with open_image(options.dev, opener) as opened:
        yield opened.image_for(platform_of(options.platform), default=default_platform())


def _lock(project: Project | None) -> tuple[Lock | None, Problem | None]:
    """Return the project's lock, or why there is none: an image can be checked without."""
    if project is None:
        return None, None
    from shipwheel.locking import read_project_lock

    try:
        return read_project_lock(project, frozen=True), None
    except LockError as error:
        if error.code in ("no-lock", "not-a-lock"):
            return None, error.problems[0]
        raise
