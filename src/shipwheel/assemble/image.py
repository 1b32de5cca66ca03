"""`BuildPlan` → `Image`: every layer found in the cache or made, in the plan's order.

What writes layers is imported where a layer is written: most builds find nearly all of theirs.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from packaging.pylock import PackageArchive, PackageDirectory, PackageWheel
from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.assemble.app import RECIPE as SOURCE_RECIPE
from shipwheel.assemble.base import BaseMaker
from shipwheel.assemble.book import KEY_ANNOTATION
from shipwheel.assemble.machines import check_machines
from shipwheel.assemble.workshop import Once, Workshop
from shipwheel.errors import ImageError
from shipwheel.locks.model import Selected
from shipwheel.oci.layer import RECIPE as LAYER_RECIPE
from shipwheel.oci.model import Descriptor, Digest, Image, Layer, Platform, RunConfig
from shipwheel.oci.tar import DEFAULT_MTIME
from shipwheel.plan.inputs import INPUTS_ANNOTATION, layer_inputs
from shipwheel.plan.model import BuildPlan, LayerPlan
from shipwheel.project.model import Project
from shipwheel.project.settings import MAX_LAYERS
from shipwheel.wheel.origin import archive_name, direct_url, is_unbuilt
from shipwheel.wheel.pins import BuildSystem
from shipwheel.wheel.source import BuiltWheel, read_member, source_key

if TYPE_CHECKING:
    from shipwheel.wheel.interpreter import Interpreter
    from shipwheel.wheel.layer import LayerWheel


@dataclass(frozen=True, slots=True, kw_only=True)
class Materials:
    """What the plan's layers are made from: the selected files, the base, and the build tools' pins.

    `systems` maps the folder of each first-party project, absolute, to its build system; `builders` those
    that compile to what names the root that they are compiled in. `build_source` gives the wheel of what
    is locked as source, `build_member` that of a first-party project whose files have the given key.
    """

    selected: Sequence[Selected]
    base: BaseMaker
    build_source: Callable[[Selected], BuiltWheel]
    build_member: Callable[[Project, BuildSystem, str], BuiltWheel]
    systems: Mapping[Path, BuildSystem | None] = field(default_factory=dict)
    builders: Mapping[Path, str] = field(default_factory=dict)


def assemble(plan: BuildPlan, materials: Materials, workshop: Workshop) -> Image:
    """Return the image of `plan`, with every layer in the cache.

    Raises whatever fetching, building, compiling and writing raise, and ImageError `too-many-layers`.
    """
    return _Assembly(plan, materials, workshop).image()


def locked_wheel(
    item: Selected, materials: Materials, workshop: Workshop, *, stop: threading.Event | None = None
) -> LayerWheel:
    """Return the wheel of what is locked, downloaded or built, without bytecode; `stop` ends the download.

    Raises what fetching, building and `open_wheel` raise.
    """
    from shipwheel.wheel.archive import open_wheel
    from shipwheel.wheel.layer import LayerWheel

    source = item.source
    if is_unbuilt(source):
        built = materials.build_source(item)
        wheel = open_wheel(built.path, filename=built.filename, sha256=built.sha256)
        return LayerWheel(wheel=wheel, direct_url=direct_url(source), recompress=True)
    if not isinstance(source, PackageArchive | PackageWheel):
        raise AssertionError(f"{item.name} is neither wheel nor source")  # noqa: TRY004 - the plan promised
    path = workshop.fetcher.fetch(item, stop=stop)
    filename = source.filename if isinstance(source, PackageWheel) else archive_name(source)
    wheel = open_wheel(path, filename=filename, sha256=_sha256(path, source.hashes))
    return LayerWheel(wheel=wheel, direct_url=direct_url(source))


class _Assembly:
    def __init__(self, plan: BuildPlan, materials: Materials, workshop: Workshop) -> None:
        self._plan = plan
        self._materials = materials
        self._workshop = workshop
        self._selected = {item.name: item for item in materials.selected}
        self._interpreter = Once(self._find_interpreter)
        self._stop = threading.Event()
        # What the first-party layers are made of, by layer name, known once their files were read.
        self._own_inputs: dict[str, Mapping[str, str]] = {}

    def image(self) -> Image:
        # Layers of the base come as one, everything else on its own; wheels are what takes time.
        plan = self._plan
        upper = [layer for layer in plan.layers if layer.kind != "base"]
        # Downloads overlap with writing: more threads than cores, and few enough to keep memory small.
        pool = ThreadPoolExecutor(max_workers=min(8, 2 + (os.cpu_count() or 1)))
        try:
            base = pool.submit(self._materials.base.layers)
            made: list[Future[Layer]] = [pool.submit(self._upper_layer, layer) for layer in upper]
            below = [layer for layer in plan.layers if layer.kind == "base"]
            layers = [self._base_layer(*pair) for pair in zip(below, base.result(), strict=True)]
            layers += [future.result() for future in made]
        except BaseException:
            # What was not begun is dropped, downloads end, and nobody waits for a network that hangs.
            self._stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()
        if len(layers) > MAX_LAYERS:
            raise ImageError(
                "too-many-layers",
                f"{len(layers)} layers, and {MAX_LAYERS} are the most",
                place=plan.base.reference,
                hint="the base brings many: lower [tool.shipwheel.layers] alone",
            )
        return Image(
            platform=Platform.parse(plan.platform),
            layers=tuple(layers),
            config=run_config(plan),
            created=rfc3339(plan.epoch),
            annotations=manifest_annotations(plan),
        )

    def _base_layer(self, planned: LayerPlan, layer: Layer) -> Layer:
        # A foreign image's layers stay as they are; `base.inspect` looked at its Python.
        return self._described(planned, layer) if KEY_ANNOTATION in layer.descriptor.annotations else layer

    def _upper_layer(self, planned: LayerPlan) -> Layer:
        return self._described(planned, self._make(planned))

    def _described(self, planned: LayerPlan, layer: Layer) -> Layer:
        """Return the layer with what it is made of; it must hold no program for another machine."""
        project = self._workshop.project
        check_machines(
            layer,
            Platform.parse(self._plan.platform),
            name=project.title if planned.kind == "app" else planned.name,
            allowed={canonicalize_name(name) for name in project.settings.foreign_binaries},
            cache=self._workshop.cache,
        )
        inputs = layer_inputs(self._plan, planned, self._materials.base.base)
        inputs = replace(inputs, settings={**inputs.settings, **self._own_inputs.get(planned.name, {})})
        return layer.with_annotations({INPUTS_ANNOTATION: inputs.render()})

    def _make(self, layer: LayerPlan) -> Layer:
        match layer.kind:
            case "bytecode":
                return self._stdlib_bytecode(layer)
            case "skeleton":
                return self._skeleton(layer)
            case "wheel" | "wheels":
                return self._wheels(layer)
            case "first-party":
                return self._first_party(layer)
            case "app":
                return self._app(layer)
            case "base":
                raise AssertionError("the base makes its own layers")

    def _stdlib_bytecode(self, layer: LayerPlan) -> Layer:
        key = _required(layer)

        def write(file: BinaryIO) -> tuple[Descriptor, Digest]:
            from shipwheel.oci.layer import LayerWriter
            from shipwheel.wheel.bytecode import compile_tree

            root = self._materials.base.root()
            writer = LayerWriter(file)
            interpreter = self._needed_interpreter()
            # The folder as the base has it: /usr/lib/python3.13, or /usr/local/lib/python3.13.
            folder = (
                f"{Path(self._plan.python.executable).parent.parent}/lib/python{_minor(self._plan)}".lstrip(
                    "/"
                )
            )
            compiled = compile_tree(
                root, folder, key=key, interpreter=interpreter, cache=self._workshop.cache
            )
            folders: set[str] = set()
            for entry, content in compiled.entries():
                parent = entry.path.rpartition("/")[0]
                if parent not in folders:
                    folders.add(parent)
                    writer.add(replace(entry, path=parent, kind="directory", mode=0o755, size=0))
                writer.add(entry, content)
            return writer.finish()

        return self._workshop.make_layer(key, layer.name, write)

    def _skeleton(self, layer: LayerPlan) -> Layer:
        key = _required(layer)

        def write(file: BinaryIO) -> tuple[Descriptor, Digest]:
            from shipwheel.assemble.skeleton import skeleton_entries
            from shipwheel.oci.layer import LayerWriter

            writer = LayerWriter(file)
            files = self._materials.base.files(("etc/passwd", "etc/group"))
            for entry, content in skeleton_entries(self._plan, files):
                writer.add(entry, content)
            return writer.finish()

        return self._workshop.make_layer(key, layer.name, write)

    def _wheels(self, layer: LayerPlan) -> Layer:
        def write(file: BinaryIO) -> tuple[Descriptor, Digest]:
            items = [self._locked_wheel(NormalizedName(wheel.name), wheel.slim) for wheel in layer.wheels]
            return self._write_wheels(items, file)

        return self._workshop.make_layer(_required(layer), layer.name, write)

    def _first_party(self, layer: LayerPlan) -> Layer:
        projects = []
        for wheel in layer.wheels:
            source = self._selected[NormalizedName(wheel.name)].source
            if not isinstance(source, PackageDirectory):
                raise AssertionError(f"{wheel.name} is not a folder")  # noqa: TRY004 - the plan promised
            folder = (self._workshop.project.root / source.path).resolve()
            projects.append(read_member(folder, wheel.name))
        keys = {project.root: self._source_key(project) for project in projects}
        self._own_inputs[layer.name] = {
            f"files of {project.title}": hashlib.sha256(keys[project.root].encode()).hexdigest()[:12]
            for project in projects
        }

        def write(file: BinaryIO) -> tuple[Descriptor, Digest]:
            built = [self._built_wheel(project, keys[project.root]) for project in projects]
            return self._write_wheels(built, file)

        return self._workshop.make_layer(self._content_key("first-party", *keys.values()), layer.name, write)

    def _app(self, layer: LayerPlan) -> Layer:
        project = self._workshop.project
        sources = self._source_key(project)
        mtime = self._plan.epoch or DEFAULT_MTIME
        key = self._content_key("app", sources, str(mtime), SOURCE_RECIPE)
        self._own_inputs[layer.name] = _app_inputs(project, sources, mtime)

        def write(file: BinaryIO) -> tuple[Descriptor, Digest]:
            if project.package_mode:
                return self._write_wheels([self._built_wheel(project, sources)], file, mtime=mtime)
            from shipwheel.assemble.app import write_source_layer

            return write_source_layer(
                project,
                self._plan,
                file,
                interpreter=self._interpreter(),
                key=sources,
                cache=self._workshop.cache,
                mtime=mtime,
            )

        return self._workshop.make_layer(key, layer.name, write)

    def _write_wheels(
        self, wheels: Sequence[LayerWheel], file: BinaryIO, *, mtime: int = DEFAULT_MTIME
    ) -> tuple[Descriptor, Digest]:
        from shipwheel.wheel.layer import write_wheel_layer

        plan = self._plan
        written = write_wheel_layer(
            wheels, prefix=plan.paths.venv, python=plan.python.version, file=file, mtime=mtime
        )
        for collision in written.collisions:
            if not collision.identical:
                self._workshop.progress.said(
                    f"note: {' and '.join(collision.owners)} both install {collision.path}; "
                    f"{collision.winner}'s is in the image"
                )
        return written.descriptor, written.diff_id

    def _locked_wheel(self, name: NormalizedName, slim: Sequence[str]) -> LayerWheel:
        item = locked_wheel(self._selected[name], self._materials, self._workshop, stop=self._stop)
        return self._compiled(self._slimmed(item, slim))

    def _slimmed(self, item: LayerWheel, options: Sequence[str]) -> LayerWheel:
        if not options:
            return item
        from shipwheel.wheel.slim import plan_slimming

        with item.wheel.open() as reader:
            slimming = plan_slimming(item.wheel, reader, options, python=self._plan.python.version)
        for note in slimming.notes:
            self._workshop.progress.said(f"note: {note}")
        return replace(item, slimming=slimming)

    def _built_wheel(self, project: Project, sources: str) -> LayerWheel:
        from shipwheel.wheel.archive import open_wheel
        from shipwheel.wheel.layer import LayerWheel

        system = self._system(project)
        if system is None:
            raise AssertionError(f"{project.title} is no package")
        with ThreadPoolExecutor(1) as ahead:
            # On an empty cache, getting the base's Python takes as long as building; an error comes again below.
            ahead.submit(self._interpreter)
            built = self._materials.build_member(project, system, sources)
        wheel = open_wheel(built.path, filename=built.filename, sha256=built.sha256)
        return self._compiled(LayerWheel(wheel=wheel, recompress=True))

    def _compiled(self, item: LayerWheel) -> LayerWheel:
        interpreter = self._interpreter()
        if interpreter is None:
            return item
        from shipwheel.wheel.bytecode import compile_wheel

        compiled = compile_wheel(
            item.wheel,
            interpreter=interpreter,
            prefix=self._plan.paths.venv,
            cache=self._workshop.cache,
            jobs=1,
            without=item.slimming.dropped if item.slimming else (),
        )
        return replace(item, bytecode=compiled)

    def _source_key(self, project: Project) -> str:
        compiled_in = self._materials.builders.get(project.root)
        return source_key(project, self._system(project)) + (f" {compiled_in}" if compiled_in else "")

    def _system(self, project: Project) -> BuildSystem | None:
        return self._materials.systems.get(project.root)

    def _content_key(self, kind: str, *parts: str) -> str:
        plan = self._plan
        text = "\n".join(
            (
                kind,
                LAYER_RECIPE,
                plan.python.version,
                plan.paths.workdir,
                str(plan.bytecode.interpreter),
                *parts,
            )
        )
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    def _find_interpreter(self) -> Interpreter | None:
        planned = self._plan.bytecode
        if not planned.enabled:
            return None
        return self._materials.base.interpreter(of_host=str(planned.interpreter).endswith("+host"))

    def _needed_interpreter(self) -> Interpreter:
        interpreter = self._interpreter()
        if interpreter is None:
            raise AssertionError("a bytecode layer is planned only where there is an interpreter")
        return interpreter


def _app_inputs(project: Project, sources: str, mtime: int) -> dict[str, str]:
    # `source_key`: recipe, hash of the files, the build tools' id, what version control says.
    recipe, files, tools, described = f"{sources} ".split(" ", 3)
    found = {
        "build recipe": recipe,
        "files": files[:12],
        "build tools": tools[:12],
        "version control": described.strip(),
        "version": project.version or "",
        "date": str(mtime),
    }
    return {name: value for name, value in found.items() if value}


def run_config(plan: BuildPlan) -> RunConfig:
    """Return how the image runs (image-spec config.md)."""
    return RunConfig(
        user=f"{plan.user.uid}:{plan.user.gid}",
        exposed_ports=None
        if plan.ports.value is None
        else [port if "/" in port else f"{port}/tcp" for port in plan.ports.value],
        env=[(variable.name, variable.value) for variable in plan.env],
        entrypoint=plan.entrypoint.value,
        cmd=plan.cmd.value,
        volumes=plan.volumes.value,
        working_dir=plan.paths.workdir,
        labels={label.name: label.value for label in plan.labels},
        stop_signal=plan.stop_signal,
    )


def manifest_annotations(plan: BuildPlan) -> dict[str, str]:
    """Return the manifest's annotations: the labels that the image specification names, and the date."""
    prefix = "org.opencontainers.image."
    # Where nobody gave a date there is none to tell.
    created = {f"{prefix}created": rfc3339(plan.epoch)} if plan.epoch else {}
    return created | {label.name: label.value for label in plan.labels if label.name.startswith(prefix)}


def rfc3339(epoch: int) -> str:
    """Return seconds since 1970 as RFC 3339 in UTC."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _sha256(path: Path, hashes: Mapping[str, str]) -> str:
    if "sha256" in hashes:
        return hashes["sha256"]
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _required(layer: LayerPlan) -> str:
    if layer.key is None:
        raise AssertionError(f"layer {layer.name} has no key")
    return layer.key


def _minor(plan: BuildPlan) -> str:
    return ".".join(plan.python.version.split(".")[:2])
