"""A second process of ours: it ends with us, is asked again and again, and may be missing."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from globofs.store import second as store_second
from globofs.store.second import SecondProcess

MODULE = "globofs.store._decoding"
NOTHING = [("/no/such/file", 0)]


@pytest.fixture
def second() -> Iterator[SecondProcess]:
    with closing(SecondProcess(MODULE)) as made:
        yield made


def test_it_ends_with_its_parent_however_that_ends() -> None:
    program = (
        "import sys; from globofs.store.second import SecondProcess\n"
        f"second = SecondProcess({MODULE!r}); print(second.pid, flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe) as parent:
        assert parent.stdout is not None
        watched = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    try:
        assert select.select([watched], [], [], 30)[0]
    finally:
        os.close(watched)


def test_an_interrupt_of_the_terminal_is_meant_for_the_command(second: SecondProcess) -> None:
    assert second.send(NOTHING)
    assert second.receive() == (0, [])
    os.kill(second.pid, signal.SIGINT)
    assert second.send(NOTHING)
    assert second.receive() == (0, [])


def test_one_that_was_killed_is_found_dead(second: SecondProcess) -> None:
    os.kill(second.pid, signal.SIGKILL)
    assert second.has_spoken(30)
    assert second.receive() is None
    assert second.dead
    assert not second.send(NOTHING)
    second.close()


def test_one_that_is_stopped_holds_up_nobody(
    second: SecondProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent has no room in the pipe, and nobody makes any."""
    monkeypatch.setattr(store_second, "ANSWER_SECONDS", 0.3)
    assert second.send(NOTHING)
    assert second.receive() == (0, [])
    os.kill(second.pid, signal.SIGSTOP)
    sent: list[bool] = []
    sending = threading.Thread(target=lambda: sent.append(second.send(["x" * 10**7])), daemon=True)
    sending.start()
    sending.join(30)
    assert sent == [False]
    assert second.dead
