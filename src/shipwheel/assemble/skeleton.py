"""The small layer between base and wheels: user, home, working folder, empty virtual environment."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from shipwheel.errors import ProjectError
from shipwheel.oci.tar import Entry
from shipwheel.plan.model import BuildPlan, PlannedUser


def skeleton_entries(plan: BuildPlan, base_files: Mapping[str, bytes]) -> list[tuple[Entry, bytes]]:
    """Return the layer's entries sorted by path; `base_files` holds the base's etc/passwd and etc/group.

    Raises ProjectError `user-taken` when the base gives the user's name to another id.
    """
    paths, user = plan.paths, plan.user
    venv = paths.venv.lstrip("/")
    minor = paths.site_packages.split("/")[-2]
    entries: dict[str, tuple[Entry, bytes]] = {}

    def add(entry: Entry, content: bytes = b"") -> None:
        entries[entry.path] = (entry, content)

    for folder in (paths.workdir, f"{paths.venv}/bin", paths.site_packages, posixpath.dirname(user.home)):
        for path in _with_parents(folder):
            add(Entry(path=path, kind="directory", mode=0o755))
    # Readable for all and writable for its owner: an arbitrary uid must at least be able to enter it.
    add(Entry(path=user.home.lstrip("/"), kind="directory", mode=0o755, uid=user.uid, gid=user.gid))
    add(Entry(path=f"{venv}/bin/python", kind="symlink", mode=0o777, link=plan.python.executable))
    for name in ("python3", minor):
        add(Entry(path=f"{venv}/bin/{name}", kind="symlink", mode=0o777, link="python"))
    config = render_pyvenv_cfg(plan)
    add(Entry(path=f"{venv}/pyvenv.cfg", size=len(config)), config)
    for path, content in (
        ("etc/passwd", add_to_passwd(base_files.get("etc/passwd", b""), user)),
        ("etc/group", add_to_group(base_files.get("etc/group", b""), user)),
    ):
        add(Entry(path=path, size=len(content)), content)
    return [entries[path] for path in sorted(entries)]


def render_pyvenv_cfg(plan: BuildPlan) -> bytes:
    """Return the file that makes the folder a virtual environment (PEP 405)."""
    home = posixpath.dirname(plan.python.executable)
    return (
        f"home = {home}\ninclude-system-site-packages = false\nversion = {plan.python.version}\n"
        f"executable = {plan.python.executable}\n"
    ).encode()


def add_to_passwd(passwd: bytes, user: PlannedUser) -> bytes:
    """Return passwd(5) with `user`, who cannot log in; unchanged where the id is there already."""
    _check_name(passwd, user.name, user.uid, "etc/passwd")
    if _has_id(passwd, user.uid):
        return passwd
    line = f"{user.name}:x:{user.uid}:{user.gid}:{user.name}:{user.home}:/usr/sbin/nologin\n"
    return _ended(passwd) + line.encode()


def add_to_group(group: bytes, user: PlannedUser) -> bytes:
    """Return group(5) with the user's group; unchanged where the id is there already."""
    _check_name(group, user.name, user.gid, "etc/group")
    if _has_id(group, user.gid):
        return group
    return _ended(group) + f"{user.name}:x:{user.gid}:\n".encode()


def _check_name(table: bytes, name: str, number: int, file: str) -> None:
    for line in table.splitlines():
        fields = line.split(b":")
        if fields[0] == name.encode() and len(fields) > 2 and fields[2] != str(number).encode():
            raise ProjectError(
                "user-taken",
                f"the base's /{file} gives the name {name} to id {fields[2].decode('ascii', 'replace')}",
                place="pyproject.toml [tool.shipwheel.user]",
                hint="choose another name, or that id",
            )


def _has_id(table: bytes, number: int) -> bool:
    rows = (line.split(b":") for line in table.splitlines())
    return any(len(fields) > 2 and fields[2] == str(number).encode() for fields in rows)


def _ended(text: bytes) -> bytes:
    return text if not text or text.endswith(b"\n") else text + b"\n"


def _with_parents(folder: str) -> list[str]:
    parts = [part for part in folder.split("/") if part]
    return ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
