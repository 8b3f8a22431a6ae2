"""What a peer lacks goes there: the part that push and relay have in common.

The queue to a peer is a difference, not a file: what we acknowledge minus what it acknowledges,
minus what already lies there unacknowledged. The latter is read from the peer at start, after
any doubt (a failed append, a gap) and with growing back-off, so that a torn append, a lost
acknowledgement or a restored backup heals, and a peer whose clients sleep is not sent the same
records twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from globofs import limits
from globofs.errors import FormatError
from globofs.events import BlockMoved, Emit
from globofs.format.applied import Position
from globofs.format.kinds import VersionRecord
from globofs.format.record import BEFORE_APPEND, Found
from globofs.peerio.peer import Peer
from globofs.store.node import Node
from globofs.sync._journals import RemoteJournal
from globofs.sync._spans import Spans

_LOOK_FIRST_SECONDS = 4.0
_LOOK_MOST_SECONDS = 600.0
_SEND_BATCH = 256
_END_BYTES = 4096
_APPEND_SECONDS = 1.0
_BUFFER_LEAST = 256 * limits.KIB

Cancelled = Callable[[], bool]


@dataclass(slots=True)
class Sent:
    """What of one journal lies at a peer in our file, not yet acknowledged."""

    spans: Spans = field(default_factory=Spans)
    looked: bool = False
    gaps: tuple[tuple[int, int], ...] = ()
    known: int = 0  # how many records we had under the numbers in its gaps
    end: bytes = b""  # the last bytes of our file there, as we left it
    buffer: int = _BUFFER_LEAST  # bytes of one append
    look_at: float = 0.0
    wait: float = _LOOK_FIRST_SECONDS
    foreign: Position | None = None
    """A record of our own journal that lies there and is not ours: written in another life."""

    def took(self, size: int, seconds: float) -> None:
        """An append of `size` bytes took that long. The next one is of what takes about a second:
        many round trips are saved, and a slow line does not look like a peer that hangs."""
        if seconds > _APPEND_SECONDS:
            self.buffer = max(size // 2, _BUFFER_LEAST)
        else:
            self.buffer = max(self.buffer, 2 * size)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one pass appended; `waiting` records still lack an acknowledgement."""

    records: int = 0
    bytes: int = 0
    waiting: int = 0


def deliver(
    node: Node,
    peer: Peer,
    origin: str,
    theirs: Position | None,
    lacking: Spans,
    sent: Sent,
    *,
    emit: Emit,
    cancelled: Cancelled,
) -> Delivered:
    """Append to our file of `origin`'s journal at `peer` what it lacks and does not lie there.

    Nothing, where another life of this node has written there (`Sent.foreign`). Raises `PeerError`;
    whatever was appended until then is remembered.
    """
    own = node.uuid
    via = None if origin == own else own
    if not lacking:
        sent.spans, sent.wait, sent.looked = Spans(), _LOOK_FIRST_SECONDS, True
        return Delivered()
    sent.spans = sent.spans.both(lacking)
    _look(node, peer, RemoteJournal(peer, origin, via), theirs, lacking, sent)
    if sent.foreign is not None:
        return Delivered(waiting=lacking.count())
    missing = lacking.minus(sent.spans)
    records = total = 0
    if missing:
        for batch in _batches(node, origin, missing, sent):
            if cancelled():
                break
            if peer.send:
                send_blocks(node, peer, batch, emit)
            data = BEFORE_APPEND + b"".join([found.raw for found in batch])
            began = node.clock.monotonic()
            try:
                peer.append_updates(origin, via, data)
            except BaseException:
                sent.looked = False  # who knows how much of it lies there
                sent.buffer = _BUFFER_LEAST
                raise
            sent.took(len(data), node.clock.monotonic() - began)
            for found in batch:
                sent.spans.add(found.record.seq)
            sent.end = data[-_END_BYTES:]
            records += len(batch)
            total += len(data)
            emit(BlockMoved(peer.name, "push", len(data)))
        sent.wait = _LOOK_FIRST_SECONDS
        sent.look_at = node.clock.monotonic() + sent.wait
    return Delivered(records, total, lacking.count())


def _look(
    node: Node,
    peer: Peer,
    journal: RemoteJournal,
    theirs: Position | None,
    lacking: Spans,
    sent: Sent,
) -> None:
    """Read, when it is time, which of the lacking records lie there already."""
    gaps = theirs.gaps if theirs is not None else ()
    known = _count(node, journal.origin, lacking.both(Spans(gaps)))
    now = node.clock.monotonic()
    due = bool(sent.spans) and now >= sent.look_at
    if sent.looked and (gaps, known) == (sent.gaps, sent.known):
        if not due:
            return
        if sent.end and _ends_as_left(peer, journal, sent):
            _wait_longer(sent, now)
            return
    there, others = lying(node, [journal], lacking)
    sent.spans, sent.looked, sent.gaps, sent.known = there, True, gaps, known
    sent.foreign = others[-1] if others and journal.via is None else None
    sent.end = peer.read_end(journal.origin, journal.via, _END_BYTES) if there else b""
    _wait_longer(sent, now)


def _count(node: Node, origin: str, numbers: Spans) -> int:
    """How many records are here under these numbers: more than numbers where a fork was."""
    sql = "SELECT count(*) FROM record WHERE origin = ? AND seq BETWEEN ? AND ?"
    return sum(node.index.rows(sql, (origin, low, high))[0][0] for low, high in numbers)


class Lying(NamedTuple):
    """What stands in files at a peer under some numbers of one journal."""

    whole: Spans  # the numbers of which all that we have is there: of a fork there are two records
    others: list[Position]  # records that we have not under numbers that we have


def lying(node: Node, journals: Sequence[RemoteJournal], numbers: Spans) -> Lying:
    """Look for the records of `numbers` in these files, all of one origin. Raises `PeerError`."""
    there: dict[int, set[bytes]] = {}
    for journal in journals:
        for found in journal.find(numbers):
            there.setdefault(found.record.seq, set()).add(found.id)
    whole = Spans()
    others: list[Position] = []
    sql = "SELECT id FROM record WHERE origin = ? AND seq = ?"
    for seq, ids in sorted(there.items()):
        ours = {row[0] for row in node.index.rows(sql, (journals[0].origin, seq))}
        if ours and ours <= ids:
            whole.add(seq)
        others += [Position(seq, id_) for id_ in ids - ours if ours]
    return Lying(whole, others)


def _wait_longer(sent: Sent, now: float) -> None:
    sent.look_at = now + sent.wait
    sent.wait = min(sent.wait * 2, _LOOK_MOST_SECONDS)


def _ends_as_left(peer: Peer, journal: RemoteJournal, sent: Sent) -> bool:
    """Whether our file there ends as we left it: then nobody put an older one in its place.

    What lies there may be gigabytes, for a peer whose clients sleep for months.
    """
    return peer.read_end(journal.origin, journal.via, len(sent.end)) == sent.end


def _batches(node: Node, origin: str, missing: Spans, sent: Sent) -> Iterator[list[Found]]:
    """The missing records of a journal in order, in lists of at most one buffer."""
    batch: list[Found] = []
    size = 0
    for low, high in missing:
        for found in node.journal.read_from(origin, low - 1):
            number = found.record.seq
            if number > high:
                break
            if number < low:
                continue
            if batch and size + len(found.raw) > min(sent.buffer, limits.PUSH_BUFFER_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(found)
            size += len(found.raw)
    if batch:
        yield batch


def send_blocks(node: Node, peer: Peer, batch: list[Found], emit: Emit) -> int:
    """Write the blocks that versions in `batch` use and the peer lacks into its `hashes/`.

    Blocks that are not here are left out: whoever holds them sends them. Returns bytes written.
    """
    blocks: dict[bytes, None] = {}
    for found in batch:
        if found.record.kind != VersionRecord.KIND:
            continue
        try:
            version = VersionRecord.parse(found.record)
            text = version.text
            if version.length > limits.MANIFEST_INLINE_BYTES:
                blocks[version.manifest] = None
                text = node.blocks.get(version.manifest, version.length)
            manifest = version.decode(found.record.origin, text)
        except (FormatError, KeyError, OSError):
            continue  # a record that means nothing to us may mean something to the peer
        blocks.update((block.id, None) for block in manifest.blocks)
    return write_blocks(node, peer, list(blocks), emit)


def write_blocks(node: Node, peer: Peer, blocks: list[bytes], emit: Emit) -> int:
    """Write those of `blocks` that are here and the peer lacks; returns bytes written."""
    total = 0
    for start in range(0, len(blocks), _SEND_BATCH):
        for block in peer.lacks(blocks[start : start + _SEND_BATCH]):
            if node.blocks.find(block) is None and not node.blocks.has(block):
                continue
            data, suffix = node.blocks.read_raw(block)
            peer.write_block(block, data, suffix)
            total += len(data)
            emit(BlockMoved(peer.name, "push", len(data)))
    return total
