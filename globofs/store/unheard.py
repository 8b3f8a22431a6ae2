"""Staged files of which the index has not heard: their writer was killed, or is not so far yet."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from globofs.store import staged

if TYPE_CHECKING:
    from globofs.store.block_files import BlockFiles


def learn(store: BlockFiles) -> None:
    """Tell the index of those that are not exploded yet: before records are applied."""
    store.flush()
    for file in staged.pending(store.staged):
        learn_of(store, file)


def learn_of(store: BlockFiles, file: staged.StagedFile) -> None:
    """Tell the index of one of them, unless it knows of its first block, and so of all."""
    path = os.path.join(store.staged, file.name)
    with suppress(FileNotFoundError):  # exploded meanwhile, by somebody who told
        first = staged.first(path)
        at = store.index.staged_find(first.id) if first is not None else None
        if first is not None and (at is None or at.file != file.base):
            blocks = list(staged.scan(path))
            store.index.mark_staged(file.base, blocks)
            store.uses.note([block.id for block in blocks])
