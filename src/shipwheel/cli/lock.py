"""Write shipwheel.lock anew: the base as it is today, and what builds the project, every byte by hash."""

from __future__ import annotations

import argparse
import os

from shipwheel.base.model import DebianBase
from shipwheel.cli.console import open_console
from shipwheel.cli.options import add_project, add_selection, make_request, open_workshop, project_of
from shipwheel.lockfile import FILE
from shipwheel.pipeline import lock


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's words."""
    add_project(parser)
    add_selection(parser)


def run(options: argparse.Namespace) -> int:
    """Lock and print the file's path."""
    project = project_of(options)
    request = make_request(options, project, os.environ)
    with open_console(quiet=options.quiet) as progress:
        made = lock(request, open_workshop(options, project, progress))
        base = made.base
        if isinstance(base, DebianBase):
            for archive in base.archives:
                signers = ", ".join(signer[-16:] for signer in archive.signers)
                progress.said(f"{archive.name} of {archive.date}, signed by {signers}")
            for item in base.platforms:
                progress.said(
                    f"{item.platform}: Python {item.python}, {item.libc}, {len(item.packages)} packages"
                )
        else:
            progress.said(f"{base.reference} is {base.digest}")
    print(project.root / FILE)
    return 0
