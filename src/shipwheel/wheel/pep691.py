"""The JSON form of a project page (PEP 691, 700): the members we read, checked and decoded by msgspec.

Not by pypi_simple, which reads HTML for us: pages of the default index have up to 15,000 files, and
its model of them takes 0.8 s where this takes 0.03 s. Imported only when a page is read.
"""

from __future__ import annotations

from typing import Final

import msgspec


class File(msgspec.Struct, rename="kebab"):
    """A member of `files`; `url` may be relative to the page."""

    filename: str
    url: str
    hashes: dict[str, str]
    size: int | None = None
    yanked: bool | str = False
    requires_python: str | None = None


class Meta(msgspec.Struct, rename="kebab"):
    """The member `meta`."""

    api_version: str


class Page(msgspec.Struct, rename="kebab"):
    """A project page."""

    meta: Meta
    files: list[File]


# Made while the module is imported, by one thread: msgspec prepares a type at its first use, and a second
# thread that comes in the middle of it crashes the process (seen with msgspec 0.22).
_DECODER: Final = msgspec.json.Decoder(Page)


def decode_page(body: bytes) -> list[File]:
    """Return the files of a page; raises ValueError for another shape or another major version."""
    page = _DECODER.decode(body)
    # PEP 629: clients MUST fail for a greater major version, and only warn for a minor one.
    if page.meta.api_version.partition(".")[0] != "1":
        raise ValueError(f"its version is {page.meta.api_version}")
    return page.files
