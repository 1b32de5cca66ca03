"""What `check --run` sees, with this machine's Python in the place of the image's: the worker is the real one."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from helpers.zoo import CONFIG, clean_image, distribution, entry, layer
from shipwheel.engine.probe import Completed
from shipwheel.errors import HostError
from shipwheel.oci.model import Image
from shipwheel.verify import live, start
from shipwheel.verify.check import Question, check_image
from shipwheel.verify.model import Report


@dataclass
class Here:
    """Runs the image's commands on this machine; `site` is on the path."""

    site: Path
    uids: list[int | None] = field(default_factory=list)
    forbidden: bool = False

    def probe(
        self, argv: Sequence[str], *, uid: int | None, timeout: float, writable: bool = False
    ) -> Completed:
        self.uids.append(uid)
        if writable:
            argv = [*argv[:3], json.dumps({**json.loads(argv[3]), "root": str(self.site)})]
        return self._run(argv, timeout, HERE_UID=str(uid or ""), HERE_WRITABLE="1" if writable else "")

    def watch(self, argv: Sequence[str], *, timeout: float, is_last: Callable[[bytes], bool]) -> Completed:
        done = self._run(argv, timeout, HERE_UID="", HERE_WRITABLE="")
        # What outlives its patience is killed by its runner; here its pid is in its first words.
        if any(map(is_last, done.stdout.splitlines())):
            os.kill(json.loads(done.stdout.splitlines()[0])["started"], signal.SIGKILL)
        return done

    def _run(self, argv: Sequence[str], timeout: float, **variables: str) -> Completed:
        assert argv[0] == "python"
        environ = {**os.environ, "PYTHONPATH": str(self.site), **variables}
        done = subprocess.run(
            [sys.executable, *argv[1:]], env=environ, capture_output=True, check=False, timeout=timeout
        )
        return Completed(returncode=done.returncode, stdout=done.stdout, stderr=done.stderr)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.setattr(start, "_ALIVE_SECONDS", 0.7)
    monkeypatch.setattr(start, "_PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(live, "_MODULE_SECONDS", 5)
    (tmp_path / "site").mkdir()
    return Here(tmp_path / "site")


def image_of(here: Here, modules: dict[str, bytes], *, commands: dict[str, bytes] | None = None) -> Image:
    """Return an image with a distribution of `modules`, which are put on this machine's path too."""
    files: dict[str, bytes] = distribution("thing", "1.0", modules, site=str(here.site).lstrip("/"))
    for path, content in {
        **files,
        **{f"{here.site}/bin/{name}": text for name, text in (commands or {}).items()},
    }.items():
        target = Path("/") / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        if content.startswith(b"#!"):
            target.chmod(0o755)
    more = {}
    record = f"{str(here.site).lstrip('/')}/thing-1.0.dist-info/RECORD"
    for name, content in (commands or {}).items():
        path = f"{here.site}/bin/{name}".lstrip("/")
        more[path] = entry(path, content, mode=0o755)
        files[record] += f"bin/{name},,\n".encode()
    return clean_image(layer({**files, **more}))


def report_on(image: Image, here: Here, *, start: Sequence[str] = (sys.executable, "-c", "pass")) -> Report:
    config = replace(CONFIG, entrypoint=tuple(start))
    question = Question(
        image=replace(image, config=config),
        name="live",
        only=frozenset(rule.code for rule in live.RULES),
        machine=here,
    )
    return check_image(question)


def findings(report: Report) -> dict[str, list[str]]:
    return {finding.rule.code: [place.path for place in finding.places] for finding in report.findings}


def test_modules_that_import_are_no_finding(here: Here) -> None:
    report = report_on(image_of(here, {"good.py": b"X = 1\n", "pack/__init__.py": b"import good\n"}), here)
    assert findings(report) == {}
    assert {rule.code for rule in report.passed} >= {"import-fails", "import-needs-more", "does-not-start"}


def test_each_way_in_which_an_import_fails_is_told(here: Here) -> None:
    modules = {
        "missing_library.py": b"raise ImportError('libxml2.so.2: cannot open shared object file')\n",
        "crash.py": b"import os\nos.abort()\n",
        "broken.py": b"def\n",
        "leaves.py": b"import sys\nsys.exit(0)\n",
        "kills.py": b"import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
        "good.py": b"X = 1\n",
    }
    report = report_on(image_of(here, modules), here)
    (finding,) = report.findings
    assert finding.rule is live.IMPORT
    told = {place.path: place.detail for place in finding.places}
    assert set(told) == {
        "import missing_library",
        "import crash",
        "import broken",
        "import leaves",
        "import kills",
    }
    assert told["import crash"] == "crash: killed by signal 6"
    assert "cannot open shared object" in told["import missing_library"]
    assert finding.places[0].package == "thing 1.0"


def test_an_import_without_end_is_given_up(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_MODULE_SECONDS", 1)
    report = report_on(image_of(here, {"endless.py": b"import time\ntime.sleep(60)\n"}), here)
    assert report.findings[0].places[0].detail == "timeout: no end after 1 s"


def test_a_module_that_misses_another_package_needs_more(here: Here) -> None:
    modules = {"wants.py": b"import surely_not_installed.part\n", "also.py": b"import gone_part_of_thing\n"}
    assert findings(report_on(image_of(here, modules), here)) == {
        "import-needs-more": ["import also", "import wants"]
    }


def test_half_of_a_package_is_imported_after_its_other_half(here: Here) -> None:
    half = b"import sys\nif 'whole' not in sys.modules:\n    raise ImportError('import whole before')\n"
    assert findings(report_on(image_of(here, {"half.py": half, "whole.py": b"X = 1\n"}), here)) == {}


def test_what_a_module_says_is_not_taken_for_the_answer(here: Here) -> None:
    loud = b"import sys\nprint('{}')\nprint('noise', file=sys.stderr)\nsys.stdout.flush()\n"
    assert findings(report_on(image_of(here, {"loud.py": loud}), here)) == {}


def test_a_command_that_cannot_import_is_told_and_others_are_left_alone(here: Here) -> None:
    python = f"#!{sys.executable}\n".encode()
    commands = {
        "fails": python + b"import surely_not_installed\n",
        "refuses": python + b"import sys\nsys.exit('usage: refuses FILE')\n",
        "raises": python + b"raise RuntimeError('no configuration')\n",
        "helps": python + b"print('help')\n",
    }
    report = report_on(image_of(here, {"good.py": b""}, commands=commands), here)
    (finding,) = report.findings
    assert finding.rule is live.COMMAND
    assert [place.path for place in finding.places] == [f"{here.site}/bin/fails"]
    assert "No module named 'surely_not_installed'" in finding.places[0].detail


HANDLES = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\ntime.sleep(60)\n"


def test_a_program_that_misses_its_configuration_is_not_judged(here: Here) -> None:
    report = report_on(
        clean_image(), here, start=(sys.executable, "-c", "raise SystemExit('set DATABASE_URL')")
    )
    assert findings(report) == {}
    (unchecked,) = [item for item in report.not_checked if item.rule is start.STOP]
    assert unchecked.reason == "it ended by itself with exit code 1: set DATABASE_URL"


def test_a_program_that_cannot_import_does_not_start(here: Here) -> None:
    report = report_on(clean_image(), here, start=(sys.executable, "-c", "import surely_not_installed"))
    assert list(findings(report)) == ["does-not-start"]


def test_a_program_that_only_its_own_user_can_start_is_told(here: Here) -> None:
    code = "import os\nif os.environ['HERE_UID']: raise PermissionError('/srv/data')\n" + HANDLES
    report = report_on(clean_image(), here, start=(sys.executable, "-c", code))
    assert list(findings(report)) == ["needs-its-user"]


class Broken:
    """A machine on which nothing runs."""

    def probe(
        self, argv: Sequence[str], *, uid: int | None, timeout: float, writable: bool = False
    ) -> Completed:
        raise HostError("no-runner", "no way to run it")

    def watch(self, argv: Sequence[str], *, timeout: float, is_last: Callable[[bytes], bool]) -> Completed:
        raise HostError("no-runner", "no way to run it")


def test_an_image_that_cannot_be_run_is_not_checked_and_never_passed() -> None:
    report = check_image(Question(image=clean_image(), name="live", machine=Broken()))
    told = {item.rule.code for item in report.not_checked if "no way to run it" in item.reason}
    assert told == {rule.code for rule in live.RULES}
    assert not told & {rule.code for rule in report.passed}


def test_an_image_without_python_is_not_run(here: Here) -> None:
    image = clean_image(without=["app/.venv/bin/python", "usr/bin/python3.13"])
    report = check_image(Question(image=image, name="live", machine=here))
    assert here.uids == []
    assert "the image has no Python on its PATH" in {item.reason for item in report.not_checked}
