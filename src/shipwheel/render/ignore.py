"""The .dockerignore: what must not reach a builder. Pure; `project.files` has the native road's list."""

from __future__ import annotations

from shipwheel.plan.model import BuildPlan
from shipwheel.render.text import own_region
from shipwheel.staged import STAGED_NAMES

# Each at any depth: Docker's patterns begin at the context's root unless they start with **/.
_GROUPS = (
    ("Version control", (".git", ".hg", ".svn", ".gitignore", ".gitattributes", ".github", ".gitlab-ci.yml")),
    (
        "Secrets",
        (".env", ".env.*", "!**/.env.example", ".netrc", ".pypirc", ".ssh", ".aws", ".gnupg", "*.pem", "*.key",
         "id_rsa", "id_ecdsa", "id_ed25519", "*.p12", "*.pfx"),
    ),
    (
        "Environments and caches",
        (".venv", "venv", "__pycache__", "*.py[co]", "*.egg-info", ".mypy_cache", ".pytest_cache", ".ruff_cache",
         ".hypothesis", ".tox", ".nox", ".coverage", ".coverage.*", "htmlcov", ".ipynb_checkpoints", "node_modules"),
    ),
    ("Built", ("*.whl",)),
    ("Editors", (".idea", ".vscode", ".DS_Store", "*.swp")),
    ("Half-written by shipwheel", (STAGED_NAMES,)),
    (
        "Files that say how to build: a change of theirs changes no image",
        ("Dockerfile*", "compose*.yaml", "compose*.yml", "docker-compose*.y*ml", "docker-bake.hcl", ".dockerignore",
         ".devcontainer", "shipwheel.lock"),
    ),
)  # fmt: skip


def render_dockerignore(_plan: BuildPlan) -> str:
    """Return the file without its header."""
    lines: list[str] = []
    for title, patterns in _GROUPS:
        lines += [f"# {title}.", *(one if one.startswith("!") else f"**/{one}" for one in patterns), ""]
    return (
        "\n".join([*lines, "# The project's own built distributions.", "dist", *own_region("ignored")]) + "\n"
    )
