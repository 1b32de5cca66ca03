"""A new base under an image's own layers, and when that must not be."""

from collections.abc import Mapping

import pytest

from helpers.bases import elf
from helpers.installed import KEY, deb, dist, image_of, ours, system
from shipwheel.errors import ImageError, TargetError
from shipwheel.oci.model import Image, Layer, RunConfig
from shipwheel.oci.read import LoadedImage
from shipwheel.oci.validate import validate_image
from shipwheel.plan.inputs import INPUTS_ANNOTATION
from shipwheel.rebase import NewBase, image_base, merge_env, rebase_image, split_layers
from shipwheel.testing.images import LINUX_AMD64, LINUX_ARM64, make_layer

OLD = system(deb("libssl3", "3.5.1"), extra={"usr/lib/libssl.so.3": "old"})
NEW = system(deb("libssl3", "3.5.2"), extra={"usr/lib/libssl.so.3": "new"})
APP = (ours("skeleton", {"etc/passwd": "app"}), ours("cow", dist("cow", "1.0")))
BYTECODE = ours("bytecode", {"usr/lib/python3.13/__pycache__/os.cpython-313.pyc": "compiled"})
LABELS = {"org.opencontainers.image.title": "shop", "org.opencontainers.image.base.digest": "sha256:0"}


def on(*layers: Layer, env: Mapping[str, str] | None = None, name: str | None = None) -> NewBase:
    return NewBase(
        platform=LINUX_AMD64, layers=layers, env=env or {}, name=name, digest="sha256:1" if name else None
    )


def rebase(image: LoadedImage, base: NewBase, old_env: Mapping[str, str] | None = None) -> Image:
    return rebase_image(
        image, base, old_env={} if old_env is None else old_env, place="registry.example/app:1"
    )


def refused(image: LoadedImage, base: NewBase) -> str:
    with pytest.raises(TargetError) as raised:
        rebase(image, base)
    assert {problem.code for problem in raised.value.problems} == {"base-changed"}
    return str(raised.value)


def test_the_base_is_replaced_and_the_images_own_layers_stay() -> None:
    image = image_of(OLD, *APP)

    found = rebase(image, on(NEW))

    assert [layer.descriptor for layer in found.layers] == [layer.descriptor for layer in (NEW, *APP)]
    assert found.config == image.image.config
    assert validate_image(found) == []


def test_the_same_base_gives_the_same_digest() -> None:
    described = OLD.with_annotations({INPUTS_ANNOTATION: '{"kind":"base","name":"os"}'})
    image = image_of(described, *APP)

    assert rebase(image, on(OLD)).digest == image.digest


def test_a_foreign_bases_layers_are_those_without_a_key() -> None:
    foreign = (
        make_layer({"a": ""}, created_by="someone"),
        make_layer({"b": ""}, created_by="shipwheel: like ours"),
    )

    lower, upper = split_layers(image_of(*foreign, *APP), place="x")

    assert (tuple(lower), tuple(upper)) == (foreign, APP)


@pytest.mark.parametrize("layers", [(make_layer({"a": ""}),), APP, ()])
def test_an_image_whose_base_cannot_be_told_is_refused(layers: tuple[Layer, ...]) -> None:
    with pytest.raises(ImageError) as raised:
        split_layers(image_of(*layers), place="x")
    assert raised.value.code == "not-rebasable"


def test_another_python_is_refused_in_full() -> None:
    assert "Python 3.13.5 → 3.13.6" in refused(image_of(OLD, *APP), on(system(python="3.13.6")))


def test_another_c_library_is_refused() -> None:
    banner = "GNU C Library (Debian GLIBC 2.42-1) stable release version 2.42.\n"
    newer = system(extra={"usr/lib/libc.so.6": elf(banner, loader=None), "usr/lib/libssl.so.3": ""})

    assert "the C library glibc 2.41 → glibc 2.42" in refused(image_of(OLD, *APP), on(newer))


def test_another_path_of_the_interpreter_is_refused() -> None:
    moved = system(extra={"opt/bin/python3.13": elf("3.13.5"), "usr/lib/libssl.so.3": ""})
    base = on(moved, env={"PATH": "/opt/bin"})

    with pytest.raises(TargetError, match="base-changed"):
        rebase_image(image_of(OLD, *APP), base, old_env={}, place="x")


def test_accounts_that_the_images_own_would_hide_are_refused() -> None:
    newer = system(extra={"etc/passwd": "root:x:0:0::/:\nnew:x:1:1::/:\n", "usr/lib/libssl.so.3": ""})

    assert "/etc/passwd changed" in refused(image_of(OLD, *APP), on(newer))


def test_a_library_that_is_gone_is_refused() -> None:
    assert "libraries are gone: libssl.so.3" in refused(image_of(OLD, *APP), on(system()))


def test_every_difference_is_told_at_once() -> None:
    text = refused(image_of(OLD, *APP), on(system(python="3.13.6", extra={"etc/passwd": "other"})))

    assert text.count("error[base-changed]") == 3


def test_a_mended_standard_library_under_its_old_bytecode_is_refused() -> None:
    mended = system(extra={"usr/lib/python3.13/os.py": "# mended\n", "usr/lib/libssl.so.3": ""})

    assert "the standard library's files changed" in refused(image_of(OLD, BYTECODE, *APP), on(mended))
    assert rebase(image_of(OLD, *APP), on(mended)).layers[0] == mended
    assert rebase(image_of(OLD, BYTECODE, *APP), on(NEW)).layers[1] == BYTECODE


def test_a_base_for_another_platform_is_refused() -> None:
    base = NewBase(platform=LINUX_ARM64, layers=(NEW,))

    assert "linux/arm64" in refused(image_of(OLD, *APP), base)


def test_labels_and_annotations_name_the_new_base_or_none() -> None:
    image = image_of(OLD, *APP, labels=LABELS)

    named = rebase(image, on(NEW, name="registry.example/base:2")).config.labels
    unnamed = rebase(image, on(NEW)).config.labels

    assert named == {
        "org.opencontainers.image.title": "shop",
        "org.opencontainers.image.base.name": "registry.example/base:2",
        "org.opencontainers.image.base.digest": "sha256:1",
    }
    assert unnamed == {"org.opencontainers.image.title": "shop"}


VENV = "/app/.venv/bin"


@pytest.mark.parametrize(
    ("image", "old", "new", "merged"),
    [
        # What the base set, the new base sets; the environment's own folder stays in front.
        (
            {"PATH": f"{VENV}:/old", "GPG": "1"},
            {"PATH": "/old", "GPG": "1"},
            {"PATH": "/new", "GPG": "2"},
            {"PATH": f"{VENV}:/new", "GPG": "2"},
        ),
        # What the project set stays.
        ({"LEVEL": "debug"}, {"LEVEL": "info"}, {"LEVEL": "warning"}, {"LEVEL": "debug"}),
        # What the new base no longer sets goes, what it sets anew comes.
        ({"GONE": "1", "KEPT": "1"}, {"GONE": "1"}, {"ADDED": "1"}, {"KEPT": "1", "ADDED": "1"}),
        ({"HOME": "/home/app"}, {"HOME": "/root"}, {"HOME": "/srv"}, {"HOME": "/home/app"}),
    ],
)
def test_variables_follow_the_base_that_set_them(
    image: dict[str, str], old: dict[str, str], new: dict[str, str], merged: dict[str, str]
) -> None:
    defaults = {"LANG": "C.UTF-8", "PATH": VENV}

    assert merge_env({**defaults, **image}, new, old, place="x") == {**defaults, **merged}


def test_where_nobody_knows_the_old_base_nothing_is_guessed() -> None:
    env = {"PATH": f"{VENV}:/usr/bin", "LEVEL": "debug"}

    assert merge_env(env, {"PATH": "/usr/bin"}, None, place="x") == env
    with pytest.raises(ImageError) as raised:
        merge_env(env, {"LEVEL": "info"}, None, place="x")
    assert raised.value.code == "old-base-unknown"


def test_an_image_as_a_base_brings_its_variables_and_none_of_its_keys() -> None:
    base = image_base(image_of(OLD, config=RunConfig(env=(("A", "1"),))), name="registry.example/base")

    assert base.env == {"A": "1"}
    assert all(KEY not in layer.descriptor.annotations for layer in base.layers)
    assert (base.name, base.digest is not None) == ("registry.example/base", True)
