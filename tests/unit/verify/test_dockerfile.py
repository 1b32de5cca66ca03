"""Dockerfiles: what only somebody who knows Python and the promises sees."""

import json
import os
from datetime import date
from pathlib import Path

import pytest

from shipwheel.verify import dockerfile, linters
from shipwheel.verify.composefile import exposed, running
from shipwheel.verify.composefile.read import read_compose
from shipwheel.verify.model import Finding, NotChecked
from shipwheel.verify.recipe.parse import parse_dockerfile, split_stages, start_of

PINNED = "FROM python:3.13-slim@sha256:" + "a" * 64
GOOD = f"""# syntax=docker/dockerfile:1
ARG BASE=python:3.13-slim@sha256:{"a" * 64}
FROM ${{BASE}} AS builder
ENV UV_COMPILE_BYTECODE=1 PYC_INVALIDATION_MODE=unchecked-hash
COPY requirements.txt ./
RUN --mount=type=cache,target=/root/.cache/uv \\
    uv pip sync --require-hashes requirements.txt
COPY . /src
RUN --mount=type=cache,target=/root/.cache/uv uv pip install --no-deps /src
FROM $BASE AS app
ARG PORT=8000
ENV PORT=$PORT
WORKDIR /app
COPY --from=builder /app /app
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import app.health"]
USER 65532:65532
ENTRYPOINT ["app"]
"""
TODAY = date(2026, 11, 22)
# Rules that a snippet without a program breaks, whatever else is in it.
OF_WHOLE_FILES = {
    "bytecode-with-times", "cache-left", "code-not-copied", "code-writable", "no-bytecode-step",
    "no-health-check", "runs-as-root", "starts-no-program",
}  # fmt: skip


def told(text: str, *, ignored: bool = True, groups: frozenset[str] = frozenset()) -> dict[str, list[str]]:
    """Return for each broken rule the lines."""
    results = list(dockerfile.check("Dockerfile", text, today=TODAY, ignored=ignored, groups=groups))
    assert all(isinstance(item, Finding) for item in results)
    return {
        item.rule.code: [place.path.rpartition(":")[2] for place in item.places]
        for item in results
        if isinstance(item, Finding)
    }


def test_a_good_dockerfile_breaks_no_rule() -> None:
    assert told(GOOD) == {}


# What is replaced in the good one, by what, and what alone is told then.
ZOO: dict[str, tuple[str, str, list[str]]] = {
    "base-by-tag": ("@sha256:" + "a" * 64, "", ["3", "10"]),
    "python-end-of-life": ("python:3.13-slim", "python:3.8.9-slim", ["3", "10"]),
    "system-end-of-life": ("python:3.13-slim", "python:3.13-slim-buster", ["3", "10"]),
    "copy-before-install": ("COPY requirements.txt ./", "COPY . ./", ["5"]),
    "build-tools-in-last-stage": (
        "EXPOSE 8000", "RUN --mount=type=cache,target=/var/lib/apt apt-get install gcc=1", ["15"],
    ),
    "secret-as-argument": ("EXPOSE 8000", "ARG PIP_TOKEN", ["15"]),
    "code-not-copied": ("COPY . /src\nRUN --mount=type=cache,target=/root/.cache/uv uv pip install --no-deps /src\n", "", ["8"]),
    "no-bytecode-step": ("ENV UV_COMPILE_BYTECODE=1 ", "ENV ", ["6"]),
    "bytecode-with-times": (" PYC_INVALIDATION_MODE=unchecked-hash", "", ["4"]),
    "installer-in-environment": ("COPY . /src", "COPY . /src\nRUN python -m venv /app/.venv", ["9"]),
    "step-without-effect": ("COPY . /src", "COPY . /src\nRUN . /app/.venv/bin/activate", ["9"]),
    "cache-left": (
        "EXPOSE 8000", "RUN apt-get update && apt-get install -y --no-install-recommends libpq5=17.2", ["15"],
    ),
    "loose-tool-dependencies": (
        "COPY . /src", "RUN --mount=type=cache,target=/root/.cache/pip pipx install poetry==2.5.1\nCOPY . /src", ["8"],
    ),
    "unpinned-python-packages": (
        "COPY . /src", "RUN --mount=type=cache,target=/root/.cache/pip pipx install poetry\nCOPY . /src", ["8"],
    ),
    "unpinned-node-packages": ("EXPOSE 8000", "RUN npm install", ["15"]),
    "piped-to-shell": ("EXPOSE 8000", "RUN curl -sSf https://files.example/install | sh", ["15"]),
    "remote-add": ("EXPOSE 8000", "ADD https://files.example/model /app/", ["15"]),
    "runs-as-root": ("USER 65532:65532\n", "", ["10"]),
    "user-by-name": ("USER 65532:65532", "USER nonroot", ["17"]),
    "code-writable": ("COPY --from=builder", "COPY --chown=65532:65532 --from=builder", ["14"]),
    "entry-through-shell": ('ENTRYPOINT ["app"]', "ENTRYPOINT app --port $PORT", ["18"]),
    "starts-no-program": ('["app"]', '["python"]\nCMD ["--version"]', ["19"]),
    "no-health-check": ('CMD ["python", "-c", "import app.health"]', "NONE", ["16"]),
    "undeclared-variable": ("ARG PORT=8000\n", "", ["11"]),
    "version-bump-reinstalls": (
        "COPY requirements.txt ./",
        "COPY pyproject.toml uv.lock ./\nRUN --mount=type=cache,target=/c uv sync --locked --no-install-project",
        ["5"],
    ),
    "unknown-group": (
        "COPY requirements.txt ./", "COPY uv.lock ./\nRUN --mount=type=cache,target=/c uv sync --group docs", ["6"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("code", ZOO)
def test_the_rule_finds_its_line_and_no_other_speaks(code: str) -> None:
    before, after, lines = ZOO[code]
    assert before in GOOD
    assert told(GOOD.replace(before, after)) == {code: lines}


def test_every_rule_of_dockerfiles_has_an_animal() -> None:
    elsewhere = {"no-cache-mount", "no-dockerignore"}
    assert {rule.code for rule in dockerfile.RULES} - set(ZOO) == elsewhere


def test_copying_everything_wants_a_dockerignore() -> None:
    assert told(GOOD, ignored=False) == {"no-dockerignore": ["8"]}


def test_what_is_around_a_dockerfile_and_not_known_is_not_checked() -> None:
    results = list(dockerfile.check("Dockerfile", GOOD))
    assert {item.rule.code for item in results if isinstance(item, NotChecked)} == {
        "no-dockerignore",
        "unknown-group",
    }


def test_groups_that_there_are_may_be_asked_for() -> None:
    text = f"{PINNED}\nRUN poetry install --no-root --with dev,docs --without=test\n"
    assert "unknown-group" not in told(text, groups=frozenset({"dev", "docs", "test"}))
    assert told(text, groups=frozenset({"dev", "test"}))["unknown-group"] == ["2"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM python:3.13-slim\n", {"base-by-tag": ["1"]}),
        ("ARG TAG=3.13\nFROM python:${TAG}\n", {"base-by-tag": ["2"]}),
        (
            "ARG V=3.9\nARG BASE=python:${V}-slim\nFROM $BASE\n",
            {"base-by-tag": ["3"], "python-end-of-life": ["3"]},
        ),
        ("ARG TAG\nFROM python:${TAG:-3.9-slim}\n", {"base-by-tag": ["2"], "python-end-of-life": ["2"]}),
        (f"{PINNED} AS one\nFROM one\nFROM scratch\n", {}),
        (
            f"{PINNED}\nCOPY . /app\nRUN --mount=type=cache,target=/c pip install -r requirements.txt\n",
            {"copy-before-install": ["2"]},
        ),
        (f"{PINNED}\nCOPY . /app\nRUN --mount=type=cache,target=/c pip install --no-deps .\n", {}),
        (f"{PINNED}\nCOPY a.lock .\nRUN uv sync --locked\n", {"no-cache-mount": ["3"]}),
        (
            f"{PINNED}\nRUN --mount=type=cache,target=/c \\\n  # why\n  pip install requests\n",
            {"unpinned-python-packages": ["2"]},
        ),
        (
            f"{PINNED}\nRUN apt-get update && apt-get install -y gcc=1 libpq-dev=2\n",
            {"build-tools-in-last-stage": ["2", "2"]},
        ),
        (f"{PINNED} AS builder\nRUN apt-get install -y gcc=1\n{PINNED}\nCOPY --from=builder / /\n", {}),
        (
            f"{PINNED}\nRUN apt-get install -y libpq5=1 $(if [ $D = yes ]; then echo 'gcc'; fi)\n",
            {"unpinned-system-packages": ["2"]},
        ),
        # The last stage is for development: the one before it ships.
        (f"{PINNED} AS app\nFROM app AS dev\nRUN apt-get install -y gcc=1\n", {}),
        (f"{PINNED}\nARG PIP_TOKEN\n", {"secret-as-argument": ["2"]}),
        (f"{PINNED}\nENV DB_PASSWORD=tr0ub4dor API_URL=x\n", {"secret-as-argument": ["2"]}),
        (f"{PINNED}\nENV DB_PASSWORD_FILE=/run/secrets/db\n", {}),
        (
            f"{PINNED}\nENV PIP_INDEX_URL=https://ann:tr0ub4dor@pypi.example/simple\n",
            {"secret-as-argument": ["2"]},
        ),
        (f"{PINNED}\nADD https://files.example/a /a\n", {"remote-add": ["2"]}),
        (f"{PINNED}\nRUN curl https://files.example/i | sh\n", {"piped-to-shell": ["2"]}),
        (
            f"{PINNED}\nRUN <<EOF\npip install requests\nEOF\n",
            {"unpinned-python-packages": ["2"], "no-cache-mount": ["2"]},
        ),
        ("ARG U=ann\n" + f"{PINNED}\nUSER $U\n", {"undeclared-variable": ["3"]}),
        (f"{PINNED} AS one\nARG U=ann\nFROM one AS two\nENV V=$U\n", {}),
        (f"{PINNED}\nENV PATH=/app/bin:$PATH V=${{W:-none}}\n", {}),
        (f"{PINNED}\nCMD exec app\n", {}),
        (f"{PINNED}\nCMD app | tee log\n", {"entry-through-shell": ["2"]}),
        (f"{PINNED}\nRUN pipx ensurepath && true\n", {"step-without-effect": ["2"]}),
        (f"{PINNED}\nRUN useradd -u 1000 ann\nCOPY --chown=1000 . /app\nUSER ann\n", {"user-by-name": ["4"]}),
        ("# only\n", {}),
    ],
)
def test_a_broken_rule_is_told_with_its_line(text: str, expected: dict[str, list[str]]) -> None:
    if not parse_dockerfile(text):
        assert all(isinstance(item, NotChecked) for item in dockerfile.check("Dockerfile", text))
        return
    found = told(text)
    assert {code: lines for code, lines in found.items() if code not in OF_WHOLE_FILES} == expected


@pytest.mark.parametrize(
    ("user", "more", "lines"),
    [
        ("ann", "RUN useradd --uid 1000 ann\nRUN chown -R 1000:1000 /app\n", ["3"]),
        ("1000", "RUN useradd --uid 1000 ann\nCOPY --chown=ann:ann . /app\n", ["3"]),
        ("65532", "COPY --chown=1000 . /app\n", []),
        ("65532", "RUN mkdir /data && chown -R 65532 /data\n", []),
    ],
)
def test_code_that_its_own_user_owns_is_told(user: str, more: str, lines: list[str]) -> None:
    assert told(f"{PINNED}\n{more}USER {user}\n").get("code-writable", []) == lines


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("COPY app /app\n", True),
        ("ENV A=1\n", False),
        ("COPY pyproject.toml poetry.lock /app/\n", False),
        ("RUN --mount=type=bind,source=.,target=/src pip install /src\n", True),
        ("RUN --mount=type=bind,source=uv.lock,target=uv.lock uv sync --no-install-project\n", False),
        ("RUN pip install cowsay==6.1\n", True),
        ("RUN pip install --no-cache-dir -U pip==25 pipx==1.18\n", False),
        ("COPY --from=ghcr.io/astral-sh/uv:0.9 /uv /bin/uv\n", False),
        ("COPY --from=registry.example/shop:1 /app /app\n", True),
    ],
)
def test_whether_code_comes_into_the_image_is_seen(text: str, has: bool) -> None:
    assert ("code-not-copied" not in told(f"{PINNED}\n{text}")) is has


def test_of_an_image_without_python_no_code_is_asked_for() -> None:
    assert "code-not-copied" not in told(
        "FROM search:2@sha256:" + "a" * 64 + "\nCOPY search.yml pyproject.toml /\n"
    )
    assert "code-not-copied" not in told("FROM search:2@sha256:" + "a" * 64 + "\nRUN plugin install x\n")


# A Dockerfile as a tutorial has it: everything that was measured to be wrong with it is found.
TUTORIAL = """\
ARG WORKDIR="/app"
ARG USERNAME=ann
ARG PYTHON_VERSION=3.8.9
FROM python:${PYTHON_VERSION}-slim AS builder
ARG WORKDIR
ARG USERNAME
ARG POETRY_VERSION=1.5.1
ENV POETRY_VIRTUALENVS_IN_PROJECT=true PYTHONDONTWRITEBYTECODE=1
RUN groupadd --gid 1000 "${USERNAME}" && useradd --uid 1000 --gid 1000 -m "${USERNAME}"
RUN python -m pip install --no-cache-dir --upgrade pip pipx==1.2.0
RUN pipx ensurepath && pipx --version
RUN pipx install --force poetry==${POETRY_VERSION}
WORKDIR ${WORKDIR}
COPY --chown=1000:1000 pyproject.toml poetry.lock ${WORKDIR}/
USER ${USERNAME}
FROM builder AS app-pre
RUN poetry install --no-root --only main
FROM python:${PYTHON_VERSION}-slim AS app
ARG WORKDIR
ARG USERNAME
ENV PATH=/opt/pipx/bin:${WORKDIR}/.venv/bin:$PATH POETRY_VERSION=$POETRY_VERSION
RUN groupadd --gid 1000 "${USERNAME}" && useradd --uid 1000 --gid 1000 -m "${USERNAME}"
WORKDIR ${WORKDIR}
COPY --from=app-pre --chown=1000:1000 ${WORKDIR} ${WORKDIR}
USER ${USERNAME}
ENTRYPOINT [ "python" ]
CMD [ "--version" ]
FROM app-pre AS dev
USER root
RUN apt-get update && apt-get install -y sudo git
RUN poetry install --with dev
USER ann
"""


def test_all_that_is_wrong_with_a_tutorials_dockerfile_is_found() -> None:
    assert told(TUTORIAL, groups=frozenset({"main"})) == {
        "base-by-tag": ["4", "18"],
        "python-end-of-life": ["4", "18"],
        "undeclared-variable": ["21"],
        "unpinned-python-packages": ["10"],
        "loose-tool-dependencies": ["10", "12"],
        "step-without-effect": ["11"],
        "no-cache-mount": ["10", "17", "31"],
        "cache-left": ["12", "17", "30", "31"],
        "version-bump-reinstalls": ["14"],
        "installer-in-environment": ["17"],
        "no-bytecode-step": ["17"],
        "code-not-copied": ["18"],
        "code-writable": ["24"],
        "user-by-name": ["25"],
        "starts-no-program": ["27"],
        "no-health-check": ["18"],
        "unpinned-system-packages": ["30"],
        "unknown-group": ["31"],
    }


def test_lines_are_joined_and_counted_as_docker_does() -> None:
    text = (
        "# escape=`\n\nFROM a\n\n# note\nRUN one `\n\n# inside\n  two\nCOPY <<EOF /x\nRUN not\nEOF\nUSER 1\n"
    )
    assert [(item.word, item.text, item.line) for item in parse_dockerfile(text)] == [
        ("FROM", "a", 3),
        ("RUN", "one   two".replace("   ", " "), 6),
        ("COPY", "<<EOF /x\nRUN not", 10),
        ("USER", "1", 13),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "", "\\", "RUN <<EOF", "FROM", "FROM \\\n\\\n", "\x00", "RUN " + "a && " * 3000, "FROM a\nCOPY", "FROM a\nENV",
        "FROM a AS a\nFROM a AS a\nCOPY --from=a", "FROM a\nENTRYPOINT [", "FROM a\nARG\nUSER $X\nCOPY [] []",
        "FROM $A\nENV A=$A B=${A:-$B} C=${", "FROM a\nCOPY --from=9 a b\nCOPY --from=0 a b",
    ],
)  # fmt: skip
def test_a_dockerfile_that_is_none_ends_without_a_fault_of_ours(text: str) -> None:
    list(dockerfile.check("Dockerfile", text, today=TODAY, ignored=False, groups=frozenset()))


def test_without_a_dockerfile_nothing_passed() -> None:
    results = list(dockerfile.check(None, None))
    assert {item.rule for item in results if isinstance(item, NotChecked)} == set(dockerfile.RULES)


def fake(folder: Path, name: str, answer: object) -> dict[str, str]:
    """Install a linter that says `answer`; return an environment with it alone on the PATH."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    (folder / f"{name}.json").write_text(text)
    (folder / name).write_text(f"#!/bin/sh\ncat '{folder}/{name}.json'\nexit 1\n")
    (folder / name).chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.defpath}"}


def test_what_linters_say_is_brought_in_and_taste_left_out(tmp_path: Path) -> None:
    fake(
        tmp_path,
        "hadolint",
        [
            {"code": "DL3013", "file": "D", "line": 3, "level": "warning", "message": "Pin versions"},
            {"code": "DL9999", "file": "D", "line": 1, "level": "info", "message": "taste"},
        ],
    )
    violation = {
        "rule": "tally/x", "message": "bad", "severity": "error", "location": {"start": {"line": 2}},
    }  # fmt: skip
    environ = fake(tmp_path, "tally", {"files": [{"file": "D", "violations": [violation]}]})
    (finding,) = linters.check(tmp_path / "D", environ)
    assert isinstance(finding, Finding)
    assert [(place.path, place.detail) for place in finding.places] == [
        ("D:2", "tally/x: bad"),
        ("D:3", "DL3013: Pin versions"),
    ]


@pytest.mark.parametrize("answer", ["", "{", "[1]", "null", '[{"level": "error"}]'])
def test_a_linter_that_says_nonsense_did_not_check(tmp_path: Path, answer: str) -> None:
    environ = fake(tmp_path, "hadolint", answer)
    (result,) = linters.check(tmp_path / "D", environ)
    assert isinstance(result, NotChecked)
    assert result.reason.startswith("hadolint: ")


def test_without_a_linter_nothing_passed(tmp_path: Path) -> None:
    (result,) = linters.check(tmp_path / "D", {"PATH": str(tmp_path)})
    assert isinstance(result, NotChecked)


@pytest.mark.parametrize("installer", ["pdm", "pip", "poetry", "uv"])
def test_what_shipwheel_writes_breaks_no_rule_but_those_that_it_leaves_to_people(installer: str) -> None:
    folder = Path(__file__).parents[2] / "golden" / "dockerfile" / installer
    # apt takes security updates as they come, and Kubernetes asks no image for its health.
    assert set(told((folder / "Dockerfile").read_text(), groups=frozenset({"main", "dev", "default"}))) == {
        "no-health-check",
        "unpinned-system-packages",
    }
    file = read_compose(str(folder / "compose.yaml"), (folder / "compose.yaml").read_text())
    starts = {
        service.name: start_of(split_stages(parse_dockerfile((folder / "Dockerfile").read_text()))[0], target)
        for service in file.services
        if (target := service.value.text_at("build", "target"))
    }
    image = running.Image(venvs=("/app/.venv",), compiled=True, starts=starts)
    assert [*exposed.check(file), *running.check(file, image)] == []
