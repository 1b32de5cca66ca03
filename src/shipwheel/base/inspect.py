"""Look into a base image: which Python it has, where, and which C library that runs on.

The files themselves are asked (the interpreter's own version string, its loader, the library's
banner); what an image says of itself in variables and labels is not trusted. Runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shipwheel.base.elf import Elf, parse_elf
from shipwheel.errors import TargetError
from shipwheel.oci.read import LoadedImage
from shipwheel.oci.tree import Tree, read_tree

_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_VERSIONED: Final = re.compile(r"python3\.(\d+)")
# The largest file that is read: a static interpreter with its debugging data stays below.
_MAX_FILE: Final = 128 * 1024 * 1024
_GLIBC: Final = re.compile(rb"GNU C Library [^\n]{0,80}(?:stable|development) release version (\d+\.\d+)")
_MUSL: Final = re.compile(rb"(?<=\0)(1\.\d+\.\d+)(?=\0)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """`python` is the full version (`3.13.5`), `libc` as `glibc 2.41`, `executable` an absolute path.

    The executable's symlinks are followed, so that it is the file itself.
    """

    python: str
    libc: str
    executable: str


def inspect_image(image: LoadedImage, *, place: str, tree: Tree | None = None) -> Contents:
    """Return what is in `image`; all its layers are read and checked, unless `tree` is what they make.

    Raises TargetError `base-without-python`, `base-python-unknown`, `base-libc-unknown`,
    `base-mislabelled`; and all that `oci.tree.read_tree` and the layers' blobs raise.
    """
    look = _Look(image, place, tree)
    executable = look.find_python()
    headers = look.headers(executable)
    return Contents(
        python=look.python_version(executable), libc=look.libc(headers), executable=f"/{executable}"
    )


class _Look:
    def __init__(self, image: LoadedImage, place: str, tree: Tree | None) -> None:
        self._image = image
        self._place = place
        self._tree = read_tree(image.layers) if tree is None else tree
        self._files: dict[str, bytes] = {}

    def find_python(self) -> str:
        """Return the path, without a leading slash, of the first Python 3 on the image's PATH."""
        env = dict(self._image.image.config.env or ())
        folders = [folder.strip("/") for folder in env.get("PATH", _DEFAULT_PATH).split(":") if folder]
        for folder in folders:
            node = self._tree.find(folder)
            if node is None or node.kind != "directory":
                continue
            versioned = sorted(
                (name for name in node.children if _VERSIONED.fullmatch(name)),
                key=lambda name: -int(name.rpartition(".")[2]),
            )
            for name in ("python3", *versioned, "python"):
                path = f"{folder}/{name}".lstrip("/")
                found = self._tree.find(path)
                real = self._tree.real_path(path)
                if found is not None and found.kind == "file" and found.mode & 0o111 and real is not None:
                    return real
        raise TargetError(
            "base-without-python",
            f"the base image has no Python 3 on its PATH for {self._image.platform}",
            place=self._place,
            hint="choose a base with Python, or leave [tool.shipwheel.base] out to have one assembled",
        )

    def headers(self, executable: str) -> Elf:
        """Return the interpreter's ELF headers; it must be for the platform that the image names."""
        headers = parse_elf(self._read(executable))
        if headers is None:
            raise TargetError(
                "base-without-python",
                f"/{executable} is no program but something that starts one",
                place=self._place,
                hint="put the folder of the real interpreter first on the base's PATH",
            )
        platform = self._image.platform
        if headers.architecture != platform.architecture:
            raise TargetError(
                "base-mislabelled",
                f"the base says it is for {platform}, but its Python is for {headers.architecture or 'another machine'}",
                place=self._place,
                hint="the base image is broken: tell who builds it, and choose another",
            )
        return headers

    def python_version(self, executable: str) -> str:
        """Return the interpreter's full version from its code, or from the development files beside it."""
        minor = self._minor(executable)
        # PY_VERSION is in the interpreter's data, in most builds as a string of its own and in some as
        # the tail of a longer one, as linkers put equal endings in one place.
        in_code = re.compile(rb"(?<![0-9.])(3\.%b\.\d{1,3}(?:(?:a|b|rc)\d{1,2})?)\+?(?=\0)" % minor)
        for path in (executable, *self._named(re.compile(r"libpython3\.\d+t?\.so\.1\.0"))):
            if parse_elf(self._read(path)) is not None:
                found = set(in_code.findall(self._read(path)))
                if len(found) == 1:
                    return str(found.pop().decode())
        in_header = re.compile(rb'#define\s+PY_VERSION\s+"(3\.%b\.[0-9a-z]+)\+?"' % minor)
        for path in self._named(re.compile(r"patchlevel\.h")):
            version = in_header.search(self._read(path))
            if version is not None:
                return str(version[1].decode())
        raise TargetError(
            "base-python-unknown",
            f"the full version of /{executable} cannot be found",
            place=self._place,
            hint="shipwheel ships for CPython 3: choose a base with an unmodified one",
        )

    def _minor(self, executable: str) -> bytes:
        """Return the digits after `3.`, from the interpreter's name or the library folder beside it."""
        match = _VERSIONED.fullmatch(executable.rpartition("/")[2])
        if match is not None:
            return match[1].encode()
        library = self._tree.find("/".join([*executable.split("/")[:-2], "lib"]))
        names = () if library is None else [_VERSIONED.fullmatch(name) for name in library.children]
        minors = {name[1] for name in names if name is not None}
        return minors.pop().encode() if len(minors) == 1 else rb"\d{1,2}"

    def libc(self, headers: Elf) -> str:
        """Return the C library that the interpreter's loader belongs to, as `glibc 2.41` or `musl 1.2`."""
        loader = (headers.loader or "").rpartition("/")[2]
        if loader.startswith("ld-musl-"):
            pattern, family = _MUSL, "musl"
            paths: Sequence[str] = [(headers.loader or "").lstrip("/")]
        else:
            pattern, family = _GLIBC, "glibc"
            paths = self._named(re.compile(r"libc\.so\.6|libc-2\.\d+\.so")) if loader.startswith("ld") else []
        for path in paths:
            data = self._read(path)
            elf = parse_elf(data)
            found = set(pattern.findall(data))
            # Other machines' libraries may be there too (Debian multiarch).
            if len(found) == 1 and elf is not None and elf.architecture == headers.architecture:
                major, minor = found.pop().decode().split(".")[:2]
                return f"{family} {major}.{minor}"
        raise TargetError(
            "base-libc-unknown",
            "the C library of the base's Python cannot be found",
            place=self._place,
            hint="wheels are chosen by it: take a base on glibc or musl whose Python is linked with it",
        )

    def _named(self, name: re.Pattern[str]) -> Sequence[str]:
        return [path for path, _ in self._tree.walk() if name.fullmatch(path.rpartition("/")[2])]

    def _read(self, path: str) -> bytes:
        if path not in self._files:
            self._files[path] = self._tree.read_files([path], max_size=_MAX_FILE).get(path, b"")
        return self._files[path]
