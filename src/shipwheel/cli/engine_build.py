"""`shipwheel build --engine`: build the project's Dockerfile, its own or one rendered in memory."""

from __future__ import annotations

import argparse
import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, cast

from shipwheel.cli.console import open_console
from shipwheel.cli.options import make_request, open_workshop, project_of
from shipwheel.engine.build import (
    BUILD_ENGINES,
    BuildEngine,
    EngineBuild,
    build_commands,
    check_target,
    find_build_engine,
    run_build,
)
from shipwheel.errors import UsageError

_CA_VARIABLES: Final = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
# What says where packages are, with whose login. Folders of this machine would say nothing in a container.
_INDEX_VARIABLES: Final = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "POETRY_PYPI_MIRROR_URL")
_INDEX_PREFIXES: Final = (
    "UV_INDEX",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "POETRY_HTTP_BASIC_",
    "PDM_PYPI_",
)


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


def run_engine(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Build with the engine that the words name, and print the image's names."""
    from shipwheel.pipeline import name_image
    from shipwheel.render.files import render_files
    from shipwheel.road import plan_dockerfile

    engine = cast(BuildEngine, options.engine)
    if options.output is not None:
        raise UsageError(
            "engine-option", "an engine keeps the image itself", place="--output", hint="--load or --push"
        )
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
        plan = plan_dockerfile(request, open_workshop(options, project, progress), unpinned=options.unpinned)
    road = plan.dockerfile
    assert road is not None  # noqa: S101 - plan_dockerfile's promise
    files = {Path(file.path).name: file.text for file in render_files(plan)}
    with ExitStack() as stack:
        dockerfile = project.root / "Dockerfile"
        ignore = None if not road.folder else project.root / "Dockerfile.dockerignore"
        if not dockerfile.is_file():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shipwheel-")))
            dockerfile = folder / "Dockerfile"
            dockerfile.write_text(files["Dockerfile"], "utf-8")
            ignore = folder / "Dockerfile.dockerignore"
            ignore.write_text(files.get(".dockerignore") or files["Dockerfile.dockerignore"], "utf-8")
        check_target(dockerfile.read_text("utf-8"), target)
        build = EngineBuild(
            dockerfile=dockerfile,
            context=(project.root / road.context).resolve(),
            target=target,
            tags=[] if target == "test" else tags,
            ignore=ignore if ignore is not None and ignore.is_file() else None,
            platforms=[str(platform) for platform in request.platforms] if options.platform else [],
            load=bool(options.load),
            push=options.push,
            cache_from=cache_from,
            cache_to=options.cache_to or (),
            builder=options.builder,
            epoch=request.epoch if options.epoch is not None or "SOURCE_DATE_EPOCH" in environ else None,
            secrets=stack.enter_context(build_secrets(options.secret or (), environ)),
            extra=options.passed_on or (),
        )
        run_build(build_commands(engine, build, program), environ)
    for tag in build.tags:
        print(tag)
    return 0


@contextmanager
def build_secrets(
    words: list[str] | tuple[str, ...], environ: Mapping[str, str]
) -> Iterator[dict[str, Path]]:
    """Yield the files to give as secrets: those of `words`, and what this machine's own pip or uv would use.

    Raises UsageError `bad-secret`.
    """
    found: dict[str, Path] = {}
    for word in words:
        fields = dict(part.partition("=")[::2] for part in word.split(","))
        path = fields.get("src") or fields.get("source")
        if not fields.get("id") or path is None or not Path(path).is_file():
            hint = "--secret id=index,src=FILE, where FILE is there"
            raise UsageError("bad-secret", f"no such secret: {word}", place="--secret", hint=hint)
        found[fields["id"]] = Path(path).absolute()
    bundle = next((environ[name] for name in _CA_VARIABLES if environ.get(name)), None)
    if bundle is not None and Path(bundle).is_file():
        found.setdefault("ca", Path(bundle))
    logins = [
        f"{name}={shlex.quote(value)}\n"
        for name, value in sorted(environ.items())
        if name in _INDEX_VARIABLES or name.startswith(_INDEX_PREFIXES)
    ]
    if not logins or "index" in found:
        yield found
        return
    # Readable by its owner alone, and gone with the build.
    with tempfile.NamedTemporaryFile("w", prefix="shipwheel-", suffix=".env") as file:
        file.write("".join(logins))
        file.flush()
        yield {**found, "index": Path(file.name)}
