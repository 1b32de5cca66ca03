"""`BuildPlan` → Dockerfile. The stages read top to bottom as the file does; `installers` has each tool's words."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from shipwheel.plan.model import BuildPlan, DockerfilePlan, PlannedPins
from shipwheel.render.installers import Words, installer_words
from shipwheel.render.text import own_region, shell_quote

_SCRIPTS: Final = Path(__file__).parent / "scripts"
# Where the context lies in the stages that build; nothing of it is in the app stage.
SOURCE: Final = "/src"
_SECRETS: Final = (
    "--mount=type=secret,id=index,target=/run/secrets/index",
    "--mount=type=secret,id=ca,target=/run/secrets/ca",
)
_PIP_CACHE: Final = "--mount=type=cache,target=/root/.cache/pip"
_BYTECODE_CACHE: Final = "--mount=type=cache,target=/root/.cache/bytecode"
_APT: Final = "apt-get install --yes --no-install-recommends"
# What apt leaves behind: downloads, and logs and caches that differ from day to day.
_APT_CLEAN: Final = (
    "rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/ldconfig /var/log/apt /var/log/dpkg.log"
)
VERSION_LABEL: Final = "org.opencontainers.image.version"
_RULE: Final = f"# {'-' * 78}"


def render_dockerfile(plan: BuildPlan) -> str:
    """Return the Dockerfile without its header. `plan.dockerfile` has to be there."""
    road = _road(plan)
    words = installer_words(road, SOURCE)
    stages = (
        _arguments(plan, road),
        _manifests(road),
        _builder(road, words),
        _app_pre(words, road),
        *([_workshop(road)] if road.build_systems else []),
        _project(road),
        _app(plan, road),
        _dev(plan, road, words),
        _test(road),
    )
    return "\n\n".join("\n".join(_spaced(stage)) for stage in stages) + "\n"


def _road(plan: BuildPlan) -> DockerfilePlan:
    if plan.dockerfile is None:
        raise ValueError("the plan is not for the Dockerfile road")
    return plan.dockerfile


def _arguments(plan: BuildPlan, road: DockerfilePlan) -> list[str]:
    lines = [
        "# Where things are, who runs them, on which Python. Change them with --build-arg.",
        f"ARG WORKDIR={_double(plan.paths.workdir)}",
        f"ARG USERNAME={_double(plan.user.name)}",
        f"ARG USER_UID={plan.user.uid}",
        f"ARG USER_GID={plan.user.gid}",
    ]
    name, _, tag = road.image.rpartition(":")
    version = _leading_version(tag)
    digest = "" if road.digest is None else f"@{road.digest}"
    lines.append(f"ARG PYTHON_VERSION={_double(version)}")
    if digest:
        lines += [
            "# The digest decides, for every platform; another PYTHON_VERSION needs it empty or its own.",
            f"ARG PYTHON_DIGEST={_double(digest)}",
        ]
    image = f"{name}:${{PYTHON_VERSION}}{tag[len(version) :]}{'${PYTHON_DIGEST}' if digest else ''}"
    return [
        *lines,
        "",
        *_title("base", "the Python that everything stands on"),
        f"FROM {image} AS base",
    ]


def _manifests(road: DockerfilePlan) -> list[str]:
    copies = []
    for folder in sorted({posixpath.dirname(path) for path in road.manifests}):
        names = [path for path in road.manifests if posixpath.dirname(path) == folder]
        copies.append(f"COPY {' '.join(names)} {posixpath.join('/context', folder).rstrip('/')}/")
    return [
        *_title("manifests", "what of pyproject.toml and the lock affects installation, and nothing else"),
        "# A new version, description or tool setting ends here: what follows sees no difference.",
        "FROM base AS manifests",
        *_script("reduce.py", "/opt/reduce.py"),
        *copies,
        _run(f"python3 /opt/reduce.py /context /manifests {' '.join(road.manifests)}"),
    ]


def _builder(road: DockerfilePlan, words: Words) -> list[str]:
    lines = [
        *_title("builder", "the tools, pinned by version and hash, and an empty venv"),
        "FROM base AS builder",
        "ARG WORKDIR",
        *words.arguments,
        _env("VIRTUAL_ENV=${WORKDIR}/.venv", *map("=".join, words.environment), "PATH=/opt/pipx/bin:$PATH"),
        _run(
            _script_step("with_secrets.sh", "/usr/local/bin/with-secrets"),
            "chmod 755 /usr/local/bin/with-secrets",
            _script_step("compile.py", "/opt/compile.py"),
        ),
    ]
    system = sorted({*road.build_packages, *road.packages})
    if system:
        lines.append(_apt_run(system))
    if road.launcher is not None:
        lines += _install_launcher(road, road.launcher, words)
    elif road.tool is not None:
        version, file = words.version_argument, "/opt/tool.txt"
        check = _unless_pinned(version, road.tool.version, road.installer, file)
        lines += _install_pins(road.tool, file, f"{check} \\\n && {_pip_install('/opt/pipx', file)}")
    lines.append(_run('python3 -m venv --without-pip "$VIRTUAL_ENV"'))
    return [*lines, *own_region("builder")]


def _workshop(road: DockerfilePlan) -> list[str]:
    """A stage of its own, as the dependencies need none of it and are installed meanwhile."""
    lines = [
        *_title("workshop", "what builds the project's own wheels"),
        "FROM builder AS workshop",
        *_script("install.py", "/opt/install.py"),
    ]
    lines += _install_pins(
        road.wheel_tools, "/opt/wheel-tools.txt", _pip_install("/opt/wheel-tools", "/opt/wheel-tools.txt")
    )
    for number, system_pins in enumerate(road.build_systems):
        if not system_pins.requirements:
            continue  # a back-end of the project's own, that needs nothing
        lines.append(f"# What builds wheels: {', '.join(system_pins.requires)}.")
        file = f"/opt/build-{number}.txt"
        lines += _install_pins(system_pins, file, _pip_install(f"/opt/build-{number}", file))
    return lines


def _install_launcher(road: DockerfilePlan, launcher: PlannedPins, words: Words) -> list[str]:
    """pipx by pip, and the tool by pipx: with hashes for the versions that were pinned, without for others."""
    if road.tool is None:
        raise ValueError("a launcher without a tool")
    version, name = words.version_argument, road.installer
    plugins = " ".join(_pinned(plugin, road.tool) for plugin in road.tool.requires[1:])
    spec = f'"{name}==${{{version}}}"'
    pipx = "PYTHONPATH=/opt/pipx/lib with-secrets python3 -m pipx"
    hashes = '--pip-args="--require-hashes --constraint /opt/tool.txt"'
    hashed, plain = f"{pipx} install {hashes} {spec}", f"{pipx} install {spec}"
    if plugins:
        hashed += f" && {pipx} inject {hashes} {name} {plugins}"
        plain += f" && {pipx} inject {name} {plugins}"
    check = _unless_pinned("PIPX_VERSION", launcher.version, "pipx[uv]", "/opt/pipx.txt")
    return [
        *_install_pins(
            launcher, "/opt/pipx.txt", f"{check} \\\n && {_pip_install('/opt/pipx/lib', '/opt/pipx.txt')}"
        ),
        *_install_pins(
            road.tool,
            "/opt/tool.txt",
            f'if [ "${{{version}}}" = "{road.tool.version}" ]; then \\\n      {hashed}; \\\n'
            f"    else {plain}; fi",
            mounts=("--mount=type=cache,target=/root/.cache/uv",),
        ),
    ]


def _pinned(requirement: str, pins: PlannedPins) -> str:
    name = canonicalize_name(Requirement(requirement).name)
    return next(line.split(" ")[0] for line in pins.requirements if line.startswith(f"{name}=="))


def _app_pre(words: Words, road: DockerfilePlan) -> list[str]:
    return [
        *_title("app-pre", "production dependencies alone"),
        "FROM builder AS app-pre",
        f"COPY --from=manifests /manifests/ {SOURCE}/",
        f"WORKDIR {posixpath.join(SOURCE, road.folder).rstrip('/')}",
        _run(
            f"with-secrets {words.production}",
            'python3 /opt/compile.py "$VIRTUAL_ENV" /root/.cache/bytecode',
            mounts=(words.cache, _BYTECODE_CACHE, *_SECRETS),
        ),
        *own_region("app-pre"),
    ]


def _project(road: DockerfilePlan) -> list[str]:
    lines = [
        *_title("project", "the project itself, as it will lie in the image"),
        f"FROM {'workshop' if road.build_systems else 'builder'} AS project",
    ]
    steps = []
    for member in road.members:
        folder = posixpath.join(SOURCE, member.folder).rstrip("/")
        if member.build_system is None:
            lines += _script("copy_source.py", "/opt/copy_source.py")
            steps.append(f'python3 /opt/copy_source.py {folder} "/project${{WORKDIR}}"')
            steps.append(
                "python3 -m compileall -q --invalidation-mode unchecked-hash -s /project -p / /project"
            )
        else:
            steps.append(_install_member(member.build_system, "wheel", folder, "/project"))
    mount = f"--mount=type=bind,source=.,target={SOURCE},rw"
    return [*lines, _run(*steps, mounts=(mount,))]


def _app(plan: BuildPlan, road: DockerfilePlan) -> list[str]:
    lines = [
        *_title("app", "what ships: the base, the venv and the project"),
        "FROM base AS app",
        "ARG WORKDIR",
        "ARG USERNAME",
        "ARG USER_UID",
        "ARG USER_GID",
    ]
    if road.packages:
        lines.append(_apt_run(road.packages))
    lines += [
        *_script("remove_installers.py", "/opt/remove.py", "python3 /opt/remove.py", "rm /opt/remove.py"),
        _run(*_add_user("/usr/sbin/nologin")),
        *_environment(plan),
        "WORKDIR ${WORKDIR}",
        "COPY --from=app-pre ${WORKDIR}/.venv ${WORKDIR}/.venv",
        "COPY --from=project /project/ /",
    ]
    lines += [f"EXPOSE {port}" for port in plan.ports.value or ()]
    if plan.volumes.value:
        lines.append(f"VOLUME {json.dumps(list(plan.volumes.value))}")
    if plan.stop_signal:
        lines.append(f"STOPSIGNAL {plan.stop_signal}")
    lines += own_region("app")
    lines += [
        "# By number, so that an orchestrator can tell that it is not root.",
        "USER ${USER_UID}:${USER_GID}",
    ]
    lines += _labels(plan)
    lines.append(f"ENTRYPOINT {json.dumps(_program(plan))}")
    if plan.cmd.value is not None:
        lines.append(f"CMD {json.dumps(list(plan.cmd.value))}")
    return lines


def _dev(plan: BuildPlan, road: DockerfilePlan, words: Words) -> list[str]:
    home = _dev_folder(road)
    packages = sorted({*road.dev_packages, *(["sudo"] if road.sudo else [])})
    lines = [
        *_title("dev", "production dependencies below, development on top; the source is mounted or copied"),
        "FROM app-pre AS dev",
        "ARG USERNAME",
        "ARG USER_UID",
        "ARG USER_GID",
    ]
    if packages:
        lines.append(_apt_run(packages))
    lines += [
        _run(
            f"with-secrets {words.development}",
            mounts=(words.cache, *_SECRETS),
        ),
        *_script("follow_lock.sh", "/usr/local/bin/follow-lock", "chmod 755 /usr/local/bin/follow-lock"),
        _run(*_add_user("/bin/bash"), *_sudoer(road)),
    ]
    members = [
        _install_member(
            member.build_system, "editable", posixpath.join(home, member.folder).rstrip("/"), '""'
        )
        for member in road.members
        if member.build_system is not None
    ]
    work = "${WORKDIR}" if home == "${WORKDIR}" else posixpath.join(home, road.folder)
    here = posixpath.dirname(road.lock) == road.folder
    lock = posixpath.basename(road.lock) if here else posixpath.join(home, road.lock)
    lines += [
        *_from_workshop(road),
        f"COPY --chown=${{USER_UID}}:${{USER_GID}} . {home}/",
        f"WORKDIR {work}",
        _env(
            f"LOCK_FILE={lock}",
            f"INSTALL_COMMAND={_double(words.development)}",
            "HOME=/home/${USERNAME}",
            "PATH=${WORKDIR}/.venv/bin:$PATH",
            *(["PYTHONPATH=${WORKDIR}"] if plan.mode == "source" else []),
            "PYTHONUNBUFFERED=1",
        ),
        "# Whoever owns the folders may replace what is in them; changing the files would double the image.",
        _run(
            *members,
            'sha256sum "$LOCK_FILE" > "$VIRTUAL_ENV/.made-from"',
            f'find "$VIRTUAL_ENV" "{home}" -type d -exec chown "${{USER_UID}}:${{USER_GID}}" {{}} +',
            'chown "${USER_UID}:${USER_GID}" "$VIRTUAL_ENV/.made-from"',
        ),
        *own_region("dev"),
        "USER ${USER_UID}:${USER_GID}",
        'ENTRYPOINT ["/usr/local/bin/follow-lock"]',
        'CMD ["sleep", "infinity"]',
    ]
    return lines


def _test(road: DockerfilePlan) -> list[str]:
    return [
        *_title("test", "runs the suite: building this stage fails with it"),
        "FROM dev AS test",
        *own_region("test"),
        f"RUN {json.dumps(list(road.test))}",
    ]


def _from_workshop(road: DockerfilePlan) -> list[str]:
    if not road.build_systems:
        return []
    needed = [number for number, system in enumerate(road.build_systems) if system.requirements]
    folders = ["/opt/wheel-tools", *(f"/opt/build-{number}" for number in needed)]
    return [
        "COPY --from=workshop /opt/install.py /opt/install.py",
        *(f"COPY --from=workshop {folder} {folder}" for folder in folders),
    ]


def _dev_folder(road: DockerfilePlan) -> str:
    # Path dependencies are named from the project's folder, so the whole tree keeps its shape.
    return "${WORKDIR}" if not road.folder else SOURCE


def _install_member(build_system: int | None, mode: str, folder: str, into: str) -> str:
    paths = f"/opt/build-{build_system}:/opt/wheel-tools"
    return (
        f'PATH="/opt/build-{build_system}/bin:$PATH" PYTHONPATH={paths} SOURCE_DATE_EPOCH=315532800 '
        f'"$VIRTUAL_ENV/bin/python" /opt/install.py {mode} "{folder}" {into}'
    )


def _install_pins(
    pins: PlannedPins, file: str, install: str, *, mounts: Sequence[str] = (_PIP_CACHE,)
) -> list[str]:
    """Two steps: the list of what is pinned would drown the message of an installation that fails."""
    return [_run(_written(pins.requirements, file)), _run(install, mounts=(*mounts, *_SECRETS))]


def _pip_install(folder: str, file: str, *, compiled: bool = True) -> str:
    # Into a folder of its own: a base image's Python may be the distribution's, which pip must not change.
    return (
        "with-secrets python3 -m pip install --quiet --disable-pip-version-check "
        f"{'' if compiled else '--no-compile '}--root-user-action=ignore --target {folder} --requirement {file}"
    )


def _unless_pinned(version: str, pinned: str, requirement: str, file: str) -> str:
    """Another version than the pinned one comes without hashes, for nobody has looked them up."""
    return f'if [ "${{{version}}}" != "{pinned}" ]; then echo "{requirement}==${{{version}}}" > {file}; fi'


def _apt_run(packages: Iterable[str]) -> str:
    return _run("apt-get update", f"{_APT} {' '.join(sorted(packages))}", _APT_CLEAN)


def _add_user(shell: str) -> list[str]:
    check = (
        'if [ -n "$taken" ] && [ "${USER_UID}" != 0 ]; then '
        'echo "error: USER_UID ${USER_UID} is taken in the base image by ${taken%%:*}; '
        'choose another one: --build-arg USER_UID=" >&2; exit 1; fi'
    )
    # By hand: useradd also writes the day, a log and back-ups, which differ from build to build.
    add = (
        'if [ -z "$taken" ]; then echo "${USERNAME}:x:${USER_UID}:${USER_GID}::/home/${USERNAME}:'
        f'{shell}" >> /etc/passwd; fi'
    )
    return [
        'taken=$(getent passwd "${USER_UID}" || true)',
        check,
        'getent group "${USER_GID}" > /dev/null || echo "${USERNAME}:x:${USER_GID}:" >> /etc/group',
        add,
        'install -d -m 750 -o "${USER_UID}" -g "${USER_GID}" "/home/${USERNAME}"',
    ]


def _sudoer(road: DockerfilePlan) -> list[str]:
    if not road.sudo:
        return []
    return [
        # sudo wants an account that has a password entry, if only one that nothing matches.
        'echo "${USERNAME}:*:19000:0:99999:7:::" >> /etc/shadow',
        'echo "${USERNAME} ALL=(root) NOPASSWD:ALL" > /etc/sudoers.d/dev',
        "chmod 440 /etc/sudoers.d/dev",
    ]


def _environment(plan: BuildPlan) -> list[str]:
    pairs = []
    for setting in plan.env:
        if setting.source == "base":
            continue
        value = _escape(setting.value)
        if setting.source == "default":
            value = value.replace(plan.paths.venv, "${WORKDIR}/.venv")
            value = value.replace(f"/home/{plan.user.name}", "/home/${USERNAME}")
            if setting.name == "PYTHONPATH":
                value = "${WORKDIR}"
        pairs.append(f'{setting.name}="{value}"')
    return [_env(*pairs)]


def _env(*pairs: str) -> str:
    return "ENV " + " \\\n    ".join(pairs)


def _labels(plan: BuildPlan) -> list[str]:
    # The version would make the file another one with every release; `shipwheel build` gives it as --label.
    items = [item for item in plan.labels if item.source != "base" and item.name != VERSION_LABEL]
    pairs = [f"{item.name}={_double(item.value)}" for item in items]
    return ["LABEL " + " \\\n      ".join(pairs)] if pairs else []


def _program(plan: BuildPlan) -> list[str]:
    prefix = f"{plan.paths.venv}/bin/"
    # Found on PATH, so that another WORKDIR does not lose it: the exec form knows no variables.
    return [word.removeprefix(prefix) for word in plan.entrypoint.value or ("python",)]


def _title(stage: str, what: str) -> list[str]:
    return [_RULE, f"# {stage}: {what}", _RULE]


def _script(name: str, target: str, *then: str) -> list[str]:
    return [_run(_script_step(name, target), *then)]


def _script_step(name: str, target: str) -> str:
    return _written((_SCRIPTS / name).read_text("utf-8").rstrip("\n").split("\n"), target)


def _written(lines: Sequence[str], target: str) -> str:
    folder = posixpath.dirname(target)
    quoted = " \\\n      ".join(shell_quote(line) for line in lines)
    return f"mkdir -p {folder} \\\n && printf '%s\\n' \\\n      {quoted} \\\n      > {target}"


def _run(*steps: str, mounts: Sequence[str] = ()) -> str:
    # Joined by &&, as not every builder obeys SHELL.
    return "RUN " + "".join(f"{mount} \\\n    " for mount in mounts) + " \\\n && ".join(steps)


def _spaced(lines: Sequence[str]) -> list[str]:
    """Return the lines with an empty one wherever another kind of instruction begins."""
    spaced: list[str] = []
    notes: list[str] = []
    before = ""
    for line in lines:
        if line.startswith("#") or not line:
            notes.append(line)
            continue
        kind = line.split(" ", 1)[0]
        if before and kind != before and "" not in notes:
            spaced.append("")
        spaced += [*notes, line]
        notes, before = [], kind
    return [*spaced, *notes]


def _leading_version(tag: str) -> str:
    version = ""
    for character in tag:
        if not (character.isdigit() or (character == "." and version)):
            break
        version += character
    return version or tag


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")


def _double(value: str) -> str:
    return f'"{_escape(value)}"'
