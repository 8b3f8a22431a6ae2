"""What was pulled is on the disk soon, however long the reading goes on or pauses.

Another node lets go of its copy when it has seen ours twice, a minute apart. Nobody waits for a
kernel that keeps what was written in memory for longer than that.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress

from globofs import limits
from globofs.errors import GlobofsError
from globofs.store.node import Node


class Settling:
    """Syncs what a process pulled, some seconds after the first of it. From any thread."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._running: threading.Thread | None = None

    def due(self) -> None:
        """A block was just put; there is a sync within `PULLED_SYNC_SECONDS` from now on."""
        if self._timer is None:
            with self._lock:
                if self._timer is None:
                    self._timer = threading.Timer(limits.PULLED_SYNC_SECONDS, self._settle)
                    self._timer.daemon = True
                    self._timer.start()

    def stop(self) -> None:
        """No sync begins any more, and none is under way."""
        with self._lock:
            timer, running = self._timer, self._running
            self._timer = None
        if timer is not None:
            timer.cancel()
        for thread in (timer, running):
            if thread is not None:
                thread.join()

    def _settle(self) -> None:
        with self._lock:
            if self._timer is not threading.current_thread():
                return  # stopped
            self._timer, self._running = None, self._timer
        # What fails here stays due: the fetch or the process that ends tries again, and tells.
        with suppress(OSError, sqlite3.Error, GlobofsError):
            if self.node.blocks.sync_due:
                self.node.blocks.sync_pending()
