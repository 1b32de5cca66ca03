"""`BuildPlan` → .devcontainer/devcontainer.json (the Development Containers specification). Pure."""

from __future__ import annotations

import json

from shipwheel.plan.model import BuildPlan


def render_devcontainer(plan: BuildPlan) -> str:
    """Return the file without its header: the dev service of compose.yaml, opened in an editor."""
    road = plan.dockerfile
    if road is None:
        raise ValueError("the plan is not for the Dockerfile road")
    workspace = f"/src/{road.folder}" if road.folder else plan.paths.workdir
    body = {
        "name": plan.project,
        "dockerComposeFile": "../compose.yaml",
        "service": "app-dev",
        "runServices": ["app-dev"],
        "workspaceFolder": workspace,
        "remoteUser": plan.user.name,
        "overrideCommand": False,
        "shutdownAction": "stopCompose",
        "forwardPorts": [int(port.partition("/")[0]) for port in plan.ports.value or ()],
        "customizations": {
            "vscode": {
                "extensions": ["ms-python.python"],
                "settings": {"python.defaultInterpreterPath": f"{plan.paths.venv}/bin/python"},
            }
        },
    }
    lines = json.dumps(body, indent=2, ensure_ascii=False).split("\n")
    return "\n".join([*lines[:-1], "  // <own devcontainer>", "  // </own>", lines[-1]]) + "\n"
