"""A child is held: signals pass on, its end is told, nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from shipwheel.engine.supervise import Child, exit_code, supervise


def python(code: str) -> Child:
    return subprocess.Popen([sys.executable, "-I", "-S", "-c", code], start_new_session=True)


def refuse(_child: Child, _number: int) -> bool:
    return False


def test_exit_code_is_the_childs() -> None:
    assert supervise(lambda: python("raise SystemExit(7)"), refuse) == 7


def test_child_killed_by_a_signal_gives_128_and_its_number() -> None:
    code = supervise(lambda: python("import os; os.kill(os.getpid(), 9)"), refuse)
    assert code == 137
    assert exit_code(-15) == 143


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signal_is_delivered_until_somebody_takes_it(number: int) -> None:
    asked: list[int] = []

    def deliver(child: Child, got: int) -> bool:
        asked.append(got)
        if len(asked) == 3:  # the first two times the container has not started yet
            child.kill()
        return len(asked) >= 3

    def start() -> Child:
        os.kill(os.getpid(), number)
        return python("import time; time.sleep(60)")

    assert supervise(start, deliver) == 137
    assert asked == [number] * 3


def test_signals_are_delivered_in_their_order() -> None:
    asked: list[int] = []

    def deliver(child: Child, got: int) -> bool:
        asked.append(got)
        if len(asked) == 2:
            child.kill()
        return True

    def start() -> Child:
        os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGTERM)
        return python("import time; time.sleep(60)")

    supervise(start, deliver)
    assert asked == [signal.SIGUSR2, signal.SIGTERM]


def test_handlers_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    supervise(lambda: python(""), refuse)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_ignored_hangup_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        during: list[object] = []

        def start() -> Child:
            during.append(signal.getsignal(signal.SIGHUP))
            return python("")

        supervise(start, refuse)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert during == [signal.SIG_IGN]


def test_child_is_killed_when_its_time_is_up() -> None:
    children: list[Child] = []

    def start() -> Child:
        children.append(python("import time; time.sleep(60)"))
        return children[0]

    with pytest.raises(TimeoutError):
        supervise(start, refuse, timeout=0.1)
    assert children[0].returncode == -signal.SIGKILL


def test_child_is_killed_when_delivering_fails() -> None:
    children: list[Child] = []

    def start() -> Child:
        os.kill(os.getpid(), signal.SIGTERM)
        children.append(python("import time; time.sleep(60)"))
        return children[0]

    def deliver(_child: Child, _number: int) -> bool:
        raise PermissionError

    with pytest.raises(PermissionError):
        supervise(start, deliver)
    assert children[0].returncode == -signal.SIGKILL


def test_another_thread_can_run_one_too() -> None:
    codes: list[int] = []
    thread = threading.Thread(
        target=lambda: codes.append(supervise(lambda: python("raise SystemExit(3)"), refuse))
    )
    thread.start()
    thread.join()
    assert codes == [3]
