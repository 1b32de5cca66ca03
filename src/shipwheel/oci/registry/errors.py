"""A registry's refusals as errors: distribution-spec "Error Codes", in words that say what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Final

from shipwheel.net import Response, StatusError, redact

# What registries say when a tag may not be moved: the specification has no code for it.
_IMMUTABLE: Final = re.compile(r"immutab|already[ _]exist|cannot be (?:overwritten|updated)", re.IGNORECASE)
_IMMUTABLE_STATUS: Final = frozenset({400, 403, 405, 409, 412})
_LONGEST: Final = 300
_BY_STATUS: Final = {
    401: ("registry-unauthorized", "sign in with `docker login` or `podman login`"),
    403: ("registry-denied", "these credentials may not do this; check the name and the account's rights"),
    404: ("registry-unknown", "check the name; a private one looks like a missing one when not signed in"),
    429: ("registry-limits", "the registry limits requests: sign in, or try again later"),
}


def registry_error(
    response: Response, what: str, *, hint: str | None = None, secrets: Collection[str] = ()
) -> StatusError:
    """Return the error for an answer that is not a success while doing `what` ("pull index.example/app").

    Codes: `registry-unauthorized` (401), `registry-denied` (403), `registry-unknown` (404),
    `registry-limits` (429), `tag-immutable`, `digest-refused`, `registry-error` (all others). What the
    registry says is shown without any of `secrets`.
    """
    codes, said = _said(response.body, secrets)
    code, advice = _classify(response.status, codes, said)
    message = f"cannot {what}: the registry answers {response.status}" + (f" ({said})" if said else "")
    error = StatusError(code, message, place=redact(response.url), hint=hint or advice)
    error.status, error.url, error.headers = response.status, response.url, response.headers
    return error


def _classify(status: int, codes: Collection[str], said: str) -> tuple[str, str | None]:
    if status in _IMMUTABLE_STATUS and _IMMUTABLE.search(said):
        return "tag-immutable", "this registry does not let a tag move: choose a new version"
    if "DIGEST_INVALID" in codes:
        return "digest-refused", "what arrived is not what was sent: look for a proxy that changes bytes"
    return _BY_STATUS.get(status, ("registry-error", None))


def _said(body: bytes, secrets: Collection[str]) -> tuple[list[str], str]:
    """Return the error codes and a line of what the registry says (empty when it is no JSON of ours)."""
    try:
        data = json.loads(body)
        errors = [item for item in data["errors"] if isinstance(item, dict)]
    except (ValueError, KeyError, TypeError, RecursionError):
        return [], ""
    codes = [str(item.get("code", "")) for item in errors]
    parts = [f"{item.get('code', '')}: {item.get('message', '')}".strip(": ") for item in errors]
    return codes, clean("; ".join(filter(None, parts)), secrets)


def clean(text: str, secrets: Collection[str] = ()) -> str:
    """Return foreign `text` fit for one line of an error: printable, short, without `secrets`."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
