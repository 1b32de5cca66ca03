"""Image references, as `registry/repository:tag@digest` (distribution-spec; the grammar Docker uses).

Knows nothing of registries beyond their names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, Self

from shipwheel.errors import ImageError, UsageError
from shipwheel.oci.model import Digest

# What a name without a registry means to every engine; the second is its older name.
DEFAULT_REGISTRY: Final = "docker.io"
_OLD_DEFAULT: Final = "index.docker.io"
_OFFICIAL: Final = "library"
_DEFAULT_TAG: Final = "latest"

# distribution-spec, "Pulling manifests": <name> and <reference> as a tag.
_COMPONENT: Final = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_LABEL: Final = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST: Final = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:.]+\])(?::(?P<port>[0-9]{{1,5}}))?")
# distribution-spec: registry and name together must fit where clients keep them.
_MAX_NAME: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The name of an image: registry (with port), repository path, and tag, digest, both or neither.

    `str()` is the full name, which `parse` reads back to an equal value; `familiar` is what people write.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a reference, adding what is left out: the registry, and its folder of official images.

        `python:3.13` and `localhost:5000/team/app@sha256:…` are references. No tag is invented: see
        `with_default_tag`. Raises UsageError `bad-reference`, naming the part that is wrong.
        """
        if re.match(r"[a-z]+://", text):
            raise _bad(text, "an image reference is no URL", f"leave out {text.partition('://')[0]}://")
        rest, at, digest_text = text.partition("@")
        digest = _digest(text, digest_text) if at else None
        first, slash, after = rest.partition("/")
        # A first part that looks like a host is one: a dot, a port, or the one name without either.
        if slash and (re.search(r"[.:\[]", first) or first == "localhost"):
            registry, path = first, after
        else:
            registry, path = DEFAULT_REGISTRY, rest
        name, colon, tag_text = path.partition(":")
        reference = cls(
            registry=_registry(text, registry),
            repository=_repository(text, registry, name),
            tag=_tag(text, tag_text) if colon else None,
            digest=digest,
        )
        if len(reference.name) > _MAX_NAME:
            raise _bad(text, f"the name has {len(reference.name)} characters", f"{_MAX_NAME} are allowed")
        return reference

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar(self) -> str:
        """The reference without what `parse` adds, as engines show it."""
        if self.registry == DEFAULT_REGISTRY:
            for short in (self.repository.removeprefix(f"{_OFFICIAL}/"), self.repository):
                # Not every name can be shortened: docker's localhost/app would become another registry's.
                if _shortened(short + self._suffix()) == self:
                    return short + self._suffix()
        return str(self)

    def __str__(self) -> str:
        return self.name + self._suffix()

    def with_tag(self, tag: str) -> Self:
        """Return the reference with this tag and no digest; raises UsageError `bad-reference`."""
        return replace(self, tag=_tag(tag, tag), digest=None)

    def with_default_tag(self) -> Self:
        """Return the reference with the tag `latest` if it has neither tag nor digest."""
        return self if self.tag or self.digest else replace(self, tag=_DEFAULT_TAG)

    def with_digest(self, digest: Digest) -> Self:
        """Return the reference pinned to `digest`; its tag stays, for people to read."""
        return replace(self, digest=digest)

    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        return tag + (f"@{self.digest}" if self.digest is not None else "")


def _shortened(text: str) -> Reference | None:
    try:
        return Reference.parse(text)
    except UsageError:
        return None


def _registry(text: str, registry: str) -> str:
    match = _HOST.fullmatch(registry)
    if match is None:
        raise _bad(text, f"not a registry's host name: {registry[:160]!r}", "write it as host or host:port")
    if match["port"] is not None and not 0 < int(match["port"]) < 65536:
        raise _bad(text, f"not a port: {match['port']}", "ports go from 1 to 65535")
    return DEFAULT_REGISTRY if registry == _OLD_DEFAULT else registry


def _repository(text: str, registry: str, name: str) -> str:
    if not name:
        raise _bad(text, "there is no repository name", "write it as [registry/]repository[:tag]")
    if name != name.lower():
        raise _bad(
            text, f"upper case in the repository name {name[:160]!r}", f"write it as {name.lower()[:160]}"
        )
    for component in name.split("/"):
        if not _COMPONENT.fullmatch(component):
            raise _bad(
                text,
                f"not a part of a repository name: {component[:160]!r}",
                "lower-case letters and digits, between them one . or _, two _, or any number of -",
            )
    official = registry in (DEFAULT_REGISTRY, _OLD_DEFAULT) and "/" not in name
    return f"{_OFFICIAL}/{name}" if official else name


def _tag(text: str, tag: str) -> str:
    if not _TAG.fullmatch(tag):
        what = "the tag is empty" if not tag else f"not a tag: {tag[:160]!r}"
        raise _bad(text, what, "letters, digits and _ . - (not first), 128 characters at most")
    return tag


def _digest(text: str, digest: str) -> Digest:
    try:
        return Digest.parse(digest)
    except ImageError as error:
        raise _bad(text, error.problems[0].message, "write it as @sha256: and 64 hex digits") from error


def _bad(text: str, message: str, hint: str) -> UsageError:
    return UsageError("bad-reference", message, place=text[:300], hint=hint)
