"""The `BuildPlan`: everything an image will be, as data with a published JSON schema.

Both roads obey it: `assemble` makes the image from it, `render` writes it as a Dockerfile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

SCHEMA: Final = "shipwheel.plan/1"

Installer = Literal["poetry", "uv", "pdm", "pipenv", "pip"]
LayerKind = Literal["base", "bytecode", "skeleton", "wheel", "wheels", "first-party", "app"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBase:
    """What the image stands on. `reference` names it for people, `pin` is the hash that locks it."""

    kind: Literal["debian", "registry", "layout"]
    reference: str
    pin: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPython:
    """The interpreter: full version, C library, and its path in the base."""

    version: str
    libc: str
    executable: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedUser:
    """Who the container runs as."""

    uid: int
    gid: int
    name: str
    home: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPaths:
    """Where things are in the image."""

    workdir: str
    venv: str
    site_packages: str
    python: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A name, its value, and where the value came from."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A list of words that may be unset (None), which differs from empty, and where it came from."""

    value: Sequence[str] | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBytecode:
    """Whether Python files are compiled ahead; `interpreter` names what compiles, or `reason` says why not."""

    enabled: bool
    interpreter: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSlim:
    """What is left out of locked packages, but for those in `keep`; `verify`: they are imported afterwards."""

    drop: Sequence[str]
    keep: Sequence[str]
    verify: bool
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedWheel:
    """One distribution to install: `file` as in the lock, `hash` as `sha256:<hex>`, `size` in bytes.

    `build` is None for a wheel as it is; a source is `pure`, and built by any Python, or `native`, and
    compiled for the target. `slim` says what is left out of it, as "tests".
    """

    name: str
    version: str | None
    file: str
    hash: str | None
    size: int | None
    build: Literal["pure", "native"] | None = None
    slim: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlan:
    """One layer: its wheels, bytes to download where they are known, why it is one, and its key.

    `key` follows from locked data alone; None where it follows from the project's own files.
    """

    name: str
    kind: LayerKind
    reason: str
    key: str | None = None
    size: int | None = None
    wheels: Sequence[PlannedWheel] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPins:
    """Packages that a step of a Dockerfile installs: what was asked for, and pip's requirements with hashes.

    `version` is the one of the first package asked for.
    """

    requires: Sequence[str]
    version: str
    requirements: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMember:
    """A first-party project: `folder` below the context ("" for the context itself).

    `build_system` counts in `DockerfilePlan.build_systems`; None for source that is copied.
    """

    name: str
    folder: str
    build_system: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerfilePlan:
    """What the Dockerfile road needs beside the rest of the plan. Paths are below the build context.

    `image` is the base's name with tag, `digest` its pin (None: taken as the tag is on the day).
    `context` leads from the project's folder to the context ("." or as "../.."), `folder` back.
    `launcher` is pipx, which installs the tool (None for uv and pip); `manifests` are the files that
    decide what is installed. `services` are those that the locked clients speak to, as "postgres".
    """

    image: str
    digest: str | None
    installer: Installer
    lock_kind: str
    context: str
    folder: str
    lock: str
    manifests: Sequence[str]
    launcher: PlannedPins | None
    tool: PlannedPins | None
    wheel_tools: PlannedPins
    build_systems: Sequence[PlannedPins]
    members: Sequence[PlannedMember]
    packages: Sequence[str] = ()
    build_packages: Sequence[str] = ()
    dev_packages: Sequence[str] = ()
    groups: Sequence[str] = ()
    extras: Sequence[str] = ()
    dev_requirements: str | None = None
    sudo: bool = True
    test: Sequence[str] = ()
    services: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """An image for one platform. `hints` are things a person may want to know; they decide nothing.

    `dockerfile` is there where the plan is for the Dockerfile road, `slim` where something is left out.
    """

    project: str
    version: str | None
    mode: Literal["wheel", "source"]
    platform: str
    lock: str
    epoch: int
    base: PlannedBase
    python: PlannedPython
    user: PlannedUser
    paths: PlannedPaths
    entrypoint: Words
    cmd: Words
    env: Sequence[Setting]
    labels: Sequence[Setting]
    ports: Words
    volumes: Words
    stop_signal: str | None
    bytecode: PlannedBytecode
    layers: Sequence[LayerPlan]
    hints: Sequence[str] = ()
    dockerfile: DockerfilePlan | None = None
    slim: PlannedSlim | None = None
    schema: Literal["shipwheel.plan/1"] = "shipwheel.plan/1"

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment variables by name."""
        return {variable.name: variable.value for variable in self.env}


def plan_to_json(plan: BuildPlan) -> dict[str, Any]:
    """Return the plan as JSON values that fit `plan_schema()`."""
    import msgspec

    data: dict[str, Any] = msgspec.to_builtins(plan)
    return data


def plan_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of a plan."""
    from shipwheel.project.settings import json_schema

    return json_schema(BuildPlan, "https://shipwheel.invalid/schemas/plan-1.json")
