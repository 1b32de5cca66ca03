"""Answer a registry's challenges: Basic, and distribution's bearer tokens, kept for each set of scopes.

What a server may be given follows from what the registry itself answered; an answer that came from
another host (after a redirect) is never looked at.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from shipwheel.errors import NetworkError
from shipwheel.net import Http, Response, StatusError, basic_credentials, is_loopback, redact
from shipwheel.oci.registry.challenge import Challenge, merge_scopes, parse_challenges
from shipwheel.oci.registry.credentials import Credential, CredentialStore, Found
from shipwheel.oci.registry.errors import registry_error

_CLIENT_ID: Final = "shipwheel"
# distribution, "Token Response Fields": a token without expires_in is good for 60 seconds.
_DEFAULT_LIFETIME: Final = 60.0
# Not used in its last seconds: it has to arrive before it expires.
_MARGIN: Final = 0.85
_PLAUSIBLE: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a request needs: the registry, the repository (for credentials), and token scopes."""

    registry: str
    repository: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    expires: float


class Authenticator:
    """The `Authorization` values for registries. Thread-safe; a token is fetched once.

    `clock` gives seconds that only go forward.
    """

    def __init__(
        self,
        http: Http,
        credentials: CredentialStore,
        *,
        insecure: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._credentials = credentials
        self._insecure = frozenset(insecure)
        self._clock = clock
        self._lock = threading.Lock()
        self._challenges: dict[str, Challenge] = {}
        self._tokens: dict[Access, _Token] = {}
        self._more_scopes: dict[Access, tuple[str, ...]] = {}

    def authorization(self, access: Access) -> str | None:
        """Return the header's value for a request, None while the registry has asked for nothing.

        Raises NetworkError `registry-unauthorized` or another of the token service's refusals.
        """
        with self._lock:
            challenge = self._challenges.get(access.registry)
            if challenge is None:
                return None
            found = self._find(access)
            if challenge.scheme == "basic":
                return _basic(found.credential)
            if found.credential is not None and found.credential.registry_token:
                return f"Bearer {found.credential.registry_token}"
            token = self._tokens.get(access)
            if token is None or self._clock() >= token.expires:
                token = self._fetch(challenge, access, found)
                self._tokens[access] = token
            return f"Bearer {token.value}"

    def learn(self, access: Access, response: Response, sent: str | None) -> bool:
        """Take a 401 answer to a request with the header `sent`; tell whether trying again may help."""
        challenges = parse_challenges(response.headers.get("www-authenticate", ""))
        by_scheme = {challenge.scheme: challenge for challenge in reversed(challenges)}
        challenge = by_scheme.get("bearer") or by_scheme.get("basic")
        with self._lock:
            if challenge is None or (challenge.scheme == "bearer" and "realm" not in challenge.parameters):
                return False
            self._challenges[access.registry] = challenge
            found = self._find(access)
            if challenge.scheme == "basic":
                basic = _basic(found.credential)
                return basic is not None and basic != sent
            if found.credential is not None and found.credential.registry_token:
                return sent is None
            token = self._tokens.get(access)
            if sent is not None and token is not None and sent == f"Bearer {token.value}":
                # Expired early, or not enough: the registry says what it wants.
                del self._tokens[access]
                self._more_scopes[access] = tuple(challenge.parameters.get("scope", "").split())
            return True

    def explain(self, access: Access, response: Response, what: str) -> StatusError:
        """Return the error for a refusal of `what`, with where credentials were looked for."""
        with self._lock:
            found = self._find(access)
        hint = _hint(found) if response.status in (401, 403) else None
        return registry_error(response, what, hint=hint, secrets=_secrets(found))

    def _find(self, access: Access) -> Found:
        return self._credentials.find(access.registry, access.repository)

    def _fetch(self, challenge: Challenge, access: Access, found: Found) -> _Token:
        realm = challenge.parameters["realm"]
        scopes = merge_scopes((*access.scopes, *self._more_scopes.get(access, ())))
        # A token service in the clear would see the password; the registry alone cannot ask for that.
        host = urlsplit(access.registry if "//" in access.registry else f"//{access.registry}").hostname or ""
        clear = access.registry in self._insecure or is_loopback(host)
        service = challenge.parameters.get("service")
        credential = found.credential
        if credential is not None and credential.identity_token:
            form = {"grant_type": "refresh_token", "client_id": _CLIENT_ID, "scope": " ".join(scopes)}
            form |= {"refresh_token": credential.identity_token} | ({"service": service} if service else {})
            response = self._http.request(
                "POST",
                realm,
                {"Content-Type": "application/x-www-form-urlencoded"},
                urlencode(form).encode(),
                allow_http=clear,
                redirects=False,  # the body is a secret, and a redirect would carry it on
            )
        else:
            query = [("service", service)] if service else []
            query += [("scope", scope) for scope in scopes]
            basic = _basic(credential)
            if basic is not None:
                query.append(("client_id", _CLIENT_ID))
            separator = "&" if urlsplit(realm).query else "?"
            response = self._http.request(
                "GET",
                realm + (separator + urlencode(query) if query else ""),
                {"Authorization": basic} if basic is not None else {},
                allow_http=clear,
            )
        if response.status != 200:
            raise registry_error(
                response,
                f"get a token for {access.registry}/{access.repository}",
                hint=_hint(found),
                secrets=_secrets(found),
            )
        return self._token(response)

    def _token(self, response: Response) -> _Token:
        try:
            data: Mapping[str, Any] = json.loads(response.body)
            value = data.get("token") or data.get("access_token")
            if not isinstance(value, str) or not value.isprintable() or not value.isascii():
                raise TypeError("no token in it")
        except (ValueError, AttributeError, TypeError, RecursionError) as error:
            raise NetworkError(
                "bad-token", "the token service's answer holds no token", place=redact(response.url)
            ) from error
        lifetime = data.get("expires_in")
        if not isinstance(lifetime, int | float) or not 0 < lifetime < _PLAUSIBLE:
            lifetime = _DEFAULT_LIFETIME
        return _Token(value, self._clock() + lifetime * _MARGIN)


def _basic(credential: Credential | None) -> str | None:
    if credential is None or not credential.password:
        return None
    return basic_credentials(credential.username, credential.password)


def _secrets(found: Found) -> tuple[str, ...]:
    if found.credential is None:
        return ()
    basic = _basic(found.credential)
    return (*found.credential.secrets, *([basic.removeprefix("Basic ")] if basic else []))


def _hint(found: Found) -> str:
    notes = "".join(f"; {note}" for note in found.notes)
    if found.credential is None:
        return f"no credentials were found for it: sign in with `docker login` or `podman login`{notes}"
    return f"the credentials from {found.credential.source} were not enough{notes}"
