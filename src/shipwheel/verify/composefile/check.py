"""Check a compose file beside an image: reads it and the Dockerfiles that it names, asks the rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from shipwheel.errors import UsageError
from shipwheel.verify.composefile import exposed, running
from shipwheel.verify.composefile.read import ComposeFile, Service, read_compose
from shipwheel.verify.fast import imported_sources
from shipwheel.verify.installed import find_program
from shipwheel.verify.model import Finding, NotChecked, Place, Result, Rule
from shipwheel.verify.recipe.parse import parse_dockerfile, split_stages, start_of
from shipwheel.verify.subject import Subject

RULES: Final = (*exposed.RULES, *running.RULES)
# The names that compose looks for, in its order (compose-spec, "Compose file").
NAMES: Final = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")


def find_compose(folder: Path) -> Path | None:
    """Return the compose file that is in `folder`."""
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def check(subject: Subject, path: Path | None) -> Iterator[Result]:
    """Yield what is wrong with the compose file at `path`, whose own services run the image of `subject`."""
    if path is None:
        for rule in RULES:
            yield NotChecked(rule=rule, reason="there is no compose file (--compose)")
        return
    # Compose merges it without being asked (compose, "Merge Compose files").
    names = [path.with_name(f"{path.stem}.override{suffix}") for suffix in (".yaml", ".yml")]
    paths = [path, *(name for name in names if name.is_file())]
    try:
        files = [
            read_compose(str(one), one.read_bytes().decode("utf-8", "replace"), overridden=len(paths) > 1)
            for one in paths
        ]
    except UsageError as error:
        problem = error.problems[0]
        for rule in RULES:
            yield NotChecked(rule=rule, reason=f"{problem.place}: {problem.message}")
        return
    found: dict[str, tuple[Rule, list[Place]]] = {}
    for file in files:
        for rule, line, detail in (*exposed.check(file), *running.check(file, image_of(subject, file))):
            found.setdefault(rule.code, (rule, []))[1].append(
                Place(path=f"{file.name}:{line}", detail=detail)
            )
    for rule, told in found.values():
        places = list(dict.fromkeys(told))
        yield Finding(rule=rule, message="; ".join(place.detail for place in places[:4]), places=places)


def image_of(subject: Subject, file: ComposeFile) -> running.Image:
    """Return what the compose rules need to know of the image."""
    words = [
        running.health_program(
            [item.text for item in service.value.each("healthcheck", "test")]
            if (test := service.value.get("healthcheck", "test")) is not None and test.items
            else ["CMD-SHELL"]
        )
        for service in file.services
        if service.value.get("healthcheck") is not None
    ]
    return running.Image(
        venvs=tuple(f"/{folder}" for folder in _environments(subject)),
        compiled=_is_compiled(subject),
        health=subject.health is not None,
        programs={word: find_program(subject.evidence, word) is not None for word in words if word},
        starts={service.name: _start(file, service) for service in file.services if service.is_built},
    )


def _environments(subject: Subject) -> list[str]:
    return sorted(
        path.rpartition("/")[0]
        for path, node in subject.evidence.visible.items()
        if path.endswith("/pyvenv.cfg") and node.kind == "file"
    )


def _is_compiled(subject: Subject) -> bool | None:
    """Whether the packages have bytecode; None where no Python is known."""
    sources = [path for path, _ in imported_sources(subject) if subject.installed.owner(path) is not None]
    if not sources:
        return None
    with_bytecode = 0
    for path in sources:
        folder, _, name = path.rpartition("/")
        prefix = f"{name.removesuffix('.py')}.cpython-"
        node = subject.evidence.visible.get(f"{folder}/__pycache__")
        with_bytecode += node is not None and any(child.startswith(prefix) for child in node.children)
    return with_bytecode * 2 >= len(sources)


def _start(file: ComposeFile, service: Service) -> str:
    """Return what a service's build target starts with, as far as its Dockerfile can be read from here."""
    build = service.value.get("build")
    if build is None or build.text_at("dockerfile_inline"):
        return ""
    context = build.text or build.text_at("context") or "."
    if re.search(r"://|\$", context):
        return ""
    path = Path(file.folder) / context / (build.text_at("dockerfile") or "Dockerfile")
    try:
        stages, _ = split_stages(parse_dockerfile(path.read_bytes().decode("utf-8", "replace")))
    except OSError:
        return ""
    return start_of(stages, build.text_at("target"))
