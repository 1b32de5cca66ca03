"""Images → registries: one push for each repository, and what all of them came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shipwheel.assemble.workshop import Workshop
from shipwheel.errors import UsageError
from shipwheel.oci.model import Digest, Image, ImageIndex
from shipwheel.oci.reference import Reference

if TYPE_CHECKING:
    from shipwheel.oci.registry.push import Pushed


@dataclass(frozen=True, slots=True, kw_only=True)
class PushReport:
    """What a push to one repository did, in blobs and bytes; `manifest_known`: it was there already.

    `tags` name the image now and did not before, `kept` did before.
    """

    repository: str
    digest: Digest
    tags: Sequence[str]
    kept: Sequence[str]
    sent: int
    sent_bytes: int
    mounted: int
    mounted_bytes: int
    present: int
    present_bytes: int
    manifest_known: bool

    @classmethod
    def of(cls, pushed: Pushed) -> PushReport:
        """Count what the client did."""

        def count(outcome: str) -> tuple[int, int]:
            sizes = [descriptor.size for descriptor, how in pushed.blobs if how == outcome]
            return len(sizes), sum(sizes)

        sent, mounted, present = count("uploaded"), count("mounted"), count("present")
        return cls(
            repository=str(pushed.repository),
            digest=pushed.descriptor.digest,
            tags=tuple(pushed.tags),
            kept=tuple(pushed.kept),
            sent=sent[0],
            sent_bytes=sent[1],
            mounted=mounted[0],
            mounted_bytes=mounted[1],
            present=present[0],
            present_bytes=present[1],
            manifest_known=not pushed.blobs,
        )


def push(
    image: Image | ImageIndex, references: Sequence[Reference], workshop: Workshop
) -> tuple[PushReport, ...]:
    """Push `image` and let `references` name it: each repository's tags move once all of it is there.

    Raises what `oci.registry.push_image` raises.
    """
    from shipwheel.oci.registry.client import Repository
    from shipwheel.oci.registry.push import push_image

    by_repository: dict[Repository, list[str]] = {}
    for reference in references:
        tags = by_repository.setdefault(Repository.of(reference), [])
        if reference.tag is not None:
            tags.append(reference.tag)
    reports = []
    for repository, tags in by_repository.items():
        key = f"push {repository}"
        workshop.progress.started(key, f"to {repository}")
        # What went to one repository of a registry is mounted into its next.
        sources = [other for other in by_repository if other != repository]
        pushed = push_image(workshop.registry, image, repository, tags=tags, sources=sources)
        report = PushReport.of(pushed)
        workshop.progress.finished(key, f"to {repository}", note="pushed", size=report.sent_bytes)
        reports.append(report)
    return tuple(reports)


def check_pushable(references: Sequence[Reference]) -> None:
    """Raise UsageError `no-registry` for a name that leads to no registry but means "this machine"."""
    for reference in references:
        if reference.registry == "localhost":
            raise UsageError(
                "no-registry",
                f"{reference} names no registry",
                place="pyproject.toml [tool.shipwheel] name",
                hint='name = "registry.example/team/app" says where, or --tag registry.example/team/app:1.0',
            )
