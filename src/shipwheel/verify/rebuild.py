"""Whether an image that was built again, from nothing, is the same; and where it differs. Builds nothing itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from shipwheel.oci.model import Image
from shipwheel.oci.read import LoadedImage
from shipwheel.oci.tree import find_files
from shipwheel.verify.contents import tell_difference
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

# Files whose contents are compared, and the largest of them in bytes: all are in memory at once.
_COMPARED: Final = 50
_LARGE: Final = 2_000_000
# More files than these of which the time alone differs are one line.
_TIMES: Final = 5


def check(subject: Subject, again: Image | LoadedImage | None) -> Iterator[Result]:
    """Compare the image with `again`, file by file where their digests differ."""
    if again is None:
        yield NotChecked(rule=DIFFERS, reason="the image was not built again (--rebuild)")
        return
    if again.digest == subject.evidence.digest:
        return
    # An engine packs layers anew, and writes the time of the build into the configuration.
    engine = isinstance(again, LoadedImage)
    places = list(differences(subject.evidence, collect(again), engine=engine))
    if not places and not engine:
        places = [Place(path="manifest", detail=f"{subject.evidence.digest}, then {again.digest}")]
    if places:
        yield Finding(rule=DIFFERS, message=f"{count(len(places), 'difference')}", places=places)


def differences(one: Evidence, two: Evidence, *, engine: bool = False) -> Iterator[Place]:
    """Yield what differs between two images: configuration, layers, and every visible file.

    From an `engine`, layers are told apart by what is in them: how they are packed is the engine's.
    """
    if one.image.config_blob().digest != two.image.config_blob().digest:
        before, after = one.image.config.to_json(), two.image.config.to_json()
        for key in sorted({*before, *after}):
            if before.get(key) != after.get(key):
                detail = f"{str(before.get(key))[:100]}, then {str(after.get(key))[:100]}"
                yield Place(path=f"config.{key}", detail=detail)
    layers = max(len(one.image.layers), len(two.image.layers))
    for number in range(layers):
        digests = [_layer_digest(found, number, engine=engine) for found in (one, two)]
        if digests[0] != digests[1]:
            yield Place(path=f"layer {number}", layer=number, detail=f"{digests[0]}, then {digests[1]}")
    yield from _file_differences(one, two)


def _layer_digest(evidence: Evidence, number: int, *, engine: bool) -> str:
    if number >= len(evidence.image.layers):
        return "no layer"
    layer = evidence.image.layers[number]
    return str(layer.diff_id if engine else layer.descriptor.digest)


def _file_differences(one: Evidence, two: Evidence) -> Iterator[Place]:
    contents = _contents(one, two)
    times: list[Place] = []
    for path in sorted({*one.visible, *two.visible}):
        told = [_told(found, path) for found in (one, two)]
        if told[0] == told[1]:
            continue
        changed = [
            (name, first, second)
            for (name, first), (_, second) in zip(told[0], told[1], strict=True)
            if first != second
        ]
        parts = [f"{name} {str(first)[:60]}, then {str(second)[:60]}" for name, first, second in changed]
        if path in contents:
            parts.append(tell_difference(path, *contents[path]))
        node = one.visible.get(path) or two.visible[path]
        place = Place(path=f"/{path}", layer=node.layer, detail="; ".join(parts))
        if [name for name, _, _ in changed] == ["time"]:
            times.append(place)
        else:
            yield place
    if len(times) > _TIMES:
        yield Place(path=times[0].path, detail=f"only the time differs, of this and {len(times) - 1} others")
    else:
        yield from times


def _contents(one: Evidence, two: Evidence) -> dict[str, tuple[bytes, bytes]]:
    """Return both contents of the files that differ, of the first ones that are not large."""
    wanted: list[str] = []
    for path in sorted(one.visible.keys() & two.visible.keys()):
        facts = [found.fact(path) for found in (one, two)]
        if facts[0] is None or facts[1] is None or facts[0].sha256 == facts[1].sha256:
            continue
        if max(facts[0].size, facts[1].size) <= _LARGE:
            wanted.append(path)
        if len(wanted) == _COMPARED:
            break
    if not wanted:
        return {}
    read = [find_files(found.image.layers, wanted) for found in (one, two)]
    return {path: (read[0][path], read[1][path]) for path in wanted if path in read[0] and path in read[1]}


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
