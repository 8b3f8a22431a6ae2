"""Which records of a batch are new, what is known of each journal, and records that are no version.

The chain of `prev` hashes shows a fork: two different records of one origin with one number, or a
record that names another predecessor than the one we have. Both branches are applied; the fork is
said loudly, once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from globofs.events import Problem
from globofs.format import kinds
from globofs.format.manifest import Manifest
from globofs.format.record import FIRST_PREV, Record

Gaps = tuple[tuple[int, int], ...]


class Item(NamedTuple):
    """A record to apply. `version`, `manifest` and the manifest's `content` are given by who has
    them already."""

    record: Record
    id: bytes
    version: kinds.VersionRecord | None = None
    manifest: Manifest | None = None
    content: bytes = b""


class Seen(NamedTuple):
    """What is known of one origin's journal: the newest record, and the numbers missing below."""

    received: int  # 0: nothing
    hash: bytes
    gaps: Gaps
    forked: bool


NOTHING_SEEN = Seen(0, FIRST_PREV, (), False)


def pack_gaps(gaps: Gaps) -> str:
    """Ranges as text for the index."""
    return ",".join(f"{low}-{high}" for low, high in gaps)


def unpack_gaps(text: str) -> Gaps:
    """Undo `pack_gaps`."""
    pairs = [piece.partition("-") for piece in text.split(",") if piece]
    return tuple([(int(low), int(high)) for low, _, high in pairs])


def who(db: sqlite3.Connection, uuid: str) -> str:
    """A node for a sentence about what it wrote: as its user calls it, and its uuid."""
    name = db.execute("SELECT name FROM node WHERE uuid = ?", (uuid,)).fetchone()
    return f"{name[0]} ({uuid})" if name and name[0] else uuid


def load_seen(db: sqlite3.Connection, origin: str) -> Seen:
    """What is known of a journal. `DatabaseError` where the index says nonsense."""
    sql = "SELECT received, hash, gaps, forked FROM seen WHERE origin = ?"
    found = db.execute(sql, (origin,)).fetchone()
    if found is None:
        return NOTHING_SEEN
    try:
        return Seen(found[0], found[1], unpack_gaps(found[2]), bool(found[3]))
    except ValueError as error:
        raise sqlite3.DatabaseError(f"the gaps of {origin} are no ranges") from error


class Positions:
    """Takes the records of a batch into the table `record`, and keeps `seen`."""

    def __init__(self, db: sqlite3.Connection, problems: list[Problem]) -> None:
        self.db = db
        self.problems = problems

    def admit(self, batch: Sequence[Item]) -> list[Item]:
        """Those of the batch that were not known, each once, in their order."""
        by_origin: dict[str, list[Item]] = {}
        for item in batch:
            by_origin.setdefault(item.record.origin, []).append(item)
        fresh: list[Item] = []
        for origin, items in by_origin.items():
            fresh += self._admit(origin, items)
        return fresh

    def _admit(self, origin: str, items: list[Item]) -> list[Item]:
        seen = load_seen(self.db, origin)
        if _continues(seen, items):
            self._take(origin, seen, items, None, set())
            return items
        known = self._neighbours(origin, seen.received, {item.record.seq for item in items})
        fresh: list[Item] = []
        forked: int | None = None
        for item in items:
            record = item.record
            there = known.get(record.seq)
            if there is None:
                known[record.seq] = {item.id: record.prev}
            elif item.id in there:
                continue
            else:
                there[item.id] = record.prev
                forked = record.seq
            fresh.append(item)
        if not fresh:
            return fresh
        if forked is None:
            forked = _break(fresh, known)
        self._take(origin, seen, fresh, forked, _breaks(fresh, known))
        return fresh

    def _take(
        self, origin: str, seen: Seen, fresh: list[Item], forked: int | None, breaks: set[int]
    ) -> None:
        self.db.executemany(
            "INSERT INTO record VALUES(?, ?, ?, ?)",
            [(origin, item.record.seq, item.id, item.record.prev) for item in fresh],
        )
        self._advance(origin, seen, fresh, forked, breaks)

    def _neighbours(
        self, origin: str, received: int, numbers: set[int]
    ) -> dict[int, dict[bytes, bytes]]:
        """What is known of records with these numbers, and of those before and behind: id, prev."""
        wanted = sorted({n + step for n in numbers if n <= received + 1 for step in (-1, 0, 1)})
        known: dict[int, dict[bytes, bytes]] = {}
        # Ranges, not single numbers: a journal is read in its order, mostly.
        for low, high in _ranges(wanted):
            sql = "SELECT seq, id, prev FROM record WHERE origin = ? AND seq BETWEEN ? AND ?"
            for seq, record, prev in self.db.execute(sql, (origin, low, high)):
                known.setdefault(seq, {})[record] = prev
        return known

    def _advance(
        self,
        origin: str,
        seen: Seen,
        fresh: list[Item],
        forked: int | None,
        breaks: set[int],
    ) -> None:
        received, digest, gaps = seen.received, seen.hash, list(seen.gaps)
        for item in fresh:
            seq = item.record.seq
            if seq > received:
                if seq > received + 1:
                    gaps.append((received + 1, seq - 1))
                received, digest = seq, item.id
            else:
                gaps = fill_gap(gaps, seq)
        for number in breaks:
            gaps = fill_gap(gaps, number)
            gaps = sorted([*gaps, (number, number)])
        gaps = _joined(gaps)
        if forked is not None and not seen.forked:
            reason = (
                f"the journal of {who(self.db, origin)} continues in two ways at record {forked}: the node was"
                " copied or restored from a backup; both continuations are kept"
            )
            self.problems.append(Problem(b"", reason))
        self.db.execute("INSERT OR IGNORE INTO node(uuid) VALUES(?)", (origin,))
        self.db.execute(
            "INSERT OR REPLACE INTO seen(origin, received, hash, gaps, forked) VALUES(?,?,?,?,?)",
            (origin, received, digest, pack_gaps(tuple(gaps)), seen.forked or forked is not None),
        )


def _continues(seen: Seen, items: list[Item]) -> bool:
    """Whether records go on, one by one, where a journal without a fork ended: the usual case."""
    number, before = seen.received, seen.hash
    if seen.forked:
        return False
    for item in items:
        number += 1
        if item.record.seq != number or item.record.prev != before:
            return False
        before = item.id
    return True


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    """Ascending numbers as ranges, first and last both counted."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number <= found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def _break(fresh: list[Item], known: dict[int, dict[bytes, bytes]]) -> int | None:
    """The first new record that does not continue, or is not continued by, its neighbours."""
    for item in fresh:
        seq = item.record.seq
        before = known.get(seq - 1)
        if before is not None and item.record.prev not in before:
            return seq
        after = known.get(seq + 1)
        if after is not None and item.id not in after.values():
            return seq + 1
        if seq == 1 and item.record.prev != FIRST_PREV:
            return seq
    return None


def _breaks(fresh: list[Item], known: dict[int, dict[bytes, bytes]]) -> set[int]:
    """Numbers of which another record is lacking: one behind them continues none that is here.

    They count as gaps, so that somebody who has the other branch sends it.
    """
    found: set[int] = set()
    for item in fresh:
        for number in (item.record.seq - 1, item.record.seq):
            here = known.get(number)
            behind = known.get(number + 1)
            if here and behind and not here.keys() >= set(behind.values()):
                found.add(number)
    return found


def _joined(gaps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ascending ranges, those that touch made one."""
    found: list[tuple[int, int]] = []
    for low, high in gaps:
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return found


def fill_gap(gaps: list[tuple[int, int]], seq: int) -> list[tuple[int, int]]:
    """`gaps` without the number `seq`."""
    left: list[tuple[int, int]] = []
    for low, high in gaps:
        if low <= seq <= high:
            if low < seq:
                left.append((low, seq - 1))
            if seq < high:
                left.append((seq + 1, high))
        else:
            left.append((low, high))
    return left


def store_event(db: sqlite3.Connection, record: Record, op: int) -> None:
    """A record that is no version: its effect, and its fields for whoever asks later.

    Raises FormatError for one that breaks its kind's rules; unknown kinds are left alone.
    """
    if record.kind == kinds.CloseRecord.KIND:
        close = kinds.CloseRecord.parse(record)
        args = "\n".join(value for key, value in record.fields if key == "arg")
        db.execute(
            "UPDATE op SET verb = ?, args = ?, closed = 1 WHERE no = ?", (close.verb, args, op)
        )
        return
    entry = kinds.parse_event(record)
    if entry is None:
        return
    db.execute(
        "INSERT OR REPLACE INTO event VALUES(?, ?, ?, ?, ?, ?)",
        (record.origin, record.seq, record.kind, event_text(entry), record.time, op),
    )
    if isinstance(entry, kinds.NodeRecord):
        db.execute(
            "UPDATE node SET name = ?, cacheonly = ?, told = ? WHERE uuid = ? AND told < ?",
            (entry.name, entry.cacheonly, record.seq, record.origin, record.seq),
        )
    elif isinstance(entry, kinds.RetireRecord):
        db.execute("INSERT OR IGNORE INTO node(uuid) VALUES(?)", (entry.node,))
        _retired_or_back(db, entry.node)
    elif isinstance(entry, kinds.BackRecord):
        _retired_or_back(db, record.origin)
    elif isinstance(entry, kinds.PruneRecord):
        versions = [(version,) for version in entry.versions]
        db.executemany("INSERT OR IGNORE INTO prune VALUES(?)", versions)
        db.executemany("UPDATE version SET pruned = 1 WHERE id = ?", versions)


def event_text(entry: kinds.Entry) -> str:
    """The fields of an entry as the table `event` keeps them: those of its kind, and no others
    that a stranger or a later release may have put beside them."""
    return "\n".join([f"{key}={value}" for key, value in entry.fields()])


def _retired_or_back(db: sqlite3.Connection, node: str) -> None:
    db.execute(
        "UPDATE node SET retired = EXISTS(SELECT 1 FROM event r WHERE r.kind = 'retire'"
        " AND r.fields = 'node=' || ?1 AND NOT EXISTS(SELECT 1 FROM event b WHERE"
        " b.kind = 'back' AND b.origin = ?1 AND b.fields = 'of=' || r.origin || ':' || r.seq))"
        " WHERE uuid = ?1",
        (node,),
    )
