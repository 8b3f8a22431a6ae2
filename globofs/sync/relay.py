"""Relay: records of other nodes, passed on verbatim to a peer that has gone without them.

They go into files of our own (`upstream/<origin>/via/<own uuid>/`), so there is still one writer
a file. A peer that can fetch for itself, or that the origin reaches, gets its chance first: two
rounds without any progress of that origin.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from globofs.events import Cancelled, Emit, ignore, never
from globofs.format.applied import Applied
from globofs.peerio.peer import Peer
from globofs.store.apply_records import load_seen
from globofs.store.node import Node
from globofs.sync._journals import lacked
from globofs.sync._outbox import Delivered, Sent, deliver
from globofs.sync._patience import Patience
from globofs.sync._spans import Spans

RELAY_AFTER_ROUNDS = 2


@dataclass(slots=True)
class Relayed:
    """What is remembered between rounds: how long each origin was lacked, and what lies there."""

    patience: Patience = field(default_factory=Patience)
    sent: dict[str, Sent] = field(default_factory=dict)


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

    A node's own records go back to it too: one restored from a backup misses them, and where it
    went on writing before it could ask, its numbers tell nobody so. Raises `PeerError`.
    """
    records = total = waiting = 0
    for origin, position in ours.items():
        if origin == node.uuid or cancelled():
            continue
        known = theirs.get(origin)
        lacking = lacked(known, position)
        forked = _forked(node, origin) if origin == peer.uuid and not lacking else None
        if forked:
            done = deliver(
                *(node, peer, origin, known, forked),
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
        waiting += lacking.count()
        mark = (known.received, known.gaps) if known is not None else (0, ())
        if memory.patience.looks(origin, mark) < RELAY_AFTER_ROUNDS:
            continue
        sent = memory.sent.setdefault(origin, Sent())
        done = deliver(node, peer, origin, known, lacking, sent, emit=emit, cancelled=cancelled)
        records += done.records
        total += done.bytes
    return Delivered(records, total, waiting)


def _forked(node: Node, origin: str) -> Spans:
    """The numbers under which there are two records of a journal."""
    if not load_seen(node.index.db, origin).forked:
        return Spans()
    sql = "SELECT seq FROM record WHERE origin = ? GROUP BY seq HAVING count(*) > 1 ORDER BY seq"
    return Spans([(seq, seq) for (seq,) in node.index.rows(sql, (origin,))])
