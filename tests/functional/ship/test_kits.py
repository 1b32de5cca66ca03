"""What builds the project travels beside its image: a machine with an empty cache asks no index for it."""

from __future__ import annotations

import io
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from functional.pipeline.conftest import tree
from functional.pipeline.test_sources import commit_all, hashed, sdist
from helpers.servers import Received, Reply, fault_proxy
from shipwheel.assemble.kits import KIT_TYPE
from shipwheel.oci.model import MANIFEST, Blob, BytesBlob, Descriptor
from shipwheel.oci.registry import Repository, list_tags
from shipwheel.oci.registry.push import push_blobs, put_manifest
from shipwheel.oci.registry.referrers import artifact_manifest
from shipwheel.testing.wheels import MadeWheel, make_wheel

from .conftest import COW, Yard, edit

# A back-end as an index has it, which itself needs another package.
HELPER = make_wheel("packing-helper", "1.0", {"packing_helper.py": "SUFFIX = 'py3-none-any'\n"})
BACK_END = make_wheel(
    "packing",
    "2.0",
    {
        "packing.py": """
import base64, hashlib, pathlib, tomllib, zipfile
from packing_helper import SUFFIX

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    table = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
    name, version = table["name"].replace("-", "_"), table["version"]
    info = f"{name}-{version}.dist-info"
    files = {str(p): p.read_bytes() for p in sorted(pathlib.Path(name).glob("*.py"))}
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\\nName: {table['name']}\\nVersion: {version}\\n".encode()
    files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: {SUFFIX}\\n".encode()
    scripts = "".join(f"{key} = {value}\\n" for key, value in table.get("scripts", {}).items())
    files[f"{info}/entry_points.txt"] = f"[console_scripts]\\n{scripts}".encode()
    def line(path, content):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        return f"{path},sha256={digest},{len(content)}\\n"
    record = "".join(line(*item) for item in files.items()) + f"{info}/RECORD,,\\n"
    files[f"{info}/RECORD"] = record.encode()
    target = f"{name}-{version}-{SUFFIX}.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory, target), "w") as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 2, 2, 0, 0, 0)), content)
    return target
"""
    },
    requires=["packing-helper"],
)
SYSTEM = '[build-system]\nrequires = ["packing"]\nbuild-backend = "packing"\n'


def packed_project(yard: Yard, dependencies: list[str], wheels: list[MadeWheel], **more: Any) -> Path:
    """Write a project whose back-end is in the index."""
    for tool in (HELPER, BACK_END):
        yard.bench.index.add(tool)
    project = yard.bench.project(dependencies, wheels=wheels, **more)
    use_back_end(project)
    return project


def use_back_end(folder: Path) -> None:
    path = folder / "pyproject.toml"
    own = '[build-system]\nrequires = []\nbuild-backend = "_back_end"\nbackend-path = ["."]\n'
    text = path.read_text()
    assert own in text
    path.write_text(text.replace(own, SYSTEM))
    (folder / "_back_end.py").unlink()


def kit_tags(yard: Yard) -> list[str]:
    return [tag for tag in yard.tags() if tag.startswith("shipwheel-kit-")]


def test_after_a_code_edit_an_empty_machine_asks_no_index_for_what_builds_the_project(yard: Yard) -> None:
    project = packed_project(yard, ["cow"], [COW])
    yard.push(project)
    edit(project)
    yard.bench.index.requests.clear()

    answer = yard.push(project, environ=yard.machine())

    assert yard.bench.index.requests == []
    assert yard.origins(answer)["app"] == "made"
    [kit] = kit_tags(yard)
    assert answer["tools"] == [
        {"tools": ["packing 2.0", "packing-helper 1.0"], "origin": "image", "where": f"{yard.name}:{kit}"}
    ]
    assert yard.bench.build(project, "--no-cache")["digest"] == answer["digest"]


def test_path_dependencies_sdists_and_commits_need_no_index_either(yard: Yard) -> None:
    bench = yard.bench
    for tool in (HELPER, BACK_END, COW):
        bench.index.add(tool)
    source = sdist(bench.folder, "dep")
    bench.index.add(source)
    repository = tree(bench.folder / "repository", "kit")
    use_back_end(repository)
    commit = commit_all(repository)
    lines = (
        f"cow==1.0 --hash=sha256:{COW.sha256}\ndep==1.0 --hash=sha256:{source.sha256}\n"
        f"kit @ git+{repository.as_uri()}@{commit}\n./core\n"
    )
    project = hashed(bench, lines)
    use_back_end(project)
    use_back_end(tree(project / "core", "core"))
    yard.push(project)
    edit(project)
    (project / "core/core/__init__.py").write_text("VALUE = 2\n")
    bench.index.requests.clear()
    repository.rename(bench.folder / "gone")

    answer = yard.push(project, environ=yard.machine())

    assert bench.index.requests == []
    origins = yard.origins(answer)
    assert {name for name, origin in origins.items() if origin == "made"} == {"first-party", "app"}
    assert {origins[name] for name in ("cow", "dep", "kit")} == {"image"}


def test_where_no_lock_pins_the_tools_the_index_says_which_and_the_image_has_the_files(yard: Yard) -> None:
    project = packed_project(yard, ["cow"], [COW])
    first = yard.push(project)
    lock = project / "shipwheel.lock"
    text = lock.read_text()
    assert "[[build-systems]]" in text
    # Its sizes go with it: they are asked for again, and no file.
    lock.write_text(text.partition("[[build-systems]]")[0])
    assert "build-systems" not in tomllib.loads(lock.read_text())
    yard.bench.index.requests.clear()

    answer = yard.push(project, environ=yard.machine())

    assert answer["digest"] == first["digest"]
    assert yard.bench.index.paths("*/packing/*") != []
    assert yard.bench.index.paths("*cow*.whl") == []
    assert lock.read_text() == text


def test_a_kit_is_left_once_and_beside_every_image(yard: Yard) -> None:
    project = packed_project(yard, ["cow"], [COW])
    yard.push(project, f"--tag={yard.name}/other:1")
    edit(project)
    yard.push(project, f"--tag={yard.name}/other:1")
    yard.push(project, tag="2.0.0", environ=yard.machine())

    assert len(kit_tags(yard)) == 1
    other = Repository(registry=yard.registry, name=f"{yard.repository}/other")
    assert kit_tags(yard) == [tag for tag in list_tags(yard.client, other) if tag != "1"]


def test_what_is_under_a_kits_name_and_fits_no_pin_is_not_used(yard: Yard) -> None:
    project = packed_project(yard, ["cow"], [COW])
    yard.push(project)
    [tag] = kit_tags(yard)
    stranger = make_wheel("packing", "2.0", {"packing.py": "raise SystemExit('owned')\n"})
    put_kit(yard, tag, {stranger.filename: stranger.data, HELPER.filename: HELPER.data})
    edit(project)
    yard.bench.index.requests.clear()

    answer = yard.push(project, environ=yard.machine())

    assert [story["origin"] for story in answer["tools"]] == ["index"]
    fetched = {path.rpartition("/")[2] for path in yard.bench.index.paths("*.whl")}
    assert fetched == {HELPER.filename, BACK_END.filename}
    # The push left a good one in its place.
    edit(project)
    again = yard.push(project, environ=yard.machine())
    assert [story["origin"] for story in again["tools"]] == ["image"]


@pytest.mark.parametrize(
    "name", ["../../packing-2.0-py3-none-any.whl", "packing-2.0-1/../../x-py3-none-any.whl"]
)
def test_a_kits_file_names_lead_nowhere_else(yard: Yard, name: str) -> None:
    project = packed_project(yard, ["cow"], [COW])
    yard.push(project)
    [tag] = kit_tags(yard)
    put_kit(yard, tag, {name: BACK_END.data, HELPER.filename: HELPER.data})
    edit(project)

    answer = yard.push(project, environ=yard.machine())

    assert [story["origin"] for story in answer["tools"]] == ["index"]


def test_a_kit_whose_files_are_gone_is_had_from_the_index_and_whole_again(yard: Yard) -> None:
    project = packed_project(yard, ["cow"], [COW])
    yard.push(project)
    repository = Repository(registry=yard.registry, name=yard.repository)
    assert yard.client.call("DELETE", repository, f"blobs/sha256:{BACK_END.sha256}").status == 202

    def tools() -> str:
        edit(project)
        tag = f"--tag={yard.name}:1.0.0"
        done = yard.bench.run("push", project, "--explain", tag, environ=yard.machine())
        assert done.returncode == 0, done.stderr
        [line] = [line for line in done.stderr.splitlines() if "build tools" in line]
        return line

    assert tools().endswith(": from the package index")
    assert tools().endswith(f": reused from {yard.name}:{kit_tags(yard)[0]}")


def test_a_registry_that_takes_no_kit_takes_the_image(yard: Yard) -> None:
    project = packed_project(yard, ["cow"], [COW])

    def rule(request: Received) -> Reply | None:
        refused = request.method == "PUT" and "/manifests/shipwheel-kit-" in request.path
        body = b'{"errors": [{"code": "DENIED", "message": "tags are v1, v2, ..."}]}'
        return Reply(status=403, body=body) if refused else None

    with fault_proxy(yard.registry, rule) as proxy:
        name = f"{proxy.address}/{yard.repository}:1.0.0"
        done = yard.bench.run("push", project, f"--tag={name}")

    assert done.returncode == 0, done.stderr
    assert f"note: {proxy.address}/{yard.repository} does not keep what builds the project: " in done.stderr
    assert yard.tags() == ("1.0.0",)


def test_explain_says_where_the_build_tools_came_from(yard: Yard) -> None:
    project = packed_project(yard, ["cow"], [COW])
    tag = f"--tag={yard.name}:1.0.0"

    def told(**machine: str) -> str:
        done = yard.bench.run("push", project, tag, "--explain", environ=machine)
        [line] = [line for line in done.stderr.splitlines() if "build tools" in line]
        return line

    what = "build tools (packing 2.0, packing-helper 1.0)"
    assert told() == f"{what}: from the package index"
    edit(project)
    assert told() == f"{what}: reused from this machine's cache"
    edit(project)
    assert told(**yard.machine()) == f"{what}: reused from {yard.name}:{kit_tags(yard)[0]}"


def test_cache_from_none_asks_for_no_kit(yard: Yard) -> None:
    project = packed_project(yard, ["cow"], [COW])
    yard.push(project)
    edit(project)

    answer = yard.push(project, "--cache-from=none", environ=yard.machine())

    assert [story["origin"] for story in answer["tools"]] == ["index"]


def put_kit(yard: Yard, tag: str, files: dict[str, bytes]) -> None:
    """Put an artifact of `files` where a kit is."""
    blobs: list[tuple[Descriptor, Blob]] = []
    for name, content in files.items():
        blob = BytesBlob(content)
        title = {"org.opencontainers.image.title": name}
        descriptor = Descriptor(
            media_type="application/zip", digest=blob.digest, size=blob.size, annotations=title
        )
        blobs.append((descriptor, blob))
    manifest = artifact_manifest(None, KIT_TYPE, blobs)
    repository = Repository(registry=yard.registry, name=yard.repository)
    push_blobs(yard.client, blobs, repository)
    described = Descriptor(media_type=MANIFEST, digest=manifest.digest, size=manifest.size)
    put_manifest(yard.client, repository, described, manifest, tag)


def test_what_is_used_a_second_time_is_compiled_and_the_wheel_stays_the_same(yard: Yard) -> None:
    project = packed_project(yard, ["cow"], [COW])
    folders = yard.bench.folder / "cache/v1/folders"

    def compiled() -> list[Path]:
        return sorted(folders.glob("*/*/lib/python3*/site-packages/__pycache__/packing*.pyc"))

    first = yard.bench.build(project)
    assert compiled() == []
    edit(project)
    yard.bench.build(project)
    assert len(compiled()) == 2
    source = project / "app" / "__init__.py"
    source.write_text(source.read_text().removesuffix("# edited\n"))
    assert yard.bench.build(project, "--no-cache")["digest"] == first["digest"]


def test_a_tool_that_is_no_wheel_is_built_by_uv_and_comes_from_the_index_each_time(yard: Yard) -> None:
    bench = yard.bench
    bench.index.add(HELPER)
    module = zipfile.ZipFile(io.BytesIO(BACK_END.data)).read("packing.py").decode()
    bench.index.add(sdist(bench.folder, "packing", "2.0", **{"packing/__init__.py": module}))
    project = bench.project(["cow"], wheels=[COW])
    use_back_end(project)
    pyproject = project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('["packing"]', '["packing", "packing-helper"]'))
    yard.push(project)
    edit(project)

    answer = yard.push(project, environ=yard.machine())

    assert kit_tags(yard) == []
    [story] = answer["tools"]
    assert (story["origin"], story["tools"]) == ("index", ["packing 2.0", "packing-helper 1.0"])
    assert yard.origins(answer) == {"base 1": "base", "skeleton": "image", "cow": "image", "app": "made"}
