"""Find the real programs that tests compare with. Installs nothing: tests/engine/install-tools.sh does."""

import os
import shutil
from typing import NoReturn

import pytest


def is_complete_run() -> bool:
    """Tell whether nothing may be skipped, as on a continuous integration machine (`CI=true`)."""
    return os.environ.get("CI") == "true"


def missing(reason: str) -> NoReturn:
    """End the running test: as failed where the run must be complete, as skipped elsewhere."""
    if is_complete_run():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def require_tool(name: str) -> str:
    """Return the path of the program `name`; without it the running test ends by `missing`."""
    path = shutil.which(name)
    if path is None:
        missing(f"{name} is not installed; tests/engine/install-tools.sh installs it")
    return path
