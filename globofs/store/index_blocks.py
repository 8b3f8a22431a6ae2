"""What the index knows of blocks: held or not, synced or not, where staged, when last used.

"Held" is a fact about the disk that the block store tells; the counts of missing blocks of
versions and directories follow from it here, in the same transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from globofs.store.portions import chunks, marks
from globofs.store.staged import StagedBlock
from globofs.store.totals import PathRows

T = TypeVar("T")
BATCH = 5000


class StagedAt(NamedTuple):
    """Where a staged block lies: a file below `staged/`, and the bytes in it."""

    file: str
    offset: int
    length: int
    suffix: str

    @property
    def end(self) -> int:
        """The offset behind its last byte."""
        return self.offset + self.length


class BlockTable:
    """The part of `Index` that speaks of blocks."""

    if TYPE_CHECKING:

        @property
        def db(self) -> sqlite3.Connection: ...
        def write(self, work: Callable[[sqlite3.Connection], T]) -> T: ...
        def drop_outdated(self) -> None: ...

    # --- held -------------------------------------------------------------------------------

    def is_held(self, block: bytes) -> bool:
        """Whether a block is on this node, as far as the index knows."""
        found = self.db.execute("SELECT held FROM block WHERE id = ?", (block,)).fetchone()
        return found is not None and bool(found[0])

    def held(self, blocks: Iterable[bytes]) -> set[bytes]:
        """Those of `blocks` that are on this node."""
        return self._those(blocks, "held = 1")

    def synced(self, blocks: Iterable[bytes]) -> set[bytes]:
        """Those of `blocks` that are on this node and known to be on the disk itself."""
        return self._those(blocks, "held = 1 AND synced = 1")

    def _those(self, blocks: Iterable[bytes], condition: str) -> set[bytes]:
        found: set[bytes] = set()
        for chunk in chunks(blocks):
            sql = f"SELECT id FROM block WHERE id IN ({marks(chunk)}) AND {condition}"
            found.update(row[0] for row in self.db.execute(sql, chunk))
        return found

    def mark_held(
        self, blocks: Iterable[tuple[bytes, int] | bytes], *, synced: bool = False
    ) -> None:
        """Blocks are on this node now: ids, or pairs of id and plain size (-1: not known).

        Versions that list them, the paths that show those, and the directories above are
        counted anew, in one transaction for every 5,000 blocks.
        """
        pairs = [(b, -1) if isinstance(b, bytes) else (b[0], b[1]) for b in blocks]
        for batch in chunks(pairs, BATCH):
            self.write(partial(_now_held, pairs=batch, synced=synced))

    def mark_missing(self, blocks: Iterable[bytes]) -> None:
        """Blocks are no longer on this node; the counts follow."""
        for batch in chunks(blocks, BATCH):
            self.write(partial(_now_missing, blocks=batch))
        self.drop_outdated()

    def mark_synced(self, blocks: Iterable[bytes] | None = None) -> None:
        """Held blocks (all of them by default) are known to be on the disk itself."""
        if blocks is None:
            everything = "UPDATE block SET synced = 1 WHERE held = 1 AND synced = 0"
            self.write(lambda db: db.execute(everything))
            return
        sql = "UPDATE block SET synced = 1 WHERE id = ? AND held = 1"
        rows = [(block,) for block in blocks]
        self.write(lambda db: db.executemany(sql, rows))

    def unsynced(self, limit: int = -1) -> list[bytes]:
        """Held blocks that are not known to be on the disk itself."""
        sql = "SELECT id FROM block WHERE held = 1 AND synced = 0 LIMIT ?"
        return [row[0] for row in self.db.execute(sql, (limit,))]

    def held_blocks(self) -> Iterator[bytes]:
        """Every block on this node, in no order, read in portions."""
        last = 0
        while True:
            sql = "SELECT no, id FROM block WHERE no > ? AND held = 1 ORDER BY no LIMIT 10000"
            rows = self.db.execute(sql, (last,)).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            for _, block in rows:
                yield block

    def block_size(self, block: bytes) -> int | None:
        """The plain size of a block, `None` when the index has not heard it."""
        found = self.db.execute("SELECT size FROM block WHERE id = ?", (block,)).fetchone()
        return None if found is None or found[0] < 0 else int(found[0])

    # --- last use ---------------------------------------------------------------------------

    def touch(self, used: Mapping[bytes, int]) -> None:
        """When blocks were used (nanoseconds): eviction goes by this, not by atime."""
        sql = "UPDATE block SET last_use = ?1 WHERE id = ?2 AND last_use < ?1"
        rows = [(when, block) for block, when in used.items()]
        self.write(lambda db: db.executemany(sql, rows))

    # --- staged -----------------------------------------------------------------------------

    def mark_staged(self, file: str, blocks: Sequence[StagedBlock]) -> None:
        """Blocks lie in a staged file, so they are held, and durable.

        From the last one on, each portion in one transaction: where the first block is known to lie
        there, all of them are, wherever a process was killed.
        """
        for portion in reversed(list(chunks(blocks, BATCH))):
            self.write(partial(_now_staged, file=file, blocks=portion))

    def staged_find(self, block: bytes) -> StagedAt | None:
        """Where a block lies in a staged file, if it does."""
        sql = "SELECT file, offset, length, suffix FROM staged WHERE id = ?"
        found = self.db.execute(sql, (block,)).fetchone()
        return None if found is None else StagedAt(*found)

    def staged_locate(self, blocks: Iterable[bytes]) -> dict[bytes, StagedAt]:
        """Where blocks lie in staged files, those that do."""
        found: dict[bytes, StagedAt] = {}
        for chunk in chunks(blocks):
            sql = (
                f"SELECT id, file, offset, length, suffix FROM staged WHERE id IN ({marks(chunk)})"
            )
            for block, *rest in self.db.execute(sql, chunk):
                found[block] = StagedAt(*rest)
        return found

    def staged_drop(self, file: str) -> None:
        """A staged file is gone."""
        self.write(lambda db: db.execute("DELETE FROM staged WHERE file = ?", (file,)))


def _now_staged(db: sqlite3.Connection, file: str, blocks: Sequence[StagedBlock]) -> None:
    sql = "INSERT OR REPLACE INTO staged(id, file, offset, length, suffix) VALUES(?, ?, ?, ?, ?)"
    db.executemany(sql, [(b.id, file, b.offset, b.length, b.suffix) for b in blocks])
    _now_held(db, [(b.id, b.size) for b in blocks], synced=True)


def _now_held(db: sqlite3.Connection, pairs: Sequence[tuple[bytes, int]], synced: bool) -> None:
    _recount(db, _set_held(db, pairs, synced), -1)


def _now_missing(db: sqlite3.Connection, blocks: Sequence[bytes]) -> None:
    changed: list[int] = []
    for chunk in chunks(blocks):
        sql = f"SELECT no FROM block WHERE id IN ({marks(chunk)}) AND held = 1"
        changed += [row[0] for row in db.execute(sql, chunk)]
    db.executemany("UPDATE block SET held = 0, synced = 0 WHERE no = ?", [(n,) for n in changed])
    _recount(db, changed, 1)


def _set_held(
    db: sqlite3.Connection, pairs: Sequence[tuple[bytes, int]], synced: bool
) -> list[int]:
    """Mark blocks held; the numbers of those that were known and were not held before."""
    known: dict[bytes, tuple[int, int]] = {}
    for chunk in chunks([pair[0] for pair in pairs]):
        for no, block, held in db.execute(
            f"SELECT no, id, held FROM block WHERE id IN ({marks(chunk)})", chunk
        ):
            known[block] = (no, held)
    new = {block: size for block, size in pairs if block not in known}
    db.executemany(
        "INSERT INTO block(id, size, held, synced) VALUES(?, ?, 1, ?)",
        [(block, size, synced) for block, size in new.items()],
    )
    changed = list({known[block][0] for block, _ in pairs if known.get(block, (0, 1))[1] == 0})
    db.executemany("UPDATE block SET held = 1 WHERE no = ?", [(no,) for no in changed])
    if synced:
        rows = [(known[block][0],) for block, _ in pairs if block in known]
        db.executemany("UPDATE block SET synced = 1 WHERE no = ?", rows)
    return changed


def _recount(db: sqlite3.Connection, blocks: Sequence[int], sign: int) -> None:
    """Add what `blocks` weigh (times `sign`) to the missing of all that use them."""
    weights: dict[int, list[int]] = {}
    for chunk in chunks(blocks):
        sql = f"SELECT u.version, u.times, u.bytes FROM use u WHERE u.block IN ({marks(chunk)})"
        for row, times, size in db.execute(sql, chunk):
            weight = weights.setdefault(row, [0, 0])
            weight[0] += times * sign
            weight[1] += size * sign
    if not weights:
        return
    db.executemany(
        "UPDATE version SET missing = missing + ?, lacking = lacking + ? WHERE row = ?",
        [(missing, lacking, row) for row, (missing, lacking) in weights.items()],
    )
    rows = PathRows(db)
    shown: dict[int, int] = {}
    for versions in chunks(weights):
        sql = (
            "SELECT p.no, v.row FROM version v JOIN path p ON p.no = v.path "
            f"WHERE v.row IN ({marks(versions)}) AND p.shown = v.row"
        )
        shown.update(db.execute(sql, versions))
    rows.load_numbers(shown)
    for no, row in shown.items():
        path = rows.by_number[no]
        missing, lacking = weights[row]
        rows.change(path)
        path.missing += missing
        path.lacking += lacking
    rows.flush()
