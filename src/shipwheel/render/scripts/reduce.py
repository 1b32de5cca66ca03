"""Write what of the manifests affects installation: no other edit of them touches the layers above."""

import hashlib
import importlib
import json
import os
import pathlib
import re
import sys
from typing import Any, Dict, Tuple

TOML = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "pip._vendor.tomli")
PROJECT = ("name", "requires-python", "dependencies", "optional-dependencies")
POETRY = ("dependencies", "group", "source", "extras", "dev-dependencies", "requires-plugins")


def pick(table: Dict[str, Any], keys: Tuple[str, ...]) -> Dict[str, Any]:
    """Return what the table has of the keys."""
    return {key: table[key] for key in keys if key in table}


def pyproject(text: str) -> str:
    """Return a pyproject.toml that installs the same, and whose lock is as fresh or stale."""
    data = TOML.loads(text)
    tool = data.get("tool", {})
    kept = pick(data, ("build-system", "dependency-groups"))
    if "project" in data:
        dynamic = [key for key in data["project"].get("dynamic", ()) if key in PROJECT]
        kept["project"] = {"version": "0", **pick(data["project"], PROJECT)}
        kept["project"].update({"dynamic": dynamic} if dynamic else {})
    tools = {}
    if "poetry" in tool:
        tools["poetry"] = {"package-mode": False, **pick(tool["poetry"], POETRY)}
    if "uv" in tool:
        tools["uv"] = {key: value for key, value in tool["uv"].items() if key != "build-backend"}
    if "pdm" in tool:
        tools["pdm"] = pick(tool["pdm"], ("source", "dev-dependencies", "resolution", "options", "workspace"))
    return "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in {**kept, "tool": tools}.items())


def toml(value: Any) -> str:
    """Return the value as TOML, tables inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(str(key))} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    # JSON writes strings, numbers and booleans as TOML does; what is left are dates.
    return (
        json.dumps(value, ensure_ascii=False) if isinstance(value, (str, int, float)) else value.isoformat()
    )


def uv_lock(text: str) -> str:
    """Return a uv.lock that knows no version of the projects whose source is here."""
    head, *packages = re.split(r"(?m)^(?=\[\[package\]\]$)", text)
    local = re.compile(r"(?m)^source = \{ (editable|virtual|directory) = ")
    version = re.compile(r"(?m)^version = .*$")
    parts = [version.sub('version = "0"', part, count=1) if local.search(part) else part for part in packages]
    return head + "".join(parts)


def pdm_lock(text: str) -> str:
    """Return a pdm.lock without the packages whose source is here: they are built later, with pinned tools."""
    head, *packages = re.split(r"(?m)^(?=\[\[package\]\]$)", text)
    folder = re.compile(r"(?m)^path = .*(?<!\.whl)(?<!\.tar\.gz)(?<!\.zip)\"$")
    return head + "".join(part for part in packages if not folder.search(part))


def pylock(text: str) -> str:
    """Return a pylock.toml without the packages whose source is here."""
    head, *packages = re.split(r"(?m)^(?=\[\[packages\]\]$)", text)
    folder = re.compile(r"(?m)^(directory = |\[packages\.directory\])")
    return head + "".join(part for part in packages if not folder.search(part))


def pipfile_lock(text: str) -> str:
    """Return a Pipfile.lock without the packages whose source is here; it keeps the hash of the Pipfile."""
    data = json.loads(text)
    for group, packages in data.items():
        if group != "_meta":
            data[group] = {name: item for name, item in packages.items() if "path" not in item}
    return json.dumps(data, indent=4, sort_keys=True)


def requirements(text: str) -> str:
    """Return a requirements file without the lines that name a folder."""
    folder = re.compile(
        r"(?:-e|--editable)[\s=]+(?!\w+\+|https?:)|\.{0,2}/|\.{1,2}(?:$|\s)|file:|[\w.-]+\s*(?:\[[^\]]*\]\s*)?@\s*(?:file:|\.{0,2}/)"
    )
    archive = re.compile(r"\.(?:whl|zip|tar\.gz|tar\.bz2|tgz|tar\.xz)(?:$|[\s;#])")
    # A backslash at the end of a line continues it.
    lines = re.findall(r"(?:[^\\\n]|\\.|\\\n)*\n?", text)
    return "".join(line for line in lines if not folder.match(line.strip()) or archive.search(line))


READERS = (
    ("pyproject.toml", pyproject),
    ("uv.lock", uv_lock),
    ("pdm.lock", pdm_lock),
    ("Pipfile.lock", pipfile_lock),
    (".txt", requirements),
    (".in", requirements),
)


def main(source: str, target: str, *names: str) -> None:
    """Reduce the files `names` below `source` into `target`; put a hash over all beside it."""
    fingerprint = hashlib.sha256()
    for name in names:
        text = (pathlib.Path(source) / name).read_text("utf-8")
        base = name.rsplit("/", 1)[-1]
        reader = next((reader for ending, reader in READERS if base.endswith(ending)), None)
        if base.startswith("pylock."):
            reader = pylock
        path = pathlib.Path(target) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        reduced = (reader(text) if reader else text).encode()
        path.write_bytes(reduced)
        fingerprint.update(b"%d %s " % (len(reduced), name.encode()) + reduced)
    beside = pathlib.Path(target).parent / "fingerprint"
    beside.write_text(f"{fingerprint.hexdigest()}\n", "utf-8")
    # For builders that look at dates when they decide whether a copied file is another one.
    for path in (beside, pathlib.Path(target), *pathlib.Path(target).rglob("*")):
        os.utime(path, (0, 0))


main(*sys.argv[1:])
