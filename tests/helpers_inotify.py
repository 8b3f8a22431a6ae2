"""The kernel's queue of change notifications, made short for a test, and a look whether it ran over."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIMIT = Path("/proc/sys/fs/inotify/max_queued_events")
IN_CREATE, IN_DELETE, IN_Q_OVERFLOW = 0x100, 0x200, 0x4000


@contextmanager
def short_queue(events: int) -> Iterator[int]:
    """While it lasts, new watchers have a queue of so many events; what the limit is then. Who
    may not change that gets what is there: a burst must be larger."""
    before = LIMIT.read_text()
    try:
        LIMIT.write_text(str(events))
    except OSError:
        yield int(before)
        return
    try:
        yield events
    finally:
        LIMIT.write_text(before)


class Queue:
    """A watch on one directory that nobody reads until the end: it fills as that of a process
    that was stopped."""

    def __init__(self, directory: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self._fd >= 0
        assert libc.inotify_add_watch(self._fd, os.fsencode(directory), IN_CREATE | IN_DELETE) >= 0

    def ran_over(self) -> bool:
        """Whether events were dropped. Ends the watch."""
        seen = 0
        try:
            while True:
                data = os.read(self._fd, 1 << 16)
                while data:
                    _, mask, _, length = struct.unpack_from("iIII", data)
                    seen |= mask
                    data = data[16 + length :]
        except BlockingIOError:
            return bool(seen & IN_Q_OVERFLOW)
        finally:
            os.close(self._fd)
