"""What the repository says about itself is true: links, commands, pins and locks."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.is_dir())
LOCKS = sorted(
    path
    for name in ("poetry.lock", "pdm.lock", "requirements.txt")
    for path in (ROOT / "examples").rglob(name)
)
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("examples/*/*.md")),
]


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_relative_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    dead = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    targets = re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    named = re.findall(r"(?:`|^    )make ([a-z0-9]+)", page.read_text(), flags=re.MULTILINE)
    assert set(named) <= set(targets)


def test_the_decisions_page_lists_every_decision() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\((\d{4}-[a-z0-9-]+\.md)\)", (folder / "README.md").read_text())
    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))


@pytest.mark.parametrize("path", REQUIREMENTS, ids=page_name)
def test_every_requirement_is_pinned_and_hashed_and_no_index_is_named(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert [line for line in lines if line.startswith("-") or "://" in line] == []
    entries = re.split(r"\n(?=[a-z0-9])", "\n".join(line for line in lines if not line.startswith("#")))
    loose = [
        entry for entry in entries if not re.match(r"[a-z0-9._-]+==\S+[^\n]* \\\n +--hash=sha256:", entry)
    ]
    assert loose == []


def test_the_runtime_requirements_cover_what_the_package_depends_on() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=!~ \[;]", line)[0] for line in project["dependencies"]}
    pinned = re.findall(
        r"^([a-z0-9-]+)==", (ROOT / "requirements/runtime.txt").read_text(), flags=re.MULTILINE
    )
    assert names <= set(pinned)


@pytest.mark.parametrize("example", EXAMPLES, ids=page_name)
def test_an_example_says_what_it_shows_and_how_to_run_it(example: Path) -> None:
    assert f"shipwheel run {page_name(example)}" in (example / "README.md").read_text()


@pytest.mark.parametrize("lock", LOCKS, ids=page_name)
def test_an_example_lock_names_no_address(lock: Path) -> None:
    assert "sha256:" in lock.read_text()
    assert "://" not in lock.read_text()


def test_no_file_names_the_host_of_a_package_registry() -> None:
    # The hosts' owners decide where they are; a project that names one fails where another is in use.
    hosts = r"https?://[a-z0-9.-]*(pypi|pythonhosted|debian|npmjs)[a-z0-9-]*\.(org|com|net)"
    grep = ["git", "grep", "--line-number", "--extended-regexp", hosts]
    done = subprocess.run(grep, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    pages = re.compile(r"https?://(www|wiki|bugs|tracker)\.debian")
    assert [line for line in done.stdout.splitlines() if not pages.search(line)] == []
