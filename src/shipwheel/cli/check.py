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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from shipwheel.cache import Cache
from shipwheel.cli.console import open_console
from shipwheel.cli.options import add_selection, make_request, open_workshop
from shipwheel.engine.probe import Completed, probe, watch
from shipwheel.engine.spec import Runner
from shipwheel.errors import LockError, Problem, UsageError
from shipwheel.oci.files import new_file
from shipwheel.oci.model import Platform
from shipwheel.plan.host import default_platform
from shipwheel.project.reader import read_project
from shipwheel.project.settings import CheckSettings

if TYPE_CHECKING:
    from shipwheel.assemble.workshop import Workshop
    from shipwheel.images import Opener
    from shipwheel.locks.model import Lock
    from shipwheel.oci.model import Image
    from shipwheel.oci.read import LoadedImage
    from shipwheel.oci.registry.client import RegistryClient
    from shipwheel.pipeline import Request
    from shipwheel.progress import Progress
    from shipwheel.project.model import Project
    from shipwheel.verify.model import Measurement, Report

FORMATS: Final = ("text", "json", "sarif", "junit", "markdown", "html")
_FAILED: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    image: Image | LoadedImage
    name: str
    again: Image | LoadedImage | None = None
    tried: tuple[Measurement, ...] = ()


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
        if problem is not None and _is_project(options.target):
            raise LockError.of([problem])
        with (
            _open(options, project, progress) as target,
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
                    dockerfile=_dockerfile(options),
                    compose=_compose(options, project),
                    dev=dev,
                    today=datetime.now(UTC).date(),
                    environ=dict(os.environ),
                    machine=_machine(options, target.image, progress),
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
    if _is_project(options.target):
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


def _dockerfile(options: argparse.Namespace) -> Path | None:
    if options.dockerfile is None:
        return None
    path = Path(options.dockerfile)
    if not path.is_file():
        raise UsageError("no-dockerfile", "there is no such file", place=str(path))
    return path


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

    return find_compose(project.root)


@contextmanager
def _dev(options: argparse.Namespace, progress: Progress) -> Iterator[Image | LoadedImage | None]:
    """Yield the image for development, opened where it is."""
    if options.dev is None:
        yield None
        return
    from shipwheel.images import Opener, open_image

    opener = Opener(registry=lambda: _registry(options, progress), environ=dict(os.environ))
    with open_image(options.dev, opener) as opened:
        yield opened.image_for(_platform(options.platform), default=default_platform())


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


def _is_project(target: str) -> bool:
    return (Path(target) / "pyproject.toml").is_file()


@contextmanager
def _open(options: argparse.Namespace, project: Project | None, progress: Progress) -> Iterator[_Target]:
    """Yield the image: built, or opened where it is."""
    if project is not None and _is_project(options.target):
        from shipwheel.pipeline import build

        request = make_request(options, project, os.environ)
        if len(request.platforms) != 1:
            raise UsageError("one-platform", "an image is checked for one platform", place="--platform")
        workshop = open_workshop(options, project, progress)
        built = build(request, workshop)
        once_more = _build_again(request, workshop) if options.rebuild else None
        with workshop.cache.in_use():
            tried = _try_changes(request, workshop) if options.measure else ()
            yield _Target(image=built.images[0], name=str(built.reference), again=once_more, tried=tried)
        return
    if options.rebuild and options.dockerfile is None:
        raise UsageError(
            "rebuild-project",
            "only a PROJECT, or an IMAGE with its --dockerfile, can be built again",
            place="--rebuild",
        )
    if options.target == ".":
        raise UsageError(
            "no-target",
            "there is no pyproject.toml here",
            hint="name a project's folder or an image: `shipwheel check IMAGE`",
        )
    from shipwheel.images import Opener, open_image

    opener = Opener(registry=lambda: _registry(options, progress), environ=dict(os.environ))
    with open_image(options.target, opener) as opened:
        wanted = _platform(options.platform)
        image = opened.image_for(wanted, default=default_platform())
        tried = _try_dockerfile(options, progress) if options.measure else ()
        with _engine_build(options, opener, progress) as again:
            yield _Target(image=image, name=options.target, again=again, tried=tried)


@contextmanager
def _engine_build(
    options: argparse.Namespace, opener: Opener, progress: Progress
) -> Iterator[LoadedImage | None]:
    """Yield the image that an engine builds of the Dockerfile from nothing, where that is asked for."""
    if not options.rebuild:
        yield None
        return
    from shipwheel.images import open_image
    from shipwheel.trial.dockerfile import built_again

    progress.said("building the Dockerfile again, from nothing")
    path = _dockerfile(options)
    if path is None:
        raise AssertionError("checked where the target is opened")
    with built_again(path, os.environ) as where, open_image(where, opener) as opened:
        yield opened.image_for(_platform(options.platform), default=default_platform())


def _try_dockerfile(options: argparse.Namespace, progress: Progress) -> tuple[Measurement, ...]:
    from shipwheel.trial.dockerfile import try_changes
    from shipwheel.trial.native import CHANGES
    from shipwheel.verify.model import Measurement

    path = _dockerfile(options)
    if path is None:
        reason = "what the image was made from was not given (--dockerfile, or a PROJECT)"
        return tuple(Measurement(what=what, reason=reason) for what in CHANGES)
    progress.said("measuring changes in a copy of the Dockerfile's folder")
    folder = path.resolve().parent
    has_project = (folder / "pyproject.toml").is_file()
    workshop = open_workshop(options, read_project(folder), progress) if has_project else None
    return tuple(try_changes(path, None if workshop is None else workshop.fetcher, os.environ))


def _try_changes(request: Request, workshop: Workshop) -> tuple[Measurement, ...]:
    from shipwheel.trial.native import try_changes

    workshop.progress.said("measuring changes in a copy of the project")
    return tuple(try_changes(request, workshop))


def _build_again(request: Request, workshop: Workshop) -> Image:
    """Build with nothing from a cache or a registry but downloads, whose hashes are locked."""
    from shipwheel.assemble.book import LayerBook
    from shipwheel.pipeline import build

    workshop.progress.said("building it again, from nothing")
    fresh = replace(workshop, cache=Cache.default(os.environ, fresh=True), book=LayerBook())
    return build(replace(request, cache_from=()), fresh).images[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMachine:
    """Runs commands in the image with a runner."""

    image: Image
    runner: Runner

    def probe(
        self, argv: Sequence[str], *, uid: int | None, timeout: float, writable: bool = False
    ) -> Completed:
        """Run `argv`; see `verify.machine.Machine`."""
        return probe(self.image, argv, runner=self.runner, uid=uid, timeout=timeout, writable=writable)

    def watch(self, argv: Sequence[str], *, timeout: float, is_last: Callable[[bytes], bool]) -> Completed:
        """Run `argv` as process 1; see `verify.machine.Machine`."""
        return watch(self.image, argv, runner=self.runner, timeout=timeout, is_last=is_last)


def _machine(
    options: argparse.Namespace, image: Image | LoadedImage, progress: Progress
) -> ImageMachine | None:
    if not options.run and not options.measure and options.runner is None:
        return None
    from shipwheel.engine.detect import find_runner
    from shipwheel.oci.read import LoadedImage

    runner = find_runner(os.environ, options.runner, cache=Cache.default(os.environ))
    progress.said(f"running the image with {runner.name}")
    return ImageMachine(image=image.image if isinstance(image, LoadedImage) else image, runner=runner)


def _platform(words: list[str] | None) -> Platform | None:
    if not words:
        return None
    if len(words) > 1 or "," in words[0]:
        raise UsageError("one-platform", "an image is checked for one platform", place="--platform")
    return Platform.parse(words[0])


def _registry(options: argparse.Namespace, progress: Progress) -> RegistryClient:
    from shipwheel.net import Http
    from shipwheel.oci.registry.client import RegistryClient

    environ = dict(os.environ)
    return RegistryClient.from_environ(
        environ,
        Http.from_environ(environ, notify=progress.said),
        Cache.default(environ),
        insecure=frozenset(options.insecure_registry),
    )
