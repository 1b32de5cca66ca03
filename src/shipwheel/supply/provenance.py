"""How an image was made, as an in-toto statement with SLSA's provenance predicate (v1).

It says what was asked for and every input by hash. No path, user or secret of the machine is in it; it
is not signed: `cosign attest` and others sign what is attached.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from shipwheel import __version__
from shipwheel.oci.model import canonical_json
from shipwheel.plan.model import BuildPlan
from shipwheel.supply.locked import Material
from shipwheel.supply.sbom import Subject
from shipwheel.tags.facts import Facts

MEDIA_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://slsa.dev/provenance/v1"
# SLSA wants addresses as names; `.invalid` (RFC 2606) says that nobody answers there.
BUILD_TYPE: Final = "https://shipwheel.invalid/build/1"
_LOCAL_BUILDER: Final = "https://shipwheel.invalid/builder/local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """Who built: `builder` is an address that names it, `run` that of this very build where there is one."""

    builder: str = _LOCAL_BUILDER
    run: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What was built: the repository's address and commit, and the lock files' hashes by name."""

    facts: Facts = field(default_factory=Facts)
    files: Mapping[str, str] = field(default_factory=dict)


def make_provenance(
    plan: BuildPlan,
    materials: Sequence[Material],
    subject: Subject,
    *,
    source: Source,
    invocation: Invocation,
) -> bytes:
    """Return the statement as canonical JSON: equal builds in equal places, equal bytes."""
    facts = source.facts
    dependencies = [_dependency(item) for item in materials]
    dependencies += [
        {"name": name, "uri": f"file:{name}", "digest": {"sha256": digest}, "annotations": {"for": "lock"}}
        for name, digest in sorted(source.files.items())
    ]
    if facts.commit is not None:
        dirty = {"dirty": "true"} if facts.dirty else {}
        dependencies.append(
            {
                "name": "source",
                "uri": f"git+{facts.source}@{facts.commit}" if facts.source else f"git:{facts.commit}",
                "digest": {"gitCommit": facts.commit},
                "annotations": {"for": "source", **dirty},
            }
        )
    metadata = {"invocationId": invocation.run} if invocation.run else {}
    return canonical_json(
        {
            "_type": STATEMENT,
            "subject": [
                {"name": subject.name, "digest": {subject.digest.algorithm: subject.digest.hex}},
            ],
            "predicateType": PREDICATE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": _parameters(plan),
                    "internalParameters": {"epoch": plan.epoch, "plan": plan.schema},
                    "resolvedDependencies": dependencies,
                },
                "runDetails": {
                    "builder": {"id": invocation.builder, "version": {"shipwheel": __version__}},
                    "metadata": metadata,
                },
            },
        }
    )


def read_invocation(environ: Mapping[str, str]) -> Invocation:
    """Return who builds, from what GitHub Actions or GitLab CI say in `environ`."""
    if environ.get("GITHUB_ACTIONS") == "true" and (server := environ.get("GITHUB_SERVER_URL")):
        workflow = environ.get("GITHUB_WORKFLOW_REF") or environ.get("GITHUB_REPOSITORY", "")
        run, attempt = environ.get("GITHUB_RUN_ID"), environ.get("GITHUB_RUN_ATTEMPT", "1")
        address = f"{server}/{environ.get('GITHUB_REPOSITORY', '')}/actions/runs/{run}/attempts/{attempt}"
        return Invocation(builder=f"{server}/{workflow}", run=address if run else None)
    if environ.get("GITLAB_CI") == "true" and (project := environ.get("CI_PROJECT_URL")):
        runner = environ.get("CI_RUNNER_ID")
        return Invocation(
            builder=f"{project}/-/runners/{runner}" if runner else project, run=environ.get("CI_JOB_URL")
        )
    return Invocation()


def lock_hashes(root: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the sha256 of those files of the project that are there, by their names."""
    found = {}
    for name in names:
        path = root / name
        if path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _dependency(item: Material) -> dict[str, Any]:
    algorithm, _, value = item.digest.partition(":")
    return {
        "name": item.name,
        "uri": item.uri,
        "digest": {algorithm: value},
        "annotations": {"for": item.kind},
    }


def _parameters(plan: BuildPlan) -> dict[str, Any]:
    """Return what the caller decided, of what the plan holds."""
    return {
        "project": plan.project,
        "version": plan.version,
        "platform": plan.platform,
        "mode": plan.mode,
        "lock": plan.lock,
        # A layout's reference is a path, and nobody else's business.
        "base": {
            "kind": plan.base.kind,
            "reference": "" if plan.base.kind == "layout" else plan.base.reference,
            "pin": plan.base.pin,
        },
        "python": plan.python.version,
        "bytecode": plan.bytecode.enabled,
        **({} if plan.slim is None else {"slim": {"drop": [*plan.slim.drop], "keep": [*plan.slim.keep]}}),
    }
