"""A token service as distribution's "token" authentication wants it, with keys made for the test."""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from helpers.servers import Received, Reply, Server, serve

ISSUER: Final = "test-issuer"
SERVICE: Final = "test-registry"


class Tokens:
    """Signs tokens; `certificate` is what the registry trusts. `users` have passwords, anybody may pull."""

    def __init__(
        self, folder: Path, users: Mapping[str, str], *, refresh: Mapping[str, str] | None = None
    ) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._users = dict(users)
        self._refresh = dict(refresh or {})
        self._der = self._certify()
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate = folder / "token.pem"
        self.certificate.write_bytes(
            x509.load_der_x509_certificate(self._der).public_bytes(serialization.Encoding.PEM)
        )
        self.issued: list[list[str]] = []

    @contextlib.contextmanager
    def serve(self) -> Iterator[Server]:
        with serve(self._answer) as server:
            yield server

    def _answer(self, request: Received) -> Reply:
        if request.method == "POST":
            form = parse_qs(request.read_body().decode())
            user = self._refresh.get(form.get("refresh_token", [""])[0])
            if user is None:
                return Reply(
                    status=401, body=b'{"errors":[{"code":"UNAUTHORIZED","message":"bad refresh token"}]}'
                )
            scopes = form.get("scope", [""])[0].split()
            return self._token(user, scopes, "access_token")
        query = parse_qs(urlsplit(request.path).query)
        user = None
        header = request.headers.get("authorization")
        if header is not None:
            name, _, password = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
            if self._users.get(name) != password:
                return Reply(
                    status=401, body=b'{"errors":[{"code":"UNAUTHORIZED","message":"wrong password"}]}'
                )
            user = name
        return self._token(user, query.get("scope", []), "token")

    def _token(self, user: str | None, scopes: list[str], name: str) -> Reply:
        self.issued.append(scopes)
        access = []
        for scope in scopes:
            kind, resource, actions = scope.split(":")
            granted = [action for action in actions.split(",") if user is not None or action == "pull"]
            access.append({"type": kind, "name": resource, "actions": granted})
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": user or "",
            "aud": SERVICE,
            "exp": now + 300,
            "nbf": now - 5,
            "iat": now,
            "jti": str(len(self.issued)),
            "access": access,
        }
        body = json.dumps({name: self._sign(claims), "expires_in": 300}).encode()
        return Reply(body=body, headers={"Content-Type": "application/json"})

    def _sign(self, claims: Mapping[str, object]) -> str:
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(self._der).decode()]}
        text = f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def _certify(self) -> bytes:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.DER)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
