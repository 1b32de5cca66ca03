"""Every example is in the list of examples, says how it is run, and is run by a test."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = sorted(path.name for path in (ROOT / "examples").iterdir() if path.is_dir())


def rows() -> dict[str, str]:
    """Return the command of each row of the table in examples/README.md, by the example."""
    text = (ROOT / "examples/README.md").read_text()
    return dict(re.findall(r"(?m)^\| \[([\w-]+)\]\(\1\) \|.*\| `(shipwheel [^`]+)` \|$", text))


def test_the_list_has_every_example_and_no_other() -> None:
    assert sorted(rows()) == EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_examples_own_page_has_the_command_of_the_list(name: str) -> None:
    assert f"    {rows()[name]}\n" in (ROOT / "examples" / name / "README.md").read_text()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_run_by_a_test(name: str) -> None:
    tests = [(ROOT / "tests/e2e" / file).read_text() for file in ("test_examples.py", "test_sources.py")]

    assert f'"{name}"' in "".join(tests)
