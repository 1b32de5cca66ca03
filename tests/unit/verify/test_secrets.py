"""Secrets are found by their published formats, and what only looks like one is left alone."""

import random
import string

import pytest

from shipwheel.verify.secrets import find_credentials, find_secrets

_CHANCE = random.Random(7)
_WORD = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"
_BASE64 = _WORD + "+/"


def some(length: int, alphabet: str = _WORD) -> str:
    """Return a random text; tokens are put together here, so that no scanner takes this file for a leak."""
    return "".join(_CHANCE.choice(alphabet) for _ in range(length))


PEM_BODY = "\n".join(some(64, _BASE64) for _ in range(5))
PLANTED = {
    "AWS access key id": "AKIA" + some(16, string.ascii_uppercase + "234567"),
    "AWS secret access key": "aws_secret_access_key = " + some(40, _BASE64),
    "GitHub token": "ghp_" + some(36),
    "GitHub fine-grained token": "github_pat_" + some(22) + "_" + some(59),
    "GitLab token": "glpat-" + some(20),
    "PyPI token": "pypi-AgEIcHlwaS5vcmc" + some(140),
    "npm token": "npm_" + some(36),
    "Slack token": f"xoxb-{some(12, '123456789')}-{some(12, '123456789')}-{some(24)}",
    "Slack webhook": f"https://hooks.slack.com/services/T{some(9, string.ascii_uppercase)}/B{some(9, string.ascii_uppercase)}/{some(24)}",
    "Discord webhook": f"https://discord.com/api/webhooks/{some(18, '123456789')}/{some(68)}",
    "Stripe key": "sk_live_" + some(24),
    "SendGrid key": f"SG.{some(22)}.{some(43)}",
    "Google API key": "AIza" + some(35),
    "Google OAuth client secret": "GOCSPX-" + some(28),
    "OpenAI key": f"sk-proj-{some(30)}T3BlbkFJ{some(30)}",
    "Anthropic key": f"sk-ant-api03-{some(93)}AA",
    "Hugging Face token": "hf_" + some(34, string.ascii_letters),
    "DigitalOcean token": "dop_v1_" + some(64, _HEX),
    "Docker Hub token": "dckr_pat_" + some(27),
    "HashiCorp Vault token": "hvs." + some(95),
    "Databricks token": "dapi" + some(32, _HEX),
    "Shopify token": "shpat_" + some(32, _HEX),
    "Grafana token": f"glsa_{some(32)}_{some(8, _HEX)}",
    "Linear key": "lin_api_" + some(40),
    "Postman key": f"PMAK-{some(24, _HEX)}-{some(34, _HEX)}",
    "New Relic key": "NRAK-" + some(27, string.ascii_uppercase + string.digits),
    "Telegram bot token": f"{some(10, '123456789')}:AA{some(33)}",
    "age key": "AGE-SECRET-KEY-1" + some(58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"),
    "Azure storage key": f"DefaultEndpointsProtocol=https;AccountKey={some(86, _BASE64)}==",
    "RubyGems key": "rubygems_" + some(48, _HEX),
    "private key": f"-----BEGIN EC {'PRIVATE'} KEY-----\n{PEM_BODY}\n-----END EC {'PRIVATE'} KEY-----\n",
}


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
