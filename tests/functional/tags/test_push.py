"""`--tags auto`: what a push names the image, and what it refuses to name anew."""

from functional.ship.conftest import Yard, edit
from shipwheel.oci.reference import Reference
from shipwheel.oci.registry import find_digest

from .test_command import NO_CI, commit, git


def test_a_release_gets_all_its_tags_in_one_push(yard: Yard) -> None:
    project = yard.bench.project(version="1.4.2", settings=f'name = "{yard.name}"\n')
    sha = commit(project, "v1.4.2")

    done = yard.bench.run("push", project, "--tags", "auto", environ=NO_CI)

    assert done.returncode == 0, done.stderr
    assert set(yard.tags()) == {"1.4.2", "1.4", "1", "latest", "main", sha}
    digests = {find_digest(yard.client, Reference.parse(f"{yard.name}:{tag}")) for tag in yard.tags()}
    assert len(digests) == 1
    # The reference that people keep is the version's.
    assert done.stdout.startswith(f"{yard.name}:1.4.2@sha256:")


def test_an_old_patch_leaves_latest_where_it_is(yard: Yard) -> None:
    project = yard.bench.project(version="2.0.0", settings=f'name = "{yard.name}"\n')
    commit(project, "v2.0.0")
    assert yard.bench.run("push", project, "--tags", "auto", environ=NO_CI).returncode == 0
    newest = yard.image("latest").digest
    pyproject = project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('version = "2.0.0"', 'version = "1.4.3"'))
    git(project, "commit", "--quiet", "--all", "--message", "patch")
    git(project, "tag", "v1.4.3")

    done = yard.bench.run("push", project, "--tags", "auto", environ=NO_CI)

    assert done.returncode == 0, done.stderr
    assert "note: not latest: 2.0.0 is there, which is newer" in done.stderr
    assert yard.image("latest").digest == newest
    assert yard.image("1.4").digest == yard.image("1.4.3").digest != newest


def test_the_same_image_may_be_released_again_and_another_may_not(yard: Yard) -> None:
    project = yard.bench.project(version="1.4.2", settings=f'name = "{yard.name}"\n')
    commit(project, "v1.4.2")
    assert yard.bench.run("push", project, "--tags", "auto", environ=NO_CI).returncode == 0
    released = yard.image("1.4.2").digest
    assert yard.bench.run("push", project, "--tags", "auto", environ=NO_CI).returncode == 0
    edit(project)
    git(project, "commit", "--quiet", "--all", "--message", "second")
    git(project, "tag", "--force", "v1.4.2")

    yard.bench.fails("push", project, "--tags", "auto", code="version-exists", exit_code=3, environ=NO_CI)

    assert yard.image("latest").digest == yard.image("1.4.2").digest == released
    done = yard.bench.run("push", project, "--tags", "auto", "--replace", environ=NO_CI)
    assert done.returncode == 0, done.stderr
    assert yard.image("1.4.2").digest != released


def test_several_repositories_get_the_same_tags(yard: Yard) -> None:
    project = yard.bench.project(version="1.4.2")
    commit(project, "v1.4.2")
    names = [f"{yard.name}/one", f"{yard.name}/two"]

    done = yard.bench.run(
        "push",
        project,
        "--tags",
        "auto",
        *(word for name in names for word in ("--tag", name)),
        environ=NO_CI,
    )

    assert [line.partition("@")[0] for line in done.stdout.splitlines()] == [
        f"{name}:1.4.2" for name in names
    ]


def test_a_tag_beside_automatic_ones_is_refused(yard: Yard) -> None:
    project = yard.bench.project()

    for word in ("edge", f"{yard.name}:edge"):
        yard.bench.fails("push", project, "--tags", "auto", "--tag", word, code="two-tags", exit_code=2)
