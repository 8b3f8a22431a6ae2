"""The screen goes first: how one interpreter is shared between who looks and what works.

An engine that records and pulls keeps several threads busy in the process that paints. Python
hands the interpreter lock around by turns of equal length, so a key that needs 15 ms of
computing would take a turn in five: 75 ms. Three things change that, none of which any worker
has to know of:

- While the screen's thread computes, a turn is long: it is not interrupted in the middle of a
  paint. While it waits for a key or a timer, a turn is short: it gets the lock back soon.
- Callbacks that are ready run on without a look at the terminal in between, for each look would
  give the lock away.
- What lives as long as the program is taken out of the garbage collector's sight: a full
  collection stops every thread, and would walk over all of Textual each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import selectors
import sys
import time
from collections.abc import Iterator
from typing import Final

WAITING_SECONDS: Final = 0.0005  # a turn while the screen has nothing to do
COMPUTING_SECONDS: Final = 0.02  # and while it has
LOOK_SECONDS: Final = 0.005  # between two looks at the terminal while callbacks are ready
#: Container objects made and not yet gone before a young, a middle, a full collection.
COLLECT_AFTER: Final = (20_000, 20, 50)


class ScreenFirst(selectors.DefaultSelector):
    """The selector of the screen's event loop: what it waits in is where turns change length."""

    def __init__(self) -> None:
        super().__init__()
        self._looked = 0.0
        self._before = sys.getswitchinterval()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for input at most `timeout` seconds; None is for ever."""
        if timeout is not None and timeout <= 0 and time.monotonic() - self._looked < LOOK_SECONDS:
            return []
        sys.setswitchinterval(WAITING_SECONDS)
        try:
            return super().select(timeout)
        finally:
            sys.setswitchinterval(COMPUTING_SECONDS)
            self._looked = time.monotonic()

    def close(self) -> None:
        """The screen is gone: turns are as they were."""
        super().close()
        sys.setswitchinterval(self._before)


def event_loop() -> asyncio.AbstractEventLoop:
    """An event loop whose callbacks go before the work of other threads."""
    return asyncio.SelectorEventLoop(ScreenFirst())


@contextlib.contextmanager
def spare_the_collector() -> Iterator[None]:
    """What is there now stays: leave it out of collections meanwhile, and make those rare."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
