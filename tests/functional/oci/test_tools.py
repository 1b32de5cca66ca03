"""What others' tools make of our images, and we of theirs: skopeo, umoci, oci-image-tool, GNU tar."""

import json
import subprocess
import zlib
from pathlib import Path

import pytest

from helpers.images import file, folder, hardlink, make_image, make_layer, small_image, small_index, symlink
from helpers.tools import require_tool
from shipwheel.oci.archive import write_docker_archive, write_oci_archive
from shipwheel.oci.archive_read import read_archive
from shipwheel.oci.layer import LayerWriter
from shipwheel.oci.layout import read_layout, write_layout
from shipwheel.oci.model import FileBlob, Image, Layer
from shipwheel.oci.read import LoadedImage
from shipwheel.oci.reference import Reference
from shipwheel.oci.tar import Entry
from shipwheel.oci.unpack import unpack_image
from shipwheel.oci.validate import validate_archive, validate_layout


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def skopeo_copy(source: str, destination: str, *options: str) -> None:
    run(require_tool("skopeo"), "--insecure-policy", "copy", *options, source, destination)


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """An image with what layers have: many gzip members, links, long names, a whiteout, an empty file."""
    lower = make_layer(
        tmp_path,
        folder("bin"),
        file("bin/app", b"#!/bin/true\n", mode=0o755),
        file("gone", b"old"),
        folder("tmp", mode=0o1777),
        symlink("sbin", "bin"),
        hardlink("app", "bin/app"),
    )
    text = b"A wheel's member, copied as it is. " * 4000
    compressor = zlib.compressobj(wbits=-15)
    raw = compressor.compress(text) + compressor.flush()
    path = tmp_path / "copied"
    with path.open("wb") as stream:
        writer = LayerWriter(stream)
        for name in ("copied", "ü" * 100, "long/" * 30 + "name"):
            writer.add_deflated(Entry(path=name, size=len(text)), [raw], crc32=zlib.crc32(text))
            writer.add(Entry(path=f"{name}.empty"))
        writer.add(Entry(path=".wh.gone"))
        descriptor, diff_id = writer.finish()
    blob = FileBlob(path, descriptor.digest, descriptor.size)
    copied = Layer(descriptor=descriptor, diff_id=diff_id, blob=blob, created_by="copied")
    return make_image((lower, copied))


def test_skopeo_inspects_a_layout(tmp_path: Path, image: Image) -> None:
    write_layout(tmp_path / "layout", image, ref_name="v1")
    found = json.loads(run(require_tool("skopeo"), "inspect", f"oci:{tmp_path}/layout:v1"))
    assert found["Digest"] == str(image.digest)
    assert found["Layers"] == [str(layer.descriptor.digest) for layer in image.layers]


def test_skopeo_copies_a_layout_with_the_same_digest_and_we_read_its_copy(
    tmp_path: Path, image: Image
) -> None:
    write_layout(tmp_path / "layout", image, ref_name="v1")
    skopeo_copy(f"oci:{tmp_path}/layout:v1", f"oci:{tmp_path}/copy:v1")
    skopeo_copy(f"oci:{tmp_path}/layout:v1", f"oci-archive:{tmp_path}/copy.tar:v1")
    assert read_layout(tmp_path / "copy", "v1").digest == image.digest
    assert read_archive(tmp_path / "copy.tar", "v1").digest == image.digest
    assert validate_layout(tmp_path / "copy") == []
    assert validate_archive(tmp_path / "copy.tar") == []


def test_skopeo_writes_into_our_layout_and_both_names_stay(tmp_path: Path, image: Image) -> None:
    layout = tmp_path / "layout"
    write_layout(layout, image, ref_name="ours")
    skopeo_copy(f"oci:{layout}:ours", f"oci:{layout}:theirs")
    write_layout(layout, small_image(tmp_path), ref_name="again")
    for name in ("ours", "theirs", "again"):
        run(require_tool("skopeo"), "inspect", f"oci:{layout}:{name}")
        assert isinstance(read_layout(layout, name), LoadedImage)
    assert validate_layout(layout) == []


def test_skopeo_reads_our_archives(tmp_path: Path, image: Image) -> None:
    write_oci_archive(tmp_path / "oci.tar", image, ref_name="v1")
    write_docker_archive(tmp_path / "docker.tar", image, tags=[Reference.parse("index.example/app:v1")])
    skopeo_copy(f"oci-archive:{tmp_path}/oci.tar:v1", f"oci:{tmp_path}/a:v1")
    skopeo_copy(f"docker-archive:{tmp_path}/docker.tar:index.example/app:v1", f"oci:{tmp_path}/b:v1")
    assert read_layout(tmp_path / "a").digest == image.digest
    from_docker = read_layout(tmp_path / "b")
    assert isinstance(from_docker, LoadedImage)
    assert [layer.diff_id for layer in from_docker.layers] == [layer.diff_id for layer in image.layers]
    assert validate_layout(tmp_path / "b") == []


def test_we_read_the_docker_archives_of_skopeo(tmp_path: Path, image: Image) -> None:
    write_layout(tmp_path / "layout", image, ref_name="v1")
    skopeo_copy(f"oci:{tmp_path}/layout:v1", f"docker-archive:{tmp_path}/docker.tar:index.example/app:v1")
    loaded = read_archive(tmp_path / "docker.tar", "index.example/app:v1")
    assert isinstance(loaded, LoadedImage)
    assert [layer.diff_id for layer in loaded.layers] == [layer.diff_id for layer in image.layers]
    assert validate_archive(tmp_path / "docker.tar") == []


@pytest.mark.parametrize("options", [("--format", "v2s2"), ("--dest-compress-format", "zstd")])
def test_we_read_docker_manifests_and_zstd_layers_of_skopeo(
    tmp_path: Path, image: Image, options: tuple[str, ...]
) -> None:
    write_layout(tmp_path / "layout", image, ref_name="v1")
    kind = "dir" if options[0] == "--format" else "oci"
    skopeo_copy(f"oci:{tmp_path}/layout:v1", f"{kind}:{tmp_path}/copy", *options)
    if kind == "dir":
        # `dir:` is skopeo's own; through it the image comes back with Docker's media types.
        skopeo_copy(f"dir:{tmp_path}/copy", f"docker-archive:{tmp_path}/copy.tar:index.example/app:v1")
        assert validate_archive(tmp_path / "copy.tar") == []
        return
    loaded = read_layout(tmp_path / "copy")
    assert isinstance(loaded, LoadedImage)
    unpack_image(loaded, tmp_path / "root")
    assert (tmp_path / "root/bin/app").read_bytes() == b"#!/bin/true\n"
    assert validate_layout(tmp_path / "copy") == []


def test_skopeo_copies_an_index_with_all_its_platforms(tmp_path: Path) -> None:
    index = small_index(tmp_path)
    write_layout(tmp_path / "layout", index, ref_name="v1")
    skopeo_copy(f"oci:{tmp_path}/layout:v1", f"oci:{tmp_path}/copy:v1", "--all")
    assert read_layout(tmp_path / "copy").digest == index.digest
    assert validate_layout(tmp_path / "copy") == []


def test_umoci_unpacks_the_tree_that_we_unpack(tmp_path: Path, image: Image) -> None:
    write_layout(tmp_path / "layout", image, ref_name="v1")
    run(
        require_tool("umoci"),
        *("unpack", "--rootless", "--image", f"{tmp_path}/layout:v1"),
        str(tmp_path / "bundle"),
    )
    unpack_image(image, tmp_path / "ours")
    theirs = describe(tmp_path / "bundle/rootfs")
    assert describe(tmp_path / "ours") == theirs
    assert "gone" not in theirs
    assert len(theirs) > 30


def describe(root: Path) -> dict[str, tuple[int, bytes | str]]:
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mode,
            str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b"",
        )
        for path in root.rglob("*")
    }


def test_oci_image_tool_validates_what_we_write(tmp_path: Path, image: Image) -> None:
    write_layout(tmp_path / "layout", image, ref_name="v1")
    # Layouts only: Debian's build of the tool finds nothing in any tar, not in skopeo's either.
    tool = require_tool("oci-image-tool")
    run(tool, "validate", "--type", "image", "--ref", "name=v1", tmp_path / "layout")


def test_gnu_tar_unpacks_our_archives_and_layers_silently(tmp_path: Path, image: Image) -> None:
    write_oci_archive(tmp_path / "image.tar", image)
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        ["tar", "-xf", tmp_path / "image.tar", "-C", tmp_path / "out"], capture_output=True, check=True
    )
    assert done.stderr == b""
    assert validate_layout(tmp_path / "out") == []
    for layer in image.layers:
        assert isinstance(layer.blob, FileBlob)
        done = subprocess.run(["tar", "-tzf", layer.blob.path], capture_output=True, check=True)
        assert done.stderr == b""
