"""The programs inside the Dockerfile, run as it runs them."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import shipwheel.render.scripts
from shipwheel.testing.projects import content_hash

SCRIPTS = Path(shipwheel.render.scripts.__file__).parent
POETRY = """\
[project]
name = "shop"
version = "1.0"
description = "sells"
requires-python = ">=3.11"
dependencies = ["a>=1"]
[tool.poetry.group.dev.dependencies]
b = { version = "^1", markers = "sys_platform == 'linux'" }
[tool.ruff]
line-length = 100
[build-system]
requires = ["poetry-core"]
build-backend = "poetry.core.masonry.api"
"""
UV_LOCK = """\
version = 1

[[package]]
name = "a"
version = "1.0"
source = { registry = "https://index.example/simple" }

[[package]]
name = "shop"
version = "1.0"
source = { editable = "." }
dependencies = [{ name = "a" }]
"""


def reduce(folder: Path, files: dict[str, str]) -> dict[str, str]:
    source, target = folder / "in", folder / "out"
    for name, text in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text, "utf-8")
    command: list[str | Path] = [sys.executable, "-I", SCRIPTS / "reduce.py", source, target, *files]
    subprocess.run(command, check=True)
    return {name: (target / name).read_text("utf-8") for name in files}


def test_metadata_and_tool_settings_reduce_to_the_same_bytes(tmp_path: Path) -> None:
    edited = (
        POETRY.replace('version = "1.0"', 'version = "2.0"')
        .replace("sells", "buys")
        .replace("line-length = 100", "line-length = 80")
    )
    assert edited != POETRY
    first = reduce(tmp_path / "1", {"pyproject.toml": POETRY})
    assert reduce(tmp_path / "2", {"pyproject.toml": edited}) == first


def test_a_dependency_group_and_python_are_kept(tmp_path: Path) -> None:
    for number, (old, new) in enumerate([("a>=1", "a>=2"), ("^1", "^2"), (">=3.11", ">=3.12")]):
        first = reduce(tmp_path / f"{number}a", {"pyproject.toml": POETRY})
        assert reduce(tmp_path / f"{number}b", {"pyproject.toml": POETRY.replace(old, new)}) != first


def test_the_lock_stays_as_fresh_for_poetry_as_it_was(tmp_path: Path) -> None:
    reduced = reduce(tmp_path, {"pyproject.toml": POETRY})["pyproject.toml"]
    assert content_hash(tomllib.loads(reduced)) == content_hash(tomllib.loads(POETRY))


def test_every_value_survives_the_writing(tmp_path: Path) -> None:
    text = POETRY + '[tool.uv.sources]\n"a.b" = { path = "ü \\"x\\"\\\\", editable = true, n = [1, 2.5] }\n'
    reduced = tomllib.loads(reduce(tmp_path, {"pyproject.toml": text})["pyproject.toml"])
    assert reduced["tool"]["uv"] == tomllib.loads(text)["tool"]["uv"]


def test_a_new_version_of_the_project_is_no_other_uv_lock(tmp_path: Path) -> None:
    head, own = UV_LOCK.split('name = "shop"')
    bumped = head + 'name = "shop"' + own.replace('version = "1.0"', 'version = "1.1"')
    assert bumped != UV_LOCK
    assert reduce(tmp_path / "1", {"uv.lock": UV_LOCK}) == reduce(tmp_path / "2", {"uv.lock": bumped})


def test_a_new_version_of_a_dependency_is_another_uv_lock(tmp_path: Path) -> None:
    upgraded = UV_LOCK.replace('version = "1.0"', 'version = "1.1"', 1)
    assert reduce(tmp_path / "1", {"uv.lock": UV_LOCK}) != reduce(tmp_path / "2", {"uv.lock": upgraded})


def test_bytecode_is_unchecked_and_the_second_time_from_the_cache(tmp_path: Path) -> None:
    venv, cache = tmp_path / "venv", tmp_path / "cache"
    module = venv / "lib/python3/site-packages/m.py"
    module.parent.mkdir(parents=True)
    cache.mkdir()
    module.write_text("x = 1\n")
    command: list[str | Path] = [sys.executable, "-I", SCRIPTS / "compile.py", venv, cache]
    subprocess.run(command, check=True)
    (compiled,) = module.parent.glob("__pycache__/*.pyc")
    first = compiled.read_bytes()
    # PEP 552: the flags say hash-based (1) and not to be checked (no 2).
    assert int.from_bytes(first[4:8], "little") == 1
    compiled.unlink()
    (kept,) = cache.iterdir()
    kept.write_bytes(b"from the cache")
    subprocess.run(command, check=True)
    assert compiled.read_bytes() == b"from the cache"


def test_source_is_copied_readable_and_without_what_builds_it(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    (source / "pkg").mkdir(parents=True)
    for name in (
        "pkg/main.py",
        "poetry.lock",
        "pyproject.toml",
        "Dockerfile",
        "data.json",
        "pkg/pyproject.toml",
    ):
        (source / name).write_text("x")
    (source / "pkg/main.py").chmod(0o600)
    (source / "data.json").chmod(0o666)
    subprocess.run([sys.executable, "-I", SCRIPTS / "copy_source.py", source, target], check=True)
    found = {
        path.relative_to(target).as_posix(): f"{path.stat().st_mode & 0o777:o}"
        for path in target.rglob("*")
        if path.is_file()
    }
    assert found == {"pkg/main.py": "644", "pkg/pyproject.toml": "644", "data.json": "644"}


def test_secrets_are_variables_of_the_command_alone(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "index").write_text("PIP_INDEX_URL='https://u:p@index.example/a b'\n")
    script = tmp_path / "with-secrets"
    script.write_text((SCRIPTS / "with_secrets.sh").read_text().replace("/run/secrets", str(secrets)))
    program = "import json, os; print(json.dumps(os.environ.get('PIP_INDEX_URL')))"
    done = subprocess.run(["sh", script, sys.executable, "-c", program], capture_output=True, check=True)
    assert json.loads(done.stdout) == "https://u:p@index.example/a b"


def test_a_failure_without_a_login_says_how_to_give_one(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", SCRIPTS / "with_secrets.sh", "sh", "-c", "exit 7"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 7
    assert "--secret id=index" in done.stderr
