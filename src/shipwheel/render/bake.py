"""`BuildPlan` → docker-bake.hcl, for `docker buildx bake`. Pure."""

from __future__ import annotations

import posixpath

from shipwheel.plan.model import BuildPlan, DockerfilePlan
from shipwheel.render.compose import compose_name
from shipwheel.render.text import own_region

_TARGETS = ("builder", "app", "dev", "test")


def render_bake(plan: BuildPlan) -> str:
    """Return the file without its header. `plan.dockerfile` has to be there.

    Target names hold the project's name: the files of several services can be given to one `bake -f … -f …`.
    """
    road = plan.dockerfile
    if road is None:
        raise ValueError("the plan is not for the Dockerfile road")
    name = compose_name(plan.project)
    dockerfile = posixpath.join(road.folder, "Dockerfile")
    lines = [
        "# docker buildx bake            builds the app image",
        f"# docker buildx bake {name}-test    runs the suite",
        "# docker buildx bake all        builds every stage that is an image",
        *_several(name, road),
        *_variable("IMAGES", "localhost", "registry and folder of the images"),
        *_variable("TAG", "latest", "tag of the images"),
        *_variable("PLATFORMS", "", "as linux/amd64,linux/arm64; empty: the builder's own"),
        *_variable("CACHE", "", "a registry reference for caches; empty: none"),
        *_variable("CONTEXT", road.context, "the build context, seen from here"),
        "",
        "# Both reach the build as secrets, and no image. A file that is not below this folder has to be allowed:",
        "# docker buildx bake --allow fs.read=FILE",
        *_variable("CA_BUNDLE", "", "PEM file of certificates to trust"),
        *_variable("INDEX_LOGIN", "", "file of NAME=value lines with credentials of package indexes"),
        "",
        'group "default" {',
        f'  targets = ["{name}"]',
        "}",
        "",
        'group "all" {',
        f"  targets = [{', '.join(_quoted(_target(name, one)) for one in _TARGETS if one != 'test')}]",
        "}",
    ]
    for target in _TARGETS:
        lines += [
            "",
            f'target "{_target(name, target)}" {{',
            "  context    = CONTEXT",
            f'  dockerfile = "{dockerfile}"',
            f'  target     = "{target}"',
            "  secret = concat(",
            '    equal(CA_BUNDLE, "") ? [] : ["id=ca,src=${CA_BUNDLE}"],',
            '    equal(INDEX_LOGIN, "") ? [] : ["id=index,src=${INDEX_LOGIN}"],',
            "  )",
        ]
        if target == "test":
            lines += ['  output     = ["type=cacheonly"]']
        else:
            lines += [
                f'  tags       = ["${{IMAGES}}/{name}-{target}:${{TAG}}"]',
                '  platforms  = equal(PLATFORMS, "") ? [] : split(",", PLATFORMS)',
                f'  cache-from = equal(CACHE, "") ? [] : ["type=registry,ref=${{CACHE}}:{name}"]',
                f'  cache-to   = equal(CACHE, "") ? [] : ["type=registry,ref=${{CACHE}}:{name},mode=max"]',
            ]
        lines.append("}")
    return "\n".join([*lines, "", *own_region("bake")]) + "\n"


def _several(name: str, road: DockerfilePlan) -> list[str]:
    """Say how this file is used beside others. Bake takes paths from where it is started, not from the file."""
    files = "-f a/docker-bake.hcl -f b/docker-bake.hcl a b"
    if road.folder:
        return [
            f"# From the context's folder, several services at once: CONTEXT=. docker buildx bake {files}"
        ]
    return [
        f"# From another folder, several services at once: docker buildx bake {files} \\",
        f"#   --set {name}*.context=a --set …",
    ]


def _target(name: str, stage: str) -> str:
    return name if stage == "app" else f"{name}-{stage}"


def _variable(name: str, value: str, what: str) -> list[str]:
    return [
        "",
        f"# {what[0].upper()}{what[1:]}.",
        f'variable "{name}" {{',
        f"  default = {_quoted(value)}",
        "}",
    ]


def _quoted(value: str) -> str:
    return f'"{value}"'
