"""How two images differ, and what a node that has one must pull for the other."""

from helpers.installed import deb, dist, image_of, ours, system
from shipwheel.diff import Difference, diff_images, difference_to_json
from shipwheel.oci.layer_read import open_layer
from shipwheel.oci.model import LAYER_TAR, BytesBlob, Descriptor, Layer, RunConfig
from shipwheel.oci.read import LoadedImage
from shipwheel.testing.images import make_layer

BASE = system(deb("libc6", "2.41-12"))
COW, PIG = ours("cow", dist("cow", "1.0")), ours("pig", dist("pig", "1.0"))
NEW_COW = ours("cow", dist("cow", "1.1"))


def diff(before: LoadedImage, after: LoadedImage, *, by_diff_id: bool = False) -> Difference:
    return diff_images(before, after, places=("before", "after"), by_diff_id=by_diff_id)


def test_an_image_does_not_differ_from_itself() -> None:
    found = diff(image_of(BASE, COW), image_of(BASE, COW))

    assert found.same
    assert (found.pull_size, found.shared) == (0, 2)


def test_packages_are_added_removed_and_changed() -> None:
    newer = system(deb("libc6", "2.41-13"))

    found = diff(image_of(BASE, COW, PIG), image_of(newer, NEW_COW, ours("hen", dist("hen", "2"))))

    assert [(item.ecosystem, item.name, item.before, item.after) for item in found.packages] == [
        ("debian", "libc6", "2.41-12", "2.41-13"),
        ("python", "cow", "1.0", "1.1"),
        ("python", "hen", None, "2"),
        ("python", "pig", "1.0", None),
    ]


def test_a_node_pulls_the_layers_it_lacks_once_and_the_documents() -> None:
    after = image_of(BASE, NEW_COW, PIG, PIG)

    found = diff(image_of(BASE, COW, PIG), after)

    assert [layer.title for layer in found.pull] == ["shipwheel: cow"]
    assert found.shared == 3
    assert found.pull_size == (NEW_COW.descriptor.size + after.descriptor.size + after.config_descriptor.size)


def test_files_are_compared_by_their_bytes() -> None:
    before = make_layer(
        {"a/same": "1", "a/edited": "22", "a/longer": "1", "a/gone": "1"}, created_by="before"
    )
    after = make_layer({"a/same": "1", "a/edited": "33", "a/longer": "12", "b/new": "1"}, created_by="after")

    found = diff(image_of(before), image_of(after))

    assert [(item.path, item.before, item.after) for item in found.files or ()] == [
        ("a/edited", 2, 2),
        ("a/gone", 1, None),
        ("a/longer", 1, 2),
        ("b/new", None, 1),
    ]


def test_a_file_that_another_layer_covers_is_the_upper_one() -> None:
    cover = make_layer({"a": "2"})

    [change] = diff(image_of(make_layer({"a": "1"})), image_of(make_layer({"a": "1"}), cover)).files or ()

    assert change.path == "a"


def test_configuration_is_compared_by_variable_and_label() -> None:
    def configured(level: str, user: str | None) -> LoadedImage:
        config = RunConfig(env=(("LEVEL", level), ("SAME", "1")), user=user, labels={"l": level})
        return image_of(COW, config=config)

    assert diff(configured("info", None), configured("debug", "1")).config == (
        ("Env LEVEL", "info", "debug"),
        ("Label l", "info", "debug"),
        ("User", None, "1"),
    )


def unpacked(layer: Layer) -> Layer:
    with open_layer(layer) as stream:
        data = stream.read()
    blob = BytesBlob(data)
    return Layer(
        descriptor=Descriptor(media_type=LAYER_TAR, digest=blob.digest, size=blob.size),
        diff_id=layer.diff_id,
        blob=blob,
    )


def test_an_engines_unpacked_layers_are_known_by_their_content() -> None:
    engine = image_of(unpacked(BASE), unpacked(COW))

    assert diff(engine, image_of(BASE, COW)).shared == 0
    assert diff(engine, image_of(BASE, COW), by_diff_id=True).shared == 2


def test_the_json_says_the_same() -> None:
    data = difference_to_json(diff(image_of(BASE, COW), image_of(BASE, NEW_COW)))

    assert data["packages"] == [{"ecosystem": "python", "name": "cow", "before": "1.0", "after": "1.1"}]
    assert [layer["title"] for layer in data["pull"]["layers"]] == ["shipwheel: cow"]
    assert not data["same"]
