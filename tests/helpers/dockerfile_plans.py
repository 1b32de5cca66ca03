"""Plans for the Dockerfile road, as small as they can be, for tests of what is rendered from them."""

from dataclasses import replace
from typing import Any

from shipwheel.plan.model import (
    BuildPlan,
    DockerfilePlan,
    Installer,
    PlannedBase,
    PlannedBytecode,
    PlannedMember,
    PlannedPaths,
    PlannedPins,
    PlannedPython,
    PlannedUser,
    Setting,
    Words,
)

HASH = f"sha256:{'a' * 64}"


def pins(*requires: str, version: str = "1.0") -> PlannedPins:
    return PlannedPins(
        requires=requires,
        version=version,
        requirements=tuple(f"{name.split('[')[0]}=={version} --hash={HASH}" for name in requires),
    )


def dockerfile_plan(installer: Installer = "poetry", **changes: Any) -> BuildPlan:
    """Return a plan for the project `shop`; `changes` are fields of its `dockerfile` part."""
    lock = {"poetry": "poetry.lock", "uv": "uv.lock", "pdm": "pdm.lock", "pip": "requirements.txt"}[installer]
    kind = {"pip": "requirements"}.get(installer, installer)
    road = DockerfilePlan(
        image="registry.example/python:3.13-slim",
        digest=HASH,
        installer=installer,
        lock_kind=kind,
        context=".",
        folder="",
        lock=lock,
        manifests=(lock,) if installer == "pip" else (lock, "pyproject.toml"),
        launcher=pins("pipx[uv]", version="1.18.4") if installer in ("poetry", "pdm") else None,
        tool=None if installer == "pip" else pins(installer, version="2.5.1"),
        wheel_tools=pins("installer", "editables"),
        build_systems=(pins("poetry-core"),),
        members=(PlannedMember(name="shop", folder="", build_system=0),),
        dev_packages=("git", "iputils-ping", "wget"),
        test=("python", "-m", "pytest"),
    )
    return BuildPlan(
        project="shop",
        version="1.0",
        mode="wheel",
        platform="linux/amd64",
        lock=f"{lock} ({kind} 2.1)",
        epoch=0,
        base=PlannedBase(kind="registry", reference=road.image, pin=HASH, source="default"),
        python=PlannedPython(
            version="3.13.5", libc="glibc 2.41", executable="/usr/local/bin/python3", source="default"
        ),
        user=PlannedUser(uid=65532, gid=65532, name="nonroot", home="/home/nonroot", source="default"),
        paths=PlannedPaths(
            workdir="/app",
            venv="/app/.venv",
            site_packages="/app/.venv/lib/python3.13/site-packages",
            python="/app/.venv/bin/python",
            source="default",
        ),
        entrypoint=Words(value=("/app/.venv/bin/shop",), source="the only script, shop"),
        cmd=Words(value=None, source="default"),
        env=(
            Setting(name="HOME", value="/home/nonroot", source="default"),
            Setting(name="PATH", value="/app/.venv/bin:/usr/bin", source="default"),
            Setting(name="PRICE", value='5 $ "net"', source="[tool.shipwheel.env]"),
        ),
        labels=tuple(
            Setting(name=f"org.opencontainers.image.{name}", value=value, source=name)
            for name, value in (("description", "sells"), ("title", "shop"), ("version", "1.0"))
        ),
        ports=Words(value=("8000",), source="[tool.shipwheel] ports"),
        volumes=Words(value=None, source="default"),
        stop_signal=None,
        bytecode=PlannedBytecode(enabled=True, interpreter="cpython", reason="default"),
        layers=(),
        dockerfile=replace(road, **changes),
    )
