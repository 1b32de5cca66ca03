"""Until when Pythons and distributions get security fixes. A table, and the rules that ask it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Final

from shipwheel.verify.model import Finding, NotChecked, Place, Result, Rule
from shipwheel.verify.subject import Subject

PYTHON_ENDED: Final = Rule(
    code="python-end-of-life",
    promise="secure",
    severity="error",
    title="This Python gets no security fixes any more",
    why="Holes that are found from now on stay open; packages drop it, so that they cannot be upgraded either.",
    fix="Move to a Python that is supported: each is for five years.",
)
SYSTEM_ENDED: Final = Rule(
    code="system-end-of-life",
    promise="secure",
    severity="error",
    title="The distribution gets no security fixes any more",
    why="Holes in its libraries that are found from now on stay open, TLS among them.",
    fix="Take a base with a newer release.",
)
RULES: Final = (PYTHON_ENDED, SYSTEM_ENDED)

# PEPs 537, 569, 596, 619, 664, 693, 719, 745: the last day of security fixes.
_PYTHONS: Final = {
    "2.7": date(2020, 1, 1), "3.5": date(2020, 9, 30), "3.6": date(2021, 12, 23), "3.7": date(2023, 6, 27),
    "3.8": date(2024, 10, 7), "3.9": date(2025, 10, 31), "3.10": date(2026, 10, 31),
    "3.11": date(2027, 10, 31), "3.12": date(2028, 10, 31), "3.13": date(2029, 10, 31),
    "3.14": date(2030, 10, 31),
}  # fmt: skip
# Long-term support included, as far as it costs nothing: each distribution's page on its releases.
_SYSTEMS: Final = {
    ("debian", "8"): date(2020, 6, 30), ("debian", "9"): date(2022, 6, 30), ("debian", "10"): date(2024, 6, 30),
    ("debian", "11"): date(2026, 8, 31), ("debian", "12"): date(2028, 6, 30), ("debian", "13"): date(2030, 6, 30),
    ("ubuntu", "16.04"): date(2021, 4, 30), ("ubuntu", "18.04"): date(2023, 5, 31),
    ("ubuntu", "20.04"): date(2025, 5, 31), ("ubuntu", "22.04"): date(2027, 4, 30),
    ("ubuntu", "24.04"): date(2029, 4, 30),
    ("alpine", "3.15"): date(2023, 11, 1), ("alpine", "3.16"): date(2024, 5, 23),
    ("alpine", "3.17"): date(2024, 11, 22), ("alpine", "3.18"): date(2025, 5, 9),
    ("alpine", "3.19"): date(2025, 11, 1), ("alpine", "3.20"): date(2026, 4, 1),
    ("alpine", "3.21"): date(2026, 11, 1), ("alpine", "3.22"): date(2027, 5, 1),
}  # fmt: skip
_DEBIANS: Final = {
    "jessie": "8", "stretch": "9", "buster": "10", "bullseye": "11", "bookworm": "12", "trixie": "13",
}  # fmt: skip
_PYTHON_IMAGE: Final = re.compile(
    r"(?:.*/)?(?:python|uv|playwright-python):(?:python)?(?P<minor>[23]\.\d+)(?:[.-].*|@.*)?"
)


def check(subject: Subject, today: date | None) -> Iterator[Result]:
    """Yield what in the image gets no fixes any more on the day `today`; None: the day is not known."""
    if today is None:
        for rule in RULES:
            yield NotChecked(rule=rule, reason="what day it is was not said")
        return
    interpreters = subject.installed.interpreters
    if not interpreters:
        yield NotChecked(rule=PYTHON_ENDED, reason="no Python interpreter was found in the image")
    places = [
        Place(path=f"/{item.path}", detail=told)
        for item in interpreters
        if (told := python_ended(item.minor, today))
    ]
    if places:
        yield Finding(rule=PYTHON_ENDED, message="; ".join(place.detail for place in places), places=places)
    text = subject.evidence.text("etc/os-release") or subject.evidence.text("usr/lib/os-release") or ""
    fields = {name: value.strip("\"'") for name, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)}
    name, version = fields.get("ID", ""), fields.get("VERSION_ID", "")
    if not version:
        yield NotChecked(rule=SYSTEM_ENDED, reason="no /etc/os-release tells the distribution")
    elif told := system_ended(name, version, today):
        yield Finding(rule=SYSTEM_ENDED, message=told, places=[Place(path="/etc/os-release", detail=told)])


def base_faults(base: str, today: date | None) -> Iterator[tuple[Rule, str]]:
    """Yield what has ended of the image that a Dockerfile is based on, as far as its name tells."""
    if today is None:
        return
    match = _PYTHON_IMAGE.fullmatch(base)
    if match is not None and (told := python_ended(match["minor"], today)):
        yield PYTHON_ENDED, told
    repository, _, tag = base.partition("@")[0].rpartition(":")
    name = repository.rpartition("/")[2]
    for codename, number in _DEBIANS.items():
        if re.search(rf"(?:^|-){codename}(?:-|$)", tag) and (told := system_ended("debian", number, today)):
            yield SYSTEM_ENDED, told
    alpine = re.search(r"(?:^|-)alpine(\d+\.\d+)", tag)
    version = alpine[1] if alpine else re.sub(r"^(\d+(?:\.\d+)?).*", r"\1", tag)
    if told := system_ended("alpine" if alpine else name, version, today):
        yield SYSTEM_ENDED, told


def python_ended(minor: str, today: date) -> str:
    """Return since when the Python `minor` has no fixes, as a text; empty while it has them."""
    end = _PYTHONS.get(minor)
    return f"Python {minor} ended on {end}" if end is not None and end < today else ""


def system_ended(name: str, version: str, today: date) -> str:
    """Return since when a release has no fixes, as a text; empty while it has them, or is not known."""
    for key in (version, version.partition(".")[0], ".".join(version.split(".")[:2])):
        end = _SYSTEMS.get((name, key))
        if end is not None:
            return f"{name.capitalize()} {key} ended on {end}" if end < today else ""
    return ""
