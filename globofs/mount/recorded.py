"""What the volume has recorded, as a mount asks for it: again and again, of the same few paths."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from globofs.store.views import Entry
    from globofs.volume import Volume

_ENTRIES = 50_000  # half a kilobyte each
_LOOK_EVERY = 0.05
"""Seconds between looks whether another process changed the tree."""


class Recorded:
    """The current tree, remembered until it changes. Any thread may call it."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        # With every change another one: who asked before it leaves what he was told in the old one.
        self._cache: dict[bytes, Entry | None] = {}
        self._mark: object = None
        self._looked = 0.0

    def entry(self, path: bytes) -> Entry | None:
        """What is recorded at `path`, if anything lives there."""
        cache = self._look()
        try:
            return cache[path]
        except KeyError:
            pass
        found = self._volume.view().entry(path)
        if found is not None and found.kind == "deleted":
            found = None
        if len(cache) >= _ENTRIES:
            cache.clear()
        cache[path] = found
        return found

    def children(self, path: bytes) -> Iterator[Entry]:
        """What is recorded in a directory."""
        cache = self._look()
        for entry in self._volume.view().children(path):
            if len(cache) < _ENTRIES:
                cache[entry.path] = entry
            yield entry

    def _look(self) -> dict[bytes, Entry | None]:
        now = time.monotonic()
        if now - self._looked >= _LOOK_EVERY:
            self._looked = now
            mark = self._volume.node.index.change_mark()
            if mark != self._mark:
                self._mark = mark
                self._cache = {}
        return self._cache

    def forget(self) -> None:
        """Look afresh: this process has just recorded something."""
        self._looked = 0.0
        self._cache = {}
