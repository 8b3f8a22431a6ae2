"""Which files that look changed really hold something else: read, and nothing stored."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256

from globofs.events import Cancelled
from globofs.format.chunking import Chunker, iter_chunks
from globofs.store import fsio
from globofs.store.node import Node
from globofs.store.versions import blocks_of, by_ids
from globofs.store.views import Version
from globofs.sync._scan import Item
from globofs.sync._sources import Memory


def overwritten(
    node: Node, memory: Memory, items: Sequence[Item], enough: int, cancelled: Cancelled
) -> int:
    """How many of `items` hold another content than the version their source last had.

    Counting ends above `enough`. Another size is enough to know; only files of equal size are
    read. What cannot be read is not counted.
    """
    bases = memory.bases([item.path for item in items])
    versions = by_ids(node.index, bases.values())
    chunker = Chunker(node.config.chunking, node.config.blocksize)
    count = 0
    for item in items:
        version = versions.get(bases.get(item.path, b""))
        if version is None:
            continue
        if item.stat.st_size != version.size or not _equal(node, chunker, item, version):
            count += 1
        if count > enough or cancelled():
            break
    return count


def _equal(node: Node, chunker: Chunker, item: Item, version: Version) -> bool:
    expected = [block.id for block, _ in blocks_of(node.index, version.row)]
    try:
        fd = fsio.open_regular(item.disk)
    except OSError:
        return True
    try:
        pieces = iter_chunks(lambda view: os.readv(fd, [view]), chunker, item.stat.st_size)
        return [sha256(piece).digest() for piece in pieces] == expected
    except OSError:
        return True
    finally:
        os.close(fd)
