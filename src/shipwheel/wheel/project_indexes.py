"""Which indexes a project itself names: the sources of pyproject.toml, and the options in a requirements.txt."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shipwheel.locks.requirements import logical_lines
from shipwheel.wheel.indexes import (
    Found,
    Index,
    Role,
    expand,
    find_links,
    name_of,
    pdm_source,
    simple_index,
    strings_of,
    table_of,
    tables_of,
)

# An option of a requirements file that says where to look, as pip writes its short and long forms.
_OPTION = re.compile(
    r"(-i|-f|--index-url|--pypi-url|--extra-index-url|--find-links)(?:\s*=\s*|\s+|(?<=-[if]))(\S+)"
)


def read_options(path: Path, *, environ: Mapping[str, str], home: Path, seen: tuple[Path, ...] = ()) -> Found:
    """Read where a requirements.txt and those that it includes say to look (pip, "Requirements File Format").

    `${VARIABLES}` are put in. The index of `--index-url` stands for the default one. A file that cannot be
    read is left to the lock's reader. Raises HostError `bad-index-config`.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return Found()
    places: list[tuple[Role, Index]] = []
    no_index = False
    for line in logical_lines(text, path):
        words = re.sub(r"\$\{([A-Z0-9_]+)\}", lambda match: environ.get(match[1], match[0]), line.text)
        where = f"{path.name}:{line.number}"
        if option := _OPTION.fullmatch(words):
            if option[1] in ("-f", "--find-links"):
                places.append(("extra", find_links(option[2], where, folder=path.parent, home=home)))
            else:
                role: Role = "extra" if option[1] == "--extra-index-url" else "default"
                places.append((role, simple_index(option[2], where, folder=path.parent)))
        elif included := re.fullmatch(r"(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)", words):
            other = (path.parent / included[1]).resolve()
            if other not in seen:
                found = read_options(other, environ=environ, home=home, seen=(*seen, path.resolve()))
                places += found.places
                no_index = no_index or found.no_index
        elif words.strip() == "--no-index":
            no_index = True
    return Found(places=places, no_index=no_index)


def project_sources(
    data: Mapping[str, Any], root: Path, environ: Mapping[str, str], stored: Mapping[str, Any]
) -> Iterator[tuple[Role, Index]]:
    """Yield the sources that `pyproject.toml` names, with `${VARIABLES}` in PDM's put in.

    poetry.lock and uv.lock say of each package which source it is of. pdm.lock does not: all of PDM's
    sources are asked, but for those that serve some packages only; the one named pypi is the default.
    """
    tool = data.get("tool")
    tool = tool if isinstance(tool, dict) else {}
    for entry in tables_of(table_of(tool, "poetry").get("source")):
        if isinstance(url := entry.get("url"), str):
            yield "named", simple_index(url, "[[tool.poetry.source]]", folder=root, name=name_of(entry))
    yield from _uv_sources(table_of(tool, "uv"), root)
    for entry in tables_of(table_of(tool, "pdm").get("source")):
        if isinstance(url := entry.get("url"), str):
            # Logins may stand in PDM's settings instead.
            known = {**table_of(stored, name_of(entry) or ""), **entry}
            index = pdm_source(known, expand(url, environ), root, environ)
            if entry.get("name") == "pypi":
                yield "default", index
            else:
                yield "named" if entry.get("include_packages") else "extra", index


def _uv_sources(uv: Mapping[str, Any], root: Path) -> Iterator[tuple[Role, Index]]:
    for entry in tables_of(uv.get("index")):
        if isinstance(url := entry.get("url"), str):
            if entry.get("format") == "flat":
                yield (
                    "named",
                    find_links(url, "[[tool.uv.index]]", folder=root, home=root, name=name_of(entry)),
                )
            else:
                yield "named", simple_index(url, "[[tool.uv.index]]", folder=root, name=name_of(entry))
    for key in ("index-url", "extra-index-url"):
        value = uv.get(key)
        for url in [value] if isinstance(value, str) else strings_of(value):
            yield "named", simple_index(url, f"[tool.uv] {key}", folder=root)
    for url in strings_of(uv.get("find-links")):
        yield "named", find_links(url, "[tool.uv] find-links", folder=root, home=root)


def pipfile_sources(root: Path, environ: Mapping[str, str]) -> Iterator[tuple[Role, Index]]:
    """Yield the sources of a Pipfile that is locked: the first is the default one, others are asked by name."""
    if not (root / "Pipfile.lock").is_file():
        return
    try:
        data = tomllib.loads((root / "Pipfile").read_text("utf-8"))
    except (OSError, ValueError):
        # Its own reader reports it.
        return
    for number, entry in enumerate(tables_of(data.get("source"))):
        if isinstance(url := entry.get("url"), str):
            index = simple_index(expand(url, environ), "Pipfile [[source]]", folder=root, name=name_of(entry))
            yield "named" if number else "default", index
