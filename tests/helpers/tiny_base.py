"""A base for tests of the pipeline: a layout of one small layer beside the project, pinned in its lock.

It holds no program, so nothing can be run or compiled with it, and nothing has to be downloaded.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from shipwheel.base.model import BaseLayer, ImageBase, ImagePlatform
from shipwheel.lockfile import FILE, ShipwheelLock, write_lockfile
from shipwheel.oci.layout import write_layout
from shipwheel.oci.model import Image, ImageIndex, Platform
from shipwheel.testing.images import make_layer
from shipwheel.wheel.pins import BuildSystem

PASSWD: Final = "root:x:0:0:root:/root:/usr/sbin/nologin\n"
# What pyproject.toml of a project on such a base says.
SETTINGS: Final = '[tool.shipwheel]\nbytecode = false\n[tool.shipwheel.base]\nlayout = "base"\n'
PLATFORMS: Final = ("linux/amd64", "linux/arm64")


def add_base(
    project: Path, *, python: str = "3.13.5", libc: str = "glibc 2.41", passwd: str = PASSWD
) -> None:
    """Write `base/` and shipwheel.lock into the project; its build back-end needs no packages."""
    images = []
    for text in PLATFORMS:
        files: Mapping[str, bytes | str] = {
            "etc/passwd": passwd,
            "etc/group": "root:x:0:\n",
            "platform": text,
        }
        images.append(Image(platform=Platform.parse(text), layers=(make_layer(files),)))
    index = ImageIndex(images=tuple(images))
    write_layout(project / "base", index, ref_name="base")
    base = ImageBase(
        kind="layout",
        reference="base",
        digest=str(index.digest),
        platforms=tuple(_pinned(image, python, libc) for image in images),
    )
    write_lockfile(
        project / FILE, ShipwheelLock(base=base, build_systems=(BuildSystem(requires=(), pins=()),))
    )


def _pinned(image: Image, python: str, libc: str) -> ImagePlatform:
    return ImagePlatform(
        platform=str(image.platform),
        digest=str(image.digest),
        python=python,
        libc=libc,
        executable=f"/usr/bin/python{'.'.join(python.split('.')[:2])}",
        layers=tuple(
            BaseLayer(
                media_type=layer.descriptor.media_type,
                digest=str(layer.descriptor.digest),
                size=layer.descriptor.size,
                diff_id=str(layer.diff_id),
                created_by=layer.created_by,
            )
            for layer in image.layers
        ),
    )
