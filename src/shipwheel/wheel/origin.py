"""Where a locked file comes from, for what comes from no index. Pure; imports nothing heavy."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.pylock import PackageArchive

from shipwheel.locks.model import Source


def archive_name(source: PackageArchive) -> str:
    """Return the file name of an archive by address or path."""
    return unquote(urlsplit(source.url or source.path or "").path).rpartition("/")[2]


def direct_url(source: Source) -> dict[str, Any] | None:
    """Return direct_url.json's value (PyPA "Recording the Direct URL Origin"), None for an index's file.

    A file by path gets none: where it lay on the machine that built is nobody's business.
    """
    if not isinstance(source, PackageArchive) or source.url is None:
        return None
    from shipwheel.net.address import redact

    hashes = dict(sorted(source.hashes.items()))
    return {"url": redact(source.url), "archive_info": {"hashes": hashes}}
