"""What is locked and no wheel becomes one: sdists, archives, commits, folders, and names for bare hashes."""

import os
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from helpers.tiny_base import SETTINGS, add_base
from helpers.tools import require_tool
from shipwheel.testing.projects import poetry_project
from shipwheel.testing.wheels import MadeWheel, make_sdist, make_wheel

from .conftest import Bench, content_of, files_of, tree

COW = make_wheel("cow", "1.0")
SITE = "app/.venv/lib/python3.13/site-packages"


def sdist(folder: Path, name: str, version: str = "1.0", **changed: str) -> MadeWheel:
    """Return an sdist of such a project; `changed` files replace its own, `/` in names written `__`."""
    root = tree(folder / f"source of {name}", name, version)
    files = {
        path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*") if path.is_file()
    }
    return make_sdist(name, version, {**files, **changed})


def hashed(
    bench: Bench, lines: str, *, where: str = "project", files: Mapping[str, str] | None = None
) -> Path:
    """Write a project that is locked by requirements.txt with `lines`."""
    root = poetry_project(bench.folder / where, extra=SETTINGS, lock=False, files=files)
    (root / "requirements.txt").write_text(lines)
    add_base(root)
    return root


def commit_all(repository: Path, message: str = "one") -> str:
    """Commit everything in the folder and return the commit."""
    git = require_tool("git")
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@mail.example", "-c", "init.defaultBranch=main"]
    for words in (
        ["init", "--quiet"],
        ["add", "--all"],
        [*identity, "commit", "--quiet", "-m", message],
    ):
        subprocess.run([git, *identity, *words], cwd=repository, env=environ, check=True, capture_output=True)
    done = subprocess.run(
        [git, "rev-parse", "HEAD"], cwd=repository, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_an_sdist_is_built_once_and_lies_in_a_layer_like_any_wheel(bench: Bench) -> None:
    project = bench.project(["dep"], wheels=[sdist(bench.folder, "dep")])

    image = bench.image(project)

    assert content_of(image, f"{SITE}/dep/__init__.py") == b"VALUE = 1\n"
    assert f"{SITE}/dep-1.0.dist-info/direct_url.json" not in files_of(image)
    [source] = tomllib.loads((project / "shipwheel.lock").read_text())["sources"]
    assert (source["name"], source["native"]) == ("dep", False)
    bench.index.requests.clear()
    assert str(image.digest) in bench.build(project, "--locked")["reference"]
    assert bench.index.requests == []


def test_a_source_in_python_alone_is_built_for_every_platform_on_this_one(bench: Bench) -> None:
    project = bench.project(["dep"], wheels=[sdist(bench.folder, "dep")])
    layers = {
        platform: {
            layer["name"]: layer["digest"]
            for layer in bench.build(project, "--platform", platform)["platforms"][0]["layers"]
        }
        for platform in ("linux/amd64", "linux/arm64")
    }

    assert layers["linux/arm64"]["dep"] == layers["linux/amd64"]["dep"]


def test_a_built_layer_is_the_same_wherever_it_is_built(bench: Bench) -> None:
    made = sdist(bench.folder, "dep")
    one = bench.build(bench.project(["dep"], wheels=[made]))

    two = bench.build(
        bench.project(["dep"], wheels=[made], where="elsewhere/deeper"),
        environ={
            "SHIPWHEEL_CACHE_DIR": str(bench.folder / "other"),
            "TZ": "Asia/Tokyo",
            "TMPDIR": str(bench.folder),
        },
    )

    assert one["digest"] == two["digest"]


def test_an_sdist_with_another_hash_is_refused_before_anything_of_it_runs(bench: Bench) -> None:
    made = sdist(bench.folder, "dep")
    project = bench.project(["dep"], wheels=[made])
    text = (project / "poetry.lock").read_text()
    (project / "poetry.lock").write_text(text.replace(made.sha256, "0" * 64))

    bench.fails("build", project, code="hash-mismatch", exit_code=6)


def test_a_build_that_fails_names_the_package_and_says_what_its_back_end_said(bench: Bench) -> None:
    broken = sdist(bench.folder, "dep", **{"_back_end.py": "raise SystemExit('out of cheese')\n"})
    project = bench.project(["dep"], wheels=[broken])

    message = bench.fails("build", project, code="build-failed", exit_code=9)

    assert "dep 1.0" in message
    assert "out of cheese" in message
    assert "poetry.lock [package.dep]" in message


def test_a_source_that_becomes_another_version_is_refused(bench: Bench) -> None:
    other = sdist(bench.folder, "dep", "2.0")
    renamed = MadeWheel(
        name="dep",
        version="1.0",
        filename="dep-1.0.tar.gz",
        data=other.data,
        metadata=sdist(bench.folder, "dep").metadata,
    )

    message = bench.fails("build", bench.project(["dep"], wheels=[renamed]), code="wrong-wheel", exit_code=9)

    assert "dep-2.0-py3-none-any.whl" in message


@pytest.mark.parametrize(
    ("python", "libc", "why"),
    [
        ("3.12.1", "glibc 2.41", "the base has Python 3.12"),
        ("3.13.5", "musl 1.2", "the base's C library is musl 1.2"),
    ],
)
def test_what_compiles_is_refused_on_a_base_that_nothing_compiles_for(
    bench: Bench, python: str, libc: str, why: str
) -> None:
    native = sdist(bench.folder, "fast", **{"fast/core.c": "int main;\n"})
    project = bench.project(["fast"], wheels=[native])
    add_base(project, python=python, libc=libc)

    message = bench.fails("build", project, code="sdist-only", exit_code=7)

    assert "fast 1.0 has code to compile" in message
    assert why in message
    assert "poetry.lock [package.fast]" in message


def test_a_member_that_compiles_is_refused_there_too(bench: Bench) -> None:
    project = bench.project()
    add_base(project, libc="musl 1.2")
    (project / "setup.py").write_text("setup(ext_modules=[Extension('app.fast', ['fast.c'])])\n")

    assert "app has code to compile" in bench.fails("build", project, code="sdist-only", exit_code=7)


def test_locked_refuses_to_find_out_what_builds_an_sdist(bench: Bench) -> None:
    project = bench.project(["dep"], wheels=[sdist(bench.folder, "dep")])

    message = bench.fails("build", "--locked", project, code="stale-shipwheel-lock", exit_code=4)

    assert "dep" in message
    assert "shipwheel lock" in message


def test_bare_hashes_get_their_files_names_from_the_index_once(bench: Bench) -> None:
    windows = make_wheel("fast", "1.0", tag="cp313-cp313-win_amd64")
    linux = make_wheel("fast", "1.0", tag="cp313-cp313-manylinux_2_17_x86_64")
    for wheel in (COW, windows, linux):
        bench.index.add(wheel)
    project = hashed(
        bench,
        f"cow==1.0 --hash=sha256:{COW.sha256}\n"
        f"fast==1.0 --hash=sha256:{windows.sha256} --hash=sha256:{linux.sha256}\n",
    )

    bench.build(project)

    locked = (project / "shipwheel.lock").read_text()
    assert tomllib.loads(locked)["files"] == {
        f"sha256:{COW.sha256}": COW.filename,
        f"sha256:{linux.sha256}": linux.filename,
    }
    bench.index.requests.clear()
    assert linux.filename in bench.run("plan", "--json", project).stdout
    assert (project / "shipwheel.lock").read_text() == locked
    assert bench.index.requests == []


def test_hashes_of_which_the_index_has_none_are_refused(bench: Bench) -> None:
    bench.index.add(COW)

    message = bench.fails(
        "build", hashed(bench, f"cow==1.0 --hash=sha256:{'0' * 64}\n"), code="hash-not-on-index", exit_code=4
    )

    assert "cow 1.0" in message


def test_archives_by_address_and_by_path_are_built(bench: Bench) -> None:
    by_url, by_path = sdist(bench.folder, "webby"), sdist(bench.folder, "filed")
    url = bench.index.add_path("/archives/webby-1.0.tar.gz", by_url.data)
    project = hashed(
        bench,
        f"webby @ {url} --hash=sha256:{by_url.sha256}\n"
        f"filed @ file:../vendor/{by_path.filename} --hash=sha256:{by_path.sha256}\n",
    )
    (bench.folder / "vendor").mkdir()
    (bench.folder / "vendor" / by_path.filename).write_bytes(by_path.data)

    image = bench.image(project)

    assert content_of(image, f"{SITE}/filed/__init__.py") == b"VALUE = 1\n"
    recorded = content_of(image, f"{SITE}/webby-1.0.dist-info/direct_url.json").decode()
    assert by_url.sha256 in recorded
    assert f"{SITE}/filed-1.0.dist-info/direct_url.json" not in files_of(image)


def test_a_commit_is_built_from_its_own_files_with_subdirectory_and_submodule(bench: Bench) -> None:
    bench.index.add(COW)
    inner = bench.folder / "inner"
    inner.mkdir()
    (inner / "data.txt").write_text("of the submodule\n")
    commit_all(inner)
    repository = bench.folder / "repository"
    tree(repository / "python", "dep", code="VALUE = 'locked'\n")
    git = require_tool("git")
    subprocess.run([git, "init", "--quiet"], cwd=repository, check=True)
    subprocess.run(
        [
            git,
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "--quiet",
            "add",
            inner.as_uri(),
            "python/dep/inner",
        ],
        cwd=repository,
        check=True,
        capture_output=True,
    )
    locked = commit_all(repository)
    (repository / "python/dep/__init__.py").write_text("VALUE = 'newer'\n")
    commit_all(repository, "two")
    (repository / "python/dep/__init__.py").write_text("VALUE = 'not committed'\n")
    project = hashed(
        bench,
        f"cow==1.0 --hash=sha256:{COW.sha256}\n"
        f"dep @ git+{repository.as_uri()}@{locked}#subdirectory=python\n",
    )

    image = bench.image(project)

    assert content_of(image, f"{SITE}/dep/__init__.py") == b"VALUE = 'locked'\n"
    assert content_of(image, f"{SITE}/dep/inner/data.txt") == b"of the submodule\n"
    assert f"git:{locked}#python" in (project / "shipwheel.lock").read_text()
    found = files_of(image)
    assert not [path for path in found if ".git" in path.split("/")]
    (bench.folder / "repository").rename(bench.folder / "gone")
    assert str(image.digest) in bench.build(project)["reference"]


def test_a_commit_that_the_repository_does_not_have_is_refused(bench: Bench) -> None:
    bench.index.add(COW)
    repository = tree(bench.folder / "repository", "dep")
    commit_all(repository)
    lines = f"cow==1.0 --hash=sha256:{COW.sha256}\ndep @ git+{repository.as_uri()}@{'ab' * 20}\n"

    message = bench.fails("build", hashed(bench, lines), code="no-such-commit", exit_code=5)

    assert "requirements.txt:2" in message


def test_without_git_a_commit_says_that_git_is_needed(bench: Bench) -> None:
    bench.index.add(COW)
    lines = f"cow==1.0 --hash=sha256:{COW.sha256}\ndep @ git+https://code.example/dep@{'ab' * 20}\n"
    empty = bench.folder / "empty"
    empty.mkdir()

    message = bench.fails(
        "build", hashed(bench, lines), code="no-git", exit_code=8, environ={"PATH": str(empty)}
    )

    assert "install git" in message


def asking_for(plugin: str, back_end: str) -> str:
    """Return an in-tree back-end that asks for `plugin` by its hook, and cannot build without it."""
    return (
        f"import importlib\n{back_end}\n"
        "def get_requires_for_build_wheel(config_settings=None):\n"
        f"    return ['{plugin}']\n\n"
        "_build = build_wheel\n\n"
        "def build_wheel(*arguments, **named):\n"
        f"    importlib.import_module('{plugin}')\n"
        "    return _build(*arguments, **named)\n"
    )


def test_what_a_source_needs_to_be_built_may_be_a_source_itself(bench: Bench) -> None:
    back_end = (tree(bench.folder / "any", "any") / "_back_end.py").read_text()
    bench.index.add(sdist(bench.folder, "plugin"))
    made = sdist(bench.folder, "dep", **{"_back_end.py": asking_for("plugin", back_end)})

    image = bench.image(bench.project(["dep"], wheels=[made]))

    found = files_of(image)
    assert f"{SITE}/dep/__init__.py" in found
    assert not [path for path in found if "plugin" in path]


def test_why_tells_who_needs_a_package_and_why_this_file_was_chosen(bench: Bench) -> None:
    leaf = make_wheel("leaf", "2.0", tag="cp313-cp313-manylinux_2_17_x86_64")
    other = make_wheel("leaf", "2.0", tag="cp313-cp313-win_amd64")
    twig = make_wheel("twig", "1.0", requires=["leaf"])
    project = bench.project(["twig"], wheels=[leaf, other, twig])

    said = bench.run("plan", "--why", "Leaf", project).stdout

    assert "leaf 2.0 for linux/amd64" in said
    assert "needed by twig ← the project" in said
    assert "cp313-cp313-manylinux_2_17_x86_64" in said
    assert other.filename in said
    assert "poetry.lock [package.leaf]" in said


def test_why_of_a_source_says_that_it_is_built(bench: Bench) -> None:
    project = bench.project(["dep"], wheels=[sdist(bench.folder, "dep")])

    said = bench.run("plan", "--why", "dep", project).stdout

    assert "the source distribution: the release has no wheel" in said
    assert "built here" in said


def test_why_of_what_is_not_installed_is_an_error(bench: Bench) -> None:
    bench.fails("plan", "--why", "nothing", bench.project(), code="not-in-image", exit_code=2)


@pytest.mark.parametrize(
    "text", ["[build-system\n", "[build-system]\nrequires = 7\n", "build-system = 3\n"], ids=repr
)
def test_a_source_whose_pyproject_is_damaged_is_refused_by_name(bench: Bench, text: str) -> None:
    damaged = sdist(bench.folder, "dep", **{"pyproject.toml": text})

    message = bench.fails("build", bench.project(["dep"], wheels=[damaged]), code="no-back-end", exit_code=9)

    assert "dep 1.0" in message


def test_an_sdist_that_unpacks_to_other_places_is_refused(bench: Bench) -> None:
    evil = make_sdist("dep", "1.0", {"../../evil.py": "boom"})

    message = bench.fails("build", bench.project(["dep"], wheels=[evil]), code="unsafe-source", exit_code=6)

    assert "dep-1.0.tar.gz" in message
    assert not list(bench.folder.rglob("evil.py"))


def test_what_a_back_end_warns_its_authors_of_is_not_shown(bench: Bench) -> None:
    root = tree(bench.folder / "noisy", "dep")
    noisy = "import warnings\nwarnings.warn('this is deprecated')\n" + (root / "_back_end.py").read_text()
    project = bench.project(["dep"], wheels=[sdist(bench.folder, "dep", **{"_back_end.py": noisy})])

    done = bench.run("build", "--quiet", project)

    assert (done.returncode, done.stderr) == (0, "")
