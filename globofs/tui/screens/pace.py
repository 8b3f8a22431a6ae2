"""How often screens ask: once things are quiet, or no more often than there are answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from textual.screen import Screen
from textual.widget import Widget

Found = TypeVar("Found")

FRESH_SECONDS = 0.4  # between two looks at a tree that keeps changing
FRESH_SECONDS_MAX = 5.0  # also where a look takes long
COST_TIMES = 8  # the pause is so many times what a look takes


class Debounce:
    """Calls once things are quiet for a moment: a cursor that runs asks for nothing."""

    def __init__(self, owner: Widget | Screen[Any], delay: float, call: Callable[[], None]) -> None:
        self._owner = owner
        self._delay = delay
        self._call = call
        self._timer: Any = None

    def __call__(self) -> None:
        """Soon."""
        if self._timer is not None:
            self._timer.stop()
        self._timer = self._owner.set_timer(self._delay, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._call()


class Freshness:
    """Reads a tree that keeps changing again, but not more often than it can be read."""

    def __init__(self, owner: Screen[Any], read: Callable[[], None]) -> None:
        self._owner = owner
        self._read = read
        self._serial = -1  # of the tree that was read last, or soon will be
        self._cost = 0.0  # seconds the last reading took
        self._timer: Any = None

    def take(self, serial: int) -> None:
        """The tree is at `serial` now; the first one told of is what the screen began with."""
        if serial == self._serial or self._timer is not None:
            return
        first, self._serial = self._serial < 0, serial
        if not first:
            pause = max(FRESH_SECONDS, min(FRESH_SECONDS_MAX, self._cost * COST_TIMES))
            self._timer = self._owner.set_timer(pause, self._fire)

    def timed(self, find: Callable[[], Found]) -> Callable[[], Found]:
        """`find`, and how long it takes is noted. The worker that it runs in may note it."""

        def measured() -> Found:
            began = time.monotonic()
            found = find()
            self._cost = time.monotonic() - began
            return found

        return measured

    def _fire(self) -> None:
        self._timer = None
        self._read()
