"""Staged files of which the index has not heard: their writer was killed, or is not so far yet."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from globofs.store import staged
from globofs.store.untold import Sealed

if TYPE_CHECKING:
    from globofs.store.block_files import BlockFiles


def learn(store: BlockFiles) -> None:
    """Tell the index of them, as far as they were not exploded yet: before records are applied."""
    from globofs.store.explode import pending  # slow to load, and seldom needed

    store.flush()
    for file in pending(store.staged):
        path = os.path.join(store.staged, file.name)
        with suppress(FileNotFoundError):  # exploded meanwhile, so it stands in `hashes/`
            first = next(staged.scan(path), None)
            at = store.index.staged_find(first.id) if first is not None else None
            if first is None or (at is not None and at.file == file.base):
                continue
            found = list(staged.scan(path))
            rows = [(b.id, b.offset, b.length, b.suffix) for b in found]
            Sealed([(file.base, rows)], [(b.id, b.size) for b in found]).tell(store.index)
