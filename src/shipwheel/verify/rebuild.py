"""Whether an image that was built again, from nothing, is the same; and where it differs. Builds nothing itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from shipwheel.oci.model import Image
from shipwheel.verify.evidence import Evidence, collect
from shipwheel.verify.model import Finding, NotChecked, Place, Result, Rule
from shipwheel.verify.subject import Subject, count

DIFFERS: Final = Rule(
    code="rebuild-differs",
    promise="stable",
    severity="error",
    title="The same project gave another image when it was built again",
    why="What was tested is not what will be shipped, and nobody can tell a change from an accident.",
    fix="Look at the files that differ: times, paths, the order of a folder, or a random number are in them.",
)
RULES: Final = (DIFFERS,)


def check(subject: Subject, again: Image | None) -> Iterator[Result]:
    """Compare the image with `again`, file by file where their digests differ."""
    if again is None:
        yield NotChecked(rule=DIFFERS, reason="the image was not built again (--rebuild)")
        return
    if again.digest == subject.evidence.digest:
        return
    places = list(differences(subject.evidence, collect(again)))
    if not places:
        places = [Place(path="manifest", detail=f"{subject.evidence.digest}, then {again.digest}")]
    yield Finding(rule=DIFFERS, message=f"{count(len(places), 'difference')}", places=places)


def differences(one: Evidence, two: Evidence) -> Iterator[Place]:
    """Yield what differs between two images: configuration, layers, and every visible file."""
    if one.image.config_blob().digest != two.image.config_blob().digest:
        before, after = one.image.config.to_json(), two.image.config.to_json()
        for key in sorted({*before, *after}):
            if before.get(key) != after.get(key):
                detail = f"{str(before.get(key))[:100]}, then {str(after.get(key))[:100]}"
                yield Place(path=f"config.{key}", detail=detail)
    layers = max(len(one.image.layers), len(two.image.layers))
    for number in range(layers):
        digests = [
            str(found.image.layers[number].descriptor.digest)
            if number < len(found.image.layers)
            else "no layer"
            for found in (one, two)
        ]
        if digests[0] != digests[1]:
            yield Place(path=f"layer {number}", layer=number, detail=f"{digests[0]}, then {digests[1]}")
    for path in sorted({*one.visible, *two.visible}):
        told = [_told(found, path) for found in (one, two)]
        if told[0] != told[1]:
            parts = [
                f"{name} {str(first)[:60]}, then {str(second)[:60]}"
                for (name, first), (_, second) in zip(told[0], told[1], strict=True)
                if first != second
            ]
            node = one.visible.get(path) or two.visible[path]
            yield Place(path=f"/{path}", layer=node.layer, detail="; ".join(parts))


def _told(evidence: Evidence, path: str) -> list[tuple[str, object]]:
    node = evidence.visible.get(path)
    if node is None:
        return [("kind", "absent"), ("mode", ""), ("owner", ""), ("time", ""), ("link", ""), ("content", "")]
    fact = evidence.fact(path)
    return [
        ("kind", node.kind),
        ("mode", f"{node.mode:04o}"),
        ("owner", f"{node.uid}:{node.gid}"),
        ("time", node.mtime),
        ("link", node.link),
        ("content", "" if fact is None else f"sha256:{fact.sha256.hex()[:16]}"),
    ]
