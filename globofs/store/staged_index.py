"""Staged files that are not in the index yet: their writer was killed, or is not so far."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from globofs.store import staged

if TYPE_CHECKING:
    from globofs.store.block_files import BlockFiles


def index_pending(store: BlockFiles) -> None:
    """Enter into the index the blocks of all staged files that are not exploded yet: done before
    records that may name them are applied. Raises OSError."""
    store.flush()
    for file in staged.pending(store.staged):
        index_staged(store, file)


def index_staged(store: BlockFiles, file: staged.StagedFile) -> None:
    """Enter the blocks of one staged file, unless its first is there, and so all are."""
    path = os.path.join(store.staged, file.name)
    with suppress(FileNotFoundError):  # exploded meanwhile, by somebody who told
        first = staged.first(path)
        at = store.index.staged_find(first.id) if first is not None else None
        if first is not None and (at is None or at.file != file.base):
            blocks = list(staged.scan(path))
            store.index.mark_staged(file.base, blocks)
            store.uses.note([block.id for block in blocks])
