"""Which files of a project count: git's and Docker's rules, and what never goes into an image."""

import subprocess
import tarfile
from pathlib import Path

import pytest

from helpers.images import small_image
from helpers.tools import require_tool
from shipwheel.errors import ProjectError
from shipwheel.oci.archive import write_docker_archive, write_oci_archive
from shipwheel.project.files import copy_files, hash_files, list_files


def tree(root: Path, *paths: str, **contents: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    for path, content in contents.items():
        (root / path).write_text(content)
    return root


def listed(
    root: Path, *, include: list[str] | None = None, exclude: list[str] | None = None, **more: bool
) -> list[str]:
    return [file.path for file in list_files(root, include=include or [], exclude=exclude or [], **more)]


def test_secrets_environments_and_caches_stay_out_without_any_ignore_file(tmp_path: Path) -> None:
    tree(
        tmp_path,
        *("app/main.py", ".env", ".env.production", ".env.example", ".git/HEAD", "sub/.netrc", "id_rsa"),
        *(".venv/bin/python", "app/__pycache__/main.pyc", "node_modules/a/b.js", ".aws/credentials"),
        *("other-env/pyvenv.cfg", "other-env/bin/python", "image/oci-layout", "image/blobs/x"),
    )

    assert listed(tmp_path) == [".env.example", "app/main.py"]


def test_archives_of_images_stay_out_unless_meant_and_other_archives_are_files(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    write_oci_archive(tmp_path / "app.tar", image)
    write_docker_archive(tmp_path / "app.image", image)
    with tarfile.open(tmp_path / "data.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("manifest.json"))
    for path in tmp_path.iterdir():
        if path.suffix not in (".tar", ".image"):
            path.unlink()

    assert listed(tmp_path) == ["data.tar"]
    assert listed(tmp_path, include=["app.tar"]) == ["app.tar", "data.tar"]


def test_include_brings_ignored_files_back_but_never_secrets(tmp_path: Path) -> None:
    tree(tmp_path, "build/generated.py", "build/rubbish.o", ".env")
    (tmp_path / ".gitignore").write_text("build/\n")

    assert listed(tmp_path, include=["build/generated.py", ".env"]) == [".gitignore", "build/generated.py"]


def test_exclude_leaves_files_out(tmp_path: Path) -> None:
    tree(tmp_path, "app/main.py", "docs/a.md", "app/docs/b.md")

    assert listed(tmp_path, exclude=["/docs/"]) == ["app/docs/b.md", "app/main.py"]


def test_dockerignore_starts_at_the_root_and_takes_back_single_files(tmp_path: Path) -> None:
    tree(tmp_path, "app/main.py", "app/data/keep.csv", "app/data/large.csv", "sub/app.txt")
    (tmp_path / ".dockerignore").write_text("*\n!app\napp/data\n!app/data/keep.csv\n")

    assert listed(tmp_path) == ["app/data/keep.csv", "app/main.py"]


def test_what_only_builds_and_locks_stays_out_of_copied_source(tmp_path: Path) -> None:
    tree(
        tmp_path,
        "main.py",
        "pyproject.toml",
        "poetry.lock",
        "shipwheel.lock",
        "Dockerfile",
        "pkg/pyproject.toml",
    )

    assert listed(tmp_path, at_run_time=True) == ["main.py", "pkg/pyproject.toml"]


@pytest.mark.parametrize(
    "patterns",
    [
        "*.log\n!keep.log\n",
        "build/\n",
        "/a.txt\n",
        "docs/*.md\n",
        "**/cache\n",
        "docs/**/deep.md\n",
        "docs/**\n",
        "[ab].txt\n",
        "[!a].txt\n",
        "\\#odd\n",
        "a?txt\n",
        "trailing.txt   \n",
        "docs/\n!docs/x.md\n",
        "*\n!*/\n!*.py\n",
    ],
)
def test_gitignore_patterns_mean_what_git_says(tmp_path: Path, patterns: str) -> None:
    git = require_tool("git")
    names = ["a.txt", "b.txt", "x.log", "keep.log", "build/o", "sub/build/o", "sub/a.txt", "docs/x.md"]
    names += [
        "docs/a/deep.md",
        "docs/a/b/deep.md",
        "cache/x",
        "s/cache/y",
        "#odd",
        "trailing.txt",
        "m.py",
        "s/m.py",
    ]
    tree(tmp_path, *names)
    (tmp_path / ".gitignore").write_text(patterns)
    (tmp_path / "sub" / ".gitignore").write_text("!a.txt\n")
    subprocess.run([git, "init", "-q"], cwd=tmp_path, check=True)
    told = subprocess.run(
        [git, "ls-files", "-co", "--exclude-standard", "-z"], cwd=tmp_path, check=True, capture_output=True
    ).stdout

    assert listed(tmp_path) == sorted(told.decode().strip("\0").split("\0"))


def test_a_gitignore_above_the_project_counts_in_a_repository(tmp_path: Path) -> None:
    tree(tmp_path, "services/shop/main.py", "services/shop/out/x", "services/shop/notes.txt", ".git/HEAD")
    (tmp_path / ".gitignore").write_text("out/\n/services/shop/notes.txt\n")

    assert listed(tmp_path / "services/shop") == ["main.py"]


def test_links_out_of_the_project_are_refused(tmp_path: Path) -> None:
    (tmp_path / "passwords").symlink_to("../../etc/passwd")

    with pytest.raises(ProjectError) as caught:
        listed(tmp_path)

    assert caught.value.code == "escaping-link"
    assert 'exclude = ["passwords"]' in str(caught.value)


def test_pipes_are_refused_and_not_read_for_ever(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(ProjectError) as caught:
        listed(tmp_path)

    assert caught.value.code == "special-file"


def test_hash_depends_on_paths_contents_and_exec_bits_alone(tmp_path: Path) -> None:
    one, two = tree(tmp_path / "one", "a/x", "b"), tree(tmp_path / "two", "b", "a/x")
    (two / "b").chmod(0o600)
    (two / "a/x").touch()

    def digest(root: Path) -> str:
        return hash_files(root, list_files(root))

    first = digest(one)
    assert digest(two) == first
    (two / "b").chmod(0o755)
    assert digest(two) != first
    (two / "b").chmod(0o644)
    (two / "b").write_text("changed")
    assert digest(two) != first


def test_copies_have_plain_modes_and_keep_inner_links(tmp_path: Path) -> None:
    source = tree(tmp_path / "source", "run", "data")
    (source / "run").chmod(0o700)
    (source / "data").chmod(0o600)
    (source / "link").symlink_to("data")
    target = tmp_path / "target"
    target.mkdir()

    copy_files(source, list_files(source), target)

    assert (target / "run").stat().st_mode & 0o777 == 0o755
    assert (target / "data").stat().st_mode & 0o777 == 0o644
    assert (target / "link").readlink() == Path("data")
