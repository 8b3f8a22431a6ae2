"""One file on disk into blocks and a draft: for verbs that take a single file."""

from __future__ import annotations

import os
import stat
from hashlib import sha256

from globofs.errors import UsageError, from_os_error
from globofs.format.chunking import Chunker, iter_chunks
from globofs.format.codec import compress
from globofs.store import fsio
from globofs.store.batch import BlockBatch
from globofs.store.commit import Draft
from globofs.store.node import Node
from globofs.store.views import Block


def store_file(
    node: Node, batch: BlockBatch, path: bytes, disk: str, parents: tuple[bytes, ...] | None
) -> Draft:
    """A draft of `path` with the content of the file `disk`, whose blocks are in `batch`.

    The caller seals the batch before it commits the draft. Raises DiskError, UsageError.
    """
    config = node.config
    chunker = Chunker(config.chunking, config.blocksize)
    blocks: list[Block] = []
    try:
        fd = fsio.open_regular(os.path.realpath(disk))
    except OSError as error:
        raise from_os_error(error, disk) from error
    try:
        for data in iter_chunks(lambda view: os.readv(fd, [view]), chunker):
            block = Block(sha256(data).digest(), len(data))
            if block.id not in batch.held((block.id,)):
                encoded, suffix = compress(data, config.compression, config.level)
                batch.add(block.id, block.size, encoded, suffix)
            blocks.append(block)
        info = os.fstat(fd)
    except OSError as error:
        raise from_os_error(error, disk) from error
    finally:
        os.close(fd)
    size = sum(block.size for block in blocks)
    if info.st_size != size:
        raise UsageError(f"{disk}: changed while it was read; try again")
    return Draft(
        path=path,
        kind="file",
        size=size,
        mode=stat.S_IMODE(info.st_mode),
        mtime=info.st_mtime_ns,
        blocks=tuple(blocks),
        parents=parents,
    )
