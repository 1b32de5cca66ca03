"""Where a locked file comes from, for what comes from no index. Pure; imports nothing heavy."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.pylock import PackageArchive, PackageSdist, PackageVcs

from shipwheel.locks.model import Source


def archive_name(source: PackageArchive) -> str:
    """Return the file name of an archive by address or path."""
    return unquote(urlsplit(source.url or source.path or "").path).rpartition("/")[2]


def is_unbuilt(source: Source) -> bool:
    """Tell whether `source` is one that a wheel has to be built of, and no folder of the project's own."""
    if isinstance(source, PackageArchive):
        return not archive_name(source).endswith(".whl")
    return isinstance(source, PackageSdist | PackageVcs)


def source_id(source: Source) -> str:
    """Return a source's identity: `sha256:<hex>` of its file or `git:<commit>`, then `#<subdirectory>`.

    Raises ValueError for what has no hash.
    """
    subdirectory = getattr(source, "subdirectory", None)
    below = f"#{subdirectory}" if subdirectory else ""
    if isinstance(source, PackageVcs):
        return f"{source.type}:{source.commit_id}{below}"
    hashes: dict[str, str] = dict(getattr(source, "hashes", None) or {})
    for algorithm in ("sha256", "sha512", "sha384", *sorted(hashes)):
        if algorithm in hashes:
            return f"{algorithm}:{hashes[algorithm]}{below}"
    raise ValueError(f"a source without hash: {source!r}")


def direct_url(source: Source) -> dict[str, Any] | None:
    """Return direct_url.json's value (PyPA "Recording the Direct URL Origin"), None for an index's file.

    A file or repository by path gets none: where it lay on the machine that built is nobody's business.
    """
    from shipwheel.net.address import redact

    if isinstance(source, PackageVcs):
        if source.url is None or source.url.removeprefix("git+").startswith("file:"):
            return None
        asked = {"requested_revision": source.requested_revision} if source.requested_revision else {}
        info = {"vcs": source.type, **asked, "commit_id": source.commit_id}
        found: dict[str, Any] = {"url": redact(source.url.removeprefix("git+")), "vcs_info": info}
    elif isinstance(source, PackageArchive) and source.url is not None:
        hashes = dict(sorted(source.hashes.items()))
        found = {"url": redact(source.url), "archive_info": {"hashes": hashes}}
    else:
        return None
    return {**found, "subdirectory": source.subdirectory} if source.subdirectory else found
