"""What a layer is made of survives the way through an annotation, and differences are told in words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shipwheel.plan.inputs import LayerInputs, explain_change

WORDS = st.text(max_size=20)


def layer(kind: str = "wheel", name: str = "cow", **packages: str) -> LayerInputs:
    return LayerInputs(kind=kind, name=name, packages=packages, settings={"Python": "3.13"})


@given(WORDS, WORDS, st.dictionaries(WORDS, WORDS), st.dictionaries(WORDS, WORDS))
def test_what_is_written_is_read_back(
    kind: str, name: str, packages: dict[str, str], settings: dict[str, str]
) -> None:
    inputs = LayerInputs(kind=kind, name=name, packages=packages, settings=settings)

    assert LayerInputs.parse(inputs.render()) == inputs


def test_equal_inputs_are_written_equally_whatever_their_order() -> None:
    first = LayerInputs(kind="wheels", name="x", packages={"a": "1", "b": "2"})
    second = LayerInputs(kind="wheels", name="x", packages={"b": "2", "a": "1"})

    assert first.render() == second.render()


@given(st.one_of(st.text(), st.sampled_from(["[]", "{}", '{"kind": 1}', "[" * 100_000, "null", '"x"'])))
def test_what_strangers_write_is_none_or_inputs(text: str) -> None:
    assert LayerInputs.parse(text) is None


def test_packages_that_are_no_strings_are_refused() -> None:
    assert LayerInputs.parse('{"kind": "wheel", "name": "x", "packages": {"a": 1}}') is None


def test_the_same_is_no_change() -> None:
    assert explain_change(layer(cow="1.0 sha256:aa"), [layer(cow="1.0 sha256:aa")]) == ()


def test_a_wheel_that_left_a_shared_layer_is_compared_with_that_layer() -> None:
    before = [layer("wheels", "3 wheels from ant", ant="1", bee="1", cow="1"), layer("wheel", "dog", dog="1")]

    assert explain_change(layer("wheel", "cow", cow="2"), before) == (
        "ant 1 was removed",
        "bee 1 was removed",
        "cow 1 → 2",
    )


def test_a_wheel_that_was_nowhere_is_new() -> None:
    assert explain_change(layer(cow="1"), [layer("wheel", "dog", dog="1")]) == ("it is new",)


def test_hashes_are_not_shown_but_tell_files_apart() -> None:
    assert explain_change(layer(cow="1.0 sha256:aa"), [layer(cow="1.0 sha256:bb")]) == (
        "cow 1.0 has other bytes",
    )


def test_settings_that_are_hashes_only_change() -> None:
    now = LayerInputs(kind="app", name="app", settings={"files": "aaaa", "version": "2"})
    before = LayerInputs(kind="app", name="app", settings={"files": "bbbb", "version": "1"})

    assert explain_change(now, [before]) == ("files changed", "version 1 → 2")


def test_an_app_that_was_renamed_is_compared_with_the_app_before() -> None:
    now = LayerInputs(kind="app", name="new", settings={"files": "aaaa"})
    before = LayerInputs(kind="app", name="old", settings={"files": "bbbb"})

    assert explain_change(now, [before]) == ("files changed",)


def test_what_was_left_out_is_read_back_by_package() -> None:
    alike = LayerInputs(
        kind="wheels", name="x", packages={"a": "1", "b": "2"}, settings={"slim": "stubs, tests (slim/1)"}
    )
    apart = LayerInputs(
        kind="wheels",
        name="x",
        packages={"a": "1", "b": "2", "c": "3"},
        settings={"slim": "a: stubs, tests; b: tests; c: nothing (slim/1)"},
    )

    assert alike.slimmed == {"a": "stubs, tests", "b": "stubs, tests"}
    assert apart.slimmed == {"a": "stubs, tests", "b": "tests"}
    assert layer(cow="1").slimmed == {}


def test_slimming_a_layer_is_told_as_a_change() -> None:
    before = LayerInputs(kind="wheel", name="cow", packages={"cow": "1"}, settings={"Python": "3.13"})
    now = LayerInputs(
        kind="wheel", name="cow", packages={"cow": "1"}, settings={"Python": "3.13", "slim": "tests (slim/1)"}
    )

    assert explain_change(now, [before]) == ("slim tests (slim/1) was added",)
