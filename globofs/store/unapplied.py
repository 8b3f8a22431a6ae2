"""Records of ours that stand in the journal already, and in the index not yet.

They are safe: the journal is the truth, and should this process be killed, whoever comes next
reads them from there. Until then nobody need wait for the index: what is applied here in one go
is also marked as read, so that it is not read again.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

from globofs import limits
from globofs.events import Emit
from globofs.store import fsio
from globofs.store.apply import apply_items
from globofs.store.apply_records import Item, load_seen
from globofs.store.cursors import PRINT_BYTES, Cursor, advance
from globofs.store.journal import Written
from globofs.store.journal_tail import Last
from globofs.store.versions import VersionText

if TYPE_CHECKING:
    from globofs.store.index import Index


class Unapplied:
    """What one operation has appended and not applied. Used by one thread."""

    def __init__(self, index: Index, updates: str, origin: str, emit: Emit) -> None:
        """Of the journal of `origin`, in the directory `updates`."""
        self._index = index
        self._updates = updates
        self._origin = origin
        self._directory = os.path.join(origin, "updates")
        self._emit = emit
        self._items: list[Item] = []
        self._written: dict[int, Written] = {}
        self._last: Last | None = None
        self._bytes = 0
        self.texts: dict[bytes, VersionText] = {}
        """What was applied last, by version: who builds `root/` need not ask the index for it."""
        self.paths: set[bytes] = set()
        """The paths that have a version among them."""

    @property
    def some(self) -> bool:
        """Whether there are any."""
        return bool(self._items)

    @property
    def enough(self) -> bool:
        """Whether more of them would take too much memory."""
        return len(self._items) >= limits.UNAPPLIED_RECORDS or self._bytes >= limits.UNAPPLIED_BYTES

    def take(self, items: list[Item], written: Written) -> None:
        """Records that were appended just now, after all that were taken before."""
        self._items += items
        self._last = Last(items[-1].record.seq, items[-1].id)
        for item in items:
            if item.version is not None:
                self.paths.add(item.version.path)
                self._bytes += item.version.length
        before = self._written.get(written.inode)
        start = before.start if before else written.start
        self._written[written.inode] = written._replace(start=start)

    def ends_with(self, last: Last) -> bool:
        """Whether `last`, the journal's newest record, is the last of these."""
        return self._last == last

    def apply(self) -> None:
        """Bring them into the index."""
        items, self._items = self._items, []
        written, self._written = self._written, {}
        self._last = None
        self.paths.clear()
        self._bytes = 0
        if not items:
            return
        self.texts = {
            item.version.manifest: VersionText(
                item.version.text, [(b, True) for b in item.manifest.blocks]
            )
            for item in items
            if item.version is not None and item.manifest is not None and item.version.text
        }
        apply_items(self._index, items, emit=self._emit)
        for one in written.values():
            self._mark_read(one, items[-1].record.seq)

    def _mark_read(self, written: Written, last: int) -> None:
        try:
            fd = fsio.open_regular(os.path.join(self._updates, written.name))
        except FileNotFoundError:
            return  # closed by another client: read again under its name
        try:
            status = os.fstat(fd)
            begin = fsio.pread_all(fd, 0, PRINT_BYTES)
        finally:
            os.close(fd)
        if status.st_ino != written.inode:
            return
        # Who appended behind us did not see our time: it is looked at again.
        time = status.st_mtime_ns if status.st_size == written.end else 0
        made = Cursor(written.name, begin, written.end, written.end, time)

        def mark(db: sqlite3.Connection) -> None:
            # Unless the index was made anew since: that one has read nothing yet.
            if load_seen(db, self._origin).received >= last:
                advance(db, self._directory, made, written.start)

        self._index.write(mark)
