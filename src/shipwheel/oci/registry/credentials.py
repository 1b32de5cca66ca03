"""Find the credentials for a registry where docker and podman keep them, and in CI's environment.

Reads; never writes, never logs. A helper that fails is not fatal by itself: public images need no
credentials, so the failure becomes a note that goes with the registry's refusal, if one comes.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from shipwheel.oci.registry.helpers import HelperError, ask_helper
from shipwheel.oci.registry.quirks import GITHUB_REGISTRY, credential_keys

_HELPER_SECONDS: Final = 30.0
# docker-credential-helpers: this user name says that the secret is an identity token.
_IDENTITY_USER: Final = "<token>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What to sign in with, and `source`: where it was found, for people.

    Either `username` with `password`, an `identity_token` (to be exchanged at the token service), or a
    `registry_token` (sent as it is). Its parts never show in `repr`.
    """

    source: str
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not appear anywhere."""
        return tuple(filter(None, (self.password, self.identity_token, self.registry_token)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A credential or none, and what went wrong on the way."""

    credential: Credential | None = None
    notes: Sequence[str] = ()


class CredentialStore:
    """The credentials of this user and environment; each registry is looked up once. Thread-safe."""

    def __init__(self, environ: Mapping[str, str], *, helper_seconds: float = _HELPER_SECONDS) -> None:
        self._environ = dict(environ)
        self._helper_seconds = helper_seconds
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], Found] = {}

    def find(self, registry: str, repository: str = "") -> Found:
        """Return the credential for `repository` (without the registry) at `registry`.

        The first of these that has one: the file in REGISTRY_AUTH_FILE; the JSON in
        DOCKER_AUTH_CONFIG; the folder in DOCKER_CONFIG; podman's auth.json below XDG_RUNTIME_DIR, then
        XDG_CONFIG_HOME; docker's config.json below the home folder; the job's token on GitHub Actions
        and GitLab CI.
        """
        with self._lock:
            key = (registry, repository)
            if key not in self._found:
                self._found[key] = self._find(registry, repository)
            return self._found[key]

    def _find(self, registry: str, repository: str) -> Found:
        notes: list[str] = []
        for name, config in self._configs(notes):
            credential = self._from_config(name, config, registry, repository, notes)
            if credential is not None:
                return Found(credential=credential, notes=tuple(notes))
        return Found(credential=self._from_ci(registry), notes=tuple(notes))

    def _configs(self, notes: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        named = self._environ.get("REGISTRY_AUTH_FILE")
        if named:
            yield from _read(Path(named), notes, required=True)
        inline = self._environ.get("DOCKER_AUTH_CONFIG")
        if inline:
            yield from _parse("DOCKER_AUTH_CONFIG", inline.encode(), notes)
        folder = self._environ.get("DOCKER_CONFIG")
        if folder:
            yield from _read(Path(folder) / "config.json", notes)
        runtime = self._environ.get("XDG_RUNTIME_DIR")
        if runtime:
            yield from _read(Path(runtime) / "containers/auth.json", notes)
        home = self._environ.get("HOME")
        settings = self._environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else "")
        if settings:
            yield from _read(Path(settings) / "containers/auth.json", notes)
        if home and not folder:
            yield from _read(Path(home) / ".docker/config.json", notes)

    def _from_config(
        self, name: str, config: Mapping[str, Any], registry: str, repository: str, notes: list[str]
    ) -> Credential | None:
        keys = credential_keys(registry)
        helpers = _object(config.get("credHelpers"))
        helper = next((helpers[key] for key in keys if isinstance(helpers.get(key), str)), None)
        if helper is None and isinstance(config.get("credsStore"), str):
            helper = config["credsStore"]
        if helper:
            try:
                for key in keys:
                    answer = ask_helper(helper, key, self._environ, self._helper_seconds)
                    if answer is not None:
                        return _from_helper(answer, f"docker-credential-{helper} ({name})")
            except HelperError as error:
                notes.append(f"{name}: {error}")
        entries = _object(config.get("auths"))
        for key in _entry_keys(entries, keys, repository):
            credential = _from_entry(_object(entries[key]), name, key, notes)
            if credential is not None:
                return credential
        return None

    def _from_ci(self, registry: str) -> Credential | None:
        environ = self._environ
        token = environ.get("GITHUB_TOKEN")
        if registry == GITHUB_REGISTRY and environ.get("GITHUB_ACTIONS") == "true" and token:
            user = environ.get("GITHUB_ACTOR") or "x-access-token"
            return Credential(source="GITHUB_TOKEN", username=user, password=token)
        password = environ.get("CI_REGISTRY_PASSWORD")
        if registry == environ.get("CI_REGISTRY") and environ.get("GITLAB_CI") == "true" and password:
            user = environ.get("CI_REGISTRY_USER") or "gitlab-ci-token"
            return Credential(source="CI_REGISTRY_PASSWORD", username=user, password=password)
        return None


def _read(path: Path, notes: list[str], *, required: bool = False) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        if required:
            notes.append(f"{path} (REGISTRY_AUTH_FILE) does not exist")
        return
    except OSError as error:
        notes.append(f"{path} cannot be read: {error.strerror}")
        return
    yield from _parse(str(path), data, notes)


def _parse(name: str, data: bytes, notes: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        config = json.loads(data)
    except (ValueError, RecursionError):
        # The parser's words would quote the file, and it holds secrets.
        notes.append(f"{name} is not JSON")
        return
    if not isinstance(config, dict):
        notes.append(f"{name} is not a JSON object")
        return
    yield name, config


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _entry_keys(entries: Mapping[str, Any], keys: Sequence[str], repository: str) -> Iterator[str]:
    """Yield the keys of `auths` that fit, the most specific first.

    containers-auth.json(5): a key may name a repository or a namespace; docker writes bare hosts, and
    in old files `https://host/v1/`.
    """
    by_name: dict[str, str] = {}
    for key in sorted(entries, reverse=True):
        by_name.setdefault(_normal_key(key), key)
    for key in keys:
        parts = repository.split("/") if repository else []
        for count in range(len(parts), 0, -1):
            found = by_name.get("/".join([key, *parts[:count]]))
            if found is not None:
                yield found
        found = by_name.get(_normal_key(key))
        if found is not None:
            yield found


def _normal_key(key: str) -> str:
    return re.sub(r"/v[12]/?$", "", re.sub(r"^https?://", "", key)).rstrip("/")


def _from_entry(entry: Mapping[str, Any], name: str, key: str, notes: list[str]) -> Credential | None:
    fields = {field: value for field, value in entry.items() if isinstance(value, str) and value}
    username, password = fields.get("username", ""), fields.get("password", "")
    if "auth" in fields:
        try:
            pair = base64.b64decode(fields["auth"], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            notes.append(f"{name}: the `auth` of {key} is not base64 of user:password")
            return None
        username, _, password = pair.rstrip("\0").partition(":")
    if username == _IDENTITY_USER:
        return Credential(source=name, identity_token=password)
    credential = Credential(
        source=name,
        username=username,
        password=password,
        identity_token=fields.get("identitytoken", ""),
        registry_token=fields.get("registrytoken", ""),
    )
    return credential if credential.secrets else None


def _from_helper(answer: tuple[str, str], source: str) -> Credential:
    username, secret = answer
    if username == _IDENTITY_USER:
        return Credential(source=source, identity_token=secret)
    return Credential(source=source, username=username, password=secret)
