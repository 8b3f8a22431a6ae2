"""Blocks that a peer wrote into our `hashes/` before it pushed their records (its `send=yes`).

Nobody tells us of them, so whoever applies new versions looks whether their blocks are there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from globofs.store.apply_pending import complete_pending
from globofs.store.versions import blocks_of_many

if TYPE_CHECKING:
    from globofs.store.parts import NodeParts

_ROWS: Final = 500


def is_behind(node: NodeParts) -> bool:
    """Whether there are versions whose blocks nobody has looked for, here or by another client."""
    seen, newest = _marks(node)
    return seen != newest


def _marks(node: NodeParts) -> tuple[int, int]:
    newest = int(node.index.one("SELECT coalesce(max(row), 0) FROM version")[0])
    return int(node.index.meta("given_row") or 0), newest


def take_sent(node: NodeParts) -> int:
    """Look once at the blocks of each version that is new to the index; how many were there."""
    index = node.index
    seen, newest = _marks(node)
    if node.readonly or newest == seen:
        return 0
    count = _take_manifests(node, seen)
    while seen < newest:
        sql = (
            "SELECT row FROM version WHERE row > ? AND row <= ? AND missing > 0 AND pending = 0"
            " ORDER BY row LIMIT ?"
        )
        rows = [row for (row,) in index.rows(sql, (seen, newest, _ROWS))]
        asked = {block for blocks in blocks_of_many(index, rows).values() for block in blocks}
        held = index.held([block.id for block in asked])
        left = {block.id: block.size for block in asked if block.id not in held}
        there = [(block, left[block]) for block in node.blocks.standing(left)]
        if there:
            index.mark_held(there)
            node.blocks.uses.note([block for block, _ in there])
        count += len(there)
        seen = rows[-1] if len(rows) == _ROWS else newest
    index.set_meta("given_row", newest)
    return count


def _take_manifests(node: NodeParts, seen: int) -> int:
    """Manifests too large for their records are blocks; the blocks they list come after them."""
    sql = "SELECT id FROM version WHERE row > ? AND pending = 1"
    asked = [version for (version,) in node.index.rows(sql, (seen,))]
    there = [version for version in asked if node.blocks.find(version) is not None]
    if there:
        node.index.mark_held(there)
        complete_pending(node.index)
    return len(there)
