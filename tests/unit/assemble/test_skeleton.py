"""The layer with user, home, working folder and empty virtual environment."""

import pytest

from shipwheel.assemble.skeleton import add_to_group, add_to_passwd, render_pyvenv_cfg, skeleton_entries
from shipwheel.errors import ProjectError
from shipwheel.plan.model import (
    BuildPlan,
    PlannedBase,
    PlannedBytecode,
    PlannedPaths,
    PlannedPython,
    PlannedUser,
    Words,
)

USER = PlannedUser(uid=65532, gid=65532, name="nonroot", home="/home/nonroot", source="default")
UNSET = Words(value=None, source="default")
PLAN = BuildPlan(
    project="app",
    version="1",
    mode="wheel",
    platform="linux/amd64",
    lock="poetry.lock",
    epoch=0,
    base=PlannedBase(kind="debian", reference="debian trixie", pin="sha256:00", source="default"),
    python=PlannedPython(
        version="3.13.5", libc="glibc 2.41", executable="/usr/bin/python3.13", source="default"
    ),
    user=USER,
    paths=PlannedPaths(
        workdir="/srv/app",
        venv="/srv/app/.venv",
        site_packages="/srv/app/.venv/lib/python3.13/site-packages",
        python="/srv/app/.venv/bin/python",
        source="default",
    ),
    entrypoint=UNSET,
    cmd=UNSET,
    env=(),
    labels=(),
    ports=UNSET,
    volumes=UNSET,
    stop_signal=None,
    bytecode=PlannedBytecode(enabled=False, interpreter=None, reason=""),
    layers=(),
)


def test_folders_links_and_files_in_order_with_parents_first() -> None:
    entries = skeleton_entries(
        PLAN, {"etc/passwd": b"root:x:0:0::/root:/bin/sh\n", "etc/group": b"root:x:0:\n"}
    )

    paths = [entry.path for entry, _ in entries]
    assert paths == sorted(paths)
    assert {"srv", "srv/app", "srv/app/.venv", "srv/app/.venv/bin", "home", "home/nonroot"} <= set(paths)
    links = {entry.path: entry.link for entry, _ in entries if entry.kind == "symlink"}
    assert links == {
        "srv/app/.venv/bin/python": "/usr/bin/python3.13",
        "srv/app/.venv/bin/python3": "python",
        "srv/app/.venv/bin/python3.13": "python",
    }
    owners = {entry.path: (entry.uid, entry.gid) for entry, _ in entries if entry.uid}
    assert owners == {"home/nonroot": (65532, 65532)}


def test_pyvenv_cfg_names_the_bases_python() -> None:
    assert render_pyvenv_cfg(PLAN) == (
        b"home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.13.5\n"
        b"executable = /usr/bin/python3.13\n"
    )


def test_the_user_is_added_once_and_cannot_log_in() -> None:
    added = add_to_passwd(b"root:x:0:0::/root:/bin/sh", USER)

    assert added.splitlines()[1] == b"nonroot:x:65532:65532:nonroot:/home/nonroot:/usr/sbin/nologin"
    assert add_to_passwd(added, USER) == added
    assert add_to_group(b"", USER) == b"nonroot:x:65532:\n"


def test_an_id_that_the_base_has_already_is_left_to_it() -> None:
    theirs = b"app:x:65532:65532::/home/app:/bin/sh\n"

    assert add_to_passwd(theirs, USER) == theirs


def test_a_name_that_the_base_gives_to_another_id_is_refused() -> None:
    with pytest.raises(ProjectError) as caught:
        add_to_passwd(b"nonroot:x:1000:1000::/home/nonroot:/bin/sh\n", USER)

    assert caught.value.code == "user-taken"
