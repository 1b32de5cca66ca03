"""Print the tags that the project's image gets, one a line: from its version, git, and the CI system.

A release (a commit with a git tag, by default) gets its version and the floating tags that it may
move; a branch and a pull request get theirs; a commit gets `sha-` and its first digits. What the
registry has decides what may move; `--offline` asks git's tags instead.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from shipwheel.cli.console import open_console
from shipwheel.cli.images import add_insecure
from shipwheel.cli.options import add_project, add_tag_choices, open_workshop, project_of, tag_request
from shipwheel.oci.reference import Reference
from shipwheel.pipeline import name_image
from shipwheel.tags.auto import AutoTags, auto_tags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's words."""
    add_project(parser)
    parser.add_argument("--image", metavar="NAME", help="the image's name; default: the project's own")
    parser.add_argument("--offline", action="store_true", help="ask git's tags, not the registry's")
    parser.add_argument("--json", action="store_true", help="print tags, kinds and reasons as JSON")
    add_tag_choices(parser)
    add_insecure(parser)


def run(options: argparse.Namespace) -> int:
    """Compute and print."""
    project = project_of(options)
    reference = Reference.parse(options.image) if options.image else name_image(project)
    request = tag_request(options)
    with open_console(quiet=options.quiet) as progress:
        workshop = open_workshop(options, project, progress)
        found = auto_tags([reference], workshop, request)
        if not request.offline:
            found.refuse_replacing(workshop)
    print(json.dumps(to_json(found), indent=2) if options.json else "\n".join(names(found)))
    return 0


def names(found: AutoTags) -> list[str]:
    """Return the tags as they are printed: the version first, then what floats, then the commit."""
    return [tag.name for tag in found.plan.tags]


def to_json(found: AutoTags) -> dict[str, Any]:
    """Return the tags and what they follow from as JSON values."""
    facts = found.facts
    return {
        "version": found.version,
        "release": found.plan.release,
        "commit": facts.commit,
        "branch": facts.branch,
        "pull_request": facts.pull_request,
        "dirty": bool(facts.dirty),
        "tags": [
            {"name": tag.name, "kind": tag.kind, "moves": tag.moves, "reason": tag.reason}
            for tag in found.plan.tags
        ],
        "withheld": [{"name": item.name, "reason": item.reason} for item in found.plan.withheld],
    }
