"""The engine's work on its own node: apply what arrived, notice changes, keep the figures.

One thread, woken by notification, by requests and every poll interval. It alone reads the index
for the engine, so that making a snapshot never waits for SQLite.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Final

from globofs import errors
from globofs.engine.work import Steering, Work
from globofs.events import Changed, Emit, Event
from globofs.snapshots import Status

UPKEEP_SECONDS: Final = 61.0  # eviction looks twice, at least 60 s apart
BURST_SECONDS: Final = (0.0, 0.03, 0.1, 0.3)  # looks after a hint: it may come before the fact


class Local:
    """The local thread. `changed(paths)` is called in it when the tree has changed, `steered` when
    pauses or wishes have."""

    def __init__(
        self,
        work: Work,
        emit: Emit,
        *,
        changed: Callable[[], None],
        steered: Callable[[Steering], None],
        leads: Callable[[], bool],
    ) -> None:
        self._work = work
        self._emit = emit
        self._changed = changed
        self._steered = steered
        self._leads = leads
        self._condition = threading.Condition()
        self._stopped = False
        self._looks: list[float] = [0.0]  # monotonic times at which to look
        self._tasks: list[Callable[[], None]] = []
        self._busy = False
        self._mark: object = None
        self._applied = False
        self._upkeep_at = time.monotonic() + UPKEEP_SECONDS
        self._upkeep: threading.Thread | None = None
        self.tree_serial = 0
        self.status: Status | None = None
        self.steering = Steering()
        self.error = ""
        self._thread = threading.Thread(target=self._loop, name="globofs-local", daemon=True)

    def start(self) -> None:
        """Begin with a look at once."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; never waits."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()

    def join(self, timeout: float) -> bool:
        """Wait for the thread; False when it hangs."""
        if self._thread.is_alive():
            self._thread.join(max(0.0, timeout))
        return not self._thread.is_alive()

    def hint(self) -> None:
        """Something may have changed: look now, and a few times soon after."""
        now = time.monotonic()
        with self._condition:
            self._looks = sorted([*self._looks[-1:], *(now + later for later in BURST_SECONDS)])
            self._condition.notify_all()

    def do(self, task: Callable[[], None]) -> None:
        """Run a short task in the thread (it may read the index)."""
        with self._condition:
            self._tasks.append(task)
            self._condition.notify_all()

    @property
    def idle(self) -> bool:
        """Whether no look is due at once and none is under way."""
        with self._condition:
            soon = time.monotonic() + 0.05
            return not (self._busy or self._tasks or any(due <= soon for due in self._looks))

    def _loop(self) -> None:
        while True:
            with self._condition:
                self._busy = False
                while not self._stopped and not self._tasks and not self._look_due():
                    self._condition.wait(self._until_look())
                if self._stopped:
                    return
                tasks, self._tasks = self._tasks, []
                now = time.monotonic()
                self._looks = [due for due in self._looks if due > now]
                self._busy = True
            for task in tasks:
                self._guarded(task)
            self._guarded(self.look)
            with self._condition:
                if not self._looks:
                    self._looks = [time.monotonic() + self._work.poll_seconds]

    def _look_due(self) -> bool:
        return any(due <= time.monotonic() for due in self._looks)

    def _until_look(self) -> float:
        return max(0.0, min(self._looks, default=time.monotonic() + 1.0) - time.monotonic())

    def _guarded(self, task: Callable[[], None]) -> None:
        """What goes wrong here becomes the banner, and is tried again with the next look."""
        try:
            task()
            self.error = ""
        except errors.GlobofsError as error:
            self.error = error.message
        except OSError as error:
            self.error = errors.from_os_error(error).message
        except Exception as error:  # a mistake of ours must not silence the engine
            self.error = f"{type(error).__name__}: {error}"

    def look(self) -> None:
        """Apply what arrived, then see what differs from the last look."""
        if gone := self._work.present():
            raise errors.GlobofsError(gone)
        if self._leads() and not self._work.readonly:
            self._work.catch_up(self._hear)
        steering = self._work.steering()
        if steering != self.steering:
            self.steering = steering
            self._steered(steering)
        mark = self._work.change_mark()
        if mark != self._mark or self._applied:
            # Counts first: who sees the new number sees what belongs to it.
            self.status = self._work.status()
            self._mark = mark
            self._applied = False
            self.tree_serial += 1
            self._changed()
        elif self.status is None:
            self.status = self._work.status()
        self._upkeep_if_due()

    def _hear(self, event: Event) -> None:
        if isinstance(event, Changed):
            self._applied = True
        self._emit(event)

    def _upkeep_if_due(self) -> None:
        """Eviction asks peers, so it has a thread of its own."""
        now = time.monotonic()
        running = self._upkeep is not None and self._upkeep.is_alive()
        if running or now < self._upkeep_at or not self._leads() or self._work.readonly:
            return
        self._upkeep_at = now + UPKEEP_SECONDS

        def upkeep() -> None:
            # The next one tries again; nothing is lost by not evicting.
            with contextlib.suppress(errors.GlobofsError, OSError):
                self._work.upkeep(self._emit, lambda: self._stopped)

        self._upkeep = threading.Thread(target=upkeep, name="globofs-upkeep", daemon=True)
        self._upkeep.start()
