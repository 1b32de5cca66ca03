"""Stale locks: each tool's own rule. The hashes below come from the tools themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.locks import (
    digest,
    pdm_lock,
    pdm_package,
    poetry_lock,
    poetry_package,
    project_at,
    read_text_as,
    uv_lock,
    uv_package,
)
from shipwheel.errors import LockError
from shipwheel.locks.fresh import check_fresh
from shipwheel.locks.read import read_lock

TOOL_POETRY = """[tool.poetry]
name = "app"
[tool.poetry.dependencies]
python = "^3.11"
requests = "^2.0"
[tool.poetry.group.dev.dependencies]
pytest = "*"
"""
PEP_621 = """[project]
name = "app"
requires-python = ">=3.11"
dependencies = ["requests>=2"]
[project.optional-dependencies]
fast = ["uvloop"]
[dependency-groups]
dev = ["pytest"]
"""
LEGACY = "cd7fb069e5262bb2844362be84fb951ec17287f33d3fba7ee8ae43c1a6aeb434"
WITHOUT_GROUPS = "204efd3e56b31dcce254bfe77af8964a18bded89539ee0f06b68260899be7d86"
WITH_GROUPS = "2f9592558331da567f424febd1dfbb2af5568223fd416db04d6c11d420046eb0"
BEFORE_1_2 = "dc2421850205ce49a1ee860fe443265fe2bce59b131f8a0c201d0195e585bfce"


def is_fresh_poetry(tmp_path: Path, pyproject: str, content_hash: str, maker: str, version: str) -> bool:
    project = project_at(tmp_path, pyproject)
    text = poetry_lock(poetry_package("requests", "2.1"), version=version)
    text = text.replace("Poetry 2.1.3", maker).replace(
        'content-hash = "0"', f'content-hash = "{content_hash}"'
    )
    lock = read_text_as("poetry.lock", text, project)
    try:
        check_fresh(lock, project)
    except LockError as error:
        assert error.code == "stale-lock"
        assert error.problems[0].hint == "`poetry lock` brings it up to date; --frozen takes it as it is"
        return False
    return True


@pytest.mark.parametrize(
    ("pyproject", "content_hash", "maker", "version", "fresh"),
    [
        (TOOL_POETRY, LEGACY, "Poetry 2.1.3", "2.1", True),
        (TOOL_POETRY, LEGACY, "Poetry 1.8.3", "2.0", True),
        (TOOL_POETRY + '[tool.other]\nkey = "irrelevant"\n', LEGACY, "Poetry 2.1.3", "2.1", True),
        (TOOL_POETRY.replace("^2.0", "^2.1"), LEGACY, "Poetry 2.1.3", "2.1", False),
        (TOOL_POETRY.replace('pytest = "*"', 'pytest = "8"'), LEGACY, "Poetry 2.1.3", "2.1", False),
        # Poetry before 1.2 knew no groups.
        (TOOL_POETRY, BEFORE_1_2, "Poetry", "1.1", True),
        (TOOL_POETRY, BEFORE_1_2, "Poetry 1.8.3", "2.0", False),
        (PEP_621, WITH_GROUPS, "Poetry 2.3.0", "2.1", True),
        (PEP_621, WITHOUT_GROUPS, "Poetry 2.2.1", "2.1", True),
        (PEP_621, WITHOUT_GROUPS, "Poetry 2.3.0", "2.1", False),
        (PEP_621.replace(">=2", ">=3"), WITH_GROUPS, "Poetry 2.3.0", "2.1", False),
        # Poetry 1 did not look at [project].
        (PEP_621 + TOOL_POETRY, LEGACY, "Poetry 1.8.3", "2.0", True),
        (PEP_621 + TOOL_POETRY, LEGACY, "Poetry 2.1.3", "2.1", False),
        (TOOL_POETRY, "", "Poetry 2.1.3", "2.1", False),
    ],
)
def test_poetrys_content_hash_in_all_its_generations(
    tmp_path: Path, pyproject: str, content_hash: str, maker: str, version: str, fresh: bool
) -> None:
    assert is_fresh_poetry(tmp_path, pyproject, content_hash, maker, version) is fresh


PDM = """[project]
name = "app"
requires-python = ">=3.11"
dependencies = ["requests>=2"]
[dependency-groups]
Dev_Tools = ["pytest"]
[tool.pdm.dev-dependencies]
lint = ["ruff"]
[tool.pdm.resolution.overrides]
idna = "3.7"
"""
PDM_HASH = "6f96e725ddc302a1c201310f00caacbcf95ecdbac18bfad1a0720b3e0beb3ce9"


@pytest.mark.parametrize(
    ("pyproject", "fresh"),
    [
        (PDM, True),
        (PDM.replace("requests>=2", "requests>=3"), False),
        (PDM.replace("3.7", "3.8"), False),
    ],
)
def test_pdms_content_hash(tmp_path: Path, pyproject: str, fresh: bool) -> None:
    project = project_at(tmp_path, pyproject)
    text = pdm_lock(pdm_package("requests", "2.1")).replace("sha256:0", f"sha256:{PDM_HASH}", 1)
    lock = read_text_as("pdm.lock", text, project)
    if fresh:
        check_fresh(lock, project)
    else:
        with pytest.raises(LockError, match="content_hash differs"):
            check_fresh(lock, project)


PDM_WORKSPACE = """[project]
name = "app"
requires-python = ">=3.11"
dependencies = ["requests>=2"]
[tool.pdm.workspace]
members = ["packages/*", "one", "packages/a"]
"""
PDM_WORKSPACE_HASH = "709e89ada2732810cb7b939517b217cf80e8f8165987d1b83a9dcf5948450049"


@pytest.mark.parametrize(
    ("member", "before", "after", "fresh"),
    [
        ("one", "idna", "idna", True),
        ("one", "idna", "certifi", False),
        ("packages/b", "idna", "certifi", False),
        ("packages/new", "idna", "idna", False),
    ],
)
def test_pdms_hash_of_a_workspace_counts_every_member(
    tmp_path: Path, member: str, before: str, after: str, fresh: bool
) -> None:
    project = project_at(tmp_path, PDM_WORKSPACE)
    for path in ("one", "packages/a", "packages/b", member):
        text = f'[project]\nname = "{Path(path).name}"\ndependencies = ["idna"]\n'
        project_at(tmp_path / path, text.replace(before, after) if path == member else text)
    text = pdm_lock(pdm_package("requests", "2.1")).replace("sha256:0", f"sha256:{PDM_WORKSPACE_HASH}", 1)
    lock = read_text_as("pdm.lock", text, project)
    if fresh:
        check_fresh(lock, project)
    else:
        with pytest.raises(LockError, match="content_hash differs"):
            check_fresh(lock, project)


@pytest.mark.parametrize(("wish", "fresh"), [("requests>=2", True), ("requests>=3", False), ("other", False)])
def test_without_a_hash_the_wishes_have_to_be_in_the_lock(tmp_path: Path, wish: str, fresh: bool) -> None:
    project = project_at(
        tmp_path, f'[project]\nname = "app"\ndependencies = ["{wish}", "x; os_name == \'nt\'"]\n'
    )
    path = tmp_path / "requirements.txt"
    path.write_text(f"requests==2.1 --hash=sha256:{digest('a')}\n")
    lock = read_lock(path, "requirements", project)
    if fresh:
        check_fresh(lock, project)
    else:
        with pytest.raises(LockError) as caught:
            check_fresh(lock, project)
        assert caught.value.code == "stale-lock"


PIPFILE = """[[source]]
url = "https://index.example/simple"
verify_ssl = true
name = "main"
[packages]
requests = "*"
[dev-packages]
pytest = {version = ">=8"}
[docs]
sphinx = "*"
[requires]
python_version = "3.13"
"""
PIPFILE_HASH = "28c9a934df91b6d95ac440af552576e2e5563dc3c51af22c9fc7325fe0c0ac6c"


@pytest.mark.parametrize(("pipfile", "fresh"), [(PIPFILE, True), (PIPFILE.replace(">=8", ">=9"), False)])
def test_pipenvs_hash_of_the_pipfile(tmp_path: Path, pipfile: str, fresh: bool) -> None:
    project = project_at(tmp_path, "")
    (tmp_path / "Pipfile").write_text(pipfile)
    meta = {"hash": {"sha256": PIPFILE_HASH}, "pipfile-spec": 6, "requires": {}, "sources": []}
    path = tmp_path / "Pipfile.lock"
    path.write_text(json.dumps({"_meta": meta, "default": {}}))
    lock = read_lock(path, "pipenv", project)
    if fresh:
        check_fresh(lock, project)
    else:
        with pytest.raises(LockError, match="hash of the Pipfile differs"):
            check_fresh(lock, project)


UV = """[project]
name = "app"
version = "1"
requires-python = ">=3.11,<3.14"
dependencies = ["requests[socks]>=2,<3", "tomli; python_version < '3.12'"]
[project.optional-dependencies]
fast = ["uvloop; sys_platform != 'win32'"]
[dependency-groups]
base = ["pytest"]
dev = [{include-group = "base"}, "ruff"]
"""
UV_METADATA = """[package.metadata]
requires-dist = [
    { name = "requests", extras = ["socks"], specifier = ">=2,<3" },
    { name = "tomli", marker = "python_full_version < '3.12'" },
    { name = "uvloop", marker = "sys_platform != 'win32' and extra == 'fast'" },
]
provides-extras = ["fast"]
[package.metadata.requires-dev]
base = [{ name = "pytest" }]
dev = [{ name = "pytest" }, { name = "ruff" }]
"""


def uv_staleness(tmp_path: Path, pyproject: str, metadata: str = UV_METADATA) -> str | None:
    project = project_at(tmp_path, pyproject)
    text = uv_lock(uv_package("app", source='{ virtual = "." }', more=metadata), python=">=3.11, <3.14")
    lock = read_text_as("uv.lock", text, project)
    try:
        check_fresh(lock, project)
    except LockError as error:
        assert error.code == "stale-lock"
        return str(error).splitlines()[0].partition("as it is: ")[2]
    return None


def test_uvs_metadata_agrees_where_only_the_spelling_differs(tmp_path: Path) -> None:
    assert uv_staleness(tmp_path, UV) is None
    assert uv_staleness(tmp_path, UV.replace(">=2,<3", "<3, >=2")) is None
    assert uv_staleness(tmp_path, UV.replace(">=3.11,<3.14", "~=3.11,<3.14")) is None
    # Below the project's own Python nothing can differ.
    assert uv_staleness(tmp_path, UV.replace("python_version < '3.12'", "python_version == '3.11'")) is None


@pytest.mark.parametrize(
    ("before", "after", "difference"),
    [
        (">=2,<3", ">=2", "the project asks for requests in another way"),
        ("[socks]", "", "the project asks for requests in another way"),
        ("'3.12'", "'3.13'", "the project asks for tomli in another way"),
        ("'win32'", "'darwin'", "the project asks for uvloop in another way"),
        ('"tomli; python_version < \'3.12\'"', '"idna"', "idna is not in it"),
        (', "tomli; python_version < \'3.12\'"', "", "tomli is no longer asked for"),
        ('["pytest"]', '["pytest>=8"]', "group base: the project asks for pytest in another way"),
        ("<3.14", "<3.15", "it is for Python >=3.11, <3.14, the project for >=3.11,<3.15"),
        ('"requests[socks]', '"requests[socks] @ https://files.example/r.whl", "requests[socks]', "the project asks for requests in another way"),
        ("fast =", "quick =", "the project asks for uvloop in another way"),
        ('version = "1"', 'version = "2"', "it has version 1.0, the project is 2"),
        ('version = "1"', 'version = "1.0.0"', None),
        ('version = "1"', 'dynamic = ["version"]', "its version is dynamic now"),
    ],
)  # fmt: skip
def test_uvs_metadata_disagrees(tmp_path: Path, before: str, after: str, difference: str | None) -> None:
    assert uv_staleness(tmp_path, UV.replace(before, after)) == difference


@pytest.mark.parametrize(
    ("source", "locked", "fresh"),
    [
        (
            '{ git = "https://git.example/r.git", rev = "v1" }',
            'git = "https://git.example/r.git?rev=v1"',
            True,
        ),
        (
            '{ git = "https://git.example/r.git", rev = "v2" }',
            'git = "https://git.example/r.git?rev=v1"',
            False,
        ),
        ('{ path = "libs/r" }', 'directory = "libs/r"', True),
        ('{ path = "libs/r" }', 'specifier = ">=1", index = "https://index.example/simple"', False),
        ('{ index = "private" }', 'specifier = ">=1", index = "https://index.example/private"', True),
        ('{ index = "private" }', 'specifier = ">=1", index = "https://index.example/other"', False),
        ('{ url = "https://files.example/r.zip" }', 'url = "https://files.example/r.zip"', True),
    ],
)
def test_uvs_sources_count(tmp_path: Path, source: str, locked: str, fresh: bool) -> None:
    pyproject = (
        '[project]\nname = "app"\nrequires-python = ">=3.11,<3.14"\ndependencies = ["r>=1"]\n'
        f"[tool.uv.sources]\nr = {source}\n"
        '[[tool.uv.index]]\nname = "private"\nurl = "https://u:p@index.example/private/"\n'
    )
    metadata = f'[package.metadata]\nrequires-dist = [{{ name = "r", {locked} }}]\n'
    assert (uv_staleness(tmp_path, pyproject, metadata) is None) is fresh


def test_a_groups_own_python_counts(tmp_path: Path) -> None:
    pyproject = UV + '[tool.uv.dependency-groups]\nbase = {requires-python = ">=3.12"}\n'
    locked = UV_METADATA.replace(
        'base = [{ name = "pytest" }]',
        'base = [{ name = "pytest", marker = "python_full_version >= \'3.12\'" }]',
    )
    assert uv_staleness(tmp_path, pyproject, locked) is None
    assert uv_staleness(tmp_path, pyproject) == "group base: the project asks for pytest in another way"


def test_uvs_overrides_and_members_count(tmp_path: Path) -> None:
    pyproject = UV + '[tool.uv]\noverride-dependencies = ["idna==3.7"]\n'
    assert uv_staleness(tmp_path, pyproject) == "[tool.uv] override-dependencies: idna is not in it"
    project_at(tmp_path / "packages" / "lib", '[project]\nname = "lib"\n')
    pyproject = UV + '[tool.uv.workspace]\nmembers = ["packages/*"]\n'
    assert uv_staleness(tmp_path, pyproject) == "the workspace's members differ: app, lib"


# As PDM 2.29 writes it; the hashes are its own.
PDM_INPUTS = """[project]
name = "app"
requires-python = ">=3.11"
dependencies = ["requests>=2", "beside @ file:///${PROJECT_ROOT}/libs/beside", "a; python_version < '3.12'"]
[tool.pdm]
distribution = false
[tool.pdm.resolution]
lock_inputs = true
[tool.pdm.workspace]
members = ["packages/*"]
"""
PDM_MEMBER = '[project]\nname = "NAME"\nversion = "1"\ndependencies = ["sniffio"]\n'
PDM_INPUTS_LOCK = """[metadata]
groups = ["default"]
strategy = ["inherit_metadata"]
lock_version = "4.5.1"
[metadata.lock_inputs.project]
requires-python = ">=3.11"
sources = []
[metadata.lock_inputs.project.groups]
default = ["a; python_version < \\"3.12\\"", "requests", "url-sha256:752aa8fc39944a94b8d6c1bbe503101058753b611846d9d63b96def481698d64", "url-sha256:87b278d30c068fe467567c34691fc63aa51528a71dba1b4d9bb0c84665d2811a"]
[metadata.lock_inputs.project.resolution]
[metadata.lock_inputs.project.local."url-sha256:752aa8fc39944a94b8d6c1bbe503101058753b611846d9d63b96def481698d64"]
requires-python = ""
sources = []
resolution = {}
groups = {default = ["sniffio"]}
package = {distribution = true, dynamic = [], name = "beside", version = "1", build-system = {}}
[metadata.lock_inputs.workspace."packages/m"]
requires-python = ""
sources = []
resolution = {}
groups = {default = ["sniffio"]}
package = {distribution = true, dynamic = [], name = "m", version = "1", build-system = {}}
"""


@pytest.mark.parametrize(
    ("file", "before", "after", "difference"),
    [
        ("pyproject.toml", "requests>=2", "requests>=2.1", None),
        ("pyproject.toml", "'3.12'", "'3.12.0'", None),
        ("pyproject.toml", "requests>=2", "requests>=3", "it has requests 2.1, the project asks for >=3"),
        ("pyproject.toml", "requests>=2", "requests[socks]", "group default asks for something else"),
        ("pyproject.toml", "libs/beside", "libs/other", "group default asks for something else"),
        ("pyproject.toml", "'3.12'", "'3.13'", "group default asks for something else"),
        ("pyproject.toml", ">=3.11", ">=3.12", "the Python differs"),
        (
            "pyproject.toml",
            "lock_inputs = true",
            "excludes = ['x']",
            "[tool.pdm.resolution] differs",
        ),
        (
            "packages/m/pyproject.toml",
            "sniffio",
            "attrs",
            "packages/m: group default asks for something else",
        ),
        ("packages/m/pyproject.toml", '"1"', '"2"', "packages/m: its own metadata differ"),
        ("libs/beside/pyproject.toml", "sniffio", "attrs", "beside: group default asks for something else"),
    ],
)
def test_pdms_lock_inputs_count_and_versions_only_where_they_do_not_fit(
    tmp_path: Path, file: str, before: str, after: str, difference: str | None
) -> None:
    files = {
        "pyproject.toml": PDM_INPUTS,
        "packages/m/pyproject.toml": PDM_MEMBER.replace("NAME", "m"),
        "libs/beside/pyproject.toml": PDM_MEMBER.replace("NAME", "beside"),
    }
    assert before in files[file]
    files[file] = files[file].replace(before, after)
    for name, text in files.items():
        if name != "pyproject.toml":
            project_at(tmp_path / Path(name).parent, text)
    project = project_at(tmp_path, files["pyproject.toml"])
    packages = [pdm_package("requests", "2.1"), pdm_package("a", "1.0"), pdm_package("sniffio", "1.0")]
    lock = read_text_as("pdm.lock", PDM_INPUTS_LOCK + "\n".join(packages), project)
    if difference is None:
        check_fresh(lock, project)
    else:
        with pytest.raises(LockError) as caught:
            check_fresh(lock, project)
        assert f"as it is: {difference}" in str(caught.value)
