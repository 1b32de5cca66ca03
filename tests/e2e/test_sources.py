"""Examples whose dependencies are no wheels on an index: compiled, by path, of a workspace, by bare hashes."""

import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from helpers.command import EXAMPLES, SHIPWHEEL, copy_example, shipwheel, uv
from helpers.emulator import debian_qemu
from helpers.other_python import find_python, write_base
from helpers.stand_in import python_slim
from helpers.tools import require_tool
from shipwheel.engine.platform import is_emulated
from shipwheel.oci.layout import read_layout
from shipwheel.oci.model import Platform
from shipwheel.oci.read import LoadedImage
from shipwheel.oci.tree import read_tree
from shipwheel.oci.validate import validate_layout
from shipwheel.testing.index import FakeIndex
from shipwheel.testing.wheels import make_sdist

# One worker for all: they share the root that they compile in.
pytestmark = [pytest.mark.network, pytest.mark.xdist_group("examples")]

EMULATOR = Path(__file__).parent.parent / "helpers/emulator.py"
PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "pg"
version = "1.0"
requires-python = ">=3.13,<3.14"
dependencies = ["psycopg2==2.9.10"]
[tool.setuptools]
py-modules = []
[tool.shipwheel]
entrypoint = ["python", "-c", "import psycopg2; print('libpq', psycopg2.__libpq_version__)"]
[tool.shipwheel.base]
"""


def printed(project: Path, *arguments: str) -> str:
    done = shipwheel("run", project, "--runner", "unshare", "--", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_sdist_in_c_is_compiled_for_the_image_and_leaves_no_compiler_in_it(tmp_path: Path) -> None:
    project = copy_example("c-extension", tmp_path)

    assert printed(project, "one", "two", "three") == "3 words\n"

    built = shipwheel("build", project, "--locked", "--output", tmp_path / "image")
    assert built.returncode == 0, built.stderr
    assert validate_layout(tmp_path / "image") == []
    image = read_layout(tmp_path / "image", platform=Platform.parse("linux/amd64"))
    assert isinstance(image, LoadedImage)
    paths = {path for path, _ in read_tree(image.layers).walk()}
    assert any(path.endswith("site-packages/tally.cpython-313-x86_64-linux-gnu.so") for path in paths)
    assert not {path for path in paths if path.endswith(("/gcc", "/cc", "/make", "/sh", "/perl", "Python.h"))}


@pytest.mark.engine
def test_a_base_that_is_an_image_gets_what_was_compiled_for_its_python(tmp_path: Path) -> None:
    project = copy_example("c-extension", tmp_path)
    copy = [require_tool("skopeo"), "copy", "--quiet", f"docker-archive:{python_slim('3.13')}"]
    subprocess.run([*copy, f"oci:{project / 'base'}:latest"], check=True)
    with (project / "pyproject.toml").open("a") as file:
        file.write('\n[tool.shipwheel.base]\nlayout = "base"\n')

    assert printed(project, "one", "two", "three") == "3 words\n"


@pytest.mark.conformance
def test_a_python_that_no_debian_release_has_compiles_for_itself(tmp_path: Path) -> None:
    found = find_python()
    if found is None:
        pytest.skip("no CPython 3.12 or 3.10 with its headers is on this machine; pyenv compiles one")
    write_base(tmp_path / "base", *found)
    source = EXAMPLES / "c-extension/vendor/tally-1.2.0.tar.gz"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    (tmp_path / "requirements.txt").write_text(f"tally @ {source.as_uri()} --hash=sha256:{digest}\n")
    (tmp_path / "pyproject.toml").write_text(
        "[project]\nname = 'app'\nversion = '1'\nrequires-python = '>=3.10'\ndependencies = ['tally']\n"
        "[tool.shipwheel]\nentrypoint = ['python3', '-c', 'import tally; print(tally.__file__)']\n"
        "[tool.shipwheel.base]\nlayout = 'base'\n"
    )

    assert f"tally.cpython-{found[1].replace('.', '')}-" in printed(tmp_path)


def test_a_compiled_layer_is_the_same_when_it_is_compiled_again(tmp_path: Path) -> None:
    project = copy_example("c-extension", tmp_path)
    first = shipwheel("build", project)
    again = shipwheel("build", "--no-cache", project)

    assert first.returncode == again.returncode == 0, first.stderr + again.stderr
    assert first.stdout == again.stdout


def test_for_another_processor_compiling_is_refused_and_planning_is_not(tmp_path: Path) -> None:
    if is_emulated("arm64"):
        pytest.skip("this machine has an emulator for linux/arm64, so it does compile")
    project = copy_example("c-extension", tmp_path)
    assert shipwheel("build", project).returncode == 0

    planned = shipwheel("plan", "--json", "--platform", "linux/arm64", project)
    refused = shipwheel("build", "--platform", "linux/arm64", project)

    assert json.loads(planned.stdout)[0]["platform"] == "linux/arm64"
    assert refused.returncode == 7
    message = (
        "error[sdist-only]: tally 1.2.0 has to be compiled for linux/arm64, and this machine is linux/amd64"
    )
    assert f"{message}; it has no wheel" in refused.stderr
    assert "find-links" in refused.stderr


@pytest.mark.conformance
def test_where_another_processor_is_emulated_it_is_compiled_for(tmp_path: Path) -> None:
    project = copy_example("c-extension", tmp_path)
    command: list[str | Path] = [sys.executable, EMULATOR, debian_qemu(tmp_path), SHIPWHEEL, "run", project]
    words = ["--platform", "linux/arm64", "--runner", "unshare", "--", "one", "two"]

    done = subprocess.run([*command, *words], check=False, capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "2 words\n"), done.stderr
    assert "runs in this machine's emulator" in done.stderr
    assert not is_emulated("arm64"), "the emulator was for that command alone"


def test_what_compiling_misses_is_named_until_it_is_there(tmp_path: Path) -> None:
    words = ("pip", "compile", "-q", "--generate-hashes", "--no-header", "--no-annotate", "-")
    (tmp_path / "requirements.txt").write_text(uv(*words, text="psycopg2==2.9.10"))

    def build(settings: str) -> str:
        (tmp_path / "pyproject.toml").write_text(PYPROJECT + settings)
        return shipwheel("build", tmp_path).stderr

    headers = 'build-packages = ["libpq-dev"]\n'
    assert 'build-packages = ["libpq-dev"]' in build("")
    assert "error[missing-library]" in (said := build(headers))
    assert 'packages = ["libpq5"]' in said
    assert "error" not in build(f'{headers}packages = ["libpq5"]\n')
    assert printed(tmp_path).startswith("libpq 17")


# Back-ends without requirements: what packs files into a wheel, and two uses of it.
PACK = """\
import base64, hashlib, subprocess, sysconfig, zipfile

def pack(folder, name, tag, path):
    info, rows = f"{name}-1.0.dist-info", ""
    files = {
        path: open(path, "rb").read(),
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\\nTag: {tag}\\n".encode(),
    }
    with zipfile.ZipFile(f"{folder}/{name}-1.0-{tag}.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            rows += f"{path},sha256={digest},{len(content)}\\n"
        archive.writestr(f"{info}/RECORD", f"{rows}{info}/RECORD,,\\n")
    return f"{name}-1.0-{tag}.whl"
"""
PACKS = (
    PACK
    + """
def build_wheel(folder, config_settings=None, metadata_directory=None):
    return pack(folder, "oldback", "py3-none-any", "oldback.py")
"""
)
COMPILES = (
    PACK
    + """
def build_wheel(folder, config_settings=None, metadata_directory=None):
    NAMED
    include = sysconfig.get_path("include")
    subprocess.run(["cc", "-shared", "-fPIC", f"-I{include}", "-o", f"{name}.so", f"{name}.c"], check=True)
    return pack(folder, name, "cp313-cp313-linux_x86_64", f"{name}.so")
"""
)
MODULE = """\
#define PY_SSIZE_T_CLEAN
#include <Python.h>
static PyObject *name(PyObject *self, PyObject *key) {{
    if (strcmp(PyUnicode_AsUTF8(key), "NAME") == 0) return PyBytes_FromString("fast");
    PyErr_SetObject(PyExc_AttributeError, key);
    return NULL;
}}
static PyMethodDef methods[] = {{{{"__getattr__", name, METH_O, ""}}, {{NULL}}}};
static struct PyModuleDef module = {{PyModuleDef_HEAD_INIT, "{0}", "", -1, methods}};
PyMODINIT_FUNC PyInit_{0}(void) {{ return PyModule_Create(&module); }}
"""


def build_system(back_end: str, *requires: str) -> str:
    return (
        f"[build-system]\nrequires = {list(requires)}\nbuild-backend = '{back_end}'\nbackend-path = ['.']\n"
    )


def test_what_compiling_needs_and_has_no_wheel_is_compiled_first(tmp_path: Path) -> None:
    own = {"pyproject.toml": build_system("in_tree")}
    plug = {
        "in_tree.py": COMPILES.replace("NAMED", 'name = "oldplug"'),
        "oldplug.c": MODULE.format("oldplug"),
    }
    back = {
        "in_tree.py": PACKS,
        "oldback.py": COMPILES.replace("NAMED", "import oldplug; name = oldplug.NAME.decode()"),
    }
    last = {"pyproject.toml": build_system("oldback", "oldback", "oldplug"), "fast.c": MODULE.format("fast")}
    with FakeIndex() as index:
        index.add(make_sdist("oldplug", "1.0", {**own, **plug}))
        index.add(make_sdist("oldback", "1.0", {**own, **back}))
        fast = index.add(make_sdist("fast", "1.0", last))
        (tmp_path / "requirements.txt").write_text(f"fast==1.0 --hash=sha256:{fast.sha256}\n")
        (tmp_path / "pyproject.toml").write_text(
            "[project]\nname = 'app'\nversion = '1'\nrequires-python = '>=3.13,<3.14'\ndependencies = ['fast']\n"
            "[tool.shipwheel]\nentrypoint = ['python', '-c', 'import fast; print(fast.NAME)']\n"
        )
        environ = {"UV_DEFAULT_INDEX": index.url, "PIP_CONFIG_FILE": "/dev/null"}

        done = shipwheel("run", tmp_path, "--runner", "unshare", environ=environ)

        assert (done.returncode, done.stdout) == (0, "b'fast'\n"), done.stderr
        locked = tomllib.loads((tmp_path / "shipwheel.lock").read_text())
        assert {item["name"]: item["native"] for item in locked["sources"]} == {
            "fast": True,
            "oldback": False,
            "oldplug": True,
        }
        index.requests.clear()
        again = shipwheel("build", "--locked", tmp_path, environ=environ)
        assert (again.returncode, index.requests) == (0, []), again.stderr


def test_a_service_brings_the_library_beside_it(tmp_path: Path) -> None:
    copy_example("monorepo", tmp_path)

    assert printed(tmp_path / "monorepo/services/greeter", "Ada") == "Hello Ada, you have 3 letters.\n"


def test_bare_hashes_are_enough(tmp_path: Path) -> None:
    printed(copy_example("pip-tools", tmp_path), "--check-config")


def test_a_workspace_member_is_built_from_its_folder_and_from_the_root(tmp_path: Path) -> None:
    project = copy_example("uv-workspace", tmp_path)
    uv("lock", "--quiet", "--project", project)

    assert printed(project / "packages/api") == '{"name":"world"}\n'
    done = shipwheel("run", project, "--package", "api", "--runner", "unshare", "--", "Bob")
    assert done.stdout == '{"name":"Bob"}\n', done.stderr
