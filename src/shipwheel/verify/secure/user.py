"""Who the container runs as, and what that user may change or become."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from shipwheel.oci.tree import Node
from shipwheel.verify.installed import RunUser, search_path
from shipwheel.verify.model import Finding, NotChecked, Place, Result, Rule
from shipwheel.verify.subject import Chapter, Subject, count

ROOT: Final = Rule(
    code="runs-as-root",
    promise="secure",
    severity="error",
    title="The container runs as root",
    why="Whoever takes over the program owns the whole container, and a hole in the kernel away, the host.",
    fix="Set a numeric user, as USER 65532:65532. Images that shipwheel builds have one.",
)
NAMED: Final = Rule(
    code="user-by-name",
    promise="secure",
    severity="warning",
    title="The user is given by name",
    why="Kubernetes' runAsNonRoot cannot tell from a name that it is not root, and refuses to start it.",
    fix="Use the number: USER 65532:65532.",
)
UNKNOWN: Final = Rule(
    code="user-unknown",
    promise="secure",
    severity="warning",
    title="The user is not in /etc/passwd",
    why="getpass.getuser, os.path.expanduser and libraries that keep files in a home folder fail or write to /.",
    fix="Add the user to /etc/passwd with a home folder of its own.",
)
WRITABLE: Final = Rule(
    code="code-writable",
    promise="secure",
    severity="error",
    title="The program may change its own code",
    why="A fault that lets somebody write a file becomes one that lets them run code, and outlives a restart.",
    fix="Leave the code to root: COPY without --chown, and no chown -R; give the user its data folder alone.",
)
WORLD: Final = Rule(
    code="world-writable",
    promise="secure",
    severity="error",
    title="Anybody may write to files or folders",
    why="Every process in the container, whoever it runs as, may change them.",
    fix="chmod o-w; shared folders for temporary files need the sticky bit (1777).",
)
SETID: Final = Rule(
    code="set-id",
    promise="secure",
    severity="warning",
    title="Programs run with somebody else's rights",
    why="A setuid or setgid program is the usual way from an ordinary user to root.",
    fix="Remove the bits (chmod a-s) or the programs, or take a base without them.",
)
CAPABILITY: Final = Rule(
    code="file-capability",
    promise="secure",
    severity="warning",
    title="Programs gain capabilities when they start",
    why="A file capability is a part of root's power for whoever starts the program.",
    fix="Remove them with setcap -r, or give the capability when the container is started.",
)
RULES: Final = (ROOT, NAMED, UNKNOWN, WRITABLE, WORLD, SETID, CAPABILITY)

_CODE: Final = re.compile(r".*\.(?:py|pyc|pth|so|so\.[0-9.]+|sh)")


def _check_user(subject: Subject) -> Iterator[Result]:
    user = subject.installed.user
    place = Place(path="config.User", detail=user.text or "not set")
    if user.uid == 0:
        said = f"User is {user.text!r}" if user.text else "no user is set, which means root"
        yield Finding(rule=ROOT, message=said, places=[place])
        return
    word = user.text.partition(":")[0]
    if not re.fullmatch("[0-9]+", word):
        number = "" if user.uid is None else f", which is {user.uid}"
        yield Finding(rule=NAMED, message=f"User is {user.text!r}{number}", places=[place])
    if not user.known:
        yield Finding(
            rule=UNKNOWN, message=f"User is {user.text!r}, and /etc/passwd has no such line", places=[place]
        )


def _check_writable(subject: Subject) -> Iterator[Result]:
    user = subject.installed.user
    if user.uid == 0:
        yield NotChecked(rule=WRITABLE, reason="the user is root, who may write everywhere")
        return
    if user.uid is None:
        yield NotChecked(rule=WRITABLE, reason=f"the image does not tell the number of user {user.text!r}")
        return
    volumes = [volume.strip("/") for volume in subject.evidence.image.config.volumes or ()]
    folders: set[str] = set()
    places = []
    for path, node in subject.evidence.visible.items():
        if not _is_code(path, node, subject) or any(path.startswith(f"{volume}/") for volume in volumes):
            continue
        if may_change(user, node):
            places.append(subject.place(path, detail=_rights(node)))
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            parent = subject.evidence.visible[folder]
            if may_change(user, parent):
                places.append(subject.place(folder, detail=f"folder {_rights(parent)}"))
            folder = folder.rpartition("/")[0]
    if places:
        who = user.name or str(user.uid)
        yield Finding(
            rule=WRITABLE,
            message=f"{who} may change {count(len(places), 'file or folder of code', 'files and folders of code')}",
            places=sorted(places, key=lambda place: place.path),
        )


def may_change(user: RunUser, node: Node) -> bool:
    """Whether the user owns `node` (and may so change its mode) or may write to it by its group.

    What anybody may write to is another rule's.
    """
    if node.kind in ("symlink", "other"):
        return False
    if node.uid == user.uid:
        return True
    return node.gid in user.gids and bool(node.mode & 0o020)


def _is_code(path: str, node: Node, subject: Subject) -> bool:
    if node.kind != "file":
        return False
    if _CODE.fullmatch(path) or subject.installed.owner(path) is not None:
        return True
    return bool(node.mode & 0o111) and path.rpartition("/")[0] in search_path(subject.evidence.image.config)


def _check_bits(subject: Subject) -> Iterator[Result]:
    world, setid = [], []
    for path, node in subject.evidence.visible.items():
        if node.kind in ("file", "directory") and node.mode & 0o002:
            sticky = node.kind == "directory" and node.mode & 0o1000
            if not sticky:
                world.append(subject.place(path, detail=_rights(node)))
        if node.kind == "file" and node.mode & 0o6000 and node.mode & 0o111:
            setid.append(subject.place(path, detail=_rights(node)))
    if world:
        yield Finding(rule=WORLD, message=f"{count(len(world), 'path')} writable by anybody", places=world)
    if setid:
        yield Finding(
            rule=SETID, message=f"{count(len(setid), 'program')} with setuid or setgid", places=setid
        )
    capable = [subject.place(path) for path in sorted(subject.evidence.capabilities)]
    if capable:
        yield Finding(
            rule=CAPABILITY, message=f"{count(len(capable), 'file')} with capabilities", places=capable
        )


def _rights(node: Node) -> str:
    return f"{node.mode:04o} {node.uid}:{node.gid}"


# In the order of the report.
CHAPTERS: Final = (
    Chapter(rules=(ROOT, NAMED, UNKNOWN), check=_check_user),
    Chapter(rules=(WRITABLE,), check=_check_writable),
    Chapter(rules=(WORLD, SETID, CAPABILITY), check=_check_bits),
)
