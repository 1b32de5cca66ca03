"""What the making of a project's own wheel depends on."""

import subprocess
from pathlib import Path

import pytest

from helpers.tools import require_tool
from shipwheel.project.reader import read_project
from shipwheel.wheel.source import source_key, stage_project

POETRY = 'requires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n'
OTHER = 'requires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
BY_TAG = 'requires = ["poetry-core", "poetry-dynamic-versioning"]\nbuild-backend = "poetry_dynamic_versioning.backend"\n'


def project_with(root: Path, build_system: str) -> Path:
    (root / "pyproject.toml").write_text(
        f'[project]\nname = "app"\nversion = "1"\n[build-system]\n{build_system}'
    )
    (root / "app.py").write_text("")
    return root


@pytest.mark.parametrize(
    ("build_system", "lock", "counts"),
    [
        (POETRY, "poetry.lock", False),
        (POETRY, "shipwheel.lock", False),
        (OTHER, "shipwheel.lock", False),
        (OTHER, "poetry.lock", True),
        (BY_TAG, "shipwheel.lock", True),
        (POETRY, "app/poetry.lock", True),
        (POETRY, "data.txt", True),
    ],
)
def test_a_lock_that_the_back_end_does_not_read_makes_no_other_wheel(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, build_system: str, lock: str, counts: bool
) -> None:
    root = project_with(tmp_path, build_system)
    keys = set()
    for content in ("one", "two"):
        (root / lock).parent.mkdir(exist_ok=True)
        (root / lock).write_text(content)
        keys.add(source_key(read_project(root), None))

    assert (len(keys) == 2) is counts
    assert (stage_project(read_project(root), tmp_path_factory.mktemp("staged")) / lock).exists() is counts


def test_files_that_stay_out_do_not_make_a_version_dirty_and_the_own_index_stays(tmp_path: Path) -> None:
    git = [require_tool("git"), "-C"]
    root = tmp_path / "project"
    (root / ".vscode").mkdir(parents=True)
    project_with(root, BY_TAG)
    (root / ".vscode" / "settings.json").write_text("{}")
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@shop.example"]
    for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "one"], ["tag", "v1.2"]):
        subprocess.run([*git, str(root), *words], check=True)
    index = (root / ".git" / "index").read_bytes()
    describe = ["describe", "--dirty", "--tags"]

    def described(folder: str) -> str:
        (tmp_path / folder).mkdir()
        tree = stage_project(read_project(root), tmp_path / folder)
        assert not (tree / ".vscode").exists()
        return subprocess.run(
            [*git, str(tree), *describe], check=True, capture_output=True, text=True
        ).stdout.strip()

    assert described("clean") == "v1.2"
    (root / "app.py").write_text("changed = True\n")
    assert described("changed") == "v1.2-dirty"
    assert (root / ".git" / "index").read_bytes() == index
