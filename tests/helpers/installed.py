"""Small images with packages installed in them, as installers and dpkg leave them."""

import io
from collections.abc import Mapping, Sequence

from helpers.bases import elf, glibc
from shipwheel.inventory import as_loaded
from shipwheel.oci.layer import LayerWriter
from shipwheel.oci.model import BytesBlob, Image, Layer, RunConfig
from shipwheel.oci.read import LoadedImage
from shipwheel.oci.tar import Entry
from shipwheel.testing.images import LINUX_AMD64, make_layer

KEY = "io.shipwheel.layer.key"
SITE = "app/.venv/lib/python3.13/site-packages"
OS_RELEASE = 'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n'


def dist(
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    extra: str = "",
    files: Mapping[str, str] | None = None,
) -> dict[str, bytes | str]:
    """Return the files of an installed distribution."""
    folder = f"{SITE}/{name.replace('-', '_')}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {text}\n" for text in requires)
    return {
        f"{folder}/METADATA": f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{needs}{extra}\n",
        f"{SITE}/{name.replace('-', '_')}/__init__.py": f"# {name} {version}\n",
        **{f"{folder}/{path}": text for path, text in (files or {}).items()},
    }


def deb(name: str, version: str, *, extra: str = "", architecture: str = "amd64") -> dict[str, bytes | str]:
    """Return what dpkg's database says of a package, in a file of its own."""
    stanza = (
        f"Package: {name}\nStatus: install ok installed\nVersion: {version}\nArchitecture: {architecture}\n"
    )
    return {
        f"var/lib/dpkg/status.d/{name}": stanza + extra,
        f"var/lib/dpkg/status.d/{name}.md5sums": "d41d8cd98f00b204e9800998ecf8427e  usr/share/doc/x\n",
    }


def system(
    *packages: Mapping[str, bytes | str],
    python: str = "3.13.5",
    extra: Mapping[str, bytes | str] | None = None,
) -> Layer:
    """Return a layer with CPython, glibc 2.41 and Debian packages."""
    minor = python.rpartition(".")[0]
    files: dict[str, bytes | str] = {
        "etc/os-release": OS_RELEASE,
        "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
        "usr/lib/libc.so.6": glibc(architecture="amd64"),
        f"usr/bin/python{minor}": elf(python, architecture="amd64"),
        f"usr/lib/python{minor}/os.py": "# os\n",
    }
    for package in packages:
        files |= package
    files |= extra or {}
    return _programs(files, "shipwheel: os").with_annotations({KEY: "debian-os:0"})


def ours(name: str, files: Mapping[str, bytes | str]) -> Layer:
    """Return a layer that shipwheel made on a base."""
    return make_layer(files, created_by=f"shipwheel: {name}").with_annotations({KEY: f"sha256:{name}"})


def image_of(
    *layers: Layer, labels: Mapping[str, str] | None = None, config: RunConfig | None = None
) -> LoadedImage:
    """Return an image of these layers."""
    run = config or RunConfig(
        env=(("PATH", "/app/.venv/bin:/usr/bin"),),
        user="65532",
        labels=None if labels is None else dict(labels),
    )
    return as_loaded(Image(platform=LINUX_AMD64, layers=layers, config=run, created="1970-01-01T00:00:00Z"))


def _programs(files: Mapping[str, bytes | str], created_by: str) -> Layer:
    """Return a layer in which every file may be run, as an interpreter has to be."""
    buffer = io.BytesIO()
    writer = LayerWriter(buffer)
    for path, content in sorted(files.items()):
        data = content.encode() if isinstance(content, str) else content
        writer.add(Entry(path=path, size=len(data), mode=0o755), data)
    descriptor, diff_id = writer.finish()
    return Layer(
        descriptor=descriptor, diff_id=diff_id, blob=BytesBlob(buffer.getvalue()), created_by=created_by
    )
