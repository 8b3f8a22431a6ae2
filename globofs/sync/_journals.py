"""Reading journals piecewise, and comparing what two nodes have acknowledged.

Used by push, receive, relay and identity. Segments are read from the newest back to the one in
which the first record looked for must lie, so the cost follows what is new, not the volume.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress

from globofs import limits
from globofs.errors import FormatError
from globofs.format.applied import Applied, Position, decode
from globofs.format.record import Found, Tail, scan
from globofs.format.text import format_time
from globofs.peerio.peer import Peer
from globofs.store import fsio
from globofs.store.node import Node
from globofs.sync._spans import Spans

PIECE_BYTES = limits.SEGMENT_BYTES
_FRAME_MOST = limits.RECORD_BYTES + 1024
_PEEK_BYTES = 64 * limits.KIB

ReadAt = Callable[[int, int], bytes]
"""`read(offset, limit)`: bytes of one segment, `b""` behind its end."""


def local_applied_bytes(node: Node) -> bytes:
    """Our own `upstream/applied` as it lies there; `b""` before the first."""
    try:
        return fsio.read_file(f"{node.directory}/upstream/applied", limits.APPLIED_BYTES)
    except FileNotFoundError:
        return b""


def decode_or_empty(data: bytes) -> Applied:
    """Acknowledgements, or none at all where the bytes are torn."""
    if data:
        try:
            return decode(data)
        except FormatError:
            pass
    return {}


def has(position: Position | None) -> Spans:
    """The records of one journal that a node acknowledges."""
    if position is None:
        return Spans()
    whole = Spans([(1, position.received)])
    return whole.minus(Spans(position.gaps)) if position.gaps else whole


def lacked(theirs: Position | None, ours: Position | None) -> Spans:
    """What is acknowledged in `ours` and not in `theirs`."""
    if theirs is not None and ours is not None and not theirs.gaps and not ours.gaps:
        return Spans([(theirs.received + 1, ours.received)])
    return has(ours).minus(has(theirs))


def records_in(read: ReadAt, offset: int = 0) -> Iterator[Found]:
    """The whole records of one segment from `offset`; memory stays bounded whatever lies there.

    Raises FormatError where so much is no record that it may never end.
    """
    good = offset  # the end of the last record
    while True:
        data = read(offset, PIECE_BYTES)
        resume = offset + len(data)
        for item in scan(data, offset):
            if isinstance(item, Found):
                good = item.end
                yield item
            elif isinstance(item, Tail):
                resume = item.offset
        if len(data) < PIECE_BYTES:
            return
        if offset + len(data) - good > limits.GARBAGE_BYTES:
            reason = f"more than {limits.GARBAGE_BYTES} bytes that are no record; not read on"
            raise FormatError(what=f"at {resume}", reason=reason)
        offset = max(resume, offset + PIECE_BYTES - _FRAME_MOST)


class RemoteJournal:
    """One journal as it lies at a peer: by its node (`via` None), or passed on by another."""

    def __init__(self, peer: Peer, origin: str, via: str | None = None) -> None:
        self.peer = peer
        self.origin = origin
        self.via = via
        self.cursor = 0
        """Where in `latest` the last reading ended: a hint for the next one."""
        self.refused: list[str] = []
        """What lies there and is no journal of this origin, until somebody has told it."""

    def read(self, name: str) -> ReadAt:
        """A reader of one segment."""

        def read_at(offset: int, limit: int) -> bytes:
            return self.peer.read_updates(self.origin, self.via, name, offset, limit)

        return read_at

    def segments_from(self, first: int) -> list[str]:
        """The segments that can hold record `first` and later ones, oldest first."""
        names = self.peer.list_updates(self.origin, self.via)
        at = len(names)
        while at > 0:
            at -= 1
            starts = self._first_number(names[at])
            if starts is not None and starts <= first:
                break
        return names[at:]

    def _first_number(self, name: str) -> int | None:
        data = self.peer.read_updates(self.origin, self.via, name, 0, _PEEK_BYTES)
        for item in scan(data):
            if isinstance(item, Found):
                return item.record.seq
        return None

    def find(self, wanted: Spans) -> Iterator[Found]:
        """Records of this origin whose numbers are in `wanted`, until all are found.

        First what follows the place where the last reading ended, then the segments. Of a forked
        journal both records of a number may come.
        """
        left = wanted
        if self.cursor:
            seen = Spans()
            yield from self._take("latest", self.cursor, left, seen)
            left = left.minus(seen)
        if not left:
            return
        for name in self.segments_from(left.first):
            seen = Spans()
            yield from self._take(name, 0, left, seen)
            left = left.minus(seen)
            if not left:
                return

    def _take(self, name: str, offset: int, wanted: Spans, seen: Spans) -> Iterator[Found]:
        ids: set[bytes] = set()
        try:
            for found in records_in(self.read(name), offset):
                record = found.record
                if name == "latest":
                    self.cursor = found.end
                if record.origin != self.origin:
                    self._refuse(f"{name}: a record of {record.origin} stands there")
                elif record.seq in wanted and found.id not in ids:
                    ids.add(found.id)
                    seen.add(record.seq)
                    yield found
        except FormatError as error:
            self._refuse(f"{name}: {error.message}")

    def _refuse(self, what: str) -> None:
        if not self.refused:
            by = f", passed on by {self.via}" if self.via else ""
            self.refused.append(f"refused in the journal of {self.origin}{by}: {what}")


def append_via(node: Node, origin: str, data: bytes, writer: str = "") -> None:
    """Append frames of another node's journal to our own file of it, `via/<own uuid>`.

    Not synced here: whoever acknowledges a record makes it durable first.
    """
    directory = node.updates(origin, writer or node.uuid)
    latest = f"{directory}/latest"
    try:
        start = fsio.append(latest, data, durable=False)
    except FileNotFoundError:
        fsio.mkdirs(directory)
        start = fsio.append(latest, data, durable=False)
    if start + len(data) >= limits.SEGMENT_BYTES:
        closed = f"{directory}/{format_time(node.clock.now_ns())}"
        if not os.path.lexists(closed):
            fsio.rename(latest, closed)


def unknown_branch(node: Node, peer: Peer, origin: str) -> Position | None:
    """Where a branch of a journal that is not known here begins at `peer`: a record behind one that
    is known, under a number that is known, too. Reads all that lies there. Raises `PeerError`."""
    sql = "SELECT max(seq) FROM record WHERE origin = ?"
    last = (node.index.one(sql, (origin,)) or (None,))[0] or 0

    def known(seq: int, id: bytes) -> bool:
        sql = "SELECT 1 FROM record WHERE origin = ? AND seq = ? AND id = ?"
        return seq == 0 or node.index.one(sql, (origin, seq, id)) is not None

    for via in [None, *peer.list_writers(origin)]:
        journal = RemoteJournal(peer, origin, via)
        with suppress(FormatError):  # so much garbage that it is not read on
            for name in journal.segments_from(1):
                for found in records_in(journal.read(name)):
                    seq, record = found.record.seq, found.record
                    if record.origin != origin or seq > last or known(seq, found.id):
                        continue
                    if known(seq - 1, record.prev):
                        return Position(seq, found.id)
    return None
