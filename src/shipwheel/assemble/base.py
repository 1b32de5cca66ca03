"""A locked base → its layers in the cache, its files, and its interpreter, each made when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shipwheel.assemble.workshop import Once, Workshop
from shipwheel.base.model import Base, DebianBase, DebianPlatform, ImageBase
from shipwheel.errors import HostError
from shipwheel.oci.model import Layer, Platform
from shipwheel.plan.base import footing_key, locked_platform, plan_footing
from shipwheel.plan.host import host_platform

if TYPE_CHECKING:
    from shipwheel.wheel.interpreter import Interpreter, Root


class BaseMaker:
    """The base of one image. Nothing is fetched or unpacked before something needs it."""

    def __init__(self, base: Base, platform: Platform, workshop: Workshop) -> None:
        self.base = base
        self._platform = platform
        self._workshop = workshop
        self._footing = plan_footing(base, platform)
        self.layers = Once(self._layers)
        self.root = Once(self._root)

    def files(self, paths: Sequence[str]) -> dict[str, bytes]:
        """Return the contents of those of `paths` that the base has."""
        from shipwheel.oci.tree import find_files

        return find_files(self.layers(), paths)

    def interpreter(self, *, of_host: bool) -> Interpreter:
        """Return the Python that the plan counts on: the base's own, or with `of_host` this machine's.

        The base's own may be that of the same version for this machine's platform. Raises HostError
        `no-interpreter` when it does not run here; another one would give other bytes under one key.
        """
        from shipwheel.wheel.interpreter import Interpreter, NoInterpreter, find_interpreter

        root = None if of_host else self._runnable_root()
        search_path = self._workshop.environ.get("PATH", "")
        found = find_interpreter(self._footing.target.python, root=root, search_path=search_path)
        if isinstance(found, Interpreter) and (found.origin == "host") == of_host:
            return found
        why = found if isinstance(found, NoInterpreter) else "the base's own Python does not run here"
        raise HostError(
            "no-interpreter",
            f"bytecode cannot be compiled: {why}",
            place="shipwheel.lock [base]",
            hint="[tool.shipwheel] bytecode = false builds without",
        )

    def _runnable_root(self) -> Root | None:
        from shipwheel.wheel.interpreter import Root

        here = host_platform()
        if here is None:
            return None
        if here == self._platform:
            return Root(path=self.root(), executable=self._footing.executable)
        if all(item.platform != str(here) for item in self.base.platforms):
            return None
        twin = BaseMaker(self.base, here, self._workshop)
        if twin._footing.target.python != self._footing.target.python:
            return None
        return Root(path=twin.root(), executable=twin._footing.executable)

    def _layers(self) -> list[Layer]:
        workshop = self._workshop
        plans = self._footing.layers
        found = [workshop.find_layer(plan.key or "", title=plan.name) for plan in plans]
        layers = [layer for layer in found if layer is not None]
        if len(layers) == len(plans):
            for plan, layer in zip(plans, layers, strict=True):
                workshop.tell_found(plan.key or "", plan.name, layer)
            return layers
        locked = locked_platform(self.base, self._platform)
        if isinstance(self.base, DebianBase) and isinstance(locked, DebianPlatform):
            return self._assemble_debian(self.base, locked)
        return self._open_image()

    def _open_image(self) -> list[Layer]:
        base, workshop = self.base, self._workshop
        if not isinstance(base, ImageBase):
            raise AssertionError("a base is Debian's or an image")  # noqa: TRY004 - cannot be
        if base.kind == "layout":
            from shipwheel.base.layout import open_layout_layers

            layers = open_layout_layers(base, self._platform, root=workshop.project.root)
        else:
            from shipwheel.base.registry import open_registry_layers

            layers = open_registry_layers(base, self._platform, workshop.registry)
        for plan, layer in zip(self._footing.layers, layers, strict=True):
            workshop.progress.finished(plan.key or "", plan.name, note="as is", size=layer.descriptor.size)
        return layers

    def _assemble_debian(self, base: DebianBase, locked: DebianPlatform) -> list[Layer]:
        from shipwheel.base.debian.assemble import assemble_debian
        from shipwheel.base.debian.fetch import fetch_packages

        workshop = self._workshop
        workshop.progress.started("debian", f"{len(locked.packages)} Debian packages")
        debs = fetch_packages(workshop.http, workshop.cache, base, locked.packages, workshop.mirrors)
        with workshop.cache.staging_folder() as folder:
            made = assemble_debian(locked, debs, folder)
            workshop.progress.finished("debian", f"{len(locked.packages)} Debian packages", note="checked")
            return [
                workshop.keep_layer(plan.key or "", plan.name, layer)
                for plan, layer in zip(self._footing.layers, made, strict=True)
            ]

    def _root(self) -> Path:
        from shipwheel.oci.unpack import unpack_layers

        cache = self._workshop.cache
        key = f"root without data {footing_key(self._footing.layers)}"
        if (kept := cache.folder(key)) is not None:
            return kept
        layers = self.layers()
        with cache.staging_folder() as staged:
            # What programs run is wanted: time zones and manuals are most of the files and none of that.
            unpack_layers(layers, staged, leave_out=("usr/share",))
            return cache.add_folder(staged, key)
