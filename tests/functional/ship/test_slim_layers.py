"""Slimmed layers are taken over from a pushed image like any other, and are no others' stand-in."""

import pytest

from shipwheel.testing.wheels import make_wheel

from .conftest import HEN, Yard

COW = make_wheel("cow", "1.0", {"cow/__init__.py": "", "cow/tests/test_cow.py": "assert True\n"})
SLIM = '[tool.shipwheel.slim]\nverify = {verify}\ndrop = ["tests"]\nkeep = ["hen"]\n'


@pytest.mark.parametrize(
    ("before", "after", "cow"),
    [
        (SLIM.format(verify="false"), SLIM.format(verify="false"), "image"),
        ("", SLIM.format(verify="false"), "made"),
        (SLIM.format(verify="false"), "", "made"),
    ],
    ids=["slim again", "slim now", "slim no more"],
)
def test_only_a_layer_that_was_slimmed_alike_is_taken_over(
    yard: Yard, before: str, after: str, cow: str
) -> None:
    first = yard.push(yard.bench.project(["cow", "hen"], wheels=[COW, HEN], extra=before))
    project = yard.bench.project(["cow", "hen"], wheels=[COW, HEN], extra=after)
    yard.bench.index.requests.clear()

    answer = yard.push(project, environ=yard.machine())

    origins = yard.origins(answer)
    assert (origins["cow"], origins["hen"]) == (cow, "image")
    assert (answer["digest"] == first["digest"]) == (before == after)
    fetched = [path.rpartition("/")[2] for path in yard.bench.index.paths("*.whl")]
    assert fetched == ([COW.filename] if cow == "made" else [])


def test_what_was_proven_before_its_push_is_neither_fetched_nor_tried(yard: Yard) -> None:
    yard.push(yard.bench.project(["cow"], wheels=[COW], extra=SLIM.format(verify="false")))
    # The base has no Python: a trial would end the build.
    project = yard.bench.project(["cow"], wheels=[COW], extra=SLIM.format(verify="true"))

    answer = yard.push(project, environ=yard.machine())

    assert yard.origins(answer)["cow"] == "image"
    assert answer["fetched"] == 0
