"""Images for several platforms, and none with a program for another machine in any layer."""

from __future__ import annotations

import json
import random
import struct
import subprocess

import pytest

from helpers.tools import require_tool
from shipwheel.oci.read import LoadedIndex
from shipwheel.oci.reference import Reference
from shipwheel.oci.registry import pull_image
from shipwheel.oci.tree import find_files
from shipwheel.testing.wheels import MadeWheel, make_wheel

from .conftest import COW, Yard

BOTH = ("--platform", "linux/amd64,linux/arm64")
TAGS = {"amd64": "cp313-cp313-manylinux_2_17_x86_64", "arm64": "cp313-cp313-manylinux_2_17_aarch64"}
MACHINES = {"amd64": 62, "arm64": 183, "386": 3, "bpf": 247, "cuda": 190}


def elf(machine: str, *, size: int = 9000) -> bytes:
    """Return a library's first bytes and then ones that do not compress: large files are copied as they are."""
    bits, order = (1, "<") if machine == "386" else (2, "<")
    head = b"\x7fELF" + bytes([bits, 1, 1]) + bytes(9) + struct.pack(f"{order}HH", 3, MACHINES[machine])
    return head + random.Random(machine).randbytes(size)


def library(
    name: str, machine: str, *, said: str | None = None, version: str = "1.0", size: int = 9000
) -> MadeWheel:
    """Return a wheel with a library for `machine` that `said` to be for another."""
    tag = TAGS[said or machine]
    return make_wheel(name, version, {f"{name}/fast.so": elf(machine, size=size)}, tag=tag)


def test_an_index_is_pushed_and_each_platform_has_its_own_files(yard: Yard) -> None:
    project = yard.bench.project(["fast"], wheels=[library("fast", "amd64"), library("fast", "arm64")])

    answer = yard.push(project, *BOTH)

    pulled = pull_image(yard.client, Reference.parse(f"{yard.name}:1.0.0"))
    assert isinstance(pulled, LoadedIndex)
    assert str(pulled.digest) == answer["digest"]
    path = "app/.venv/lib/python3.13/site-packages/fast/fast.so"
    for architecture in ("amd64", "arm64"):
        image = yard.image(platform=f"linux/{architecture}")
        assert find_files(image.layers, [path])[path] == elf(architecture)


def test_skopeo_copies_every_platform(yard: Yard, tmp_path: object) -> None:
    project = yard.bench.project(["fast"], wheels=[library("fast", "amd64"), library("fast", "arm64")])
    yard.push(project, *BOTH)

    source, copy = f"docker://{yard.name}:1.0.0", f"dir:{tmp_path}/copy"
    subprocess.run(
        [require_tool("skopeo"), "copy", "--all", "--src-tls-verify=false", source, copy], check=True
    )


def test_layers_without_programs_are_shared_by_the_platforms(yard: Yard) -> None:
    answer = yard.push(yard.bench.project(["cow"], wheels=[COW]), *BOTH)

    first, second = (
        {layer["name"]: layer["digest"] for layer in platform["layers"]} for platform in answer["platforms"]
    )
    assert first["cow"] == second["cow"]
    assert first["base 1"] != second["base 1"]
    # 2 bases and skeletons, cow, app, 2 configs
    assert answer["pushed"][0]["sent"] == len({*first.values(), *second.values()}) + 2


def test_a_wheel_that_is_not_there_for_a_platform_is_refused_by_name_and_nothing_is_pushed(
    yard: Yard,
) -> None:
    project = yard.bench.project(["fast"], wheels=[library("fast", "amd64")])

    message = yard.bench.fails(
        *("push", project, "--tag", f"{yard.name}:1", *BOTH), code="no-wheel-for-target", exit_code=7
    )

    assert "fast" in message
    assert "arm64" in message
    assert yard.tags() == ()


def test_a_base_that_is_not_there_for_a_platform_is_refused(yard: Yard) -> None:
    message = yard.bench.fails(
        *("push", yard.bench.project(), "--tag", f"{yard.name}:1", "--platform", "linux/amd64,linux/s390x"),
        code="platform-not-in-base",
        exit_code=7,
    )

    assert "linux/s390x" in message
    assert yard.tags() == ()


# Large files are copied as they are compressed, small ones are packed with their neighbours.
@pytest.mark.parametrize("size", [100, 9000, 300_000])
def test_a_wheel_that_lies_about_its_machine_is_refused_with_file_and_both_machines(
    yard: Yard, size: int
) -> None:
    project = yard.bench.project(["fast"], wheels=[library("fast", "arm64", said="amd64", size=size)])

    for _ in range(2):  # the second time the layer is in the cache
        message = yard.bench.fails(
            *("push", project, "--tag", f"{yard.name}:1", "--platform", "linux/amd64"),
            code="foreign-binary",
            exit_code=7,
        )
        assert "fast brings a program for arm64 into an image for amd64" in message
        assert "app/.venv/lib/python3.13/site-packages/fast/fast.so" in message
    assert yard.tags() == ()


def test_a_pure_wheel_with_a_program_fits_its_machine_alone(yard: Yard) -> None:
    wheel = make_wheel("driver", "1.0", {"driver/manager": elf("amd64")})
    project = yard.bench.project(["driver"], wheels=[wheel])
    yard.push(project, "--platform", "linux/amd64")

    # The layer is the same for both, so it is reused from the registry before it is refused.
    message = yard.bench.fails(
        *("build", project, "--platform", "linux/arm64", "--cache-from", f"{yard.name}:1.0.0"),
        code="foreign-binary",
        exit_code=7,
        environ=yard.machine(),
    )

    assert "driver brings a program for amd64 into an image for arm64" in message


def test_a_package_with_a_program_for_each_machine_fits_both(yard: Yard) -> None:
    files = {"driver/linux/manager": elf("amd64"), "driver/linux-arm64/manager": elf("arm64")}
    project = yard.bench.project(["driver"], wheels=[make_wheel("driver", "1.0", files)])

    yard.push(project, *BOTH)


def test_in_a_shared_layer_the_wheel_with_the_program_is_named(yard: Yard) -> None:
    wheels = [COW, library("fast", "arm64", said="amd64"), make_wheel("hen", "1.0")]
    project = yard.bench.project(
        ["cow", "fast", "hen"], wheels=wheels, settings="layers = { alone = 0, buckets = 1 }\n"
    )

    message = yard.bench.fails("build", project, code="foreign-binary", exit_code=7)

    assert message.count("error[foreign-binary]") == 1
    assert "fast: app/.venv" in message


def test_what_is_let_through_by_name_is_in_the_image(yard: Yard) -> None:
    wheel = make_wheel("De.Bug", "1.0", {"debug/attach_x86.so": elf("386"), "debug/a.so": elf("amd64")})
    project = yard.bench.project(["De.Bug"], wheels=[wheel], settings='foreign-binaries = ["de-bug"]\n')

    yard.push(project)

    assert any("attach_x86.so" in path for path in paths(yard))


def paths(yard: Yard) -> list[str]:
    from functional.pipeline.conftest import files_of

    return list(files_of(yard.image()))


def test_code_for_the_kernel_or_a_graphics_card_fits_every_machine(yard: Yard) -> None:
    files = {"probe/filter.o": elf("bpf"), "probe/kernel.cubin": elf("cuda")}
    project = yard.bench.project(["probe"], wheels=[make_wheel("probe", "1.0", files)])

    yard.push(project, *BOTH)


def test_a_program_among_the_projects_own_files_is_checked_too(yard: Yard) -> None:
    project = yard.bench.project(
        package_mode=False, style="poetry", settings='entrypoint = ["python", "-m", "app"]\n'
    )
    (project / "tool").write_bytes(elf("arm64"))

    message = yard.bench.fails("build", project, code="foreign-binary", exit_code=7)

    assert "app brings a program for arm64" in message
    assert "app/tool" in message


def test_the_manifest_tells_which_machines_a_layers_programs_are_for(yard: Yard) -> None:
    yard.push(yard.bench.project(["cow", "fast"], wheels=[COW, library("fast", "amd64")]))

    layers = json.loads(yard.image().manifest)["layers"]
    told = [layer.get("annotations", {}).get("io.shipwheel.layer.machines") for layer in layers]
    assert told == [None, None, "amd64", None, None] or told == [None, None, None, "amd64", None]
