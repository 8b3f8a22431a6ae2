"""`root/`: the tree of manifests that a person can walk with nothing but `ls` and `cat`.

A view made from applied records, never read by the engine. Built by whoever finishes a command,
under the lock `tree`, from a cursor of its own: the highest row of `version` that stands there.
A `syncfs` makes what was built durable now and then; after a reboot building starts again from
there, and building anything twice changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from globofs import limits
from globofs.events import Emit, ignore
from globofs.store import fsio
from globofs.store.clock import boot_id
from globofs.store.tree_files import Builder, Row
from globofs.store.versions import NO_TEXTS, VersionText

if TYPE_CHECKING:
    from globofs.store.parts import NodeParts

BATCH: Final = 1000
SETTLE_ROWS: Final = 1000
SETTLE_NS: Final = 30 * limits.SECOND_NS

_SELECT: Final = (
    "SELECT v.row, v.id, p.path, v.time, p.shown, v.origin, v.seq, v.blocks,"
    " (SELECT w.row FROM version w WHERE w.id = substr(v.parents, 1, 32) AND w.path = v.path"
    " AND w.row < v.row AND w.pending = 0)"
    " FROM version v JOIN path p ON p.no = v.path WHERE v.pending = 0 AND "
)


def build_tree(
    node: NodeParts,
    texts: Mapping[bytes, VersionText] = NO_TEXTS,
    *,
    everything: bool = False,
    emit: Emit = ignore,
) -> int:
    """Bring `root/` up to the index; the number of versions looked at.

    `texts` are those that the caller knows, by their versions' ids.

    `everything`: compare all of it, not only what came since the last time. OSErrors of the disk
    pass through, except for names that it refuses: those are announced and left out.
    """
    if node.readonly:
        return 0
    index = node.index
    if not everything and not is_behind(node):
        return 0
    with node.locks.tree.exclusive():
        start = 0 if everything else _start(node)
        positions = index.rows("SELECT origin, received FROM seen")
        skip: dict[str, int] = {} if everything or _is_bare(node) else _built(node)
        builder = Builder(node, texts, emit, everything=everything)
        count = 0
        for rows in _pending(node, start):
            # Rows are numbered anew with the index; what stood before it was lost stands now.
            new = [r for r in rows if start or everything or r.seq > skip.get(r.origin, 0)]
            builder.build(new)
            count += len(new)
            index.set_meta("tree_row", rows[-1].row)
        count += _again(node, builder)
        builder.end()
        sql = (
            "INSERT INTO built(origin, seq, done) VALUES(?, 0, ?)"
            " ON CONFLICT(origin) DO UPDATE SET done = excluded.done"
        )
        index.write(lambda db: db.executemany(sql, positions))
        _settle_if_due(node, count)
    return count


def _built(node: NodeParts) -> dict[str, int]:
    """Up to where each journal stood in `root/` for certain, also before the index was lost."""
    return dict(node.index.rows("SELECT origin, seq FROM built"))


def _is_bare(node: NodeParts) -> bool:
    """Whether somebody emptied `root/`: then nothing of what was built still stands."""
    try:
        with os.scandir(node.root()) as entries:
            return next(entries, None) is None
    except FileNotFoundError:
        return True


def is_behind(node: NodeParts) -> bool:
    """Whether there is anything to build in `root/`: two look-ups when there is not."""
    index = node.index
    if index.meta("tree_boot") != boot_id() or index.meta("tree_row") is None:
        return True
    newest = index.one("SELECT max(row) FROM version")[0] or 0
    if newest > (index.meta("tree_row") or 0):
        return True
    return index.one("SELECT 1 FROM again LIMIT 1") is not None


def _start(node: NodeParts) -> int:
    """The row behind which building starts."""
    index = node.index
    row = index.meta("tree_row")
    if row is None:
        row = 0
    elif index.meta("tree_boot") != boot_id():
        row = index.meta("tree_row_synced") or 0
    # In this order: a reader of the second must not meet the row of another boot.
    index.set_meta("tree_row", row)
    index.set_meta("tree_boot", boot_id())
    return int(row)


def _pending(node: NodeParts, start: int) -> Iterator[list[Row]]:
    while True:
        sql = f"{_SELECT} v.row > ? ORDER BY v.row LIMIT ?"
        rows = [Row(*row) for row in node.index.rows(sql, (start, BATCH))]
        if not rows:
            return
        yield rows
        start = rows[-1].row


def _again(node: NodeParts, builder: Builder) -> int:
    """Versions whose large manifest came after their record."""
    rows = [Row(*row) for row in node.index.rows(f"{_SELECT} v.row IN (SELECT row FROM again)")]
    builder.build(rows)
    if rows:
        done = [(row.row,) for row in rows]
        node.index.write(lambda db: db.executemany("DELETE FROM again WHERE row = ?", done))
    return len(rows)


def _settle_if_due(node: NodeParts, count: int) -> None:
    settled = int(node.index.meta("tree_settled") or 0)
    now = node.clock.now_ns()
    if count >= SETTLE_ROWS or not 0 <= now - settled < SETTLE_NS:
        settle_tree(node)


def settle_tree(node: NodeParts) -> None:
    """Make what was built durable, so that it need not be built again after a power loss."""
    index = node.index
    with node.locks.tree.exclusive():
        row = index.meta("tree_row") or 0
        done = index.rows("SELECT done, origin FROM built")
        fsio.syncfs(node.root())
        sql = "UPDATE built SET seq = ? WHERE origin = ?"
        index.write(lambda db: db.executemany(sql, done))
        index.set_meta("tree_row_synced", row)
        index.set_meta("tree_settled", node.clock.now_ns())
