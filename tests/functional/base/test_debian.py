"""The real archive: lock it, assemble it, run its interpreter, compare with ldconfig and with a scanner."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from helpers.tools import missing, require_tool
from shipwheel.base.debian.fetch import fetch_packages
from shipwheel.base.debian.lock import DebianRequest, lock_debian_base
from shipwheel.base.debian.mirrors import Mirrors, find_mirrors
from shipwheel.base.model import DebianBase
from shipwheel.cache import Cache
from shipwheel.net import Http
from shipwheel.oci.layout import write_layout
from shipwheel.oci.model import Digest, FileBlob, Image, Layer, Platform
from shipwheel.oci.unpack import unpack_layers
from shipwheel.oci.validate import validate_layer

pytestmark = pytest.mark.network
SUITES = {"bookworm": ("3.11", "glibc 2.36"), "trixie": ("3.13", "glibc 2.41")}
PEAK_MB = 200

# Run in a process of its own, so that its peak memory is that of the assembly. VmHWM (proc(5)): unlike
# getrusage's it does not count what the process was before exec, a copy of the tests' own.
ASSEMBLE = """
import json, pickle, re, sys
from pathlib import Path
from shipwheel.base.debian.assemble import assemble_debian
platform, debs, out = pickle.loads(sys.stdin.buffer.read())
layers = assemble_debian(platform, debs, Path(out))
print(json.dumps({
    "peak": int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]),
    "layers": [[str(l.descriptor.digest), l.descriptor.size, str(l.diff_id), str(l.blob.path)] for l in layers],
}))
"""

PROBE = """
import bz2, ctypes, ctypes.util, curses, datetime, decimal, json, locale, lzma, mimetypes, os, readline
import socket, sqlite3, ssl, sys, uuid, zlib, zoneinfo
print(json.dumps({
    "version": "%d.%d" % sys.version_info[:2],
    "authorities": len(ssl.create_default_context().get_ca_certs()),
    "sqlite": sqlite3.connect(":memory:").execute("select 1 + 1").fetchone()[0],
    "eastern": str(zoneinfo.ZoneInfo("US/Eastern").utcoffset(datetime.datetime(2026, 1, 1))),
    "locale": locale.setlocale(locale.LC_ALL, "C.UTF-8"),
    "libc": ctypes.util.find_library("c"),
    "libssl": ctypes.util.find_library("ssl"),
    "mime": mimetypes.guess_type("a.woff2")[0],
    "port": socket.getservbyname("https"),
    "shell": os.path.exists("/bin/sh"),
}))
"""


class Locked:
    """A suite locked on the real mirror, with the packages of both platforms fetched."""

    def __init__(self, suite: str, folder: Path, mirrors: Mirrors) -> None:
        self.cache = Cache(folder / "cache")
        request = DebianRequest(suite=suite, platforms=("linux/amd64", "linux/arm64"))
        with Http.from_environ(os.environ) as http:
            self.base: DebianBase = lock_debian_base(
                request, mirrors=mirrors, http=http, cache=self.cache, now=datetime.now(UTC)
            )
            self.debs: dict[str, Path] = {}
            for item in self.base.platforms:
                self.debs |= fetch_packages(http, self.cache, self.base, item.packages, mirrors)

    def assemble(self, number: int, out: Path) -> tuple[list[Layer], int]:
        """Return the layers of a platform and the peak memory of making them in MB."""
        import pickle

        out.mkdir(parents=True)
        result = subprocess.run(
            [sys.executable, "-c", ASSEMBLE],
            input=pickle.dumps((self.base.platforms[number], self.debs, str(out))),
            stdout=subprocess.PIPE,
            check=True,
        )
        told = json.loads(result.stdout)
        return [_layer(*item) for item in told["layers"]], told["peak"] // 1024


def _layer(digest: str, size: int, diff_id: str, path: str) -> Layer:
    from shipwheel.oci.model import LAYER_GZIP, Descriptor

    descriptor = Descriptor(media_type=LAYER_GZIP, digest=Digest.parse(digest), size=size)
    blob = FileBlob(Path(path), descriptor.digest, size)
    return Layer(descriptor=descriptor, diff_id=Digest.parse(diff_id), blob=blob)


@pytest.fixture(scope="module", params=sorted(SUITES))
def locked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Locked:
    mirrors = find_mirrors(os.environ)
    if mirrors is None:
        missing("no Debian mirror is known: set SHIPWHEEL_DEBIAN_MIRROR")
    return Locked(request.param, tmp_path_factory.mktemp(request.param), mirrors)


@pytest.fixture(scope="module")
def root(locked: Locked, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if platform.machine() != "x86_64":
        missing("the interpreter is run on x86_64 machines only")
    folder = tmp_path_factory.mktemp("root")
    layers, _ = locked.assemble(0, folder / "out")
    unpack_layers(layers, folder / "root")
    return folder / "root"


def test_both_platforms_are_locked(locked: Locked) -> None:
    python, libc = SUITES[locked.base.suite]
    assert [item.platform for item in locked.base.platforms] == ["linux/amd64", "linux/arm64"]
    for item in locked.base.platforms:
        assert item.python.startswith(f"{python}.")
        assert item.libc == libc
        assert 20 <= len(item.packages) <= 40
        assert {omission.name for omission in item.omissions} >= {"awk", "debconf", "openssl"}


@pytest.mark.parametrize("number", [0, 1], ids=["amd64", "arm64"])
def test_two_assemblies_give_the_same_bytes_in_little_memory(
    locked: Locked, number: int, tmp_path: Path
) -> None:
    one, peak = locked.assemble(number, tmp_path / "one")
    other, _ = locked.assemble(number, tmp_path / "other")
    assert [layer.descriptor for layer in one] == [layer.descriptor for layer in other]
    assert peak < PEAK_MB
    for layer in one:
        assert validate_layer(layer) == []


def test_the_interpreter_runs_from_the_unpacked_tree(root: Path, locked: Locked) -> None:
    python, _ = SUITES[locked.base.suite]
    bwrap = require_tool("bwrap")
    result = subprocess.run(
        [
            *(bwrap, "--unshare-user", "--uid", "65532", "--gid", "65532", "--clearenv"),
            *("--ro-bind", str(root), "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"),
            *(f"/usr/bin/python{python}", "-c", PROBE),
        ],
        capture_output=True,
        check=False,
        text=True,
    )
    if result.returncode and "bwrap:" in result.stderr:
        missing(f"bubblewrap cannot work here: {result.stderr.strip()}")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told.pop("authorities") > 100
    assert told.pop("libssl").startswith("libssl.so.")
    assert told == {
        "version": python,
        "sqlite": 2,
        "eastern": "-1 day, 19:00:00",
        "locale": "C.UTF-8",
        "libc": "libc.so.6",
        "mime": "font/woff2",
        "port": 443,
        "shell": False,
    }


def test_the_interpreter_runs_without_any_privilege_by_its_loader(root: Path, locked: Locked) -> None:
    python, _ = SUITES[locked.base.suite]
    libraries = root / "usr/lib/x86_64-linux-gnu"
    command = [str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries)]
    command += [str(root / f"usr/bin/python{python}"), "-I", "-c", "import ssl, sqlite3; print('runs')"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env={})
    assert (result.stdout, result.stderr) == ("runs\n", "")


def test_ld_so_cache_is_what_ldconfig_writes(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "root"
    shutil.copytree(root, copy, symlinks=True)
    ours = (root / "etc/ld.so.cache").read_bytes()
    (copy / "etc/ld.so.cache").unlink()
    command = [str(copy / "usr/sbin/ldconfig"), "-r", str(copy)]
    if os.geteuid() != 0:
        command = [require_tool("unshare"), "-r", *command]
    subprocess.run(command, check=True)
    assert (copy / "etc/ld.so.cache").read_bytes() == ours


def test_nothing_is_set_id_and_no_shell_or_package_manager_is_there(root: Path) -> None:
    for path in root.rglob("*"):
        if not path.is_symlink():
            assert not path.stat().st_mode & 0o6000
    commands = {path.name for folder in ("usr/bin", "usr/sbin") for path in (root / folder).iterdir()}
    assert not commands & {"sh", "bash", "dash", "apt", "dpkg", "perl", "pip", "pip3", "su", "mount"}


def test_no_link_leads_nowhere(root: Path) -> None:
    for path in root.rglob("*"):
        if path.is_symlink():
            target = str(path.readlink())
            place = root / target.lstrip("/") if target.startswith("/") else path.parent / target
            assert os.path.lexists(place), f"{path} -> {target}"


def test_every_package_keeps_its_copyright_file(root: Path, locked: Locked) -> None:
    for package in locked.base.platforms[0].packages:
        assert (root / "usr/share/doc" / package.name / "copyright").exists(), package.name


def test_a_scanner_sees_every_package(locked: Locked, tmp_path: Path) -> None:
    beside = Path(sys.executable).with_name("syft")  # from the development requirements
    syft = str(beside) if beside.exists() else require_tool("syft")
    layers, _ = locked.assemble(0, tmp_path / "out")
    image = Image(platform=Platform(os="linux", architecture="amd64"), layers=layers)
    write_layout(tmp_path / "layout", image)
    result = subprocess.run(
        [syft, "scan", f"oci-dir:{tmp_path / 'layout'}", "-o", "syft-json", "-q"],
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"},
    )
    artifacts = json.loads(result.stdout)["artifacts"]
    seen = {(item["name"], item["version"]) for item in artifacts if item["type"] == "deb"}
    assert seen == {(package.name, package.version) for package in locked.base.platforms[0].packages}
