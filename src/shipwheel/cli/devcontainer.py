"""Write the dev container's files alone: devcontainer.json and the Dockerfile and compose.yaml it opens.

The options are those of `shipwheel init`, which writes the bake file too.
"""

from __future__ import annotations

import argparse

from shipwheel.cli import init


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's words."""
    init.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Write, check or show."""
    return init.write_files(options, leave_out=("docker-bake.hcl",))
