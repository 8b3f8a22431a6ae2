"""Staged files that this process sealed and has not entered into the index yet.

A long `add` tells the index of its small blocks with its records (`unapplied`), not before it
reports them as safe: nobody asks for a block before a version names it. Should the process be
killed until then, the staged files say what it stored: who reads its records looks there
(`staged_index`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from globofs import limits

if TYPE_CHECKING:
    from globofs.store.index_blocks import BlockTable
    from globofs.store.staged import StagedBlock


class Sealed(NamedTuple):
    """A complete staged file: its base name and its blocks."""

    base: str
    blocks: Sequence[StagedBlock]


class Unindexed:
    """What this process has sealed and not told. Every method may be called from any thread."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._guard = threading.Lock()
        self._sealed: list[Sealed] = []
        self._ids: set[bytes] = set()

    def take(self, files: Iterable[Sealed]) -> bool:
        """Remember them; True when it is time to tell, lest it takes too much memory."""
        with self._guard:
            for sealed in files:
                self._sealed.append(sealed)
                self._ids.update([block.id for block in sealed.blocks])
            return len(self._ids) >= limits.UNAPPLIED_RECORDS

    def those(self, blocks: Iterable[bytes]) -> set[bytes]:
        """Those of `blocks` that are among them."""
        with self._guard:
            return self._ids.intersection(blocks) if self._ids else set()

    def tell(self, index: BlockTable) -> Sequence[bytes]:
        """Tell the index of all; the ids of the blocks. They are known here until it knows them."""
        with self._guard:
            telling = list(self._sealed)
        for sealed in telling:
            index.mark_staged(sealed.base, sealed.blocks)
        told = [block.id for sealed in telling for block in sealed.blocks]
        with self._guard:
            # Another thread may have told the same, and forgotten it already.
            self._sealed = [one for one in self._sealed if all(one is not t for t in telling)]
            self._ids = {block.id for sealed in self._sealed for block in sealed.blocks}
        return told
