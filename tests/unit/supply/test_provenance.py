"""The provenance statement: its shape, its inputs, and what it must not say."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packaging.pylock import PackageArchive, PackageDirectory, PackageSdist, PackageVcs, PackageWheel
from packaging.utils import canonicalize_name
from packaging.version import Version

from shipwheel.base.model import (
    Base,
    DebianArchive,
    DebianBase,
    DebianPackage,
    DebianPlatform,
    ImageBase,
    ImagePlatform,
)
from shipwheel.lockfile import ShipwheelLock
from shipwheel.locks.model import Selected, Source
from shipwheel.oci.model import Digest
from shipwheel.plan.model import (
    BuildPlan,
    PlannedBase,
    PlannedBytecode,
    PlannedPaths,
    PlannedPython,
    PlannedSlim,
    PlannedUser,
    Words,
)
from shipwheel.supply.locked import file_hashes, image_materials
from shipwheel.supply.provenance import Invocation, make_provenance, read_invocation
from shipwheel.supply.provenance import Source as BuiltFrom
from shipwheel.supply.sbom import Subject
from shipwheel.tags.facts import Facts
from shipwheel.testing.images import LINUX_AMD64
from shipwheel.wheel.pins import BuildPin, BuildSystem

A, B, C = "a" * 64, "b" * 64, "c" * 64
NOTHING = Words(value=None, source="default")
DEBIAN = DebianBase(
    suite="trixie",
    recipe="debian/1",
    archives=(DebianArchive(name="trixie", inrelease=f"sha256:{A}", date="2026-11-22T00:00:00Z"),),
    platforms=(
        DebianPlatform(
            platform="linux/amd64",
            python="3.13.5",
            libc="glibc 2.41",
            executable="/usr/bin/python3.13",
            packages=(
                DebianPackage(
                    name="libc6",
                    version="2.41-12",
                    architecture="amd64",
                    archive="trixie",
                    path="pool/main/g/glibc/libc6_2.41-12_amd64.deb",
                    size=1,
                    sha256=B,
                ),
            ),
        ),
    ),
)


def image_base(kind: Any, reference: str) -> ImageBase:
    platform = ImagePlatform(
        platform="linux/amd64",
        digest=f"sha256:{C}",
        python="3.13.5",
        libc="glibc 2.41",
        executable="/p",
        layers=(),
    )
    return ImageBase(kind=kind, reference=reference, digest=f"sha256:{A}", platforms=(platform,))


def plan(base: PlannedBase | None = None) -> BuildPlan:
    return BuildPlan(
        project="shop",
        version="0.3.0",
        mode="wheel",
        platform="linux/amd64",
        lock="poetry.lock (poetry 2.1)",
        epoch=0,
        base=base
        or PlannedBase(kind="debian", reference="debian trixie", pin=f"sha256:{A}", source="default"),
        python=PlannedPython(
            version="3.13.5", libc="glibc 2.41", executable="/usr/bin/python3.13", source="x"
        ),
        user=PlannedUser(uid=1, gid=1, name="n", home="/h", source="x"),
        paths=PlannedPaths(workdir="/app", venv="/app/.venv", site_packages="/s", python="/p", source="x"),
        entrypoint=NOTHING,
        cmd=NOTHING,
        env=(),
        labels=(),
        ports=NOTHING,
        volumes=NOTHING,
        stop_signal=None,
        bytecode=PlannedBytecode(enabled=True, interpreter="x", reason="x"),
        layers=(),
    )


def selected(name: str, source: Source, version: str | None = "1.0") -> Selected:
    return Selected(
        name=canonicalize_name(name),
        version=None if version is None else Version(version),
        source=source,
        place="poetry.lock",
    )


def wheel(name: str, digest: str) -> Selected:
    source = PackageWheel(
        name=f"{name}-1.0-py3-none-any.whl", hashes={"sha256": digest}, url=f"https://files.example/{name}"
    )
    return selected(name, source)


def lock(base: Base = DEBIAN) -> ShipwheelLock:
    pins = (BuildPin(name="poetry-core", version="2.1", hashes=(f"sha256:{A}", f"sha256:{B}"), marker=None),)
    return ShipwheelLock(base=base, build_systems=(BuildSystem(requires=("poetry-core",), pins=pins),))


def statement(**more: Any) -> dict[str, Any]:
    materials = image_materials(plan(), [wheel("cow", A)], lock())
    subject = Subject(name="registry.example/shop", digest=Digest("sha256", C), platform=LINUX_AMD64)
    options = {"source": BuiltFrom(), "invocation": Invocation(), **more}
    found: dict[str, Any] = json.loads(make_provenance(plan(), materials, subject, **options))
    return found


def test_every_kind_of_input_is_named_by_hash() -> None:
    found = statement(source=BuiltFrom(files={"poetry.lock": C}))["predicate"]["buildDefinition"]

    inputs = {
        (item["annotations"]["for"], item["uri"]): item["digest"] for item in found["resolvedDependencies"]
    }
    assert inputs == {
        ("base", "pkg:deb/debian/libc6@2.41-12?arch=amd64"): {"sha256": B},
        ("build tool", "pkg:pypi/poetry-core@2.1"): {"sha256": B},
        ("dependency", "pkg:pypi/cow@1.0?file_name=cow-1.0-py3-none-any.whl"): {"sha256": A},
        ("lock", "file:poetry.lock"): {"sha256": C},
    }
    # A pin admits each of its files, so both are named.
    assert len(found["resolvedDependencies"]) == 5


def test_equal_builds_give_equal_bytes_whatever_the_order() -> None:
    items = [wheel("cow", A), wheel("pig", B)]

    assert image_materials(plan(), items, lock()) == image_materials(plan(), items[::-1], lock())


@pytest.mark.parametrize(
    ("source", "uri", "digest"),
    [
        (
            PackageSdist(name="cow-1.0.tar.gz", hashes={"sha256": A}),
            "pkg:pypi/cow@1.0?file_name=cow-1.0.tar.gz",
            f"sha256:{A}",
        ),
        (
            PackageArchive(url="https://me:secret@files.example/cow.zip", hashes={"sha256": A}),
            "pkg:pypi/cow@1.0?download_url=https://files.example/cow.zip",
            f"sha256:{A}",
        ),
        (
            PackageArchive(path="/home/me/cow.zip", hashes={"sha256": A}),
            "pkg:pypi/cow@1.0",
            f"sha256:{A}",
        ),
        (
            PackageVcs(type="git", url="https://git.example/cow", commit_id="f" * 40),
            f"pkg:pypi/cow@1.0?vcs_url=git%2Bhttps://git.example/cow%40{'f' * 40}",
            f"gitCommit:{'f' * 40}",
        ),
    ],
)
def test_where_a_dependency_came_from_is_said_without_paths_and_passwords(
    source: Source, uri: str, digest: str
) -> None:
    [material] = [
        item
        for item in image_materials(plan(), [selected("cow", source)], lock())
        if item.kind == "dependency"
    ]

    assert (material.uri, material.digest) == (uri, digest)


def test_a_path_dependency_is_the_projects_own_and_no_locked_input() -> None:
    own = selected("shared", PackageDirectory(path="/home/me/shared"), None)

    assert "shared" not in str(image_materials(plan(), [own], lock()))


def test_a_bases_path_on_this_machine_is_not_told() -> None:
    base = PlannedBase(kind="layout", reference="/home/me/base", pin=f"sha256:{C}", source="x")
    subject = Subject(name="registry.example/shop", digest=Digest("sha256", C), platform=LINUX_AMD64)
    materials = image_materials(plan(base), [], lock(image_base("layout", "/home/me/base")))

    text = make_provenance(
        plan(base), materials, subject, source=BuiltFrom(), invocation=Invocation()
    ).decode()

    assert "/home/me" not in text
    assert f'"sha256":"{C}"' in text


def test_what_was_left_out_of_packages_is_a_parameter() -> None:
    subject = Subject(name="registry.example/shop", digest=Digest("sha256", C), platform=LINUX_AMD64)
    slim = PlannedSlim(drop=("stubs", "tests"), keep=("cow:stubs",), verify=True, source="x")

    def parameters(plan: BuildPlan) -> dict[str, Any]:
        text = make_provenance(plan, [], subject, source=BuiltFrom(), invocation=Invocation())
        found: dict[str, Any] = json.loads(text)["predicate"]["buildDefinition"]["externalParameters"]
        return found

    assert parameters(replace(plan(), slim=slim))["slim"] == {
        "drop": ["stubs", "tests"],
        "keep": ["cow:stubs"],
    }
    assert "slim" not in parameters(plan())


def test_a_registry_base_is_named_with_its_digest() -> None:
    base = PlannedBase(kind="registry", reference="python:3.13", pin=f"sha256:{C}", source="x")

    [material] = [
        item
        for item in image_materials(plan(base), [], lock(image_base("registry", "python:3.13")))
        if item.kind == "base"
    ]

    assert material.uri == f"oci:python:3.13@sha256:{C}"


def test_hashes_of_files_are_found_by_what_is_installed() -> None:
    assert file_hashes(image_materials(plan(), [wheel("cow", A)], lock())) == {
        ("pypi", "cow", "1.0"): A,
        ("deb", "libc6", "2.41-12"): B,
    }


def test_the_source_is_its_commit_and_says_when_it_was_changed() -> None:
    facts = Facts(commit="f" * 40, source="https://git.example/shop", dirty=("M app.py",))

    [source] = [
        item
        for item in statement(source=BuiltFrom(facts=facts))["predicate"]["buildDefinition"][
            "resolvedDependencies"
        ]
        if item["name"] == "source"
    ]

    assert source["uri"] == f"git+https://git.example/shop@{'f' * 40}"
    assert source["annotations"]["dirty"] == "true"


def test_who_built_is_the_ci_systems_word_or_nobody_in_particular() -> None:
    gitlab = {
        "GITLAB_CI": "true",
        "CI_PROJECT_URL": "https://git.example/shop",
        "CI_RUNNER_ID": "3",
        "CI_JOB_URL": "https://git.example/shop/-/jobs/9",
        "CI_JOB_TOKEN": "secret",
    }

    assert read_invocation({"USER": "me", "HOSTNAME": "here"}) == Invocation()
    assert read_invocation(gitlab) == Invocation(
        builder="https://git.example/shop/-/runners/3", run="https://git.example/shop/-/jobs/9"
    )


def test_the_epoch_of_the_build_is_a_parameter_and_no_clock_is_read(tmp_path: Path) -> None:
    assert statement() == statement()
    assert statement()["predicate"]["buildDefinition"]["internalParameters"]["epoch"] == 0
    assert statement()["predicate"]["runDetails"]["metadata"] == {}
