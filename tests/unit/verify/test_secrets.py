"""Secrets are found by their published formats, and what only looks like one is left alone."""

import pytest

from helpers.planted import PEM_BODY, PLANTED
from shipwheel.verify.secrets import find_credentials, find_secrets


def kinds(text: str | bytes) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    return [secret.kind for secret in find_secrets(data)]


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_secret_is_found_and_not_shown(kind: str) -> None:
    text = f'# settings\nvalue = "{PLANTED[kind]}"\n'
    (found,) = [secret for secret in find_secrets(text.encode()) if secret.kind == kind]
    assert found.line == 2
    assert PLANTED[kind][-12:] not in found.shown


def test_a_private_key_in_json_with_escaped_line_ends_is_found() -> None:
    body = PEM_BODY.replace("\n", "\\n")
    text = f'{{"private_key": "-----BEGIN {"PRIVATE"} KEY-----\\n{body}\\n-----END"}}'
    assert kinds(text) == ["private key"]


def test_an_encrypted_old_style_key_with_headers_is_found() -> None:
    head = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,3F17F5316E2BAC89\n\n"
    assert kinds(f"-----BEGIN RSA {'PRIVATE'} KEY-----\n{head}{PEM_BODY}\n") == ["private key"]


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "x" * 36,
        "ghp_" + "0123456789" * 3 + "012345",
        "sk_live_" + "your_key_goes_here_please",
        "-----BEGIN " + "PRIVATE KEY-----",
        'if b"-----BEGIN ' + 'RSA PRIVATE KEY-----" in data: raise ValueError',
        "-----BEGIN " + "PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "AKIA" + "A" * 16,
        "prefixghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3gH5",
        "-----BEGIN CERTIFICATE-----\n" + PEM_BODY,
    ],
)
def test_what_only_looks_like_a_secret_is_left_alone(text: str) -> None:
    assert kinds(text) == []


def test_an_address_with_a_password_is_found_and_a_placeholder_is_not() -> None:
    (found,) = find_credentials(b"[global]\nindex-url = https://ann:tr0ub4dor@pypi.example/simple\n")
    assert (found.line, found.shown) == (2, "//ann:…@ (9 characters)")
    for text in (
        b"https://${USER}:${PASSWORD}@pypi.example/simple",
        b"https://user:password@pypi.example/",
        b"https://user:<token>@pypi.example/",
        b"https://pypi.example:8080/simple@1",
        b"https://oauth2@pypi.example/",
    ):
        assert list(find_credentials(text)) == []


def test_a_long_run_of_key_letters_takes_no_time_to_speak_of() -> None:
    # A pattern that tries every split of the run would not come back.
    data = b"-----BEGIN " + b"PRIVATE KEY-----\n" + b"A" * 47 + b"!\n"
    assert kinds(data * 20_000) == []
    assert kinds(b"x" * 4_000_000) == []
