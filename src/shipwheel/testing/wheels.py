"""Make wheels in memory, sound ones and ones broken in a named way. Installs and checks nothing.

The bytes depend on the arguments alone (fixed times, zlib at level 6), so that a test may write a
hash down.
"""

from __future__ import annotations

import base64
import hashlib
import io
import random
import stat
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

_TIME: Final = (2020, 2, 2, 0, 0, 0)

Breakage = Literal[
    "absolute-path",  # a member at /etc/…
    "bad-crc",  # a member's checksum is not its content's
    "bomb",  # a member of 64 MB of zeros that says it is small
    "duplicate-member",  # two members of one name with different content
    "encrypted",  # a member flagged as encrypted
    "lying-size",  # a member that is larger than its header says
    "missing-file",  # RECORD names a file that is not there
    "no-metadata",  # no METADATA
    "no-record",  # no RECORD
    "no-wheel-file",  # no WHEEL
    "not-a-zip",  # other bytes altogether
    "other-name",  # the .dist-info folder is another project's
    "symlink",  # a member that is a symbolic link
    "truncated",  # the second half is missing
    "two-dist-infos",  # two .dist-info folders
    "unknown-wheel-version",  # Wheel-Version: 9.0
    "unlisted-file",  # a file that RECORD does not name
    "wrong-record-hash",  # RECORD has another hash for a file
    "zip-slip",  # a member at ../../…
]
BREAKAGES: Final[tuple[Breakage, ...]] = get_args(Breakage)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeWheel:
    """A wheel (or sdist) in memory: its file name, its bytes, and the metadata an index may serve."""

    name: str
    version: str
    filename: str
    data: bytes = field(repr=False)
    metadata: bytes = field(default=b"", repr=False)

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.data)

    @property
    def sha256(self) -> str:
        """The sha256 of the bytes, in hex."""
        return self.hash("sha256")

    def hash(self, algorithm: str) -> str:
        """Return the hash of the bytes under hashlib's name for the algorithm, in hex."""
        return hashlib.new(algorithm, self.data).hexdigest()

    def write(self, folder: Path) -> Path:
        """Write the wheel under its own name into `folder`, which is made; return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.filename
        path.write_bytes(self.data)
        return path


def make_wheel(
    name: str,
    version: str = "1.0",
    files: Mapping[str, bytes | str] | None = None,
    *,
    tag: str = "py3-none-any",
    build: str = "",
    requires: Sequence[str] = (),
    requires_python: str | None = None,
    extras: Sequence[str] = (),
    scripts: Mapping[str, str] | None = None,
    gui_scripts: Mapping[str, str] | None = None,
    data: Mapping[str, bytes | str] | None = None,
    executable: Sequence[str] = (),
    padding: int = 0,
    broken: Breakage | None = None,
) -> MadeWheel:
    """Return a wheel of `name` (PyPA, "Binary distribution format").

    `files` maps paths in the archive to contents; None gives one module that holds `VERSION`.
    `scripts` maps console commands to `module:function`. `data` maps paths below `NAME-VERSION.data/`
    (`scripts/tool`, `data/share/x`, `purelib/…`) to contents. The paths in `executable` get the
    executable bit. `padding` adds a file of that many bytes which do not compress. `broken` breaks the
    wheel in that one way. Raises nothing of its own.
    """
    stem = _escape(name)
    info, extra_data = f"{stem}-{version}.dist-info", f"{stem}-{version}.data"
    members: dict[str, bytes] = {}
    if files is None:
        files = {f"{stem}/__init__.py": f'VERSION = "{version}"\n'}
    members |= {path: _bytes(content) for path, content in files.items()}
    members |= {f"{extra_data}/{path}": _bytes(content) for path, content in (data or {}).items()}
    if padding:
        # A seeded generator: bytes that do not compress and are the same everywhere.
        members[f"{stem}/padding.bin"] = random.Random(f"{name} {version}").randbytes(padding)  # noqa: S311
    metadata = _metadata(name, version, requires, requires_python, extras)
    pure = tag.endswith("-none-any")
    if broken == "other-name":
        info = f"somebody_else-{version}.dist-info"
    members[f"{info}/METADATA"] = metadata
    wheel_version = "9.0" if broken == "unknown-wheel-version" else "1.0"
    members[f"{info}/WHEEL"] = _wheel_file(wheel_version, tag, pure=pure, build=build)
    if entry_points := _entry_points(scripts, gui_scripts):
        members[f"{info}/entry_points.txt"] = entry_points
    listed = _break_members(members, info, broken)
    if broken != "no-record":
        members[f"{info}/RECORD"] = _record(listed, f"{info}/RECORD", broken)
    archive = _archive(members, frozenset(executable), broken)
    filename = "-".join(part for part in (stem, version, build, tag) if part) + ".whl"
    return MadeWheel(name=name, version=version, filename=filename, data=archive, metadata=metadata)


def make_sdist(name: str, version: str = "1.0", files: Mapping[str, bytes | str] | None = None) -> MadeWheel:
    """Return a `.tar.gz` with PKG-INFO and `files`, by default a project that hatchling builds."""
    import gzip
    import tarfile

    stem = _escape(name)
    metadata = _metadata(name, version, (), None, ())
    if files is None:
        files = {
            "pyproject.toml": '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
            f'[project]\nname = "{name}"\nversion = "{version}"\n',
            f"{stem}/__init__.py": f'VERSION = "{version}"\n',
        }
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in {"PKG-INFO": metadata, **files}.items():
            info = tarfile.TarInfo(f"{stem}-{version}/{path}")
            info.size = len(_bytes(content))
            archive.addfile(info, io.BytesIO(_bytes(content)))
    packed = gzip.compress(plain.getvalue(), mtime=0)
    return MadeWheel(
        name=name, version=version, filename=f"{stem}-{version}.tar.gz", data=packed, metadata=metadata
    )


def _escape(name: str) -> str:
    return name.replace("-", "_").replace(".", "_").lower()


def _bytes(content: bytes | str) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _metadata(
    name: str, version: str, requires: Sequence[str], requires_python: str | None, extras: Sequence[str]
) -> bytes:
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    if requires_python:
        lines.append(f"Requires-Python: {requires_python}")
    lines += [f"Provides-Extra: {extra}" for extra in extras]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    return ("\n".join(lines) + "\n").encode()


def _wheel_file(wheel_version: str, tag: str, *, pure: bool, build: str) -> bytes:
    python, abi, platform = tag.split("-")
    tags = [f"{p}-{a}-{m}" for p in python.split(".") for a in abi.split(".") for m in platform.split(".")]
    lines = [
        f"Wheel-Version: {wheel_version}",
        "Generator: shipwheel.testing",
        f"Root-Is-Purelib: {'true' if pure else 'false'}",
        *(f"Tag: {each}" for each in tags),
    ]
    if build:
        lines.append(f"Build: {build}")
    return ("\n".join(lines) + "\n").encode()


def _entry_points(scripts: Mapping[str, str] | None, gui_scripts: Mapping[str, str] | None) -> bytes:
    lines: list[str] = []
    for section, table in (("console_scripts", scripts), ("gui_scripts", gui_scripts)):
        if table:
            lines += [f"[{section}]", *(f"{name} = {value}" for name, value in sorted(table.items())), ""]
    return "\n".join(lines).encode()


def _break_members(members: dict[str, bytes], info: str, broken: Breakage | None) -> dict[str, bytes]:
    """Change `members` as `broken` asks; return what RECORD is to list."""
    if broken == "no-metadata":
        del members[f"{info}/METADATA"]
    elif broken == "no-wheel-file":
        del members[f"{info}/WHEEL"]
    elif broken == "two-dist-infos":
        members["other-2.0.dist-info/METADATA"] = members[f"{info}/METADATA"]
    elif broken == "absolute-path":
        members["/etc/shipwheel-was-here"] = b"absolute\n"
    elif broken == "zip-slip":
        members["../../shipwheel-was-here"] = b"slipped\n"
    elif broken == "symlink":
        members["link.py"] = b"/etc/passwd"
    elif broken == "bomb":
        members["bomb.bin"] = bytes(64 << 20)
    listed = dict(members)
    if broken == "missing-file":
        listed["gone.py"] = b"was here\n"
    elif broken == "unlisted-file":
        members["unlisted.py"] = b"stowaway = True\n"
    return listed


def _record(listed: Mapping[str, bytes], own: str, broken: Breakage | None) -> bytes:
    lines = []
    for position, (path, content) in enumerate(listed.items()):
        told = content + b"!" if broken == "wrong-record-hash" and position == 0 else content
        digest = base64.urlsafe_b64encode(hashlib.sha256(told).digest()).rstrip(b"=").decode()
        quoted = f'"{path}"' if "," in path else path
        lines.append(f"{quoted},sha256={digest},{len(content)}")
    return ("\n".join([*lines, f"{own},,"]) + "\n").encode()


def _archive(members: Mapping[str, bytes], executable: frozenset[str], broken: Breakage | None) -> bytes:
    if broken == "not-a-zip":
        return b"this is no zip archive\n" * 40
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path, content in members.items():
            mode = 0o755 if path in executable else 0o644
            kind = stat.S_IFLNK if broken == "symlink" and path == "link.py" else stat.S_IFREG
            archive.writestr(_member(path, kind | mode), content)
            if broken == "duplicate-member" and path == next(iter(members)):
                # Renamed below: zipfile warns of a second one, and a test run takes warnings for errors.
                archive.writestr(_member(_twin(path), kind | mode), content + b"# the second\n")
    data = buffer.getvalue()
    first = next(iter(members))
    size, crc = len(members[first]), zlib.crc32(members[first])
    match broken:
        case "truncated":
            data = data[: len(data) // 2]
        case "duplicate-member":
            data = data.replace(_twin(first).encode(), first.encode())
        case "bad-crc":
            data = _patch(data, first, offset=(14, 16), value=crc ^ 1)
        case "lying-size":
            data = _patch(data, first, offset=(22, 24), value=size - 1)
        case "bomb":
            data = _patch(data, "bomb.bin", offset=(22, 24), value=1000)
        case "encrypted":
            data = _patch(data, first, offset=(6, 8), value=1, width=2)
    return data


def _twin(path: str) -> str:
    """Return another path of the same length, to be overwritten with `path` in the archive."""
    return path[:-1] + ("z" if path[-1] != "z" else "y")


def _member(path: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path, _TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # Unix: the upper half of external_attr is the mode
    info.external_attr = mode << 16
    return info


def _patch(data: bytes, member: str, *, offset: tuple[int, int], value: int, width: int = 4) -> bytes:
    """Overwrite a field of `member` in its local header and in the central directory (APPNOTE 4.3)."""
    patched = bytearray(data)
    name = member.encode()
    for signature, length, at in ((b"PK\x03\x04", 30, offset[0]), (b"PK\x01\x02", 46, offset[1])):
        start = 0
        while (start := data.find(signature, start)) >= 0:
            if data[start + length : start + length + len(name)] == name:
                patched[start + at : start + at + width] = value.to_bytes(width, "little")
                break
            start += 1
    return bytes(patched)
