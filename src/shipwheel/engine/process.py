"""What runs in the container: command, environment, folder and user from the image and the RunSpec.

OCI image-spec config.md ("config") and conversion.md say how; where they leave it open, Docker's
behaviour is taken. Pure but for reading /etc/passwd and looking commands up in an unpacked root.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shipwheel.engine.root import resolve
from shipwheel.engine.spec import RunSpec
from shipwheel.errors import ImageError
from shipwheel.oci.model import RunConfig

# What Docker, containerd and Podman set where the image sets none.
DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Numeric user and group, supplementary groups, and the home that /etc/passwd names."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process to start; `env` is complete, `argv[0]` may still need a look-up in its PATH."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    user: User


def plan_process(config: RunConfig, spec: RunSpec, root: Path) -> Process:
    """Return what to start of `config` changed by `spec`, with users looked up in `root`.

    Raises ImageError `no-command` and `unknown-user`.
    """
    argv = command(config, spec)
    if not argv:
        raise ImageError(
            "no-command",
            "the image has neither entry point nor command",
            hint="give one: `shipwheel run -- COMMAND`",
        )
    user = find_user(spec.user if spec.user is not None else config.user or "", root)
    env = {"PATH": DEFAULT_PATH, "HOME": user.home}
    if spec.tty:
        env["TERM"] = "xterm"
    env |= dict(config.env or ())
    env |= spec.env
    return Process(argv=argv, env=env, cwd=spec.workdir or config.working_dir or "/", user=user)


def command(config: RunConfig, spec: RunSpec) -> tuple[str, ...]:
    """Return Entrypoint followed by Cmd, each replaced as `spec` says; empty when there is none."""
    if spec.entrypoint is not None:
        # Docker: an entry point given for the run drops the image's Cmd, which was meant for its own.
        return (*spec.entrypoint, *(spec.args or ()))
    args = config.cmd or () if spec.args is None else spec.args
    return (*(config.entrypoint or ()), *args)


def writable_folders(config: RunConfig, spec: RunSpec) -> tuple[str, ...]:
    """Return where empty folders in memory go, sorted, so that a program can work on a read-only root.

    HOME is one of them, unless the run would lose something by it: a home that holds the working
    folder, the command or a mount stays as it is. Decided by paths alone, so that all runners agree.
    """
    if spec.tmpfs is not None:
        return tuple(sorted(set(spec.tmpfs)))
    mounted = {mount.target for mount in spec.mounts}
    folders = {"/tmp", "/run"}  # noqa: S108 - paths inside the container
    home = posixpath.normpath((dict(config.env or ()) | dict(spec.env)).get("HOME", "/"))
    used = [spec.workdir or config.working_dir or "/", *command(config, spec)[:1], *mounted]
    # What the image itself names; a path among the arguments of this run may well be one to write to.
    used += [*(config.entrypoint or ()), *(config.cmd or ())]
    used += (dict(config.env or ()).get("PATH") or "").split(":")
    if home.startswith("/") and home != "/" and not any(_is_within(path, home) for path in used):
        folders.add(home)
    return tuple(sorted(folder for folder in folders if folder not in mounted))


def find_user(text: str, root: Path) -> User:
    """Return the user that `text` (config.md, "User") names: `user`, `uid`, `user:group`, and so on.

    Raises ImageError `unknown-user` for a name that the image does not know.
    """
    name, _, group = text.partition(":")
    passwd = list(_records(root, "etc/passwd", 7))
    groups = list(_records(root, "etc/group", 4))
    uid = 0 if not name else int(name) if name.isdecimal() else None
    entry = next((r for r in passwd if (r[0] == name if uid is None else r[2] == str(uid))), None)
    if uid is None and entry is None:
        raise _unknown_user(name, "user", "/etc/passwd")
    if uid is None:
        uid = int(entry[2]) if entry is not None else 0
    home = entry[5] if entry is not None and entry[5] else "/"
    if group:
        found = next((int(record[2]) for record in groups if record[0] == group), None)
        if found is None and not group.isdecimal():
            raise _unknown_user(group, "group", "/etc/group")
        return User(uid=uid, gid=int(group) if group.isdecimal() else found or 0, home=home)
    # config.md: without a group, the default and supplementary groups of the user are applied.
    gid = int(entry[3]) if entry is not None else 0
    more = sorted({int(r[2]) for r in groups if entry is not None and entry[0] in r[3].split(",")} - {gid})
    return User(uid=uid, gid=gid, groups=tuple(more), home=home)


def find_command(process: Process, root: Path, *, mounted: Sequence[str] = ()) -> str:
    """Return the path inside of `process.argv[0]`; raises ImageError `command-not-found`.

    What would be in one of the `mounted` places is not looked for and taken to be there.
    """
    name = process.argv[0]
    if "/" in name:
        candidates = [posixpath.join(process.cwd, name)]
    else:
        folders = process.env.get("PATH", "").split(":")
        candidates = [posixpath.join(process.cwd, folder, name) for folder in folders]
    for candidate in candidates:
        if "/" in name and any(_is_within(candidate, place) for place in mounted):
            return candidate
        found = resolve(root, candidate)
        if found.is_file() and found.stat().st_mode & 0o111:
            return candidate
    raise ImageError(
        "command-not-found",
        f"the image has no program {name!r}",
        place="PATH=" + process.env.get("PATH", "") if "/" not in name else None,
        hint="a production image has no shell and no tools; its entry point is in `shipwheel plan`",
    )


def _records(root: Path, path: str, fields: int) -> Iterator[list[str]]:
    file = resolve(root, path)
    if not file.is_file():
        return
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        record = line.split(":")
        # passwd(5), group(5): the third field is the number; what has none is no record.
        if len(record) >= fields and record[2].isdecimal():
            yield record


def _is_within(path: str, folder: str) -> bool:
    path = posixpath.normpath(path)
    return path == folder or path.startswith(folder + "/")


def _unknown_user(name: str, kind: str, file: str) -> ImageError:
    return ImageError(
        "unknown-user",
        f"the image has no {kind} {name!r}",
        place=f"{file} in the image",
        hint="give numbers, as in --user 65532:65532",
    )
