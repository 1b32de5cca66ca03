"""`shipwheel build` from a Poetry project to a valid image, over a loopback index."""

import io
import json
import subprocess
import tarfile

import pytest

from helpers.tools import require_tool
from shipwheel.oci.validate import validate_layout
from shipwheel.testing.wheels import make_wheel

from .conftest import Bench, content_of, files_of

COW = make_wheel("cow", "1.0", {"cow.py": "def say():\n    return 'moo'\n"})


@pytest.mark.parametrize("style", ["project", "poetry"])
def test_a_poetry_project_in_either_style_becomes_a_valid_image(bench: Bench, style: str) -> None:
    project = bench.project(["cow"], wheels=[COW], style=style)

    image = bench.image(project)

    files = files_of(image)
    site = "app/.venv/lib/python3.13/site-packages"
    assert files[f"{site}/cow.py"] == "f 644 0:0"
    assert files[f"{site}/app/__init__.py"] == "f 644 0:0"
    assert files["app/.venv/bin/app"] == "f 755 0:0"
    assert files["app/.venv/bin/python"] == "l 777 0:0"
    config = image.image.config
    assert config.user == "65532:65532"
    assert config.entrypoint == ("/app/.venv/bin/app",)
    assert dict(config.env or ())["PATH"].startswith("/app/.venv/bin:")
    assert config.working_dir == "/app"
    assert (config.labels or {})["org.opencontainers.image.version"] == "1.0.0"


def test_the_app_owns_nothing_but_its_home(bench: Bench) -> None:
    files = files_of(bench.image(bench.project(["cow"], wheels=[COW])))

    assert {path for path, what in files.items() if not what.endswith(" 0:0")} == {"home/nonroot"}
    assert [path for path, what in files.items() if int(what.split()[1], 8) & 0o022 and what[0] != "l"] == []


def test_the_user_is_added_to_the_bases_and_cannot_log_in(bench: Bench) -> None:
    image = bench.image(bench.project())

    assert content_of(image, "etc/passwd").decode().splitlines() == [
        "root:x:0:0:root:/root:/usr/sbin/nologin",
        "nonroot:x:65532:65532:nonroot:/home/nonroot:/usr/sbin/nologin",
    ]
    assert b"nonroot:x:65532:" in content_of(image, "etc/group")


def test_the_reference_alone_is_on_standard_output(bench: Bench) -> None:
    done = bench.run("build", bench.project(["cow"], wheels=[COW]))

    assert done.returncode == 0
    [line] = done.stdout.splitlines()
    name, _, digest = line.partition("@")
    assert name == "localhost/app:1.0.0"
    assert digest.startswith("sha256:")
    assert "made  cow" in done.stderr


def test_quiet_says_nothing(bench: Bench) -> None:
    assert bench.run("build", "--quiet", bench.project()).stderr == ""


def test_a_tag_alone_keeps_the_name_and_a_reference_replaces_it(bench: Bench) -> None:
    project = bench.project()

    assert bench.build(project, "--tag", "edge")["reference"].startswith("localhost/app:edge@")
    assert bench.build(project, "--tag", "registry.example/team/app")["reference"].startswith(
        "registry.example/team/app:latest@"
    )


def test_a_source_project_is_copied_and_can_be_imported(bench: Bench) -> None:
    project = bench.project(
        ["cow"],
        wheels=[COW],
        package_mode=False,
        style="poetry",
        settings='entrypoint = ["python", "-m", "app"]\n',
        files={".env": "SECRET=1", "Dockerfile": "FROM x", "notes.txt": "n", "run.sh": "#!/bin/sh\n"},
    )
    (project / "run.sh").chmod(0o700)

    image = bench.image(project)

    files = files_of(image)
    assert files["app/app/__init__.py"] == "f 644 0:0"
    assert files["app/run.sh"] == "f 755 0:0"
    assert "app/notes.txt" in files
    for absent in (".env", "Dockerfile", "pyproject.toml", "poetry.lock", "shipwheel.lock", "base"):
        assert f"app/{absent}" not in files
    assert dict(image.image.config.env or ())["PYTHONPATH"] == "/app"
    assert image.image.config.entrypoint == ("python", "-m", "app")


def test_what_is_configured_reaches_the_image(bench: Bench) -> None:
    settings = """
cmd = ["serve"]
ports = ["8000", "9000/udp"]
volumes = ["/data"]
stop-signal = "SIGINT"
workdir = "/srv"
env = { LOG = "info", PYTHONUNBUFFERED = "" }
labels = { team = "shop" }
user = { uid = 1000, gid = 1001, name = "shop" }
"""
    config = bench.image(bench.project(settings=settings)).image.config

    assert config.cmd == ("serve",)
    assert sorted(config.exposed_ports or ()) == ["8000/tcp", "9000/udp"]
    assert config.volumes == ("/data",)
    assert config.stop_signal == "SIGINT"
    assert config.working_dir == "/srv"
    assert config.user == "1000:1001"
    env = dict(config.env or ())
    assert (env["LOG"], env["PYTHONUNBUFFERED"], env["HOME"]) == ("info", "", "/home/shop")
    assert (config.labels or {})["team"] == "shop"


def test_two_platforms_make_an_index_and_each_takes_its_own_wheel(bench: Bench) -> None:
    wheels = [
        make_wheel(
            "fast",
            "1.0",
            {"fast.py": f"MACHINE = '{machine}'\n"},
            tag=f"cp313-cp313-manylinux_2_17_{machine}",
        )
        for machine in ("x86_64", "aarch64")
    ]
    project = bench.project(["fast"], wheels=wheels)
    words = ("--platform", "linux/amd64,linux/arm64")

    for platform, machine in (("linux/amd64", b"x86_64"), ("linux/arm64", b"aarch64")):
        image = bench.image(project, *words, platform=platform)
        assert machine in content_of(image, "app/.venv/lib/python3.13/site-packages/fast.py")


def test_groups_and_extras_are_installed_when_asked_for(bench: Bench) -> None:
    linter = make_wheel("linter", "2.0")
    project = bench.project(["cow"], wheels=[COW, linter], groups={"dev": ["linter"]})

    def names(*words: str) -> set[str]:
        image = bench.image(project, *words)
        return {path.split("/")[-1] for path in files_of(image) if path.endswith(".dist-info")}

    assert names() == {"app-1.0.0.dist-info", "cow-1.0.dist-info"}
    assert names("--group", "dev") == {"app-1.0.0.dist-info", "cow-1.0.dist-info", "linter-2.0.dist-info"}


def test_a_rebuild_asks_the_index_for_nothing(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW])
    first = bench.build(project)
    bench.index.requests.clear()

    assert bench.build(project)["digest"] == first["digest"]
    assert bench.index.requests == []


def test_an_edit_changes_the_app_layer_alone(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW])

    def layers() -> list[str]:
        return [layer["digest"] for layer in bench.build(project)["platforms"][0]["layers"]]

    before = layers()
    (project / "app/__init__.py").write_text("def main():\n    print('edited')\n")
    edited = layers()
    assert edited[:-1] == before[:-1]
    assert edited[-1] != before[-1]
    text = (project / "pyproject.toml").read_text().replace('version = "1.0.0"', 'version = "1.0.1"', 1)
    (project / "pyproject.toml").write_text(text)
    assert layers()[:-1] == before[:-1]


def test_one_upgraded_dependency_changes_its_layer_alone(bench: Bench) -> None:
    others = [make_wheel(f"p{number}", padding=number * 100) for number in range(5)]
    names = ["cow", *(f"p{number}" for number in range(5))]
    one = bench.build(bench.project(names, wheels=[COW, *others]))
    newer = make_wheel("cow", "1.1", {"cow.py": "def say():\n    return 'muh'\n"})
    two = bench.build(bench.project(names, wheels=[newer, *others], where="second"))

    before, after = ({layer["digest"] for layer in built["platforms"][0]["layers"]} for built in (one, two))
    assert len(after - before) == 1


def test_no_cache_makes_the_same_image_again(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW])
    first = bench.build(project)

    done = bench.run("build", "--no-cache", project)

    assert "made  cow" in done.stderr
    assert first["digest"] in done.stdout


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_archives_can_be_read_by_skopeo(bench: Bench, kind: str) -> None:
    skopeo = require_tool("skopeo")
    archive = bench.folder / "image.tar"
    built = bench.build(bench.project(["cow"], wheels=[COW]), "--output", f"{kind}:{archive}")

    inspected = json.loads(
        subprocess.run([skopeo, "inspect", f"{kind}:{archive}"], check=True, capture_output=True).stdout
    )

    assert len(inspected["Layers"]) == len(built["platforms"][0]["layers"])
    assert inspected["Labels"]["org.opencontainers.image.title"] == "app"
    if kind == "oci-archive":
        assert inspected["Digest"] == built["digest"]


def test_every_tag_names_the_image_in_every_kind_of_output(bench: Bench) -> None:
    project = bench.project()
    tags = ["--tag", "one", "--tag", "registry.example/team/app:two"]
    names = ["localhost/app:one", "registry.example/team/app:two"]

    for output in ("layout", "oci-archive:app.oci", "docker-archive:app.tar"):
        kind, _, name = output.rpartition(":")
        bench.build(
            project, *tags, "--output", f"{kind}:{bench.folder / name}" if kind else str(bench.folder / name)
        )

    layout = json.loads((bench.folder / "layout/index.json").read_bytes())
    with tarfile.open(bench.folder / "app.oci") as tar:
        archive = json.load(tar.extractfile("index.json") or io.BytesIO())
    with tarfile.open(bench.folder / "app.tar") as tar:
        [docker] = json.load(tar.extractfile("manifest.json") or io.BytesIO())
    for index in (layout, archive):
        notes = [entry["annotations"] for entry in index["manifests"]]
        assert [note["org.opencontainers.image.ref.name"] for note in notes] == ["one", "two"]
        assert [note["io.containerd.image.name"] for note in notes] == names
    assert docker["RepoTags"] == names
    assert validate_layout(bench.folder / "layout") == []


def test_an_archive_may_go_to_standard_output(bench: Bench) -> None:
    project = bench.project()
    built = bench.build(project, "--output", f"oci-archive:{bench.folder / 'file.tar'}")

    with (bench.folder / "piped.tar").open("wb") as file:
        import os
        import sys

        done = subprocess.run(
            [sys.executable, "-m", "shipwheel", "build", str(project), "--output", "oci-archive:-"],
            env={**os.environ, **bench.environ},
            stdout=file,
            stderr=subprocess.PIPE,
            check=True,
        )

    assert (bench.folder / "piped.tar").read_bytes() == (bench.folder / "file.tar").read_bytes()
    assert built["digest"].encode() in done.stderr


def test_epoch_dates_the_image_and_the_apps_files(bench: Bench) -> None:
    project = bench.project()

    image = bench.image(project, "--epoch", "1700000000")

    assert image.image.created == "2023-11-14T22:13:20Z"
    same = bench.build(project, environ={"SOURCE_DATE_EPOCH": "1700000000"})
    assert str(image.digest) in same["reference"]


def test_a_hundred_and_fifty_wheels_fit_into_the_layers_that_engines_allow(bench: Bench) -> None:
    wheels = [make_wheel(f"pkg{number:03}", padding=number) for number in range(150)]

    image = bench.image(bench.project([wheel.name for wheel in wheels], wheels=wheels))

    assert len(image.layers) <= 120
    installed = {path for path in files_of(image) if path.endswith(".dist-info")}
    assert len(installed) == 151
