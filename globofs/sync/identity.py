"""Identity: a node takes its own records back, or, where it was cloned, a name of its own.

A node restored from a backup finds that a peer holds more of its journal than it does itself:
what is missing is taken back from there, verbatim, as long as it continues the chain. Where the
chain does not continue (a copied volume, or a restored one that went on writing), two nodes use
one uuid. The one that notices takes a new uuid and issues what it wrote since the fork again,
manifests verbatim; the old journal is left to the other. Nothing is lost and nothing is silent.
"""

from __future__ import annotations

import os
import threading
import uuid as uuids
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import takewhile

from globofs import limits
from globofs.errors import FormatError, GlobofsError, plural
from globofs.events import Emit, Problem, ignore
from globofs.format import kinds
from globofs.format.applied import Applied, Position
from globofs.format.record import BEFORE_APPEND, Found, Record
from globofs.peerio.peer import Peer
from globofs.store import fsio, home
from globofs.store.apply_records import unpack_gaps
from globofs.store.commit import Operation, Verbatim
from globofs.store.node import Node
from globofs.store.segments import LATEST, closed_segments
from globofs.sync._journals import RemoteJournal, append_via, records_in, unknown_branch
from globofs.sync._patience import Backoff
from globofs.sync._spans import Spans

_guard = threading.Lock()
"""One change of identity at a time in this process; the lock `journal` keeps others away."""

_MARK = "fork"
_FORMER = "was-"
_CARRIED = {
    kind.KIND: kind
    for kind in (
        kinds.NodeRecord,
        kinds.PruneRecord,
        kinds.PruneOkRecord,
        kinds.RetireRecord,
        kinds.NoteRecord,
    )
}
"""The records that are issued again beside versions. `back` answers for the old name alone, and
what is lost is said anew under the new one."""


def settle(
    node: Node, peer: Peer, theirs: Applied, doubts: Backoff | None = None, *, emit: Emit = ignore
) -> bool:
    """Compare our journal with what `peer` acknowledges of it; whether anything was changed.

    `doubts` remembers claims of the peer that nothing there bore out. After a change the node
    must catch up before the next round. Raises `PeerError`.
    """
    if node.readonly:
        return False
    if _pass_on_former(node, theirs):
        return True
    if _undoubted(node, theirs) and node.at_home():
        return False
    with _guard:
        if _mark_of(node) is not None:
            finish_reissue(node, emit=emit)
            return True
        changed = _take_relayed(node, emit)
        position = theirs.get(node.config.uuid)
        if position is None or position.received == 0:
            return changed
        now = node.clock.monotonic()
        if doubts is not None and not doubts.due(peer.uuid, now):
            return changed
        last = node.journal.last().seq
        if position.received > last:
            done = _take_back(node, peer, position, emit)
        elif _is_ours(node, position):
            return _fork_where_lived(node, peer, doubts, emit) or changed
        else:
            done = _proven(node, peer, position)
            if done:
                _fork(node, peer, position, emit)
        if doubts is not None and not done:
            doubts.failed(peer.uuid, now)
        return done or changed


def fork_where_foreign(node: Node, peer: Peer, position: Position, *, emit: Emit = ignore) -> bool:
    """A record of our own name was found at `peer`, unacknowledged, that is another than ours: this
    node was restored from a backup and went on, while that peer's clients slept. It becomes another
    node; whether that was needed. Raises `PeerError`."""
    with _guard:
        node.reload()
        if node.readonly or _mark_of(node) is not None or _is_ours(node, position):
            return False
        if not _proven(node, peer, position):
            return False
        _fork(node, peer, position, emit)
        return True


def _fork_where_lived(node: Node, peer: Peer, doubts: Backoff | None, emit: Emit) -> bool:
    """Become another node if `peer` has records of another life of this one, while it may be a copy
    or restored: once our branch got there, too, no acknowledgement tells of the other one."""
    now, key = node.clock.monotonic(), f"life {peer.uuid}"
    if node.at_home() or (doubts is not None and not doubts.due(key, now)):
        return False
    branch = unknown_branch(node, peer, node.uuid)
    if branch is not None and not _is_ours(node, branch):
        _fork(node, peer, branch, emit)
        return True
    if doubts is not None:
        doubts.failed(key, now)
    return False


def _undoubted(node: Node, theirs: Applied) -> bool:
    """The usual case, without a lock: nothing was begun or passed on, the record is ours."""
    own = node.config.uuid
    if os.path.lexists(os.path.join(node.directory, "state", _MARK)):
        return False
    if os.path.lexists(f"{node.upstream(own)}/via"):
        return False
    position = theirs.get(own)
    if position is None or position.received == 0:
        return True
    return position.received <= node.journal.last().seq and _is_ours(node, position)


def _proven(node: Node, peer: Peer, position: Position) -> bool:
    """Whether the peer really holds a record of ours that is another than ours.

    An identity is not given up for a flipped bit in somebody's `applied`.
    """
    wanted = Spans([(position.received, position.received)])
    for via in [None, *peer.list_writers(node.config.uuid)]:
        for found in RemoteJournal(peer, node.config.uuid, via).find(wanted):
            if found.id == position.hash:
                return True
    return False


def _is_ours(node: Node, position: Position) -> bool:
    """Whether the record that the peer acknowledges last is one of our own journal."""
    sql = "SELECT id FROM record WHERE origin = ? AND seq = ?"
    known = node.index.rows(sql, (node.config.uuid, position.received))
    if [row[0] for row in known] == [position.hash]:
        return True
    for found in own_records(node, position.received):
        if found.record.seq == position.received:
            return found.id == position.hash
        if found.record.seq > position.received:
            break
    return True  # not found: a torn piece of our own; that is not the peer's doing


# --- our own files --------------------------------------------------------------------------


def own_records(node: Node, first: int = 1) -> Iterator[Found]:
    """The records in our own journal's files (not what others passed on), from `first` on."""
    yield from _local_records(node.updates(node.uuid), node.uuid, first)


def _local_records(directory: str, origin: str, first: int) -> Iterator[Found]:
    names = [*reversed(closed_segments(directory)), LATEST]
    paths = [os.path.join(directory, name) for name in names]
    at = len(paths)
    while at > 0:
        at -= 1
        start = next(iter(_in_file(paths[at])), None)
        if start is not None and start.record.seq <= first:
            break
    for path in paths[at:]:
        for found in _in_file(path):
            if found.record.origin == origin and found.record.seq >= first:
                yield found


def _in_file(path: str) -> Iterator[Found]:
    def read(offset: int, limit: int) -> bytes:
        try:
            return fsio.read_range(path, offset, limit)
        except FileNotFoundError:
            return b""

    with suppress(FormatError):  # what comes behind so much garbage is read by nobody
        yield from records_in(read)


# --- restored from a backup -----------------------------------------------------------------


def _take_back(node: Node, peer: Peer, position: Position, emit: Emit) -> bool:
    """Append the records of ours that `peer` has and we have not; a fork where they do not fit."""
    last = node.journal.last().seq
    wanted = Spans([(last + 1, position.received)])
    count, fits = 0, True
    ways: list[str | None] = [None, *peer.list_writers(node.uuid)]
    for via in ways:
        found = RemoteJournal(peer, node.uuid, via).find(wanted)
        count, fits = _append_own(node, found)
        if count or not fits:
            break
    if not fits:
        _fork(node, peer, position, emit)
        return True
    if count:
        node.catch_up(emit=emit)
        text = (
            f"this node's journal was behind {peer.name}'s copy of it (restored from a backup?):"
            f" {_taken(count)} back"
        )
        emit(Problem(b"", text, warning=True))
    return count > 0


def _take_relayed(node: Node, emit: Emit) -> bool:
    """Take back records of ours that a peer, which we may not be able to read, passed on."""
    directory = f"{node.upstream(node.uuid)}/via"
    try:
        writers = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return False
    total = 0
    for writer in writers:
        last = node.journal.last().seq
        place = node.updates(node.uuid, writer)
        count, fits = _append_own(node, _local_records(place, node.uuid, last + 1))
        total += count
        if not fits:
            emit(Problem(b"", f"records passed on by {writer} as ours continue another journal"))
    if total:
        node.catch_up(emit=emit)
        emit(Problem(b"", f"of this node's own, {_taken(total)} back from relays", True))
    return total > 0


def _taken(count: int) -> str:
    return f"{plural(count, 'record')} {'was' if count == 1 else 'were'} taken"


def _append_own(node: Node, found: Iterator[Found]) -> tuple[int, bool]:
    """Append records to our own journal as far as they continue it; how many, and whether all
    that were new did."""
    count = 0
    batch: list[Found] = []
    size = 0
    for item in found:
        batch.append(item)
        size += len(item.raw)
        if size >= limits.PUSH_BUFFER_BYTES:
            done, fits = _append_batch(node, batch)
            count += done
            if not fits:
                return count, False
            batch, size = [], 0
    done, fits = _append_batch(node, batch)
    return count + done, fits


def _append_batch(node: Node, batch: list[Found]) -> tuple[int, bool]:
    if not batch:
        return 0, True
    with node.locks.journal.exclusive():
        node.reload()
        number, digest = node.journal.last()
        frames: list[bytes] = []
        fits = True
        for item in sorted(batch, key=lambda found: found.record.seq):
            if item.record.seq <= number or item.record.origin != node.uuid:
                continue
            fits = item.record.seq == number + 1 and item.record.prev == digest
            if not fits and any(_follows(other, number, digest) for other in batch):
                continue  # of a fork's two records, the one that is not ours
            if not fits:
                fits = item.record.seq != number + 1  # a hole only means "not yet"
                break
            number, digest = item.record.seq, item.id
            frames.append(item.raw)
        if frames:
            node.journal.append(frames)
    return len(frames), fits


def _follows(item: Found, number: int, digest: bytes) -> bool:
    return item.record.seq == number + 1 and item.record.prev == digest


# --- a fork ---------------------------------------------------------------------------------


def _fork(node: Node, peer: Peer, position: Position, emit: Emit) -> None:
    """Become another node: keep the common part as the other's, issue the rest again."""
    common = _common(node, peer, position)
    old, new = node.uuid, str(uuids.uuid4())
    text = (
        f"{peer.name} knows another continuation of this node's journal after record {common}:"
        f" the volume was copied, or restored and used. This node is {new} from now on; what it"
        " wrote since is issued again under that name. Where other nodes name this one as a peer,"
        " say `globofs peer remove` and `globofs peer add` there."
    )
    emit(Problem(b"", text))
    mark = f"{old} {new} {common}\n".encode()
    state = os.path.join(node.directory, "state")
    fsio.mkdirs(state)
    fsio.write_atomic(os.path.join(state, _MARK), mark, durable=True)
    finish_reissue(node, emit=emit)


def _common(node: Node, peer: Peer, position: Position) -> int:
    """The last record that both continuations share: where the chain that ends in what the peer
    acknowledges meets ours. The peer may hold both; 0 where its chain cannot be followed."""
    ours = {found.id: found.record.seq for found in own_records(node)}
    before: dict[bytes, bytes] = {}
    at = position.hash
    for via in [None, *peer.list_writers(node.uuid)]:
        for found in RemoteJournal(peer, node.uuid, via).find(Spans([(1, position.received)])):
            before[found.id] = found.record.prev
        while at not in ours and at in before:
            at = before[at]
        if at in ours:
            return ours[at]
    return 0


def _mark_of(node: Node) -> tuple[str, str, int] | None:
    """A change of identity that was begun: old uuid, new uuid, last common record."""
    try:
        data = fsio.read_file(os.path.join(node.directory, "state", _MARK), 1024)
        old, new, common = data.decode("ascii").split()
        return old, new, int(common)
    except (OSError, ValueError):
        return None


def finish_reissue(node: Node, *, emit: Emit = ignore) -> None:
    """Do what the mark of a begun change says, from wherever it was stopped; no mark: nothing.

    Other clients of this node wait: what one of them wrote under the old name after the last look
    at the old journal would stand in a file that nobody reads any more.
    """
    # A large manifest that is issued again is a block, and `adders` goes before `journal`.
    with node.locks.adders.shared(), node.locks.journal.exclusive():
        node.reload()
        mark = _mark_of(node)
        if mark is None:
            return
        old, new, common = mark
        directory = node.updates(old)
        if node.uuid == old:
            _keep_common(node, directory, old, new, common)
            node.change_config("uuid", new)
        if node.uuid != new:
            raise FormatError(what="state/fork", reason="it speaks of another node")
        _issue_again(node, directory, old, common, emit)
        if os.path.isdir(directory):
            aside = os.path.join(node.upstream(new), f"{_FORMER}{old}")
            if os.path.lexists(aside):
                aside += f"-{uuids.uuid4().hex[:8]}"
            fsio.rename(directory, aside)
        node.index.reset()
        node.catch_up(emit=emit)
    node.finish()
    home.note(node.directory)  # whatever it was copied from bears another name
    with suppress(FileNotFoundError):
        fsio.unlink(os.path.join(node.directory, "state", _MARK))


def _keep_common(node: Node, directory: str, old: str, new: str, common: int) -> None:
    """Keep the part that is the other's as well, as a journal passed on by us."""
    found = takewhile(lambda one: one.record.seq <= common, _local_records(directory, old, 1))
    _pass_on(node, old, found, writer=new)
    latest = os.path.join(node.updates(old, new), "latest")
    with suppress(FileNotFoundError):
        fsio.fdatasync_file(latest)


def _pass_on(node: Node, old: str, found: Iterable[Found], *, writer: str = "") -> int:
    """Append records of `old` to what is passed on by us, a buffer at a time; how many it were."""
    count = size = 0
    pieces: list[bytes] = []
    for one in found:
        count += 1
        pieces.append(one.raw)
        size += len(one.raw)
        if size >= limits.PUSH_BUFFER_BYTES:
            append_via(node, old, BEFORE_APPEND + b"".join(pieces), writer=writer)
            pieces, size = [], 0
    if pieces:
        append_via(node, old, BEFORE_APPEND + b"".join(pieces), writer=writer)
    return count


def _pass_on_former(node: Node, theirs: Applied) -> bool:
    """Records of ours under a name that we gave up, which the peer or we count as lacking: some of
    that branch had got around before the fork was noticed, and it hangs in the air without them.
    They are kept as passed on by us; whether there were any."""
    gaps = dict(node.index.rows("SELECT origin, gaps FROM seen WHERE gaps <> ''"))
    asked = {origin for origin, position in theirs.items() if position.gaps} | gaps.keys()
    count = 0
    for old in asked - {node.uuid}:
        wanted = Spans(unpack_gaps(gaps.get(old, "")))
        if old in theirs:
            wanted = wanted.plus(Spans(theirs[old].gaps))
        for place in _former(node, old) if wanted else ():
            lacking = (
                found
                for found in _local_records(place, old, wanted.first)
                if found.record.seq in wanted and not _is_known(node, found)
            )
            count += _pass_on(node, old, lacking)
    return count > 0


def _former(node: Node, old: str) -> list[str]:
    """Where the journals lie that we wrote as `old`."""
    above = node.upstream(node.uuid)
    try:
        names = sorted(name for name in os.listdir(above) if name.startswith(f"{_FORMER}{old}"))
    except FileNotFoundError:
        return []  # this node wrote nothing yet
    return [os.path.join(above, name) for name in names]


def _is_known(node: Node, found: Found) -> bool:
    sql = "SELECT 1 FROM record WHERE origin = ? AND seq = ? AND id = ?"
    return node.index.one(sql, (found.record.origin, found.record.seq, found.id)) is not None


def _issue_again(node: Node, directory: str, old: str, common: int, emit: Emit) -> None:
    """Write everything after the fork into the new journal, operation by operation."""
    done: set[bytes] = set()
    for found in own_records(node):
        manifest = found.record.get("manifest")
        if manifest is not None:
            done.add(bytes.fromhex(manifest))
    group: list[Record] = []
    for found in _local_records(directory, old, common + 1):
        record = found.record
        if group and record.op != group[0].op:
            _issue_operation(node, group, done, emit)
            group = []
        group.append(record)
    if group:
        _issue_operation(node, group, done, emit)


def _issue_operation(node: Node, group: list[Record], done: set[bytes], emit: Emit) -> None:
    verb = "reissue"
    args: tuple[bytes, ...] = ()
    manifests: list[Verbatim] = []
    others: list[kinds.Entry] = []
    for record in group:
        try:
            if record.kind == kinds.VersionRecord.KIND:
                entry = kinds.VersionRecord.parse(record)
                if entry.manifest not in done:
                    manifests.append(_verbatim(node, entry, record.origin))
            elif record.kind == kinds.CloseRecord.KIND:
                closing = kinds.CloseRecord.parse(record)
                verb, args = closing.verb, closing.args
            elif record.kind in _CARRIED:
                others.append(_CARRIED[record.kind].parse(record))
        except (GlobofsError, KeyError) as error:
            emit(Problem(b"", f"record {record.seq} could not be issued again: {error}"))
    if not manifests and not others:
        return
    with Operation(node, verb, args, emit=emit) as operation:
        operation.commit_verbatim(manifests)
        if others:
            operation.record(*others)


def _verbatim(node: Node, entry: kinds.VersionRecord, origin: str) -> Verbatim:
    text = entry.text
    if entry.length > limits.MANIFEST_INLINE_BYTES:
        text = node.blocks.get(entry.manifest, entry.length)
    manifest = entry.decode(origin, text)
    return Verbatim(text, manifest, entry.parents, entry.source)
