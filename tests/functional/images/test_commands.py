"""`shipwheel inspect`, `diff` and `rebase` on images in a registry, a folder, an archive and an engine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from functional.ship.conftest import COW, HEN, HEN_2, Yard, edit
from helpers.bases import python_base
from helpers.podman import podman, storage
from helpers.tools import require_tool
from shipwheel.oci.layout import read_layout, write_layout
from shipwheel.oci.model import Image, ImageIndex
from shipwheel.oci.read import LoadedImage
from shipwheel.oci.registry import Repository, push_image
from shipwheel.oci.tree import find_files
from shipwheel.oci.validate import validate_layout


def loads(
    yard: Yard, *words: str | Path, environ: dict[str, str] | None = None, code: int = 0
) -> dict[str, Any]:
    done = yard.bench.run(*words, "--json", environ=environ)
    assert done.returncode == code, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture
def places(yard: Yard, tmp_path: Path) -> dict[str, str]:
    """One image in every place that files make."""
    project = yard.bench.project(["cow"], wheels=[COW])
    yard.push(project)
    outputs = {"oci": "layout", "oci-archive": "oci.tar", "docker-archive": "docker.tar"}
    for kind, name in outputs.items():
        yard.bench.build(project, "--output", f"{kind}:{tmp_path / name}")
    return {
        "registry": f"{yard.name}:1.0.0",
        **{kind: str(tmp_path / name) for kind, name in outputs.items()},
    }


def test_an_image_is_the_same_wherever_it_is_looked_at(yard: Yard, places: dict[str, str]) -> None:
    seen = {kind: loads(yard, "inspect", place) for kind, place in places.items()}

    first = seen["registry"]
    assert first["packages"]["python"] == [
        {"name": "app", "version": "1.0.0", "license": None, "layer": 3},
        {"name": "cow", "version": "1.0", "license": None, "layer": 2},
    ]
    assert [layer["packages"] for layer in first["layers"]] == [[], [], ["cow 1.0"], ["app 1.0.0"]]
    assert all(layer["key"] for layer in first["layers"][1:])
    for kind in ("oci", "oci-archive"):
        assert seen[kind]["digest"] == first["digest"]
        assert seen[kind]["layers"] == first["layers"]
    for kind in seen:
        assert seen[kind]["config"] == first["config"]
        assert seen[kind]["packages"] == first["packages"]
        assert [layer["diff_id"] for layer in seen[kind]["layers"]] == [
            layer["diff_id"] for layer in first["layers"]
        ]


def test_people_see_how_it_runs_its_layers_and_packages(yard: Yard, places: dict[str, str]) -> None:
    text = yard.bench.run("inspect", places["oci"]).stdout

    assert "user        65532:65532" in text
    assert 'entrypoint  ["/app/.venv/bin/app"]' in text
    assert "cow 1.0, " in text


def test_a_quick_look_fetches_no_layer(yard: Yard, places: dict[str, str]) -> None:
    machine = yard.machine()

    data = loads(yard, "inspect", "--quick", places["registry"], environ=machine)

    # What the layers say of themselves is in the manifest.
    assert [layer["packages"] for layer in data["layers"]][2] == ["cow 1.0"]
    cached = [path for path in Path(machine["SHIPWHEEL_CACHE_DIR"]).rglob("*") if path.is_file()]
    assert not [path for path in cached if path.read_bytes()[:2] == b"\x1f\x8b"]


@pytest.fixture
def engine(yard: Yard, places: dict[str, str], tmp_path: Path) -> Iterator[dict[str, str]]:
    """A podman with the image in its store, as the only engine on PATH."""
    with storage() as store:
        command = podman(store)
        folder = tmp_path / "bin"
        folder.mkdir()
        script = folder / "podman"
        script.write_text("#!/bin/sh\nexec " + " ".join(command) + ' "$@"\n')
        script.chmod(0o755)
        subprocess.run(
            [*command, "load", "--quiet", "--input", places["docker-archive"]],
            check=True,
            capture_output=True,
        )
        yield {"PATH": f"{folder}:/bin"}


def test_podmans_images_are_looked_at_and_compared(
    yard: Yard, places: dict[str, str], engine: dict[str, str]
) -> None:
    require_tool("podman")

    seen = loads(yard, "inspect", "podman:localhost/app:1.0.0", environ=engine)
    found = loads(yard, "diff", "podman:localhost/app:1.0.0", places["registry"], environ=engine)

    assert [package["name"] for package in seen["packages"]["python"]] == ["app", "cow"]
    assert (found["packages"], found["files"], found["config"]) == ([], [], [])
    # Its layers are unpacked, and all of them are there.
    assert (found["pull"]["layers"], found["pull"]["shared"]) == ([], 4)


def test_a_difference_says_what_changed_and_what_a_node_must_pull(yard: Yard) -> None:
    project = yard.bench.project(["cow", "hen"], wheels=[COW, HEN])
    yard.push(project, tag="1")
    project = yard.bench.project(["cow", "hen"], wheels=[COW, HEN_2], where="second")
    edit(project)
    pushed = yard.push(project, tag="2")

    found = loads(yard, "diff", f"{yard.name}:1", f"{yard.name}:2")

    assert found["packages"] == [{"ecosystem": "python", "name": "hen", "before": "1.0", "after": "2.0"}]
    assert [layer["title"] for layer in found["pull"]["layers"]] == ["shipwheel: hen", "shipwheel: app"]
    # The registry was sent what a node has to pull, but for manifests.
    sent = pushed["pushed"][0]["sent_bytes"]
    assert 0 < found["pull"]["size"] - sent < 20_000
    changed = {item["path"].rpartition("/")[2] for item in found["files"]}
    assert {"hen.py", "__init__.py"} <= changed
    assert "cow.py" not in changed

    text = yard.bench.run("diff", f"{yard.name}:1", f"{yard.name}:2").stdout
    assert "    hen 1.0 → 2.0" in text
    assert yard.bench.run("diff", "--exit-code", f"{yard.name}:1", f"{yard.name}:2").returncode == 1
    assert (
        yard.bench.run("diff", "--exit-code", f"{yard.name}:1", f"{yard.name}:1").stdout == "no difference\n"
    )


def test_an_image_is_compared_with_what_the_locks_plan(yard: Yard) -> None:
    project = yard.bench.project(["cow", "hen"], wheels=[COW, HEN])
    yard.push(project, tag="1")
    project = yard.bench.project(["hen"], wheels=[HEN_2], where="second")

    found = loads(yard, "diff", f"{yard.name}:1", project)

    assert [(item["name"], item["before"], item["after"]) for item in found["packages"]] == [
        ("cow", "1.0", None),
        ("hen", "1.0", "2.0"),
    ]
    assert found["files"] is None
    assert [layer["title"] for layer in found["pull"]["layers"]] == ["hen", "app"]
    assert not list((project).glob("dist"))


BASE_SETTINGS = """
[tool.shipwheel]
bytecode = false
[tool.shipwheel.base]
image = "{name}"
"""


def push_base(yard: Yard, image: Image, tag: str) -> str:
    repository = Repository(registry=yard.registry, name=f"{yard.repository}/base")
    push_image(yard.client, image, repository, tags=[tag])
    return f"{repository}:{tag}"


def with_env(image: Image, **values: str) -> Image:
    env = {**dict(image.config.env or ()), **values}
    return replace(image, config=replace(image.config, env=tuple(sorted(env.items()))))


def test_a_rebased_image_is_what_a_build_on_the_new_base_gives(yard: Yard, tmp_path: Path) -> None:
    extra = {"etc/ssl/certs/ca.crt": b"old"}
    old = with_env(
        python_base(tmp_path / "old", extra=extra), PYTHON_SHA256="old", PATH="/usr/local/bin:/bin"
    )
    new = with_env(python_base(tmp_path / "new", extra={"etc/ssl/certs/ca.crt": b"new"}), PYTHON_SHA256="new")
    names = {"old": push_base(yard, old, "1"), "new": push_base(yard, new, "2")}
    built = {}
    for which in ("old", "new"):
        project = yard.bench.project(
            ["cow"], wheels=[COW], base=False, where=which, settings=BASE_SETTINGS.format(name=names[which])
        )
        built[which] = yard.push(project, tag=which, environ={"UV_CACHE_DIR": str(tmp_path / "uv")})

    done = yard.bench.run(
        "rebase", f"{yard.name}:old", "--base", names["new"], "--push", f"{yard.name}:rebased"
    )

    assert done.returncode == 0, done.stderr
    rebased, wanted = yard.image("rebased"), yard.image("new")
    assert done.stdout == f"{yard.name}:rebased@{rebased.digest}\n"
    assert rebased.config == wanted.config
    assert [layer.descriptor.digest for layer in rebased.layers] == [
        layer.descriptor.digest for layer in wanted.layers
    ]
    assert rebased.image.annotations == wanted.image.annotations
    require_tool("skopeo")
    subprocess.run(
        [
            "skopeo",
            "copy",
            "--quiet",
            "--src-tls-verify=false",
            f"docker://{yard.name}:rebased",
            f"dir:{tmp_path}/copy",
        ],
        check=True,
    )
    # Only the base's layer and the configuration are others: nothing else is pulled.
    found = loads(yard, "diff", f"{yard.name}:old", f"{yard.name}:rebased")
    assert len(found["pull"]["layers"]) == 1


def test_a_project_names_the_new_base_by_its_lock(yard: Yard, tmp_path: Path) -> None:
    names = [
        push_base(yard, python_base(tmp_path / tag, extra={"etc/tag": tag.encode()}), tag)
        for tag in ("1", "2")
    ]
    environ = {"UV_CACHE_DIR": str(tmp_path / "uv")}
    projects = [
        yard.bench.project(
            ["cow"], wheels=[COW], base=False, where=f"on-{at}", settings=BASE_SETTINGS.format(name=name)
        )
        for at, name in enumerate(names)
    ]
    for at, project in enumerate(projects):
        yard.push(project, tag=f"on-{at}", environ=environ)

    layout = tmp_path / "rebased"
    done = yard.bench.run("rebase", f"{yard.name}:on-0", "--base", projects[1], "--output", layout)

    assert done.returncode == 0, done.stderr
    assert validate_layout(layout) == []
    rebased = read_layout(layout)
    assert isinstance(rebased, LoadedImage)
    assert rebased.config == yard.image("on-1").config


def test_what_a_build_takes_from_a_rebased_image_was_made_for_the_base_that_it_builds_on(
    yard: Yard, tmp_path: Path
) -> None:
    # A rebase leaves a layer its key, which names the base that it was made on.
    names = [
        push_base(yard, python_base(tmp_path / tag, extra={"etc/tag": tag.encode()}), tag)
        for tag in ("1", "2")
    ]
    uv = {"UV_CACHE_DIR": str(tmp_path / "uv")}
    old, new = (
        yard.bench.project(
            ["cow"], wheels=[COW], base=False, where=f"on-{at}", settings=BASE_SETTINGS.format(name=name)
        )
        for at, name in enumerate(names)
    )
    yard.push(old, tag="old", environ=uv)
    rebased = f"{yard.name}:rebased"
    done = yard.bench.run("rebase", f"{yard.name}:old", "--base", names[1], "--push", rebased)
    assert done.returncode == 0, done.stderr

    for project in (old, new):
        fresh = {**yard.machine(), **uv}
        answer = yard.push(project, f"--cache-from={rebased}", tag=f"{project.name}-again", environ=fresh)
        origins = yard.origins(answer)
        # For the new base the skeleton is another recipe; a wheel stands on any base.
        assert origins["skeleton"] == ("image" if project is old else "made")
        assert origins["cow"] == "image"
        assert answer["digest"] == yard.bench.build(project, "--no-cache", environ=uv)["digest"]


def test_another_python_is_refused_and_nothing_is_written(yard: Yard, tmp_path: Path) -> None:
    old = push_base(yard, python_base(tmp_path / "old"), "1")
    newer = push_base(yard, python_base(tmp_path / "new", python="3.13.6"), "2")
    project = yard.bench.project(base=False, settings=BASE_SETTINGS.format(name=old))
    yard.push(project, environ={"UV_CACHE_DIR": str(tmp_path / "uv")})
    image = f"{yard.name}:1.0.0"

    message = yard.bench.fails(
        "rebase", image, "--base", newer, "--push", f"{yard.name}:rebased", code="base-changed", exit_code=7
    )

    assert "Python 3.13.5 → 3.13.6" in message
    assert "rebased" not in yard.tags()


def test_an_image_of_another_make_is_refused(yard: Yard, tmp_path: Path) -> None:
    base = push_base(yard, python_base(tmp_path / "base"), "1")
    write_layout(tmp_path / "foreign", python_base(tmp_path / "other"))

    yard.bench.fails(
        "rebase",
        tmp_path / "foreign",
        "--base",
        base,
        "-o",
        tmp_path / "out",
        code="not-rebasable",
        exit_code=10,
    )
    yard.bench.fails("rebase", tmp_path / "foreign", "--base", base, code="no-output", exit_code=2)
    assert not (tmp_path / "out").exists()


def test_every_platform_of_an_image_is_rebased(yard: Yard, tmp_path: Path) -> None:
    repository = Repository(registry=yard.registry, name=f"{yard.repository}/base")
    for tag in ("1", "2"):
        images = [
            python_base(tmp_path / tag / arch, architecture=arch, extra={"etc/tag": tag.encode()})
            for arch in ("amd64", "arm64")
        ]
        push_image(yard.client, ImageIndex(images=images), repository, tags=[tag])
    settings = BASE_SETTINGS.format(name=f"{repository}:1")
    project = yard.bench.project(["cow"], wheels=[COW], base=False, settings=settings)
    environ = {"UV_CACHE_DIR": str(tmp_path / "uv")}
    yard.push(project, "--platform", "linux/amd64,linux/arm64", environ=environ)
    image = f"{yard.name}:1.0.0"

    done = yard.bench.run("rebase", image, "--base", f"{repository}:2", "--push", image)

    assert done.returncode == 0, done.stderr
    for platform in ("linux/amd64", "linux/arm64"):
        rebased = yard.image(platform=platform)
        assert find_files(rebased.layers, ["etc/tag"]) == {"etc/tag": b"2"}
        assert str(rebased.platform) == platform
