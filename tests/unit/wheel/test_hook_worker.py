"""One hook is called as PEP 517 says, in the folder that it is called in."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import shipwheel.wheel.hook_worker

WORKER = shipwheel.wheel.hook_worker.__file__


def call(tmp_path: Path, back_end: str, code: str, hook: str, *arguments: str) -> Any:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "made.py").write_text(code)
    orders = {"back_end": back_end, "path": ["inside"], "hook": hook, "arguments": arguments}
    (tmp_path / "orders").write_text(json.dumps(orders))
    command = [sys.executable, WORKER, str(tmp_path / "orders")]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    return json.loads((tmp_path / "orders.answer").read_text())


def test_an_object_of_a_module_answers(tmp_path: Path) -> None:
    code = "import os\nclass Inner:\n    def build_wheel(self, into): return f'{into} in {os.getcwd()}'\nouter = Inner()\n"

    assert call(tmp_path, "made:outer", code, "build_wheel", "/out") == f"/out in {tmp_path}"


def test_a_hook_that_is_not_there_asks_for_nothing(tmp_path: Path) -> None:
    assert call(tmp_path, "made", "", "get_requires_for_build_wheel") == []


def test_a_back_end_may_change_the_command_line_and_the_folder(tmp_path: Path) -> None:
    code = (
        "import os, sys\ndef build_wheel(into):\n    sys.argv[:] = []\n    os.chdir('/')\n    return 'done'\n"
    )

    assert call(tmp_path, "made", code, "build_wheel", "/out") == "done"
