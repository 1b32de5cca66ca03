"""A registry on loopback that takes the distribution specification (v1.1) at its word, in memory.

It has what Debian's docker-registry has not: the referrers API, immutable tags, a least chunk size, mounts
that become uploads, tokens that run out. What a client does against the specification is refused and
written down in `violations`, which has to be empty in the end.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from helpers.servers import Received, Reply, Server, serve

_NAME: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
_TAG: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_ROUTE: Final = re.compile(
    rf"/v2/(?P<name>{_NAME})/(?P<kind>blobs/uploads|blobs|manifests|tags|referrers)/(?P<rest>[^/]*)"
)
_INDEX: Final = "application/vnd.oci.image.index.v1+json"
_MAX_MANIFEST: Final = 4 * 1024 * 1024
Query = Mapping[str, list[str]]


@dataclass
class _Repository:
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class _Session:
    name: str
    data: bytearray = field(default_factory=bytearray)
    short: bool = False


class StrictRegistry:
    """What the registry holds, and what clients did wrong.

    `immutable` says of which tags nothing may be written again. `chunk_min` is the least size of a chunk
    but the last; `body_max` the most that a request may bring (413). Without `mounts` a mount becomes an
    upload (202). `users` (name to password) sign in for tokens, each of which is good for `token_uses`
    requests; anybody may pull. `page` is how many entries a list gives at once.
    """

    def __init__(
        self,
        *,
        referrers: bool = True,
        mounts: bool = True,
        immutable: Callable[[str], bool] = lambda _: False,
        chunk_min: int | None = None,
        body_max: int | None = None,
        page: int = 1000,
        users: Mapping[str, str] | None = None,
        token_uses: int = 1_000_000,
    ) -> None:
        self.referrers, self.mounts, self.immutable = referrers, mounts, immutable
        self.chunk_min, self.body_max, self.page = chunk_min, body_max, page
        self.users, self.token_uses = users, token_uses
        self.violations: list[str] = []
        self.scopes: list[str] = []
        self.repositories: dict[str, _Repository] = {}
        self._sessions: dict[str, _Session] = {}
        self._tokens: dict[str, tuple[set[tuple[str, str]], list[int]]] = {}
        self._count = itertools.count(1)
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def serve(self) -> Iterator[Server]:
        """Answer on loopback."""
        with serve(self.answer) as server:
            yield server

    def answer(self, request: Received) -> Reply:
        """Answer one request."""
        url = urlsplit(request.path)
        query = parse_qs(url.query, keep_blank_values=True)
        body = request.read_body()
        with self._lock:
            if url.path == "/token":
                return self._token(request, query)
            if url.path == "/v2/":
                return Reply(status=200) if self.users is None else self._challenge(request, None)
            route = _ROUTE.fullmatch(url.path)
            if route is None:
                return self._wrong(404, "NAME_INVALID", f"no such place: {request.method} {url.path}")
            if self.body_max is not None and len(body) > self.body_max:
                return _error(413, "SIZE_INVALID", "a proxy before the registry takes no more")
            name, kind, rest = route["name"], route["kind"], route["rest"]
            if (refused := self._authorize(request, name, query)) is not None:
                return refused
            if kind == "blobs/uploads":
                return self._upload(request, name, rest, query, body)
            repository = self.repositories.get(name)
            if kind == "manifests" and request.method == "PUT":
                return self._put_manifest(request, name, rest, body)
            if repository is None:
                return _error(404, "NAME_UNKNOWN", "repository name not known to registry")
            if kind == "blobs":
                return self._blob(request, repository, rest)
            if kind == "manifests":
                return self._manifest(request, repository, rest)
            if kind == "tags" and rest == "list":
                return self._tags(name, repository, query)
            if kind == "referrers" and self.referrers:
                return self._referrers(name, repository, rest, query)
            return _error(404, "UNSUPPORTED", "the operation is unsupported")

    # Signing in (distribution, "Token Authentication Specification")

    def _authorize(self, request: Received, name: str, query: Query) -> Reply | None:
        if self.users is None:
            return None
        action = "pull" if request.method in ("GET", "HEAD") and "/uploads/" not in request.path else "push"
        needed = {(name, "pull"), (name, action)} | {(other, "pull") for other in query.get("from", ())}
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        granted, left = self._tokens.get(token, (set(), [0]))
        if not needed <= granted or left[0] <= 0:
            return self._challenge(
                request, f"repository:{name}:{'pull' if action == 'pull' else 'pull,push'}"
            )
        left[0] -= 1
        return None

    def _challenge(self, request: Received, scope: str | None) -> Reply:
        host = request.headers["host"]
        wanted = f',scope="{scope}"' if scope else ""
        header = f'Bearer realm="http://{host}/token",service="strict"{wanted}'
        return Reply(
            status=401,
            body=b'{"errors":[{"code":"UNAUTHORIZED"}]}',
            headers={"WWW-Authenticate": header},
        )

    def _token(self, request: Received, query: Query) -> Reply:
        user = None
        if (header := request.headers.get("authorization")) is not None:
            name, _, password = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
            if (self.users or {}).get(name) != password:
                return _error(401, "UNAUTHORIZED", "wrong password")
            user = name
        granted = set()
        for scope in query.get("scope", ()):
            self.scopes.append(scope)
            kind, _, rest = scope.partition(":")
            resource, _, actions = rest.rpartition(":")
            if kind != "repository" or not resource or not set(actions.split(",")) <= {"pull", "push"}:
                self._wrong(400, "UNSUPPORTED", f"an odd scope: {scope}")
            granted |= {(resource, action) for action in actions.split(",") if user or action == "pull"}
        token = f"token-{next(self._count)}"
        self._tokens[token] = (granted, [self.token_uses])
        return _json(200, {"token": token, "expires_in": 300})

    # Blobs

    def _blob(self, request: Received, repository: _Repository, digest: str) -> Reply:
        if _DIGEST.fullmatch(digest) is None:
            return self._wrong(400, "DIGEST_INVALID", f"no digest: {digest}")
        data = repository.blobs.get(digest)
        if data is None:
            return _error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        headers = {"Docker-Content-Digest": digest, "Content-Type": "application/octet-stream"}
        if request.method == "DELETE":
            del repository.blobs[digest]
            return Reply(status=202)
        span = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if span is not None and request.method == "GET":
            start = int(span[1])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            return Reply(status=206, body=data[start:], headers=headers)
        return Reply(status=200, body=data, headers=headers)

    def _upload(self, request: Received, name: str, rest: str, query: Query, body: bytes) -> Reply:
        headers = request.headers
        if request.method == "POST" and not rest:
            return self._begin(request, name, query, body)
        session = self._sessions.get(rest)
        if session is None or session.name != name or query.get("state") != ["a b"]:
            # The place is the registry's: a client has to keep all of it.
            return _error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload")
        if request.method == "GET":
            return self._where(name, rest, 204)
        if request.method not in ("PATCH", "PUT"):
            return self._wrong(405, "UNSUPPORTED", f"{request.method} of an upload")
        if "content-length" not in headers:
            return self._wrong(411, "SIZE_INVALID", f"{request.method} without Content-Length")
        if body and headers.get("content-type") != "application/octet-stream":
            return self._wrong(400, "BLOB_UPLOAD_INVALID", f"Content-Type {headers.get('content-type')}")
        if (refused := self._check_range(request, session, body)) is not None:
            return refused
        if request.method == "PATCH":
            if session.short:
                return self._wrong(400, "BLOB_UPLOAD_INVALID", "a chunk after one below the least size")
            session.data += body
            session.short = self.chunk_min is not None and len(body) < self.chunk_min
            return self._where(name, rest, 202)
        return self._finish(name, rest, query, body)

    def _begin(self, request: Received, name: str, query: Query, body: bytes) -> Reply:
        if request.headers.get("content-length", "0") != "0" or body:
            return self._wrong(400, "SIZE_INVALID", "POST with a body")
        if "mount" in query:
            [digest] = query["mount"]
            [source] = query.get("from", [""])
            data = self.repositories[source].blobs.get(digest) if source in self.repositories else None
            if self.mounts and data is not None:
                self._repository(name).blobs[digest] = data
                place = {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest}
                return Reply(status=201, headers=place)
        key = f"u{next(self._count)}"
        self._sessions[key] = _Session(name=name)
        return self._where(name, key, 202)

    def _check_range(self, request: Received, session: _Session, body: bytes) -> Reply | None:
        told = request.headers.get("content-range")
        if told is None:
            return None
        match = re.fullmatch(r"(\d+)-(\d+)", told)
        if match is None or int(match[2]) - int(match[1]) + 1 != len(body):
            return self._wrong(400, "BLOB_UPLOAD_INVALID", f"Content-Range {told} of {len(body)} bytes")
        if int(match[1]) != len(session.data):
            return _error(416, "BLOB_UPLOAD_INVALID", f"{len(session.data)} bytes are here")
        return None

    def _where(self, name: str, key: str, status: int) -> Reply:
        size = len(self._sessions[key].data)
        headers = {"Location": f"/v2/{name}/blobs/uploads/{key}?state=a%20b"}
        if size:
            headers["Range"] = f"0-{size - 1}"
        if self.chunk_min is not None:
            headers["OCI-Chunk-Min-Length"] = str(self.chunk_min)
        return Reply(status=status, headers=headers)

    def _finish(self, name: str, key: str, query: Query, body: bytes) -> Reply:
        [digest] = query.get("digest", [""])
        data = bytes(self._sessions[key].data) + body
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            return self._wrong(400, "DIGEST_INVALID", "the bytes have another digest")
        del self._sessions[key]
        if digest in self._repository(name).blobs:
            self.violations.append(f"{name} had {digest} when it was sent again")
        self._repository(name).blobs[digest] = data
        place = {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest}
        return Reply(status=201, headers=place)

    # Manifests and lists

    def _put_manifest(self, request: Received, name: str, reference: str, body: bytes) -> Reply:
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        by_digest = _DIGEST.fullmatch(reference) is not None
        if not by_digest and _TAG.fullmatch(reference) is None:
            return self._wrong(400, "TAG_INVALID", f"no tag: {reference}")
        if by_digest and reference != digest:
            return self._wrong(400, "DIGEST_INVALID", "the manifest has another digest")
        if len(body) > _MAX_MANIFEST:
            return _error(413, "SIZE_INVALID", "a manifest has at most 4 MiB")
        data = json.loads(body)
        media_type = request.headers.get("content-type", "")
        if data.get("mediaType", media_type) != media_type:
            return self._wrong(400, "MANIFEST_INVALID", f"{media_type} is no {data['mediaType']}")
        repository = self._repository(name)
        if media_type == _INDEX:
            missing = [item["digest"] for item in data["manifests"]]
            # The fallback's index may name what is pushed later; a list of images may not.
            missing = [item for item in missing if item not in repository.manifests]
        else:
            wanted = [data["config"], *data["layers"]]
            missing = [
                item["digest"]
                for item in wanted
                if len(repository.blobs.get(item["digest"], b"")) != item["size"]
            ]
        if missing:
            return self._wrong(
                404, "MANIFEST_BLOB_UNKNOWN", f"{reference} names what is not there: {missing}"
            )
        if not by_digest:
            if reference in repository.tags and self.immutable(reference):
                return _error(409, "DENIED", f"tag {reference} is immutable")
            repository.tags[reference] = digest
        repository.manifests[digest] = (media_type, body)
        headers = {"Location": f"/v2/{name}/manifests/{digest}", "Docker-Content-Digest": digest}
        if self.referrers and "subject" in data:
            headers["OCI-Subject"] = data["subject"]["digest"]
        return Reply(status=201, headers=headers)

    def _manifest(self, request: Received, repository: _Repository, reference: str) -> Reply:
        found = repository.manifests.get(repository.tags.get(reference, reference))
        if found is None:
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown to registry")
        media_type, body = found
        accepted = request.headers.get("accept", "")
        if media_type not in accepted and "*/*" not in accepted:
            return self._wrong(404, "MANIFEST_UNKNOWN", f"{media_type} is not accepted: {accepted!r}")
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        headers = {"Content-Type": media_type, "Docker-Content-Digest": digest}
        return Reply(status=200, body=body, headers=headers)

    def _tags(self, name: str, repository: _Repository, query: Query) -> Reply:
        tags = sorted(repository.tags)
        return self._listed(tags, query, f"/v2/{name}/tags/list", lambda some: {"name": name, "tags": some})

    def _referrers(self, name: str, repository: _Repository, digest: str, query: Query) -> Reply:
        if _DIGEST.fullmatch(digest) is None:
            return self._wrong(400, "DIGEST_INVALID", f"no digest: {digest}")
        found = []
        for own, (media_type, body) in sorted(repository.manifests.items()):
            data = json.loads(body)
            if data.get("subject", {}).get("digest") != digest:
                continue
            kind = data.get("artifactType") or data.get("config", {}).get("mediaType")
            entry = {"mediaType": media_type, "digest": own, "size": len(body), "artifactType": kind}
            if "annotations" in data:
                entry["annotations"] = data["annotations"]
            found.append(entry)
        headers = {"Content-Type": _INDEX}
        if (wanted := query.get("artifactType")) is not None:
            found = [entry for entry in found if entry["artifactType"] == wanted[0]]
            headers["OCI-Filters-Applied"] = "artifactType"

        def document(some: list[Any]) -> dict[str, Any]:
            return {"schemaVersion": 2, "mediaType": _INDEX, "manifests": some}

        reply = self._listed(found, query, f"/v2/{name}/referrers/{digest}", document)
        return Reply(status=200, body=reply.body, headers={**reply.headers, **headers})

    def _listed(
        self, items: list[Any], query: Query, path: str, document: Callable[[list[Any]], dict[str, Any]]
    ) -> Reply:
        [start] = query.get("at", ["0"])
        size = min([self.page, *map(int, query.get("n", []))])
        some = items[int(start) : int(start) + size]
        reply = _json(200, document(some))
        if int(start) + size >= len(items):
            return reply
        link = f'<{path}?at={int(start) + size}&n={size}>; rel="next"'
        return Reply(status=200, body=reply.body, headers={**reply.headers, "Link": link})

    def _repository(self, name: str) -> _Repository:
        return self.repositories.setdefault(name, _Repository())

    def _wrong(self, status: int, code: str, message: str) -> Reply:
        self.violations.append(message)
        return _error(status, code, message)


def _json(status: int, data: object) -> Reply:
    return Reply(status=status, body=json.dumps(data).encode(), headers={"Content-Type": "application/json"})


def _error(status: int, code: str, message: str) -> Reply:
    return _json(status, {"errors": [{"code": code, "message": message}]})
