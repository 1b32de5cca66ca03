"""What is not whole yet is no file of the project: no build takes it in, whoever writes it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.images import small_image
from shipwheel.base.model import ImageBase
from shipwheel.cli.init import Change
from shipwheel.cli.init import write as write_change
from shipwheel.lockfile import ShipwheelLock, write_lockfile
from shipwheel.oci.archive import write_docker_archive, write_oci_archive
from shipwheel.oci.layout import write_layout
from shipwheel.oci.unpack import unpack_image
from shipwheel.project.files import list_files
from shipwheel.staged import beside

LOCK = ShipwheelLock(base=ImageBase(kind="layout", reference="base", digest="sha256:00", platforms=()))
WRITERS: dict[str, Callable[[Path, Path], object]] = {
    "lock": lambda root, _: write_lockfile(root / "shipwheel.lock", LOCK),
    "archive": lambda root, images: write_oci_archive(root / "app.tar", small_image(images)),
    "docker-archive": lambda root, images: write_docker_archive(root / "app.tar", small_image(images)),
    "layout": lambda root, images: write_layout(root / "app", small_image(images)),
    "unpacked": lambda root, images: unpack_image(small_image(images), root / "app"),
    "dockerfile": lambda root, _: write_change(
        Change(path=root / "Dockerfile", name="Dockerfile", before=None, after="FROM scratch\n")
    ),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_what_another_process_is_writing_into_the_project_is_no_file_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    root, images = tmp_path / "project", tmp_path / "images"
    root.mkdir()
    images.mkdir()
    (root / "app.py").write_text("")
    seen: list[list[str]] = []

    def looked_at(change: Callable[..., None]) -> Callable[..., None]:
        def moved(source: str | Path, target: str | Path) -> None:
            # It is complete, and not yet in its place.
            if Path(target).parent == root:
                assert Path(source).parent == root
                seen.append([file.path for file in list_files(root, include=["*"])])
            change(source, target)

        return moved

    monkeypatch.setattr(os, "replace", looked_at(os.replace))
    monkeypatch.setattr(os, "rename", looked_at(os.rename))
    WRITERS[writer](root, images)

    assert seen == [["app.py"]]
    assert sorted(path.name for path in root.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize("name", ["a", "x" * 255, "ä" * 127, "\udcff" * 3])
def test_a_staged_name_is_new_each_time_and_no_longer_than_a_filesystem_takes(
    tmp_path: Path, name: str
) -> None:
    one, other = beside(tmp_path / name), beside(tmp_path / name)

    assert one != other
    assert one.parent == tmp_path
    one.touch()
    assert list_files(tmp_path) == ()
