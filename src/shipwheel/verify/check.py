"""Check an image: collect the evidence, ask every rule, apply what the project ignores, make the report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Final

from packaging.utils import NormalizedName, canonicalize_name

from shipwheel.errors import HostError, ImageError, Problem, UsageError
from shipwheel.locks.model import Lock
from shipwheel.oci.layer_read import Limits
from shipwheel.oci.model import Image
from shipwheel.oci.read import LoadedImage
from shipwheel.project.model import Project
from shipwheel.project.settings import CheckSettings, IgnoreSettings
from shipwheel.verify import (
    dockerfile,
    fast,
    flexible,
    lifetimes,
    linters,
    live,
    rebuild,
    sameness,
    scanners,
    sizes,
    small,
    stable,
    start,
    starting,
)
from shipwheel.verify.composefile import check as composefile
from shipwheel.verify.composefile.health import compose_health_check
from shipwheel.verify.evidence import CHECK_LIMITS, collect
from shipwheel.verify.gather import merge, with_lines
from shipwheel.verify.health import HealthCheck, image_health_check
from shipwheel.verify.installed import Installed, find_installed
from shipwheel.verify.machine import Machine, find_python
from shipwheel.verify.measure import measure
from shipwheel.verify.model import (
    PROMISES,
    SEVERITIES,
    Finding,
    Folder,
    Ignored,
    Measurement,
    NotChecked,
    Report,
    Result,
    Rule,
)
from shipwheel.verify.recipe.lines import layer_lines
from shipwheel.verify.secure import leaks, packages, programs, user
from shipwheel.verify.start import Observation
from shipwheel.verify.subject import Chapter, Subject, matches

CHAPTERS: Final = (
    *user.CHAPTERS,
    *programs.CHAPTERS,
    *leaks.CHAPTERS,
    *packages.CHAPTERS,
    *small.CHAPTERS,
    Chapter(rules=fast.RULES, check=fast.check),
    *flexible.CHAPTERS,
    *starting.CHAPTERS,
    *stable.CHAPTERS,
)
# Every rule, by promise and then as the modules have them.
RULES: Final = tuple(
    sorted(
        (
            *(rule for chapter in CHAPTERS for rule in chapter.rules),
            *lifetimes.RULES,
            *sameness.RULES,
            *live.RULES,
            *dockerfile.RULES,
            *composefile.RULES,
            *linters.RULES,
            *rebuild.RULES,
            *scanners.RULES,
        ),
        key=lambda rule: PROMISES.index(rule.promise),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to check and against what. `name` is how the user called the image; `only` are codes of rules.

    `project` and `lock` make more rules possible, and so does `machine`, which runs the image; without
    them those rules are reported as not checked. `lock_problem` says why a project has no lock.
    `layout` is a folder with the image for a scanner, told to stay `offline` or not; `again` is the image
    built once more, from nothing, and `dev` the project's image for development. `dockerfile` and `compose`
    are files to look at too, the first with the linters on the PATH of `environ`. `today` tells what gets
    no security fixes any more. With `measure` what the machine runs is timed too; `tried` are changes that
    were really made, built and pushed.
    """

    image: Image | LoadedImage
    name: str
    project: Project | None = None
    lock: Lock | None = None
    lock_problem: Problem | None = None
    settings: CheckSettings = field(default_factory=CheckSettings)
    only: frozenset[str] = frozenset()
    limits: Limits = CHECK_LIMITS
    machine: Machine | None = None
    measure: bool = False
    tried: Sequence[Measurement] = ()
    again: Image | LoadedImage | None = None
    dockerfile: Path | None = None
    compose: Path | None = None
    dev: Image | LoadedImage | None = None
    today: date | None = None
    layout: Path | None = None
    offline: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)


def check_image(question: Question) -> Report:
    """Check the image and return the report.

    Raises UsageError `unknown-rule` for a code that there is not; ImageError and IntegrityError for an
    image that cannot be read to its end.
    """
    _check_codes(question)
    subject = make_subject(question)
    lines = _lines(question, subject)
    seen = _observe(question, subject)
    results = merge(with_lines(_results(question, subject, seen), str(question.dockerfile), lines))
    if question.only:
        results = [result for result in results if result.rule.code in question.only]
    findings: list[Finding] = []
    ignored: list[Ignored] = []
    for result in results:
        if isinstance(result, Finding):
            kept, left_out = _apply(result, question.settings.ignore)
            findings += kept
            ignored += left_out
    not_checked = [result for result in results if isinstance(result, NotChecked)]
    spoken = {result.rule.code for result in results}
    evidence = subject.evidence
    layers = sizes.summarize_layers(subject)
    kinds = sizes.bytes_by_kind(subject)
    return Report(
        image=printable(question.name),
        digest=str(evidence.digest),
        platform=str(evidence.image.platform),
        size=evidence.image.size,
        unpacked=sum(kinds.values()),
        findings=tuple(sorted(map(_printable_finding, findings), key=_order)),
        ignored=tuple(replace(item, finding=_printable_finding(item.finding)) for item in ignored),
        not_checked=tuple(replace(item, reason=printable(item.reason)) for item in not_checked),
        passed=tuple(
            rule
            for rule in RULES
            if rule.code not in spoken and (not question.only or rule.code in question.only)
        ),
        layers=tuple(
            replace(
                layer,
                created_by=printable(layer.created_by),
                made_by=_made_by(question, lines, number),
                parts={printable(name): size for name, size in layer.parts.items()},
            )
            for number, layer in enumerate(layers)
        ),
        packages=tuple(
            replace(package, name=printable(package.name), version=printable(package.version))
            for package in sizes.summarize_packages(subject)
        ),
        kinds=kinds,
        folders=_printable_folder(sizes.summarize_folders(subject)),
        costs=tuple(replace(cost, what=printable(cost.what)) for cost in fast.change_costs(subject)),
        measured=tuple(map(_printable_measurement, _measured(question, subject, seen))),
    )


def _measured(
    question: Question, subject: Subject, seen: Observation | Exception | None
) -> Iterator[Measurement]:
    yield from question.tried
    if question.measure:
        yield from measure(subject, question.machine, seen)


def _printable_measurement(item: Measurement) -> Measurement:
    return replace(
        item, what=printable(item.what), detail=printable(item.detail), reason=printable(item.reason)
    )


def _health(question: Question, subject: Subject) -> HealthCheck | None:
    """Return the health check to run: compose's overrides the image's."""
    return compose_health_check(question.compose) or subject.health


def _observe(question: Question, subject: Subject) -> Observation | Exception | None:
    """Return what is seen of the program as it runs, or why it cannot be run; None: there is none to run."""
    config = subject.evidence.image.config
    python = find_python(subject.evidence)
    machine = question.machine
    asked = not question.only or any(rule.code in question.only for rule in start.RULES)
    if machine is None or python is None or not start.words_of(config) or not (asked or question.measure):
        return None
    try:
        return start.observe(machine, python, config, _health(question, subject))
    except (HostError, ImageError, TimeoutError) as error:
        return error


def _results(question: Question, subject: Subject, seen: Observation | Exception | None) -> list[Result]:
    """Ask the rules that are wanted, and do nothing for the others."""

    def asked(rules: Sequence[Rule]) -> bool:
        return not question.only or any(rule.code in question.only for rule in rules)

    results = [result for chapter in CHAPTERS if asked(chapter.rules) for result in chapter.check(subject)]
    if asked(lifetimes.RULES):
        results += lifetimes.check(subject, question.today)
    if asked(sameness.RULES):
        results += sameness.check(subject, question.dev)
    if asked(live.RULES):
        results += live.check(subject, question.machine, _health(question, subject), seen)
    if asked(rebuild.RULES):
        results += rebuild.check(subject, question.again)
    # They share rules with the image's chapters, which are about the image.
    results += _check_dockerfile(question)
    if asked(linters.RULES):
        results += linters.check(question.dockerfile, question.environ)
    if asked(composefile.RULES):
        results += composefile.check(subject, question.compose)
    if asked(scanners.RULES):
        results += scanners.check(question.layout, question.environ, offline=question.offline)
    return results


def _check_dockerfile(question: Question) -> Iterator[Result]:
    path, project = question.dockerfile, question.project
    ignored = None
    if path is not None:
        names = (path.with_name(".dockerignore"), path.with_name(f"{path.name}.dockerignore"))
        ignored = any(name.is_file() for name in names)
    yield from dockerfile.check(
        None if path is None else str(path),
        None if path is None else path.read_bytes().decode("utf-8", "replace"),
        today=question.today,
        ignored=ignored,
        groups=None if project is None or question.lock is None else known_groups(question.lock),
    )


def known_groups(lock: Lock) -> frozenset[str]:
    """Return the names of all groups and extras that can be asked for."""
    return frozenset(
        str(name)
        for root in lock.roots
        for name in (*root.groups, *root.extras, *root.aliases, *root.defaults)
        if name
    )


def _lines(question: Question, subject: Subject) -> Mapping[int, int]:
    """Return for layers the line of the Dockerfile that made them."""
    if question.dockerfile is None:
        return {}
    text = question.dockerfile.read_bytes().decode("utf-8", "replace")
    return layer_lines(text, subject.evidence.history)


def _made_by(question: Question, lines: Mapping[int, int], layer: int) -> str:
    return printable(f"{question.dockerfile}:{lines[layer]}") if layer in lines else ""


def make_subject(question: Question) -> Subject:
    """Return what the rules look at; reads every layer."""
    searched = not question.only or any(rule.code in question.only for rule in leaks.RULES)
    evidence = collect(question.image, limits=question.limits, look_for_secrets=searched)
    installed = find_installed(evidence)
    return Subject(
        name=question.name,
        evidence=evidence,
        installed=installed,
        project=question.project,
        lock=question.lock,
        lock_problem=question.lock_problem,
        max_size=question.settings.max_size,
        first_party=_first_party(question, installed),
        health=image_health_check(question.image),
    )


def printable(text: str) -> str:
    """Return `text` without what a terminal would obey and what UTF-8 cannot hold: an image chose it."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", _escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode-escape").decode() if match[0] not in "\n\t" else " "


def _first_party(question: Question, installed: Installed) -> frozenset[NormalizedName]:
    """Return the distributions that are the user's own: the project, and what was installed from folders."""
    found = set()
    if question.project is not None and question.project.name is not None:
        found.add(question.project.name)
    if question.lock is not None:
        found |= {root.name for root in question.lock.roots if root.name is not None}
    for item in installed.distributions:
        if item.direct_url is not None and isinstance(item.direct_url.get("dir_info"), dict):
            found.add(canonicalize_name(item.name))
    return frozenset(found)


def _check_codes(question: Question) -> None:
    known = {rule.code for rule in RULES}
    for place, codes in (
        ("--only", sorted(question.only)),
        ("[tool.shipwheel.check] ignore", [item.code for item in question.settings.ignore]),
    ):
        unknown = [code for code in codes if code not in known]
        if unknown:
            raise UsageError(
                "unknown-rule",
                f"there is no rule {', '.join(unknown)}",
                place=place,
                hint="`shipwheel check --rules` lists them",
            )


def _apply(finding: Finding, ignores: Sequence[IgnoreSettings]) -> tuple[list[Finding], list[Ignored]]:
    """Split a finding into what stays and what the project ignores."""
    left_out: list[Ignored] = []
    places = list(finding.places)
    for item in ignores:
        if item.code != finding.rule.code:
            continue
        if item.path is None:
            return [], [*left_out, Ignored(finding=replace(finding, places=places), reason=item.reason)]
        hit = [place for place in places if matches(place.path, [item.path])]
        if hit:
            places = [place for place in places if place not in hit]
            left_out.append(Ignored(finding=replace(finding, places=hit), reason=item.reason))
    if not left_out:
        return [finding], []
    if not places:
        return [], left_out
    message = f"{finding.message} ({len(finding.places) - len(places)} places are ignored)"
    return [replace(finding, places=places, message=message)], left_out


def _printable_finding(finding: Finding) -> Finding:
    return replace(
        finding,
        message=printable(finding.message),
        places=tuple(
            replace(
                place,
                path=printable(place.path),
                detail=printable(place.detail),
                package=None if place.package is None else printable(place.package),
                made_by=printable(place.made_by),
            )
            for place in finding.places
        ),
        fix=None if finding.fix is None else printable(finding.fix),
    )


def _printable_folder(folder: Folder) -> Folder:
    children = tuple(map(_printable_folder, folder.children))
    return replace(folder, name=printable(folder.name), children=children)


def _order(finding: Finding) -> tuple[int, int, int, str]:
    rule = finding.rule
    return PROMISES.index(rule.promise), SEVERITIES.index(rule.severity), -(finding.saves or 0), rule.code
