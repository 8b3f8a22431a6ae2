"""Receive: fetch the journals that a peer holds and that nobody pushes to us.

A peer that cannot write here (read-only, one-way) still shows us everything: what its `applied`
acknowledges and we lack is read there and appended verbatim to our own `via/` file. Its own
journal is read only up to its own `applied`, so no record is seen before its blocks. What was
fetched is applied like anything else that lies in `upstream/`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from globofs import limits
from globofs.events import BlockMoved, Cancelled, Emit, Problem, ignore, never
from globofs.format.applied import Applied, Position
from globofs.format.record import BEFORE_APPEND, Found
from globofs.peerio.peer import Peer
from globofs.store.apply_records import load_seen
from globofs.store.node import Node
from globofs.sync._journals import RemoteJournal, append_via, lacked
from globofs.sync._patience import Backoff, Patience
from globofs.sync._spans import Spans

FETCH_AFTER_ROUNDS = 2

Journals = dict[tuple[str, str | None], RemoteJournal]
"""Journals at one peer, by origin and by who passed them on."""


class Claims:
    """Which records are being fetched, and from which peer: no two fetch the same at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: dict[str, Spans] = {}

    def take(self, origin: str, wanted: Spans) -> Spans:
        """The part of `wanted` that nobody else fetches; it is the caller's until `release`."""
        with self._lock:
            taken = self._taken.setdefault(origin, Spans())
            free = wanted.minus(taken)
            for low, high in free:
                taken.add(low, high)
            return free

    def release(self, origin: str, spans: Spans) -> None:
        """They can be fetched by anybody (again)."""
        with self._lock:
            self._taken[origin] = self._taken.get(origin, Spans()).minus(spans)

    def clear(self) -> None:
        """Everything fetched so far has been applied."""
        with self._lock:
            self._taken.clear()


@dataclass(slots=True)
class Fetched:
    """What is remembered of one peer between rounds."""

    patience: Patience = field(default_factory=Patience)
    backoff: Backoff = field(default_factory=Backoff)
    journals: Journals = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Received:
    """What one pass fetched; `waiting` records are acknowledged there and lacking here."""

    records: int = 0
    bytes: int = 0
    waiting: int = 0


def writes_here(node: Node, peer: Peer) -> bool:
    """Whether the peer has ever pushed its own journal to us."""
    return os.path.isdir(f"{node.directory}/upstream/{peer.uuid}/updates")


def fetch(
    node: Node,
    peer: Peer,
    theirs: Applied,
    ours: Applied,
    memory: Fetched,
    *,
    after_rounds: int = FETCH_AFTER_ROUNDS,
    claims: Claims | None = None,
    emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> Received:
    """Fetch the records of all origins that `peer` acknowledges and we lack.

    Each origin gets `after_rounds` rounds without progress first, unless the peer has never
    written here. Raises `PeerError`; what was fetched until then stays.
    """
    records = total = waiting = 0
    patient: bool | None = None
    for origin, position in theirs.items():
        if origin == node.uuid or cancelled():
            continue
        known = ours.get(origin)
        lacking = lacked(known, position)
        if not lacking and _is_other_branch(node, origin, known, position):
            lacking = Spans([(position.received, position.received)])
        perhaps = _perhaps(node, origin, known, position)
        if not lacking and not perhaps:
            memory.patience.forget(origin)
            memory.backoff.forget(origin)
            continue
        waiting += lacking.count()
        mark = (known.received, known.gaps) if known is not None else (0, ())
        looks = memory.patience.looks(origin, mark) if lacking else after_rounds
        if patient is None:
            patient = writes_here(node, peer)
        now = node.clock.monotonic()
        if (patient and looks < after_rounds) or not memory.backoff.due(origin, now):
            continue
        lacking = lacking.plus(perhaps)
        wanted = claims.take(origin, lacking) if claims is not None else lacking
        if not wanted:
            continue
        left = wanted
        try:
            count, size, left = _fetch_origin(
                *(node, peer, origin, wanted, _is_new(node, origin, wanted)),
                *(memory.journals, emit, cancelled),
            )
        finally:  # what did not come may be fetched from another peer
            if claims is not None:
                claims.release(origin, left)
        records += count
        total += size
        if left:  # acknowledged there, yet nowhere to be read: damaged, or not true
            memory.backoff.failed(origin, now)
        else:
            memory.backoff.forget(origin)
    return Received(records, total, max(0, waiting - records))


def fetch_again(
    node: Node,
    peer: Peer,
    origin: str,
    wanted: Spans,
    *,
    emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> Spans:
    """Fetch records that are known here, but stand whole in no file any more; which did not come.

    Only the very records that the index knows are taken, or that one behind them names as the one
    before it: the index may be damaged, too. Raises `PeerError`, `FormatError`.
    """
    known = _known_ids(node, origin, wanted)
    sql = "SELECT prev FROM record WHERE origin = ? AND seq BETWEEN ? AND ?"
    for low, high in wanted:
        known.update(row[0] for row in node.index.rows(sql, (origin, low + 1, high + 1)))

    def take(found: Found) -> bool:
        return found.id in known

    return _fetch_origin(node, peer, origin, wanted, take, {}, emit, cancelled)[2]


def _is_other_branch(node: Node, origin: str, ours: Position | None, theirs: Position) -> bool:
    """Whether both are equally far in a journal, and the peer's last record is none of ours: the
    origin was cloned, and we have one branch only. The chain leads to the rest of the other."""
    if ours is None or theirs.hash == ours.hash or theirs.received != ours.received:
        return False
    sql = "SELECT id FROM record WHERE origin = ? AND seq = ?"
    known = {row[0] for row in node.index.rows(sql, (origin, theirs.received))}
    return theirs.hash not in known


def _perhaps(node: Node, origin: str, ours: Position | None, theirs: Position) -> Spans:
    """Numbers of a forked journal that both count as gaps: of its two records under one number
    each may have one, and it may not be the same."""
    if ours is None or not ours.gaps or not theirs.gaps:
        return Spans()
    if not load_seen(node.index.db, origin).forked:
        return Spans()
    return Spans(ours.gaps).both(Spans(theirs.gaps))


def _is_new(node: Node, origin: str, wanted: Spans) -> Callable[[Found], bool]:
    known = _known_ids(node, origin, wanted)
    return lambda found: found.id not in known


def _known_ids(node: Node, origin: str, wanted: Spans) -> set[bytes]:
    """Records that are here under numbers that are wanted all the same: the branches of a fork."""
    sql = "SELECT id FROM record WHERE origin = ? AND seq BETWEEN ? AND ?"
    return {row[0] for low, high in wanted for row in node.index.rows(sql, (origin, low, high))}


def _fetch_origin(
    node: Node,
    peer: Peer,
    origin: str,
    wanted: Spans,
    take: Callable[[Found], bool],
    journals: Journals,
    emit: Emit,
    cancelled: Cancelled,
) -> tuple[int, int, Spans]:
    """Fetch those of `wanted` that `take` takes, from the origin's own file there, then from what
    others passed on. Returns records, bytes, and the numbers that did not come."""
    records = total = 0
    writers: list[str | None] = [None]
    asked = False
    while writers and wanted and not cancelled():
        via = writers.pop(0)
        journal = journals.get((origin, via))
        if journal is None:
            journal = journals[(origin, via)] = RemoteJournal(peer, origin, via)
        pieces: list[bytes] = []
        size = 0
        got = Spans()
        for found in journal.find(wanted):
            if not take(found):
                continue
            pieces.append(found.raw)
            size += len(found.raw)
            got.add(found.record.seq)
            if size >= limits.PUSH_BUFFER_BYTES:
                _keep(node, peer, origin, pieces, emit)
                total += size
                pieces, size = [], 0
                if cancelled():
                    break
        if pieces:
            _keep(node, peer, origin, pieces, emit)
            total += size
        while journal.refused:
            emit(Problem(b"", f"{peer.name}: {journal.refused.pop()}", warning=True))
        records += got.count()
        wanted = wanted.minus(got)
        if wanted and not writers and not asked:
            asked = True
            writers = list(peer.list_writers(origin))
    return records, total, wanted


def _keep(node: Node, peer: Peer, origin: str, pieces: list[bytes], emit: Emit) -> None:
    data = BEFORE_APPEND + b"".join(pieces)
    append_via(node, origin, data)
    emit(BlockMoved(peer.name, "pull", len(data)))
