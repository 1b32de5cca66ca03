"""`--explain`: of each layer where it came from, and what made it another one than before."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.tiny_base import add_base
from shipwheel.testing.wheels import make_wheel

from .conftest import COW, HEN, HEN_2, Yard, edit

OTHER_HEN = make_wheel("hen", "1.0", {"hen.py": "EGGS = 11\n"})


def story(answer: dict[str, Any], name: str) -> tuple[str, list[str]]:
    [layer] = [layer for layer in answer["platforms"][0]["layers"] if layer["name"] == name]
    return layer["origin"], layer["because"]


def test_each_layer_is_told_in_a_line(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    yard.push(project)
    edit(project)

    done = yard.bench.run("push", "--explain", project, "--tag", f"{yard.name}:1.0.0", environ=yard.machine())

    begin = done.stderr.index("layers for linux/amd64:")
    assert done.stderr[begin:].splitlines()[1:5] == [
        "  base 1: as it is in the base",
        f"  skeleton: reused from {yard.name}:1.0.0",
        f"  cow: reused from {yard.name}:1.0.0",
        "  app: made, because files changed",
    ]


def test_without_explain_nothing_is_told(yard: Yard) -> None:
    assert "because" not in yard.bench.run("build", yard.bench.project()).stderr


CHANGES: dict[str, tuple[Callable[[Yard], Path], str, list[str]]] = {
    "an upgraded dependency": (
        lambda yard: yard.bench.project(["cow", "hen"], wheels=[COW, HEN_2]),
        "hen",
        ["hen 1.0 → 2.0"],
    ),
    "the same version with other bytes": (
        lambda yard: yard.bench.project(["cow", "hen"], wheels=[COW, OTHER_HEN]),
        "hen",
        ["hen 1.0 has other bytes"],
    ),
    "a new dependency": (
        lambda yard: yard.bench.project(["cow", "hen", "pig"], wheels=[COW, HEN, make_wheel("pig", "3.0")]),
        "pig",
        ["it is new"],
    ),
    "a version bump": (
        lambda yard: yard.bench.project(["cow", "hen"], wheels=[COW, HEN], version="1.1.0"),
        "app",
        ["files changed", "version 1.0.0 → 1.1.0"],
    ),
    "another working folder": (
        lambda yard: yard.bench.project(["cow", "hen"], wheels=[COW, HEN], settings='workdir = "/srv"\n'),
        "cow",
        ["environment /app/.venv → /srv/.venv"],
    ),
    "another user": (
        lambda yard: yard.bench.project(
            ["cow", "hen"], wheels=[COW, HEN], settings="user = { uid = 1000 }\n"
        ),
        "skeleton",
        ["user 65532:65532 nonroot /home/nonroot → 1000:65532 nonroot /home/nonroot"],
    ),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("where", ["cache", "registry"])
def test_what_changed_is_named(yard: Yard, what: str, where: str) -> None:
    change, layer, because = CHANGES[what]
    before = yard.bench.project(["cow", "hen"], wheels=[COW, HEN])
    if where == "registry":
        yard.push(before)
    else:
        yard.bench.build(before)
    shutil.rmtree(before)
    after = change(yard)

    answer = yard.push(after, environ=yard.machine()) if where == "registry" else yard.bench.build(after)

    assert story(answer, layer) == ("made", because)


def test_another_base_is_what_makes_the_skeleton_anew(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    yard.bench.build(project)
    shutil.rmtree(project / "base")
    add_base(project, passwd="root:x:0:0:root:/root:/bin/false\n")

    answer = yard.bench.build(project)

    assert story(answer, "skeleton") == ("made", ["base changed"])
    assert story(answer, "cow") == ("cache", [])


def test_another_date_is_named(yard: Yard) -> None:
    project = yard.bench.project()
    yard.bench.build(project, "--epoch", "1000000000")

    assert story(yard.bench.build(project, "--epoch", "1000000001"), "app") == (
        "made",
        ["date 1000000000 → 1000000001"],
    )


def test_a_first_build_knows_nothing_to_compare_with(yard: Yard) -> None:
    answer = yard.bench.build(yard.bench.project(["cow"], wheels=[COW]))

    assert story(answer, "cow") == ("made", ["no earlier image is known here"])


def test_no_cache_is_a_reason(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    yard.bench.build(project)

    assert story(yard.bench.build(project, "--no-cache"), "cow") == ("made", ["--no-cache asks for it"])


def test_a_layer_that_the_cache_has_lost_is_no_change(yard: Yard) -> None:
    project = yard.bench.project(["cow"], wheels=[COW])
    answer = yard.bench.build(project)
    [cow] = [layer for layer in answer["platforms"][0]["layers"] if layer["name"] == "cow"]
    digest = cow["digest"].removeprefix("sha256:")
    [path] = (yard.bench.folder / "cache").rglob(digest)
    path.unlink()

    assert story(yard.bench.build(project), "cow") == (
        "made",
        ["it is as in the last build here, whose layers are not here any more"],
    )


def test_a_shared_layer_is_compared_with_the_one_that_most_of_it_was_in(yard: Yard) -> None:
    birds = [make_wheel(f"bird{number}", "1.0") for number in range(6)]
    names = [bird.name for bird in birds]
    settings = "layers = { alone = 0, buckets = 1 }\n"
    yard.bench.build(yard.bench.project(names, wheels=birds, settings=settings))
    newer = make_wheel("bird3", "2.0")
    project = yard.bench.project(
        [*names[1:], "aardvark"],
        wheels=[*birds[1:3], newer, *birds[4:], make_wheel("aardvark", "1.0")],
        settings=settings,
        where="project",
    )

    answer = yard.bench.build(project)

    [shared] = [layer for layer in answer["platforms"][0]["layers"] if layer["kind"] == "wheels"]
    assert shared["because"] == ["aardvark 1.0 was added", "bird0 1.0 was removed", "bird3 1.0 → 2.0"]
