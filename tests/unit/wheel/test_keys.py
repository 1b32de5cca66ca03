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
