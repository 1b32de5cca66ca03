"""What is written beside its destination and takes its place once it is whole.

One pattern tells them all, so that a build never takes what another process is writing, or left when
it was killed, for a file of the project.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_SUFFIX: Final = ".shipwheel-tmp"
STAGED_NAMES: Final = f".*{_SUFFIX}"
# A name has 255 bytes at most on Linux's filesystems.
_KEPT: Final = 200


def beside(path: Path) -> Path:
    """Return a new path in the folder of `path`, whose name `STAGED_NAMES` matches."""
    kept = path.name.encode("utf-8", "surrogateescape")[:_KEPT].decode("utf-8", "ignore")
    return path.with_name(f".{kept}.{secrets.token_hex(6)}{_SUFFIX}")


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield where to write the file that takes the place of `path` when the block ends well, and vanishes otherwise.

    Raises OSError.
    """
    staged = beside(path)
    try:
        yield staged
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
