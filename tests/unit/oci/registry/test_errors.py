"""A registry's refusals in words."""

from __future__ import annotations

import json

import pytest

from shipwheel.net import Response
from shipwheel.oci.registry.errors import registry_error


def refusal(status: int, *errors: dict[str, str]) -> Response:
    body = json.dumps({"errors": errors}).encode()
    return Response(status=status, url="https://registry.example/v2/a?state=s3cret", headers={}, body=body)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "registry-unauthorized"),
        (403, "registry-denied"),
        (404, "registry-unknown"),
        (429, "registry-limits"),
        (500, "registry-error"),
    ],
)
def test_a_status_has_its_own_code(status: int, code: str) -> None:
    error = registry_error(refusal(status), "pull a")
    assert (error.code, error.status) == (code, status)
    assert "s3cret" not in str(error)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "The image tag '1' already exists and cannot be overwritten because the tag is immutable."),
        (409, "TAG_ALREADY_EXISTS"),
        (412, "Failed to process request due to 'app:1.0' configured as immutable."),
        (403, "tag is immutable"),
    ],
)
def test_an_immutable_tag_is_recognised(status: int, message: str) -> None:
    error = registry_error(refusal(status, {"code": "DENIED", "message": message}), "push 1 to a")
    assert error.code == "tag-immutable"


def test_what_the_registry_says_is_shown_in_one_short_line_without_secrets() -> None:
    said = {"code": "DENIED", "message": "no\x1b[31m " + "x" * 999}
    error = registry_error(refusal(403, said), "pull a", secrets=["x" * 20])
    line = error.problems[0].message
    assert "DENIED: no" in line
    assert "\x1b" not in line and "x" * 20 not in line and len(line) < 500


def test_a_body_that_is_no_error_document_is_not_shown() -> None:
    response = Response(status=500, url="https://registry.example/", headers={}, body=b"<html>s3cret")
    assert "s3cret" not in str(registry_error(response, "pull a"))
