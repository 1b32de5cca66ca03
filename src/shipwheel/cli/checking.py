"""What `shipwheel check` checks, opened: a project built, an image where it is, and what runs it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from shipwheel.cache import Cache
from shipwheel.cli.options import make_request, open_workshop
from shipwheel.engine.probe import Completed, probe, watch
from shipwheel.engine.spec import Runner
from shipwheel.errors import UsageError
from shipwheel.oci.model import Platform
from shipwheel.plan.host import default_platform
from shipwheel.project.reader import read_project

if TYPE_CHECKING:
    from shipwheel.assemble.workshop import Workshop
    from shipwheel.images import Opener
    from shipwheel.oci.model import Image
    from shipwheel.oci.read import LoadedImage
    from shipwheel.oci.registry.client import RegistryClient
    from shipwheel.pipeline import Request
    from shipwheel.progress import Progress
    from shipwheel.project.model import Project
    from shipwheel.verify.model import Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The image and its name; where asked for, the image built `again`, and changes that were `tried`."""

    image: Image | LoadedImage
    name: str
    again: Image | LoadedImage | None = None
    tried: tuple[Measurement, ...] = ()


def is_project(target: str) -> bool:
    """Tell whether the word names a project's folder."""
    return (Path(target) / "pyproject.toml").is_file()


@contextmanager
def open_target(options: argparse.Namespace, project: Project | None, progress: Progress) -> Iterator[Target]:
    """Yield the image: built, or opened where it is."""
    if project is not None and is_project(options.target):
        from shipwheel.pipeline import build

        request = make_request(options, project, os.environ)
        if len(request.platforms) != 1:
            raise UsageError("one-platform", "an image is checked for one platform", place="--platform")
        workshop = open_workshop(options, project, progress)
        built = build(request, workshop)
        once_more = _build_again(request, workshop) if options.rebuild else None
        with workshop.cache.in_use():
            tried = _try_changes(request, workshop) if options.measure else ()
            yield Target(image=built.images[0], name=str(built.reference), again=once_more, tried=tried)
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

    opener = Opener(registry=lambda: registry_of(options, progress), environ=dict(os.environ))
    with open_image(options.target, opener) as opened:
        wanted = platform_of(options.platform)
        image = opened.image_for(wanted, default=default_platform())
        tried = _try_dockerfile(options, progress) if options.measure else ()
        with _engine_build(options, opener, progress) as again:
            yield Target(image=image, name=options.target, again=again, tried=tried)


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
    path = dockerfile_of(options)
    if path is None:
        raise AssertionError("checked where the target is opened")
    with built_again(path, os.environ) as where, open_image(where, opener) as opened:
        yield opened.image_for(platform_of(options.platform), default=default_platform())


def _try_dockerfile(options: argparse.Namespace, progress: Progress) -> tuple[Measurement, ...]:
    from shipwheel.trial.dockerfile import try_changes
    from shipwheel.trial.native import CHANGES
    from shipwheel.verify.model import Measurement

    path = dockerfile_of(options)
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


def machine_for(
    options: argparse.Namespace, image: Image | LoadedImage, progress: Progress
) -> ImageMachine | None:
    """Return what runs the image; None unless that is asked for."""
    if not options.run and not options.measure and options.runner is None:
        return None
    from shipwheel.engine.detect import find_runner
    from shipwheel.oci.read import LoadedImage

    runner = find_runner(os.environ, options.runner, cache=Cache.default(os.environ))
    progress.said(f"running the image with {runner.name}")
    return ImageMachine(image=image.image if isinstance(image, LoadedImage) else image, runner=runner)


def platform_of(words: list[str] | None) -> Platform | None:
    """Return the platform that is named; raises UsageError `one-platform`."""
    if not words:
        return None
    if len(words) > 1 or "," in words[0]:
        raise UsageError("one-platform", "an image is checked for one platform", place="--platform")
    return Platform.parse(words[0])


def registry_of(options: argparse.Namespace, progress: Progress) -> RegistryClient:
    """Return a client for the registries that images are in."""
    from shipwheel.net import Http
    from shipwheel.oci.registry.client import RegistryClient

    environ = dict(os.environ)
    return RegistryClient.from_environ(
        environ,
        Http.from_environ(environ, notify=progress.said),
        Cache.default(environ),
        insecure=frozenset(options.insecure_registry),
    )


def dockerfile_of(options: argparse.Namespace) -> Path | None:
    """Return the Dockerfile that is named; raises UsageError `no-dockerfile`."""
    if options.dockerfile is None:
        return None
    path = Path(options.dockerfile)
    if not path.is_file():
        raise UsageError("no-dockerfile", "there is no such file", place=str(path))
    return path
