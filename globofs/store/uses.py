"""When blocks were used last: gathered in memory, told to the index in portions.

Only a node that lets go of what it has not used for long counts this (`cachetime`); access times
of the file system will not do, as most are mounted without them and every check reads every file.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from globofs.store.clock import Clock

if TYPE_CHECKING:
    from globofs.store.index_blocks import BlockTable

TELL_BLOCKS: Final = 10_000
TELL_SECONDS: Final = 30.0


class Uses:
    """What one process has used. Every method may be called from any thread."""

    def __init__(self, index: BlockTable, clock: Clock) -> None:
        """Nothing is gathered until `counts` says that somebody wants to know."""
        self._index = index
        self._clock = clock
        self.counts = False
        self._guard = threading.Lock()
        self._used: dict[bytes, int] = {}
        self._told = clock.monotonic()

    def note(self, blocks: Iterable[bytes]) -> None:
        """These came or were read just now. The index hears of it with a later use, or `tell`."""
        if not self.counts:
            return
        with self._guard:
            self._used.update(dict.fromkeys(blocks, self._clock.now_ns()))
            waited = self._clock.monotonic() - self._told
            due = len(self._used) >= TELL_BLOCKS or waited >= TELL_SECONDS
        if due:
            self.tell()

    def tell(self) -> None:
        """Tell the index what it has not heard yet."""
        with self._guard:
            used, self._used = self._used, {}
            self._told = self._clock.monotonic()
        if used:
            self._index.touch(used)
