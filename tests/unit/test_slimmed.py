"""What is slimmed has to work; what never worked is not slimming's fault, and what breaks it is named."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from helpers.dockerfile_plans import dockerfile_plan
from helpers.tools import require_tool
from shipwheel import slimmed
from shipwheel.assemble.workshop import Workshop
from shipwheel.cache import Cache
from shipwheel.errors import BuildError
from shipwheel.oci.model import Image, Platform
from shipwheel.plan.model import BuildPlan, LayerPlan, PlannedSlim, PlannedWheel
from shipwheel.progress import Silent
from shipwheel.project.reader import read_project
from shipwheel.slimmed import Faults, prove_imports
from shipwheel.testing.images import make_layer

WORKER = Path(slimmed.__file__).with_name("slimmed_worker.py")


PLATFORM = Platform.parse("linux/amd64")


def plan_of(slim: Mapping[str, Sequence[str]], *, verify: bool = True) -> BuildPlan:
    wheels = [
        PlannedWheel(name=name, version="1", file="", hash=None, size=None, slim=options)
        for name, options in slim.items()
    ]
    layers = [
        LayerPlan(name=wheel.name, kind="wheel", reason="", key=f"key of {wheel.name}", wheels=[wheel])
        for wheel in wheels
    ]
    drop = sorted({option for options in slim.values() for option in options})
    return replace(
        dockerfile_plan(),
        layers=layers,
        slim=PlannedSlim(drop=drop, keep=("kept",), verify=verify, source="here"),
    )


class Said(Silent):
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def said(self, text: str) -> None:
        self._lines.append(text)


class Bench:
    """Images are named by what is kept in them; `broken` maps such words to the faults of that image."""

    def __init__(self, folder: Path, broken: Mapping[str, Mapping[str, Mapping[str, str]]]) -> None:
        (folder / "pyproject.toml").write_text("[project]\nname = 'x'\nversion = '1'\n")
        self.broken = broken
        self.tried: list[tuple[str, list[str]]] = []
        self.said: list[str] = []
        self.workshop = Workshop(
            project=read_project(folder),
            cache=Cache(folder / "cache"),
            environ={},
            home=folder,
            now=datetime(2026, 1, 1, tzinfo=UTC),
            progress=Said(self.said),
        )

    def image(self, text: str, plan: BuildPlan) -> Image:
        layers = tuple(make_layer({f"{layer.name} {text}": ""}) for layer in plan.layers)
        return Image(platform=PLATFORM, layers=layers, created=text)

    def prove(self, plan: BuildPlan, *, origin: str = "made") -> None:
        for layer in plan.layers:
            self.workshop.book.note(str(layer.key), origin)

        def rebuild(keep: Sequence[str] | None) -> Image:
            return self.image("whole" if keep is None else " ".join(keep), plan)

        def attempt(image: Image, packages: Sequence[str]) -> Faults:
            text = str(image.created)
            self.tried.append((text, list(packages)))
            return {name: self.broken.get(text, {}).get(name, {}) for name in packages}

        prove_imports(plan, self.image("slim", plan), self.workshop, rebuild=rebuild, attempt=attempt)


FAULT = {"import cow": "ModuleNotFoundError: No module named 'cow.tests'"}


def test_what_works_is_tried_once_for_the_same_layers(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {})
    plan = plan_of({"cow": ["tests"], "dog": [], "ant": ["stubs"]})

    bench.prove(plan)
    bench.prove(plan)

    assert bench.tried == [("slim", ["ant", "cow"])]


def test_what_breaks_a_package_is_named_with_the_line_that_leaves_it_in(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"slim": {"cow": FAULT}, "cow:stubs": {"cow": FAULT}})

    with pytest.raises(BuildError) as caught:
        bench.prove(plan_of({"cow": ["stubs", "tests"], "dog": ["tests"]}))

    [problem] = caught.value.problems
    assert problem.code == "slim-breaks-import"
    assert problem.message == f"cow does not work without its tests: import cow: {FAULT['import cow']}"
    assert problem.hint == 'leave them in: keep = ["cow:tests", "kept"]'
    with pytest.raises(BuildError):
        bench.prove(plan_of({"cow": ["stubs", "tests"], "dog": ["tests"]}))


def test_where_no_single_option_is_guilty_all_are_named(tmp_path: Path) -> None:
    every = {text: {"cow": FAULT} for text in ("slim", "cow:stubs", "cow:tests")}

    with pytest.raises(BuildError, match="without its stubs, tests") as caught:
        Bench(tmp_path, every).prove(plan_of({"cow": ["stubs", "tests"]}))
    assert caught.value.problems[0].hint == 'leave them in: keep = ["cow", "kept"]'


def test_what_fails_with_nothing_left_out_too_is_no_fault(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {"slim": {"cow": FAULT}, "whole": {"cow": FAULT}})

    bench.prove(plan_of({"cow": ["tests"], "dog": ["tests"]}))

    # Only what failed is tried in the whole image.
    assert bench.tried == [("slim", ["cow", "dog"]), ("whole", ["cow"])]
    # It is no proof either, and is said.
    assert bench.said[1:] == [f"note: cow: import cow fails with nothing left out too: {FAULT['import cow']}"]


@pytest.mark.parametrize(
    ("plan", "origin"),
    [
        (plan_of({"cow": ["tests"]}, verify=False), "made"),
        (plan_of({"cow": []}), "made"),
        (plan_of({"cow": ["tests"]}), "registry.example/app"),
    ],
    ids=["not wanted", "nothing slimmed", "proven before it was pushed"],
)
def test_nothing_is_imported_when(tmp_path: Path, plan: BuildPlan, origin: str) -> None:
    bench = Bench(tmp_path, {"slim": {"cow": FAULT}})

    bench.prove(plan, origin=origin)

    assert bench.tried == []


def asked(site: Path, *packages: str) -> dict[str, dict[str, dict[str, str]]]:
    task = json.dumps({"packages": packages, "seconds": 20})
    done = subprocess.run(
        [sys.executable, "-S", "-c", WORKER.read_text(), task],
        env={"PYTHONPATH": str(site)},
        cwd=site,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, dict[str, dict[str, str]]] = json.loads(done.stdout)
    return found


def install(site: Path, name: str, files: Mapping[str, str | bytes], commands: str = "") -> None:
    info = f"{name}-1.0.dist-info"
    every = {**files, f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"}
    if commands:
        every[f"{info}/entry_points.txt"] = f"[console_scripts]\n{commands}\n"
    every[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in every)
    for path, content in every.items():
        place = site / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_in_the_image_every_outermost_module_and_every_commands_module_is_imported(tmp_path: Path) -> None:
    install(
        tmp_path,
        "good",
        {"good/__init__.py": "print('noise')", "single.py": "", "space/deep/__init__.py": ""},
    )
    install(tmp_path, "bad", {"bad/__init__.py": "import bad.tests"})
    install(tmp_path, "namespace", {"name/space/core.py": "raise OSError('no data')"})
    install(
        tmp_path,
        "command",
        {"com/__init__.py": "", "com/cli.py": "import not_installed"},
        "com = com.cli:main",
    )
    install(tmp_path, "crash", {"crash.py": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"})

    install(tmp_path, "top", {"top.py": "import tests.helpers"})

    found = asked(tmp_path, "good", "bad", "namespace", "command", "crash", "absent", "top")
    assert {name: said["faults"] for name, said in found.items()} == {
        "absent": {"its metadata": "not found: No package metadata was found for absent"},
        "good": {},
        "bad": {"import bad": "ModuleNotFoundError: No module named 'bad.tests'"},
        "namespace": {"import name.space.core": "OSError: no data"},
        "command": {},
        "crash": {"import crash": "killed by signal 11"},
        "top": {"import top": "ModuleNotFoundError: No module named 'tests'"},
    }
    # An extra that is not installed was not slimmed away.
    wanting = {name: said["wanting"] for name, said in found.items() if said["wanting"]}
    assert wanting == {"command": {"import com.cli": "not_installed"}}


def test_in_the_image_every_library_is_loaded_with_all_its_symbols(tmp_path: Path) -> None:
    cc = require_tool("cc")
    (tmp_path / "a.c").write_text("int a(void) { return 1; }")
    (tmp_path / "b.c").write_text("int a(void); int b(void) { return a(); }")
    (tmp_path / "c.c").write_text("int nowhere(void); int c(void) { return nowhere(); }")
    subprocess.run(
        [cc, "-shared", "-fPIC", "-Wl,-soname,liba.so", "-o", tmp_path / "liba.so", tmp_path / "a.c"],
        check=True,
    )
    # Found only when something else has loaded it before.
    subprocess.run(
        [cc, "-shared", "-fPIC", "-o", tmp_path / "libb.so", tmp_path / "b.c", f"-L{tmp_path}", "-l:liba.so"],
        check=True,
    )
    subprocess.run([cc, "-shared", "-fPIC", "-o", tmp_path / "libx.so", tmp_path / "c.c"], check=True)
    data = {name: (tmp_path / name).read_bytes() for name in ("liba.so", "libb.so", "libx.so")}
    site = tmp_path / "site"
    install(site, "native", {f"native.libs/{name}": content for name, content in data.items()})
    install(site, "torn", {"torn.libs/liba.so": data["liba.so"][:2000]})

    found = {name: said["faults"] for name, said in asked(site, "native", "torn").items()}

    [(path, said)] = found["native"].items()
    assert path == "native.libs/libx.so"
    assert "undefined symbol: nowhere" in said
    assert list(found["torn"]) == ["torn.libs/liba.so"]
