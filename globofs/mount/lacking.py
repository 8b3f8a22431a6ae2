"""What a node that may be there twice must not record: versions of data that is not here.

Nobody keeps that data for it (FORMAT.md, section 5, At home). It is refused to whoever asks for it,
before anything has changed: what waited to be recorded would hold up everything behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from globofs.store.scratch import Span
from globofs.store.versions import blocks_by_id

if TYPE_CHECKING:
    from globofs.mount.inode import Inode
    from globofs.volume import Volume


def cannot_be_recorded(volume: Volume, inode: Inode) -> bool:
    """Whether a version of what a file has now would need data that is not here, and may not."""
    node = volume.node
    if node.at_home() or not inode.base or inode.kind != "file":
        return False
    if inode.scratch is None:
        blocks = blocks_by_id(node.index, inode.base)
    else:
        blocks = [piece for piece in inode.scratch.pieces() if not isinstance(piece, Span)]
    return not all(node.blocks.has(block.id) for block in blocks)
