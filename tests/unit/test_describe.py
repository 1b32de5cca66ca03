"""What an image is described as, read and unread."""

from helpers.installed import deb, dist, image_of, ours, system
from shipwheel.describe import describe_image, description_to_json
from shipwheel.plan.inputs import INPUTS_ANNOTATION
from shipwheel.testing.images import make_layer

COW = ours("cow", dist("cow", "1.0", extra="License-Expression: MIT"))


def test_each_layer_says_what_is_in_it() -> None:
    found = describe_image(image_of(system(deb("libc6", "2.41-12")), COW), place="x")

    assert [layer.packages for layer in found.layers] == [["libc6 2.41-12"], ["cow 1.0"]]
    assert [layer.created_by for layer in found.layers] == ["os", "cow"]
    assert found.layers[1].key == "sha256:cow"
    assert found.layers[1].files == 2
    assert found.unpacked == sum(layer.unpacked or 0 for layer in found.layers)


def test_the_size_is_what_a_node_pulls() -> None:
    image = image_of(COW)

    found = describe_image(image, place="x")

    assert found.size == COW.descriptor.size + len(image.config) + len(image.manifest)


def test_a_file_that_a_later_layer_replaced_counts_once() -> None:
    found = describe_image(image_of(make_layer({"a": "12345"}), make_layer({"a": "123"})), place="x")

    assert [(layer.files, layer.unpacked) for layer in found.layers] == [(0, 0), (1, 3)]


def test_unread_layers_tell_what_their_annotations_say() -> None:
    told = make_layer({"a": ""}).with_annotations(
        {INPUTS_ANNOTATION: '{"kind":"wheel","name":"cow","packages":{"cow":"1.0 sha256:aaaa"}}'}
    )
    lying = make_layer({"b": ""}).with_annotations({INPUTS_ANNOTATION: "not JSON"})

    found = describe_image(image_of(told, lying), place="x", contents=False)

    assert [(layer.kind, list(layer.packages), layer.files) for layer in found.layers] == [
        ("wheel", ["cow 1.0"], None),
        (None, [], None),
    ]
    assert found.inventory is None
    assert "packages" not in description_to_json(found)


def test_the_json_has_packages_with_licences_and_layers() -> None:
    data = description_to_json(describe_image(image_of(system(deb("libc6", "2.41-12")), COW), place="x"))

    assert data["packages"] == {
        "python": [{"name": "cow", "version": "1.0", "license": "MIT", "layer": 1}],
        "debian": [{"name": "libc6", "version": "2.41-12", "architecture": "amd64", "layer": 0}],
    }
    assert data["python"]["python"] == "3.13.5"
