"""A valid project and lock of every kind that is read, with most of what such files may say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from helpers.locks import digest

FILE = "sha256:" + digest("file")
URL = "https://files.example/a-1.0-py3-none-any.whl"
POETRY = {
    "pyproject.toml": """
[tool.poetry]
name = "app"
version = "1"
[tool.poetry.dependencies]
python = ">=3.11"
a = {version = "^1", extras = ["x"], markers = "os_name == 'posix'", python = ">=3.8", platform = "linux"}
b = [{version = "1.0", optional = true}]
[tool.poetry.extras]
more = ["b"]
[tool.poetry.group.dev]
include-groups = ["docs"]
[tool.poetry.group.dev.dependencies]
c = "*"
[tool.poetry.group.docs.dependencies]
d = {git = "https://git.example/d.git"}
""",
}
POETRY_LOCK = f"""
[[package]]
name = "a"
version = "1.0"
optional = false
python-versions = ">=3.8"
groups = ["main"]
markers = "os_name == 'posix'"
files = [{{file = "a-1.0-py3-none-any.whl", hash = "{FILE}"}}]
[package.dependencies]
b = {{version = ">=1", optional = true, markers = "extra == 'x'"}}
[package.extras]
x = ["b (>=1)"]
[[package]]
name = "b"
version = "1.0"
optional = true
python-versions = "*"
groups = ["main", "dev"]
markers = {{main = "extra == 'more'"}}
files = [{{file = "b-1.0.tar.gz", hash = "{FILE}"}}]
[package.source]
type = "legacy"
url = "https://index.example/simple"
reference = "own"
[[package]]
name = "c"
version = "1.0"
optional = false
python-versions = "*"
groups = ["dev"]
files = [{{file = "c-1.0.whl", hash = "{FILE}"}}]
[package.source]
type = "url"
url = "https://files.example/c-1.0.whl"
[[package]]
name = "d"
version = "1.0"
optional = false
python-versions = "*"
groups = ["docs"]
files = []
develop = false
[package.source]
type = "git"
url = "https://git.example/d.git"
reference = "main"
resolved_reference = "{"0" * 40}"
[extras]
more = ["b"]
[metadata]
lock-version = "VERSION"
python-versions = ">=3.11"
content-hash = "0"
"""
OLD_POETRY_LOCK = """
[[package]]
name = "a"
version = "1.0"
category = "main"
optional = false
python-versions = "*"
marker = "os_name == 'posix'"
[package.dependencies]
b = ">=1"
[[package]]
name = "b"
version = "1.0"
category = "main"
optional = false
python-versions = "*"
[[package]]
name = "c"
version = "1.0"
category = "dev"
optional = false
python-versions = "*"
[package.dependencies.b]
version = "*"
python = ">=3.8"
[[package]]
name = "d"
version = "1.0"
category = "dev"
optional = false
python-versions = "*"
[metadata]
content-hash = "0"
python-versions = "*"
[metadata.TABLE]
a = [A]
b = [B]
c = []
d = []
"""
PROJECT = """
[project]
name = "app"
version = "1"
requires-python = ">=3.11"
dependencies = ["a[x]>=1; os_name == 'posix'"]
[project.optional-dependencies]
more = ["b"]
[dependency-groups]
dev = ["c", {include-group = "docs"}]
docs = ["d"]
"""
UV = {
    "pyproject.toml": PROJECT
    + """
[tool.uv]
constraint-dependencies = ["a<2"]
override-dependencies = ["b>0"]
build-constraint-dependencies = ["e"]
exclude-dependencies = ["z"]
environments = ["sys_platform == 'linux'"]
required-environments = ["sys_platform == 'linux'"]
conflicts = [[{extra = "more"}, {group = "docs"}]]
default-groups = ["dev"]
dev-dependencies = ["e"]
dependency-metadata = [{name = "z", version = "1", requires-dist = ["a"], requires-python = ">=3"}]
exclude-newer = "2026-01-01"
exclude-newer-package = {a = "2026-01-01"}
resolution = "highest"
index = [{name = "own", url = "https://index.example/simple", explicit = true}]
find-links = ["links"]
[tool.uv.sources]
b = [{index = "own", marker = "os_name == 'posix'"}]
m = {workspace = true}
d = {git = "https://git.example/d.git", rev = "main"}
[tool.uv.dependency-groups]
dev = {requires-python = ">=3.11"}
[tool.uv.workspace]
members = ["members/*"]
exclude = ["members/out"]
""",
    "members/m/pyproject.toml": """
[project]
name = "m"
dynamic = ["version"]
dependencies = ["a"]
[tool.uv.sources]
a = {index = "own", group = "g", extra = "e"}
""",
}
UV_LOCK = f"""
version = 1
revision = 5
requires-python = ">=3.11"
resolution-markers = ["sys_platform == 'linux'"]
supported-markers = ["sys_platform == 'linux'"]
required-markers = ["sys_platform == 'linux'"]
conflicts = [
    [{{package = "app", extra = "more"}}, {{package = "app", group = "docs"}}],
    [{{package = "app", extra = "more"}}, {{package = "app", group = "dev"}}],
]
[options]
exclude-newer = "2026-01-02T00:00:00Z"
exclude-newer-package = {{a = "2026-01-02T00:00:00Z"}}
[manifest]
members = ["app", "m"]
constraints = [{{name = "a", specifier = "<2"}}]
overrides = [{{name = "b", specifier = ">0"}}]
build-constraints = [{{name = "e"}}]
excludes = ["z"]
dependency-metadata = [{{name = "z", version = "1", requires-dist = ["a"], requires-python = ">=3"}}]
[[package]]
name = "app"
version = "1"
source = {{virtual = "."}}
dependencies = [{{name = "a", extra = ["x"], marker = "os_name == 'posix'"}}]
[package.optional-dependencies]
more = [{{name = "b", version = "1.0", source = {{registry = "https://index.example/simple"}}}}]
[package.dev-dependencies]
dev = [{{name = "c"}}, {{name = "d"}}, {{name = "e"}}]
docs = [{{name = "d"}}]
[package.metadata]
requires-dist = [{{name = "a", extras = ["x"], specifier = ">=1", marker = "os_name == 'posix'"}}, {{name = "b", marker = "extra == 'more'", index = "https://index.example/simple"}}]
provides-extras = ["more"]
[package.metadata.requires-dev]
dev = [{{name = "c"}}, {{name = "d", git = "https://git.example/d.git?rev=main"}}, {{name = "e"}}]
docs = [{{name = "d", git = "https://git.example/d.git?rev=main"}}]
[[package]]
name = "m"
source = {{editable = "members/m"}}
dependencies = [{{name = "a"}}]
[package.metadata]
requires-dist = [{{name = "a"}}]
[[package]]
name = "a"
version = "1.0"
source = {{registry = "https://index.example/simple"}}
resolution-markers = ["sys_platform == 'linux'"]
wheels = [{{url = "{URL}", hash = "{FILE}", size = 1, upload-time = "2026-01-01T00:00:00Z"}}]
[package.optional-dependencies]
x = [{{name = "b"}}]
[[package]]
name = "b"
version = "1.0"
source = {{registry = "https://index.example/simple"}}
sdist = {{url = "https://files.example/b-1.0.tar.gz", hash = "{FILE}"}}
[[package]]
name = "c"
version = "1.0"
source = {{url = "https://files.example/c-1.0-py3-none-any.whl"}}
wheels = [{{url = "https://files.example/c-1.0-py3-none-any.whl", hash = "{FILE}"}}]
[[package]]
name = "d"
version = "1.0"
source = {{git = "https://git.example/d.git?rev=main#{"0" * 40}"}}
[[package]]
name = "e"
version = "1.0"
source = {{path = "e-1.0-py3-none-any.whl"}}
wheels = [{{filename = "e-1.0-py3-none-any.whl", hash = "{FILE}"}}]
"""
PDM = {
    "pyproject.toml": PROJECT
    + """
[tool.pdm]
source = [{name = "own", url = "https://index.example/simple", type = "index", include_packages = ["b"]}]
[tool.pdm.dev-dependencies]
old = ["-e file:///${PROJECT_ROOT}/e#egg=e"]
[tool.pdm.resolution.overrides]
a = ">=1"
[tool.pdm.workspace]
members = ["members/*"]
""",
    "members/m/pyproject.toml": '[project]\nname = "m"\n',
}
PDM_LOCK = f"""
[metadata]
groups = ["default", "dev", "docs", "more", "old"]
strategy = [STRATEGY]
lock_version = "4.5.0"
content_hash = "sha256:0"
[[metadata.targets]]
requires_python = ">=3.11"
platform = "manylinux_2_17_x86_64"
implementation = "cpython"
[[package]]
name = "a"
version = "1.0"
requires_python = ">=3"
groups = ["default"]
marker = "os_name == 'posix'"
dependencies = ["b>=1; os_name == 'posix'"]
files = [{{file = "a-1.0-py3-none-any.whl", hash = "{FILE}"}}]
[[package]]
name = "a"
version = "1.0"
extras = ["x"]
groups = ["default"]
dependencies = ["a==1.0", "b"]
files = [{{url = "{URL}", hash = "{FILE}"}}]
[[package]]
name = "b"
version = "1.0"
groups = ["default", "more"]
files = [{{file = "b-1.0.tar.gz", hash = "{FILE}"}}]
[[package]]
name = "c"
version = "1.0"
groups = ["dev"]
url = "https://files.example/c-1.0-py3-none-any.whl"
files = [{{url = "https://files.example/c-1.0-py3-none-any.whl", hash = "{FILE}"}}]
[[package]]
name = "d"
version = "1.0"
groups = ["dev", "docs"]
git = "https://git.example/d.git"
ref = "main"
revision = "{"0" * 40}"
subdirectory = "x"
[[package]]
name = "e"
version = "1.0"
groups = ["old"]
path = "./e"
editable = true
"""
PDM_INPUTS = """
[metadata.lock_inputs.project]
requires-python = ">=3.11"
sources = []
[metadata.lock_inputs.project.resolution.overrides]
a = ">=1"
[metadata.lock_inputs.project.groups]
default = ["a[x]; os_name == \\"posix\\""]
[metadata.lock_inputs.workspace."members/m"]
requires-python = ""
[metadata.lock_inputs.workspace."members/m".groups]
default = []
"""
PYLOCK = f"""
lock-version = "1.0"
created-by = "somebody"
requires-python = ">=3.11"
environments = ["sys_platform == 'linux'"]
extras = ["more"]
dependency-groups = ["dev", "default"]
default-groups = ["default"]
[[packages]]
name = "a"
version = "1.0"
requires-python = ">=3"
marker = "os_name == 'posix'"
index = "https://index.example/simple"
dependencies = [{{name = "b", version = "1.0"}}]
wheels = [{{name = "a-1.0-py3-none-any.whl", url = "{URL}", size = 1, upload-time = 2026-01-01T00:00:00Z, hashes = {{sha256 = "{digest("a")}"}}}}]
[[packages]]
name = "b"
version = "1.0"
marker = "'more' in extras"
sdist = {{path = "b-1.0.tar.gz", hashes = {{sha256 = "{digest("b")}"}}}}
[[packages]]
name = "c"
marker = "'dev' in dependency_groups"
directory = {{path = "c", editable = true, subdirectory = "x"}}
[[packages]]
name = "d"
vcs = {{type = "git", url = "https://git.example/d.git", requested-revision = "main", commit-id = "{"0" * 40}", subdirectory = "x"}}
[[packages]]
name = "e"
archive = {{url = "https://files.example/e.zip", size = 1, hashes = {{sha256 = "{digest("e")}"}}}}
[tool.pdm.hashes]
sha256 = "0"
"""
PIPFILE = """
[[source]]
url = "https://index.example/simple"
name = "own"
[packages]
a = "*"
[dev-packages]
c = {version = ">=1", extras = ["x"]}
[requires]
python_version = "3.13"
"""
PIPFILE_LOCK = json.dumps(
    {
        "_meta": {
            "hash": {"sha256": "0"},
            "pipfile-spec": 6,
            "requires": {"python_version": "3.13"},
            "sources": [{"name": "own", "url": "https://index.example/simple", "verify_ssl": True}],
        },
        "default": {
            "a": {"version": "==1.0", "hashes": [FILE], "index": "own", "markers": "os_name == 'posix'"},
            "d": {"git": "https://git.example/d.git", "ref": "0" * 40, "subdirectory": "x"},
        },
        "develop": {
            "c": {"file": "https://files.example/c.zip", "hashes": [FILE]},
            "e": {"path": "./e", "editable": True},
        },
    }
)


@dataclass(frozen=True)
class Family:
    """A project's files besides the lock, the lock's name, and its text."""

    files: Mapping[str, str]
    lock: str
    text: str


FAMILIES = {
    "poetry 2.1": Family(POETRY, "poetry.lock", POETRY_LOCK.replace("VERSION", "2.1")),
    "poetry 2.0": Family(POETRY, "poetry.lock", POETRY_LOCK.replace("VERSION", "2.0")),
    "poetry 1.0": Family(
        POETRY,
        "poetry.lock",
        OLD_POETRY_LOCK.replace("TABLE", "files")
        .replace("[A]", f'[{{file = "a-1.0-py3-none-any.whl", hash = "{FILE}"}}]')
        .replace("[B]", f'[{{file = "b-1.0.tar.gz", hash = "{FILE}"}}]'),
    ),
    "poetry before 1.0": Family(
        POETRY,
        "poetry.lock",
        OLD_POETRY_LOCK.replace("TABLE", "hashes")
        .replace("[A]", f'["{digest("a")}"]')
        .replace("[B]", f'["{digest("b")}"]'),
    ),
    "uv": Family(UV, "uv.lock", UV_LOCK),
    "pdm": Family(PDM, "pdm.lock", PDM_LOCK.replace("STRATEGY", '"inherit_metadata"')),
    "pdm without groups": Family(PDM, "pdm.lock", PDM_LOCK.replace("STRATEGY", "") + PDM_INPUTS),
    "pylock": Family({"pyproject.toml": PROJECT}, "pylock.toml", PYLOCK),
    "pipenv": Family({"pyproject.toml": PROJECT, "Pipfile": PIPFILE}, "Pipfile.lock", PIPFILE_LOCK),
}
