"""Dockerfiles: what only somebody who knows Python and the promises sees."""

import json
import os
from pathlib import Path

import pytest

from shipwheel.verify import dockerfile, linters
from shipwheel.verify.dockerfile import parse_dockerfile
from shipwheel.verify.model import Finding, NotChecked

PINNED = "FROM python:3.13-slim@sha256:" + "a" * 64
GOOD = f"""# syntax=docker/dockerfile:1
ARG BASE=python:3.13-slim@sha256:{"a" * 64}
FROM ${{BASE}} AS builder
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/uv \\
    uv sync --locked --no-install-project
COPY . .
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked
FROM $BASE
COPY --from=builder /app /app
USER 65532
ENTRYPOINT ["app"]
"""


def told(text: str) -> dict[str, list[str]]:
    """Return for each broken rule the lines."""
    results = list(dockerfile.check("Dockerfile", text))
    return {
        item.rule.code: [place.path.rpartition(":")[2] for place in item.places]
        for item in results
        if isinstance(item, Finding)
    }


def test_a_good_dockerfile_breaks_no_rule() -> None:
    assert list(dockerfile.check("Dockerfile", GOOD)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM python:3.13-slim\n", {"base-by-tag": ["1"]}),
        ("ARG TAG=3.13\nFROM python:${TAG}\n", {"base-by-tag": ["2"]}),
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
        ("# only\n", {}),
    ],
)
def test_a_broken_rule_is_told_with_its_line(text: str, expected: dict[str, list[str]]) -> None:
    assert told(text) == expected


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
    "text", ["", "\\", "RUN <<EOF", "FROM", "FROM \\\n\\\n", "\x00", "RUN " + "a && " * 3000]
)
def test_a_dockerfile_that_is_none_ends_without_a_fault_of_ours(text: str) -> None:
    list(dockerfile.check("Dockerfile", text))


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
