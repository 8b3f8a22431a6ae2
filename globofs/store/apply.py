"""Records into the index: idempotent, in any order, any number of times, in bounded memory.

One batch is one transaction. Everything a batch needs to know is asked for in a few wide
queries, worked out in memory, and written with `executemany`: a rebuild from the journals is the
same code as normal life and has to run at tens of thousands of records a second.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from globofs.errors import FormatError
from globofs.events import Changed, Emit, Problem, ignore
from globofs.format import kinds
from globofs.format.manifest import Manifest
from globofs.format.record import Found, Record
from globofs.store.apply_paths import (
    Candidate,
    candidates_of,
    known_blocks,
    pack_uses,
    show,
)
from globofs.store.apply_records import Item, Positions, store_event, who
from globofs.store.filling import Known, known_versions, make_index
from globofs.store.gc_pause import gc_paused
from globofs.store.portions import chunks, marks
from globofs.store.totals import PathRow, PathRows

if TYPE_CHECKING:
    from globofs.store.index import Index

BATCH: Final = 5000
"""Records of one transaction."""
MANY: Final = 1000
"""Records for which more of the index is kept in memory."""
CHANGED_PATHS: Final = 1000
"""The most paths one `Changed` event names."""

ReadBlock = Callable[[bytes], bytes | None]

_VERSION_COLUMNS: Final = (
    *("row", "id", "path", "time", "node", "kind", "size", "mode", "mtime", "target"),
    *("parents", "from_path", "from_id", "content", "blocks", "missing", "lacking", "head"),
    *("pruned", "op", "source", "origin", "seq", "list", "extra", "pending"),
)
_INSERT_VERSION: Final = (
    f"INSERT INTO version({', '.join(_VERSION_COLUMNS)}) "
    f"VALUES({', '.join('?' * len(_VERSION_COLUMNS))})"
)


class Done(NamedTuple):
    """What a batch did."""

    records: int  # that were new
    versions: int


class _New(NamedTuple):
    """A version that the index does not have yet."""

    row: int
    id: bytes
    path: PathRow
    manifest: Manifest | None  # None while a large manifest has not arrived
    entry: kinds.VersionRecord
    op: int
    origin: str
    seq: int
    parents: tuple[bytes, ...]
    node: str
    content: bytes


def items(found: Iterable[Found]) -> Iterator[Item]:
    """Scanned records as items."""
    for record in found:
        yield Item(record.record, record.id)


def apply_items(
    index: Index,
    given: Iterable[Item],
    *,
    emit: Emit = ignore,
    read_block: ReadBlock | None = None,
) -> Done:
    """Apply records in batches; announce what changed. Returns the sums over all batches."""
    records = versions = 0
    batches = chunks(given, BATCH)
    with contextlib.ExitStack() as cache:
        while True:
            with gc_paused():
                batch = next(batches, None)
                if batch is None:
                    break
                if not records and len(batch) >= MANY:
                    cache.enter_context(index.large_cache())
                work = index.write(partial(_apply, batch, read_block or index.read_block))
            records += work.new_records
            versions += len(work.new)
            _announce(work, batch, emit)
    return Done(records, versions)


def _announce(work: _Batch, batch: Sequence[Item], emit: Emit) -> None:
    for problem in work.problems:
        emit(problem)
    if work.new_records:
        paths = tuple(dict.fromkeys(new.path.path for new in work.new))
        origin = batch[0].record.origin
        emit(Changed(paths if len(paths) <= CHANGED_PATHS else (), origin, work.new_records))


def _apply(batch: Sequence[Item], read_block: ReadBlock | None, db: sqlite3.Connection) -> _Batch:
    work = _Batch(db, read_block)
    work.run(batch)
    return work


class _Batch:
    """The work of one transaction."""

    def __init__(self, db: sqlite3.Connection, read_block: ReadBlock | None) -> None:
        self.db = db
        self.read_block = read_block
        self.problems: list[Problem] = []
        self.paths = PathRows(db)
        self.new: list[_New] = []
        self.new_records = 0
        self._ops: dict[tuple[str, int], list[Any]] = {}
        self._ops_new: set[tuple[str, int]] = set()
        self._old: Known = {}

    def run(self, batch: Sequence[Item]) -> None:
        """Apply one batch."""
        fresh = Positions(self.db, self.problems).admit(batch)
        self.new_records = len(fresh)
        if not fresh:
            return
        decoded: list[tuple[Item, kinds.VersionRecord, Manifest | None]] = []
        events: list[Item] = []
        for item in fresh:
            if item.record.kind == "version":
                made = self._decode(item)
                if made is not None:
                    decoded.append((item, *made))
            else:
                events.append(item)
        self._load_ops(fresh)
        entries = [entry for _, entry, _ in decoded]
        self.paths.load_paths([entry.path for entry in entries])
        self._old = known_versions(self.db, self.paths, entries)
        before = {row.no for row in self.paths.by_number.values() if row.nversions}
        self._collect(decoded)
        candidates = self._insert_versions()
        self._show(candidates, before)
        self.paths.flush()
        self._write_ops()
        for item in events:
            self._event(item)

    # --- decoding ---------------------------------------------------------------------------

    def _decode(self, item: Item) -> tuple[kinds.VersionRecord, Manifest | None] | None:
        """The version a record tells of; `None` (and a problem) for one that breaks the rules."""
        if item.version is not None and item.manifest is not None:
            return item.version, item.manifest
        record = item.record
        try:
            entry = kinds.VersionRecord.parse(record)
            if entry.text or not entry.length:
                return entry, entry.decode(record.origin)
            text = self.read_block(entry.manifest) if self.read_block else None
            if text is None:
                return entry, None
            return entry, entry.decode(record.origin, text)
        except FormatError as error:
            self._left_out(record, error)
            return None

    def _left_out(self, record: Record, error: FormatError) -> None:
        reason = f"{who(self.db, record.origin)}: record {record.seq} left out: {error}"
        self.problems.append(Problem(b"", reason))

    # --- operations -------------------------------------------------------------------------

    def _load_ops(self, fresh: Sequence[Item]) -> None:
        """The rows of all operations of the batch: [no, time, last, versions, bytes]."""
        keys = dict.fromkeys((item.record.origin, item.record.op) for item in fresh)
        following = self.db.execute("SELECT coalesce(max(no), 0) + 1 FROM op").fetchone()[0]
        sql = "SELECT no, time, last, versions, bytes FROM op WHERE node = ? AND number = ?"
        for key in keys:
            found = self.db.execute(sql, key).fetchone()
            if found is None:
                self._ops[key] = [following, 2**62, 0, 0, 0]
                self._ops_new.add(key)
                following += 1
            else:
                self._ops[key] = list(found)
        for item in fresh:
            op = self._ops[item.record.origin, item.record.op]
            if item.record.time < op[1]:
                op[1] = item.record.time

    def _write_ops(self) -> None:
        new = [
            (op[0], *key, op[1], max(op[1], op[2]), op[3], op[4])
            for key, op in self._ops.items()
            if key in self._ops_new
        ]
        self.db.executemany(
            "INSERT INTO op(no, node, number, time, last, versions, bytes) VALUES(?,?,?,?,?,?,?)"
            " ON CONFLICT(node, number) DO UPDATE SET time = excluded.time, last = excluded.last,"
            " versions = excluded.versions, bytes = excluded.bytes",
            new,
        )
        self.db.executemany(
            "UPDATE op SET time = ?, last = ?, versions = ?, bytes = ? WHERE no = ?",
            [
                (op[1], max(op[1], op[2]), op[3], op[4], op[0])
                for key, op in self._ops.items()
                if key not in self._ops_new
            ],
        )

    def _event(self, item: Item) -> None:
        key = (item.record.origin, item.record.op)
        if item.record.kind == "prune":
            make_index(self.db)  # it names versions by their ids
        try:
            store_event(self.db, item.record, self._ops[key][0])
        except FormatError as error:
            self._left_out(item.record, error)

    # --- versions ---------------------------------------------------------------------------

    def _collect(
        self, decoded: Sequence[tuple[Item, kinds.VersionRecord, Manifest | None]]
    ) -> None:
        """Give rows to the new versions, and count them for their path and operation."""
        row = self.db.execute("SELECT coalesce(max(row), 0) FROM version").fetchone()[0]
        by_path = self.paths.by_path
        met: set[bytes] = set()
        for item, entry, manifest in decoded:
            record = item.record
            if entry.manifest in self._old or entry.manifest in met:
                continue
            met.add(entry.manifest)
            row += 1
            path = by_path[entry.path]
            self.paths.change(path)
            path.nversions += 1
            path.newest = max(path.newest, entry.version)
            op = self._ops[record.origin, record.op]
            op[2] = max(op[2], entry.version)
            op[3] += 1
            node, content = record.origin, b""
            if manifest is not None:
                op[4] += manifest.size
                node = manifest.node or node
                content = item.content or manifest.content
            self.new.append(
                _New(
                    *(row, entry.manifest, path, manifest, entry, op[0]),
                    *(record.origin, record.seq, entry.parents, node, content),
                )
            )

    def _insert_versions(self) -> dict[int, list[Candidate]]:
        """Write the new versions; those of them that are heads, by number of their path."""
        if not self.new:
            return {}
        superseded = self._supersede()
        blocks = self._blocks()
        pruned = self._pruned()
        values: list[tuple[Any, ...]] = []
        uses: list[tuple[int, int, int, int]] = []
        candidates: dict[int, list[Candidate]] = {}
        for new in self.new:
            head = new.id not in superseded
            listed, total, missing, lacking = self._uses(new, blocks, uses)
            m = new.manifest
            entry = new.entry
            if m is None:
                shape: tuple[Any, ...] = (entry.what, 0, 0, 0, b"", None, None, b"", None)
            else:
                extra = "\n".join(f"{key}={value}" for key, value in m.extra) or None
                shape = (
                    *(m.kind, m.size, m.mode, m.mtime, m.target, m.from_path, m.from_id),
                    *(new.content, extra),
                )
            kind, size, mode, mtime, target, from_path, from_id, content, extra = shape
            values.append(
                (
                    *(new.row, new.id, new.path.no, entry.version, new.node, kind, size, mode),
                    *(mtime, target, b"".join(new.parents), from_path, from_id, content),
                    *(total, missing, lacking, head, new.id in pruned, new.op, entry.source),
                    *(new.origin, new.seq, listed, extra, m is None),
                )
            )
            if head:
                candidates.setdefault(new.path.no, []).append(
                    Candidate(
                        *(new.id, entry.version, new.node, kind, content, new.row, size),
                        *(mode, mtime, target, total, missing, lacking),
                    )
                )
            elif new.path.no not in candidates:
                candidates[new.path.no] = []
        self.db.executemany(_INSERT_VERSION, values)
        uses.sort()
        self.db.executemany("INSERT OR IGNORE INTO use VALUES(?, ?, ?, ?)", uses)
        return candidates

    def _supersede(self) -> set[bytes]:
        """The new versions that something names as parent; older ones lose their head mark."""
        paths = {new.id: new.path.no for new in self.new}
        superseded: set[bytes] = set()
        demoted: list[tuple[int]] = []
        orphans: list[tuple[bytes, int]] = []
        for new in self.new:
            for parent in new.parents:
                if parent in paths:
                    if paths[parent] == new.path.no:
                        superseded.add(parent)
                elif parent in self._old:
                    row, path = self._old[parent]
                    if path == new.path.no:
                        demoted.append((row,))
                else:
                    orphans.append((parent, new.path.no))
        if self.db.execute("SELECT 1 FROM orphan LIMIT 1").fetchone():
            for chunk in chunks(paths):
                sql = f"SELECT parent, path FROM orphan WHERE parent IN ({marks(chunk)})"
                for parent, path in self.db.execute(sql, chunk).fetchall():
                    if paths[parent] == path:
                        superseded.add(parent)
                    self.db.execute("DELETE FROM orphan WHERE parent = ?", (parent,))
        self.db.executemany("INSERT OR IGNORE INTO orphan VALUES(?, ?)", orphans)
        self.db.executemany("UPDATE version SET head = 0 WHERE row = ? AND head = 1", demoted)
        return superseded

    def _pruned(self) -> set[bytes]:
        """Those of the new versions that a prune record has let go of already."""
        pruned: set[bytes] = set()
        if self.db.execute("SELECT 1 FROM prune LIMIT 1").fetchone():
            for chunk in chunks([new.id for new in self.new]):
                sql = f"SELECT version FROM prune WHERE version IN ({marks(chunk)})"
                pruned.update(row[0] for row in self.db.execute(sql, chunk))
        return pruned

    # --- blocks -----------------------------------------------------------------------------

    def _blocks(self) -> dict[bytes, tuple[int, int]]:
        """Number and held mark of every block that the new versions list."""
        sizes: dict[bytes, int] = {}
        for new in self.new:
            if new.manifest is not None:
                sizes.update(new.manifest.blocks)
            if not new.entry.text and new.entry.length:
                sizes[new.id] = new.entry.length
        return known_blocks(self.db, sizes)

    @staticmethod
    def _uses(
        new: _New,
        blocks: dict[bytes, tuple[int, int]],
        uses: list[tuple[int, int, int, int]],
    ) -> tuple[bytes, int, int, int]:
        """Note the blocks of a version; its packed list, and how many blocks, missing, lacking."""
        large = not new.entry.text and new.entry.length > 0
        if new.manifest is None:
            no, held = blocks[new.id]
            uses.append((no, new.row, 1, new.entry.length))
            return b"", 1, 0 if held else 1, 0 if held else new.entry.length
        if large:
            uses.append((blocks[new.id][0], new.row, 0, 0))
        return pack_uses(new.row, new.manifest, blocks, uses)

    # --- what is shown ----------------------------------------------------------------------

    def _show(self, candidates: dict[int, list[Candidate]], before: set[int]) -> None:
        """Settle anew what every changed path shows."""
        rows = self.paths.by_number
        older = candidates_of(self.db, [rows[no] for no in candidates if no in before])
        for no, found in candidates.items():
            if no in older:
                found = list({one.row: one for one in (*found, *older[no])}.values())
            show(rows[no], found)
