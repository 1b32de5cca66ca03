"""The page of the documentation that lists the rules, made from the rules: `python -m shipwheel.verify.reference`."""

from __future__ import annotations

import sys

from shipwheel.verify.check import RULES
from shipwheel.verify.model import PROMISES, Promise, Rule

_ABOUT: dict[Promise, str] = {
    "secure": "What an intruder would find, what the image gives away, and whether it holds what was locked.",
    "small": "Where the bytes are and which of them nobody needs. Sizes are unpacked unless a line says otherwise.",
    "fast": "What a change costs, and what a start costs.",
    "flexible": "Whether the image runs wherever it is put. With `--run` it is run to find out.",
    "stable": "Whether the image could be made again and would be the same.",
}


def render_reference() -> str:
    """Return the page as Markdown."""
    lines = [
        "# The rules of `shipwheel check`",
        "",
        "<!-- Made by `python -m shipwheel.verify.reference > docs/reference/check.md`; a test compares. -->",
        "",
        "Codes are stable: ignore a finding by its code, with a reason, in `[[tool.shipwheel.check.ignore]]`.",
        "An `error` makes exit code 1; `--fail-on` changes that. How to use it: [Check an image](../how-to/check.md).",
    ]
    for promise in PROMISES:
        lines += ["", f"## {promise.capitalize()}", "", _ABOUT[promise]]
        for rule in RULES:
            if rule.promise == promise:
                lines += ["", *_rule(rule)]
    return "\n".join(lines) + "\n"


def _rule(rule: Rule) -> list[str]:
    return [
        f"### `{rule.code}`",
        "",
        f"{rule.severity.capitalize()}: {rule.title}. {rule.why}",
        "",
        f"Fix: {rule.fix}",
    ]


if __name__ == "__main__":
    sys.stdout.write(render_reference())
