"""`BuildPlan` → Dockerfile. The stages read top to bottom as the file does; `installers` has each tool's words."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable
from typing import Final

from shipwheel.plan.model import BuildPlan, DockerfilePlan
from shipwheel.render.installers import TOOLS, Words, installer_words
from shipwheel.render.instructions import BASE, below, double, env, escape, run, spaced, title
from shipwheel.render.kit import render_kit
from shipwheel.render.text import own_region
from shipwheel.render.tools import (
    SECRETS,
    VENV,
    install_member,
    last_step,
    render_builder,
    render_workshop,
    tool_environment,
)

# Where the context lies in the stages that build; nothing of it is in the app stage.
SOURCE: Final = "/src"
_BYTECODE_CACHE: Final = "--mount=type=cache,target=/root/.cache/bytecode"
_APT: Final = "apt-get install --yes --no-install-recommends"
# What apt leaves behind: downloads, and logs and caches that differ from day to day.
_APT_CLEAN: Final = (
    "rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/ldconfig /var/log/apt /var/log/dpkg.log"
)
_REMOVAL_NOTE: Final = "# Nothing that installs: neither the base's pip nor its like."
_REMOVE_INSTALLERS: Final = (
    " \\\n".join(
        (
            "for folder in $(python3 -c 'import sys; print(*filter(None, sys.path))'); do",
            "      for name in pip ensurepip setuptools wheel; do",
            '        rm -rf "${folder:?}/$name" "$folder/$name"-*.dist-info; done; done',
        )
    ),
    'rm -f "$(dirname "$(command -v python3)")"/pip* /usr/bin/pip*',
)
VERSION_LABEL: Final = "org.opencontainers.image.version"


def render_dockerfile(plan: BuildPlan) -> str:
    """Return the Dockerfile without its header. `plan.dockerfile` has to be there."""
    road = _road(plan)
    words = installer_words(road)
    system = sorted({*road.build_packages, *road.packages})
    stages = (
        _arguments(plan, road),
        render_kit(road, plan.python.version),
        _manifests(road),
        render_builder(road, words, [_apt_run(system)] if system else []),
        _app_pre(words, road),
        *([render_workshop(road)] if road.build_systems else []),
        _project(road),
        _app(plan, road),
        _dev(plan, road, words),
        _test(road),
    )
    return "\n\n".join("\n".join(spaced(stage)) for stage in stages) + "\n"


def _road(plan: BuildPlan) -> DockerfilePlan:
    if plan.dockerfile is None:
        raise ValueError("the plan is not for the Dockerfile road")
    return plan.dockerfile


def _arguments(plan: BuildPlan, road: DockerfilePlan) -> list[str]:
    lines = [
        "# Where things are, who runs them, on which Python. Change them with --build-arg.",
        f"ARG WORKDIR={double(plan.paths.workdir)}",
        f"ARG USERNAME={double(plan.user.name)}",
        f"ARG USER_UID={plan.user.uid}",
        f"ARG USER_GID={plan.user.gid}",
    ]
    name, _, tag = road.image.rpartition(":")
    version = _leading_version(tag)
    digest = "" if road.digest is None else f"@{road.digest}"
    lines.append(f"ARG PYTHON_VERSION={double(version)}")
    if digest:
        lines += [
            "# The digest decides, for every platform; another PYTHON_VERSION needs it empty or its own.",
            f"ARG PYTHON_DIGEST={double(digest)}",
        ]
    image = f"{name}:${{PYTHON_VERSION}}{tag[len(version) :]}{'${PYTHON_DIGEST}' if digest else ''}"
    # Not a stage that the others stand on: `buildah build --label` makes such a one anew each time.
    return [*lines, f'ARG BASE="{image}"']


def _manifests(road: DockerfilePlan) -> list[str]:
    copies = []
    for folder in sorted({posixpath.dirname(path) for path in road.manifests}):
        names = [path for path in road.manifests if posixpath.dirname(path) == folder]
        copies.append(f"COPY {' '.join(names)} {below('/context', folder)}/")
    return [
        *title("manifests", "what of pyproject.toml and the lock affects installation, and nothing else"),
        "# A new version, description or tool setting ends here: what follows sees no difference.",
        f"FROM {BASE} AS manifests",
        "COPY --from=kit /kit/reduce.py /opt/",
        *copies,
        run(f"python3 /opt/reduce.py /context /manifests {' '.join(road.manifests)}"),
        *last_step("/manifests"),
    ]


def _app_pre(words: Words, road: DockerfilePlan) -> list[str]:
    heading = title("app-pre", "production dependencies alone")
    # uv leaves files behind by which it keeps others of its kind out.
    tidy = ('rm -f "$VIRTUAL_ENV/.lock" /tmp/uv-*.lock',) if road.installer == "uv" else ()
    install = (f"compile-ahead with-secrets {words.production}", *tidy)
    mounts = (words.cache, _BYTECODE_CACHE, *SECRETS)
    if _compiles(road):
        return [
            *heading,
            "# On the builder, which has what compiles; of all this the app gets the venv.",
            "FROM builder AS app-pre",
            f"COPY --from=manifests /manifests/ {SOURCE}/",
            f"WORKDIR {below(SOURCE, road.folder)}",
            run(*install, mounts=mounts),
            *own_region("app-pre"),
        ]
    return [
        *heading,
        "# On the base itself, in the place where they will ship: nothing is copied. The tools are there meanwhile.",
        f"FROM {BASE} AS app-pre",
        "ARG WORKDIR",
        *words.arguments,
        *([_apt_run(road.packages)] if road.packages else []),
        *([] if _removes_late(road) else [_REMOVAL_NOTE, run(*_REMOVE_INSTALLERS)]),
        "# Buildah does not look into mounts; this tells it whether there is anything else to install.",
        "COPY --from=manifests /fingerprint ${WORKDIR}/.venv/.fingerprint",
        run(*_with_tools(road, words), VENV, *install, mounts=(*_tool_mounts(), *mounts)),
        *own_region("app-pre"),
    ]


def _compiles(road: DockerfilePlan) -> bool:
    """Tell whether dependencies are compiled, with what must not be in the app."""
    return bool(road.build_packages)


def _removes_late(road: DockerfilePlan) -> bool:
    """Tell whether the base's pip is needed until the dependencies are there."""
    return _compiles(road) or road.installer == "pip"


def _tool_mounts() -> tuple[str, ...]:
    return (
        f"--mount=type=bind,from=builder,source={TOOLS},target={TOOLS}",
        f"--mount=type=bind,from=manifests,source=/manifests,target={SOURCE},rw",
    )


def _with_tools(road: DockerfilePlan, words: Words) -> tuple[str, str]:
    """Return the steps that make a shell ready for the tool; an ENV would stay in the image."""
    pairs = (pair.partition("=") for pair in tool_environment(road, words))
    exports = " \\\n      ".join(f'{name}="{value}"' for name, _, value in pairs)
    return f"export {exports}", f"cd {below(SOURCE, road.folder)}"


def _project(road: DockerfilePlan) -> list[str]:
    lines = [
        *title("project", "the project itself, as it will lie in the image"),
        f"FROM {'workshop' if road.build_systems else 'builder'} AS project",
    ]
    steps = []
    for member in road.members:
        folder = below(SOURCE, member.folder)
        if member.build_system is None:
            lines.append("COPY --from=kit /kit/copy_source.py /opt/")
            steps.append(f'python3 /opt/copy_source.py {folder} "/project${{WORKDIR}}"')
            steps.append(
                "python3 -m compileall -q --invalidation-mode unchecked-hash -s /project -p / /project"
            )
        else:
            steps.append(install_member(member.build_system, "wheel", folder, "/project"))
    # Copied, not mounted: Buildah does not look at what is mounted, and would take the image of older code.
    return [*lines, f"COPY . {SOURCE}/", run(*steps)]


def _app(plan: BuildPlan, road: DockerfilePlan) -> list[str]:
    lines = [
        *title("app", "what ships: the base, the venv and the project"),
        f"FROM {BASE if _compiles(road) else 'app-pre'} AS app",
        "ARG WORKDIR",
        "ARG USERNAME",
        "ARG USER_UID",
        "ARG USER_GID",
    ]
    if road.packages and _compiles(road):
        lines.append(_apt_run(road.packages))
    removal = _REMOVE_INSTALLERS if _removes_late(road) else ()
    lines += [
        *([_REMOVAL_NOTE] if removal else []),
        run(*removal, *_add_user("/usr/sbin/nologin")),
        *_environment(plan),
        "WORKDIR ${WORKDIR}",
        *(["COPY --from=app-pre ${WORKDIR}/.venv ${WORKDIR}/.venv"] if _compiles(road) else []),
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
        *title("dev", "production dependencies below, development on top; the source is mounted or copied"),
        "FROM app-pre AS dev",
        "ARG WORKDIR",
        "ARG USERNAME",
        "ARG USER_UID",
        "ARG USER_GID",
    ]
    if packages:
        lines.append(_apt_run(packages))
    install = f"with-secrets {words.development}"
    if _compiles(road):
        lines.append(run(install, mounts=(words.cache, *SECRETS)))
    else:
        lines += [
            f"COPY --from=builder {TOOLS} {TOOLS}",
            env(*tool_environment(road, words)),
            run(
                f"cd {below(SOURCE, road.folder)}", install, mounts=(_tool_mounts()[1], words.cache, *SECRETS)
            ),
        ]
    lines.append(run(*_add_user("/bin/bash"), *_sudoer(road)))
    members = [
        install_member(member.build_system, "editable", below(home, member.folder), '""')
        for member in road.members
        if member.build_system is not None
    ]
    work = "${WORKDIR}" if home == "${WORKDIR}" else posixpath.join(home, road.folder)
    followed = " ".join(_followed(road, home))
    lines += [
        "COPY --from=kit /kit/follow-lock /usr/local/bin/",
        *(["COPY --from=kit /kit/reduce.py /opt/"] if "/opt/reduce.py" in words.follow else []),
        *(["COPY --from=workshop /opt/workshop /opt/workshop"] if road.build_systems else []),
        f"COPY --chown=${{USER_UID}}:${{USER_GID}} . {home}/",
        f"WORKDIR {work}",
        env(
            f"LOCK_FILES={double(followed)}",
            f"INSTALL_COMMAND={double(words.follow)}",
            "HOME=/home/${USERNAME}",
            "PATH=${WORKDIR}/.venv/bin:$PATH",
            *(["PYTHONPATH=${WORKDIR}"] if plan.mode == "source" else []),
            "PYTHONUNBUFFERED=1",
        ),
        "# Whoever owns the folders may replace what is in them; changing the files would double the image.",
        run(
            *members,
            f'sha256sum {followed} > "$VIRTUAL_ENV/.made-from"',
            f'find "$VIRTUAL_ENV" "{home}" -type d -exec chown "${{USER_UID}}:${{USER_GID}}" {{}} +',
            'chown "${USER_UID}:${USER_GID}" "$VIRTUAL_ENV/.made-from"',
        ),
        *own_region("dev"),
        "USER ${USER_UID}:${USER_GID}",
        'ENTRYPOINT ["/usr/local/bin/follow-lock"]',
        'CMD ["sleep", "infinity"]',
    ]
    return lines


def _followed(road: DockerfilePlan, home: str) -> list[str]:
    """Return the files that decide what a dev container has, as seen from its working folder."""
    files = [path for path in road.manifests if path.endswith((".txt", ".in"))] or [road.lock]
    return [posixpath.join(home, path) if road.folder else path for path in files]


def _test(road: DockerfilePlan) -> list[str]:
    return [
        *title("test", "runs the suite: building this stage fails with it"),
        "FROM dev AS test",
        *own_region("test"),
        f"RUN {json.dumps(list(road.test))}",
    ]


def _dev_folder(road: DockerfilePlan) -> str:
    # Path dependencies are named from the project's folder, so the whole tree keeps its shape.
    return "${WORKDIR}" if not road.folder else SOURCE


def _apt_run(packages: Iterable[str]) -> str:
    return run("apt-get update", f"{_APT} {' '.join(sorted(packages))}", _APT_CLEAN)


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
        '{ getent group "${USER_GID}" > /dev/null || echo "${USERNAME}:x:${USER_GID}:" >> /etc/group; }',
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
        value = escape(setting.value)
        if setting.source == "default":
            value = value.replace(plan.paths.venv, "${WORKDIR}/.venv")
            value = value.replace(f"/home/{plan.user.name}", "/home/${USERNAME}")
            if setting.name == "PYTHONPATH":
                value = "${WORKDIR}"
        pairs.append(f'{setting.name}="{value}"')
    return [env(*pairs)]


def _labels(plan: BuildPlan) -> list[str]:
    # The version would make the file another one with every release; `shipwheel build` gives it as --label.
    items = [item for item in plan.labels if item.source != "base" and item.name != VERSION_LABEL]
    pairs = [f"{item.name}={double(item.value)}" for item in items]
    return ["LABEL " + " \\\n      ".join(pairs)] if pairs else []


def _program(plan: BuildPlan) -> list[str]:
    prefix = f"{plan.paths.venv}/bin/"
    # Found on PATH, so that another WORKDIR does not lose it: the exec form knows no variables.
    return [word.removeprefix(prefix) for word in plan.entrypoint.value or ("python",)]


def _leading_version(tag: str) -> str:
    version = ""
    for character in tag:
        if not (character.isdigit() or (character == "." and version)):
            break
        version += character
    return version or tag
