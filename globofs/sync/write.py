"""Record what was changed through a mount: contents made of kept blocks and new bytes.

One call is one operation (FORMAT.md, section 5): blocks first, durable, then the records.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from globofs.format.chunking import Chunker, iter_chunks
from globofs.format.codec import compress
from globofs.limits import BATCH_RECORDS
from globofs.store import versions
from globofs.store.batch import BlockBatch
from globofs.store.commit import Committed, Draft
from globofs.store.node import Node
from globofs.store.portions import chunks
from globofs.store.scratch import Span
from globofs.store.views import Block, Kind

ReadAt = Callable[[int, int], bytes]
"""Bytes of the changed content: (size, offset) -> up to `size` bytes."""


@dataclass(frozen=True, slots=True)
class Change:
    """The state a path is to have. `parents` None: whatever is current when it is recorded."""

    path: bytes
    kind: Kind
    mode: int = 0
    mtime: int = 0
    target: bytes = b""
    pieces: Sequence[Block | Span] = ()
    read: ReadAt | None = None
    base: bytes = b""  # id of the version whose content it has, where `pieces` does not say
    parents: tuple[bytes, ...] | None = None
    from_path: bytes | None = None
    from_id: bytes | None = None
    always: bool = False  # record it even if only times changed


def write(
    node: Node, changes: Sequence[Change], *, verb: str, args: Sequence[str] = ()
) -> list[Committed]:
    """Record `changes` in their order, as one operation.

    Raises DiskError or OSError (a full disk, for instance) before anything is recorded of the
    batch it concerns; what a change's `read` raises passes through.
    """
    node.writable()
    done: list[Committed] = []
    with node.operation(verb, args) as operation, node.blocks.batch() as batch:
        drafts = (_draft(node, batch, change) for change in changes)
        for some in chunks(drafts, BATCH_RECORDS):
            batch.seal()
            done += operation.commit(some)
    return done


def _draft(node: Node, batch: BlockBatch, change: Change) -> Draft:
    blocks: list[Block] = []
    if change.base and change.kind == "file":
        blocks = versions.blocks_by_id(node.index, change.base)
    for piece in change.pieces:
        if isinstance(piece, Span):
            blocks += _store(node, batch, change, piece)
        else:
            blocks.append(piece)
    return Draft(
        path=change.path,
        kind=change.kind,
        size=sum(block.size for block in blocks),
        mode=change.mode,
        mtime=change.mtime,
        target=change.target,
        blocks=tuple(blocks),
        parents=change.parents,
        from_path=change.from_path,
        from_id=change.from_id,
        if_changed=not change.always,
    )


def _store(node: Node, batch: BlockBatch, change: Change, span: Span) -> list[Block]:
    """Cut, name, compress and stage the bytes of one span."""
    config = node.config
    chunker = Chunker(config.chunking, config.blocksize)
    position, end = span.offset, span.offset + span.length

    def read_into(view: memoryview) -> int:
        nonlocal position
        assert change.read is not None
        data = change.read(min(len(view), end - position), position)
        view[: len(data)] = data
        position += len(data)
        return len(data)

    blocks: list[Block] = []
    for data in iter_chunks(read_into, chunker, span.length):
        block = hashlib.sha256(data).digest()
        if not batch.held([block]):
            stored, suffix = compress(data, config.compression, config.level)
            batch.add(block, len(data), stored, suffix)
        blocks.append(Block(block, len(data)))
    return blocks
