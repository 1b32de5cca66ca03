"""`[tool.shipwheel.slim]` from the project to the image: what is left out, under which keys, and the same everywhere."""

import json
from pathlib import Path

from helpers.elf_programs import Part, program
from shipwheel.assemble.book import KEY_ANNOTATION
from shipwheel.oci.layer_read import open_layer, read_entries
from shipwheel.plan.inputs import INPUTS_ANNOTATION, LayerInputs
from shipwheel.testing.wheels import make_wheel

from .conftest import Bench, content_of, files_of

SITE = "app/.venv/lib/python3.13/site-packages"
FILES = {
    "cow/__init__.py": "def say():\n    return 'moo'\n",
    "cow/__init__.pyi": "def say() -> str: ...\n",
    "cow/tests/test_cow.py": "assert True\n" * 9000,
}
NATIVE = program(
    [
        Part(name=".text", data=bytes(range(256)) * 30, address=0x1000),
        Part(name=".debug_info", data=b"where" * 10_000),
    ]
)
COW = make_wheel("cow", "1.0", FILES)
DOG = make_wheel("dog", "1.0", {"dog/__init__.py": "", "dog/tests/test_dog.py": "assert True\n"})
HORN = make_wheel(
    "horn", "2.1", {"horn/__init__.py": "", "horn/fast.so": NATIVE}, tag="cp313-cp313-manylinux_2_17_x86_64"
)
WHEELS = [COW, DOG, HORN]


def project_of(bench: Bench, slim: str, *, where: str = "project") -> Path:
    # The base holds no program that could import anything.
    settings = f"[tool.shipwheel.slim]\nverify = false\n{slim}\n" if slim else ""
    return bench.project(["cow", "dog", "horn"], wheels=WHEELS, extra=settings, where=where)


def test_what_is_asked_for_is_left_out_and_the_image_says_so(bench: Bench) -> None:
    image = bench.image(project_of(bench, 'drop = ["tests", "debug-symbols"]'))

    files = files_of(image)
    assert f"{SITE}/cow/__init__.pyi" in files
    assert [path for path in files if "/tests" in path] == []
    assert len(content_of(image, f"{SITE}/horn/fast.so")) < len(NATIVE) - 40_000
    assert b"tests" not in content_of(image, f"{SITE}/cow-1.0.dist-info/RECORD")
    inputs = {
        found.name: found.settings.get("slim")
        for layer in image.layers
        if (found := LayerInputs.parse(layer.descriptor.annotations.get(INPUTS_ANNOTATION, "")))
    }
    assert inputs["cow"] == inputs["horn"] == "debug-symbols, tests (slim/1)"
    assert inputs["app"] is None
    # The original stays named by its hash.
    [cow] = [
        layer
        for layer in image.layers
        if '"name":"cow"' in layer.descriptor.annotations.get(INPUTS_ANNOTATION, "")
    ]
    assert f"1.0 sha256:{COW.sha256[:12]}" in cow.descriptor.annotations[INPUTS_ANNOTATION]


def test_only_layers_that_are_slimmed_have_other_keys(bench: Bench) -> None:
    def keys(slim: str, where: str) -> dict[str, str]:
        done = bench.run("plan", "--json", "--quiet", project_of(bench, slim, where=where))
        assert done.returncode == 0, done.stderr
        [plan] = json.loads(done.stdout)
        return {layer["name"]: layer["key"] for layer in plan["layers"]}

    whole, slim = keys("", "whole"), keys('drop = ["tests"]\nkeep = ["DOG"]', "slim")
    partly = keys('drop = ["tests", "stubs"]\nkeep = ["cow:stubs", "horn"]', "partly")
    assert {name for name in whole if whole[name] != slim[name]} == {"cow", "horn"}
    assert partly["cow"] == slim["cow"]
    assert partly["horn"] == whole["horn"]


def test_the_plan_says_what_is_left_out_of_what(bench: Bench) -> None:
    project = project_of(bench, 'drop = ["tests", "stubs"]\nkeep = ["cow:stubs", "absent"]')

    text = bench.run("plan", "--quiet", project).stdout
    assert "slim        without stubs, tests; kept whole: absent, cow:stubs; not tested" in text
    assert "hint: [tool.shipwheel.slim] keep names absent, which is not installed" in text
    [plan] = json.loads(bench.run("plan", "--json", "--quiet", project).stdout)
    slim = {wheel["name"]: wheel["slim"] for layer in plan["layers"] for wheel in layer["wheels"]}
    assert slim == {"cow": ["tests"], "dog": ["stubs", "tests"], "horn": ["stubs", "tests"]}


def test_the_digest_is_the_same_with_an_empty_cache_elsewhere(bench: Bench, tmp_path: Path) -> None:
    slim = 'drop = ["tests", "stubs", "debug-symbols"]'
    first = bench.build(project_of(bench, slim))
    environ = {
        "SHIPWHEEL_CACHE_DIR": str(tmp_path / "other"),
        "TMPDIR": str(tmp_path / "t"),
        "TZ": "Asia/Tokyo",
    }
    (tmp_path / "t").mkdir()

    again = bench.build(project_of(bench, slim, where="else/where"), environ=environ)

    assert again["digest"] == first["digest"]
    assert list((tmp_path / "t").iterdir()) == []


def test_turning_it_on_and_off_finds_the_layers_made_before(bench: Bench) -> None:
    whole = bench.image(project_of(bench, ""))
    slim = bench.image(project_of(bench, 'drop = ["tests"]', where="slim"))
    done = bench.run("build", project_of(bench, "", where="again"))

    assert done.stderr.count("made  ") == 0, done.stderr
    layers = [
        [layer for layer in image.layers if layer.created_by.endswith(("cow", "dog", "horn"))]
        for image in (whole, slim)
    ]
    keys = [{layer.descriptor.annotations[KEY_ANNOTATION] for layer in found} for found in layers]
    digests = [{layer.descriptor.digest for layer in found} for found in layers]
    # horn has no tests, and yet a key of its own: what is in a wheel is known when it is there.
    assert [len(keys[0] - keys[1]), len(digests[0] - digests[1])] == [3, 2]


def test_a_foreign_platform_is_slimmed_alike(bench: Bench) -> None:
    arm = make_wheel(
        "horn",
        "2.1",
        {
            "horn/__init__.py": "",
            "horn/fast.so": program(
                [
                    Part(name=".text", data=bytes(range(256)) * 30, address=0x1000),
                    Part(name=".debug_info", data=b"where" * 10_000),
                ],
                machine=183,
            ),
        },
        tag="cp313-cp313-manylinux_2_17_aarch64",
    )
    project = bench.project(
        ["horn"], wheels=[HORN, arm], extra='[tool.shipwheel.slim]\ndrop = ["debug-symbols"]\n'
    )
    layout = bench.folder / "layout"
    done = bench.run("build", project, "--platform", "linux/arm64", "--output", layout)

    assert done.returncode == 0, done.stderr
    # What cannot run here is not said to work.
    assert "note: linux/arm64 does not run here: what was slimmed was not imported for it" in done.stderr


def test_a_packages_tests_that_it_imports_stay_and_the_build_says_so(bench: Bench) -> None:
    odd = make_wheel(
        "odd",
        "1.0",
        {
            "odd/__init__.py": "from odd.tests import test_odd\n",
            "odd/tests/__init__.py": "",
            "odd/tests/test_odd.py": "",
        },
    )
    project = bench.project(
        ["odd"], wheels=[odd], extra='[tool.shipwheel.slim]\nverify = false\ndrop = ["tests"]\n'
    )
    done = bench.run("build", project)

    assert done.returncode == 0, done.stderr
    assert "note: odd keeps odd/tests: odd/__init__.py imports it" in done.stderr


def test_an_image_that_cannot_be_tried_is_not_built(bench: Bench) -> None:
    project = bench.project(["cow"], wheels=[COW], extra='[tool.shipwheel.slim]\ndrop = ["tests"]\n')
    out = bench.folder / "out"
    done = bench.run("build", project, "--platform", "linux/amd64", "--output", out)

    # The base has no Python to import with.
    assert done.returncode == 8, done.stderr
    assert "error[slim-not-tested]" in done.stderr
    assert "verify = false" in done.stderr
    assert done.stdout == ""
    assert not out.exists()


def sizes(bench: Bench, slim: str, where: str) -> dict[str, int]:
    """Return the bytes of every file that a wheel brought, but RECORD, which names them."""
    image = bench.image(project_of(bench, slim, where=where))
    found: dict[str, int] = {}
    for layer in image.layers:
        if layer.created_by.endswith(("cow", "dog", "horn")):
            with open_layer(layer) as stream:
                found |= {info.name: info.size for info in read_entries(stream) if info.isfile()}
    return {path: size for path, size in found.items() if not path.endswith("/RECORD")}


def test_the_command_counts_exactly_what_the_images_lack(bench: Bench) -> None:
    project = project_of(bench, 'drop = ["stubs"]\nkeep = ["cow"]')
    done = bench.run("slim", "--json", "--quiet", project)

    assert done.returncode == 0, done.stderr
    [report] = json.loads(done.stdout)
    whole = sum(sizes(bench, "", "whole").values())
    found = {item["option"]: item for item in report["options"]}
    assert [item["option"] for item in report["options"]][:3] == ["tests", "debug-symbols", "stubs"]
    for option in ("tests", "debug-symbols"):
        lacking = whole - sum(sizes(bench, f'drop = ["{option}"]', option).values())
        assert found[option]["bytes"] == lacking
    every = ", ".join(f'"{option}"' for option in found)
    assert report["all"]["bytes"] == whole - sum(sizes(bench, f"drop = [{every}]", "all").values())
    assert {(item["option"], item["drop"]) for item in report["options"] if item["drop"]} == {("stubs", True)}
    # cow's stubs are kept.
    assert [(item["name"], item["dropped"]) for item in found["stubs"]["packages"]] == [("cow", False)]


def test_the_command_says_what_to_write_and_marks_what_is_left_out(bench: Bench) -> None:
    done = bench.run("slim", "--quiet", project_of(bench, 'drop = ["tests"]\nkeep = ["dog"]'))

    lines = done.stdout.splitlines()
    assert lines[0].startswith("app for linux/")
    assert [line.split()[0] for line in lines[2:6]] == ["tests", "debug-symbols", "stubs", "all"]
    assert lines[2].startswith("tests *")
    assert "* is left out already, but of dog" in lines
    # Nothing that is worth a line is missing.
    assert "to leave them out:" not in lines


def test_the_command_has_nothing_to_say_of_a_lean_project(bench: Bench) -> None:
    lean = make_wheel("lean", "1.0", {"lean.py": ""})
    done = bench.run("slim", "--quiet", bench.project(["lean"], wheels=[lean]))

    assert "none of them holds anything that could be left out" in done.stdout


def test_inspect_and_the_component_list_say_what_was_left_out(bench: Bench) -> None:
    project = project_of(bench, 'drop = ["tests", "stubs"]\nkeep = ["dog", "horn:stubs"]')
    layout = bench.folder / "layout"
    bench.build(project, "--output", str(layout))

    lines = bench.run("inspect", layout).stdout.splitlines()
    [cow] = [line for line in lines if "  cow 1.0, " in line]
    [dog] = [line for line in lines if "  dog 1.0, " in line]
    assert ", without stubs, tests  key " in cow
    assert "without" not in dog
    layers = json.loads(bench.run("inspect", "--json", layout).stdout)["layers"]
    told = {name: text for layer in layers for name, text in layer["slim"].items()}
    assert told == {"cow": "stubs, tests", "horn": "tests"}
    done = bench.run("sbom", project)
    assert done.returncode == 0, done.stderr
    found = {item["name"]: item for item in json.loads(done.stdout)["components"]}
    assert found["cow"]["properties"] == [{"name": "shipwheel:left-out", "value": "stubs, tests"}]
    # The hash stays that of the wheel, as it is locked.
    assert [item["content"] for item in found["cow"]["hashes"]] == [COW.sha256]
    assert "properties" not in found["dog"]
    assert "properties" not in found["app"]


def test_the_check_finds_no_file_that_is_not_as_recorded(bench: Bench) -> None:
    project = project_of(bench, 'drop = ["tests", "stubs", "debug-symbols"]')
    layout = bench.folder / "layout"
    bench.build(project, "--output", str(layout))

    done = bench.run("check", layout, "--format", "json", "--fail-on", "never")
    assert done.returncode == 0, done.stderr
    passed = {item["code"] for item in json.loads(done.stdout)["passed"]}
    assert {"package-changed", "package-without-record", "tests-in-packages", "debug-symbols"} <= passed
