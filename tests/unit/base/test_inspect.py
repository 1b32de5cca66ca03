"""What is found in base images: the interpreter, its version, the C library."""

from __future__ import annotations

import platform
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.bases import elf, files_layer, glibc, python_base
from shipwheel.base.elf import Elf, parse_elf
from shipwheel.base.inspect import Contents, inspect_image
from shipwheel.errors import TargetError
from shipwheel.oci.model import Image, Platform, RunConfig
from shipwheel.oci.read import LoadedImage


def look(image: Image) -> Contents:
    config = image.config_blob()
    loaded = LoadedImage(
        image=image,
        descriptor=image.descriptor,
        manifest=image.manifest_blob().data,
        config_descriptor=image.descriptor,
        config=config.data,
    )
    return inspect_image(loaded, place="registry.example/base:1")


def image_of(
    folder: Path, files: dict[str, bytes | str], path: str = "/usr/bin", arch: str = "amd64"
) -> Image:
    return Image(
        platform=Platform(os="linux", architecture=arch),
        layers=(files_layer(folder / "layer", files),),
        config=RunConfig(env=(("PATH", path),)),
    )


def test_the_interpreters_links_are_followed_to_the_file(tmp_path: Path) -> None:
    assert look(python_base(tmp_path)) == Contents(
        python="3.13.5", libc="glibc 2.41", executable="/usr/local/bin/python3.13"
    )


def test_the_version_is_the_codes_and_not_the_environments(tmp_path: Path) -> None:
    env = (("PATH", "/usr/local/bin"), ("PYTHON_VERSION", "3.12.1"))
    assert look(python_base(tmp_path, env=env)).python == "3.13.5"


def test_a_release_candidate_keeps_its_suffix_and_a_plus_is_dropped(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"usr/bin/python3.14": elf("3.14.0rc2+"), "usr/lib/libc.so.6": glibc()}
    assert look(image_of(tmp_path, files)).python == "3.14.0rc2"


def test_the_version_is_found_in_the_shared_library(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "usr/bin/python3.13": elf("3.2.0"),
        "usr/lib/libpython3.13.so.1.0": elf("3.13.7", "3.2.0"),
        "usr/lib/libc.so.6": glibc(),
    }
    assert look(image_of(tmp_path, files)).python == "3.13.7"


def test_the_version_is_found_at_the_end_of_a_longer_string(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "usr/bin/python3.13": elf("/opt/versions/3.13.7", "13.13.9", "3.13.8/lib"),
        "usr/lib/libc.so.6": glibc(),
    }
    assert look(image_of(tmp_path, files)).python == "3.13.7"


def test_an_interpreter_without_a_version_in_its_name_is_known_by_its_library_folder(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "opt/bin/python3": elf("3.13.7", "3.2.0"),
        "opt/lib/python3.13/os.py": b"",
        "usr/lib/libc.so.6": glibc(),
    }
    assert look(image_of(tmp_path, files, path="/opt/bin")).python == "3.13.7"


def test_the_version_is_found_in_the_header_file(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "usr/bin/python3.13": elf("no version"),
        "usr/include/python3.13/patchlevel.h": b'#define PY_VERSION      "3.13.9"\n',
        "usr/lib/libc.so.6": glibc(),
    }
    assert look(image_of(tmp_path, files)).python == "3.13.9"


def test_the_first_folder_of_path_wins(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "opt/bin/python3.12": elf("3.12.4"),
        "usr/bin/python3.13": elf("3.13.5"),
        "usr/lib/libc.so.6": glibc(),
    }
    assert look(image_of(tmp_path, files, path="/none:/opt/bin:/usr/bin")).executable == "/opt/bin/python3.12"
    assert look(image_of(tmp_path, files, path="/usr/bin:/opt/bin")).python == "3.13.5"


def test_python3_is_preferred_to_a_higher_version_beside_it(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "usr/bin/python3.12": elf("3.12.4"),
        "usr/bin/python3.13": elf("3.13.5"),
        "usr/bin/python3": "python3.12",
        "usr/lib/libc.so.6": glibc(),
    }
    assert look(image_of(tmp_path, files)).python == "3.12.4"


def test_an_upper_layer_replaces_the_interpreter(tmp_path: Path) -> None:
    base = python_base(tmp_path)
    upper = files_layer(tmp_path / "upper", {"usr/local/bin/python3.13": elf("3.13.8")})
    assert look(replace(base, layers=(*base.layers, upper))).python == "3.13.8"


def test_musl_is_read_from_its_loader(tmp_path: Path) -> None:
    loader = "/lib/ld-musl-x86_64.so.1"
    files: dict[str, bytes | str] = {
        "usr/bin/python3.12": elf("3.12.9", loader=loader),
        "lib/ld-musl-x86_64.so.1": elf("1.2.5", loader=None),
        # Alpine with the glibc look-alike beside it
        "lib64/libc.so.6": glibc(),
    }
    assert look(image_of(tmp_path, files)).libc == "musl 1.2"


def test_another_machines_library_is_passed_over(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "usr/bin/python3.13": elf("3.13.5"),
        "usr/lib/aarch64-linux-gnu/libc.so.6": glibc("2.17", architecture="arm64"),
        "usr/lib/x86_64-linux-gnu/libc.so.6": glibc("2.41"),
    }
    assert look(image_of(tmp_path, files)).libc == "glibc 2.41"


def refused(image: Image) -> TargetError:
    with pytest.raises(TargetError) as error:
        look(image)
    problem = error.value.problems[0]
    assert problem.place == "registry.example/base:1"
    assert problem.hint
    return error.value


def test_an_image_without_python_is_refused_with_a_way_out(tmp_path: Path) -> None:
    error = refused(image_of(tmp_path, {"usr/bin/true": elf()}))
    assert error.code == "base-without-python"
    assert "[tool.shipwheel.base]" in str(error)


def test_a_script_named_python3_is_refused(tmp_path: Path) -> None:
    error = refused(image_of(tmp_path, {"usr/bin/python3": b"#!/bin/sh\nexec pyenv\n"}))
    assert error.code == "base-without-python"


def test_an_image_for_another_machine_than_it_says_is_refused(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"usr/bin/python3.13": elf("3.13.5"), "usr/lib/libc.so.6": glibc()}
    error = refused(image_of(tmp_path, files, arch="arm64"))
    assert error.code == "base-mislabelled"
    assert "amd64" in str(error) and "linux/arm64" in str(error)


def test_a_version_that_cannot_be_told_is_refused(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "usr/bin/python3.13": elf("3.13.5", "3.13.6"),
        "usr/lib/libc.so.6": glibc(),
    }
    assert refused(image_of(tmp_path, files)).code == "base-python-unknown"


@pytest.mark.parametrize(
    "loader", [None, "/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1", "/ld.so"]
)
def test_an_unknown_c_library_is_refused(tmp_path: Path, loader: str | None) -> None:
    files: dict[str, bytes | str] = {"usr/bin/python3.13": elf("3.13.5", loader=loader)}
    assert refused(image_of(tmp_path, files)).code == "base-libc-unknown"


# ELF headers


def test_this_machines_interpreter_is_read() -> None:
    machines = {"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64le", "s390x": "s390x"}
    found = parse_elf(Path(sys.executable).resolve().read_bytes())
    assert found is not None
    assert found.architecture == machines[platform.machine()]
    assert found.loader is not None and "ld" in found.loader


def test_a_static_program_has_no_loader() -> None:
    assert parse_elf(elf(loader=None)) == Elf("amd64", None)


@pytest.mark.parametrize("length", [0, 3, 4, 17, 40, 63, 64, 90])
def test_a_cut_off_file_is_no_elf_file(length: int) -> None:
    assert parse_elf(elf()[:length]) is None


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh", b"\x7fELF", b"\x7fELF\x03\x01" + bytes(60)])
def test_what_is_no_elf_file_is_none(data: bytes) -> None:
    assert parse_elf(data) is None
