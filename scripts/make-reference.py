"""Write docs/reference/*.md from the code: commands, settings, errors. `--check` tells whether they are current.

What is written here is what the program does: nobody copies an option's description by hand.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shipwheel import errors
from shipwheel.cli.main import COMMANDS
from shipwheel.plan.model import plan_schema
from shipwheel.project.settings import settings_schema
from shipwheel.verify.report.schema import report_schema

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "reference"
_NOTE = "<!-- Written by scripts/make-reference.py from the code; do not edit. -->\n"


def render_commands() -> str:
    """Return the page of all commands with their options."""
    parts = ["# Commands\n", _NOTE]
    for name, what in COMMANDS.items():
        module = importlib.import_module(f"shipwheel.cli.{name.replace('-', '_')}")
        parser = argparse.ArgumentParser(prog=f"shipwheel {name}", add_help=False)
        module.add_arguments(parser)
        text = (module.__doc__ or "").strip()
        parts += [f"## shipwheel {name}\n", f"{what[0].upper()}{what[1:]}.\n", f"{text}\n"]
        parts += [*_options(parser), ""]
    return "\n".join(parts)


def render_settings() -> str:
    """Return the page of `[tool.shipwheel]`."""
    definitions = settings_schema()["$defs"]
    parts = ["# Settings: `[tool.shipwheel]` in pyproject.toml\n", _NOTE]
    parts += ["Everything is optional, and an unknown key is an error with a suggestion.\n"]
    parts += ["`shipwheel schema settings` prints the JSON schema.\n"]
    tables = {"Settings": "tool.shipwheel"}
    rows: dict[str, list[str]] = {}
    for name, key in _tables(definitions, tables):
        rows[key] = [
            f"| `{field}` | {_type(about)} | {_default(about)} | {about.get('description', '')} |"
            for field, about in definitions[name]["properties"].items()
            if "$ref" not in about
        ]
    for key, lines in rows.items():
        parts += [f"## `[{key}]`\n", "| key | type | default | meaning |", "|---|---|---|---|", *lines, ""]
    return "\n".join(parts)


def render_errors() -> str:
    """Return the page of error codes by family, found where they are raised."""
    families = {
        name: family
        for name, family in vars(errors).items()
        if isinstance(family, type) and issubclass(family, errors.ShipwheelError)
    }
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in sorted((ROOT / "src" / "shipwheel").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        for name, code in _raised(ast.parse(path.read_text(encoding="utf-8"))):
            if name in families or name == "Problem":
                found[name][code].add(module.removeprefix("shipwheel.").removesuffix(".__init__"))
    parts = ["# Errors and exit codes\n", _NOTE]
    parts += [
        "Every error has a code that does not change, a place, and a hint. The exit code tells the family.\n"
    ]
    for name, family in sorted(families.items(), key=lambda item: item[1].exit_code):
        if name == "ShipwheelError":
            continue
        summary = (family.__doc__ or "").strip().splitlines()[0]
        parts += [f"## Exit {family.exit_code}: {name}\n", f"{summary}\n"]
        parts += [
            f"- `{code}` (from {', '.join(f'`{module}`' for module in sorted(modules))})"
            for code, modules in sorted(found[name].items())
        ]
        parts.append("")
    parts += ["## Codes told several at a time\n", "Collected by readers and raised together.\n"]
    parts += [
        f"- `{code}` (from {', '.join(f'`{module}`' for module in sorted(modules))})"
        for code, modules in sorted(found["Problem"].items())
    ]
    return "\n".join([*parts, ""])


def _json(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, indent=2) + "\n"


PAGES = {
    "commands.md": render_commands,
    "settings.md": render_settings,
    "errors.md": render_errors,
    "settings.schema.json": lambda: _json(settings_schema()),
    "plan.schema.json": lambda: _json(plan_schema()),
    "check.schema.json": lambda: _json(report_schema()),
}


def main() -> int:
    """Write the pages, or with `--check` say which are not current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 when a page is not current"
    )
    options = parser.parse_args()
    stale = []
    for name, render in PAGES.items():
        path, text = FOLDER / name, render()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale and options.check:
        print(f"not current: {', '.join(stale)}; run: make reference", file=sys.stderr)
        return 1
    return 0


def _options(parser: argparse.ArgumentParser, above: str = "") -> Iterator[str]:
    """Yield a line for each word a command takes; argparse's own help differs between Pythons."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield from _options(sub, f"{name} ")
            continue
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction):
            continue
        names = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        value = "" if action.nargs == 0 or not action.option_strings else f" {_metavar(action)}"
        yield f"- `{above}{names}{value}`: {action.help or ''}"


def _metavar(action: argparse.Action) -> str:
    if action.choices is not None:
        return "|".join(map(str, action.choices))
    return str(action.metavar or action.dest.upper())


def _tables(definitions: Mapping[str, Any], tables: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name, key in list(tables.items()):
        yield name, key
        inner = {
            about["$ref"].rpartition("/")[2]: f"{key}.{field}"
            for field, about in definitions[name]["properties"].items()
            if "$ref" in about
        }
        yield from _tables(definitions, inner)


def _type(about: Mapping[str, Any]) -> str:
    if "anyOf" in about:
        return " or ".join(_type(part) for part in about["anyOf"] if part.get("type") != "null")
    if about.get("type") == "array":
        return f"list of {_type(about.get('items', {}))}s"
    if "enum" in about:
        return " or ".join(f"`{value}`" for value in about["enum"])
    names = {"object": "table", "boolean": "boolean", "integer": "integer", "string": "string"}
    return names.get(about.get("type", ""), "value")


def _default(about: Mapping[str, Any]) -> str:
    default = about.get("default")
    if default in (None, [], {}):
        return "none"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _raised(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
        for argument in node.args[:1]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield name, argument.value
        for keyword in node.keywords:
            if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                yield name, str(keyword.value.value)


if __name__ == "__main__":
    sys.exit(main())
