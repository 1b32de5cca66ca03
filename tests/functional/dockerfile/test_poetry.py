"""What a hand-written Dockerfile usually gets wrong, shown on images that a real engine built from ours."""

import base64
import io
import json
import re
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.road import PASSWORD, PROBE, Road

pytestmark = [pytest.mark.engine, pytest.mark.network, pytest.mark.xdist_group("engine")]


@pytest.fixture(scope="module")
def shop(road: Road) -> Path:
    root = road.project("shop")
    road.init(root)
    return root


@pytest.fixture(scope="module")
def app(road: Road, shop: Path) -> str:
    return road.build(shop)[0]


@pytest.fixture(scope="module")
def dev(road: Road, shop: Path) -> str:
    return road.build(shop, target="dev")[0]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_app_runs_and_holds_what_runs_it_and_nothing_else(road: Road, app: str) -> None:
    assert road.engine.docker("run", "--rm", app) == "42 1\n"
    seen = json.loads(road.inside(app, "-c", PROBE))
    assert (seen["uid"], seen["gid"]) == (65532, 65532)
    assert seen["home"] == "/home/nonroot/x"
    assert seen["shell"] == ["nonroot:x:65532:65532::/home/nonroot:/usr/sbin/nologin"]
    assert seen["app"] == ["/app/.venv"]
    assert (seen["pip"], seen["programs"], seen["found"]) == (False, [], [])
    assert seen["writable"] == []
    # PEP 552: hash-based, and not checked against the source.
    assert seen["bytecode"] == ["01000000"]
    assert seen["uncompiled"] == []
    config = json.loads(road.engine.docker("image", "inspect", "--format", "{{json .Config}}", app))
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["app"]


def test_process_one_is_told_to_stop(road: Road, app: str) -> None:
    name = f"sigterm-{road.token}"
    road.engine.docker("run", "--detach", "--name", name, app, "wait")
    try:
        deadline = time.monotonic() + 60
        while "42" not in road.engine.docker("logs", name) and time.monotonic() < deadline:
            time.sleep(0.1)
        road.engine.docker("stop", "--time", "30", name)
        assert road.engine.docker("inspect", "--format", "{{.State.ExitCode}}", name).strip() == "7"
    finally:
        road.engine.docker("rm", "--force", name)


def test_no_metadata_edit_and_no_code_edit_touches_the_dependencies(road: Road, shop: Path, app: str) -> None:
    before = road.layers(app)
    edit(shop / "pyproject.toml", 'version = "1.0.0"', 'version = "1.0.1"')
    with (shop / "pyproject.toml").open("a") as file:
        file.write("[tool.ruff]\nline-length = 100\n")
    bumped, said = road.build(shop)
    assert bumped.endswith(":1.0.1")
    after = road.layers(bumped)
    # Of the app's layers the last alone is new: the project's.
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1]
    assert "Installing parts" not in said
    edit(shop / "app/__init__.py", "parts.COUNT + 1", "parts.COUNT + 2")
    edited, _ = road.build(shop)
    assert road.layers(edited)[:-1] == before[:-1]
    assert road.engine.docker("run", "--rm", edited) == "43 1\n"
    label = '{{index .Config.Labels "org.opencontainers.image.version"}}'
    assert road.engine.docker("image", "inspect", "--format", label, edited) == "1.0.1\n"
    # A release is no other Dockerfile.
    assert road.run("init", "--check", shop).returncode == 0


def test_a_stale_lock_is_refused_by_poetry_too(road: Road, shop: Path) -> None:
    pyproject = shop / "pyproject.toml"
    text = pyproject.read_text()
    try:
        edit(pyproject, "parts>=1", "parts>=0")
        done = road.run("build", "--frozen", "--quiet", "--engine", "docker", shop, "--", "--network=host")
    finally:
        pyproject.write_text(text)
    assert done.returncode == 9
    assert "error[dockerfile-build]: docker ended with 1 in the step app-pre" in done.stderr
    assert "hint: lock the project again" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "stage", ["kit", "manifests", "builder", "app-pre", "workshop", "project", "app", "dev", "test"]
)
def test_secrets_stay_in_no_layer_and_no_history(road: Road, shop: Path, stage: str) -> None:
    """Neither the index's password nor the company's certificate: in no byte of any stage's image."""
    image, _ = road.build(shop, target=stage)
    if stage == "test":  # it has no name otherwise: it is there to fail or not
        image = f"shop-test-{road.token}"
        words = ("build", "--quiet", "--engine", "docker", "--target", stage, shop)
        assert road.run(*words, "--", "--network=host", "--tag", image).returncode == 0
    pem = "".join(road.certificate.splitlines()[1:-1])
    wanted = [PASSWORD.encode(), pem[60:100].encode(), base64.b64decode(pem)[100:140]]
    command = [road.engine.client, "save", image]
    with subprocess.Popen(command, env=road.engine.environ, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        files = dict(everything(process.stdout.read()))
    # The search sees into the layers.
    assert any(name.endswith("etc/passwd") for name in files)
    assert [name for name, content in files.items() if any(one in content for one in wanted)] == []
    for told in (
        road.engine.docker("history", "--no-trunc", image),
        road.engine.docker("image", "inspect", image),
    ):
        assert not any(one.decode("latin-1") in told for one in wanted[:2])


def everything(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file in an archive and in the archives within."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            if not member.isreg():
                continue
            file = archive.extractfile(member)
            assert file is not None
            content = file.read()
            yield member.name, content
            if member.name.startswith("blobs/") and content[257:262] == b"ustar":
                yield from everything(content)


def test_development_has_its_tools_and_the_source_and_none_of_the_hosts_secrets(road: Road, dev: str) -> None:
    program = (
        "import app, checks, json, os, shutil, subprocess; print(json.dumps([app.__file__, os.getuid(), "
        "subprocess.run(['sudo', 'id', '-u'], capture_output=True, text=True).stdout, "
        "[n for n in ('git', 'wget', 'ping', 'poetry') if shutil.which(n)], "
        "[n for n in ('.env', '.git', 'poetry.lock') if os.path.exists('/app/' + n)]]))"
    )
    seen = json.loads(road.inside(dev, "-c", program))
    assert seen == ["/app/app/__init__.py", 65532, "0\n", ["git", "wget", "ping", "poetry"], ["poetry.lock"]]


def test_the_test_stage_runs_the_suite_and_fails_with_it(road: Road, shop: Path) -> None:
    road.build(shop, target="test")
    test = shop / "tests/test_app.py"
    text = test.read_text()
    try:
        edit(test, "41", "40")
        words = ("--target", "test", shop, "--", "--network=host")
        done = road.run("build", "--quiet", "--engine", "docker", *words)
    finally:
        test.write_text(text)
    assert done.returncode == 9
    assert "in the step test" in done.stderr
    assert "FAILED (failures=1)" in done.stderr


def test_a_user_id_of_the_base_image_is_refused_by_name(road: Road, shop: Path) -> None:
    done = road.run(
        *(
            "build",
            "--quiet",
            "--engine",
            "docker",
            shop,
            "--",
            "--network=host",
            "--build-arg",
            "USER_UID=33",
        )
    )
    assert done.returncode == 9
    assert "USER_UID 33 is taken in the base image by www-data" in done.stderr


def test_arguments_say_where_who_and_which_tools(road: Road) -> None:
    root = road.project("arguments")
    arguments = {
        "WORKDIR": "/srv/some shop",
        "USERNAME": "somebody",
        "USER_UID": "4711",
        "USER_GID": "4712",
        "POETRY_VERSION": "2.2.1",
        "PIPX_VERSION": "1.7.1",
        "BASE": road.base,
    }
    words = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]

    def build(target: str) -> str:
        start = ("build", "--quiet", "--engine", "docker", "--target", target, root)
        tag = f"arguments-{target}-{road.token}"
        done = road.run(*start, "--", "--network=host", "--tag", tag, *words)
        assert done.returncode == 0, done.stderr[-4000:]
        return tag

    app = build("app")
    assert road.engine.docker("run", "--rm", app) == "42 1\n"
    program = "import app, os, pwd; print(app.__file__, os.getuid(), os.getgid(), pwd.getpwuid(4711).pw_name)"
    said = road.inside(app, "-c", program).strip()
    assert said == "/srv/some shop/.venv/lib/python3.13/site-packages/app/__init__.py 4711 4712 somebody"
    config = json.loads(road.engine.docker("image", "inspect", "--format", "{{json .Config}}", app))
    assert (config["WorkingDir"], config["User"]) == ("/srv/some shop", "4711:4712")
    said = road.inside(build("dev"), "-c", program).strip()
    assert said == "/srv/some shop/app/__init__.py 4711 4712 somebody"
    versions = (
        "poetry --version; python3 -m pip --version; PYTHONPATH=/opt/tools/lib python3 -m pipx --version",
    )
    told = road.inside(build("builder"), "-c", *versions, entrypoint="sh")
    assert "Poetry (version 2.2.1)" in told
    assert told.endswith("1.7.1\n")


def test_the_files_are_as_planned_until_somebody_edits_them(road: Road, shop: Path) -> None:
    assert road.run("init", "--check", shop).returncode == 0
    edit(shop / "Dockerfile", "# <own app>\n", "# <own app>\nENV MINE=1\n")
    assert road.run("init", "--check", shop).returncode == 0
    edit(shop / "Dockerfile", "USER ${USER_UID}", "USER root #${USER_UID}")
    done = road.run("init", "--check", shop)
    assert done.returncode == 3
    assert "+USER ${USER_UID}:${USER_GID}" in done.stdout
    assert "error[drifted]: Dockerfile is not as planned" in done.stderr
    assert "error[edited-file]" in road.run("init", shop).stderr
    assert road.run("init", "--force", shop).returncode == 0
    assert "ENV MINE=1\n" in (shop / "Dockerfile").read_text()


def test_what_a_login_is_missing_for_is_said(road: Road) -> None:
    root = road.project("no-login")
    road.init(root)
    login = root / "login.env"
    login.write_text("NOTHING=1\n")
    done = road.run(
        *("build", "--frozen", "--quiet", "--engine", "docker", root),
        *("--secret", f"id=index,src={login}", "--", "--network=host", "--no-cache-filter", "app-pre"),
    )
    assert done.returncode == 9
    assert "--secret id=index,src=FILE" in done.stderr


@pytest.mark.parametrize(
    ("tool", "target"), [("pipx", "builder"), ("poetry", "builder"), ("editables", "app")]
)
def test_a_tool_with_another_hash_than_the_pinned_one_is_refused(road: Road, tool: str, target: str) -> None:
    root = road.project(f"hash-of-{tool}")
    road.init(root)
    dockerfile = root / "Dockerfile"
    changed, count = re.subn(
        rf"'{tool}==(\S+) --hash=[^']*'", rf"'{tool}==\1 --hash=sha256:{'0' * 64}'", dockerfile.read_text()
    )
    assert count == 1
    dockerfile.write_text(changed)
    words = ("build", "--quiet", "--engine", "docker", "--target", target, root, "--", "--network=host")
    done = road.run(*words)
    assert done.returncode == 9
    # pip; uv.
    assert re.search(f"DO NOT MATCH THE HASHES|Hash mismatch for `{tool}==", done.stderr)
