"""The fourth promise: whether the image runs wherever it is put."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, urlsplit

from shipwheel.oci.machine import foreign_programs, machine_of
from shipwheel.verify.installed import environment, find_program, search_path
from shipwheel.verify.model import Finding, NotChecked, Place, Result, Rule
from shipwheel.verify.subject import Chapter, Subject, count

PLATFORM: Final = Rule(
    code="wrong-platform",
    promise="flexible",
    severity="error",
    title="Programs are for another processor than the image says",
    why="They do not start where the image is pulled to.",
    fix="Build for the platform: wheels and base must both be for it.",
)
HOST_PATH: Final = Rule(
    code="host-path",
    promise="flexible",
    severity="warning",
    title="Packages point to folders of the machine that built the image",
    why="What they point to is not there, and its name tells about the machine.",
    fix="Install the project as a wheel, not in editable mode (uv sync --no-editable, poetry build).",
)
BROKEN_SCRIPT: Final = Rule(
    code="broken-script",
    promise="flexible",
    severity="error",
    title="Commands ask for an interpreter that is not there",
    why="They end with `no such file or directory`: usual for an environment that was copied to another folder.",
    fix="Make the environment in the folder where it runs, or in the same one in every stage.",
)
UNREADABLE: Final = Rule(
    code="not-readable",
    promise="flexible",
    severity="warning",
    title="Code can be read by one user alone",
    why="Platforms as OpenShift run images as any uid, which may not read it.",
    fix="COPY --chmod=u=rwX,go=rX; set the umask to 022 before copying.",
)
ZONES: Final = Rule(
    code="no-time-zones",
    promise="flexible",
    severity="note",
    title="Time zones cannot be used",
    why="zoneinfo.ZoneInfo fails, or the clock shows UTC without a word.",
    fix="Add the package tzdata, of the system or of Python.",
)
CERTIFICATES: Final = Rule(
    code="no-certificates",
    promise="flexible",
    severity="note",
    title="CA certificates cannot be used",
    why="Every HTTPS connection fails, unless the program brings certificates of its own.",
    fix="Add the system's ca-certificates, or the package certifi.",
)
LOCALE: Final = Rule(
    code="locale-missing",
    promise="flexible",
    severity="warning",
    title="LANG or LC_ALL names a locale that is not there",
    why="locale.setlocale fails, and programs fall back to ASCII.",
    fix="Set LANG=C.UTF-8, which every current base has.",
)
RULES: Final = (PLATFORM, HOST_PATH, BROKEN_SCRIPT, UNREADABLE, ZONES, CERTIFICATES, LOCALE)

_BUNDLES: Final = (
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/cert.pem",
    "etc/ssl/ca-bundle.pem",
)
_ALWAYS: Final = re.compile(r"(?:C|POSIX)(?:\.utf-?8)?", re.IGNORECASE)
# Code for other machines that packages bring on purpose: launchers for Windows are no ELF files; these are.
_OTHER_MACHINES: Final = re.compile(r"(?:.*/)?(?:test|tests|testdata|prebuilds)/.*")


def _check_platform(subject: Subject) -> Iterator[Result]:
    architecture = subject.evidence.image.platform.architecture
    programs: dict[str, str] = {}
    for path, node in subject.evidence.visible.items():
        fact = None if node.source is None else subject.evidence.facts.get(node.source)
        machine = None if fact is None else machine_of(fact.head)
        if machine is not None:
            programs[path] = machine
    foreign = foreign_programs(programs, architecture, lambda path: subject.place(path).package or "")
    places = [
        subject.place(path, detail=machine)
        for path, machine in foreign.items()
        if not _OTHER_MACHINES.fullmatch(path)
    ]
    if places:
        message = f"{count(len(places), 'file')} for {', '.join(sorted({place.detail for place in places}))} in an image for {architecture}"
        yield Finding(rule=PLATFORM, message=message, places=places)
    elif not programs:
        yield NotChecked(rule=PLATFORM, reason="the image has no native program")


def _check_paths(subject: Subject) -> Iterator[Result]:
    places = []
    for item in subject.installed.distributions:
        data = item.direct_url or {}
        url, folder = str(data.get("url", "")), data.get("dir_info")
        if not url.startswith("file:") or not isinstance(folder, dict):
            continue
        path = unquote(urlsplit(url).path)
        if folder.get("editable") or subject.evidence.real_path(path) is None:
            detail = f"{'editable, ' if folder.get('editable') else ''}{path}"
            places.append(
                Place(
                    path=f"/{item.info}/direct_url.json", package=f"{item.name} {item.version}", detail=detail
                )
            )
    for path in subject.evidence.visible:
        if path.endswith(".pth") and path.rpartition("/")[0] in subject.installed.sites:
            lines = (line.strip() for line in (subject.evidence.text(path) or "").splitlines())
            places += [
                subject.place(path, detail=line)
                for line in lines
                if line.startswith("/") and subject.evidence.real_path(line) is None
            ]
    places += _lost_environments(subject)
    if places:
        message = ", ".join(sorted({place.detail for place in places})[:4])
        yield Finding(rule=HOST_PATH, message=message, places=places)


def _lost_environments(subject: Subject) -> Iterator[Place]:
    """Yield environments whose Python is not in the image (pyvenv.cfg, "home")."""
    for path, node in subject.evidence.visible.items():
        if node.kind != "file" or path.rpartition("/")[2] != "pyvenv.cfg":
            continue
        match = re.search(r"^home\s*=\s*(\S.*?)\s*$", subject.evidence.text(path) or "", re.MULTILINE)
        if match is not None and subject.evidence.real_path(match[1]) is None:
            yield subject.place(path, detail=match[1])


def _check_scripts(subject: Subject) -> Iterator[Result]:
    places = []
    for folder in search_path(subject.evidence.image.config):
        real = subject.evidence.real_path(folder)
        node = None if real is None else subject.evidence.visible.get(real)
        for name, child in sorted((node.children if node is not None else {}).items()):
            fact = None if child.source is None else subject.evidence.facts.get(child.source)
            match = None if fact is None else re.match(rb"#![ \t]*(/[^\s\0]+)(?=\s)", fact.head)
            if match is None or not child.mode & 0o111 or not _is_packaged(subject, f"{real}/{name}"):
                continue
            wanted = match[1].decode("utf-8", "replace")
            if find_program(subject.evidence, wanted) is None:
                places.append(subject.place(f"{real}/{name}", detail=wanted))
    if places:
        missing = ", ".join(sorted({place.detail for place in places})[:3])
        message = f"{count(len(places), 'command')} ask for {missing}"
        yield Finding(rule=BROKEN_SCRIPT, message=message, places=places)


def _is_packaged(subject: Subject, path: str) -> bool:
    """Whether a command belongs to a Python distribution: the system's own scripts are its affair."""
    return subject.installed.owner(path) is not None


def _check_modes(subject: Subject) -> Iterator[Result]:
    places: dict[str, Place] = {}
    seen: set[str] = set()
    for path in subject.installed.owners:
        node = subject.evidence.visible.get(path)
        if node is None or node.kind != "file":
            continue
        if not node.mode & 0o004:
            places[path] = subject.place(path, detail=f"{node.mode:04o}")
        folder = path.rpartition("/")[0]
        while folder and folder not in seen:
            seen.add(folder)
            parent = subject.evidence.visible[folder]
            if not parent.mode & 0o001:
                places[folder] = subject.place(folder, detail=f"{parent.mode:04o}")
            folder = folder.rpartition("/")[0]
    if places:
        found = [places[path] for path in sorted(places)]
        yield Finding(rule=UNREADABLE, message=f"{count(len(found), 'path')}", places=found)


def _check_system(subject: Subject) -> Iterator[Result]:
    evidence = subject.evidence
    names = {item.name for item in subject.installed.distributions}
    if not subject.installed.interpreters:
        for rule in (ZONES, CERTIFICATES):
            yield NotChecked(rule=rule, reason="no Python interpreter was found in the image")
    else:
        if evidence.real_path("usr/share/zoneinfo/Europe/Berlin") is None and "tzdata" not in names:
            yield Finding(rule=ZONES, message="neither /usr/share/zoneinfo nor the package tzdata is there")
        elif zone := _lost_zone(subject):
            place = Place(path="env.TZ", detail=zone)
            yield Finding(rule=ZONES, message=f"TZ names {zone}, which is not there", places=[place])
        lost = _lost_bundles(subject)
        if lost:
            told = ", ".join(f"{place.path.removeprefix('env.')} names {place.detail}" for place in lost)
            yield Finding(rule=CERTIFICATES, message=f"{told}, which is not there", places=lost)
        elif "certifi" not in names and not any(_has_content(subject, path) for path in _BUNDLES):
            yield Finding(rule=CERTIFICATES, message="neither the system's bundle nor certifi is there")
    env = environment(evidence.image.config)
    places = [
        Place(path=f"env.{name}", detail=value)
        for name in ("LC_ALL", "LANG", "LC_CTYPE")
        if (value := env.get(name)) and not _has_locale(subject, value)
    ]
    if places:
        yield Finding(rule=LOCALE, message=", ".join(place.detail for place in places), places=places)


def _lost_zone(subject: Subject) -> str:
    """Return the zone that TZ names and the C library will not find; empty for none."""
    zone = environment(subject.evidence.image.config).get("TZ", "").removeprefix(":")
    # POSIX's own form, as CET-1CEST, needs no file.
    if "/" not in zone:
        return ""
    path = zone if zone.startswith("/") else f"usr/share/zoneinfo/{zone}"
    return "" if subject.evidence.real_path(path) is not None else zone


def _lost_bundles(subject: Subject) -> list[Place]:
    env = environment(subject.evidence.image.config)
    return [
        Place(path=f"env.{name}", detail=value)
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        if (value := env.get(name, "")).startswith("/") and subject.evidence.real_path(value) is None
    ]


def _has_content(subject: Subject, path: str) -> bool:
    real = subject.evidence.real_path(path)
    node = None if real is None else subject.evidence.visible.get(real)
    return node is not None and node.kind == "file" and node.size > 0


def _has_locale(subject: Subject, name: str) -> bool:
    if _ALWAYS.fullmatch(name):
        return True
    plain = re.sub(r"(?i)utf-?8", "utf8", name)
    folder = "usr/lib/locale"
    return any(
        subject.evidence.real_path(path) is not None
        for path in (
            f"{folder}/{name}",
            f"{folder}/{plain}",
            f"{folder}/locale-archive",
            "usr/share/i18n/locales/musl",
        )
    )


# In the order of the report.
CHAPTERS: Final = (
    Chapter(rules=(PLATFORM,), check=_check_platform),
    Chapter(rules=(HOST_PATH,), check=_check_paths),
    Chapter(rules=(BROKEN_SCRIPT,), check=_check_scripts),
    Chapter(rules=(UNREADABLE,), check=_check_modes),
    Chapter(rules=(ZONES, CERTIFICATES, LOCALE), check=_check_system),
)
