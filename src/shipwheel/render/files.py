"""All files of the Dockerfile road, with their names and headers. Pure; `cli.init` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shipwheel.plan.model import BuildPlan
from shipwheel.render.bake import render_bake
from shipwheel.render.compose import render_compose
from shipwheel.render.devcontainer import render_devcontainer
from shipwheel.render.dockerfile import render_dockerfile
from shipwheel.render.ignore import render_dockerignore
from shipwheel.render.text import seal


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedFile:
    """A file: its path below the project's folder, and its whole text with empty regions of the user's own."""

    path: str
    text: str


def render_files(plan: BuildPlan) -> Sequence[RenderedFile]:
    """Return the files for `plan`, whose `dockerfile` has to be there."""
    road = plan.dockerfile
    if road is None:
        raise ValueError("the plan is not for the Dockerfile road")
    # Docker looks for <Dockerfile>.dockerignore first, and else in the context's root, which is not ours here.
    ignore = "Dockerfile.dockerignore" if road.folder else ".dockerignore"
    return (
        RenderedFile(path="Dockerfile", text=seal(render_dockerfile(plan))),
        RenderedFile(path=ignore, text=seal(render_dockerignore(plan))),
        RenderedFile(path="compose.yaml", text=seal(render_compose(plan))),
        RenderedFile(path=".devcontainer/devcontainer.json", text=seal(render_devcontainer(plan), "//")),
        RenderedFile(path="docker-bake.hcl", text=seal(render_bake(plan))),
    )
