"""Threads of one peer: every call into its directory runs here, with a deadline.

A call that has made no progress for its deadline is abandoned and the peer is *stuck*: further
calls fail at once until the abandoned one returns. Threads are daemons, for a thread that hangs
in a dead mount cannot be ended. With `inline=True` calls run in the caller, without threads or
deadlines: that is what makes a simulation of many nodes deterministic.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from globofs import limits
from globofs.errors import PeerStuck

T = TypeVar("T")

_SWEEP_SECONDS = 0.5  # how often a waiting caller looks for overdue calls, its own or others'
_running = threading.local()


def beat() -> None:
    """Tell the pool that the call running in this thread makes progress. Cheap; no-op elsewhere."""
    call = getattr(_running, "call", None)
    if call is not None:
        call.heard = time.monotonic()


class Call(Generic[T]):
    """One call on its way. `done()`, then `result()`: the value, or the exception raised."""

    __slots__ = ("_error", "_function", "_value", "_watchers", "deadline", "event", "heard", "lock")

    def __init__(self, function: Callable[[], T], deadline: float) -> None:
        self._function = function
        self._value: T | None = None
        self._error: BaseException | None = None
        self._watchers: list[threading.Event] = []
        self.deadline = deadline
        self.heard: float | None = None  # monotonic time of the last progress; None: not started
        self.event = threading.Event()
        self.lock = threading.Lock()

    def done(self) -> bool:
        """Whether `result` would answer without waiting."""
        return self.event.is_set()

    def result(self) -> T:
        """The call's value; raises what it raised. Only once `done`."""
        if not self.event.is_set():
            raise RuntimeError("the call has not ended")
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    def watch(self, event: threading.Event) -> None:
        """Set `event` when the call ends (at once, when it has)."""
        with self.lock:
            if not self.event.is_set():
                self._watchers.append(event)
                return
        event.set()

    def finish(self, value: T | None, error: BaseException | None) -> None:
        """End the call; the first end counts, so that an abandoned call cannot come back."""
        with self.lock:
            if self.event.is_set():
                return
            self._value, self._error = value, error
            self.event.set()
            watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.set()

    def run(self) -> None:
        """Run in the current thread."""
        self.heard = time.monotonic()
        before, _running.call = getattr(_running, "call", None), self
        try:
            value = self._function()
        except BaseException as error:
            self.finish(None, error)
        else:
            self.finish(value, None)
        finally:
            _running.call = before


class PeerPool:
    """At most `threads` calls at once into one peer's directory. Thread safe."""

    def __init__(
        self, threads: int = limits.PEER_THREADS, inline: bool = False, name: str = "peer"
    ) -> None:
        self.name = name
        self.inline = inline
        self._limit = threads
        self._queue: queue.SimpleQueue[Call[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._outstanding = 0  # submitted and not ended: queued, running or abandoned
        self._running: set[Call[Any]] = set()
        self._abandoned: set[Call[Any]] = set()
        self._stuck_since: float | None = None
        self._closed = False
        self.answered = 0.0
        """When a call last ended by itself, by the monotonic clock; 0 before the first."""

    @property
    def stuck_seconds(self) -> float:
        """For how long the peer has not answered; 0 when it is not stuck."""
        since = self._stuck_since
        return 0.0 if since is None else max(0.0, time.monotonic() - since)

    @property
    def stuck(self) -> bool:
        """Whether an abandoned call has not yet returned."""
        return self._stuck_since is not None

    def submit(
        self, function: Callable[..., T], *args: Any, deadline: float | None = None
    ) -> Call[T]:
        """Start a call and return at once. A stuck peer's call ends at once in `PeerStuck`.

        `deadline`: seconds without progress after which it is abandoned (None: 10).
        """
        seconds = limits.PEER_CALL_SECONDS if deadline is None else deadline
        call: Call[T] = Call(lambda: function(*args), seconds)
        if self.inline:
            call.run()
            return call
        with self._lock:
            refused = self._stuck_since is not None or self._closed
            if not refused:
                self._outstanding += 1
                if not self._threads:
                    from globofs.store.libc import share_heaps  # ctypes is slow to load

                    share_heaps()
                if self._threads < min(self._outstanding, self._limit):
                    self._threads += 1
                    threading.Thread(
                        target=self._work, name=f"peer {self.name}", daemon=True
                    ).start()
                self._queue.put(call)
        if refused:
            call.finish(None, self._stuck_error())
        return call

    def call(self, function: Callable[..., T], *args: Any, deadline: float | None = None) -> T:
        """Run `function(*args)` in the pool and wait for it.

        Raises what it raises, or `PeerStuck` once it made no progress for `deadline` seconds.
        """
        call = self.submit(function, *args, deadline=deadline)
        self.wait(call)
        return call.result()

    def wait(self, call: Call[Any], timeout: float | None = None) -> bool:
        """Wait for the end of `call`, at most `timeout` seconds; whether it has ended."""
        end = None if timeout is None else time.monotonic() + timeout
        while not call.event.is_set():
            step = min(_SWEEP_SECONDS, call.deadline)
            if end is not None:
                step = min(step, end - time.monotonic())
                if step <= 0:
                    return False
            if call.event.wait(step):
                break
            self.sweep()
        return True

    def sweep(self) -> None:
        """Abandon overdue calls. Callers that do not `wait` call this now and then."""
        now = time.monotonic()
        ended: list[Call[Any]] = []
        with self._lock:
            for call in list(self._running):
                if call.heard is not None and now - call.heard > call.deadline:
                    self._running.discard(call)
                    self._abandoned.add(call)
                    if self._stuck_since is None:
                        self._stuck_since = call.heard
                    ended.append(call)
            if self._abandoned:  # nobody queued behind a stuck call shall wait for it
                while True:
                    try:
                        waiting = self._queue.get_nowait()
                    except queue.Empty:
                        break
                    if waiting is not None:
                        self._outstanding -= 1
                        ended.append(waiting)
        for call in ended:
            call.finish(None, self._stuck_error())

    def close(self) -> None:
        """Let idle threads end; never waits for one that hangs."""
        with self._lock:
            self._closed = True
            count = self._threads
        for _ in range(count):
            self._queue.put(None)

    def _stuck_error(self) -> PeerStuck:
        if self._closed:
            return PeerStuck(peer=self.name, reason="closed")
        return PeerStuck(
            peer=self.name, reason=f"its file system has been silent for {self.stuck_seconds:.0f} s"
        )

    def _work(self) -> None:
        while self._serve(self._queue.get()):
            pass  # a call is held by `_serve` alone: while this waits, its result is nobody's

    def _serve(self, call: Call[Any] | None) -> bool:
        """Run one call; False when the thread is to end."""
        with self._lock:
            if call is None:
                self._threads -= 1
                return False
            call.heard = time.monotonic()
            self._running.add(call)
        call.run()
        self.answered = time.monotonic()
        with self._lock:
            self._outstanding -= 1
            self._running.discard(call)
            self._abandoned.discard(call)
            if not self._abandoned:
                self._stuck_since = None
        return True
