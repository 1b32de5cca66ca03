"""What engines are told to build a Dockerfile, and what is made of their failures."""

import fcntl
import io
import os
import stat
import struct
import sys
import termios
from dataclasses import replace
from pathlib import Path

import pytest

from shipwheel.engine.build import (
    BuildEngine,
    EngineBuild,
    build_commands,
    check_target,
    find_build_engine,
    image_format,
    run_build,
)
from shipwheel.engine.secrets import build_secrets, variables_of_addresses
from shipwheel.errors import BuildError, HostError, UsageError

BUILD = EngineBuild(
    dockerfile=Path("/p/Dockerfile"), context=Path("/p"), target="app", tags=["registry.example/shop:1"]
)


def program(folder: Path, name: str, script: str) -> dict[str, str]:
    """Put a program into `folder` and return an environment that finds it and nothing else by that name."""
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport sys\nwords = sys.argv[1:]\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {**os.environ, "PATH": str(folder)}


def test_docker_builds_with_buildkit() -> None:
    (command,) = build_commands("docker", BUILD, "docker")
    assert command == [
        *("docker", "buildx", "build", "--file", "/p/Dockerfile", "--target", "app"),
        *("--tag", "registry.example/shop:1", "/p"),
    ]


def test_a_remote_builder_takes_caches_platforms_and_a_push() -> None:
    build = EngineBuild(
        dockerfile=Path("/p/Dockerfile"),
        context=Path("/p"),
        target="app",
        tags=["registry.example/shop:1"],
        builder="cluster",
        platforms=["linux/amd64", "linux/arm64"],
        cache_from=["type=registry,ref=registry.example/cache"],
        cache_to=["type=registry,ref=registry.example/cache,mode=max"],
        push=True,
        extra=["--pull"],
    )
    (command,) = build_commands("buildx", build, "docker")
    text = " ".join(command)
    assert "--builder cluster" in text
    assert "--platform linux/amd64,linux/arm64" in text
    assert "--cache-from type=registry,ref=registry.example/cache " in text
    assert "--cache-to type=registry,ref=registry.example/cache,mode=max" in text
    assert text.endswith("--push --pull /p")


def test_a_date_is_put_on_files_and_image() -> None:
    build = EngineBuild(
        dockerfile=Path("D"), context=Path(), target="app", tags=["r.example/a:1"], push=True, epoch=5
    )
    (command,) = build_commands("buildx", build, "docker")
    assert "SOURCE_DATE_EPOCH=5" in command
    assert 'type=image,"name=r.example/a:1",push=true,rewrite-timestamp=true' in command
    (command, _) = build_commands("buildah", build, "buildah")
    assert command[command.index("--timestamp") + 1] == "5"


@pytest.mark.parametrize("engine", ["podman", "buildah"])
def test_podman_and_buildah_push_afterwards(engine: BuildEngine) -> None:
    build = EngineBuild(
        dockerfile=Path("D"), context=Path("/p"), target="app", tags=["r.example/a:1"], push=True
    )
    first, second = build_commands(engine, build, engine)
    assert first[:2] == [engine, "build"]
    assert "--layers" in first
    assert second == [engine, "push", "r.example/a:1"]


@pytest.mark.parametrize("engine", ["podman", "buildah"])
def test_buildkits_words_for_a_registry_cache_are_understood(engine: BuildEngine) -> None:
    """Buildah's caches are repositories, where it gives each step a tag."""
    build = replace(
        BUILD, cache_to=["type=registry,ref=r.example:5000/a/cache:app,mode=max"], cache_from=["r.example/b"]
    )
    (command,) = build_commands(engine, build, engine)
    assert command[command.index("--cache-to") + 1] == "r.example:5000/a/cache"
    assert command[command.index("--cache-from") + 1] == "r.example/b"
    with pytest.raises(UsageError, match="engine-option"):
        build_commands(engine, replace(BUILD, cache_to=["type=local,dest=x"]), engine)


def test_podmans_images_are_ocis_unless_that_would_lose_a_line() -> None:
    (command,) = build_commands("podman", BUILD, "podman")
    assert command[command.index("--format") + 1] == image_format("FROM a\nRUN shell\n") == "oci"
    assert image_format("FROM a\nHEALTHCHECK CMD true\n") == "docker"
    (command,) = build_commands("podman", replace(BUILD, image_format="docker"), "podman")
    assert command[command.index("--format") + 1] == "docker"


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_without_the_cache_is_said_to_the_engine(engine: BuildEngine) -> None:
    (command,) = build_commands(engine, replace(BUILD, no_cache=True), engine)
    assert "--no-cache" in command


def test_a_date_leaves_out_the_provenance_unless_it_is_asked_for() -> None:
    (command,) = build_commands("buildx", replace(BUILD, epoch=5), "docker")
    assert "--provenance=false" in command
    (command,) = build_commands("buildx", replace(BUILD, epoch=5, extra=["--provenance=mode=max"]), "docker")
    assert "--provenance=false" not in command


def test_podman_has_no_builders() -> None:
    build = EngineBuild(dockerfile=Path("D"), context=Path(), target="app", tags=[], builder="x")
    with pytest.raises(UsageError, match="engine-option"):
        build_commands("podman", build, "podman")


def test_a_stage_that_is_not_there_is_refused_with_those_that_are() -> None:
    check_target("FROM a AS one\nfrom --platform=x b as Two\n", "two")
    with pytest.raises(UsageError) as raised:
        check_target("FROM a AS one\n", "three")
    assert "there are: one" in str(raised.value)


def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no-engine"):
        find_build_engine("docker", {"PATH": str(tmp_path)})


def test_an_engine_that_does_not_answer(tmp_path: Path) -> None:
    script = "if words[0] == 'version':\n    print('Cannot connect', file=sys.stderr)\n    sys.exit(1)"
    with pytest.raises(HostError) as raised:
        find_build_engine("docker", program(tmp_path, "docker", script))
    assert raised.value.code == "engine-not-running"
    assert "Cannot connect" in str(raised.value)


def test_an_engine_that_is_too_old(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="engine-too-old"):
        find_build_engine("docker", program(tmp_path, "docker", "print('20.10.5')"))
    with pytest.raises(HostError, match="engine-too-old"):
        find_build_engine("buildah", program(tmp_path, "buildah", "print('buildah version 1.19.6')"))


def test_a_docker_without_buildx_is_too_old(tmp_path: Path) -> None:
    with pytest.raises(HostError) as raised:
        find_build_engine("docker", program(tmp_path, "docker", "sys.exit(words[0] == 'buildx')"))
    assert raised.value.code == "engine-too-old"
    assert "buildx" in str(raised.value)


def test_progress_passes_through_and_the_failing_step_is_named(tmp_path: Path) -> None:
    said = "#7 [app-pre 3/3] RUN poetry install\\n#7 ERROR: 1\\n > [app-pre 3/3] RUN --mount=type=cache,target=/c poetry install:\\n"
    environ = program(tmp_path, "docker", f"print('{said}')\nsys.exit(3)")
    stream = io.StringIO()
    with pytest.raises(BuildError) as raised:
        run_build([[str(tmp_path / "docker"), "buildx", "build"]], environ, stream)
    assert "ended with 3 in the step app-pre 3/3: RUN poetry install" in str(raised.value)
    assert "#7 ERROR" in stream.getvalue()


def test_on_a_terminal_the_engine_draws_and_its_failing_step_is_named_too(tmp_path: Path) -> None:
    # Colours, lines drawn over each other, and the summary at the end.
    said = "\\x1b[34m[+] Building\\x1b[0m\\x1b[1A\\r\\n > [app 2/3] RUN false:\\n------\\nDockerfile:12\\n------\\n"
    script = (
        "import os\nassert sys.stdout.isatty() and sys.stderr.isatty()\n"
        f"sys.stderr.write('{said}' + str(os.get_terminal_size(2)))\nsys.exit(1)"
    )
    environ = program(tmp_path, "docker", script)
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
    with open(theirs, "w") as stream, pytest.raises(BuildError) as raised:  # noqa: PTH123 - a descriptor
        run_build([[str(tmp_path / "docker"), "buildx", "build"]], environ, stream)
    shown = os.read(ours, 1 << 16)
    os.close(ours)
    assert "docker ended with 1 in the step app 2/3: RUN false" in str(raised.value)
    assert "--> Dockerfile:12" in str(raised.value)
    assert b"\x1b[34m[+] Building" in shown
    assert b"columns=111, lines=33" in shown


def test_what_goes_on_after_the_engine_on_its_terminal_is_not_waited_for(tmp_path: Path) -> None:
    wait = f"while [ -d {tmp_path} ] && [ ! -e {tmp_path}/go ]; do /bin/sleep 0.1; done"
    script = f"import subprocess\nsubprocess.Popen(['/bin/sh', '-c', '{wait}'])\nprint('done')"
    environ = program(tmp_path, "docker", script)
    ours, theirs = os.openpty()
    with open(theirs, "w") as stream:  # noqa: PTH123 - a descriptor
        run_build([[str(tmp_path / "docker")]], environ, stream)
    (tmp_path / "go").touch()
    os.close(ours)


def test_buildahs_failing_step_is_its_last(tmp_path: Path) -> None:
    said = "[1/2] STEP 1/2: FROM x\\n[1/2] STEP 2/2: RUN false\\nError: exit status 1"
    environ = program(tmp_path, "buildah", f"print('{said}')\nsys.exit(1)")
    with pytest.raises(BuildError, match="dockerfile-build") as raised:
        run_build([[str(tmp_path / "buildah"), "build"]], environ, io.StringIO())
    assert "in the step RUN false" in str(raised.value)


@pytest.mark.parametrize(
    ("said", "way_out"),
    [
        ("401 Client Error: Unauthorized for url", "--secret id=index"),
        ("SSL: CERTIFICATE_VERIFY_FAILED", "--secret id=ca"),
        (
            "pyproject.toml changed significantly since poetry.lock was last generated",
            "lock the project again",
        ),
        ("WARNING: Lockfile doesn't satisfy the project requirements", "lock the project again"),
        ("ERROR:: Aborting deploy", "lock the project again"),
        ("no space left on device", "docker system prune"),
        ('no builder "x" found', "docker buildx ls"),
        ("use `docker --context=far buildx` to switch", "DOCKER_CONTEXT=far"),
        ("Cache export is not supported for the docker driver.", "--builder NAME"),
        ("exec /bin/sh: exec format error", "qemu-user-static"),
    ],
)
def test_a_known_reason_has_its_way_out(said: str, way_out: str, tmp_path: Path) -> None:
    environ = program(tmp_path, "docker", f"print({said!r})\nsys.exit(1)")
    with pytest.raises(BuildError) as raised:
        run_build([[str(tmp_path / "docker")]], environ, io.StringIO())
    assert way_out in str(raised.value)


def test_what_pip_and_uv_are_told_here_becomes_a_secret_file_that_is_gone_afterwards(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("x")
    environ = {
        "SSL_CERT_FILE": str(bundle),
        "PIP_INDEX_URL": "https://u:p@index.example/a'b",
        "PIP_FIND_LINKS": "/opt/wheels",
        "POETRY_HTTP_BASIC_CORP_PASSWORD": "p",
        "HOME": "/root",
    }
    with build_secrets((), environ) as found:
        assert found["ca"] == bundle
        file = found["index"]
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.read_text() == (
            "PIP_INDEX_URL='https://u:p@index.example/a'\"'\"'b'\nPOETRY_HTTP_BASIC_CORP_PASSWORD=p\n"
        )
    assert not file.exists()


def test_variables_in_the_logins_of_addresses_become_secrets_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        'url = "https://${INDEX_USER}:${INDEX_PASSWORD}@index.example/simple"\n'
        'path = "file:///${PROJECT_ROOT}/x"\nother = "https://index.example/${FOLDER}/@x"\n'
    )
    (tmp_path / "requirements.txt").write_text("--index-url http://${TOKEN}@index.example/\n")
    files = (tmp_path / "pyproject.toml", tmp_path / "requirements.txt", tmp_path / "lost.txt")
    named = variables_of_addresses(files)
    assert named == {"INDEX_USER", "INDEX_PASSWORD", "TOKEN"}
    environ = {"INDEX_USER": "me", "INDEX_PASSWORD": "it's", "PROJECT_ROOT": "/x", "HOME": "/root"}
    with build_secrets((), environ, named) as found:
        assert found["index"].read_text() == "INDEX_PASSWORD='it'\"'\"'s'\nINDEX_USER=me\n"


def test_a_secret_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="bad-secret"), build_secrets([f"id=index,src={tmp_path}/none"], {}):
        pass
