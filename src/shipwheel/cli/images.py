"""What commands about finished images share: how they are opened, and what tells them from a project."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from shipwheel.cache import Cache
from shipwheel.cli.console import open_console
from shipwheel.images import Opener
from shipwheel.oci.layout import LAYOUT_FILE
from shipwheel.oci.model import Platform
from shipwheel.oci.registry.client import RegistryClient


def add_image_options(parser: argparse.ArgumentParser) -> None:
    """Add what is common to every command that reads images."""
    parser.add_argument("--quiet", "-q", action="store_true", help="show no progress")
    add_insecure(parser)


def add_insecure(parser: argparse.ArgumentParser) -> None:
    """Add the registries that may be asked over plain http."""
    parser.add_argument(
        "--insecure-registry",
        action="append",
        default=[],
        metavar="HOST",
        help="a registry that may be asked over plain http, as host:port; loopback always may",
    )


def add_platform(parser: argparse.ArgumentParser) -> None:
    """Add the choice among an image's platforms."""
    parser.add_argument(
        "--platform", type=Platform.parse, metavar="OS/ARCH", help="of several; default: this machine's"
    )


@contextlib.contextmanager
def make_opener(options: argparse.Namespace) -> Iterator[Opener]:
    """Yield what opens images, with this user's credentials, certificates and cache."""
    from shipwheel.net import Http

    with open_console(quiet=options.quiet) as progress, contextlib.ExitStack() as stack:
        made: list[RegistryClient] = []

        def registry() -> RegistryClient:
            if not made:
                cache = Cache.default(os.environ)
                stack.enter_context(cache.in_use())
                http = stack.enter_context(Http.from_environ(os.environ, notify=progress.said))
                made.append(
                    RegistryClient.from_environ(os.environ, http, cache, insecure=options.insecure_registry)
                )
            return made[0]

        yield Opener(registry=registry, environ=os.environ)


def is_project(text: str) -> bool:
    """Tell whether the words mean a project's folder, not an image."""
    path = Path(text)
    return (path / "pyproject.toml").is_file() and not (path / LAYOUT_FILE).exists()
