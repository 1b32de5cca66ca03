"""What the making of an image needs of the machine, opened when first used, and the layers made before.

Everything that touches the world comes through here: cache, network, environment, clock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, TypeVar

from shipwheel.assemble.book import KEY_ANNOTATION, LayerBook
from shipwheel.cache import Cache
from shipwheel.oci.layer import MACHINES
from shipwheel.oci.model import Descriptor, Digest, FileBlob, Layer
from shipwheel.progress import Progress
from shipwheel.project.model import Project
from shipwheel.wheel.build import IndexOptions
from shipwheel.wheel.source import Builder

if TYPE_CHECKING:
    from shipwheel.base.debian.mirrors import Mirrors
    from shipwheel.net import Http
    from shipwheel.oci.registry.client import RegistryClient
    from shipwheel.wheel.fetch import Fetcher
    from shipwheel.wheel.indexes import Indexes
    from shipwheel.wheel.kit import Kits, KitStory

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """The machine as seen by one run: `now` has a time zone, `home` is the user's folder.

    `insecure` names registries that may be asked over plain http; `book` knows layers of images pushed
    before.
    """

    project: Project
    cache: Cache
    environ: Mapping[str, str]
    home: Path
    now: datetime
    progress: Progress
    insecure: frozenset[str] = frozenset()
    book: LayerBook = field(default_factory=LayerBook)

    @cached_property
    def http(self) -> Http:
        """Connections, with the caller's certificates and proxies."""
        from shipwheel.net import Http

        return Http.from_environ(self.network_environ, notify=self.progress.said)

    @cached_property
    def network_environ(self) -> Mapping[str, str]:
        """The environment, with the certificates that pip.conf names."""
        from shipwheel.wheel.index_variables import with_pip_cert

        return with_pip_cert(self.environ, home=self.home)

    @cached_property
    def indexes(self) -> Indexes:
        """The package indexes that pip, uv and the project configure."""
        from shipwheel.locks.find import find_requirements
        from shipwheel.wheel.indexes import read_indexes

        return read_indexes(
            environ=self.environ,
            home=self.home,
            root=self.project.root,
            project=self.project.data,
            requirements=find_requirements(self.project.root, self.project.settings.lock),
        )

    @cached_property
    def fetcher(self) -> Fetcher:
        """Gets locked files."""
        from shipwheel.wheel.fetch import Fetcher

        return Fetcher.over(
            self.http,
            self.cache,
            self.indexes,
            environ=self.environ,
            home=self.home,
            root=self.project.root,
        )

    @cached_property
    def builder(self) -> Builder:
        """Builds first-party wheels."""
        index = replace(uv_options(self.indexes), kits=self.kits)
        return Builder(cache=self.cache, index=index, environ=self.network_environ)

    @cached_property
    def kits(self) -> Kits:
        """The build tools as files, also those that images lend."""
        from shipwheel.assemble.kits import RegistryKits
        from shipwheel.wheel.kit import Kits

        return Kits(self.cache, lambda: self.fetcher, RegistryKits(self))

    @cached_property
    def mirrors(self) -> Mirrors | None:
        """Debian mirrors, where any is known."""
        from shipwheel.base.debian.mirrors import find_mirrors

        base = self.project.settings.base
        return find_mirrors(
            self.environ, main=base.mirror, security=base.security_mirror, snapshot=base.snapshot_mirror
        )

    @cached_property
    def registry(self) -> RegistryClient:
        """Speaks to registries, with the logins that Docker's and Podman's configuration hold."""
        from shipwheel.oci.registry.client import RegistryClient

        return RegistryClient.from_environ(self.environ, self.http, self.cache, insecure=self.insecure)

    def tools(self) -> tuple[KitStory, ...]:
        """Return where this run had build tools from; () where it needed none."""
        kits = self.__dict__.get("kits")  # not opened to say that it was not needed
        return tuple(kits.stories.values()) if kits is not None else ()

    def find_layer(self, key: str, *, title: str) -> Layer | None:
        """Return the layer made for `key` before, here or in an image that was pushed, or None."""
        if (found := self._cached_layer(key, title)) is not None:
            self.book.note(key, "cache")
            return found
        offered = self.book.find(key)
        if offered is None:
            return None
        layer, where = offered
        self.book.note(key, where)
        return replace(layer, created_by=_created_by(title))

    def tell_found(self, key: str, title: str, layer: Layer) -> None:
        """Say that a layer was found."""
        note = "cached" if self.book.origin(key) == "cache" else "reused"
        self.progress.finished(key, title, note=note, size=layer.descriptor.size)

    def make_layer(
        self, key: str, title: str, write: Callable[[BinaryIO], tuple[Descriptor, Digest]]
    ) -> Layer:
        """Return the layer for `key`: the one made before, or one that `write` writes now."""
        if (found := self.find_layer(key, title=title)) is not None:
            self.tell_found(key, title, found)
            return found
        self.progress.started(key, title)
        with self.cache.staging() as (staged, file):
            descriptor, diff_id = write(file)
            file.close()
            return self._keep(staged, key, title, descriptor, diff_id)

    def keep_layer(self, key: str, title: str, layer: Layer) -> Layer:
        """Move a layer that was written to a file of the cache's filesystem to where it is found again."""
        if not isinstance(layer.blob, FileBlob):
            raise TypeError("only a layer in a file can be moved")
        return self._keep(layer.blob.path, key, title, layer.descriptor, layer.diff_id)

    def _cached_layer(self, key: str, title: str) -> Layer | None:
        record = self.cache.record(f"layer {key}")
        # Records of older versions do not tell what the layer's programs are for.
        if record is None or "machines" not in record:
            return None
        digest = Digest.parse(record["digest"])
        path = self.cache.file(digest.algorithm, digest.hex)
        if path is None or path.stat().st_size != record["size"]:
            return None
        return _layer(record, path, key, title)

    def _keep(self, staged: Path, key: str, title: str, descriptor: Descriptor, diff_id: Digest) -> Layer:
        path = self.cache.add_file(staged, descriptor.digest.algorithm, descriptor.digest.hex)
        record = {
            "digest": str(descriptor.digest),
            "size": descriptor.size,
            "diff_id": str(diff_id),
            "media_type": descriptor.media_type,
            "machines": descriptor.annotations.get(MACHINES, ""),
        }
        self.cache.add_record(f"layer {key}", record)
        self.book.note(key, "made")
        self.progress.finished(key, title, note="made", size=descriptor.size)
        return _layer(record, path, key, title)


def uv_options(indexes: Indexes) -> IndexOptions:
    """Return uv's options for the mirror that stands for the default index, its login in the environment."""
    if indexes.no_index:
        links = [place.url for place in indexes.extra if place.kind == "find-links"]
        return IndexOptions(
            options=("--no-index", *(word for url in links for word in ("--find-links", url)))
        )
    mirror = next((place for place in indexes.mirrors if place.kind == "simple"), None)
    if mirror is None:
        return IndexOptions()
    login = mirror.login
    environ = {}
    if login is not None:
        # uv reads a named index's login from the environment: nothing shows in a list of processes.
        environ = {"UV_INDEX_SHIPWHEEL_USERNAME": login.user, "UV_INDEX_SHIPWHEEL_PASSWORD": login.password}
    return IndexOptions(options=("--default-index", f"shipwheel={mirror.url}"), environ=environ)


def _layer(record: Mapping[str, Any], path: Path, key: str, title: str) -> Layer:
    machines = {MACHINES: record["machines"]} if record["machines"] else {}
    descriptor = Descriptor(
        media_type=record["media_type"],
        digest=Digest.parse(record["digest"]),
        size=record["size"],
        annotations={KEY_ANNOTATION: key, **machines},
    )
    return Layer(
        descriptor=descriptor,
        diff_id=Digest.parse(record["diff_id"]),
        blob=FileBlob(path, descriptor.digest, descriptor.size),
        created_by=_created_by(title),
    )


def _created_by(title: str) -> str:
    return f"shipwheel: {title}"


class Once(Generic[T]):
    """Runs something at most once however many threads ask, and gives all of them its result."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: list[T] = []

    def __call__(self) -> T:
        """Return the result, made by the first caller."""
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]
