"""What `check --run` sees of a program that really is process 1, in each way to run it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from helpers.python_image import python_image, shell_layer
from helpers.tools import require_tool
from helpers.zoo import entry, layer
from shipwheel.cache import Cache
from shipwheel.cli.checking import ImageMachine
from shipwheel.engine.detect import find_runner
from shipwheel.engine.spec import Runner, RunSpec
from shipwheel.oci.model import CONFIG, BytesBlob, Descriptor, Image
from shipwheel.oci.read import LoadedImage
from shipwheel.verify import live, start
from shipwheel.verify.check import Question, check_image
from shipwheel.verify.model import Finding, Report

SERVER = """
import http.server, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/healthy" else 503)
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 8000), Handler)
"""
GOOD = SERVER + "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\nserver.serve_forever()\n"
DEAF = SERVER + "server.serve_forever()\n"
STUBBORN = SERVER + "signal.signal(signal.SIGTERM, lambda *_: None)\nserver.serve_forever()\n"
ASKS = (
    "import sys, urllib.request\nurllib.request.urlopen('http://127.0.0.1:8000' + sys.argv[1], timeout=5)\n"
)
FILES = {f"app/{name}.py": text.encode() for name, text in {
    "good": GOOD, "deaf": DEAF, "stubborn": STUBBORN, "asks": ASKS,
    "late": "import time\ntime.sleep(2)\n" + GOOD,
    "ends": "import time\ntime.sleep(2)\n",
    "writes": "import time\nopen('/srv/state.txt', 'w').write('1')\nopen('/tmp/free', 'w')\n" + GOOD,
    "tries": "try:\n    open('/srv/state.txt', 'w')\nexcept OSError:\n    pass\nimport os\n"
             "try:\n    os.mkdir('/srv/lock'); os.rmdir('/srv/lock')\nexcept OSError:\n    pass\n" + GOOD,
}.items()}  # fmt: skip


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_ALIVE_SECONDS", 1.0)
    monkeypatch.setattr(start, "_PATIENCE_SECONDS", 2.0)
    monkeypatch.setattr(start, "_READY_SECONDS", 5.0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def unshare(cache: Cache) -> Runner:
    return find_runner(os.environ, "unshare", cache=cache)


@dataclass
class Remembering:
    """A runner that knows what an engine was given, so that nothing stays there."""

    inner: Runner
    tags: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        return self.inner.name

    def run(self, image: Image, spec: RunSpec, **more: Any) -> int:
        self.tags.add(f"localhost/shipwheel-run:{image.config_blob().digest.hex}")
        return self.inner.run(image, spec, **more)


@pytest.fixture(
    params=[
        "unshare",
        "runc",
        pytest.param("docker", marks=pytest.mark.engine),
        pytest.param("podman", marks=pytest.mark.engine),
    ]
)
def each_runner(request: pytest.FixtureRequest, cache: Cache) -> Iterator[Runner]:
    name = str(request.param)
    environ = dict(os.environ)
    if name == "docker":
        environ = dict(request.getfixturevalue("docker_engine").environ)
    elif name != "unshare":
        require_tool(name)
    runner = Remembering(find_runner(environ, name, cache=cache))
    yield runner
    if name in ("docker", "podman"):
        for tag in sorted(runner.tags):
            subprocess.run(
                [name, "image", "rm", "--force", tag], env=environ, capture_output=True, check=True
            )


def with_health_check(image: Image, test: list[str], **times: int) -> LoadedImage:
    """Return the image as Docker would have written it with a HEALTHCHECK."""
    data = json.loads(image.config_blob().data)
    data["config"]["Healthcheck"] = {"Test": test, **times}
    config = json.dumps(data).encode()
    blob = BytesBlob(config)
    return LoadedImage(
        image=image,
        descriptor=image.descriptor,
        manifest=image.manifest_blob().data,
        config_descriptor=Descriptor(media_type=CONFIG, digest=blob.digest, size=blob.size),
        config=config,
    )


def report_on(image: Image | LoadedImage, runner: Runner, *, compose: Path | None = None) -> Report:
    inner = image.image if isinstance(image, LoadedImage) else image
    question = Question(
        image=image,
        name="start",
        only=frozenset(rule.code for rule in live.RULES),
        machine=ImageMachine(image=inner, runner=runner),
        compose=compose,
    )
    return check_image(question)


def found(report: Report) -> dict[str, Finding]:
    return {finding.rule.code: finding for finding in report.findings}


def unchecked(report: Report) -> dict[str, str]:
    return {item.rule.code: item.reason for item in report.not_checked}


def test_a_good_server_has_no_finding_in_any_runner(each_runner: Runner) -> None:
    image = python_image(
        FILES,
        start=("python", "/app/good.py"),
        exposed_ports=("8000/tcp",),
        modules={"thing.py": b"X = 1\n"},
    )
    report = report_on(with_health_check(image, ["CMD", "python", "/app/asks.py", "/healthy"]), each_runner)
    assert found(report) == {}
    assert {rule.code for rule in report.passed} >= {
        "stop-signal-unhandled", "health-check-fails", "needs-writable-root", "writes-to-image", "import-fails",
    }  # fmt: skip


def test_faults_are_found_in_any_runner(each_runner: Runner) -> None:
    modules = {"thing.py": b"raise ImportError('libxml2.so.2: cannot open shared object file')\n"}
    commands = {"misses": b"import surely_not_installed\n", "helps": b"print('help')\n"}
    image = python_image(FILES, start=("python", "/app/deaf.py"), modules=modules, commands=commands)
    report = found(report_on(image, each_runner))
    assert set(report) == {"import-fails", "command-fails", "stop-signal-unhandled"}
    assert [place.path for place in report["import-fails"].places] == ["import thing"]
    assert [place.path for place in report["command-fails"].places] == ["/usr/bin/misses"]
    assert report["stop-signal-unhandled"].message == (
        "SIGTERM did not end it within 2 s as process 1: python has no handler for SIGTERM"
    )


def test_a_handler_that_does_not_end_the_program_is_told(unshare: Runner) -> None:
    report = report_on(python_image(FILES, start=("python", "/app/stubborn.py")), unshare)
    assert "python goes on after SIGTERM" in found(report)["stop-signal-unhandled"].message


def test_a_program_that_is_still_starting_is_asked_again(unshare: Runner) -> None:
    assert found(report_on(python_image(FILES, start=("python", "/app/late.py")), unshare)) == {}


def test_a_program_that_ends_by_itself_meanwhile_is_not_judged(unshare: Runner) -> None:
    report = report_on(python_image(FILES, start=("python", "/app/ends.py")), unshare)
    assert found(report) == {}
    assert "it ended by itself with exit code 0" in unchecked(report)["stop-signal-unhandled"]


def test_a_shell_that_passes_no_signal_on_is_told_with_its_fix(unshare: Runner) -> None:
    image = python_image(FILES, start=("/bin/sh", "-c", "python /app/good.py; echo done"))
    image = replace(image, layers=(*image.layers, shell_layer()))
    finding = found(report_on(image, unshare))["stop-signal-unhandled"]
    assert "sh has no handler for SIGTERM" in finding.message
    assert "exec form" in finding.how_to_fix


def test_a_shell_that_gives_way_to_the_program_is_no_finding(unshare: Runner) -> None:
    image = python_image(FILES, start=("/bin/sh", "-c", "exec python /app/good.py"))
    image = replace(image, layers=(*image.layers, shell_layer()))
    assert found(report_on(image, unshare)) == {}


def test_the_images_own_stop_signal_is_the_one_that_is_sent(unshare: Runner) -> None:
    # SIGINT is a KeyboardInterrupt to Python, which ends the program.
    image = python_image(FILES, start=("python", "/app/deaf.py"), stop_signal="SIGINT")
    assert found(report_on(image, unshare)) == {}


def test_a_health_check_that_fails_is_told_with_its_last_words(unshare: Runner) -> None:
    image = python_image(FILES, start=("python", "/app/good.py"))
    checked = with_health_check(image, ["CMD", "python", "/app/asks.py", "/ill"], Interval=1, Timeout=10**9)
    finding = found(report_on(checked, unshare))["health-check-fails"]
    assert "exit code 1: urllib.error.HTTPError: HTTP Error 503" in finding.message
    assert finding.places[0].detail == "python /app/asks.py /ill"


def test_a_health_check_that_hangs_is_told(unshare: Runner) -> None:
    image = python_image(FILES, start=("python", "/app/good.py"))
    checked = with_health_check(image, ["CMD", "python", "-c", "import time; time.sleep(60)"], Timeout=10**9)
    assert "no end within 1 s" in found(report_on(checked, unshare))["health-check-fails"].message


def test_a_health_check_whose_program_is_not_in_the_image_is_told(unshare: Runner) -> None:
    image = python_image(FILES, start=("python", "/app/good.py"))
    checked = with_health_check(image, ["CMD-SHELL", "curl -f http://localhost:8000/healthy"])
    finding = found(report_on(checked, unshare))["health-check-fails"]
    assert "it failed 1 time" in finding.message
    assert "exit code 127: /bin/sh: No such file or directory" in finding.message


def test_the_health_check_of_the_compose_file_is_run(unshare: Runner, tmp_path: Path) -> None:
    compose = tmp_path / "compose.yaml"
    test = '["CMD", "python", "/app/asks.py", "/ill"]'
    compose.write_text(
        f"services:\n  app:\n    build: .\n    healthcheck:\n      test: {test}\n"
        "      interval: 1s\n      timeout: 1s\n      retries: 1\n"
    )
    report = report_on(python_image(FILES, start=("python", "/app/good.py")), unshare, compose=compose)
    finding = found(report)["health-check-fails"]
    assert "HTTP Error 503" in finding.message
    assert finding.places[0].path == f"{compose}:4"


def test_without_a_health_check_the_rule_is_not_checked(unshare: Runner) -> None:
    report = report_on(python_image(FILES, start=("python", "/app/good.py")), unshare)
    assert unchecked(report)["health-check-fails"] == (
        "neither the image nor a compose file has a health check"
    )
    none = with_health_check(python_image(FILES, start=("python", "/app/good.py")), ["NONE"])
    assert "health-check-fails" in unchecked(report_on(none, unshare))


def test_what_makes_a_read_only_root_impossible_is_named_with_its_fix(unshare: Runner) -> None:
    report = report_on(python_image(FILES, start=("python", "/app/writes.py")), unshare)
    finding = found(report)["needs-writable-root"]
    assert [place.path for place in finding.places] == ["/srv/state.txt"]
    assert "Read-only file system: '/srv/state.txt'" in finding.message
    assert "--tmpfs /srv" in finding.how_to_fix
    assert "VOLUME /srv" in finding.how_to_fix
    assert "does-not-start" not in found(report)


def test_what_is_written_and_not_missed_is_a_note(unshare: Runner) -> None:
    report = report_on(python_image(FILES, start=("python", "/app/tries.py")), unshare)
    assert [place.path for place in found(report)["writes-to-image"].places] == ["/srv/state.txt"]


def test_what_was_there_for_a_while_shows_by_its_folder(unshare: Runner) -> None:
    code = b"import os\ntry:\n    os.mkdir('/srv/lock'); os.rmdir('/srv/lock')\nexcept OSError:\n    pass\n"
    image = python_image({"app/main.py": code + GOOD.encode()}, start=("python", "/app/main.py"))
    assert [place.path for place in found(report_on(image, unshare))["writes-to-image"].places] == ["/srv/"]


def test_what_another_user_may_not_read_is_named(unshare: Runner) -> None:
    secret = entry("app/settings.ini", b"x", mode=0o600, uid=65532, gid=65532)
    code = b"open('/app/settings.ini')\n" + GOOD.encode()
    image = python_image(FILES, start=("python", "/app/main.py"))
    image = replace(image, layers=(*image.layers, layer({"app/main.py": code, "app/settings.ini": secret})))
    finding = found(report_on(image, unshare))["needs-its-user"]
    assert [place.path for place in finding.places] == ["/app/settings.ini", "config.Entrypoint"]
    assert "Permission denied: '/app/settings.ini'" in finding.message


def test_a_volume_is_for_writing(unshare: Runner) -> None:
    image = python_image(FILES, start=("python", "/app/tries.py"), volumes=("/srv",))
    assert found(report_on(image, unshare)) == {}


def test_a_program_that_is_not_there_does_not_start(unshare: Runner) -> None:
    report = report_on(python_image(FILES, start=("gunicorn", "main:app")), unshare)
    assert "gunicorn: No such file or directory" in found(report)["does-not-start"].message


def test_the_program_has_the_images_environment_and_no_other(unshare: Runner, tmp_path: Path) -> None:
    code = b"import os, sys\nsys.exit(' '.join(sorted(os.environ)))\n"
    report = report_on(python_image({"app/main.py": code}, start=("python", "/app/main.py")), unshare)
    # And no LC_CTYPE, which Python sets for itself where no locale is set.
    assert unchecked(report)["stop-signal-unhandled"] == (
        "it ended by itself with exit code 1: HOME PATH PYTHONPATH"
    )
