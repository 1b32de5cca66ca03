"""What an intruder could use: shells, compilers, package managers, installers; and how the image starts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from shipwheel.verify.installed import find_program, search_path
from shipwheel.verify.model import Finding, NotChecked, Place, Result, Rule
from shipwheel.verify.subject import Chapter, Subject

ADMIN: Final = Rule(
    code="privilege-tool",
    promise="secure",
    severity="warning",
    title="Programs that change the user are in the image",
    why="sudo, su and their kin are there to become somebody else; a container has nobody to become.",
    fix="Remove them, or take a base without them.",
)
SHELL: Final = Rule(
    code="shell",
    promise="secure",
    severity="note",
    title="A shell is in the image",
    why="Most exploits want to start one; without a shell they end there.",
    fix="Use a base without one; shipwheel's assembled base has none.",
)
COMPILER: Final = Rule(
    code="compiler",
    promise="secure",
    severity="warning",
    title="Compilers or build tools are in the image",
    why="They helped to build, and now help an intruder; they are often hundreds of megabytes.",
    fix="Build in another stage and copy the result, or let shipwheel install wheels.",
)
PACKAGE_MANAGER: Final = Rule(
    code="package-manager",
    promise="secure",
    severity="note",
    title="The system's package manager is in the image",
    why="It installs what an intruder misses. Nothing in a finished image needs it.",
    fix="Use a base without one; shipwheel's assembled base has none.",
)
INSTALLER: Final = Rule(
    code="installer",
    promise="secure",
    severity="warning",
    title="Python installers are in the image",
    why="pip, uv and Poetry change the program's environment; they also bring old copies of their own dependencies.",
    fix="Install in another stage and copy the environment alone, or uninstall them last in the same RUN.",
)
DOWNLOADER: Final = Rule(
    code="downloader",
    promise="secure",
    severity="note",
    title="Programs that fetch from the network are in the image",
    why="curl, wget and nc bring an intruder's tools in and the data out. Health checks can use Python.",
    fix="Remove them, and write the health check in Python.",
)
ENTRY_SHELL: Final = Rule(
    code="entry-through-shell",
    promise="secure",
    severity="warning",
    title="The program is started through a shell",
    why="The shell is process 1 and passes no signal on: stopping takes until the kill. And it needs a shell.",
    fix='Use the list form: ENTRYPOINT ["python", "-m", "app"].',
)
ENTRY_MISSING: Final = Rule(
    code="entry-missing",
    promise="secure",
    severity="error",
    title="What the image is to start is not in it",
    why="The container ends before it begins.",
    fix="Correct ENTRYPOINT, CMD or PATH.",
)
LOW_PORT: Final = Rule(
    code="low-port",
    promise="secure",
    severity="warning",
    title="The program listens on a port below 1024",
    why="An ordinary user without capabilities may not, so that the container is started with more rights.",
    fix="Listen on a port from 1024 on, as 8000; publish it under any number.",
)
RULES: Final = (
    ADMIN,
    SHELL,
    COMPILER,
    PACKAGE_MANAGER,
    INSTALLER,
    DOWNLOADER,
    ENTRY_SHELL,
    ENTRY_MISSING,
    LOW_PORT,
)

_VERSIONED: Final = r"(?:[a-z0-9_]+-linux-(?:gnu|musl)(?:eabihf)?-)?{}(?:-?[0-9.]+)?"
_COMPILERS: Final = (
    "gcc",
    "cc",
    "g\\+\\+",
    "c\\+\\+",
    "clang",
    "clang\\+\\+",
    "cpp",
    "make",
    "ld",
    "as",
    "cmake",
    "ninja",
)
_PROGRAMS: Final = {
    ADMIN: re.compile("sudo|sudoedit|su|doas|pkexec|newgrp|chsh|chfn|gosu|su-exec"),
    SHELL: re.compile("sh|bash|dash|ash|zsh|ksh|mksh|fish|csh|tcsh|busybox|toybox"),
    COMPILER: re.compile(
        "|".join(
            [
                *(_VERSIONED.format(name) for name in _COMPILERS),
                "rustc|cargo|go|javac|gfortran|cython|maturin|meson",
            ]
        )
    ),
    PACKAGE_MANAGER: re.compile(
        "apt|apt-get|aptitude|dpkg|apk|yum|dnf|microdnf|tdnf|rpm|zypper|pacman|npm|yarn|pnpm|brew|snap"
    ),
    DOWNLOADER: re.compile(
        "curl|wget|nc|ncat|netcat|nc\\.openbsd|nc\\.traditional|socat|telnet|ftp|scp|ssh|rsync|git"
    ),
}
_INSTALLERS: Final = frozenset(
    [
        "pip",
        "uv",
        "poetry",
        "pdm",
        "pipenv",
        "hatch",
        "conda",
        "mamba",
        "pipx",
        "virtualenv",
        "easy-install",
        "rye",
        "pixi",
    ]
)
_INSTALLER_PROGRAMS: Final = re.compile(
    r"pip(?:3(?:\.\d+)?)?|uv|uvx|poetry|pdm|pipenv|hatch|conda|mamba|micromamba|pipx|virtualenv|pixi"
)
_BUNDLED: Final = re.compile(r".*/ensurepip/_bundled/[^/]+\.whl")
_PORT_OPTION: Final = re.compile(
    r"(?:^|\s)(?:--(?:port|bind|listen|http-port|server\.port)|-[bp])[= ](?:[^\s:]*:)?([0-9]{1,5})(?=\s|$)"
)
_EVERYWHERE: Final = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin")


def _programs(subject: Subject) -> dict[str, str]:
    """Return path → name of everything on PATH that can be started, links too."""
    found = {}
    folders = dict.fromkeys((*search_path(subject.evidence.image.config), *_EVERYWHERE))
    for folder in folders:
        real = subject.evidence.real_path(folder)
        node = None if real is None else subject.evidence.visible.get(real)
        if node is None or node.kind != "directory":
            continue
        for name, child in sorted(node.children.items()):
            if child.kind == "symlink" or (child.kind == "file" and child.mode & 0o111):
                target = subject.evidence.real_path(f"{real}/{name}")
                if target is not None and target in subject.evidence.visible:
                    found[f"{real}/{name}"] = name
    return found


def _check_programs(subject: Subject) -> Iterator[Result]:
    programs = _programs(subject)
    for rule, pattern in _PROGRAMS.items():
        places = [
            subject.place(path, size=True) for path, name in programs.items() if pattern.fullmatch(name)
        ]
        if places:
            names = sorted({place.path.rpartition("/")[2] for place in places})
            more = f" and {len(names) - 8} more" if len(names) > 8 else ""
            yield Finding(rule=rule, message=", ".join(names[:8]) + more, places=places)


def _check_installers(subject: Subject) -> Iterator[Result]:
    places, named = [], set()
    for item in subject.installed.distributions:
        if item.name in _INSTALLERS and item.name not in _wanted(subject):
            named.add(f"{item.name} {item.version}")
            places.append(Place(path=f"/{item.info}", layer=subject.evidence.visible[item.info].layer))
    for path, name in _programs(subject).items():
        owner = subject.installed.owner(path)
        if _INSTALLER_PROGRAMS.fullmatch(name) and (
            owner is None or owner.name in _INSTALLERS - _wanted(subject)
        ):
            named |= set() if owner is not None else {name}
            places.append(subject.place(path))
    for path, node in subject.evidence.visible.items():
        if node.kind == "file" and _BUNDLED.fullmatch(path):
            named.add(path.rpartition("/")[2])
            places.append(subject.place(path))
    if places:
        yield Finding(rule=INSTALLER, message=", ".join(sorted(named)), places=places)


def _wanted(subject: Subject) -> frozenset[str]:
    """Return the names that the lock has: a program may need an installer for what it does."""
    return frozenset() if subject.lock is None else frozenset(item.name for item in subject.lock.packages)


def _check_entry(subject: Subject) -> Iterator[Result]:
    config = subject.evidence.image.config
    words = [*(config.entrypoint or ()), *(config.cmd or ())]
    if not words:
        yield NotChecked(rule=ENTRY_MISSING, reason="the image has neither entry point nor command")
        yield NotChecked(rule=ENTRY_SHELL, reason="the image has neither entry point nor command")
        return
    place = Place(path="config.Entrypoint" if config.entrypoint else "config.Cmd", detail=repr(words)[:200])
    program = find_program(subject.evidence, words[0])
    if program is None:
        yield Finding(
            rule=ENTRY_MISSING, message=f"{words[0]!r} is not there or cannot be started", places=[place]
        )
        return
    loader = _interpreter_of(subject, program)
    if loader is not None and find_program(subject.evidence, loader) is None:
        yield Finding(
            rule=ENTRY_MISSING, message=f"/{program} asks for {loader}, which is not there", places=[place]
        )
    if _PROGRAMS[SHELL].fullmatch(words[0].rpartition("/")[2]) and "-c" in words[1:3]:
        yield Finding(rule=ENTRY_SHELL, message=f"it starts {' '.join(words)[:120]!r}", places=[place])


def _interpreter_of(subject: Subject, path: str) -> str | None:
    """Return what a script's first line asks for."""
    fact = subject.evidence.fact(path)
    match = None if fact is None else re.match(rb"#![ \t]*(/[^\s\0]+)(?=[\s])", fact.head)
    return None if match is None else match[1].decode("utf-8", "replace")


def _check_ports(subject: Subject) -> Iterator[Result]:
    config = subject.evidence.image.config
    named = [("config.ExposedPorts", text) for text in sorted(config.exposed_ports or ())]
    named += [("env.PORT", value) for name, value in config.env or () if name == "PORT"]
    for name, words in (("config.Entrypoint", config.entrypoint), ("config.Cmd", config.cmd)):
        # As servers take them: `--port 80`, `--bind=0.0.0.0:80`, `-b :80`.
        found = _PORT_OPTION.finditer(" ".join(words or ()))
        named += [(name, match[1]) for match in found]
    places = [
        Place(path=path, detail=text)
        for path, text in named
        if (match := re.fullmatch(r"([0-9]{1,5})(?:/\w+)?", text)) is not None and 0 < int(match[1]) < 1024
    ]
    if places:
        ports = ", ".join(dict.fromkeys(place.detail for place in places))
        yield Finding(rule=LOW_PORT, message=f"port {ports}", places=places)


# In the order of the report.
CHAPTERS: Final = (
    Chapter(rules=(ADMIN, SHELL, COMPILER, PACKAGE_MANAGER, DOWNLOADER), check=_check_programs),
    Chapter(rules=(INSTALLER,), check=_check_installers),
    Chapter(rules=(ENTRY_SHELL, ENTRY_MISSING), check=_check_entry),
    Chapter(rules=(LOW_PORT,), check=_check_ports),
)
