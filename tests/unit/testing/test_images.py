"""Random images are sound and the same for the same seed."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile

from shipwheel.testing.images import make_layer, random_image, random_index


def test_equal_seeds_give_equal_images() -> None:
    assert random_image(1).digest == random_image(1).digest != random_image(2).digest
    assert random_index(1).digest == random_index(1).digest


def test_a_layer_holds_its_files_and_their_folders() -> None:
    layer = make_layer({"a/b/c.txt": "text", "d.txt": b"data"})
    with layer.blob.open() as file:
        tar = gzip.decompress(file.read())
    assert layer.diff_id.hex == hashlib.sha256(tar).hexdigest()
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        assert archive.getnames() == ["a", "a/b", "a/b/c.txt", "d.txt"]


def test_every_blob_is_what_its_descriptor_says() -> None:
    for descriptor, blob in random_image(3, layers=5).blobs():
        with blob.open() as file:
            data = file.read()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (descriptor.digest.hex, descriptor.size)
