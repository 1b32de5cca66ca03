"""Which wheels share a layer. Pure; docs/decisions/0004 has the considerations.

The rule: every wheel has a layer of its own while there are few of them; above the budget the largest
ones do, and each remaining wheel falls into the bucket that a hash of its name picks. Which bucket a
wheel is in depends on its name alone, so that adding, removing or upgrading a wheel leaves all the
other buckets as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from packaging.utils import NormalizedName


def spread_wheels(
    names: Sequence[NormalizedName], sizes: Mapping[NormalizedName, int], *, alone: int, buckets: int
) -> list[list[NormalizedName]]:
    """Return the layers' wheels from the bottom up: large ones alone, largest first, then the buckets.

    At most `alone + buckets` layers. A wheel of unknown size counts as empty, so it shares a layer
    once the budget is spent.
    """
    ordered = sorted(names, key=lambda name: (-sizes.get(name, 0), name))
    if len(ordered) <= alone:
        return [[name] for name in ordered]
    shared: dict[int, list[NormalizedName]] = {}
    for name in sorted(ordered[alone:]):
        shared.setdefault(bucket_of(name, buckets), []).append(name)
    return [[name] for name in ordered[:alone]] + [shared[number] for number in sorted(shared)]


def bucket_of(name: NormalizedName, buckets: int) -> int:
    """Return the bucket, 0 ≤ n < `buckets`, that `name` always falls into."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % buckets
