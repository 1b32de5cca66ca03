"""A layer's key changes with whatever changes its bytes, and with nothing else."""

from shipwheel.wheel.keys import planned_bytecode_id, wheel_layer_key

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
BASE = wheel_layer_key([A, B], python="3.13.5", prefix="/app/.venv", bytecode=None)


def test_the_order_of_wheels_and_the_patch_version_do_not_matter() -> None:
    assert wheel_layer_key([B, A], python="3.13.7", prefix="/app/.venv", bytecode=None) == BASE


def test_wheels_python_prefix_bytecode_and_recipe_matter() -> None:
    compiled = planned_bytecode_id("3.13.5")
    keys = {
        BASE,
        wheel_layer_key([A], python="3.13.5", prefix="/app/.venv", bytecode=None),
        wheel_layer_key([A, B], python="3.14.5", prefix="/app/.venv", bytecode=None),
        wheel_layer_key([A, B], python="3.13.5", prefix="/venv", bytecode=None),
        wheel_layer_key([A, B], python="3.13.5", prefix="/app/.venv", bytecode=compiled),
        wheel_layer_key([A, B], python="3.13.5", prefix="/app/.venv", bytecode=planned_bytecode_id("3.13.6")),
        wheel_layer_key(
            [A, B],
            python="3.13.5",
            prefix="/app/.venv",
            bytecode=planned_bytecode_id("3.13.5", host=True),
        ),
        wheel_layer_key([A, B], python="3.13.5", prefix="/app/.venv", bytecode=None, recipe="next"),
        wheel_layer_key(
            [A, B], python="3.13.5", prefix="/app/.venv", bytecode=None, direct_urls={A: {"url": "x"}}
        ),
    }
    assert len(keys) == 9


def test_a_key_is_the_same_on_every_machine() -> None:
    key = wheel_layer_key([A], python="3.13.5", prefix="/app/.venv", bytecode=None, recipe="r")
    assert key == "sha256:da3aae5ce92264e32d631b3538b6923e5d7bfe4e35247160d1a5268bebf056bc"


def test_a_slimmed_layer_has_another_key_for_each_choice_and_whole_ones_keep_theirs() -> None:
    def key(**slim: list[str]) -> str:
        options = {{"a": A, "b": B}[name]: value for name, value in slim.items()}
        return wheel_layer_key([A, B], python="3.13.5", prefix="/app/.venv", bytecode=None, slim=options)

    assert key() == key(a=[], b=[]) == BASE
    assert key(a=["stubs", "tests"]) == key(a=["tests", "stubs"], b=[])
    choices = [
        BASE,
        key(a=["tests"]),
        key(a=["stubs"]),
        key(b=["tests"]),
        key(a=["tests"], b=["tests"]),
        key(a=["tests", "stubs"]),
    ]
    assert len(set(choices)) == len(choices)
