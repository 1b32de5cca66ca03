"""What `check --measure` times in the image itself, with a real container and this machine's Python in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from functional.verify.test_start import FILES, GOOD, with_health_check
from helpers.python_image import SITE, python_image
from shipwheel.cache import Cache
from shipwheel.cli.check import render
from shipwheel.cli.checking import ImageMachine
from shipwheel.engine.detect import find_runner
from shipwheel.engine.spec import Runner
from shipwheel.oci.model import Image
from shipwheel.oci.read import LoadedImage
from shipwheel.verify import measure, start
from shipwheel.verify.check import Question, check_image
from shipwheel.verify.model import Measurement, Report

SLOW = b"import time\ntime.sleep(0.3)\n"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_ALIVE_SECONDS", 1.0)
    monkeypatch.setattr(start, "_PATIENCE_SECONDS", 2.0)
    monkeypatch.setattr(measure, "_RUNS", 2)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return find_runner(os.environ, "unshare", cache=Cache(tmp_path_factory.mktemp("cache")))


def report_on(image: Image | LoadedImage, runner: Runner) -> Report:
    inner = image.image if isinstance(image, LoadedImage) else image
    machine = ImageMachine(image=inner, runner=runner)
    # One quick rule alone: only the measurements matter here.
    return check_image(
        Question(
            image=image, name="measured", machine=machine, measure=True, only=frozenset({"runs-as-root"})
        )
    )


def measured(image: Image | LoadedImage, runner: Runner) -> dict[str, Measurement]:
    return {item.what: item for item in report_on(image, runner).measured}


def test_a_servers_imports_answer_and_end_are_timed(runner: Runner) -> None:
    modules = {"thing/__init__.py": b"import slow\n", "thing/main.py": GOOD.encode(), "slow.py": SLOW}
    files = {
        **FILES,
        f"{SITE}/thing-1.0.dist-info/entry_points.txt": b"[console_scripts]\nserve = thing:run\n",
    }
    code = b"import runpy\nrunpy.run_module('thing.main', run_name='__main__')\n"
    image = python_image(
        {**files, "usr/bin/serve.py": code},
        start=("python", "/usr/bin/serve.py", "thing"),
        modules=modules,
        exposed_ports=("8000/tcp",),
    )
    checked = with_health_check(image, ["CMD", "python", "/app/asks.py", "/healthy"])
    found = measured(checked, runner)
    answer, stop = found[measure.ANSWER], found[measure.STOP]
    assert answer.detail == "health check"
    assert answer.seconds is not None
    # What the program cannot be quicker than: its import sleeps.
    assert answer.seconds > 0.3
    assert stop.seconds is not None
    assert stop.seconds < 2


def test_the_slowest_import_is_named_and_what_has_no_bytecode_counted(runner: Runner) -> None:
    modules = {"thing/__init__.py": b"", "thing/main.py": b"import slow\n", "slow.py": SLOW}
    image = python_image(start=("python", "-m", "thing.main"), modules=modules)
    imports = measured(image, runner)[measure.IMPORTS]
    assert imports.seconds is not None
    assert imports.seconds > 0.3
    assert imports.detail.startswith("thing.main; 2 runs from ")
    assert "slowest by themselves: slow 3" in imports.detail  # milliseconds, three digits
    # thing, thing.main, slow and os; the rest of the library is in an archive.
    assert "4 of 4 modules have no bytecode (100% of their source)" in imports.detail


def test_a_script_is_imported_and_not_run(runner: Runner) -> None:
    code = b"import json\nif __name__ == '__main__':\n    raise SystemExit('run')\n"
    imports = measured(python_image({"app/main.py": code}, start=("python", "/app/main.py")), runner)
    assert imports[measure.IMPORTS].detail.startswith("/app/main.py; 2 runs")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("/bin/sh", "-c", "python /app/good.py"), "the program is started through a shell"),
        (("python", "-c", "pass"), "the image starts Python with no module and no file"),
        (("nginx",), "nginx is no command of an installed Python package"),
        (("python", "/srv/gone.py"), "/srv/gone.py is not in the image"),
        (("python", "-m", "gone"), "ModuleNotFoundError: No module named 'gone'"),
    ],
)
def test_what_cannot_be_measured_says_why(words: tuple[str, ...], reason: str, runner: Runner) -> None:
    found = measured(python_image(FILES, start=words), runner)
    assert found[measure.IMPORTS].reason == reason
    assert found[measure.ANSWER].seconds is None
    assert found[measure.ANSWER].reason


@pytest.mark.parametrize("form", ["text", "json", "sarif", "junit", "markdown", "html"])
def test_measurements_are_in_every_form_of_report(form: str, runner: Runner, tmp_path: Path) -> None:
    report = report_on(python_image(FILES, start=("python", "-c", "pass")), runner)
    text = render(report, form, everything=False).replace("\\", "")
    assert measure.IMPORTS in text
    assert "no module and no file" in text
