"""`shipwheel init` from end to end, over a loopback index that has the tools: no engine and no network."""

import socket
from pathlib import Path

import pytest

from shipwheel.lockfile import read_lockfile
from shipwheel.testing.wheels import make_wheel

IMAGE = f"registry.example/python:3.13-slim@sha256:{'0' * 64}"
SETTINGS = f'\n[tool.shipwheel.dockerfile]\nimage = "{IMAGE}"\n'


@pytest.fixture
def project(bench) -> Path:  # type: ignore[no-untyped-def]  # the type is conftest's, which nothing can import
    for wheel in (
        make_wheel("poetry", "2.5.1", requires=["cleo"]),
        make_wheel("cleo", "2.1"),
        make_wheel("pipx", "1.18.4", extras=["uv"], requires=['uv ; extra == "uv"']),
        make_wheel("uv", "0.13.9", tag="py3-none-manylinux_2_17_x86_64"),
        make_wheel("uv", "0.13.9", tag="py3-none-manylinux_2_17_aarch64"),
        make_wheel("installer", "1.0"),
        make_wheel("editables", "0.5"),
    ):
        bench.index.add(wheel)
    root: Path = bench.project(["left"], wheels=[make_wheel("left")])
    with (root / "pyproject.toml").open("a") as file:
        file.write(SETTINGS)
    return root


FILES = ["Dockerfile", ".dockerignore", "compose.yaml", ".devcontainer/devcontainer.json", "docker-bake.hcl"]


def test_the_files_are_written_and_stay_as_planned_without_any_network(bench, project: Path) -> None:  # type: ignore[no-untyped-def]
    done = bench.run("init", "--quiet", project)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(project / name) for name in FILES]
    text = (project / "Dockerfile").read_text()
    assert f'ARG PYTHON_DIGEST="@sha256:{"0" * 64}"' in text
    assert "'cleo==2.1 --hash=sha256:" in text
    # One hash for each platform, and no index's name.
    assert text.count("uv==0.13.9 --hash=") == 1
    assert bench.index.origin not in "".join((project / name).read_text() for name in FILES)
    asked = len(bench.index.requests)
    again = bench.run("init", "--check", project)
    assert (again.returncode, again.stdout) == (0, "")
    assert len(bench.index.requests) == asked
    assert bench.run("init", "--quiet", project).stdout == ""


def test_no_python_is_downloaded_to_pin_tools_for_it(bench, project: Path) -> None:  # type: ignore[no-untyped-def]
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        # No Python is on PATH, and whoever wants one from elsewhere has to ask here.
        environ = {"HTTPS_PROXY": address, "PATH": "/nowhere", "UV_HTTP_TIMEOUT": "1"}
        done = bench.run("init", "--quiet", project, environ=environ)

        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody asked the proxy for another host
            proxy.accept()
    assert done.returncode == 0, done.stderr


def test_the_tools_are_pinned_in_shipwheel_lock(bench, project: Path) -> None:  # type: ignore[no-untyped-def]
    assert bench.run("devcontainer", "--quiet", project).returncode == 0
    assert not (project / "docker-bake.hcl").exists()
    lock = read_lockfile(project / "shipwheel.lock")
    assert lock is not None
    assert [item.requires[0] for item in lock.tools] == ["installer", "pipx[uv]", "poetry==2.5.1"]


def test_a_dockerfile_of_the_users_own_stays_and_nothing_else_is_written(bench, project: Path) -> None:  # type: ignore[no-untyped-def]
    (project / "Dockerfile").write_text("FROM mine\n")
    message = bench.fails("init", project, code="file-in-the-way", exit_code=3)
    assert "--force" in message
    assert (project / "Dockerfile").read_text() == "FROM mine\n"
    assert not (project / "compose.yaml").exists()
    assert bench.run("init", "--force", project).returncode == 0
    assert "registry.example/python:${PYTHON_VERSION}" in (project / "Dockerfile").read_text()


def test_the_difference_is_shown_and_nothing_written(bench, project: Path) -> None:  # type: ignore[no-untyped-def]
    done = bench.run("init", "--diff", project)
    assert done.returncode == 0
    assert "registry.example/python:${PYTHON_VERSION}-slim${PYTHON_DIGEST}" in done.stdout
    assert not (project / "Dockerfile").exists()


def test_a_folder_without_a_project(bench, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "empty").mkdir()
    bench.fails("init", tmp_path / "empty", code="no-pyproject", exit_code=3)
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_layout_is_nothing_that_a_dockerfile_can_stand_on(bench, project: Path) -> None:  # type: ignore[no-untyped-def]
    pyproject = project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace(SETTINGS, ""))
    message = bench.fails("init", project, code="no-image-for-dockerfile", exit_code=3)
    assert "[tool.shipwheel.dockerfile] image" in message


def test_a_base_that_cannot_be_looked_up_is_taken_by_its_tag_only_when_told(bench, project: Path) -> None:  # type: ignore[no-untyped-def]
    pyproject = project / "pyproject.toml"
    # Nothing listens there.
    pyproject.write_text(pyproject.read_text().replace(IMAGE, "127.0.0.1:9/python:3.13-slim"))
    done = bench.run("init", project)
    assert done.returncode == 5
    assert "--unpinned" in done.stderr
    assert not (project / "Dockerfile").exists()
    assert bench.run("init", "--unpinned", project).returncode == 0
    assert '127.0.0.1:9/python:${PYTHON_VERSION}-slim"\n' in (project / "Dockerfile").read_text()


def test_words_for_an_engine_need_one(bench, project: Path) -> None:  # type: ignore[no-untyped-def]
    bench.fails("build", "--target", "dev", project, code="engine-option", exit_code=2)


def test_without_the_engine_nothing_is_written(bench, project: Path) -> None:  # type: ignore[no-untyped-def]
    done = bench.run("build", "--engine", "docker", project, environ={"PATH": "/nonexistent"})
    assert done.returncode == 8
    assert "error[no-engine]" in done.stderr
    assert not (project / "Dockerfile").exists()


def test_what_only_the_other_road_leaves_out_is_said(bench, project: Path) -> None:  # type: ignore[no-untyped-def]
    with (project / "pyproject.toml").open("a") as file:
        file.write('\n[tool.shipwheel.slim]\ndrop = ["tests"]\n')

    done = bench.run("init", project)

    assert done.returncode == 0, done.stderr
    assert "hint: [tool.shipwheel.slim] is for images made without a Dockerfile" in done.stderr
