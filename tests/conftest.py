"""What every test stands on: an environment of its own; and the engine and registry that several kinds use."""

import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from helpers import docker
from helpers.docker import DockerEngine
from helpers.registry import docker_registry


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let no setting of the developer's reach a test, and no test the developer's cache."""
    for name in list(os.environ):
        if name.startswith("SHIPWHEEL_") or name == "SOURCE_DATE_EPOCH":
            monkeypatch.delenv(name)
    monkeypatch.setenv("SHIPWHEEL_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "shipwheel-cache"))
    if os.geteuid() != 0 and "XDG_RUNTIME_DIR" not in os.environ:
        # A user without a session: skopeo would look for its sign-ins below /run, where only root may.
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.getbasetemp()))


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """Let a test, and every program it starts, get the signals that `nohup` or a shell's `&` has ignored."""
    handlers: dict[signal.Signals, signal.Handlers | Callable[[int, FrameType | None], Any]] = {
        signal.SIGHUP: signal.SIG_DFL,
        signal.SIGINT: signal.default_int_handler,
        signal.SIGQUIT: signal.SIG_DFL,
    }
    ignored = [number for number in handlers if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, handlers[number])
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[DockerEngine]:
    """Give a current Docker engine: the machine's own, or a private one for as long as the tests run."""
    with docker.docker_engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the "127.0.0.1:PORT" of a real registry; a test uses repository names of its own."""
    with docker_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name long values by their argument: in a test's name they differ with the clock, or become paths."""
    return argname if isinstance(val, bytes | str) and len(val) > 60 else None
