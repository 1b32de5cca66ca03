"""`shipwheel build --engine`: build the project's Dockerfile, its own or one rendered in memory."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import cast

from shipwheel.cli.console import open_console
from shipwheel.cli.options import make_request, open_workshop, project_of
from shipwheel.engine.build import (
    BUILD_ENGINES,
    BuildEngine,
    EngineBuild,
    build_commands,
    check_target,
    find_build_engine,
    image_format,
    run_build,
)
from shipwheel.engine.secrets import build_secrets, variables_of_addresses
from shipwheel.errors import UsageError


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Describe the words that only count with --engine."""
    group = parser.add_argument_group("with an engine", "words after -- go to its own build command")
    group.add_argument(
        "--engine", choices=BUILD_ENGINES, help="build the Dockerfile with it, instead of none"
    )
    group.add_argument("--target", help="stage to build: app (default), dev, test, builder")
    group.add_argument(
        "--builder", metavar="NAME", help="buildx builder, on this machine, another, or a cluster"
    )
    group.add_argument(
        "--cache-to", action="append", metavar="CACHE", help="as type=registry,ref=…; may be repeated"
    )
    group.add_argument(
        "--secret",
        action="append",
        metavar="id=ID,src=FILE",
        help="index: NAME=value lines; ca: certificates",
    )
    group.add_argument(
        "--unpinned", action="store_true", help="take the base's tag where it cannot be looked up"
    )


def refuse_without_engine(options: argparse.Namespace) -> None:
    """Raise UsageError `engine-option` for words that need --engine."""
    for name in ("target", "builder", "cache_to", "secret", "unpinned", "passed_on"):
        if getattr(options, name, None):
            word = "--" if name == "passed_on" else f"--{name.replace('_', '-')}"
            raise UsageError("engine-option", f"{word} needs --engine", place=word, hint="--engine docker")


def refuse_with_engine(options: argparse.Namespace) -> None:
    """Raise UsageError `engine-option` for words that an engine cannot obey."""
    for name, hint in (
        ("output", "an engine keeps the image itself: --load or --push"),
        ("json", "the names of the image are printed, a line each"),
        ("explain", "the engine says itself what comes from its cache"),
        ("attest", "let the engine do it: -- --sbom=true --provenance=true"),
    ):
        if getattr(options, name):
            raise UsageError(
                "engine-option", f"--{name} does not go with --engine", place=f"--{name}", hint=hint
            )


def run_engine(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Build with the engine that the words name, and print the image's names."""
    from shipwheel.pipeline import name_image
    from shipwheel.render.dockerfile import VERSION_LABEL
    from shipwheel.render.files import render_files
    from shipwheel.road import plan_dockerfile
    from shipwheel.wheel.index_variables import with_index_variables

    engine = cast(BuildEngine, options.engine)
    if engine == "docker" and options.builder is not None:
        engine = "buildx"  # the builder has to answer, no daemon beside it
    refuse_with_engine(options)
    target = options.target or "app"
    cache_from, options.cache_from = tuple(options.cache_from or ()), None
    project = project_of(options)
    program = find_build_engine(engine, environ)
    request = make_request(options, project, os.environ)
    references = request.references or (name_image(project),)
    tags = [str(reference) for reference in references]
    if target != "app":
        tags = [f"{tag}-{target}" for tag in tags]
    with open_console(quiet=options.quiet) as progress:
        workshop = open_workshop(options, project, progress)
        plan = plan_dockerfile(request, workshop, unpinned=options.unpinned)
    road = plan.dockerfile
    assert road is not None  # noqa: S101 - plan_dockerfile's promise
    files = {Path(file.path).name: file.text for file in render_files(plan)}
    context = (project.root / road.context).resolve()
    named = variables_of_addresses(context / path for path in road.manifests)
    told = with_index_variables(environ, home=workshop.home, root=project.root, project=project.data)
    with ExitStack() as stack:
        dockerfile = project.root / "Dockerfile"
        ignore = None if not road.folder else project.root / "Dockerfile.dockerignore"
        if not dockerfile.is_file():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shipwheel-")))
            dockerfile = folder / "Dockerfile"
            dockerfile.write_text(files["Dockerfile"], "utf-8")
            ignore = folder / "Dockerfile.dockerignore"
            ignore.write_text(files.get(".dockerignore") or files["Dockerfile.dockerignore"], "utf-8")
        text = dockerfile.read_text("utf-8")
        check_target(text, target)
        build = EngineBuild(
            dockerfile=dockerfile,
            context=context,
            target=target,
            tags=[] if target == "test" else tags,
            image_format=image_format(text),
            ignore=ignore if ignore is not None and ignore.is_file() else None,
            platforms=[str(platform) for platform in request.platforms] if options.platform else [],
            load=bool(options.load),
            push=options.push,
            cache_from=cache_from,
            cache_to=options.cache_to or (),
            no_cache=options.no_cache,
            builder=options.builder,
            epoch=request.epoch if options.epoch is not None or "SOURCE_DATE_EPOCH" in environ else None,
            secrets=stack.enter_context(build_secrets(options.secret or (), told, named)),
            labels={item.name: item.value for item in plan.labels if item.name == VERSION_LABEL},
            extra=options.passed_on or (),
        )
        run_build(build_commands(engine, build, program), environ)
    for tag in build.tags:
        print(tag)
    return 0
