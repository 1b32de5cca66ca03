"""`BuildPlan` → compose.yaml (compose-spec, without the obsolete `version`). Pure."""

from __future__ import annotations

import posixpath
from typing import Final

from shipwheel.plan.model import BuildPlan, DockerfilePlan
from shipwheel.render.text import own_region

_SERVICES: Final = {
    "postgres": (
        "image: postgres:17-alpine",
        "environment:",
        "  POSTGRES_DB: app",
        "  POSTGRES_USER: app",
        "  POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:-development}",
        "volumes:",
        "  - postgres:/var/lib/postgresql/data",
        "healthcheck:",
        '  test: ["CMD", "pg_isready", "--username", "app", "--dbname", "app"]',
        "  interval: 5s",
        "  retries: 12",
    ),
    "redis": (
        "image: redis:8-alpine",
        "healthcheck:",
        '  test: ["CMD", "redis-cli", "ping"]',
        "  interval: 5s",
        "  retries: 12",
    ),
}


def render_compose(plan: BuildPlan) -> str:
    """Return the file without its header. `plan.dockerfile` has to be there."""
    road = plan.dockerfile
    if road is None:
        raise ValueError("the plan is not for the Dockerfile road")
    lines = [
        "# IMAGES names the registry and folder that images are pushed to and caches come from.",
        "# HOST_UID and HOST_GID make files in the mounted source yours: `id -u`, `id -g`. `shipwheel dev` sets them.",
        "# CA_BUNDLE is a PEM file of certificates to trust, INDEX_LOGIN a file of NAME=value lines with",
        "# credentials of package indexes: both reach the build as secrets, and no image.",
        f"name: {compose_name(plan.project)}",
        "",
        "services:",
        "  # The first two are for building alone: no replica of them is ever started.",
        *_built("builder", "builder", plan, road, started=False),
        *_built("app", "app", plan, road, started=False),
        *_built("app-dev", "dev", plan, road, started=True),
        *_dev(plan, road),
    ]
    for service in road.services:
        lines += [
            f"  {service}:",
            '    profiles: ["services"]',
            *(f"    {line}" for line in _SERVICES[service]),
        ]
    lines += [
        *own_region("services", "  "),
        "",
        "volumes:",
        "  # The venv of app-dev: the mounted source does not hide it, and the host does not share it.",
        "  venv:",
        "  # The source, where SOURCE=source says that it is synced instead of mounted.",
        "  source:",
        *(["  postgres:"] if "postgres" in road.services else []),
        *own_region("volumes", "  "),
        "",
        "secrets:",
        "  ca:",
        "    file: ${CA_BUNDLE:-/dev/null}",
        "  index:",
        "    file: ${INDEX_LOGIN:-/dev/null}",
    ]
    return "\n".join(lines) + "\n"


def compose_name(title: str) -> str:
    """Return a Compose project name: lower-case letters, digits, dashes and underscores."""
    return (
        "".join(one if one.isalnum() or one in "-_" else "-" for one in title.lower()).lstrip("-_") or "app"
    )


def image_name(plan: BuildPlan, target: str) -> str:
    """Return the image's name without its folder, as `shop-app`."""
    return f"{compose_name(plan.project)}-{target}"


def _built(service: str, target: str, plan: BuildPlan, road: DockerfilePlan, *, started: bool) -> list[str]:
    def named(name: str) -> str:
        return f"${{IMAGES:-localhost}}/{image_name(plan, name)}:latest"

    lines = [
        f"  {service}:",
        f"    image: {named(service)}",
        "    build:",
        f"      context: {road.context}",
        f"      dockerfile: {posixpath.join(road.folder, 'Dockerfile')}",
        f"      target: {target}",
        "      secrets: [ca, index]",
    ]
    # Every image carries the records of how it was built, as a cache for others.
    lines += ["      args:", '        BUILDKIT_INLINE_CACHE: "1"']
    if target == "dev":
        lines += ["        USER_UID: ${HOST_UID:-1000}", "        USER_GID: ${HOST_GID:-1000}"]
    lines += [
        "      # What a registry has of these images is not built again; to put it there: docker compose push.",
        "      cache_from:",
        *(f"        - type=registry,ref={named(name)}" for name in dict.fromkeys(("builder", service))),
    ]
    if not started:
        lines += ["    deploy:", "      replicas: 0"]
        if target == "app":
            lines += [
                "    read_only: true",
                "    cap_drop: [ALL]",
                '    security_opt: ["no-new-privileges:true"]',
                "    tmpfs: [/tmp]",
                *_ports(plan),
            ]
    return lines


def _dev(plan: BuildPlan, road: DockerfilePlan) -> list[str]:
    source = "/src" if road.folder else plan.paths.workdir
    watched = sorted({posixpath.relpath(path, road.folder or ".") for path in road.manifests})
    return [
        "    init: true",
        "    volumes:",
        f"      - ${{SOURCE:-{road.context}}}:{source}",
        f"      - venv:{plan.paths.venv}",
        *_ports(plan),
        "    develop:",
        "      watch:",
        "        # For engines on another machine, where nothing can be mounted: SOURCE=source docker compose up --watch",
        "        - action: sync",
        f"          path: {road.context}",
        f"          target: {source}",
        "          ignore: [.venv/, .git/]",
        *(line for path in watched for line in ("        - action: rebuild", f"          path: {path}")),
        *own_region("app-dev", "    "),
    ]


def _ports(plan: BuildPlan) -> list[str]:
    if not plan.ports.value:
        return []
    return [
        "    ports:",
        *(f'      - "127.0.0.1:{port.partition("/")[0]}:{port}"' for port in plan.ports.value),
    ]
