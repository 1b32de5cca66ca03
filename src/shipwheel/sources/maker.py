"""A locked source → its files, what builds it, and its wheel in the cache, named by hash.

What is pure Python is built with the Python that runs this; what compiles, in a builder root. Which of
the two is decided once and stands in shipwheel.lock. Writes no lock.
"""

from __future__ import annotations

import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packaging.pylock import PackageArchive, PackageSdist, PackageVcs
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from shipwheel.assemble.workshop import Workshop
from shipwheel.errors import BuildError
from shipwheel.locks.model import Selected
from shipwheel.project.model import Project
from shipwheel.sources.builder import Builder, Order
from shipwheel.sources.names import wheel_id
from shipwheel.target import Target
from shipwheel.wheel.archive import open_wheel
from shipwheel.wheel.build import (
    BackEnd,
    build_wheel,
    extra_requirements,
    pin_requirements,
    prepare_environment,
    read_back_end,
)
from shipwheel.wheel.native import NeededLibrary, has_native_code, unmet_libraries
from shipwheel.wheel.origin import archive_name, source_id
from shipwheel.wheel.pins import BuildSystem, SourceBuild
from shipwheel.wheel.source import BuiltWheel, check_no_private_keys, keep_wheel, kept_wheel, stage_project
from shipwheel.wheel.unpack import source_root, unpack_source
from shipwheel.wheel.vcs import fetch_commit


@dataclass(frozen=True, slots=True)
class SourceTree:
    """A copy of a source of its own: all of it in `folder`, the project in `root` (the same, or below)."""

    folder: Path
    root: Path
    back_end: BackEnd


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiling:
    """What compiling for an image takes: the `builder`, and the image's libraries by name.

    `takes_packages`: the image's base is assembled, so that Debian packages can be added to it; `packages` are
    those that were.
    """

    builder: Builder
    libraries: Callable[[], Mapping[str, Path]]
    takes_packages: bool = True
    packages: Sequence[str] = ()


def pin_source(
    item: Selected,
    workshop: Workshop,
    *,
    pinned: Callable[[Sequence[str]], BuildSystem | None],
    ready: Callable[[BuildSystem], tuple[Builder, BuildSystem]],
) -> tuple[SourceBuild, BuildSystem]:
    """Find out what builds `item`: look at its files, ask its back-end, and pin what they ask for.

    A pure source is built on the way, which shows that it is one. `pinned` returns what the same
    requirements came to before. `ready` is called for a source that compiles: it returns the builder and the
    build system with its sources noted. Raises BuildError, IntegrityError, NetworkError, HostError, and
    what `ready` raises.
    """
    index, environ = workshop.builder.index, workshop.environ

    def pin(requires: Sequence[str]) -> BuildSystem:
        return pinned(requires) or pin_requirements(requires, index=index, environ=environ)

    source = source_id(item.source)
    with _located(item), source_tree(item, workshop) as tree:
        requires = tuple(tree.back_end.requires)
        system = pin(requires)
        if not has_native_code(tree.root, requires):
            extra = extra_requirements(
                tree.root, tree.back_end, system, cache=workshop.cache, index=index, environ=environ
            )
            if extra:
                system = pin([*requires, *extra])
            build = SourceBuild(name=item.name, source=source, requires=system.requires)
            if _build_pure(item, build, system, tree, workshop) is not None:
                return build, system
        builder, system = ready(system)
        if extra := builder.requires(_order(item, tree, system)):
            _, system = ready(pin([*requires, *extra]))
    return SourceBuild(name=item.name, source=source, requires=system.requires, native=True), system


def make_wheel(
    item: Selected,
    build: SourceBuild,
    system: BuildSystem,
    *,
    target: Target,
    workshop: Workshop,
    compiling: Callable[[], Compiling],
) -> BuiltWheel:
    """Return the wheel of `item`, built unless it was before.

    Raises BuildError `build-failed`, `wrong-wheel`, `missing-library`, `older-library`, and as `pin_source`.
    """
    if not build.native:
        key = wheel_id(build, system, None)
        if (kept := kept_wheel(workshop.cache, key)) is not None:
            return kept
        with _told(item, workshop), _located(item), source_tree(item, workshop) as tree:
            made = _build_pure(item, build, system, tree, workshop)
        if made is None:
            raise BuildError(
                "wrong-wheel",
                f"{_title(item)} compiled something, and shipwheel.lock says that it does not",
                place=item.place,
                hint="run: shipwheel lock",
            )
        return made
    means = compiling()
    key = wheel_id(build, system, means.builder.id, means.builder.unbuilt(system))
    kept = kept_wheel(workshop.cache, key)
    if kept is None:
        with _told(item, workshop), source_tree(item, workshop) as tree, _folder() as into:
            built = means.builder.build(_order(item, tree, system), into)
            _check_name(item, built)
            kept = keep_wheel(workshop.cache, key, built)
    # It may have been compiled for an image that has more, or newer, libraries than this one.
    _check_compiled(kept, title=_title(item), place=item.place, target=target, means=means)
    return kept


def compile_member(
    project: Project,
    system: BuildSystem,
    key: str,
    *,
    target: Target,
    workshop: Workshop,
    compiling: Compiling,
) -> BuiltWheel:
    """Return the wheel of a first-party project that compiles, whose files have `key`; raises as `make_wheel`."""
    place = str(project.pyproject)
    kept = kept_wheel(workshop.cache, key)
    if kept is None:
        with _folder() as folder:
            tree = stage_project(project, folder)
            order = Order(
                folder=tree,
                tree=tree,
                back_end=BackEnd.of(project.data),
                system=system,
                title=project.title,
                place=place,
            )
            built = compiling.builder.build(order, folder)
            check_no_private_keys(built, project)
            kept = keep_wheel(workshop.cache, key, built)
    _check_compiled(kept, title=project.title, place=place, target=target, means=compiling)
    return kept


@contextmanager
def source_tree(item: Selected, workshop: Workshop) -> Iterator[SourceTree]:
    """Yield a copy of the source's files, removed in the end.

    Raises IntegrityError `unsafe-source`, `bad-source`, and what fetching raises.
    """
    source = item.source
    with _folder() as folder:
        into = folder / "source"
        if isinstance(source, PackageVcs):
            kept = fetch_commit(
                source,
                cache=workshop.cache,
                environ=workshop.environ,
                root=workshop.project.root,
                place=item.place,
            )
            shutil.copytree(kept, into, symlinks=True)
            root = into if not source.subdirectory else source_root(into / ".", source.subdirectory)
        elif isinstance(source, PackageSdist | PackageArchive):
            into.mkdir()
            filename = source.filename if isinstance(source, PackageSdist) else archive_name(source)
            unpack_source(workshop.fetcher.fetch(item), filename, into)
            root = source_root(into, getattr(source, "subdirectory", None))
        else:
            raise TypeError(f"not a source: {source!r}")
        try:
            back_end = read_back_end(root)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError, AttributeError) as error:
            raise BuildError(
                "no-back-end",
                f"the pyproject.toml of {_title(item)} cannot be read: {error}",
                place=item.place,
            ) from error
        yield SourceTree(into, root, back_end)


def _build_pure(
    item: Selected, build: SourceBuild, system: BuildSystem, tree: SourceTree, workshop: Workshop
) -> BuiltWheel | None:
    """Return the wheel, None when it turns out to be for one platform or Python only."""
    builder = workshop.builder
    env = prepare_environment(system, cache=workshop.cache, index=builder.index, environ=builder.environ)
    with _folder() as into:
        built = build_wheel(tree.root, tree.back_end, env, into, environ=builder.environ)
        tags = _check_name(item, built)
        if not all(tag.endswith("-none-any") for tag in tags):
            return None
        return keep_wheel(workshop.cache, wheel_id(build, system, None), built)


def _check_name(item: Selected, built: Path) -> set[str]:
    """Return the wheel's tags; raises BuildError `wrong-wheel` for another project or version."""
    try:
        name, version, _, tags = parse_wheel_filename(built.name)
    except InvalidWheelFilename as error:
        raise BuildError(
            "wrong-wheel", f"{_title(item)} became {built.name!r}: {error}", place=item.place
        ) from error
    if name != item.name or (item.version is not None and version.public != item.version.public):
        raise BuildError(
            "wrong-wheel",
            f"{_title(item)} became {built.name}: another project or version than is locked",
            place=item.place,
            hint="lock again, or is it a version that is made from version control?",
        )
    return {str(tag) for tag in tags}


def _check_compiled(built: BuiltWheel, *, title: str, place: str, target: Target, means: Compiling) -> None:
    tags = {str(tag) for tag in parse_wheel_filename(built.filename)[3]}
    if not tags & {str(tag) for tag in target.tags}:
        message = f"{title} became {built.filename}, which is not for {target.platform}"
        raise BuildError("wrong-wheel", message, place=place)
    wheel = open_wheel(built.path, filename=built.filename, sha256=built.sha256)
    unmet = unmet_libraries(wheel, means.libraries())
    if missing := [need for need in unmet if not need.versions]:
        raise _missing_libraries(missing, title, place, means)
    if unmet:
        needs = "; ".join(
            f"{need.member} needs {', '.join(need.versions)} of {need.library}" for need in unmet
        )
        raise BuildError(
            "older-library",
            f"{title} was compiled, and the image's libraries are older than those it was compiled with: {needs}",
            place=place,
            hint=f"take a base with {means.builder.target.libc} or newer, or choose a version with a wheel",
        )


def _missing_libraries(
    unmet: Sequence[NeededLibrary], title: str, place: str, means: Compiling
) -> BuildError:
    owners = means.builder.root().owners
    packages = sorted({owners[need.library] for need in unmet if need.library in owners})
    named = ", ".join(f'"{name}"' for name in sorted({*packages, *means.packages}))
    if not means.takes_packages:
        hint = f"the base image has to bring them (Debian: {', '.join(packages) or 'not found'})"
    elif packages:
        hint = f"add them to the image, then `shipwheel lock`: [tool.shipwheel.base] packages = [{named}]"
    else:
        hint = "name the Debian packages that have them: [tool.shipwheel.base] packages"
    return BuildError(
        "missing-library",
        f"{title} was compiled, and the image would not have its libraries: "
        + "; ".join(f"{need.member} needs {need.library}" for need in unmet),
        place=place,
        hint=hint,
    )


def _order(item: Selected, tree: SourceTree, system: BuildSystem) -> Order:
    return Order(
        folder=tree.folder,
        tree=tree.root,
        back_end=tree.back_end,
        system=system,
        title=_title(item),
        place=item.place,
    )


def _title(item: Selected) -> str:
    return f"{item.name} {item.version}" if item.version is not None else str(item.name)


@contextmanager
def _located(item: Selected) -> Iterator[None]:
    """Have errors of building name the package and its place in the lock: the tree is gone when they are read."""
    try:
        yield
    except BuildError as error:
        problem = error.problems[0]
        if problem.place == item.place:
            raise
        message = f"{_title(item)}: {problem.message}"
        raise BuildError(problem.code, message, place=item.place, hint=problem.hint) from error


@contextmanager
def _told(item: Selected, workshop: Workshop) -> Iterator[None]:
    key = f"wheel of {item.name}"
    workshop.progress.started(key, f"building {_title(item)}")
    yield
    workshop.progress.finished(key, f"building {_title(item)}", note="made")


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="shipwheel-") as name:
        yield Path(name).resolve()
