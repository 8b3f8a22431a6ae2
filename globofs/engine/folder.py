"""`watch FOLDER`: keep adding what changes in a folder, deletions included.

A burst of changes is waited out, then one `add --delete` records what differs: one operation, so
one moment to go back to. Where events do not arrive the folder is scanned at intervals instead;
it is scanned now and then in any case, and once more a little later after every change, because
what changed within the last three seconds cannot be known by its times.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from globofs import errors, limits
from globofs.engine.watch import Watcher
from globofs.events import Emit, Note, ignore
from globofs.sync.results import AddResult

DEBOUNCE_SECONDS: Final = 0.3  # of quiet before a change is recorded
DEBOUNCE_MAX_SECONDS: Final = 5.0  # a folder that never rests is recorded anyway
RECHECK_SECONDS: Final = limits.RACY_NS / 1e9 + 0.2
RESCAN_SECONDS: Final = 300.0
SCAN_SHARE: Final = 20.0  # polling: a scan may take this share (1/20) of the time
RETRY_SECONDS: Final = 10.0
TICK_SECONDS: Final = 0.25


class Adder(Protocol):
    """The part of a volume used here."""

    def add(
        self,
        sources: list[str],
        *,
        to: bytes = b"",
        delete: bool = False,
        exclude: tuple[str, ...] = (),
        emit: Emit = ignore,
        cancelled: Callable[[], bool],
    ) -> AddResult:
        """`Volume.add`."""


@dataclass(frozen=True, slots=True)
class WatchTotals:
    """What a watch recorded until it was ended."""

    scans: int = 0
    operations: int = 0
    added: int = 0
    changed: int = 0
    deleted: int = 0


class FolderWatch:
    """Watches one folder until told to stop. `run` blocks; everything else may be called from any
    thread."""

    def __init__(
        self,
        volume: Adder,
        folder: str,
        *,
        volume_directory: str,
        run_directory: str,
        to: bytes = b"",
        exclude: tuple[str, ...] = (),
        poll_seconds: float = limits.POLL_DEFAULT_SECONDS,
        rescan_seconds: float = RESCAN_SECONDS,
        force_polling: bool = False,
        emit: Emit = ignore,
    ) -> None:
        """Raises UsageError where `folder` is no directory, or is or holds the volume itself."""
        self._volume = volume
        self._folder = folder
        self._real = os.path.realpath(folder)
        self._to = to
        self._exclude = exclude
        self._poll = poll_seconds
        self._rescan = rescan_seconds
        self._emit = emit
        inside = os.path.realpath(volume_directory)
        if not os.path.isdir(self._real):
            raise errors.UsageError(f"{errors.printable(folder)}: not a directory to watch")
        if inside == self._real or self._real.startswith(inside + os.sep):
            raise errors.UsageError(f"{errors.printable(folder)}: lies inside the volume itself")
        self._inside = inside + os.sep
        self._condition = threading.Condition()
        self._first_change: float | None = None  # monotonic, of the burst
        self._last_change = 0.0
        self._said = ""
        self._scan_took = 0.0
        self.waiting = ""  # why nothing is recorded at present
        self.totals = WatchTotals()
        self._watcher = Watcher(
            [self._real],
            self._announced,
            probe_directory=run_directory,
            poll_seconds=poll_seconds,
            ignored=lambda path: path.startswith(self._inside),
            polling_only="asked for" if force_polling else "",
            also=[run_directory],
        )

    @property
    def words(self) -> str:
        """How changes are noticed."""
        return self._watcher.words

    def poke(self) -> None:
        """Scan now."""
        self._announced(frozenset((self._real,)))

    def _announced(self, paths: frozenset[str]) -> None:
        now = time.monotonic()
        with self._condition:
            if self._first_change is None:
                self._first_change = now
            self._last_change = now
            self._condition.notify_all()

    def run(self, cancelled: Callable[[], bool]) -> WatchTotals:
        """Watch until `cancelled`. Errors of the disk or the volume are said and tried again."""
        self._watcher.start()
        self._watcher.wait_known(2.0)
        self._say(f"watching {errors.printable(self._folder)}: {self._watcher.words}")
        due = time.monotonic()
        try:
            while not cancelled():
                if time.monotonic() >= due or self._burst_is_over():
                    with self._condition:
                        self._first_change = None
                    due = time.monotonic() + self._scan(cancelled)
                    continue
                with self._condition:
                    self._condition.wait(min(TICK_SECONDS, max(0.01, due - time.monotonic())))
        finally:
            self._watcher.stop()
        return self.totals

    def _burst_is_over(self) -> bool:
        with self._condition:
            if self._first_change is None:
                return False
            now = time.monotonic()
            quiet = max(DEBOUNCE_SECONDS, min(self._scan_took, DEBOUNCE_MAX_SECONDS))
            return (
                now - self._last_change >= quiet
                or now - self._first_change >= DEBOUNCE_MAX_SECONDS + quiet
            )

    def _scan(self, cancelled: Callable[[], bool]) -> float:
        """Record what differs; seconds until the next scan if nothing is announced before."""
        begun = time.monotonic()
        try:
            if not os.path.isdir(self._real):
                raise errors.UsageError(
                    f"{errors.printable(self._folder)} is not there; waiting until it is back"
                )
            done = self._volume.add(
                [self._folder],
                to=self._to,
                delete=True,
                exclude=self._exclude,
                emit=self._emit,
                cancelled=cancelled,
            )
        except errors.MassChange as error:
            return self._wait(
                f"{error.message} (run `globofs add --delete --yes` to record it; "
                "watching goes on when the files are back)"
            )
        except errors.Interrupted:
            return 0.0
        except errors.GlobofsError as error:
            return self._wait(error.message)
        except OSError as error:
            return self._wait(errors.from_os_error(error).message)
        self._scan_took = time.monotonic() - begun
        self._resume()
        self._count(done)
        if done.versions:
            return RECHECK_SECONDS
        if self._watcher.notified:
            return self._rescan
        return max(self._poll, self._scan_took * SCAN_SHARE)

    def _count(self, done: AddResult) -> None:
        before = self.totals
        self.totals = WatchTotals(
            scans=before.scans + 1,
            operations=before.operations + (done.versions > 0),
            added=before.added + done.added,
            changed=before.changed + done.changed,
            deleted=before.deleted + done.deleted,
        )
        if done.versions:
            what = [
                f"{count} {word}"
                for count, word in (
                    (done.added, "added"),
                    (done.changed, "changed"),
                    (done.deleted, "deleted"),
                )
                if count
            ]
            self._emit(Note(f"{errors.printable(self._folder)}: {', '.join(what)}"))

    def _wait(self, why: str) -> float:
        """Nothing can be recorded at present: say why, once."""
        self.waiting = why
        self._say(why, warning=True)
        return RETRY_SECONDS

    def _resume(self) -> None:
        if self.waiting:
            self.waiting = self._said = ""
            self._emit(Note(f"watching {errors.printable(self._folder)} again"))

    def _say(self, text: str, *, warning: bool = False) -> None:
        if text != self._said:
            self._said = text
            self._emit(Note(text, warning=warning))
