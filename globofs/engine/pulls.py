"""Pulling in the background: what is wanted and not here, many at once, in the queue's order.

One thread reads the wanted set from the index into the queue, a page at a time; a few workers each
take the next rows as a batch. Workers exist only while there is something to do; a bump makes them
put a batch back unless it was bumped itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from globofs import errors, limits
from globofs.engine.queue import Item, Queue, Row
from globofs.engine.work import Work
from globofs.events import Emit

WORKERS: Final = 4  # batches under way at once; each has sixteen blocks and more in flight
BATCH_ROWS: Final = 64
BATCH_BYTES: Final = 16 * limits.MIB
IDLE_SECONDS: Final = 2.0  # a worker without work ends after so long
PAGE: Final = 200  # items offered at once
REST_TIMES: Final = 4.0  # after reading the wanted set: rest for so many times as long


class Pulls:
    """The background pulls of one engine. All methods return at once and may be called from any
    thread."""

    def __init__(self, work: Work, queue: Queue, emit: Emit, now_ns: Callable[[], int]) -> None:
        self._work = work
        self._queue = queue
        self._emit = emit
        self._now_ns = now_ns
        self._condition = threading.Condition()
        self._stopped = False
        self._enabled = False
        self._dirty = False  # the wanted set has to be read anew
        self._fresh = True  # all of it
        self._topping = False
        self._begun = 0.0  # monotonic, of the reading under way
        self._rest_until = 0.0  # monotonic: reading much is not repeated for every small change
        self._filling = False
        self._workers = 0
        self._idle = 0
        self._waiting_items: Iterator[Item] | None = None
        self._filler: threading.Thread | None = None
        self.trouble = ""  # why the wanted set could not be read

    def enable(self, enabled: bool) -> None:
        """Pull (this engine leads and somebody is reachable), or stop after what moves now."""
        with self._condition:
            if enabled == self._enabled:
                return
            self._enabled = enabled
            self._dirty = self._dirty or enabled
            self._wake()

    def poke(self, *, fresh: bool = False) -> None:
        """The tree has changed: look for what is wanted now; with `fresh` (the wishes or the
        peers have changed) also at all that was looked at before."""
        with self._condition:
            self._dirty = True
            self._fresh = self._fresh or fresh
            self._wake()

    def wake(self) -> None:
        """The queue has changed (a bump, a retry): let workers look."""
        with self._condition:
            self._wake()
        self._staff()

    def tick(self) -> None:
        """Now and then: what failed long enough ago is tried again. The ticker calls it."""
        if self._enabled and self._queue.due(time.monotonic()):
            self._staff()

    def stop(self) -> None:
        """End all threads as soon as their calls return; never waits."""
        with self._condition:
            self._stopped = True
            self._enabled = False
            self._condition.notify_all()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do at present."""
        with self._condition:
            reading = self._enabled and (self._dirty or self._filling)
            return not reading and self._workers == self._idle

    def _wake(self) -> None:
        if self._stopped:
            return
        if self._enabled and self._filler is None:
            self._filler = threading.Thread(target=self._fill, name="globofs-wanted", daemon=True)
            self._filler.start()
        self._condition.notify_all()

    # --- reading the wanted set ---

    def _fill(self) -> None:
        while True:
            with self._condition:
                while not self._stopped and not (self._enabled and self._due()):
                    self._condition.wait(0.25)
                if self._stopped:
                    return
                if self._waiting_items is None:
                    self._dirty = False
                    self._waiting_items = self._work.wanted(fresh=self._fresh)
                    self._fresh = False
                    self._begun = time.monotonic()
                self._filling = True
            try:
                self._page()
                self.trouble = ""
            except Exception as error:  # a broken index is mended elsewhere; here it is said
                self._waiting_items = None
                self.trouble = str(error)
                time.sleep(0.5)
            finally:
                with self._condition:
                    self._filling = False
            self._staff()

    def _due(self) -> bool:
        if self._waiting_items is not None:
            # Once it is being filled it is filled to the brim, then left until nearly empty.
            self._topping = self._queue.wants_more() or (self._topping and self._queue.room() > 0)
            return self._topping
        return self._dirty and time.monotonic() >= self._rest_until

    def _page(self) -> None:
        """Offer one page of the wanted set; forget the iterator at its end."""
        items = self._waiting_items
        if items is None:
            return
        room = min(self._queue.room(), PAGE)
        page: list[Item] = []
        for item in items:
            page.append(item)
            if len(page) >= room:
                break
        else:
            self._waiting_items = None
            now = time.monotonic()
            self._rest_until = now + REST_TIMES * (now - self._begun)
        self._queue.offer(page, self._now_ns())
        if self._waiting_items is None:
            self._queue.rest(0, growing=False)
            return
        totals = self._work.wanted_totals()
        if totals is None:
            self._queue.rest(0, growing=True)
        else:
            self._queue.rest(max(0, totals[1] - self._queue.queued_bytes), growing=True)

    # --- moving ---

    def _staff(self) -> None:
        """Have as many workers as there is work, up to `WORKERS`."""
        with self._condition:
            wanted = min(WORKERS, self._queue.waiting) if self._enabled else 0
            for _ in range(max(0, min(wanted - self._idle, WORKERS - self._workers))):
                self._workers += 1
                threading.Thread(target=self._pull, name="globofs-pull", daemon=True).start()
            self._condition.notify_all()

    def _pull(self) -> None:
        try:
            while batch := self._next():
                self._move(batch)
        finally:
            with self._condition:
                self._workers -= 1

    def _next(self) -> list[Row]:
        """The next rows to move together; none when there was nothing for a while."""
        until = time.monotonic() + IDLE_SECONDS
        while True:
            with self._condition:
                if self._stopped:
                    return []
                if self._enabled:
                    batch = self._queue.take(time.monotonic(), BATCH_ROWS, BATCH_BYTES)
                    if batch:
                        if self._queue.wants_more():
                            self._condition.notify_all()
                        return batch
                left = until - time.monotonic()
                if left <= 0:
                    return []
                self._idle += 1
                self._condition.wait(min(left, 0.5))
                self._idle -= 1

    def _move(self, batch: list[Row]) -> None:
        items = [row.item for row in batch if row.item is not None]
        bumped = batch[0].order[0] < 0
        paused = False

        def cancelled() -> bool:
            nonlocal paused
            if self._stopped or not self._enabled:
                return True
            paused = paused or any(self._queue.is_paused(item.path) for item in items)
            return paused or (not bumped and self._queue.urgent)

        reasons: Mapping[str, str] = {}
        trouble = ""
        try:
            reasons = self._work.fetch(items, self._emit, cancelled)
        except errors.Interrupted:
            pass
        except errors.GlobofsError as error:
            trouble = error.message
        except OSError as error:
            trouble = errors.from_os_error(error).message
        except Exception as error:  # our own mistake must not end all pulling
            trouble = f"{type(error).__name__}: {error}"
        stopped = cancelled()
        for row in batch:
            reason = reasons.get(row.key, trouble)
            again = stopped and (bool(reason) or row.done < row.total)
            self._queue.finish(row.key, time.monotonic(), error=reason, again=again)
