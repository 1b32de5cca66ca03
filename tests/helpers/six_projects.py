"""Six kinds of project, each locked by the real tool: Poetry 1.8, Poetry 2, uv, PDM and pip's requirements files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from pypi_simple import PYPI_SIMPLE_ENDPOINT

from helpers.lock_corpus import uv

Tool = Literal["poetry-1.8", "poetry-2", "uv", "pdm", "pip"]
TOOLS: Final[tuple[Tool, ...]] = ("poetry-1.8", "poetry-2", "uv", "pdm", "pip")
PYTHON: Final = ">=3.11,<4"
# PDM 2.29 does not bound two of its own, and their newest releases lack what it calls.
_FETCHED: Final[Mapping[str, Sequence[str]]] = {
    "poetry-1.8": ("--from", "poetry==1.8.5", "--with", "poetry-plugin-pypi-mirror", "poetry"),
    "poetry-2": ("--from", "poetry>=2.1,<3", "--with", "poetry-plugin-pypi-mirror", "poetry"),
    "pdm": ("--with", "hishel<1.2", "--with", "unearth<0.18", "pdm"),
}
_BACK_ENDS: Final[Mapping[str, tuple[str, str]]] = {
    "poetry-1.8": ("poetry-core>=1.9", "poetry.core.masonry.api"),
    "poetry-2": ("poetry-core>=2.0,<3", "poetry.core.masonry.api"),
    "uv": ("hatchling", "hatchling.build"),
    "pdm": ("pdm-backend", "pdm.backend"),
    "pip": ("setuptools>=77", "setuptools.build_meta"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A kind of project. `says` is printed by its program; `imports` are modules of its dependencies."""

    name: str
    needs: Sequence[str]
    imports: Sequence[str]
    program: str
    says: str
    dev: str = "iniconfig"
    package: bool = True
    private: bool = False
    beside: Mapping[str, str] = field(default_factory=dict)


_HELLO: Final = "def main() -> None:\n"
COWSAY: Final = Shape(
    name="cowsay",
    needs=["cowsay>=6"],
    imports=["cowsay"],
    program=f"import cowsay\n\n\n{_HELLO}    cowsay.cow('Hello')\n",
    says="| Hello |",
)
SERVICE: Final = Shape(
    name="web-service",
    needs=["fastapi>=0.115", "sqlalchemy>=2", "psycopg[binary]>=3.2", "uvicorn>=0.30"],
    imports=["fastapi", "sqlalchemy", "psycopg", "uvicorn"],
    program=(
        "import os\n\nimport uvicorn\nfrom fastapi import FastAPI\nfrom sqlalchemy import create_engine, text\n\n"
        "app = FastAPI()\nengine = create_engine(os.environ.get('DATABASE', 'sqlite://'))\n\n\n"
        "@app.get('/')\ndef count() -> dict[str, object]:\n    with engine.begin() as connection:\n"
        "        connection.execute(text('CREATE TABLE IF NOT EXISTS visits (day INTEGER)'))\n"
        "        connection.execute(text('INSERT INTO visits VALUES (1)'))\n"
        "        visits = connection.execute(text('SELECT count(*) FROM visits')).scalar()\n"
        "    return {'database': engine.dialect.name, 'visits': visits}\n\n\n"
        f"{_HELLO}    uvicorn.run(app, host='127.0.0.1', port=int(os.environ['PORT']))\n"
    ),
    says='{"database":"postgresql","visits":1}',
)
DATA: Final = Shape(
    name="data-service",
    needs=["pandas>=2.2", "pyarrow>=18"],
    imports=["numpy", "pandas", "pyarrow"],
    program=(
        "import pandas\nimport pyarrow\n\n\n"
        f"{_HELLO}    table = pyarrow.Table.from_pandas(pandas.DataFrame({{'n': range(10)}}))\n"
        "    print(table.to_pandas()['n'].sum())\n"
    ),
    says="45",
)
BESIDE: Final = Shape(
    name="path-dependency",
    needs=["click>=8", "letters"],
    imports=["click", "letters"],
    program=f"import click\nimport letters\n\n\n{_HELLO}    click.echo(letters.count('Ada'))\n",
    says="3 letters",
    beside={"letters": "def count(word: str) -> str:\n    return f'{len(word)} letters'\n"},
)
NO_PACKAGE: Final = Shape(
    name="no-package",
    needs=["tabulate>=0.9"],
    imports=["tabulate"],
    program=f"import tabulate\n\n\n{_HELLO}    print(tabulate.tabulate([['rows', 3]]))\n",
    says="rows  3",
    package=False,
)
PRIVATE: Final = Shape(
    name="private-index",
    # No public index has these.
    needs=["quorble-parts>=1"],
    imports=["quorble_parts"],
    program=f"import quorble_parts\n\n\n{_HELLO}    print(quorble_parts.COUNT + 1)\n",
    says="42",
    dev="quorble_checks",
    private=True,
)
SHAPES: Final = (COWSAY, SERVICE, DATA, BESIDE, NO_PACKAGE, PRIVATE)


def write_project(
    shape: Shape, tool: Tool, folder: Path, *, index: str, login: tuple[str, str], settings: str
) -> tuple[Path, dict[str, str]]:
    """Write and lock the project below `folder`; return it and the variables that its tool reads logins from.

    `index` is the private one's URL, which asks for `login`; `settings` go to the end of pyproject.toml.
    Raises CalledProcessError where the tool cannot lock it.
    """
    root = folder / "service"
    code = root / "src/service" if shape.package else root / "service"
    code.mkdir(parents=True)
    (code / "__init__.py").write_text("")
    (code / "main.py").write_text(shape.program)
    (code / "__main__.py").write_text("from service.main import main\n\nmain()\n")
    (root / "tests").mkdir()
    (root / "tests/__init__.py").write_text("")
    (root / "tests/test_main.py").write_text(
        f"import unittest\n\nimport {shape.dev}\nfrom service.main import main\n\n\n"
        "class TestMain(unittest.TestCase):\n    def test_both_are_there(self) -> None:\n"
        f"        self.assertTrue(callable(main) and {shape.dev}.__name__)\n"
    )
    requires, back_end = _BACK_ENDS[tool]
    system = f'[build-system]\nrequires = ["{requires}"]\nbuild-backend = "{back_end}"\n'
    for name, text in shape.beside.items():
        module = folder / name / "src" / name
        module.mkdir(parents=True)
        (module / "__init__.py").write_text(text)
        own = _poetry_1_head(name) if tool == "poetry-1.8" else _head(name, [])
        include = _from_src(name) if tool.startswith("poetry") else ""
        own += include if tool == "poetry-1.8" else f"[tool.poetry]\n{include}" if include else ""
        (folder / name / "pyproject.toml").write_text(f"{own}{system}")
    (root / "pyproject.toml").write_text(
        _pyproject(shape, tool, index) + (system if shape.package else "") + _run_by(shape) + settings
    )
    environ = _logins(tool, login) if shape.private else {}
    _lock(shape, tool, root, index, {**os.environ, **environ})
    return root, environ


def _head(name: str, needs: Sequence[str]) -> str:
    return (
        f'[project]\nname = "{name}"\nversion = "1.0"\nrequires-python = "{PYTHON}"\n'
        f"dependencies = {json.dumps(list(needs))}\n"
    )


def _poetry_1_head(name: str) -> str:
    return f'[tool.poetry]\nname = "{name}"\nversion = "1.0"\ndescription = ""\nauthors = []\n'


def _from_src(name: str) -> str:
    return f'packages = [{{ include = "{name}", from = "src" }}]\n'


def _run_by(shape: Shape) -> str:
    return "" if shape.package else '[tool.shipwheel]\nentrypoint = ["python", "-m", "service"]\n'


def _pyproject(shape: Shape, tool: Tool, index: str) -> str:
    scripts = 'service = "service.main:main"\n' if shape.package else ""
    if tool == "poetry-1.8":
        wishes = "".join(_poetry_wish(need, shape) for need in shape.needs)
        return (
            (
                _poetry_1_head("service") + _from_src("service")
                if shape.package
                else "[tool.poetry]\npackage-mode = false\n"
            )
            + f'[tool.poetry.dependencies]\npython = "{PYTHON}"\n{wishes}'
            + f'[tool.poetry.group.dev.dependencies]\n{shape.dev} = "*"\n'
            + (f"[tool.poetry.scripts]\n{scripts}" if scripts else "")
            + (_poetry_source(index) if shape.private else "")
        )
    needs = list(shape.needs)
    if tool == "pdm":
        needs = [
            f"{need} @ file:///${{PROJECT_ROOT}}/../{need}" if need in shape.beside else need
            for need in needs
        ]
    text = _head("service", needs) + (f"[project.scripts]\n{scripts}" if scripts else "")
    match tool:
        case "poetry-2":
            text += "[tool.poetry]\n" + (_from_src("service") if shape.package else "package-mode = false\n")
            text += "".join(
                f'[tool.poetry.dependencies.{name}]\npath = "../{name}"\n' for name in shape.beside
            )
            text += f'[tool.poetry.group.dev.dependencies]\n{shape.dev} = "*"\n'
            text += _poetry_source(index) if shape.private else ""
        case "uv":
            text += f'[dependency-groups]\ndev = ["{shape.dev}"]\n'
            text += "".join(f'[tool.uv.sources.{name}]\npath = "../{name}"\n' for name in shape.beside)
            if shape.private:
                text += f'[[tool.uv.index]]\nname = "testing"\nurl = "{index}"\n'
        case "pdm":
            text += f'[dependency-groups]\ndev = ["{shape.dev}"]\n'
            text += f"[tool.pdm]\ndistribution = {json.dumps(shape.package)}\n"
            if shape.private:
                address = index.replace("://", "://${INDEX_USER}:${INDEX_PASSWORD}@")
                text += f'[[tool.pdm.source]]\nname = "testing"\nurl = "{address}"\nverify_ssl = false\n'
        case "pip":
            pass
    return text


def _poetry_wish(need: str, shape: Shape) -> str:
    name, _, version = need.partition(">=")
    if name in shape.beside:
        return f'{name} = {{ path = "../{name}" }}\n'
    name, _, extra = name.partition("[")
    if extra:
        return f'{name} = {{ version = ">={version}", extras = ["{extra.rstrip("]")}"] }}\n'
    return f'{name} = ">={version}"\n'


def _poetry_source(index: str) -> str:
    return f'[[tool.poetry.source]]\nname = "testing"\nurl = "{index}"\npriority = "supplemental"\n'


def _logins(tool: Tool, login: tuple[str, str]) -> dict[str, str]:
    names = {
        "poetry-1.8": ("POETRY_HTTP_BASIC_TESTING_USERNAME", "POETRY_HTTP_BASIC_TESTING_PASSWORD"),
        "poetry-2": ("POETRY_HTTP_BASIC_TESTING_USERNAME", "POETRY_HTTP_BASIC_TESTING_PASSWORD"),
        "uv": ("UV_INDEX_TESTING_USERNAME", "UV_INDEX_TESTING_PASSWORD"),
        "pdm": ("INDEX_USER", "INDEX_PASSWORD"),
        "pip": ("INDEX_USER", "INDEX_PASSWORD"),
    }[tool]
    return dict(zip(names, login, strict=True))


def _lock(shape: Shape, tool: Tool, root: Path, index: str, environ: Mapping[str, str]) -> None:
    environ = {
        **environ,
        "POETRY_PYPI_MIRROR_URL": PYPI_SIMPLE_ENDPOINT,
        "PDM_IGNORE_SAVED_PYTHON": "1",
        "PDM_CHECK_UPDATE": "0",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_SYSTEM_CERTS": "true",
        "UV_NATIVE_TLS": "true",
    }

    def run(*words: str, text: str = "") -> str:
        done = subprocess.run(
            words, cwd=root, env=environ, input=text, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout

    if tool == "uv":
        run(uv(), "lock", "--quiet")
        return
    if tool != "pip":
        run(uv(), "tool", "run", "--quiet", "--python", sys.executable, *_FETCHED[tool], "lock")
        return
    for name, wanted in (("requirements.txt", []), ("requirements-dev.txt", [shape.dev])):
        address = index.replace("://", f"://{environ.get('INDEX_USER')}:{environ.get('INDEX_PASSWORD')}@")
        compile_ = [uv(), "pip", "compile", "--quiet", "--no-config", "--generate-hashes", "--universal"]
        compile_ += ["--python-version", "3.11", "--no-header", "--no-emit-index-url", "--no-annotate", "-"]
        compile_ += ["--index", address] if shape.private else []
        wishes = [*(need for need in shape.needs if need not in shape.beside), *wanted]
        lines = run(*compile_, text="\n".join(wishes))
        if shape.private:
            # pip puts the variables in.
            lines = (
                f"--extra-index-url {index.replace('://', '://${INDEX_USER}:${INDEX_PASSWORD}@')}\n{lines}"
            )
        (root / name).write_text(lines + "".join(f"../{name}\n" for name in shape.beside))
