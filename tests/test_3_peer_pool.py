"""A peer that hangs costs its caller ten seconds once, and everybody else nothing."""

from __future__ import annotations

import threading
import time
import weakref

import pytest

from globofs.errors import PeerStuck
from globofs.peerio.pool import PeerPool, beat


def test_a_call_gives_its_value_or_raises_what_it_raised() -> None:
    pool = PeerPool(2)
    assert pool.call(lambda a, b: a + b, 1, 2) == 3
    with pytest.raises(ZeroDivisionError):
        pool.call(lambda: 1 // 0)
    pool.close()


def test_a_hanging_call_is_abandoned_and_the_peer_is_stuck_until_it_returns() -> None:
    pool, release = PeerPool(4, name="alaska"), threading.Event()
    begun = time.monotonic()
    with pytest.raises(PeerStuck, match="alaska"):
        pool.call(release.wait, deadline=0.2)
    assert time.monotonic() - begun < 1.5
    assert pool.stuck

    begun = time.monotonic()
    with pytest.raises(PeerStuck):
        pool.call(lambda: 1)
    assert time.monotonic() - begun < 2, "a stuck peer answers at once, not after its 10 s"

    release.set()
    until = time.monotonic() + 2
    while pool.stuck and time.monotonic() < until:
        time.sleep(0.01)
    assert not pool.stuck
    assert pool.call(lambda: 7) == 7
    pool.close()


def test_a_slow_call_that_beats_is_not_stuck() -> None:
    pool = PeerPool(1)

    def slow() -> str:
        for _ in range(6):
            time.sleep(0.1)
            beat()
        return "done"

    assert pool.call(slow, deadline=0.3) == "done"
    assert not pool.stuck
    pool.close()


def test_calls_queued_behind_a_stuck_one_do_not_wait_for_it() -> None:
    pool, release = PeerPool(1), threading.Event()
    hanging = pool.submit(release.wait, deadline=0.2)
    queued = pool.submit(lambda: 1)
    pool.wait(queued)
    with pytest.raises(PeerStuck):
        queued.result()
    assert hanging.done()
    release.set()
    pool.close()


def test_as_many_calls_as_threads_run_at_once() -> None:
    pool, gate = PeerPool(5), threading.Barrier(5, timeout=5)
    calls = [pool.submit(gate.wait) for _ in range(5)]
    for call in calls:
        pool.wait(call)
        call.result()  # BrokenBarrierError unless all five were inside at once
    pool.close()


def test_inline_runs_in_the_caller() -> None:
    pool = PeerPool(inline=True)
    assert pool.call(threading.get_ident) == threading.get_ident()


def test_an_idle_thread_keeps_nothing_of_its_last_call() -> None:
    class Large:
        pass

    pool = PeerPool(1)
    seen = weakref.ref(pool.call(Large))
    until = time.monotonic() + 5
    while seen() is not None and time.monotonic() < until:
        time.sleep(0.01)  # the thread is on its way to wait for the next
    assert seen() is None
    pool.close()
