"""The reference pages say what the code does."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_reference_is_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "make-reference.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_every_setting_has_a_meaning() -> None:
    settings = (ROOT / "docs" / "reference" / "settings.md").read_text()

    rows = [line for line in settings.splitlines() if line.startswith("| `")]
    assert len(rows) > 20
    assert [row for row in rows if row.endswith("|  |")] == []
