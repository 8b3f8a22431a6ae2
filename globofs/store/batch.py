"""The blocks of one commit: written once, durable together, before any record names them.

Small ones go into one sequential staged file, large ones into temporary files whose writing to
disk begins at once. `seal` is the barrier: when it returns, every block added, and every one that
was skipped because it was here already, survives a power loss.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from globofs import limits
from globofs.store import fsio
from globofs.store.staged import StagedWriter
from globofs.store.unindexed import Sealed

if TYPE_CHECKING:
    from globofs.store.block_files import BlockFiles

_FEW = 4
"""Up to so many large blocks are synced one by one: `syncfs` would wait for everybody's data."""


def _nothing() -> None:
    """What a closed batch lets go of."""


class _Large(NamedTuple):
    block: bytes
    size: int
    temporary: str
    final: str


class BlockBatch:
    """Blocks on their way in. `add` and `held` from any thread, the rest from one at a time.

    with store.batch() as batch:
        new = [block for block in ids if block not in batch.held(ids)]
        batch.add(...)
        batch.seal()
        ...append the records...
    explode(store)
    """

    def __init__(self, store: BlockFiles, *, late: bool = False) -> None:
        """Takes its share of `locks.adders`, so that nothing is evicted that it relies on.

        With `late` the index hears of staged blocks when the store is flushed: before the records
        that name them are applied, which is the caller's business.
        """
        self.store = store
        self._late = late
        self._let_go = store.locks.adders.hold_shared()
        self._guard = threading.Lock()
        self._staged: StagedWriter | None = None
        self._full: list[StagedWriter] = []
        self._large: list[_Large] = []
        self._seen: set[bytes] = set()
        self._skipped: set[bytes] = set()
        self.bytes = 0
        """Stored bytes added since the last `seal`."""

    def held(self, blocks: Sequence[bytes]) -> set[bytes]:
        """Those of `blocks` that need not be added: here already, or added to this batch.

        `seal` makes sure that they are durable, too.
        """
        with self._guard:
            found = {block for block in blocks if block in self._seen or block in self._skipped}
        found |= self.store.unindexed.those(blocks)  # durable for sure
        left = [block for block in blocks if block not in found]
        if left:
            here = self.store.holding(left)
            found |= here
            with self._guard:
                self._skipped |= here
        return found

    def add(self, block: bytes, size: int, stored: bytes, suffix: str) -> bool:
        """Take a block of `size` plain bytes, encoded as `stored`; False if it was added before.

        Durable after `seal`. Any `OSError` leaves the batch as it was.
        """
        if len(stored) < limits.STAGE_BELOW_BYTES:
            with self._guard:
                if block in self._seen:
                    return False
                staged = self._staged
                if staged is None or staged.size >= limits.STAGE_FILE_BYTES:
                    staged = self._next_staged()
                staged.add(block, size, stored, suffix)
                self._seen.add(block)
                self.bytes += len(stored)
            return True
        with self._guard:
            if block in self._seen:
                return False
            self._seen.add(block)
        try:
            temporary = self._write_large(stored)
        except BaseException:
            with self._guard:
                self._seen.discard(block)
            raise
        with self._guard:
            final = self.store.path_of(block, suffix)
            self._large.append(_Large(block, size, temporary, final))
            self.bytes += len(stored)
        return True

    def _next_staged(self) -> StagedWriter:
        if self._staged is not None:
            self._full.append(self._staged)
            self._staged = None
        try:
            self._staged = StagedWriter(self.store.staged, self.store.clock)
        except FileNotFoundError:
            fsio.mkdir(self.store.staged)
            self._staged = StagedWriter(self.store.staged, self.store.clock)
        return self._staged

    def _write_large(self, stored: bytes) -> str:
        path = f"{self.store.tmp}/{fsio.temporary_name()}"
        try:
            writer = fsio.Writer(path)
        except FileNotFoundError:
            self.store.make_tmp()
            writer = fsio.Writer(path)
        try:
            writer.write(stored)
            writer.writeback()
            writer.close()
        except BaseException:
            writer.abandon()
            raise
        return path

    def seal(self) -> None:
        """Make everything durable under its name; the batch is empty and may go on after that.

        An `OSError` means that nothing of it may be relied on; `close` cleans up.
        """
        with self._guard:
            writers = [*self._full, *([self._staged] if self._staged else [])]
            for writer in writers:
                writer.seal()
            if writers:
                fsio.fsync_dir(self.store.staged)
            synced = self._seal_large()
            self._barrier(already=synced)
            self._tell_index(writers)
            self._staged = None
            self._full.clear()
            self._large.clear()
            self._seen.clear()
            self._skipped.clear()
            self.bytes = 0

    def _seal_large(self) -> bool:
        """Large blocks: content on disk, then names, then names on disk; whether by `syncfs`."""
        if not self._large:
            return False
        few = len(self._large) <= _FEW
        if few:
            for large in self._large:
                fsio.fdatasync_file(large.temporary)
        else:
            fsio.syncfs(self.store.hashes)
        for large in self._large:
            self.store.install(large.temporary, large.final)
        if not few:
            fsio.syncfs(self.store.hashes)
            return True
        directories: dict[str, None] = {}
        for large in self._large:
            second = os.path.dirname(large.final)
            directories[second] = directories[os.path.dirname(second)] = None
        for directory in directories:
            fsio.fsync_dir(directory)
        fsio.fsync_dir(self.store.hashes)
        return False

    def _barrier(self, *, already: bool) -> None:
        """What was skipped as held must be durable, too, before records rely on it."""
        if not self._skipped:
            return
        index = self.store.index
        unsure = self._skipped - index.synced(self._skipped)
        if unsure:
            self.store.flush()
            if not already:
                fsio.syncfs(self.store.hashes)
            index.mark_synced(unsure)

    def _tell_index(self, writers: list[StagedWriter]) -> None:
        large = [(large.block, large.size) for large in self._large]
        if large:  # few, and nothing but the index tells whoever comes next of them
            self.store.index.mark_held(large, synced=True)
            self.store.uses.note([block for block, _ in large])
        if writers:
            enough = self.store.unindexed.take(Sealed(one.base, one.blocks) for one in writers)
            if enough or not self._late:
                self.store.flush()

    def close(self) -> None:
        """Delete what was not sealed, let go of the lock. May be called twice."""
        with self._guard:
            for writer in [*self._full, *([self._staged] if self._staged else [])]:
                writer.abandon()
            for large in self._large:
                fsio.remove(large.temporary)
            self._staged = None
            self._full.clear()
            self._large.clear()
        # Once only: the descriptor's number may be another lock's by the next time.
        let_go, self._let_go = self._let_go, _nothing
        let_go()

    def __enter__(self) -> BlockBatch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()
