"""Show what the image will be: base, interpreter, user, paths, environment, entry point, layers, and why."""

from __future__ import annotations

import argparse
import json
import os

from shipwheel.cli.console import human_size, open_console
from shipwheel.cli.options import add_project, add_selection, make_request, open_workshop, project_of
from shipwheel.errors import UsageError
from shipwheel.locks.model import Selected
from shipwheel.pipeline import Planned, plan
from shipwheel.plan.model import BuildPlan, LayerPlan, PlannedSlim, Words, plan_to_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's words."""
    add_project(parser)
    parser.add_argument(
        "--json", action="store_true", help="print the plans as JSON; `shipwheel schema plan`"
    )
    parser.add_argument("--why", metavar="NAME", help="who needs this package, and why this file")
    add_selection(parser)


def run(options: argparse.Namespace) -> int:
    """Plan and print."""
    project = project_of(options)
    request = make_request(options, project, os.environ)
    with open_console(quiet=options.quiet) as progress:
        planned = plan(request, open_workshop(options, project, progress))
    if options.why:
        print("\n\n".join(render_why(item, options.why) for item in planned))
    elif options.json:
        print(json.dumps([plan_to_json(item.plan) for item in planned], indent=2))
    else:
        print("\n\n".join(render_plan(item.plan) for item in planned))
    return 0


def render_plan(plan: BuildPlan) -> str:
    """Return the plan for people: a line a value, with where it came from."""
    rows = [
        ("project", f"{plan.project} {plan.version or '(dynamic version)'}", f"as {_MODES[plan.mode]}"),
        ("lock", plan.lock, ""),
        ("platform", plan.platform, ""),
        ("base", plan.base.reference, plan.base.source),
        ("", plan.base.pin, ""),
        ("python", f"{plan.python.version}, {plan.python.libc}", plan.python.source),
        ("", plan.python.executable, ""),
        (
            "user",
            f"{plan.user.uid}:{plan.user.gid} {plan.user.name}, home {plan.user.home}",
            plan.user.source,
        ),
        ("workdir", plan.paths.workdir, plan.paths.source),
        ("entrypoint", _words(plan.entrypoint), plan.entrypoint.source),
        ("cmd", _words(plan.cmd), plan.cmd.source),
        *(
            ("env" if not at else "", f"{item.name}={item.value}", item.source)
            for at, item in enumerate(plan.env)
        ),
        ("ports", _words(plan.ports), plan.ports.source),
        ("volumes", _words(plan.volumes), plan.volumes.source),
        ("bytecode", "compiled ahead" if plan.bytecode.enabled else "none", plan.bytecode.reason),
        *(() if plan.slim is None else (("slim", _slim(plan.slim), plan.slim.source),)),
        *(
            ("labels" if not at else "", f"{item.name}={item.value}", item.source)
            for at, item in enumerate(plan.labels)
        ),
    ]
    lines = [
        f"{name:<12}{value}{f'   ({source})' if source else ''}" for name, value, source in rows if value
    ]
    layers = [_layer(number, layer) for number, layer in enumerate(plan.layers, start=1)]
    known = sum(layer.size or 0 for layer in plan.layers)
    lines += [f"layers      {len(layers)}, at least {human_size(known)} to download", *layers]
    return "\n".join([*lines, *(f"hint: {hint}" for hint in plan.hints)])


def render_why(planned: Planned, name: str) -> str:
    """Return who needs `name` and why its file was chosen; raises UsageError `not-in-image`."""
    by_name = {str(item.name): item for item in planned.selected}
    item = by_name.get(name.lower().replace("_", "-").replace(".", "-"))
    if item is None:
        raise UsageError(
            "not-in-image",
            f"{name} is not among what is installed for {planned.plan.platform}",
            hint="`shipwheel plan` lists what is",
        )
    lines = [f"{item.name} {item.version or ''} for {planned.plan.platform}", f"  locked in {item.place}"]
    lines += [f"  {chain}" for chain in _chains(item, by_name)]
    lines.append(f"  {item.reason}")
    wheels = (wheel for layer in planned.plan.layers for wheel in layer.wheels)
    build = next((wheel.build for wheel in wheels if wheel.name == item.name), None)
    if build is not None:
        lines.append(f"  {_BUILDS[build]}")
    if item.alternatives:
        lines.append(f"  not chosen: {', '.join(item.alternatives)}")
    return "\n".join(lines)


_BUILDS = {
    "pure": "built here: it is Python alone, so that one wheel serves every platform",
    "native": "built here: compiled for the target among the packages of shipwheel.lock's [builder]",
}
_MODES = {"wheel": "a wheel", "source": "source, copied"}


def _chains(item: Selected, by_name: dict[str, Selected]) -> list[str]:
    """Return for each that needs `item` the shortest way from the project."""
    if not item.required_by:
        return ["needed by the project itself"]
    return [f"needed by {' ← '.join(_path(str(parent), by_name))}" for parent in item.required_by]


def _path(name: str, by_name: dict[str, Selected]) -> list[str]:
    seen, ways = {name}, [[name]]
    for way in ways:
        parents = by_name[way[-1]].required_by if way[-1] in by_name else ()
        if not parents:
            return [*way, "the project"]
        for parent in map(str, parents):
            if parent not in seen:
                seen.add(parent)
                ways.append([*way, parent])
    return [name]


def _layer(number: int, layer: LayerPlan) -> str:
    size = "" if layer.size is None else human_size(layer.size)
    versions = ", ".join(f"{wheel.name} {wheel.version or ''}".strip() for wheel in layer.wheels)
    what = versions if layer.wheels else layer.name
    return f"  {number:>3} {size:>10}  {layer.kind:<11} {what}   ({layer.reason})"


def _slim(slim: PlannedSlim) -> str:
    kept = f"; kept whole: {', '.join(slim.keep)}" if slim.keep else ""
    return f"without {', '.join(slim.drop)}{kept}; {'imported afterwards' if slim.verify else 'not tested'}"


def _words(words: Words) -> str:
    return "" if words.value is None else json.dumps(list(words.value), ensure_ascii=False)
