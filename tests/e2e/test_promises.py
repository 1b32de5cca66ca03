"""What every image of ours promises, shown by running a real one as hard as it may be run."""

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.command import copy_example, shipwheel
from shipwheel.oci.layout import read_layout
from shipwheel.oci.read import LoadedImage
from shipwheel.oci.tree import Tree, read_tree

pytestmark = [pytest.mark.network, pytest.mark.xdist_group("examples")]

LOOK = """
import json, os, ssl, sqlite3, sys, zoneinfo
def tried(path):
    try:
        open(path, "w").close()
    except OSError as error:
        return type(error).__name__
    return "written"
import cowsay, json.decoder
print(json.dumps({
    "uid": os.getuid(), "home": os.environ["HOME"], "cwd": os.getcwd(), "python": sys.executable,
    "prefix": sys.prefix, "unbuffered": sys.stdout.line_buffering or os.environ["PYTHONUNBUFFERED"],
    "written": [tried(p) for p in ("/x", "/app/x", cowsay.__file__, "/app/.venv/bin/hello", "/usr/bin/x")],
    "tmp": tried("/tmp/x"), "in_home": tried(os.environ["HOME"] + "/x"),
    "capabilities": [l.split()[1] for l in open("/proc/self/status") if l.startswith(("CapEff", "CapBnd"))],
    "interfaces": sorted(os.listdir("/sys/class/net")) if os.path.isdir("/sys/class/net") else ["lo"],
    "bytecode": [m.__spec__.loader.get_code(m.__name__) is not None and os.path.exists(m.__cached__)
                 for m in (cowsay, json.decoder)],
    "zone": str(zoneinfo.ZoneInfo("Europe/Berlin")), "certificates": len(ssl.create_default_context().get_ca_certs()),
}))
"""


@pytest.fixture(scope="module")
def hello(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("promises")
    project = copy_example("hello", folder)
    built = shipwheel("build", "--quiet", project, "--output", folder / "image")
    assert built.returncode == 0, built.stderr
    return project


@pytest.fixture(scope="module")
def tree(hello: Path) -> Tree:
    image = read_layout(hello.parent / "image")
    assert isinstance(image, LoadedImage)
    return read_tree(image.layers)


def look(project: Path, *words: str) -> dict[str, Any]:
    done = shipwheel(
        "run", "--quiet", project, "--runner", "unshare", *words, "--entrypoint", "python", "--", "-c", LOOK
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("uid", [65532, 12345])
def test_it_runs_read_only_without_capabilities_and_network_as_any_user(hello: Path, uid: int) -> None:
    seen = look(hello, "--network", "none", "--user", f"{uid}:{uid}")

    assert seen["uid"] == uid
    assert "written" not in seen["written"]
    assert set(seen["capabilities"]) == {"0" * 16}
    assert seen["interfaces"] == ["lo"]
    assert seen["home"] == "/home/nonroot"
    assert (seen["tmp"], seen["in_home"]) == ("written", "written")


def test_the_environment_is_a_virtual_one_with_bytecode_zones_and_certificates(hello: Path) -> None:
    seen = look(hello)

    assert seen["prefix"] == "/app/.venv"
    assert seen["python"] == "/app/.venv/bin/python"
    assert seen["cwd"] == "/app"
    assert seen["bytecode"] == [True, True]
    assert seen["zone"] == "Europe/Berlin"
    assert seen["certificates"] > 100


def test_no_shell_installer_compiler_or_package_manager_is_inside(tree: Tree) -> None:
    names = {path.rpartition("/")[2] for path, node in tree.walk() if node.kind != "directory"}

    for absent in ("sh", "bash", "dash", "busybox", "sudo", "su", "apt", "apt-get", "dpkg", "pip", "pip3"):
        assert absent not in names
    for absent in ("poetry", "uv", "pipx", "gcc", "cc", "ld", "make", "poetry.lock", "shipwheel.lock"):
        assert absent not in names


def test_no_file_is_setuid_or_writable_for_others_and_the_app_owns_its_home_alone(tree: Tree) -> None:
    special = [path for path, node in tree.walk() if node.kind == "file" and node.mode & 0o6000]
    writable = [
        path
        for path, node in tree.walk()
        if node.kind != "symlink" and node.mode & 0o002 and not node.mode & 0o1000
    ]

    assert special == []
    assert writable == []


def test_licences_of_debian_packages_are_inside(tree: Tree) -> None:
    documented = {
        path.split("/")[3]
        for path, _ in tree.walk()
        if path.startswith("usr/share/doc/") and "copyright" in path
    }

    assert {"libc6", "base-files"} <= documented
