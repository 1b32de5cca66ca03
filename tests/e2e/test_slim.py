"""Images without tests, stubs, headers and debug symbols do real work, with packages that everybody uses."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.circumstances import Circumstance, build_under, other_python
from helpers.command import EXAMPLES, shipwheel, uv
from shipwheel.project.settings import SLIM_OPTIONS
from shipwheel.testing.wheels import make_wheel

pytestmark = [pytest.mark.network, pytest.mark.conformance, pytest.mark.xdist_group("slim")]

ROOT = Path(__file__).parent.parent.parent
PROJECTS = {"data": ROOT / "benchmarks" / "data", "shop": EXAMPLES / "shop"}
SLIM = f"\n[tool.shipwheel.slim]\ndrop = {json.dumps(SLIM_OPTIONS)}\n"
JOBS = {
    "data": """
import io
import numpy, pandas, pyarrow, pyarrow.parquet, scipy.optimize, scipy.linalg, scipy.sparse.linalg, scipy.signal
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
matrix = numpy.random.default_rng(1).normal(size=(200, 200))
assert numpy.allclose(matrix @ numpy.linalg.inv(matrix), numpy.eye(200))
assert abs(scipy.optimize.brentq(lambda x: x * x - 2, 0, 2) - 2**0.5) < 1e-9
assert scipy.linalg.schur(matrix)[0].shape == (200, 200)
assert scipy.signal.welch(matrix[0])[1].min() >= 0
assert len(scipy.sparse.linalg.eigs(scipy.sparse.eye_array(50).tocsr(), k=3)[0]) == 3
X, y = make_classification(n_samples=300, random_state=1)
assert cross_val_score(LogisticRegression(), X, y).mean() > 0.7
assert RandomForestClassifier(n_estimators=20, n_jobs=2, random_state=1).fit(X, y).score(X, y) > 0.9
frame = pandas.DataFrame({"kind": list("abcabc") * 50, "value": range(300)})
frame["when"] = pandas.date_range("2026-01-01", periods=300, tz="Europe/Berlin")
table = pyarrow.Table.from_pandas(frame)
sink = io.BytesIO()
pyarrow.parquet.write_table(table, sink, compression="zstd")
again = pyarrow.parquet.read_table(io.BytesIO(sink.getvalue())).to_pandas()
assert again.equals(frame)
assert frame.groupby("kind")["value"].mean().to_dict() == {"a": 148.5, "b": 149.5, "c": 150.5}
assert pandas.read_csv(io.StringIO(frame.to_csv(index=False))).shape == (300, 3)
print("done")
""",
    "shop": """
import asyncio, shop.main
import sqlalchemy as sa
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
class Base(DeclarativeBase): pass
class Cow(Base):
    __tablename__ = "cow"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
Base.metadata.create_all(engine)
with Session(engine) as session:
    session.add_all([Cow(name="Elsa"), Cow(name="Berta")])
    session.commit()
    assert [cow.name for cow in session.scalars(sa.select(Cow).order_by(Cow.name))] == ["Berta", "Elsa"]
class Item(BaseModel):
    name: str
    price: float
try:
    Item(name="milk", price="cheap")
except ValidationError as error:
    assert error.error_count() == 1
app = FastAPI()
@app.post("/items")
async def post(item: Item) -> Item: return item
async def ask():
    async with AsyncClient(transport=ASGITransport(app=app), base_url="http://shop") as client:
        return (await client.post("/items", json={"name": "milk", "price": 1.5})).json()
assert asyncio.run(ask()) == {"name": "milk", "price": 1.5}
import psycopg, redis, uvloop, httptools, watchfiles, websockets
print("done")
""",
}
# What `pip check` asks, and RECORD of every package against its files: by the standard library, in the image.
JUDGE = """
import base64, csv, hashlib, importlib.metadata as m, json, re
wrong, files, tests, names = [], 0, 0, {}
for d in m.distributions():
    names[re.sub("[-_.]+", "-", d.metadata["Name"]).lower()] = d.version
    for f in d.files or ():
        tests += bool(re.search("(^|/)tests?/.*test_.*[.]py$", str(f)))
        path = d.locate_file(f)
        if not path.exists():
            wrong.append(f"{f} is not there")
        elif f.hash:
            files += 1
            data = path.read_bytes()
            found = base64.urlsafe_b64encode(hashlib.new(f.hash.mode, data).digest()).rstrip(b"=").decode()
            if (found, len(data)) != (f.hash.value, f.size):
                wrong.append(f"{f} has other bytes")
needs = [r for d in m.distributions() for r in d.requires or () if "extra ==" not in r]
print(json.dumps({"wrong": wrong, "files": files, "tests": tests, "names": names, "needs": needs}))
"""


@pytest.fixture(scope="module", params=sorted(PROJECTS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def project(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("slim") / name
    shutil.copytree(PROJECTS[name], target, ignore=shutil.ignore_patterns("shipwheel.lock", "__pycache__"))
    with (target / "pyproject.toml").open("a") as file:
        file.write(SLIM)
    done = shipwheel("build", target, "--platform", "linux/amd64", "--output", target.parent / "image")
    assert done.returncode == 0, done.stderr
    return target


def run_python(project: Path, code: str) -> str:
    # The temporary folder and nothing else can be written to.
    words = ("--runner", "unshare", "--entrypoint", "python", "--", "-c", code)
    done = shipwheel("run", "--quiet", project, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_slimmed_image_does_real_work(project: Path, name: str) -> None:
    assert run_python(project, JOBS[name]) == "done\n"


def test_every_record_is_right_and_every_requirement_is_there(project: Path) -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, Any] = json.loads(run_python(project, JUDGE))

    assert found["wrong"] == []
    assert found["files"] > 500
    missing = []
    for text in found["needs"]:
        need = Requirement(text)
        if need.marker is not None and not need.marker.evaluate({"extra": "", "python_version": "3.13"}):
            continue
        version = found["names"].get(canonicalize_name(need.name))
        if version is None or not need.specifier.contains(version, prereleases=True):
            missing.append(text)
    assert missing == []


def test_the_check_has_nothing_to_say_of_what_was_left_out(project: Path, name: str) -> None:
    done = shipwheel("check", project.parent / "image", "--format", "json", "--quiet", "--fail-on", "never")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)

    passed = {rule["code"] for rule in report["passed"]}
    assert {"package-changed", "package-without-record", "debug-symbols", "development-files"} <= passed
    # scipy's own code imports one folder of its tests.
    left = [place["path"] for finding in report["findings"] if finding["code"] == "tests-in-packages"
            for place in finding["places"]]  # fmt: skip
    assert [path for path in left if "/scipy/special/tests/" not in path] == []


def test_the_digest_is_that_of_another_run_and_of_another_python(project: Path, tmp_path: Path) -> None:
    python = other_python()
    if python is None:
        pytest.skip("there is no second CPython from 3.11 on")
    uv("venv", "--quiet", "--no-project", "--python", python, tmp_path / "venv")
    program = str(tmp_path / "venv" / "bin" / "python")
    requirements = ROOT / "requirements" / "runtime.txt"
    uv("pip", "install", "--quiet", "--python", program, "--require-hashes", "-r", requirements)
    [packages] = (tmp_path / "venv").glob("lib/python3.*/site-packages")
    (packages / "shipwheel.pth").write_text(f"{ROOT / 'src'}\n")
    done = shipwheel("build", "--json", "--quiet", project, "--platform", "linux/amd64")
    first = json.loads(done.stdout)
    environ = {
        key: value
        for key, value in os.environ.items()
        if key.startswith(
            ("PIP_", "UV_", "SSL_CERT_", "HTTP", "http", "NO_PROXY", "no_proxy", "SHIPWHEEL_DEBIAN_")
        )
    }
    built, _ = build_under(
        Circumstance(name=program, python=program),
        project,
        tmp_path / "there",
        "--platform=linux/amd64",
        "--locked",
        environ=environ,
        files=Path.home() / ".cache" / "shipwheel" / "v1" / "files",
    )
    assert built["digest"] == first["digest"]


def test_a_package_that_breaks_ends_the_build_and_the_line_it_asks_for_mends_it(tmp_path: Path) -> None:
    # By a computed name: no reading of the source finds it.
    odd = make_wheel(
        "odd",
        files={
            "odd/__init__.py": "import importlib\nimportlib.import_module(__name__ + '.tests.data')\n",
            "odd/__init__.pyi": "",
            "odd/tests/__init__.py": "",
            "odd/tests/data.py": "",
            "odd/tests/test_odd.py": "",
        },
    )
    project = tmp_path / "app"
    odd.write(project)
    manifest = f"""
[project]
name = "app"
version = "1.0"
requires-python = ">=3.11"
dependencies = ["odd"]
[tool.uv]
package = false
[tool.uv.sources]
odd = {{ path = "{odd.filename}" }}
[tool.shipwheel]
entrypoint = ["python"]
[tool.shipwheel.slim]
drop = ["stubs", "tests"]
"""
    (project / "pyproject.toml").write_text(manifest)
    uv("lock", "--quiet", "--project", project, "--python", sys.executable)
    out = tmp_path / "image"

    done = shipwheel("build", "--quiet", project, "--output", out)

    assert done.returncode == 9, done.stderr
    assert done.stdout == ""
    assert not out.exists()
    assert (
        "odd does not work without its tests: import odd: ModuleNotFoundError: No module named 'odd.tests'"
        in done.stderr
    )
    assert 'keep = ["odd:tests"]' in done.stderr
    (project / "pyproject.toml").write_text(f'{manifest}keep = ["odd:tests"]\n')
    again = shipwheel("build", "--quiet", project, "--output", out)
    assert again.returncode == 0, again.stderr
    assert run_python(project, "import odd; print('done')") == "done\n"
