"""The blocks of this node, and all that is done with them: one object for whoever needs blocks.

Files and reading are in `block_files`, new ones come through a `batch`, staged ones are put into
their places by `explode`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from globofs import limits
from globofs.store import fsio
from globofs.store.block_files import BlockAbsent, BlockFiles

if TYPE_CHECKING:
    from globofs.format.config import Compression
    from globofs.store.batch import BlockBatch

__all__ = ["BlockAbsent", "BlockStore"]
_METHODS: Final[dict[str, tuple[Compression, int]]] = {
    ".zst": ("zstd", limits.ZSTD_LEVEL_DEFAULT),
    ".gz": ("gzip", limits.GZIP_LEVEL_DEFAULT),
    "": ("none", 0),
}


class BlockStore(BlockFiles):
    """The blocks below one node's directory."""

    def sync_pending(self) -> None:
        """Make every block that is visible here durable, and exploded staged files droppable."""
        from globofs.store import explode

        self.flush()
        with self._guard:
            self._unsynced_puts = False
        blocks = self.index.unsynced()
        try:
            explode.settle(self, always=bool(blocks))
        except OSError:
            self._unsynced_puts = True
            raise
        if blocks:
            self.index.mark_synced(blocks)

    def keep_manifest(self, manifest: bytes, text: bytes) -> None:
        """Keep a manifest that is too large for its record as a block, durable on return."""
        from globofs.format import codec

        with self.batch() as batch:
            if manifest not in batch.held([manifest]):
                method, level = _METHODS[self._suffixes[0]]
                stored, suffix = codec.compress(text, method, level)
                batch.add(manifest, len(text), stored, suffix)
            batch.seal()

    def batch(self, *, late: bool = False) -> BlockBatch:
        """New blocks of one commit. Shares the lock `adders` until it is closed, by this thread.

        `late`: see `BlockBatch`; an operation that is `late` flushes before it applies.
        """
        from globofs.store.batch import BlockBatch

        return BlockBatch(self, late=late)

    def explode(self) -> int:
        """Put all staged blocks into `hashes/`, also what killed clients left; how many it were."""
        from globofs.store import explode

        return explode.explode(self)

    def remove(self, blocks: Sequence[bytes]) -> int:
        """Delete blocks from `hashes/`; returns the bytes that set free. Needs no space.

        Only under `locks.adders` held alone. Staged copies go first, or they would come back.
        """
        self.unstage(blocks)
        self.index.mark_missing(blocks)
        freed = 0
        for block in blocks:
            for suffix in self._suffixes:
                path = self.path_of(block, suffix)
                with suppress(FileNotFoundError):
                    used = os.lstat(path).st_blocks * 512
                    fsio.unlink(path)
                    freed += used
        return freed

    def unstage(self, blocks: Sequence[bytes]) -> None:
        """Drop staged files that hold copies of `blocks`, which are to be let go of: another
        boot would put them back into `hashes/`. What else they hold is made durable there."""
        from globofs.store import explode

        explode.drop(self, set(blocks))
