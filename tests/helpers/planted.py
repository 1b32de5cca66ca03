"""Made-up secrets, one of each kind that is known: put together here, so that no scanner takes a test for a leak."""

import random
import string

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
