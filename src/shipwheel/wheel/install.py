"""Which files pip would put into a virtual environment for a wheel, and where. Writes none of them.

PyPA, "Binary distribution format" (spreading `.data`, rewriting `#!python`), "Recording installed
projects" (RECORD, INSTALLER, direct_url.json) and "Entry points" (console and gui scripts). Paths are
below the environment. REQUESTED is left out: whether a package is asked for or merely needed is not
a property of the wheel, and a layer made of it may not depend on it.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import posixpath
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from shipwheel.errors import IntegrityError
from shipwheel.wheel.archive import RecordRow, Wheel, WheelReader
from shipwheel.wheel.members import Member
from shipwheel.wheel.suites import without_suites

INSTALLER: Final = b"shipwheel\n"
_SCHEMES: Final = ("purelib", "platlib", "headers", "scripts", "data")
# An entry-point script beside which setuptools once put the wrappers it made; pip skips those.
_WRAPPER_ENDINGS: Final = (".exe", "-script.py", ".pya")
_SCRIPT_LIMIT: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedFile:
    """What takes a member's place: a file at `path` of `size` bytes; `hash` as in RECORD, `sha256=…`."""

    path: Path
    size: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledFile:
    """One file below the environment. Its content is a member's, or `content`, or compiled from `source`.

    `source` is set for bytecode alone: the path of the .py file below the environment. `size` of
    bytecode is not known here and 0. `changed` stands for the member where it is set.
    """

    path: str
    mode: int = 0o644
    size: int = 0
    member: Member | None = None
    content: bytes | None = None
    source: str | None = None
    changed: ChangedFile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPoint:
    """A command: `name` runs `attr` of `module`."""

    name: str
    module: str
    attr: str
    section: Literal["console", "gui"]


def site_packages(python: str) -> str:
    """Return where modules go below the environment, for a Python version as `3.13` or `3.13.5`."""
    major, minor = python.split(".")[:2]
    return f"lib/python{major}.{minor}/site-packages"


def install_paths(wheel: Wheel, *, python: str) -> dict[str, str]:
    """Return where each member goes below the environment, by its path in the archive, sorted by that.

    Raises IntegrityError `bad-data-folder`.
    """
    return {member.path: _place(wheel, member, python) for member in wheel.members}


def python_sources(
    wheel: Wheel, *, python: str, without: Collection[str] = ()
) -> tuple[tuple[str, Member], ...]:
    """Return the importable .py files (installed path, member), sorted: what to compile ahead.

    Test suites inside the package are no part of it: no program imports them.
    `without` are paths of members that are not installed.
    """
    library = site_packages(python) + "/"
    found = {
        _place(wheel, member, python): member for member in _in_order(wheel) if member.path not in without
    }
    sources = (path for path in sorted(found) if path.startswith(library) and path.endswith(".py"))
    return tuple((path, found[path]) for path in without_suites(sources))


def bytecode_path(source: str, cache_tag: str) -> str:
    """Return where an import looks for the bytecode of `source` (PEP 3147)."""
    folder, name = posixpath.split(source)
    return f"{folder}/__pycache__/{name.removesuffix('.py')}.{cache_tag}.pyc"


def installed_files(
    wheel: Wheel,
    reader: WheelReader,
    *,
    prefix: str,
    python: str,
    compiled: Iterable[str] = (),
    cache_tag: str = "",
    direct_url: Mapping[str, Any] | None = None,
    without: Collection[str] = (),
    changed: Mapping[str, ChangedFile] | None = None,
) -> tuple[InstalledFile, ...]:
    """Return every file that the wheel installs, sorted by path.

    `prefix` is the environment's absolute path in the image, `python` the version. `compiled` are the
    paths of `python_sources` that there is bytecode for. `direct_url` becomes direct_url.json (PEP
    610), for what comes from no index. Members in `without` are not installed, those in `changed` have
    other bytes; RECORD says what is there. Raises IntegrityError `bad-data-folder`, `bad-entry-point`,
    `overwrites-environment`, and those of reading members.
    """
    executable = f"{prefix.rstrip('/')}/bin/python"
    points = read_entry_points(wheel, reader)
    info = f"{site_packages(python)}/{wheel.dist_info}"
    files: dict[str, InstalledFile] = {}
    rows: dict[str, RecordRow] = {}
    for member in _in_order(wheel):
        if member.path in without:
            continue
        script = _is_script(member.path)
        if script and _is_wrapper(member.path, points):
            continue
        file = _copied(member, _place(wheel, member, python), script=script)
        if script and (rewritten := _rewrite_script(reader, member, executable)) is not None:
            file = _made(file.path, rewritten, mode=0o755)
        elif changed and (other := changed.get(member.path)) is not None:
            file = InstalledFile(path=file.path, mode=file.mode, size=other.size, changed=other)
        files[file.path] = file
        rows[file.path] = _row(file, wheel.record.get(member.path))
    own: list[InstalledFile] = [_script(point, executable) for point in points]
    own.append(_made(f"{info}/INSTALLER", INSTALLER))
    if direct_url is not None:
        own.append(_made(f"{info}/direct_url.json", json.dumps(direct_url, sort_keys=True).encode()))
    for file in own:
        files[file.path] = file
        rows[file.path] = _row(file, None)
    for source in compiled:
        path = bytecode_path(source, cache_tag)
        files[path] = InstalledFile(path=path, source=source)
        # As pip: an installer's bytecode is listed and has no hash.
        rows[path] = RecordRow(hash="", size="")
    rows[f"{info}/RECORD"] = RecordRow(hash="", size="")
    files[f"{info}/RECORD"] = _made(f"{info}/RECORD", render_record(rows, site_packages(python)))
    _check_environment(files, wheel, python)
    return tuple(files[path] for path in sorted(files))


def read_entry_points(wheel: Wheel, reader: WheelReader) -> tuple[EntryPoint, ...]:
    """Return the wheel's commands, console before gui. Raises IntegrityError `bad-entry-point`."""
    member = wheel.by_path.get(f"{wheel.dist_info}/entry_points.txt")
    if member is None:
        return ()
    # 15 ms that a build without new wheels does not need.
    import importlib.metadata

    place = f"{wheel.filename}: {member.path}"
    try:
        text = reader.read(member).decode()
    except UnicodeDecodeError as error:
        raise IntegrityError("bad-entry-point", "not UTF-8", place=place) from error

    class Texts(importlib.metadata.Distribution):
        """The standard library's reader, which pip uses too, on a text that is in no folder yet."""

        def read_text(self, filename: str) -> str | None:
            return text if filename == "entry_points.txt" else None

        def locate_file(self, path: Any) -> Any:
            return path

    try:
        found = Texts().entry_points
    except (ValueError, TypeError, AttributeError) as error:
        raise IntegrityError("bad-entry-point", f"cannot be read: {error}", place=place) from error
    sections: tuple[Literal["console", "gui"], ...] = ("console", "gui")
    return tuple(
        _entry_point(point, section, place)
        for section in sections
        for point in found.select(group=f"{section}_scripts")
    )


# Entry points specification, "File format": `module:function`, and extras that mean nothing to an installer.
_FUNCTION: Final = re.compile(r"\s*([\w.]+)\s*:\s*([\w.]+)\s*(?:\[.*\]\s*)?")


def _entry_point(point: Any, section: Literal["console", "gui"], place: str) -> EntryPoint:
    match = _FUNCTION.fullmatch(point.value)
    if match is None:
        raise IntegrityError(
            "bad-entry-point",
            f"the command {point.name!r} is to run {point.value!r}, not module:function",
            place=place,
        )
    if "/" in point.name or "\0" in point.name or point.name in ("", ".", ".."):
        raise IntegrityError("bad-entry-point", f"a command cannot be called {point.name!r}", place=place)
    return EntryPoint(name=point.name, module=match[1], attr=match[2], section=section)


def render_record(rows: Mapping[str, RecordRow], library: str) -> bytes:
    """Return RECORD for files below the environment; its paths are relative to `library`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(
        sorted((posixpath.relpath(path, library), row.hash, row.size) for path, row in rows.items())
    )
    return text.getvalue().encode("utf-8", "surrogatepass")


def _in_order(wheel: Wheel) -> Sequence[Member]:
    """The members in the order pip installs them: a later one takes the place of an earlier one."""
    return sorted(
        wheel.members, key=lambda member: (_is_data(member.path) + _is_script(member.path), member.path)
    )


def _is_data(path: str) -> bool:
    return path.partition("/")[0].endswith(".data")


def _is_script(path: str) -> bool:
    return _is_data(path) and path.split("/")[1:2] == ["scripts"]


def _is_wrapper(path: str, points: Sequence[EntryPoint]) -> bool:
    name = posixpath.basename(path)
    for ending in _WRAPPER_ENDINGS:
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
            break
    return any(point.name == name for point in points)


def _place(wheel: Wheel, member: Member, python: str) -> str:
    library = site_packages(python)
    if not _is_data(member.path):
        return f"{library}/{member.path}"
    _, _, below = member.path.partition("/")
    scheme, _, rest = below.partition("/")
    if not rest or scheme not in _SCHEMES:
        raise IntegrityError(
            "bad-data-folder",
            f"a .data folder holds {', '.join(_SCHEMES)}, each with files, and nothing else",
            place=f"{wheel.filename}: {member.path}",
        )
    folders = {
        "purelib": f"{library}/",
        "platlib": f"{library}/",
        # As pip in a virtual environment, where `include` itself leads to the interpreter's headers.
        "headers": f"include/site/{library.split('/')[1]}/{wheel.name}/",
        "scripts": "bin/",
        "data": "",
    }
    return folders[scheme] + rest


def _rewrite_script(reader: WheelReader, member: Member, executable: str) -> bytes | None:
    """Return the script for this interpreter, or None where it does not ask for one."""
    if not next(reader.chunks(member), b"").startswith(b"#!python") or member.size > _SCRIPT_LIMIT:
        return None
    _, _, rest = reader.read(member).partition(b"\n")
    return b"#!" + executable.encode() + b"\n" + rest


def _script(point: EntryPoint, executable: str) -> InstalledFile:
    # 37 ms that a build without new wheels does not need.
    from installer.scripts import Script

    script = Script(point.name, point.module, point.attr, point.section)
    name, content = script.generate(executable, "posix")
    return _made(f"bin/{name}", content, mode=0o755)


def _copied(member: Member, path: str, *, script: bool) -> InstalledFile:
    # The specification has installers make scripts executable; pip leaves those without `#!python` alone.
    mode = 0o755 if member.executable or script else 0o644
    return InstalledFile(path=path, mode=mode, size=member.size, member=member)


def _made(path: str, content: bytes, *, mode: int = 0o644) -> InstalledFile:
    return InstalledFile(path=path, mode=mode, size=len(content), content=content)


def _row(file: InstalledFile, old: RecordRow | None) -> RecordRow:
    if file.changed is not None:
        return RecordRow(hash=file.changed.hash, size=str(file.changed.size))
    if file.content is None:
        return old or RecordRow(hash="", size="")
    digest = base64.urlsafe_b64encode(hashlib.sha256(file.content).digest()).rstrip(b"=").decode()
    return RecordRow(hash=f"sha256={digest}", size=str(len(file.content)))


def _check_environment(files: Mapping[str, InstalledFile], wheel: Wheel, python: str) -> None:
    """A wheel may write anywhere below the environment; what makes it one is not a wheel's to replace."""
    major, minor = python.split(".")[:2]
    own = ("pyvenv.cfg", "bin/python", f"bin/python{major}", f"bin/python{major}.{minor}")
    for path in own:
        if path in files or any(other.startswith(f"{path}/") for other in files):
            raise IntegrityError(
                "overwrites-environment",
                f"the wheel would replace the virtual environment's own {path}",
                place=wheel.filename,
            )
