"""What a mount has to say while it serves: to whoever started it, and to a file for later.

In the background nobody hears a mount, so all of it goes to `run/mount.log` as well, a line each:
when, where it is mounted, what is the matter. FORMAT.md, section 1.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from globofs.events import Note, Problem
from globofs.speech import safe
from globofs.store import fsio

if TYPE_CHECKING:
    from globofs.events import Emit, Event
    from globofs.snapshots import Snapshot
    from globofs.store.node import Node

_LOG_BYTES = 1 << 20
_AGAIN_SECONDS = 60.0
_REMEMBERED = 1000


class Messages:
    """An `Emit` for any thread. The same sentence is said once a minute at most."""

    def __init__(self, node: Node, place: str, emit: Emit) -> None:
        """Of the mount at `place`; `emit` hears everything, too."""
        self._path = "" if node.readonly else log_path(node)
        self._place = place
        self._emit = emit
        self._lock = threading.Lock()
        self._said: dict[str, float] = {}
        self._noted: Note | None = None

    def __call__(self, event: Event) -> None:
        """Say a note or a problem; other events are no news."""
        if not isinstance(event, (Note, Problem)):
            return
        text = told(event)
        with self._lock:
            now = time.monotonic()
            if now - self._said.get(text, -_AGAIN_SECONDS) < _AGAIN_SECONDS:
                return
            if len(self._said) >= _REMEMBERED:
                self._said.clear()
            self._said[text] = now
            self._write(text)
        self._emit(event)

    def warn(self, text: str) -> None:
        """Something could not be done."""
        self(Note(text, warning=True))

    def follow(self, snapshot: Snapshot) -> None:
        """Say what the engine noted since the last time. Called from the engine's thread."""
        for note in snapshot.news(self._noted):
            self(note)
        self._noted = snapshot.notes[-1] if snapshot.notes else None

    def _write(self, text: str) -> None:
        if not self._path:
            return
        when = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        line = f"{when} {safe(self._place)}: {text}\n"
        with suppress(OSError):  # a full disk: whoever started it still hears it
            if os.path.exists(self._path) and os.path.getsize(self._path) > _LOG_BYTES:
                fsio.rename(self._path, f"{self._path}.old")
            fsio.append(self._path, line.encode("utf-8", "replace"), durable=False)


def told(event: Note | Problem) -> str:
    """The sentence of an event, without line feeds or control characters."""
    if isinstance(event, Problem):
        return safe(f"{os.fsdecode(event.path)}: {event.reason}" if event.path else event.reason)
    return safe(f"{event.peer}: {event.text}" if event.peer else event.text)


def log_path(node: Node) -> str:
    """Where the mounts of a node write what they have to say."""
    return os.path.join(node.run(), "mount.log")
