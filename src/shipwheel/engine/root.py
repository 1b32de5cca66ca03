"""The image's files, unpacked once into the cache, for runners that have no engine to keep them.

A root is keyed by the layers' diff_ids and never written to by a run. It has a place for everything
that is mounted into it, as a read-only root cannot get one later.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from shipwheel.cache import Cache
from shipwheel.errors import ImageError, UsageError
from shipwheel.oci.model import Image
from shipwheel.oci.unpack import unpack_image

# Changes when the same image would give another folder.
_RECIPE: Final = "root/2"
_MAX_LINKS: Final = 40  # path_resolution(7)
# Every root has these, whatever is run in it.
_FOLDERS: Final = ("/dev", "/proc", "/run", "/sys", "/tmp")  # noqa: S108 - inside the container
_FILES: Final = ("/etc/hosts", "/etc/resolv.conf")


@contextlib.contextmanager
def unpacked_root(
    image: Image,
    cache: Cache,
    *,
    folders: Sequence[str] = (),
    files: Sequence[str] = (),
    tmpfs: Sequence[str] = (),
    writable: bool = False,
) -> Iterator[Path]:
    """Yield a folder with the files of `image`, in which `folders`, `files` and `tmpfs` can be mounted on.

    It must not be changed, unless it is `writable`: then it is unpacked for this use and removed
    after it. Raises UsageError `bad-mount` for a place that cannot be made.
    """
    extra_folders = sorted(set(folders) - {"/"} - set(_FOLDERS))
    extra_files = sorted(set(files) - set(_FILES))
    # For root, users are who they are, and so are the files'; for others, there is one user who has them all.
    owners = os.geteuid() == 0
    key = _key(image, extra_folders, extra_files, [*sorted(tmpfs), f"owners {owners}"])
    with contextlib.ExitStack() as stack:
        stack.enter_context(cache.in_use())
        kept = None if writable else cache.folder(key)
        if kept is None:
            staged = stack.enter_context(cache.staging_folder())
            root = staged / "root"
            unpack_image(image, root, owners=owners)
            for folder in (*_FOLDERS, *extra_folders):
                _make_place(root, folder, is_folder=True)
            for file in (*_FILES, *extra_files):
                _make_place(root, file, is_folder=False)
            for folder in tmpfs:
                # runc gives a tmpfs the mode of the folder that it hides.
                _make_place(root, folder, is_folder=True).chmod(0o1777)
            kept = staged if writable else cache.add_folder(staged, key)
        yield kept / "root"


def resolve(root: Path, path: str) -> Path:
    """Return the host's path of `path` inside `root`, with links followed but never out of `root`.

    What does not exist is taken for a plain name. Raises ImageError `link-loop`.
    """
    pending = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    done: list[str] = []
    links = 0
    while pending:
        part = pending.pop()
        if part == "..":
            done = done[:-1]
            continue
        here = root.joinpath(*done, part)
        try:
            is_link = stat.S_ISLNK(here.lstat().st_mode)
        except OSError:  # absent, or below something that is no folder
            is_link = False
        if not is_link:
            done.append(part)
            continue
        links += 1
        # Never returned as it is: whoever opens it would follow it out of the root.
        if links > _MAX_LINKS:
            raise ImageError("link-loop", "the image has links that lead nowhere", place=path)
        link = str(here.readlink())
        if link.startswith("/"):
            done = []
        pending += [part for part in reversed(link.split("/")) if part not in ("", ".")]
    return root.joinpath(*done)


def inside(root: Path, path: str) -> str:
    """Return `path` as the container sees it, absolute and with all links followed."""
    return "/" + resolve(root, path).relative_to(root).as_posix().removeprefix(".")


def _key(image: Image, folders: Sequence[str], files: Sequence[str], tmpfs: Sequence[str]) -> str:
    # The diff_ids in their order say all about the files (config.md, "Layer ChainID").
    parts = [_RECIPE, [str(layer.diff_id) for layer in image.layers], list(folders), list(files), list(tmpfs)]
    return f"{_RECIPE}:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"


def _make_place(root: Path, path: str, *, is_folder: bool) -> Path:
    place = resolve(root, path)
    try:
        if is_folder:
            place.mkdir(parents=True, exist_ok=True)
            made = place.is_dir()
        else:
            resolve(root, posixpath.dirname(path)).mkdir(parents=True, exist_ok=True)
            place.parent.mkdir(parents=True, exist_ok=True)
            made = place.is_dir() is False
            if not place.exists():
                place.touch(mode=0o644)
    except OSError as error:
        raise _bad_place(path, error.strerror or "") from error
    if not made:
        raise _bad_place(path, "the image has something else there")
    return place


def _bad_place(path: str, reason: str) -> UsageError:
    return UsageError("bad-mount", f"nothing can be mounted on {path} in the image: {reason}")
