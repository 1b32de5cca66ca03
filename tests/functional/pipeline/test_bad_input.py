"""What is wrong is told with code, place and the way out, by exit codes of its family, and leaves nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from helpers.tiny_base import add_base
from helpers.tools import missing
from shipwheel.testing.index import FakeIndex
from shipwheel.testing.wheels import make_wheel

from .conftest import Bench

COW = make_wheel("cow", "1.0")
WINDOWS = make_wheel("fast", "1.0", tag="cp313-cp313-win_amd64")
MAC = make_wheel("fast", "1.0", tag="cp313-cp313-macosx_11_0_arm64")


def test_no_pyproject(bench: Bench) -> None:
    message = bench.fails("build", bench.folder, code="no-pyproject", exit_code=3)

    assert str(bench.folder) in message
    assert "hint:" in message


def test_invalid_toml_names_the_line(bench: Bench) -> None:
    project = bench.project()
    (project / "pyproject.toml").write_text("[project]\nname = \n")

    assert "pyproject.toml:2" in bench.fails("build", project, code="invalid-toml", exit_code=3)


def test_no_lock_names_the_command_that_makes_one(bench: Bench) -> None:
    project = bench.project(lock=False, style="poetry")

    assert "poetry lock" in bench.fails("build", project, code="no-lock", exit_code=4)


def test_a_stale_lock_is_refused_and_taken_when_frozen(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW])
    text = (project / "pyproject.toml").read_text().replace('"cow"', '"cow", "sheep"', 1)
    (project / "pyproject.toml").write_text(text)

    message = bench.fails("build", project, code="stale-lock", exit_code=4)

    assert "poetry lock" in message
    assert bench.build(project, "--frozen")["digest"]


def test_an_image_that_nobody_named_and_cannot_be_had_is_explained(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW], base=False, requires_python="==3.12.*")
    nobody = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}

    message = bench.fails("build", project, code="proxy", exit_code=5, environ=nobody)

    assert "the base python:3.12-slim was chosen since" in message
    assert "[tool.shipwheel.base] image" in message


def test_a_lock_that_is_no_toml_names_the_line(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW])
    with (project / "poetry.lock").open("a") as file:
        file.write("\nnot toml at all\n")

    assert "poetry.lock:" in bench.fails("build", project, code="invalid-toml", exit_code=4)


def test_a_tampered_wheel_is_refused_by_its_locked_hash(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW])
    text = (project / "poetry.lock").read_text()
    (project / "poetry.lock").write_text(text.replace(COW.sha256, "0" * 64))

    message = bench.fails("build", project, code="hash-mismatch", exit_code=6)

    assert COW.filename in message
    assert COW.sha256 in message


def test_a_wheel_for_other_platforms_names_those(bench: Bench) -> None:
    project = bench.project(["fast"], wheels=[WINDOWS, MAC])

    message = bench.fails("build", project, code="no-wheel-for-target", exit_code=7)

    assert "fast 1.0" in message
    assert "win_amd64" in message
    assert "poetry.lock [package.fast]" in message


def test_an_unknown_group_names_the_ones_there_are(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW], groups={"dev": ["cow"]})

    assert "dev" in bench.fails("build", project, "--group", "dve", code="unknown-group", exit_code=2)


def test_several_scripts_give_the_line_to_paste(bench: Bench) -> None:
    project = bench.project(scripts={"serve": "app:main", "work": "app:main"})

    message = bench.fails("build", project, code="several-scripts", exit_code=3)

    assert 'entrypoint = ["serve"]' in message


def test_a_python_that_no_base_has_names_what_there_is(bench: Bench) -> None:
    project = bench.project(requires_python=">=3.7,<3.8", base=False)

    assert "3.13" in bench.fails("build", project, code="no-base-for-python", exit_code=3)


def test_a_locked_base_with_another_python_is_refused(bench: Bench) -> None:
    project = bench.project(requires_python=">=3.12")
    add_base(project, python="3.11.2")

    bench.fails("build", project, code="python-not-admitted", exit_code=3)


def test_locked_refuses_to_write_shipwheel_lock(bench: Bench) -> None:
    project = bench.project()
    (project / "shipwheel.lock").unlink()

    message = bench.fails("build", "--locked", project, code="no-shipwheel-lock", exit_code=4)

    assert "shipwheel lock" in message
    assert not (project / "shipwheel.lock").exists()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("version = 1\nbase = ", "invalid-toml"),
        ("version = 99\n", "newer-shipwheel-lock"),
        ('version = 1\n[base]\nkind = "debian"\n', "bad-shipwheel-lock"),
        ("version = 1\n", "bad-shipwheel-lock"),
    ],
)
def test_a_damaged_shipwheel_lock_is_refused(bench: Bench, content: str, code: str) -> None:
    project = bench.project()
    (project / "shipwheel.lock").write_text(content)

    bench.fails("build", project, code=code, exit_code=4)


def test_an_index_that_is_down(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW])

    done = bench.run("build", project, environ={"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple/"})

    assert done.returncode == 5
    assert "127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_index_that_cuts_files_short(bench: Bench) -> None:
    wheel = make_wheel("cow", padding=400_000)
    project = bench.project(["cow"], wheels=[wheel])
    bench.index.fail(f"*{wheel.filename}", "cut-off", after=1000)

    done = bench.run("build", project)

    assert done.returncode in (5, 6)
    assert wheel.filename in done.stderr


def test_an_index_that_lies_about_hash_and_size_is_not_believed(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW])
    liar = make_wheel("cow", "1.0", {"cow.py": "evil = True\n"})
    with FakeIndex() as index:
        index.add(liar, hashes={"sha256": COW.sha256}, size=len(COW.data))
        environ = {"UV_DEFAULT_INDEX": index.url}

        message = bench.fails("build", project, code="hash-mismatch", exit_code=6, environ=environ)

    assert COW.filename in message


def test_credentials_do_not_follow_a_redirect_to_another_host(bench: Bench) -> None:
    with FakeIndex() as other:
        other.add(COW)
        project = bench.project(["cow"], wheels=[COW])
        bench.index.user, bench.index.password = "ann", "hunter2"
        bench.index.fail(f"*{COW.filename}", "redirect", location=other.file_url(COW))
        url = bench.index.url_with("ann", "hunter2")

        done = bench.run("build", project, environ={"UV_DEFAULT_INDEX": url})

        assert "hunter2" not in done.stdout + done.stderr
        assert [request.headers.get("authorization") for request in other.requests] in ([], [None])
        assert done.returncode in (0, 5)


def test_no_permission_to_write_the_cache(bench: Bench) -> None:
    if os.geteuid() == 0 and not Path("/proc/sys").exists():
        missing("root may write everywhere")
    done = bench.run("build", bench.project(), environ={"SHIPWHEEL_CACHE_DIR": "/proc/nowhere"})

    assert done.returncode == 8
    assert "SHIPWHEEL_CACHE_DIR" in done.stderr or "/proc/nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_told_and_leaves_no_output(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[make_wheel("cow", padding=3_000_000)])
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000)); "
    limited += "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limited += "from shipwheel.cli.main import main; sys.exit(main(sys.argv[1:]))"
    out = bench.folder / "out"

    done = subprocess.run(
        [sys.executable, "-c", limited, "build", str(project), "--output", str(out)],
        env={**os.environ, **bench.environ},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 8, done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_nothing_half_written_and_the_next_one_works(
    bench: Bench, number: signal.Signals
) -> None:
    slow = make_wheel("slow", padding=200_000)
    project = bench.project(["slow"], wheels=[slow])
    bench.index.fail(f"*{slow.filename}", "stall", seconds=60)
    out = bench.folder / "out"
    with subprocess.Popen(
        [sys.executable, "-m", "shipwheel", "build", str(project), "--output", str(out)],
        env={**os.environ, **bench.environ},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 60
        while not any(slow.filename in request.path for request in bench.index.requests):
            assert time.monotonic() < deadline, "the build never asked for the wheel"
            time.sleep(0.05)
        process.send_signal(number)
        _, message = process.communicate(timeout=60)

    assert process.returncode == 128 + number
    assert "Traceback" not in message
    assert not out.exists()
    bench.index.faults.clear()
    assert bench.build(project, "--output", str(out))["digest"]


def test_a_killed_build_leaves_a_sound_cache(bench: Bench) -> None:
    slow = make_wheel("slow", padding=200_000)
    project = bench.project(["slow"], wheels=[slow])
    bench.index.fail(f"*{slow.filename}", "stall", seconds=60)
    process = subprocess.Popen(
        [sys.executable, "-m", "shipwheel", "build", "-q", str(project)], env={**os.environ, **bench.environ}
    )
    while not any(slow.filename in request.path for request in bench.index.requests):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    bench.index.faults.clear()

    assert bench.build(project)["digest"]


def test_two_builds_at_once_share_a_cache_and_agree(bench: Bench) -> None:
    wheels = [make_wheel(f"p{number}", padding=50_000) for number in range(8)]
    project = bench.project([wheel.name for wheel in wheels], wheels=wheels)
    running = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "shipwheel",
                "build",
                "-q",
                str(project),
                "-o",
                str(bench.folder / "same"),
            ],
            env={**os.environ, **bench.environ},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]

    answers = {process.communicate(timeout=120)[0] for process in running}

    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(answers) == 1


def test_an_unknown_command_or_option_is_a_usage_error(bench: Bench) -> None:
    assert bench.run("bild").returncode == 2
    assert bench.run("build", "--nonsense").returncode == 2
    assert bench.run().returncode == 2
    bench.fails("build", bench.project(), "--output", "zip:x", code="bad-output", exit_code=2)
    bench.fails("build", bench.project(), "--platform", "amd64", code="bad-platform", exit_code=2)
    bench.fails("build", bench.project(), environ={"SOURCE_DATE_EPOCH": "x"}, code="bad-epoch", exit_code=2)
    bench.fails("build", bench.project(), "--epoch", "99999999999999", code="bad-epoch", exit_code=2)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--env", "=x"], "bad-env"),
        (["--publish", "web"], "bad-publish"),
        (["--volume", "/nowhere-at-all:/data"], "bad-mount"),
        (["--volume", ".:data"], "bad-mount"),
        (["--volume", ".:/data:rx"], "bad-mount"),
    ],
)
def test_words_that_run_cannot_follow_are_told_before_anything_is_built(
    bench: Bench, words: list[str], code: str
) -> None:
    project = bench.project()

    message = bench.fails("run", project, *words, code=code, exit_code=2)

    assert words[0] in message
    assert "made" not in message


def test_a_file_in_the_outputs_way_is_not_overwritten(bench: Bench) -> None:
    out = bench.folder / "mine"
    out.mkdir()
    (out / "precious").write_text("text")

    done = bench.run("build", bench.project(), "--output", out)

    assert done.returncode != 0
    assert (out / "precious").read_text() == "text"
    assert [path.name for path in out.iterdir()] == ["precious"]


def test_a_private_key_in_copied_source_is_refused_unless_meant(bench: Bench) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"
    more: dict[str, Any] = {"package_mode": False, "style": "poetry", "files": {"certs/server.pem": key}}
    entry = 'entrypoint = ["python"]\n'

    message = bench.fails("build", bench.project(settings=entry, **more), code="private-key", exit_code=3)

    assert "certs/server.pem" in message
    meant = bench.project(settings=entry + 'include = ["certs/server.pem"]\n', where="meant", **more)
    assert bench.build(meant)["digest"]


def test_a_failing_back_end_shows_its_own_words(bench: Bench) -> None:
    broken = "def build_wheel(*arguments, **options):\n    raise RuntimeError('no bananas left')\n"
    project = bench.project(files={"_back_end.py": broken})

    message = bench.fails("build", project, code="build-failed", exit_code=9)

    assert "no bananas left" in message
    assert "--> pyproject.toml [build-system]" in message


def test_a_back_end_outside_of_the_project_is_refused(bench: Bench) -> None:
    project = bench.project()
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(text.replace('backend-path = ["."]', 'backend-path = [".."]'))

    assert "backend-path" in bench.fails("build", project, code="no-back-end", exit_code=9)


def test_a_back_end_whose_name_no_program_can_be_given_is_refused(bench: Bench) -> None:
    project = bench.project()
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(text.replace('"_back_end"', r'"\u0000"'))

    bench.fails("build", project, code="no-back-end", exit_code=9)


def test_a_private_key_in_the_wheel_is_refused_unless_meant(bench: Bench) -> None:
    key = '"""\n-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----\n"""\n'
    files = {"app/key.py": key}

    assert "app/key.py" in bench.fails("build", bench.project(files=files), code="private-key", exit_code=3)
    meant = bench.project(files=files, settings='include = ["app/key.py"]\n', where="meant")
    assert bench.build(meant)["digest"]
