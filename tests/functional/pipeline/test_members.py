"""Projects that lie beside the one that ships: members of a workspace, and path dependencies."""

import tomllib
from pathlib import Path

import pytest

from helpers.tiny_base import SETTINGS, add_base
from shipwheel.testing.wheels import make_wheel

from .conftest import Bench, files_of, tree
from .test_sources import SITE, asking_for, hashed

COW = make_wheel("cow", "1.0")


UV_LOCK = """\
version = 1
requires-python = ">=3.11, <4"

[manifest]
members = ["api", "core", "deep"]

[[package]]
name = "api"
version = "1.0"
source = { editable = "packages/api" }
dependencies = [{ name = "core" }]

[[package]]
name = "core"
version = "1.0"
source = { editable = "packages/core" }
dependencies = [{ name = "deep" }]

[[package]]
name = "deep"
version = "1.0"
source = { editable = "packages/core/deep" }
"""


@pytest.fixture
def workspace(bench: Bench) -> Path:
    """A uv workspace: api needs core, which needs deep, which lies below it."""
    root = bench.folder / "workspace"
    for name, path in (("api", "packages/api"), ("core", "packages/core"), ("deep", "packages/core/deep")):
        tree(root / path, name, code=f"NAME = '{name}'\n")
    (root / "pyproject.toml").write_text(
        '[tool.uv.workspace]\nmembers = ["packages/*", "packages/core/deep"]\n'
    )
    (root / "uv.lock").write_text(UV_LOCK)
    with (root / "packages/api/pyproject.toml").open("a") as file:
        file.write(f"\n{SETTINGS}")
    add_base(root / "packages/api")
    return root


def test_a_workspace_member_brings_the_members_that_it_needs_in_a_layer_below_it(
    bench: Bench, workspace: Path
) -> None:
    image = bench.image(workspace / "packages/api", "--frozen")

    app, first_party = image.layers[-1], image.layers[-2]
    assert "first-party" in first_party.created_by
    below, above = files_of(image, layers=slice(-2, -1)), files_of(image, layers=slice(-1, None))
    assert {f"{SITE}/core/__init__.py", f"{SITE}/deep/__init__.py"} <= below.keys()
    assert f"{SITE}/api/__init__.py" in above
    assert f"{SITE}/core/__init__.py" not in above
    assert app.descriptor.digest != first_party.descriptor.digest


def test_members_with_equal_requirements_get_each_what_its_own_back_end_asks_for(
    bench: Bench, workspace: Path
) -> None:
    members = {"core": "packages/core", "deep": "packages/core/deep"}
    for name, path in members.items():
        bench.index.add(make_wheel(f"plugin-{name}", "1.0", {f"plugin_{name}.py": "YES = 1\n"}))
        back_end = workspace / path / "_back_end.py"
        back_end.write_text(asking_for(f"plugin_{name}", back_end.read_text()))

    found = files_of(bench.image(workspace / "packages/api", "--frozen"))

    assert {f"{SITE}/core/__init__.py", f"{SITE}/deep/__init__.py"} <= found.keys()
    locked = (workspace / "packages/api/shipwheel.lock").read_text()
    systems = {tuple(item.get("members", ())): item for item in tomllib.loads(locked)["build-systems"]}
    assert {members: [pin["name"] for pin in item["pins"]] for members, item in systems.items()} == {
        ("api",): [],
        ("core",): ["plugin-core"],
        ("deep",): ["plugin-deep"],
    }
    bench.index.requests.clear()
    bench.build(workspace / "packages/api", "--frozen", "--locked")
    bench.build(workspace / "packages/api", "--frozen")
    assert (workspace / "packages/api/shipwheel.lock").read_text() == locked
    assert bench.index.requests == []


def test_a_member_can_be_named_from_the_workspaces_root(bench: Bench, workspace: Path) -> None:
    there = bench.build(workspace / "packages/api", "--frozen")

    assert bench.build(workspace, "--package", "api", "--frozen")["digest"] == there["digest"]


def test_a_member_that_is_not_there_is_told_with_those_that_are(bench: Bench, workspace: Path) -> None:
    message = bench.fails("build", workspace, "--package", "apo", code="unknown-package", exit_code=2)

    assert "api" in message


def test_folders_are_installed_whatever_tool_describes_them(bench: Bench) -> None:
    bench.index.add(COW)
    project = hashed(bench, f"cow==1.0 --hash=sha256:{COW.sha256}\n-e ../lib\n../other\n")
    tree(bench.folder / "lib", "lib")
    tree(bench.folder / "other", "other")

    found = files_of(bench.image(project))

    assert {f"{SITE}/lib/__init__.py", f"{SITE}/other/__init__.py"} <= found.keys()


def test_an_edit_of_a_path_dependency_changes_its_layer_and_not_the_apps(bench: Bench) -> None:
    bench.index.add(COW)
    project = hashed(bench, f"cow==1.0 --hash=sha256:{COW.sha256}\n-e ../lib\n")
    lib = tree(bench.folder / "lib", "lib")

    def layers() -> list[str]:
        return [layer["digest"] for layer in bench.build(project)["platforms"][0]["layers"]]

    before = layers()
    (lib / "lib/__init__.py").write_text("VALUE = 2\n")
    after = layers()

    assert [one == other for one, other in zip(before, after, strict=True)] == [True] * (len(before) - 2) + [
        False,
        True,
    ]
