"""Measure everything that happens to a web service, from the first build to the daily edit."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from measure import HERE, ROOT, SHIPWHEEL, Bench, Row, build_command, new_bytes

LOCK = "poetry.lock"


def measure_shop(bench: Bench) -> tuple[list[Row], dict[str, int]]:
    """Return the rows, and the bytes of new layers by kind of change."""
    shop = bench.copy(ROOT / "examples" / "shop")
    build = build_command(bench, shop)
    # The older release first, so that there is an upgrade to measure.
    lock = shop / LOCK
    lock.write_text(with_older_sqlalchemy(lock.read_text()))
    source, manifest = shop / "src/shop/app.py", shop / "pyproject.toml"
    code, project = source.read_text(), manifest.read_text()

    def edit(number: int) -> None:
        source.write_text(f"{code}\n# edit {number}\n")

    def bump(number: int) -> None:
        manifest.write_text(project.replace('"0.3.0"', f'"0.3.{number + 10}"'))

    rows = [
        bench.measure("`shipwheel --version`", [SHIPWHEEL, "--version"], goal="0.1 s"),
        bench.measure("shop: first build, nothing cached, with the network", build, repeat=1),
        bench.measure("shop: nothing changed", build, goal="0.3 s"),
        bench.measure("shop: one line of code edited", build, goal="0.5 s", before=edit),
    ]
    source.write_text(code)
    rows.append(bench.measure("shop: version bumped in pyproject.toml", build, goal="0.5 s", before=bump))
    manifest.write_text(project)
    pushed = {}
    original = bench.built(shop)
    edit(1000)
    pushed["one line of code edited"] = new_bytes(original, bench.built(shop))
    source.write_text(code)
    bump(1000)
    pushed["version bumped"] = new_bytes(original, bench.built(shop))
    manifest.write_text(project)
    rows.append(_measure_upgrade(bench, shop, build))
    pushed["one dependency upgraded (SQLAlchemy)"] = new_bytes(original, bench.built(shop))
    rows.append(
        bench.measure(
            "shop: everything made again from downloads (`--no-cache`)", [*build, "--no-cache"], repeat=3
        )
    )
    return rows, pushed


def _measure_upgrade(bench: Bench, shop: Path, build: Sequence[str]) -> Row:
    """One dependency at another version: each round starts where the other version had been built."""
    output = bench.folder / "shop.oci"
    kept = bench.folder / "kept"
    _link_tree(bench.cache, kept / "cache")
    _link_tree(output, kept / "output")
    (shop / LOCK).write_text((ROOT / "examples" / "shop" / LOCK).read_text())
    bench.output(build)
    # The new wheel is there already: how quick the network is says nothing of us.
    _link_tree(bench.cache / "v1" / "files", kept / "cache" / "v1" / "files")

    def restore(_: int) -> None:
        for name, place in (("cache", bench.cache), ("output", output)):
            shutil.rmtree(place)
            _link_tree(kept / name, place)

    return bench.measure("shop: one dependency upgraded (SQLAlchemy)", build, before=restore)


def _link_tree(source: Path, target: Path) -> None:
    """Copy a tree by hard links, into what is there: a cache's and a layout's files are never changed."""
    for path in source.rglob("*"):
        copy = target / path.relative_to(source)
        if path.is_dir() and not path.is_symlink():
            copy.mkdir(parents=True, exist_ok=True)
        elif not copy.exists() and not copy.is_symlink():
            copy.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, copy, follow_symlinks=False)


def with_older_sqlalchemy(lock: str) -> str:
    """Return poetry.lock with SQLAlchemy's package replaced by that of an older patch release."""
    older = (HERE / "older-sqlalchemy.toml").read_text().partition("\n")[2]
    blocks = re.split(r"(?=^\[\[package\]\]\n)", lock, flags=re.MULTILINE)
    return "".join(f"{older}\n" if 'name = "sqlalchemy"\n' in block else block for block in blocks)
