"""Relay: records of other nodes, passed on verbatim to a peer that has gone without them.

They go into files of our own (`upstream/<origin>/via/<own uuid>/`), so there is still one writer
a file. A peer that can fetch for itself, or that the origin reaches, gets its chance first: two
rounds without any progress of that origin.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from globofs.events import Cancelled, Emit, ignore, never
from globofs.format.applied import Applied
from globofs.peerio.peer import Peer
from globofs.store.apply_records import load_seen
from globofs.store.node import Node
from globofs.sync._journals import RemoteJournal, lacked
from globofs.sync._outbox import Delivered, Sent, deliver, lying
from globofs.sync._patience import Patience
from globofs.sync._spans import Spans

RELAY_AFTER_ROUNDS = 2


class Branches(NamedTuple):
    """Of one forked journal: what `lacking` was looked up for."""

    mark: object  # of the index: nothing changed here since
    records: int  # records here, under numbers that stand twice
    lacking: Spans  # those of the numbers under which a record is not at the peer


@dataclass(slots=True)
class Relayed:
    """What is remembered between rounds: how long each origin was lacked, and what lies there."""

    patience: Patience = field(default_factory=Patience)
    sent: dict[str, Sent] = field(default_factory=dict)
    branches: dict[str, Branches] = field(default_factory=dict)


def relay(
    node: Node,
    peer: Peer,
    theirs: Applied,
    ours: Applied,
    memory: Relayed,
    *,
    emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> Delivered:
    """Pass on the records of every origin that `peer` has lacked for two rounds.

    A node's own records go back to it too: one restored from a backup misses them. Both branches
    of a forked journal go to everybody, whose numbers do not tell that one is lacking. Raises
    `PeerError`.
    """
    records = total = waiting = 0
    for origin, position in ours.items():
        if origin == node.uuid or cancelled():
            continue
        known = theirs.get(origin)
        lacking = lacked(known, position)
        branches = Spans() if lacking else _branches(node, peer, origin, memory)
        if branches:
            done = deliver(
                *(node, peer, origin, known, branches),
                memory.sent.setdefault(f"fork {origin}", Sent()),
                emit=emit,
                cancelled=cancelled,
            )
            records += done.records
            total += done.bytes
        if not lacking:
            memory.patience.forget(origin)
            memory.sent.pop(origin, None)
            continue
        memory.branches.pop(origin, None)
        waiting += lacking.count()
        mark = (known.received, known.gaps) if known is not None else (0, ())
        if memory.patience.looks(origin, mark) < RELAY_AFTER_ROUNDS:
            continue
        sent = memory.sent.setdefault(origin, Sent())
        done = deliver(node, peer, origin, known, lacking, sent, emit=emit, cancelled=cancelled)
        records += done.records
        total += done.bytes
    return Delivered(records, total, waiting)


def _branches(node: Node, peer: Peer, origin: str, memory: Relayed) -> Spans:
    """The numbers of a forked journal under which a record that is here is nowhere at `peer`.

    Its `applied` does not tell: it names the end of one branch, whether it has the other or not,
    and a branch that ended below is named by no later record. So its files are looked at, once,
    and again after more such records came here.
    """
    if not load_seen(node.index.db, origin).forked:
        return Spans()
    mark = node.index.change_mark()
    before = memory.branches.get(origin)
    if before is not None and before.mark == mark:
        return before.lacking
    twice, count = _twice(node, origin)
    if before is not None and before.records == count:
        lacking = before.lacking
    else:
        writers = [None, *peer.list_writers(origin)] if twice else []
        journals = [RemoteJournal(peer, origin, via) for via in writers]
        lacking = twice.minus(lying(node, journals, twice).whole) if twice else twice
    memory.branches[origin] = Branches(mark, count, lacking)
    return lacking


def _twice(node: Node, origin: str) -> tuple[Spans, int]:
    """The numbers under which there are two records of a journal, and how many records it is."""
    sql = "SELECT seq, count(*) FROM record WHERE origin = ? GROUP BY seq HAVING count(*) > 1"
    found = node.index.rows(sql + " ORDER BY seq", (origin,))
    return Spans([(seq, seq) for seq, _ in found]), sum(count for _, count in found)
