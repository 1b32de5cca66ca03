"""Compose files: what they do to a Python image, told with the line."""

import pytest

from shipwheel.errors import UsageError
from shipwheel.verify.composefile import check as composefile
from shipwheel.verify.composefile import exposed, running
from shipwheel.verify.composefile.read import read_compose

GOOD = """\
services:
  app:
    build: .
    read_only: true
    tmpfs: [/tmp]
    restart: unless-stopped
    environment:
      DATABASE_URL: postgresql://db/app
      DB_PASSWORD: ${DB_PASSWORD:?}
    ports: ["127.0.0.1:8000:8000"]
    healthcheck:
      test: ["CMD", "python", "-c", "import app.health"]
    depends_on:
      db:
        condition: service_healthy
  db:
    image: postgres:17.2-alpine
    healthcheck:
      test: ["CMD", "pg_isready"]
    volumes: ["data:/var/lib/postgresql/data"]
volumes:
  data:
"""
IMAGE = running.Image(
    venvs=("/app/.venv",), compiled=True, programs={"python": True, "curl": False, "/bin/sh": False}
)


def told(text: str, image: running.Image = IMAGE) -> dict[str, list[int]]:
    """Return for each broken rule the lines."""
    file = read_compose("compose.yaml", text)
    found: dict[str, list[int]] = {}
    for rule, line, _ in (*exposed.check(file), *running.check(file, image)):
        found.setdefault(rule.code, []).append(line)
    return found


def test_a_good_compose_file_breaks_no_rule() -> None:
    assert told(GOOD) == {}


# What is replaced in the good one, by what, and the lines that alone are told then.
ZOO: dict[str, tuple[str, str, list[int]]] = {
    "compose-privileged": ("    restart:", "    privileged: true\n    restart:", [6]),
    "compose-capabilities": ("    restart:", "    cap_add: [NET_ADMIN]\n    restart:", [6]),
    "compose-host-namespace": ("    restart:", "    pid: host\n    restart:", [6]),
    "compose-engine-socket": (
        "    restart:", "    volumes:\n      - /var/run/docker.sock:/var/run/docker.sock:ro\n    restart:", [7],
    ),
    "compose-root": ("    restart:", '    user: "0:0"\n    restart:', [6]),
    "compose-writable-root": ("    read_only: true\n    tmpfs: [/tmp]\n", "", [2]),
    "compose-secret": ("${DB_PASSWORD:?}", "tr0ub4dor&3x", [9]),
    "compose-database-port": ("    volumes: [", '    ports: ["5432:5432"]\n    volumes: [', [20]),
    "compose-development-server": ("    build: .", "    build: .\n    command: uvicorn app:app --reload", [4]),
    "compose-venv-hidden": ("    restart:", "    volumes: [./:/app]\n    restart:", [6]),
    "compose-venv-stale": ("    restart:", "    volumes: [venv:/app/.venv]\n    restart:", [6]),
    "compose-no-temporary-folder": ("    tmpfs: [/tmp]\n", "", [4]),
    "compose-no-health": ('    healthcheck:\n      test: ["CMD", "python", "-c", "import app.health"]\n', "", [2]),
    "compose-bad-health": ('"python", "-c", "import app.health"', '"curl", "localhost:8000"', [11]),
    "compose-waits-for-ever": (
        "    depends_on:\n      db:\n        condition: service_healthy\n",
        "    depends_on:\n      job:\n        condition: service_healthy\n  job:\n    build: .\n    read_only: true\n    tmpfs: /tmp\n",
        [14],
    ),
    "compose-slow-stop": ("    build: .", '    build: .\n    command: sh -c "migrate && serve"', [4]),
    "compose-no-restart": ("    restart: unless-stopped\n", "", [2]),
    "compose-floating-image": ("postgres:17.2-alpine", "postgres", [17]),
    "compose-version": ("services:\n  app", 'version: "3.7"\nservices:\n  app', [1]),
    "compose-inert-cache": (
        "    build: .", "    image: shop\n    build:\n      context: .\n      cache_from: [shop]", [6],
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", ZOO)
def test_the_rule_finds_its_line_and_no_other_speaks(code: str) -> None:
    before, after, lines = ZOO[code]
    assert before in GOOD
    assert told(GOOD.replace(before, after)) == {code: lines}


def test_an_image_without_bytecode_on_a_read_only_root_is_told() -> None:
    bare = running.Image(venvs=("/app/.venv",), compiled=False, programs=IMAGE.programs)
    assert told(GOOD, bare) == {"compose-never-compiled": [2]}
    cached = GOOD.replace("      DATABASE_URL", "      PYTHONPYCACHEPREFIX: /cache\n      DATABASE_URL")
    assert told(cached, bare) == {}


def test_every_rule_of_compose_files_has_an_animal() -> None:
    assert {rule.code for rule in composefile.RULES} == {*ZOO, "compose-never-compiled"}


def service(*lines: str, image: running.Image = IMAGE) -> dict[str, list[int]]:
    """Return what is told of a service for working in, with `lines` from line 4 on."""
    text = "services:\n  app:\n    build: {context: ., target: dev}\n" + "".join(
        f"    {line}\n" for line in lines
    )
    return told(text, image)


def test_a_volume_on_the_environment_under_a_mounted_folder_is_not_hidden_but_stale() -> None:
    mounts = "volumes: ['.:/app', 'venv:/app/.venv']"
    assert service(mounts) == {"compose-venv-stale": [4]}
    follows = running.Image(
        venvs=("/app/.venv",), starts={"app": "/usr/local/bin/follow-lock sleep infinity"}
    )
    assert service(mounts, image=follows) == {}
    assert service(mounts, "command: sh -c 'uv sync && exec serve'") == {}


def test_a_long_mount_and_an_anonymous_volume_are_mounts_too() -> None:
    assert service("volumes:", "  - type: bind", "    source: .", "    target: /app") == {
        "compose-venv-hidden": [5]
    }
    assert service("volumes: ['.:/app', '/app/.venv']") == {"compose-venv-stale": [4]}
    assert service("volumes: ['.:/app', '${SOURCE:-./src}:/app/src']") == {"compose-venv-hidden": [4]}
    assert service("volumes: ['./src:/app/src']") == {}


@pytest.mark.parametrize(
    ("port", "is_told"),
    [
        ('"5432:5432"', True), ("5432", True), ('"0.0.0.0:15432:5432"', True), ('"[::]:5432:5432/tcp"', True),
        ('"127.0.0.1:5432:5432"', False), ('"[::1]:5432:5432"', False), ('"${HOST:-127.0.0.1}:5432:5432"', False),
        ('"8000:8000"', False), ("{target: 6379, published: 6379}", True),
        ("{target: 6379, published: 6379, host_ip: 127.0.0.1}", False),
    ],
)  # fmt: skip
def test_databases_on_all_addresses_are_told(port: str, is_told: bool) -> None:
    text = f"services:\n  db:\n    image: some:1\n    ports:\n      - {port}\n"
    assert told(text) == ({"compose-database-port": [5]} if is_told else {})


@pytest.mark.parametrize(
    ("image", "is_told"),
    [
        ("redis", True), ("redis:latest", True), ("registry.example:5000/redis", True), ("redis:8", False),
        ("redis:latest@sha256:" + "a" * 64, False), ("${IMAGE}", False),
    ],
)  # fmt: skip
def test_an_image_that_floats_is_told(image: str, is_told: bool) -> None:
    found = told(f"services:\n  cache:\n    image: {image}\n")
    assert found == ({"compose-floating-image": [3]} if is_told else {})


def test_security_options_and_capabilities_that_are_all_of_them_count_as_privileged() -> None:
    text = "services:\n  a:\n    image: a:1\n    security_opt: ['seccomp:unconfined']\n    cap_add:\n      - SYS_ADMIN\n"
    assert told(text) == {"compose-privileged": [4, 6]}


def test_environment_as_a_list_and_build_arguments_are_searched_for_secrets() -> None:
    text = "services:\n  a:\n    image: a:1\n    environment:\n      - API_TOKEN=tr0ub4dor&3x\n      - LOG=debug\n"
    assert told(text) == {"compose-secret": [5]}
    assert "compose-secret" in service("init: true", "x: 1") | told(
        "services:\n  a:\n    build:\n      context: .\n      args:\n        INDEX: https://ann:tr0ub4dor@pypi.example/s\n"
    )


# As a tutorial has it: what was measured to be wrong with it is found.
TUTORIAL = """\
version: "3.7"
services:
  builder:
    image: "shop-builder:latest"
    deploy: {replicas: 0}
    build: {context: ., target: builder, cache_from: ["shop-builder:latest"]}
  app-dev:
    image: "shop-dev:latest"
    build:
      context: .
      target: dev
      cache_from:
        - "shop-builder:latest"
        - "shop-dev:latest"
    volumes:
      - python_venv:/app/.venv
    command: /bin/sh -c "sleep infinity"
volumes:
  python_venv:
"""


def test_all_that_is_wrong_with_a_tutorials_compose_file_is_found() -> None:
    assert told(TUTORIAL) == {
        "compose-version": [1],
        "compose-inert-cache": [6, 13, 14],
        "compose-venv-stale": [16],
        "compose-slow-stop": [17],
    }


def test_services_that_are_for_development_by_name_or_target_are_asked_for_less() -> None:
    ports = "    ports: ['8000:8000']\n"
    assert told(f"services:\n  dev-docs:\n    build: .\n{ports}") == {}
    assert told(f"services:\n  app:\n    build: {{context: ., target: test}}\n{ports}") == {}
    assert "compose-writable-root" in told(f"services:\n  app:\n    build: .\n{ports}")


def test_anchors_and_merge_keys_are_followed() -> None:
    text = "x-base: &base\n  privileged: true\nservices:\n  a:\n    <<: *base\n    image: a:1\n  b:\n    <<: [*base]\n    privileged: false\n    image: b:1\n"
    assert told(text) == {"compose-privileged": [2]}


def test_what_other_files_may_add_is_not_missed() -> None:
    text = "services:\n  app:\n    extends: {file: base.yaml, service: app}\n    build: .\n    ports: ['8000:8000']\n"
    assert told(text) == {}


def test_a_cache_that_is_exported_is_not_inert() -> None:
    text = "services:\n  a:\n    image: shop\n    build:\n      context: .\n      cache_from: [shop]\n      args: {BUILDKIT_INLINE_CACHE: 1}\n    scale: 0\n"
    assert told(text) == {}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("services: [", "compose.yaml:1"), ("", "compose.yaml"), ("- a\n", "compose.yaml"), ("services: {}", "compose.yaml"),
        ("a: &a\n  b: *a\nservices: *a\n", "compose.yaml:1"), ("a: \x00", "compose.yaml"),
        ("services: " + "{a: " * 60 + "1" + "}" * 60, "compose.yaml:1"),
    ],
)  # fmt: skip
def test_what_is_no_compose_file_is_told_with_its_place(text: str, place: str) -> None:
    with pytest.raises(UsageError) as error:
        read_compose("compose.yaml", text)
    assert error.value.code == "bad-compose-file"
    assert (error.value.problems[0].place or "").startswith(place)


def test_a_file_nested_too_deep_to_read_is_refused() -> None:
    with pytest.raises(UsageError) as error:
        read_compose("compose.yaml", "services:\n  a: " + "[" * 3000)
    assert error.value.code == "bad-compose-file"


def test_anchors_that_multiply_end_in_an_error() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(UsageError) as error:
        read_compose("compose.yaml", "\n".join([*lines, "services: {a: {image: b}}"]))
    assert error.value.code == "bad-compose-file"
