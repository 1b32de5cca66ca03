"""The programs inside the Dockerfile, run as it runs them."""

import importlib.util
import json
import marshal
import os
import py_compile
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


def test_the_bytes_of_what_is_reduced_have_no_date(tmp_path: Path) -> None:
    reduce(tmp_path, {"libs/lib/pyproject.toml": POETRY})
    out = tmp_path / "out"
    assert {path.stat().st_mtime for path in (out, *out.rglob("*"))} == {0.0}


PDM_LOCK = """\
[metadata]
strategy = ["inherit_metadata"]
content_hash = "sha256:00"

[[package]]
name = "lib"
path = "../libs/lib"
editable = true

[[package]]
name = "vendored"
path = "./vendor/vendored-1.0-py3-none-any.whl"

[[package]]
name = "a"
version = "1.0"
files = [
    {file = "a-1.0-py3-none-any.whl", hash = "sha256:00"},
]
"""


def test_a_pdm_lock_loses_the_projects_beside_it_and_nothing_else(tmp_path: Path) -> None:
    reduced = tomllib.loads(reduce(tmp_path, {"pdm.lock": PDM_LOCK})["pdm.lock"])
    expected = tomllib.loads(PDM_LOCK)
    expected["package"] = [item for item in expected["package"] if item["name"] != "lib"]
    assert reduced == expected


def test_a_pylock_loses_the_projects_beside_it_and_nothing_else(tmp_path: Path) -> None:
    text = (
        'lock-version = "1.0"\ncreated-by = "uv"\n'
        '[[packages]]\nname = "lib"\ndirectory = { path = "libs/lib", editable = true }\n'
        '[[packages]]\nname = "other"\n[packages.directory]\npath = "libs/other"\n'
        '[[packages]]\nname = "a"\nversion = "1.0"\n'
    )
    reduced = tomllib.loads(reduce(tmp_path, {"pylock.toml": text})["pylock.toml"])
    assert [package["name"] for package in reduced["packages"]] == ["a"]


def test_a_pipfile_lock_loses_the_projects_beside_it_and_keeps_its_hash(tmp_path: Path) -> None:
    lock = {
        "_meta": {"hash": {"sha256": "00"}, "sources": []},
        "default": {"a": {"version": "==1.0"}, "lib": {"editable": True, "path": "../lib"}},
        "develop": {"tool": {"path": "./tool"}},
    }
    reduced = json.loads(reduce(tmp_path, {"Pipfile.lock": json.dumps(lock)})["Pipfile.lock"])
    assert reduced == {**lock, "default": {"a": {"version": "==1.0"}}, "develop": {}}


def test_requirements_lose_the_lines_that_name_a_folder_and_nothing_else(tmp_path: Path) -> None:
    folders = [
        "./libs/lib",
        "../lib ; python_version > '3'",
        "-e ./libs/lib",
        "--editable=libs/lib",
        "-e .",
        ".",
        "file:///repo/lib",
        "lib @ file:///repo/lib",
        "lib[extra]@ ./libs/lib",
        "-e libs/lib \\\n    --config-settings a=b",
    ]
    kept = [
        "a==1.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01",
        "-r more.txt",
        "--index-url https://index.example/simple",
        "./vendor/b-1.0-py3-none-any.whl --hash=sha256:00",
        "b @ file:///vendor/b-1.0.tar.gz --hash=sha256:00",
        "c @ https://files.example/c-1.0-py3-none-any.whl --hash=sha256:00",
        "-e git+https://git.example/d@00#egg=d",
        "# ./a comment",
    ]
    lines = [line for pair in zip(folders, [*kept, *kept], strict=False) for line in pair]
    text = "\n".join(lines) + "\n"
    reduced = reduce(tmp_path, {"requirements.txt": text})["requirements.txt"]
    assert reduced == "".join(f"{line}\n" for line in lines if line not in folders)
    assert len(folders) > len(kept)


def compile_ahead(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run compile-ahead around a Python program that installs into `folder`/venv."""
    text = (SCRIPTS / "compile_ahead.py").read_text().replace("/root/.cache/bytecode", str(folder / "cache"))
    (folder / "compile-ahead").write_text(text)
    command: list[str | Path] = [
        sys.executable,
        "-I",
        folder / "compile-ahead",
        sys.executable,
        "-c",
        program,
    ]
    environ = {**os.environ, "VIRTUAL_ENV": str(folder / "venv")}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def module_in(folder: Path) -> Path:
    """Write a module into the venv below `folder`."""
    module = folder / "venv/lib/python3/site-packages/m.py"
    module.parent.mkdir(parents=True)
    module.write_text("x = 1\n")
    return module


def test_bytecode_is_unchecked_and_the_second_time_from_the_cache(tmp_path: Path) -> None:
    module = module_in(tmp_path)
    assert compile_ahead(tmp_path, "").returncode == 0
    (compiled,) = module.parent.glob("__pycache__/*.pyc")
    reference = tmp_path / "reference.pyc"
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(module), str(reference), invalidation_mode=mode)
    assert compiled.read_bytes() == reference.read_bytes()
    compiled.unlink()
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(marshal.dumps([b"from the cache"]))
    assert compile_ahead(tmp_path, "").returncode == 0
    assert compiled.read_bytes() == b"from the cache"


def test_a_package_is_compiled_while_the_next_one_is_installed(tmp_path: Path) -> None:
    module = module_in(tmp_path)
    record = module.parent / "m-1.dist-info/RECORD"
    record.parent.mkdir()
    record.write_text("m.py,,\nm-1.dist-info/RECORD,,\n")
    (record.parent / "INSTALLER").write_text("pip\n")
    # The command is "installing" until the bytecode is there; then it replaces the source.
    program = (
        "import pathlib, time\n"
        f"folder = pathlib.Path({str(module.parent)!r})\n"
        "end = time.monotonic() + 30\n"
        "while not list(folder.glob('__pycache__/*.pyc')): assert time.monotonic() < end; time.sleep(0.02)\n"
        "(folder / 'm.py').write_text('x = 22\\n')\n"
    )
    done = compile_ahead(tmp_path, program)
    assert done.returncode == 0, done.stderr
    (compiled,) = module.parent.glob("__pycache__/*.pyc")
    assert compiled.read_bytes()[8:16] == importlib.util.source_hash(b"x = 22\n")


def test_suites_inside_packages_are_left_as_they_are_and_folders_of_that_name_are_not(tmp_path: Path) -> None:
    site = module_in(tmp_path).parent
    # The second is a public module for others' tests.
    for name in ("p/core", "p/tests/test_core", "p/tests/helpers", "p/test/utils", "p/check_test/x"):
        path = site / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("y = 2\n")
    assert compile_ahead(tmp_path, "").returncode == 0
    compiled = {path.relative_to(site).as_posix().partition(".")[0] for path in site.rglob("*.pyc")}
    assert compiled == {
        "__pycache__/m", "p/__pycache__/core", "p/test/__pycache__/utils", "p/check_test/__pycache__/x"
    }  # fmt: skip


def test_a_file_for_another_python_is_left_alone_and_a_failure_is_passed_on(tmp_path: Path) -> None:
    module = module_in(tmp_path)
    module.write_text("print 'for Python 2'\n")
    assert compile_ahead(tmp_path, "").returncode == 0
    assert list(module.parent.glob("__pycache__/*.pyc")) == []
    assert compile_ahead(tmp_path, "raise SystemExit(7)").returncode == 7


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


def test_where_tools_are_installed_uv_asks_the_index_that_pip_was_told_of(tmp_path: Path) -> None:
    program = "import os; print(os.environ.get('UV_DEFAULT_INDEX'), os.environ.get('PIP_INDEX_URL'))"
    command: list[str | Path] = ["sh", SCRIPTS / "with_secrets.sh", sys.executable, "-c", program]
    url = "https://index.example/simple"
    told = {"PATH": os.environ["PATH"]}

    def seen(**more: str) -> str:
        environ = {**told, **more}
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.strip()

    assert seen(PIP_INDEX_URL=url) == f"None {url}"  # uv's own lock names its index
    assert seen(PIP_INDEX_URL=url, FOR_TOOLS="1") == f"{url} {url}"
    assert seen(UV_DEFAULT_INDEX=url, FOR_TOOLS="1") == f"{url} {url}"
    assert seen(FOR_TOOLS="1") == "None None"


def test_a_failure_without_a_login_says_how_to_give_one(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", SCRIPTS / "with_secrets.sh", "sh", "-c", "exit 7"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 7
    assert "--secret id=index" in done.stderr


def test_a_dev_container_follows_each_of_the_files_that_decide_what_it_has(tmp_path: Path) -> None:
    names = ["requirements.txt", "requirements-dev.txt"]
    for name in names:
        (tmp_path / name).write_text("one\n")
    environ = {
        **os.environ,
        "VIRTUAL_ENV": str(tmp_path),
        "LOCK_FILES": " ".join(names),
        "INSTALL_COMMAND": "echo installed",
    }

    def start() -> str:
        command = ["sh", str(SCRIPTS / "follow_lock.sh"), "echo", "started"]
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)
        assert done.stdout == "started\n"
        return done.stderr

    assert "installed" in start()
    assert start() == ""
    for name in names:
        (tmp_path / name).write_text("two\n")
        assert start().splitlines()[-1] == "installed"
        assert start() == ""


def test_what_could_not_be_installed_is_tried_again_and_nothing_starts(tmp_path: Path) -> None:
    (tmp_path / "a.lock").write_text("one\n")
    environ = {
        **os.environ,
        "VIRTUAL_ENV": str(tmp_path),
        "LOCK_FILES": "a.lock",
        "INSTALL_COMMAND": "exit 3",
    }
    command = ["sh", str(SCRIPTS / "follow_lock.sh"), "echo", "started"]
    for _ in range(2):
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert "follow-lock: that failed" in done.stderr
