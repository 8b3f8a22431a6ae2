"""Whether the index says what the journals say: every row against the record it was made from.

The journals are read once, in their order, a thousand records at a time; what follows from the
versions alone is in `audit_tree`. Nothing is kept of what was compared but a few numbers for each
version and operation. What others commit meanwhile is no difference: a record that the index lacks
is looked for again once the index has caught up.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from globofs.errors import FormatError
from globofs.format import kinds
from globofs.format.manifest import Manifest
from globofs.format.record import Found
from globofs.format.text import format_time
from globofs.format.versions import read
from globofs.store.apply_records import event_text, load_seen
from globofs.store.audit_blocks import BlockAudit, VersionRow
from globofs.store.audit_ops import OpAudit
from globofs.store.audit_tree import audit_tree
from globofs.store.index import Index
from globofs.store.portions import chunks, marks

MISSING_MOST: Final = 1000
"""Of so many records that the index lacks the ids are kept; of more, the numbers."""
SHOWN: Final = 10


class Wrong(NamedTuple):
    """A row of the index that is not what it should be: the path it is about, and what it is."""

    path: bytes
    what: str


class _Decoded(NamedTuple):
    """What a record says of a version, and its manifest where that can be had."""

    entry: kinds.VersionRecord
    made: Manifest | None


class Findings:
    """What was found: all are counted, the first few are told."""

    def __init__(self) -> None:
        self.count = 0
        self.shown: list[Wrong] = []

    def add(self, path: bytes, what: str) -> None:
        """A row is wrong."""
        self.count += 1
        if len(self.shown) < SHOWN:
            self.shown.append(Wrong(path, what))


class Audit:
    """One comparison. The index must have caught up before it begins."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.findings = Findings()
        count, last = index.one("SELECT count(*), coalesce(max(row), 0) FROM version")
        self.rows = int(last)
        """Versions that were there when it began have numbers up to this."""
        if last > count:
            self.findings.add(b"", "the numbers of versions have holes")
        self._known = bytearray(self.rows // 8 + 1 if last <= count else 1)
        self._let_go = bytearray(len(self._known))
        self._blocks = BlockAudit(index, self.findings.add)
        self._ops = OpAudit(index, self.findings.add)
        self._missing: list[tuple[str, int, bytes]] = []
        self._missing_too: list[tuple[str, int, int]] = []  # ranges of numbers
        self._nodes: dict[str, tuple[int, kinds.NodeRecord]] = {}
        self._retired: set[tuple[str, str, int]] = set()  # node, and the record that says so
        self._back: set[tuple[str, str, int]] = set()  # node, and the record that is over
        self._forked: set[str] = set()
        self._until: dict[str, int] = {}

    # --- records ----------------------------------------------------------------------------

    def take(self, origin: str, batch: Sequence[Found], after: int) -> None:
        """Compare records of an origin, in their order, with all that the index has of the numbers
        behind `after`, the last of the batch before, up to theirs."""
        last = batch[-1].record.seq
        ids: dict[int, set[bytes]] = {}
        for found in batch:
            ids.setdefault(found.record.seq, set()).add(found.id)
        forked = {seq for seq, some in ids.items() if len(some) > 1}
        if forked:
            self._forked.add(origin)
        self._until[origin] = last
        decoded = {found.id: self._decode(found) for found in batch if _is_version(found)}
        with self.index.snapshot() as db:
            sql = "SELECT seq, id, prev FROM record WHERE origin = ? AND seq > ? AND seq <= ?"
            known: dict[tuple[int, bytes], bytes] = {}
            for seq, record, prev in db.execute(sql, (origin, after, last)):
                known[seq, record] = prev
            present: list[Found] = []
            for found in batch:
                prev = known.pop((found.record.seq, found.id), None)
                if prev is None:
                    self._lacks(origin, found)
                    continue
                if prev != found.record.prev:
                    self.findings.add(b"", f"record {found.record.seq} of {origin}")
                present.append(found)
            # One more under a number that is here: of a fork whose other record was lost, or wrong.
            for seq, record in known:
                if seq in ids and not self._whole(origin, seq, ids[seq]):
                    self.findings.add(b"", f"record {seq} of {origin} ({record.hex()[:16]})")
            self._records(origin, present, forked, decoded)

    def _whole(self, origin: str, seq: int, ids: set[bytes]) -> bool:
        """Whether the index has all records that the files have under a number."""
        sql = "SELECT id FROM record WHERE origin = ? AND seq = ?"
        return {row[0] for row in self.index.db.execute(sql, (origin, seq))} >= ids

    def _lacks(self, origin: str, found: Found) -> None:
        seq = found.record.seq
        if len(self._missing) < MISSING_MOST:
            self._missing.append((origin, seq, found.id))
            return
        last = self._missing_too[-1] if self._missing_too else ("", 0, 0)
        if last[0] == origin and last[2] in (seq - 1, seq):
            self._missing_too[-1] = (origin, last[1], seq)
        else:
            self._missing_too.append((origin, seq, seq))

    def _records(
        self,
        origin: str,
        present: Sequence[Found],
        forked: set[int],
        decoded: dict[bytes, _Decoded | None],
    ) -> None:
        self._ops.load(origin, {found.record.op for found in present})
        versions: list[tuple[Found, _Decoded]] = []
        events: list[Found] = []
        for found in present:
            self._ops.heard(origin, found.record)
            kind = found.record.kind
            if kind == "version":
                made = decoded[found.id]
                if made is not None:
                    versions.append((found, made))
            elif kind == "close":
                if found.record.seq not in forked:
                    self._ops.closed(origin, found.record)
            else:
                events.append(found)
        self._versions(versions, forked)
        self._events(origin, events, forked)

    def _decode(self, found: Found) -> _Decoded | None:
        """As applying does: None for a record that it leaves out."""
        plain = read(found.raw[found.raw.index(b"\n") + 1 :])
        if plain.version is not None and plain.manifest is not None:
            return _Decoded(plain.version, plain.manifest)
        try:
            entry = kinds.VersionRecord.parse(found.record)
            if entry.text or not entry.length:
                return _Decoded(entry, entry.decode(found.record.origin))
        except FormatError:
            return None
        text = self.index.read_block(entry.manifest) if self.index.read_block else None
        made = None
        if text is not None:
            with suppress(FormatError):
                made = entry.decode(found.record.origin, text)
        return _Decoded(entry, made)

    # --- versions ---------------------------------------------------------------------------

    def _versions(self, batch: Sequence[tuple[Found, _Decoded]], forked: set[int]) -> None:
        rows = self._blocks.rows_of([decoded.entry.manifest for _, decoded in batch])
        for found, (entry, made) in batch:
            row = rows.get(entry.manifest)
            self._blocks.claim(entry)
            when = format_time(entry.version)
            if row is None:
                self.findings.add(entry.path, f"its version {when} is lacking")
                continue
            record = found.record
            if (row.origin, row.seq) != (record.origin, record.seq):
                continue  # another record brought it, which is compared with it
            if self._marked(self._known, row.row):
                continue
            self._mark(self._known, row.row)
            wrong = _differences(row, entry, made)
            if record.seq not in forked:
                wrong += _credited(row, entry, made, record.origin, record.op)
            self._ops.made(row)
            self._blocks.check(row, entry, made)
            if wrong:
                self.findings.add(entry.path, f"{wrong[0]} of its version {when}")

    def _mark(self, bits: bytearray, row: int) -> None:
        if row >> 3 < len(bits):
            bits[row >> 3] |= 1 << (row & 7)

    def _marked(self, bits: bytearray, row: int) -> bool:
        return row >> 3 < len(bits) and bool(bits[row >> 3] >> (row & 7) & 1)

    # --- what is no version -----------------------------------------------------------------

    def _events(self, origin: str, records: Sequence[Found], forked: set[int]) -> None:
        sql = (
            "SELECT e.time, o.node, o.number, e.fields FROM event e LEFT JOIN op o ON o.no = e.op"
            " WHERE e.origin = ? AND e.seq = ? AND e.kind = ?"
        )
        for found in records:
            record = found.record
            seq, kind = record.seq, record.kind
            entry = None
            with suppress(FormatError):
                entry = kinds.parse_event(record)
            if entry is None:
                continue
            rows = self.index.db.execute(sql, (origin, seq, kind)).fetchall()
            said = (record.time, origin, record.op, event_text(entry))
            if seq not in forked and rows != [said]:
                self.findings.add(b"", f"record {seq} of {origin} ({kind})")
            if isinstance(entry, kinds.NodeRecord):
                before = self._nodes.get(origin)
                if before is None or before[0] < seq:
                    self._nodes[origin] = (seq, entry)
            elif isinstance(entry, kinds.RetireRecord):
                self._retired.add((entry.node, origin, seq))
            elif isinstance(entry, kinds.BackRecord):
                self._back.add((origin, entry.of, entry.seq))
            elif isinstance(entry, kinds.PruneRecord):
                self._pruned(seq, origin, entry.versions)

    def _pruned(self, seq: int, origin: str, versions: Iterable[bytes]) -> None:
        for chunk in chunks(set(versions)):
            sql = f"SELECT count(*) FROM prune WHERE version IN ({marks(chunk)})"
            if self.index.db.execute(sql, chunk).fetchone()[0] != len(chunk):
                self.findings.add(b"", f"what record {seq} of {origin} lets go of")
            sql = f"SELECT row FROM version WHERE id IN ({marks(chunk)})"
            for (row,) in self.index.db.execute(sql, chunk):
                self._mark(self._let_go, row)

    # --- the end ----------------------------------------------------------------------------

    def strays(self, origin: str) -> set[bytes]:
        """The ids of records of an origin that stand in its files, and not in the index."""
        return {record for one, _, record in self._missing if one == origin}

    def end(self, lost: Iterable[str], catch_up: Callable[[], None]) -> None:
        """What is left when all records were compared. Of the origins in `lost` records that the
        index knows stand in no file any more: what they said cannot be told."""
        gone = set(lost)
        if self._missing:
            catch_up()
            self._look_again()
        # Of what went on while we read not all was compared.
        moved = gone | {origin for origin, _, _ in (*self._missing, *self._missing_too)}
        with self.index.snapshot() as db:
            sql = "SELECT max(seq) FROM record WHERE origin = ?"
            for origin, forked in db.execute("SELECT origin, forked FROM seen").fetchall():
                if forked:
                    self._forked.add(origin)
                if (db.execute(sql, (origin,)).fetchone()[0] or 0) > self._until.get(origin, 0):
                    moved.add(origin)
            sql = (
                "SELECT v.row, v.id, v.origin, v.pruned, p.path FROM version v LEFT JOIN path p"
                " ON p.no = v.path WHERE v.row <= ? ORDER BY v.row"
            )
            for row, version, origin, pruned, path in db.execute(sql, (self.rows,)):
                if not self._marked(self._known, row):
                    if origin in gone:
                        self._blocks.check_alone(row)
                    else:
                        where = f"version {version.hex()[:16]}, which no record made"
                        self.findings.add(path or b"", where)
                if not moved and pruned != self._marked(self._let_go, row):
                    self.findings.add(path or b"", f"whether {version.hex()[:16]} was let go of")
            self._ops.end(moved | self._forked)
            self._said(moved)
            self._blocks.end(self.rows)
            for origin in self._until.keys() - moved - self._forked:
                if not self._continuous(db, origin):
                    self.findings.add(b"", f"how far the journal of {origin} is here")
        self._blocks.odd_sizes()
        audit_tree(self.index, self.findings.add)

    def _look_again(self) -> None:
        """Which of the records that the index lacked it lacks for good."""
        sql = "SELECT 1 FROM record WHERE origin = ? AND seq = ? AND id = ?"
        for key in self._missing:
            if self.index.one(sql, key) is None:
                self.findings.add(b"", f"record {key[1]} of {key[0]} is lacking")
        sql = "SELECT count(DISTINCT seq) FROM record WHERE origin = ? AND seq BETWEEN ? AND ?"
        for origin, low, high in self._missing_too:
            for _ in range(high - low + 1 - self.index.one(sql, (origin, low, high))[0]):
                self.findings.add(
                    b"", f"some of the records {low} to {high} of {origin} are lacking"
                )

    def _said(self, moved: set[str]) -> None:
        """What is known of nodes."""
        sql = "SELECT uuid, name, cacheonly, told, retired FROM node"
        rows = {row[0]: row[1:] for row in self.index.db.execute(sql)}
        for uuid in (rows.keys() | self._nodes.keys()) - moved - self._forked:
            number, said = self._nodes.get(uuid, (0, kinds.NodeRecord("")))
            if rows.get(uuid, ())[:3] != (said.name, said.cacheonly, number):
                self.findings.add(b"", f"what is known of the node {uuid}")
        retired = {node: 1 for node, _, _ in self._retired - self._back}
        if not moved and {uuid: row[3] for uuid, row in rows.items() if row[3]} != retired:
            self.findings.add(b"", "which nodes are retired")

    @staticmethod
    def _continuous(db: sqlite3.Connection, origin: str) -> bool:
        """Whether what is summed up of a journal without a fork is what its records say."""
        seen = load_seen(db, origin)
        gaps: list[tuple[int, int]] = []
        before, last = 0, b""
        sql = "SELECT seq, id FROM record WHERE origin = ? ORDER BY seq"
        for seq, record in db.execute(sql, (origin,)):
            if seq > before + 1:
                gaps.append((before + 1, seq - 1))
            before, last = seq, record
        return seen.forked or (seen.received, seen.hash, list(seen.gaps)) == (before, last, gaps)


def _is_version(found: Found) -> bool:
    return found.record.kind == "version"


def _differences(row: VersionRow, entry: kinds.VersionRecord, made: Manifest | None) -> list[str]:
    """What of a version is not as its manifest says, whoever journaled it."""
    wrong = []
    if row.path != entry.path:
        wrong.append("the path")
    if row.time != entry.version:
        wrong.append("the time")
    if made is None:
        return wrong
    extra = "\n".join(f"{key}={value}" for key, value in made.extra) or None
    for name, here, there in (
        ("the kind", row.kind, made.kind),
        ("the size", row.size, made.size),
        ("the mode", row.mode, made.mode),
        ("the mtime", row.mtime, made.mtime),
        ("the target", row.target, made.target),
        ("the old path", (row.from_path, row.from_id), (made.from_path, made.from_id)),
        ("the content", row.content, made.content),
        ("the other lines", row.extra, extra),
        ("whether it is whole", row.pending, 0),
    ):
        if here != there:
            wrong.append(name)
    return wrong


def _credited(
    row: VersionRow, entry: kinds.VersionRecord, made: Manifest | None, origin: str, op: int
) -> list[str]:
    """What of a version is not as the record says that it came from."""
    wrong = []
    if row.parents != b"".join(entry.parents):
        wrong.append("the parents")
    if made is not None and row.node != (made.node or origin):
        wrong.append("the node")
    if row.source != entry.source:
        wrong.append("the source")
    if (row.op_node, row.op_number) != (origin, op):
        wrong.append("the operation")
    return wrong
