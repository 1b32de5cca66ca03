"""What every test stands on: an environment of its own. The engine's and the registry's fixtures join below."""

import os

import pytest


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let no setting of the developer's reach a test, and no test the developer's cache."""
    for name in os.environ:
        if name.startswith("SHIPWHEEL_") or name == "SOURCE_DATE_EPOCH":
            monkeypatch.delenv(name)
    monkeypatch.setenv("SHIPWHEEL_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "shipwheel-cache"))
