"""`[tool.shipwheel]`: every setting with its type, default and meaning. Reads no file itself.

The types are the reference: the published JSON schema and the settings page of the documentation
are made from them (`settings_schema`), and `read_settings` obeys them.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from shipwheel.errors import Problem

SCHEMA_ID: Final = "https://shipwheel.invalid/schemas/settings-1.json"
# Layers in an image, ours and the base's: Docker's overlay driver ends at 127; 120 leaves room to add to.
MAX_LAYERS: Final = 120

PythonVersion = Annotated[str, Meta(pattern=r"^3\.[0-9]+(\.[0-9]+)?$")]
Signal = Annotated[str, Meta(pattern=r"^(SIG[A-Z0-9+-]+|[0-9]+)$")]
Port = Annotated[str, Meta(pattern=r"^[0-9]{1,5}(/(tcp|udp|sctp))?$")]
AbsolutePath = Annotated[str, Meta(pattern=r"^/[^\0:]*$")]
Words = Annotated[tuple[str, ...], Meta(min_length=1)]
Bytes = Annotated[int, Meta(ge=1)]
UnixId = Annotated[int, Meta(ge=0, le=4294967294)]
UserName = Annotated[str, Meta(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]


class BaseSettings(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """Where the first layers come from. Without `image` and `layout`: assembled from Debian packages."""

    image: Annotated[str | None, Meta(description="A registry image to stand on, as python:3.13-slim")] = None
    layout: Annotated[str | None, Meta(description="An OCI layout folder to stand on, from the project")] = (
        None
    )
    suite: Annotated[str | None, Meta(description="Debian suite: trixie, bookworm or forky")] = None
    mirror: Annotated[str | None, Meta(description="Debian mirror to take packages from")] = None
    security_mirror: Annotated[str | None, Meta(description="Mirror of Debian's security archive")] = None
    snapshot_mirror: Annotated[
        str | None, Meta(description="Archive of old package versions, asked when the mirrors lost one")
    ] = None
    packages: Annotated[
        tuple[str, ...], Meta(description="Debian packages to add, as libpq5; in the Dockerfile road too")
    ] = ()
    build_packages: Annotated[
        tuple[str, ...], Meta(description="Debian packages that only building needs, as libpq-dev")
    ] = ()


class UserSettings(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """The numeric user that the container runs as."""

    uid: Annotated[UnixId, Meta(description="User id")] = 65532
    gid: Annotated[UnixId, Meta(description="Group id")] = 65532
    name: Annotated[UserName, Meta(description="Name in /etc/passwd; nothing runs by it")] = "nonroot"
    home: Annotated[AbsolutePath | None, Meta(description="Home folder; by default /home/<name>")] = None


class LayerSettings(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """How wheels are spread over layers."""

    alone: Annotated[int, Meta(ge=0, le=100, description="Wheels that get a layer each, largest first")] = 70
    buckets: Annotated[int, Meta(ge=1, le=100, description="Layers that the remaining wheels share")] = 30


SlimOption = Literal[
    "tests", "stubs", "headers", "static-libraries", "source-maps", "documentation", "debug-symbols"
]
SLIM_OPTIONS: Final[tuple[SlimOption, ...]] = get_args(SlimOption)
WholePackage = Annotated[
    str, Meta(pattern=rf"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(:({'|'.join(SLIM_OPTIONS)}))?$")
]


class SlimSettings(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """What is left out of locked packages that a running program has no use for. Nothing by default."""

    drop: Annotated[
        tuple[SlimOption, ...], Meta(description="What to leave out; `shipwheel slim` says what each saves")
    ] = ()
    keep: Annotated[
        tuple[WholePackage, ...],
        Meta(description="Packages to leave as they are, as numpy; or in one way, as scikit-image:stubs"),
    ] = ()
    verify: Annotated[
        bool,
        Meta(description="Import what was slimmed before the image goes anywhere; needs a way to run it"),
    ] = True


class TagSettings(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """Which tags `--tags auto` and `shipwheel tags` give."""

    release: Annotated[
        Literal["git-tag", "always"],
        Meta(description="What gets the version's tags: commits with a git tag, or every commit"),
    ] = "git-tag"
    git_tag: Annotated[
        str, Meta(pattern=r"\{version\}", description="How git tags name versions; without v too by default")
    ] = "v{version}"
    floating: Annotated[
        tuple[Literal["minor", "major", "latest"], ...],
        Meta(description="Tags that follow the newest release: 1.4, 1 and latest"),
    ] = ("minor", "major", "latest")
    branch: Annotated[bool, Meta(description="Tag the branch's name")] = True
    pull_request: Annotated[bool, Meta(description="Tag pull requests as pr-7")] = True
    commit: Annotated[bool, Meta(description="Tag the commit as sha-0123456789ab")] = True
    immutable: Annotated[
        bool, Meta(description="The registry lets no tag move: give only those that never do")
    ] = False
    dirty: Annotated[bool, Meta(description="Tag a working tree with changes that no commit has")] = False
    git_labels: Annotated[
        bool,
        Meta(description="Label the image with commit and repository; each commit is then another image"),
    ] = False


class DockerfileSettings(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True
):
    """What only the Dockerfile road knows of: its base image, its tools, its dev and test stages."""

    image: Annotated[
        str | None, Meta(description="Image to stand on where the native base is no registry image")
    ] = None
    plugins: Annotated[
        tuple[str, ...], Meta(description="Packages beside Poetry or PDM, as poetry-plugin-pypi-mirror")
    ] = ()
    dev_packages: Annotated[
        tuple[str, ...], Meta(description="Debian packages of the dev stage, beside sudo")
    ] = ("git", "iputils-ping", "wget")
    sudo: Annotated[bool, Meta(description="Whether the dev stage's user may become root")] = True
    test: Annotated[
        tuple[str, ...] | None, Meta(description="What the test stage runs; by default pytest or unittest")
    ] = None


class IgnoreSettings(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """A finding of `shipwheel check` that the project accepts."""

    code: Annotated[str, Meta(pattern="^[a-z0-9]+(-[a-z0-9]+)*$", description="The rule's code")]
    reason: Annotated[str, Meta(min_length=3, description="Why it is accepted; the report says so")]
    path: Annotated[
        str | None, Meta(description="Only in paths like this, as /usr/bin/*; * crosses slashes")
    ] = None


class CheckSettings(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """What `shipwheel check` asks of the image."""

    fail_on: Annotated[
        Literal["error", "warning", "note", "never"], Meta(description="The least that makes the check fail")
    ] = "error"
    max_size: Annotated[
        Bytes | None, Meta(description="Bytes that the image may have, compressed, as it is pulled")
    ] = None
    ignore: Annotated[
        tuple[IgnoreSettings, ...], Meta(description="Findings that are accepted, each with its reason")
    ] = ()


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """The table `[tool.shipwheel]`; everything is optional."""

    python: Annotated[PythonVersion | None, Meta(description="Python to ship, as 3.13")] = None
    lock: Annotated[str | None, Meta(description="The lock file, where several could be meant")] = None
    base: Annotated[BaseSettings, Meta(description="Where the first layers come from")] = BaseSettings()
    user: Annotated[UserSettings, Meta(description="Who the container runs as")] = UserSettings()
    workdir: Annotated[AbsolutePath, Meta(description="Working folder; the venv is <workdir>/.venv")] = "/app"
    entrypoint: Annotated[
        Words | None, Meta(description="What starts, as a list; a script of the project, or a command")
    ] = None
    cmd: Annotated[tuple[str, ...] | None, Meta(description="Default arguments of the entry point")] = None
    env: Annotated[dict[str, str], Meta(description="Environment variables to set")] = {}
    ports: Annotated[tuple[Port, ...], Meta(description="Ports that the program listens on, as 8000")] = ()
    volumes: Annotated[tuple[AbsolutePath, ...], Meta(description="Folders that hold data of their own")] = ()
    labels: Annotated[dict[str, str], Meta(description="Labels beside the ones from the metadata")] = {}
    stop_signal: Annotated[Signal | None, Meta(description="Signal that asks to stop, as SIGINT")] = None
    groups: Annotated[tuple[str, ...], Meta(description="Dependency groups to add to production")] = ()
    extras: Annotated[tuple[str, ...], Meta(description="Extras of the project to install")] = ()
    include: Annotated[tuple[str, ...], Meta(description="Files to take in although they are ignored")] = ()
    exclude: Annotated[tuple[str, ...], Meta(description="Files to leave out (gitignore patterns)")] = ()
    layers: Annotated[LayerSettings, Meta(description="How wheels are spread over layers")] = LayerSettings()
    slim: Annotated[SlimSettings, Meta(description="What is left out of locked packages")] = SlimSettings()
    check: Annotated[CheckSettings, Meta(description="What `shipwheel check` asks for")] = CheckSettings()
    bytecode: Annotated[bool, Meta(description="Compile Python files ahead")] = True
    dockerfile: Annotated[DockerfileSettings, Meta(description="The Dockerfile road alone")] = (
        DockerfileSettings()
    )
    foreign_binaries: Annotated[
        tuple[str, ...], Meta(description="Packages that may bring programs for other processors")
    ] = ()
    name: Annotated[str | None, Meta(description="The image's name, as registry.example/team/app")] = None
    tags: Annotated[TagSettings, Meta(description="Which tags an image gets")] = TagSettings()
    platforms: Annotated[
        tuple[str, ...], Meta(description="Platforms to build, as linux/arm64; else this machine's")
    ] = ()


def settings_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of `[tool.shipwheel]`; unknown keys do not fit it."""
    return json_schema(Settings, SCHEMA_ID)


def json_schema(kind: type, name: str) -> dict[str, Any]:
    """Return the JSON schema (2020-12) of `kind`, called `name`; the same from every Python."""
    import inspect

    # Defaults come as Python's values: a tuple is no JSON.
    schema = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(kind)))
    for definition in schema.get("$defs", {}).values():
        if "description" in definition:  # a docstring, which only Pythons from 3.13 on strip of its indent
            definition["description"] = inspect.cleandoc(definition["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": name, **schema}


def read_settings(table: Mapping[str, Any], *, file: str) -> tuple[Settings, list[Problem]]:
    """Read `[tool.shipwheel]`; return it with every problem found (codes unknown-setting, bad-setting)."""
    problems: list[Problem] = []
    settings: Settings = _read_table(Settings, table, "tool.shipwheel", file, problems)
    if settings.layers.alone + settings.layers.buckets > MAX_LAYERS - 20:
        problems.append(
            Problem(
                code="bad-setting",
                message=f"alone + buckets is {settings.layers.alone + settings.layers.buckets}, over 100",
                place=f"{file} [tool.shipwheel.layers]",
                hint=f"an image may have {MAX_LAYERS} layers, and 20 are kept for the base and the app",
            )
        )
    return settings, problems


def _read_table(kind: Any, table: Mapping[str, Any], key: str, file: str, problems: list[Problem]) -> Any:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    hints = get_type_hints(kind, include_extras=True)
    values: dict[str, Any] = {}
    for name, value in table.items():
        field = fields.get(name)
        if field is None:
            problems.append(_unknown(name, fields, key, file))
            continue
        plain = _plain_type(hints[field.name])
        try:
            if isinstance(plain, type) and issubclass(plain, msgspec.Struct) and isinstance(value, dict):
                values[field.name] = _read_table(plain, value, f"{key}.{name}", file, problems)
            else:
                values[field.name] = msgspec.convert(value, hints[field.name])
        except msgspec.ValidationError as error:
            place = f"{file} [{key}] {name}"
            message = f"{name}: {str(error).split(' - at ')[0]}"
            problems.append(Problem(code="bad-setting", message=message, place=place))
    return kind(**values)


def _unknown(name: str, known: Mapping[str, Any], key: str, file: str) -> Problem:
    import difflib

    close = difflib.get_close_matches(name.replace("_", "-"), known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
    message = f"there is no setting {name} in [{key}]"
    return Problem(code="unknown-setting", message=message, place=f"{file} [{key}] {name}", hint=hint)


def _plain_type(hint: Any) -> Any:
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, types.UnionType):
        return None
    return hint
