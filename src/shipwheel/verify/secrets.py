"""Find secrets in bytes by the formats that their issuers publish. Reads no file, and keeps no secret.

A rule is a literal that every match contains (bytes are searched for that first, which is quick) and a
pattern. What is obviously a placeholder is left out: examples in documentation look like the real thing.
A library would be welcome; the well-known one had its last release in 2024, and no other has rules for bytes.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_LONGEST: Final = 4096
_PLACEHOLDER: Final = re.compile(
    rb"example|placeholder|dummy|changeme|your[-_]?|redacted|xxxx|\.\.\.|123456789|abcdefgh|0{8}|test[-_]?key",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRule:
    """One kind of secret. `entropy` is the least that a match's own part may have, in bits a character."""

    kind: str
    literals: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    entropy: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A match: what kind, the line it is on (from 1), and a hint of it that gives nothing away."""

    kind: str
    line: int
    shown: str


def _rule(kind: str, literals: str, pattern: str, *, entropy: float = 3.0) -> SecretRule:
    return SecretRule(
        kind=kind,
        literals=tuple(literal.encode() for literal in literals.split()),
        pattern=re.compile(pattern.encode()),
        entropy=entropy,
    )


_B: Final = r"(?<![A-Za-z0-9_-])"  # begins a word
_E: Final = r"(?![A-Za-z0-9_-])"  # ends one

# Each as its issuer documents it: prefix, alphabet, length. The group `key` is the secret part.
SECRET_RULES: Final = (
    _rule("AWS access key id", "AKIA ASIA", rf"{_B}(?P<key>(?:AKIA|ASIA)[A-Z2-7]{{16}}){_E}"),
    _rule(
        "AWS secret access key",
        "aws_secret_access_key AWS_SECRET_ACCESS_KEY SecretAccessKey",
        r"(?:aws_secret_access_key|AWS_SECRET_ACCESS_KEY|SecretAccessKey)"
        r"[\"']?\s*[:=]\s*[\"']?(?P<key>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
        entropy=4.0,
    ),
    _rule("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", rf"{_B}(?P<key>gh[pousr]_[A-Za-z0-9]{{36,255}}){_E}"),
    _rule("GitHub fine-grained token", "github_pat_", rf"{_B}(?P<key>github_pat_[A-Za-z0-9_]{{82}}){_E}"),
    _rule("GitLab token", "glpat- gldt- glrt-", rf"{_B}(?P<key>gl(?:pat|dt|rt)-[A-Za-z0-9_.-]{{20,60}}){_E}"),
    _rule("PyPI token", "pypi-AgE", rf"{_B}(?P<key>pypi-AgE[A-Za-z0-9_-]{{50,400}}){_E}"),
    _rule("npm token", "npm_ _authToken", rf"{_B}(?P<key>npm_[A-Za-z0-9]{{36}}){_E}"),
    _rule(
        "Slack token",
        "xoxb- xoxp- xoxa- xoxr- xoxs- xapp-",
        rf"{_B}(?P<key>(?:xox[bpars]-(?:\d{{6,}}-){{1,3}}|xapp-\d-[A-Z0-9]+-\d+-)[A-Za-z0-9]{{20,80}}){_E}",
    ),
    _rule(
        "Slack webhook",
        "hooks.slack.com/services/",
        r"hooks\.slack\.com/services/(?P<key>T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{24})",
    ),
    _rule(
        "Discord webhook",
        "/api/webhooks/",
        r"discord(?:app)?\.com/api/webhooks/(?P<key>\d{17,20}/[\w-]{60,72})",
    ),
    _rule("Stripe key", "sk_live_ rk_live_", rf"{_B}(?P<key>[sr]k_live_[A-Za-z0-9]{{20,247}}){_E}"),
    _rule("SendGrid key", "SG.", rf"{_B}(?P<key>SG\.[\w-]{{22}}\.[\w-]{{43}}){_E}"),
    _rule("Google API key", "AIza", rf"{_B}(?P<key>AIza[\w-]{{35}}){_E}"),
    _rule("Google OAuth client secret", "GOCSPX-", rf"{_B}(?P<key>GOCSPX-[\w-]{{28}}){_E}"),
    _rule("OpenAI key", "T3BlbkFJ", rf"{_B}(?P<key>sk-[\w-]{{20,100}}T3BlbkFJ[\w-]{{20,100}}){_E}"),
    _rule("Anthropic key", "sk-ant-", rf"{_B}(?P<key>sk-ant-[a-z]+\d\d-[\w-]{{80,120}}){_E}"),
    _rule("Hugging Face token", "hf_", rf"{_B}(?P<key>hf_[A-Za-z]{{34}}){_E}", entropy=3.5),
    _rule("DigitalOcean token", "dop_v1_ doo_v1_", rf"{_B}(?P<key>do[op]_v1_[a-f0-9]{{64}}){_E}"),
    _rule("Docker Hub token", "dckr_pat_ dckr_oat_", rf"{_B}(?P<key>dckr_[po]at_[\w-]{{27,40}}){_E}"),
    _rule("HashiCorp Vault token", "hvs. hvb.", rf"{_B}(?P<key>hv[sb]\.[\w-]{{90,200}}){_E}"),
    _rule("Databricks token", "dapi", rf"{_B}(?P<key>dapi[a-f0-9]{{32}}(?:-\d)?){_E}"),
    _rule("Shopify token", "shpat_ shpss_ shpca_", rf"{_B}(?P<key>shp(?:at|ss|ca)_[a-fA-F0-9]{{32}}){_E}"),
    _rule("Grafana token", "glsa_", rf"{_B}(?P<key>glsa_[A-Za-z0-9]{{32}}_[a-f0-9]{{8}}){_E}"),
    _rule("Linear key", "lin_api_", rf"{_B}(?P<key>lin_api_[A-Za-z0-9]{{40}}){_E}"),
    _rule("Postman key", "PMAK-", rf"{_B}(?P<key>PMAK-[a-f0-9]{{24}}-[a-f0-9]{{34}}){_E}"),
    _rule("New Relic key", "NRAK-", rf"{_B}(?P<key>NRAK-[A-Z0-9]{{27}}){_E}"),
    _rule("Telegram bot token", ":AA", rf"{_B}(?P<key>\d{{8,10}}:AA[\w-]{{33}}){_E}", entropy=3.5),
    _rule("age key", "AGE-SECRET-KEY-1", r"(?P<key>AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58})"),
    _rule(
        "Azure storage key",
        "AccountKey=",
        r"AccountKey=(?P<key>[A-Za-z0-9+/]{86}==)",
        entropy=4.0,
    ),
    _rule("RubyGems key", "rubygems_", rf"{_B}(?P<key>rubygems_[a-f0-9]{{48}}){_E}"),
)

# RFC 7468 and OpenSSH's own: a header, then a body worth the name. In JSON the line ends are `\n`.
PRIVATE_KEY: Final = SecretRule(
    kind="private key",
    literals=(b"PRIVATE KEY",),
    pattern=re.compile(
        rb"-----BEGIN (?:(?:RSA|EC|DSA|OPENSSH|ENCRYPTED|PGP) )?PRIVATE KEY(?: BLOCK)?-----(?:\\n|\\r|\s)+"
        rb"(?:[A-Za-z-]+: [^\r\n]*(?:\\n|\\r|\s)+)*(?P<key>(?:[A-Za-z0-9+/=]{16,}(?:\\n|\\r|\s)*){3,})"
    ),
    entropy=4.0,
)
# Flat, as most files are small and hold none: one plain search each is all they cost.
_LITERALS: Final = tuple(
    (literal, rule) for rule in (*SECRET_RULES, PRIVATE_KEY) for literal in rule.literals
)

# A user and a password in an address (RFC 3986, userinfo).
_USERINFO: Final = re.compile(
    rb"[a-z][a-z0-9+.-]{1,20}://(?P<user>[^\s/:@\"'<>]{0,200}):(?P<key>[^\s/@\"'<>]{3,400})@[\w.\[-]"
)
_NO_PASSWORD: Final = re.compile(
    rb"\$|[{}<>*%]|^(?:pass(?:word|wd)?|secret|token|user(?:name)?|pwd|x{3,}|\.{3}|changeme)$", re.IGNORECASE
)

# A name of a variable whose value is a secret; `GPG_KEY` of Python's images is a public fingerprint.
_SECRET_NAME: Final = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|SECRET|SECRET_KEY|TOKEN|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIALS?|AUTH)(?:$|_(?!FILE$|PATH$|URL$|HOST$|NAME$|ID$|HEADER$|TYPE$|MODULE$|TTL$|METHOD$|MODE$|SCHEME$|BACKEND$|PROVIDER$|ALGORITHM$|ENABLED$|REQUIRED$))",
    re.IGNORECASE,
)
_NO_VALUE: Final = re.compile(
    r"(?:|\d{1,6}|true|false|yes|no|none|null|/.*|\$.*|.*<.*>.*|.*\{.*\}.*|change-?me|secret|password|example.*|xxx+|\*+|your.*|"
    r"disabled?|enabled?|auto|default|basic|bearer|unset|dummy|placeholder|not-?set|required)",
    re.IGNORECASE | re.DOTALL,
)


def find_secrets(data: bytes) -> Iterator[Secret]:
    """Yield the secrets in `data`, each place once, by kind and then by where they stand."""
    for rule in dict.fromkeys([rule for literal, rule in _LITERALS if literal in data]):
        for match in rule.pattern.finditer(data):
            key = match["key"][:_LONGEST]
            if _entropy(key) >= rule.entropy and not (rule is not PRIVATE_KEY and _PLACEHOLDER.search(key)):
                yield Secret(kind=rule.kind, line=_line(data, match.start()), shown=_shown(key, rule))


def find_credentials(data: bytes) -> Iterator[Secret]:
    """Yield addresses in `data` that hold a password: those of package indexes are often left behind."""
    for match in _USERINFO.finditer(data):
        password = match["key"]
        if not _NO_PASSWORD.search(password) and not _PLACEHOLDER.search(password):
            user = match["user"].decode("utf-8", "replace")
            shown = f"//{user}:…@ ({len(password)} characters)"
            yield Secret(kind="address with a password", line=_line(data, match.start()), shown=shown)


def is_secret_value(name: str, value: str) -> bool:
    """Whether a variable with this name holds a secret: not a path, a reference or a placeholder."""
    return bool(_SECRET_NAME.search(name)) and not _NO_VALUE.fullmatch(value)


def _line(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _shown(key: bytes, rule: SecretRule) -> str:
    if rule is PRIVATE_KEY:
        return f"{len(key)} characters"
    return f"{key[:4].decode('ascii', 'replace')}… ({len(key)} characters)"


def _entropy(data: bytes) -> float:
    """Return Shannon's entropy of `data` in bits a byte."""
    total = len(data)
    return -sum(count / total * math.log2(count / total) for count in Counter(data).values())
