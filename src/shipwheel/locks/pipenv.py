"""Read Pipfile.lock (pipfile-spec 6) into the normal form. Chooses nothing; `select` does.

Categories become groups: `default` is production, `develop` is `dev`. Like requirements.txt it has hashes
and no file names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from packaging.pylock import PackageArchive, PackageDirectory, PackageVcs
from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.errors import LockError
from shipwheel.locks.document import Problems, check_addresses, read_text, without_credentials
from shipwheel.locks.model import (
    PRODUCTION,
    DirectSource,
    Lock,
    LockedPackage,
    LockInfo,
    Membership,
    Root,
)
from shipwheel.project.model import Project

_DEVELOP = frozenset({canonicalize_name("dev"), canonicalize_name("develop")})
_ARCHIVES = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz")


def read_pipfile_lock(path: Path, project: Project) -> Lock:
    """Read `path`; raises LockError with every problem of the file."""
    try:
        document = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise LockError(
            "bad-json",
            f"not valid JSON: {error.msg}",
            place=f"{path.name}:{error.lineno}",
            hint="pipenv lock",
        ) from error
    except RecursionError as error:
        raise LockError("bad-json", "nested too deeply", place=f"{path.name}:1") from error
    if isinstance(document, dict):
        check_addresses(document, path)
    problems = Problems(path.name)
    if not isinstance(document, dict) or not isinstance(document.get("_meta"), dict):
        raise LockError(
            "bad-lock",
            "no _meta: not a lock that Pipenv wrote",
            place=problems.place("_meta"),
            hint="pipenv lock",
        )
    meta = document["_meta"]
    sources = {
        str(source.get("name", number)): without_credentials(str(source.get("url", "")))
        for number, source in enumerate(problems.tables(meta, "sources", problems.place("_meta.sources")))
    }
    groups: dict[NormalizedName, tuple[()]] = {PRODUCTION: ()}
    joined: dict[tuple[object, ...], LockedPackage] = {}
    for category, entries in document.items():
        if category == "_meta" or not isinstance(entries, dict):
            continue
        names = _groups(category)
        groups.update(dict.fromkeys(names, ()))
        for name, entry in entries.items():
            place = problems.place(f"{category}.{name}")
            if not isinstance(entry, dict):
                problems.add("bad-lock", "an entry has to be a table", place)
                continue
            _join(
                joined, _package(name, entry, groups=names, sources=sources, place=place, problems=problems)
            )
    requires = problems.table(meta, "requires", problems.place("_meta.requires"))
    full, minor = (
        problems.version_of({"version": requires.get(key)}, problems.place(f"_meta.requires.{key}"))
        for key in ("python_full_version", "python_version")
    )
    locked = problems.table(meta, "hash", problems.place("_meta.hash"))
    problems.check()
    return Lock(
        info=LockInfo(
            kind="pipenv",
            path=path,
            lock_version=str(meta.get("pipfile-spec", "")),
            created_by="Pipenv",
            sources=sources,
        ),
        packages=tuple(joined.values()),
        flat=True,
        roots=(Root(name=project.name, groups=groups, aliases=frozenset({canonicalize_name("default")})),),
        evidence={"hash": locked, "sources": meta.get("sources")},
        python=f"=={full}" if full else f"=={minor}.*" if minor else "",
    )


def _groups(category: str) -> frozenset[NormalizedName]:
    if category == "default":
        return frozenset({PRODUCTION})
    return _DEVELOP if category == "develop" else frozenset({canonicalize_name(category)})


def _join(joined: dict[tuple[object, ...], LockedPackage], package: LockedPackage) -> None:
    """Add the package, or the group where another category has the same one."""
    key = (package.name, package.version, str(package.direct))
    other = joined.setdefault(key, package)
    if other is not package:
        joined[key] = replace(
            other,
            memberships=(*other.memberships, *package.memberships),
            hashes=tuple(sorted({*other.hashes, *package.hashes})),
        )


def _package(
    name: str,
    entry: Mapping[str, Any],
    *,
    groups: frozenset[NormalizedName],
    sources: Mapping[str, str],
    place: str,
    problems: Problems,
) -> LockedPackage:
    hashes = problems.texts(entry, "hashes", place)
    for value in hashes:
        problems.hashes(value, place)
    direct = _direct(entry, hashes, place, problems)
    version: str | None = None
    if direct is None:
        text = problems.text(entry, "version", place) or ""
        version = problems.version_of({"version": text.removeprefix("==")}, place)
        if not text.startswith("=="):
            problems.add("not-locked", f"{name} is not pinned with ==", place, "pipenv lock")
    index = problems.text(entry, "index", place)
    return LockedPackage(
        name=canonicalize_name(name),
        version=version,
        place=place,
        index=sources.get(index, None) if index is not None else None,
        direct=direct,
        hashes=tuple(sorted(hashes)) if direct is None else (),
        memberships=(Membership(groups, problems.text(entry, "markers", place) or ""),),
    )


def _direct(entry: Mapping[str, Any], hashes: object, place: str, problems: Problems) -> DirectSource | None:
    subdirectory = problems.text(entry, "subdirectory", place)
    known = dict(value.split(":", 1) for value in hashes if ":" in value) if isinstance(hashes, list) else {}
    vcs = next((kind for kind in ("git", "hg", "svn", "bzr") if kind in entry), None)
    if vcs is not None:
        commit = problems.text(entry, "ref", place)
        if not commit:
            problems.add("bad-lock", f"a {vcs} source without its ref", place)
            return None
        return PackageVcs(
            type=vcs, url=without_credentials(str(entry[vcs])), commit_id=commit, subdirectory=subdirectory
        )
    address = problems.text(entry, "file", place) or problems.text(entry, "path", place)
    if address is None:
        return None
    if "://" in address and not address.startswith("file://"):
        return PackageArchive(url=without_credentials(address), hashes=known, subdirectory=subdirectory)
    path = address.removeprefix("file://")
    if path.endswith(_ARCHIVES):
        return PackageArchive(path=path, hashes=known)
    return PackageDirectory(path=path, editable=bool(entry.get("editable")), subdirectory=subdirectory)
