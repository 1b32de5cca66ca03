"""Which wheels share a layer, and that it stays so when the set changes."""

from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.plan.layering import bucket_of, spread_wheels

names_and_sizes = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True).map(canonicalize_name),
    st.integers(0, 10**9),
    max_size=60,
)


def test_few_wheels_get_a_layer_each_largest_first() -> None:
    sizes = {NormalizedName("a"): 1, NormalizedName("numpy"): 900, NormalizedName("b"): 1}

    assert spread_wheels(sorted(sizes), sizes, alone=3, buckets=2) == [["numpy"], ["a"], ["b"]]


def test_above_the_budget_the_small_ones_share_buckets() -> None:
    sizes = {NormalizedName(f"p{number}"): number for number in range(200)}

    layers = spread_wheels(sorted(sizes), sizes, alone=70, buckets=30)

    assert [layer for layer in layers[:70] if len(layer) != 1] == []
    assert len(layers) <= 100
    assert layers[0] == ["p199"]


@given(names_and_sizes, st.integers(0, 10), st.integers(1, 5))
def test_every_wheel_is_in_exactly_one_layer(
    sizes: dict[NormalizedName, int], alone: int, buckets: int
) -> None:
    layers = spread_wheels(sorted(sizes), sizes, alone=alone, buckets=buckets)

    assert sorted(name for layer in layers for name in layer) == sorted(sizes)
    assert len(layers) <= alone + buckets


@given(names_and_sizes, st.sampled_from(["added", "zz"]), st.integers(1, 5))
def test_a_new_small_wheel_changes_one_bucket_at_most(
    sizes: dict[NormalizedName, int], name: str, buckets: int
) -> None:
    sizes = {other: size + 1 for other, size in sizes.items() if other != name}
    new = NormalizedName(name)

    before = spread_wheels(sorted(sizes), sizes, alone=5, buckets=buckets)
    after = spread_wheels(sorted([*sizes, new]), {**sizes, new: 0}, alone=5, buckets=buckets)

    changed = [layer for layer in after if layer not in before]
    assert len(changed) == 1
    assert new in changed[0]


def test_buckets_are_the_same_on_every_machine() -> None:
    assert [bucket_of(NormalizedName(name), 30) for name in ("idna", "attrs", "six")] == [5, 10, 26]
