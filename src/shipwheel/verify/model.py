"""What a check says: rules, findings with their evidence, what was not checked, and the report. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

Promise = Literal["secure", "small", "fast", "flexible", "stable"]
Severity = Literal["error", "warning", "note"]

# In the order of a report's chapters.
PROMISES: Final[tuple[Promise, ...]] = ("secure", "small", "fast", "flexible", "stable")
# From the gravest to the least.
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What an image should keep to. `code` is stable; `title` says what is wrong when it is broken.

    `why` says what that costs, `fix` what to do about it: sentences for people.
    """

    code: str
    promise: Promise
    severity: Severity
    title: str
    why: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the evidence is.

    `path` is absolute in the image, or names a part of its configuration (`config.User`,
    `history[3]`, `env.NAME`), or is a line of a Dockerfile or compose file (`compose.yaml:12`). `layer`
    counts from 0, the lowest. `size` is in bytes. `made_by` is the line of the Dockerfile that made the
    layer, as `Dockerfile:12`; empty where it is not known.
    """

    path: str
    layer: int | None = None
    size: int | None = None
    package: str | None = None
    detail: str = ""
    made_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule that the image breaks. `message` says it with numbers; `saves` are bytes, unpacked.

    `places` are all of them, in a stable order; renderers may show the first ones.
    """

    rule: Rule
    message: str
    places: Sequence[Place] = ()
    saves: int | None = None
    fix: str | None = None

    @property
    def how_to_fix(self) -> str:
        """The fix for this image where there is a better one than the rule's."""
        return self.fix or self.rule.fix


@dataclass(frozen=True, slots=True, kw_only=True)
class NotChecked:
    """A rule that could not be looked into, and why. Never counts as passed."""

    rule: Rule
    reason: str


Result = Finding | NotChecked


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """A finding, or the part of one, that the configuration asks to leave out, with its reason."""

    finding: Finding
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSummary:
    """One layer: `size` as it is pulled, `unpacked` of all files in it, `wasted` of those nobody sees.

    `made_by` is the line of the Dockerfile that made it, as `Dockerfile:12`; empty where it is not known.
    `parts` are the bytes by package, unpacked; what is seen in no package, or not at all, has no part.
    """

    digest: str
    created_by: str
    size: int
    unpacked: int
    files: int
    wasted: int
    made_by: str = ""
    parts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSummary:
    """One distribution or system package and the bytes of its files that are seen. `kind`: python, deb, apk.

    `kinds` are the bytes by kind of file, as in the report's.
    """

    kind: Literal["python", "deb", "apk"]
    name: str
    version: str
    size: int
    files: int
    kinds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a change pushes: `what` changed, the numbers of the `layers` that are new then, and their bytes."""

    what: str
    layers: Sequence[int]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Something that was really done and measured: `seconds`, and bytes that a push sent where it was a change.

    `detail` says how, in words; `reason` why it was not measured, and is empty where it was.
    """

    what: str
    seconds: float | None = None
    size: int | None = None
    detail: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder or file that is seen, with the bytes below it, largest first; small ones are put together."""

    name: str
    size: int
    children: Sequence[Folder] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that is said of one image.

    `passed` are codes of rules that were checked and hold. `kinds` are bytes by kind of file.
    `costs` tell what changes push, as far as it is known which code is the project's; `measured` is what was
    really done, where that was asked for.
    """

    image: str
    digest: str
    platform: str
    size: int
    unpacked: int
    findings: Sequence[Finding]
    ignored: Sequence[Ignored]
    not_checked: Sequence[NotChecked]
    passed: Sequence[Rule]
    layers: Sequence[LayerSummary]
    packages: Sequence[PackageSummary]
    kinds: Mapping[str, int]
    folders: Folder
    costs: Sequence[Cost] = ()
    measured: Sequence[Measurement] = ()

    def worst(self) -> Severity | None:
        """Return the gravest severity of a finding, or None."""
        found = {finding.rule.severity for finding in self.findings}
        return next((severity for severity in SEVERITIES if severity in found), None)


def at_least(severity: Severity, limit: Severity) -> bool:
    """Whether `severity` is `limit` or graver."""
    return SEVERITIES.index(severity) <= SEVERITIES.index(limit)
