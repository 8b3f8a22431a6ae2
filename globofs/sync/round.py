"""A round with a peer: look at what it acknowledges, then identity, fetch, push and relay.

`sync_round` is one round with one peer, for the engine; `sync` is the command: rounds with all
peers at once until nothing moves. A round in which nothing is new reads the peer's config twice
and its `applied` once, whatever the size of the volume and the number of nodes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from globofs.errors import FormatError, GlobofsError, PeerReadOnly, from_os_error, plural
from globofs.events import (
    Cancelled,
    Emit,
    Event,
    Note,
    PeerSeen,
    PeerState,
    Problem,
    ignore,
    never,
    problems_to,
)
from globofs.format.applied import Applied, why_refused
from globofs.peerio.directory import decode_applied
from globofs.peerio.peer import Peer
from globofs.peerio.peers import Peers
from globofs.store.announce import announce
from globofs.store.node import Node
from globofs.store.tree import is_behind
from globofs.sync import identity
from globofs.sync._journals import decode_or_empty, lacked, local_applied_bytes
from globofs.sync._outbox import Delivered, Sent
from globofs.sync._patience import Backoff
from globofs.sync.peer_notes import note_seen
from globofs.sync.pull import Puller
from globofs.sync.push import push
from globofs.sync.receive import FETCH_AFTER_ROUNDS, Claims, Fetched, Received, fetch
from globofs.sync.relay import Relayed, relay
from globofs.sync.upkeep import pull_owed

_HEAD_START_SECONDS = 2.0
_PASSES = 4  # news fetched in the first are relayed in the last, after two rounds of patience
_WRITE_RETRY_FIRST_SECONDS = 2.0
_WRITE_RETRY_MOST_SECONDS = 60.0
_JOIN_SECONDS = 0.05
_LEAVE_SECONDS = 1.0


@dataclass(slots=True)
class PeerMemory:
    """What is remembered of one peer between rounds. One round at a time uses it."""

    sent: Sent = field(default_factory=Sent)
    relayed: Relayed = field(default_factory=Relayed)
    fetched: Fetched = field(default_factory=Fetched)
    doubts: Backoff = field(default_factory=Backoff)  # about who we are
    theirs: Applied = field(default_factory=dict)
    theirs_bytes: bytes | None = None
    ours_bytes: bytes | None = None
    behind: int = 0  # how far our own acknowledged journal was when it last lagged
    settled: bool = False  # nothing was lacking on either side when last compared
    write_at: float = 0.0  # monotonic: when a peer that cannot be written to is tried again
    write_wait: float = _WRITE_RETRY_FIRST_SECONDS


@dataclass(frozen=True, slots=True)
class RoundResult:
    """What one round with one peer did. Counts are records, `bytes` moved both ways.

    `unsettled`: something lies still that a further round may move. Never raises for a peer:
    what went wrong is in `seen` and `problems`.
    """

    seen: PeerSeen
    sent: int = 0
    relayed: int = 0
    fetched: int = 0
    bytes: int = 0
    unsettled: bool = False
    identity_changed: bool = False
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What `sync` did. `sent` and `received` are records; `blocks` were pulled as owed."""

    peers: tuple[PeerSeen, ...] = ()
    sent: int = 0
    received: int = 0
    relayed: int = 0
    bytes: int = 0
    blocks: int = 0
    rounds: int = 0
    interrupted: bool = False
    problems: tuple[Problem, ...] = ()


def sync_round(
    node: Node,
    peer: Peer,
    memory: PeerMemory,
    emit: Emit = ignore,
    *,
    cancelled: Cancelled = never,
    fetch_after_rounds: int = FETCH_AFTER_ROUNDS,
    claims: Claims | None = None,
) -> RoundResult:
    """One round with one peer. Waits for the peer, raises nothing of its doing.

    What it fetched lies in `upstream/` and is applied by the next `node.catch_up()`.
    """
    if peer.uuid == node.config.uuid:  # a push would land in that node's own journal
        return _myself(peer)
    try:
        data = peer.read_applied_bytes()
    except GlobofsError as error:
        memory.settled = False
        return _failed(peer, error, _lacked_when_met(node, memory))
    ours_bytes = local_applied_bytes(node)
    if memory.settled and (data, ours_bytes) == (memory.theirs_bytes, memory.ours_bytes):
        return RoundResult(_seen(peer, 0, 0))
    refused = ""
    if data != memory.theirs_bytes or not memory.theirs:
        known = decode_applied(data)
        if known is None and data:
            known = memory.theirs  # torn just now: it is being written
            refused = why_refused(data)
        else:
            memory.theirs_bytes = data
        memory.theirs = known or {}
    memory.ours_bytes = ours_bytes
    ours = _finished(node, memory, decode_or_empty(ours_bytes))
    work = _Round(node, peer, memory, ours, emit, cancelled, fetch_after_rounds, claims)
    if refused:
        work.reason = f"what it acknowledges is refused: {refused}"
        work.problems.append(Problem(b"", f"{peer.name}: upstream/applied: {refused}", True))
    return work.run()


def _finished(node: Node, memory: PeerMemory, ours: Applied) -> Applied:
    """Our acknowledgements, after making up for a killed command whose records may not go out.

    A command that still runs brings its own line forward by itself: it gets a round's time.
    """
    own = ours.get(node.config.uuid)
    known = own.received if own is not None else 0
    if node.readonly or known >= node.journal.last().seq:
        memory.behind = 0
        return ours
    if memory.behind != known + 1:
        memory.behind = known + 1
        return ours
    node.finish()
    memory.ours_bytes = local_applied_bytes(node)
    return decode_or_empty(memory.ours_bytes)


@dataclass(slots=True)
class _Round:
    node: Node
    peer: Peer
    memory: PeerMemory
    ours: Applied
    emit: Emit
    cancelled: Cancelled
    fetch_after_rounds: int
    claims: Claims | None
    received: Received = field(default_factory=Received)
    pushed: Delivered = field(default_factory=Delivered)
    passed: Delivered = field(default_factory=Delivered)
    problems: list[Problem] = field(default_factory=list)
    reason: str = ""

    def run(self) -> RoundResult:
        memory, peer = self.memory, self.peer
        memory.settled = False
        try:
            if identity.settle(self.node, peer, memory.theirs, memory.doubts, emit=self._tell):
                memory.sent = Sent()
                return self._result(True, True)
            self.received = fetch(
                self.node,
                peer,
                memory.theirs,
                self.ours,
                memory.fetched,
                after_rounds=self.fetch_after_rounds,
                claims=self.claims,
                emit=self._tell,
                cancelled=self.cancelled,
            )
            self._write()
            foreign, memory.sent.foreign = memory.sent.foreign, None
            if foreign and identity.fork_where_foreign(self.node, peer, foreign, emit=self._tell):
                memory.sent = Sent()
                return self._result(True, True)
        except PeerReadOnly as error:
            memory.write_at = self.node.clock.monotonic() + memory.write_wait
            memory.write_wait = min(memory.write_wait * 2, _WRITE_RETRY_MOST_SECONDS)
            self._problem(error, True)
        except GlobofsError as error:
            failed = _failed(peer, error)
            self.problems += failed.problems
            return self._result(False, False, failed.seen.reason)
        except OSError as error:  # our own disk: full, read only, failing
            self._problem(from_os_error(error, error.filename or self.node.directory), False)
            return self._result(False, False)
        waiting = self.pushed.waiting + self.passed.waiting + self.received.waiting
        moved = self.pushed.records + self.passed.records + self.received.records
        still = waiting == 0 and moved == 0 and memory.behind == 0
        memory.settled = still and not self.cancelled()
        patient = len(memory.fetched.patience) + len(memory.relayed.patience)
        return self._result(moved > 0 or patient > 0, False)

    def _write(self) -> None:
        memory = self.memory
        if self.node.clock.monotonic() < memory.write_at or self.cancelled():
            return
        args = (self.node, self.peer, memory.theirs, self.ours)
        self.pushed = push(*args, memory.sent, emit=self._tell, cancelled=self.cancelled)
        self.passed = relay(*args, memory.relayed, emit=self._tell, cancelled=self.cancelled)
        memory.write_wait = _WRITE_RETRY_FIRST_SECONDS

    def _tell(self, event: Event) -> None:
        if isinstance(event, Problem):
            self.problems.append(event)
        self.emit(event)

    def _problem(self, error: GlobofsError, warning: bool) -> None:
        self.problems.append(Problem(b"", error.message, warning))

    def _result(self, unsettled: bool, identity_changed: bool, reason: str = "") -> RoundResult:
        own = self.node.config.uuid
        lacks = lacked(self.memory.theirs.get(own), self.ours.get(own)).count()
        outgoing = (self.pushed.waiting or lacks) + self.passed.waiting
        return RoundResult(
            seen=_seen(self.peer, outgoing, self.received.waiting, reason or self.reason),
            sent=self.pushed.records,
            relayed=self.passed.records,
            fetched=self.received.records,
            bytes=self.pushed.bytes + self.passed.bytes + self.received.bytes,
            unsettled=unsettled,
            identity_changed=identity_changed,
            problems=tuple(self.problems),
        )


def _seen(peer: Peer, outgoing: int, incoming: int, reason: str = "") -> PeerSeen:
    seen = peer.state()
    return PeerSeen(seen.peer, seen.state, seen.reason or reason, outgoing, incoming, seen.at)


def _lacked_when_met(node: Node, memory: PeerMemory) -> int:
    """Records of this node that a peer had not acknowledged when it was last heard; 0 as long as
    it was never heard."""
    if not memory.theirs:
        return 0
    own = node.config.uuid
    ours = decode_or_empty(local_applied_bytes(node)).get(own)
    return lacked(memory.theirs.get(own), ours).count()


def _failed(peer: Peer, error: GlobofsError, lacks: int = 0) -> RoundResult:
    """A round that the peer did not let happen. An offline peer is no failure, only a fact."""
    seen = peer.state()
    state: PeerState = seen.state
    reason = seen.reason if state != "online" else str(error.fields.get("reason", error.message))
    found = PeerSeen(peer.name, state, reason, lacks, at=seen.at)
    text = f"{peer.name}: {error.message}" if isinstance(error, FormatError) else error.message
    return RoundResult(found, problems=(Problem(b"", text, state == "offline"),))


def _myself(peer: Peer) -> RoundResult:
    reason = "its entry names this node's own uuid; remove it, and add the peer again"
    seen = PeerSeen(peer.name, "wrong", reason)
    return RoundResult(seen, problems=(Problem(b"", f"{peer.name}: {reason}"),))


# --- the command ----------------------------------------------------------------------------


def sync(
    node: Node,
    peers: Peers,
    puller: Puller | None = None,
    *,
    rounds: int = 0,
    deadline: float = 30.0,
    emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> SyncResult:
    """Push, receive and relay with all peers at once, then pull what a keeper owes the volume.

    At most `rounds` passes (0: four), fewer when nothing is left to move. While an engine of
    another process leads, it is left to it after `deadline` seconds of waiting (`Locked`).
    Offline peers are narrated and cost nothing; no peer reachable at all is a problem.
    """
    node.writable()
    with node.locks.sync.exclusive(timeout=deadline, say=lambda text: emit(Note(text))):
        announce(node)  # peers rely only on a keeper that said so, even if it writes nothing else
        run = _Sync(node, peers, emit, cancelled)
        run.passes(rounds or _PASSES)
        owed = 0
        with run.finishing():
            if puller is not None and not cancelled():
                owed = pull_owed(node, puller, emit=run.tell, cancelled=cancelled)
            if owed:
                emit(Note(f"{plural(owed, 'block')} held and durable; building root/"))
        return run.result(owed)


class _Sync:
    """Rounds with all peers, each in a thread of its own unless the peers are inline."""

    def __init__(self, node: Node, peers: Peers, emit: Emit, cancelled: Cancelled) -> None:
        self.node = node
        pauses = node.state.pauses()
        self.paused = [p.name for p in peers if pauses.everything or p.name in pauses.peers]
        self.peers = [peer for peer in peers if peer.name not in self.paused]
        self.emit = emit
        self.cancelled = cancelled
        self.inline = peers.inline
        self.entries = peers.problems
        self.memories = {peer.name: PeerMemory() for peer in self.peers}
        self.claims = Claims()
        self.results: dict[str, RoundResult] = {}
        self.sent = self.relayed = self.bytes = self.done = 0
        self.problems: dict[Problem, None] = {}
        self.before = _received(node)

    def tell(self, event: Event) -> None:
        """Note problems, pass everything on."""
        if isinstance(event, Problem):
            self.problems[event] = None
        self.emit(event)

    def passes(self, most: int) -> None:
        """Up to `most` rounds with every peer, with what came applied in between."""
        for bad in self.entries:
            self.tell(Problem(b"", bad.message))
        self.node.catch_up(emit=self.tell)
        own = decode_or_empty(local_applied_bytes(self.node)).get(self.node.config.uuid)
        if (own.received if own is not None else 0) < self.node.journal.last().seq:
            self.finish()  # a killed command left its records without their blocks exploded
        active = self.peers
        for _ in range(most):
            if not active or self.cancelled():
                break
            self.done += 1
            found = self._pass(active)
            self.node.catch_up(emit=self.tell)
            self.claims.clear()
            for peer in active:
                result = found.get(peer.name)
                if result is not None:
                    self._count(peer, result)
            came = any(result.fetched for result in found.values())
            active = [p for p in self.peers if self._again(self.results.get(p.name), came)]

    def finish(self) -> None:
        """Build what came into `root/`. On a full disk what was received is safe all the same."""
        try:
            self.node.finish(emit=problems_to(self.tell))
        except OSError as error:
            made = from_os_error(error, error.filename or self.node.directory)
            self.tell(Problem(b"", made.message))

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """Finish behind the block, or beside it where that takes long: a quick peer's blocks and
        `root/` want the same processor, and the blocks are what is waited for."""
        if self.inline or not is_behind(self.node):
            self.finish()
            yield
            return
        over = threading.Event()

        def finish() -> None:
            over.wait(_HEAD_START_SECONDS)
            if not self.cancelled():  # else whoever comes next does it
                self.finish()

        with ThreadPoolExecutor(1, thread_name_prefix="globofs-finish") as pool:
            finished = pool.submit(finish)
            try:
                yield
            finally:
                over.set()
        finished.result()

    def _again(self, result: RoundResult | None, came: bool) -> bool:
        if result is None or result.seen.state not in ("online", "readonly"):
            return False
        return result.unsettled or came

    def _pass(self, active: list[Peer]) -> dict[str, RoundResult]:
        found: dict[str, RoundResult] = {}

        def one(peer: Peer) -> None:
            found[peer.name] = sync_round(
                self.node,
                peer,
                self.memories[peer.name],
                self.emit,
                cancelled=self.cancelled,
                fetch_after_rounds=1,
                claims=self.claims,
            )

        if self.inline:
            for peer in active:
                one(peer)
            return found
        threads = [
            threading.Thread(target=one, args=(peer,), name=f"round {peer.name}", daemon=True)
            for peer in active
        ]
        for thread in threads:
            thread.start()
        _join(threads, self.cancelled)
        return dict(found)

    def _count(self, peer: Peer, result: RoundResult) -> None:
        self.results[peer.name] = result
        self.sent += result.sent
        self.relayed += result.relayed
        self.bytes += result.bytes
        self.problems.update(dict.fromkeys(result.problems))
        note_seen(self.node, peer, result.seen)

    def result(self, owed: int) -> SyncResult:
        """What all passes did."""
        seen = []
        for peer in self.peers:
            found = self.results.get(peer.name)
            state = peer.state()
            seen.append(found.seen if found is not None else state)
        reachable = any(item.state in ("online", "readonly") for item in seen)
        if seen and not reachable and not self.cancelled():
            self.problems[Problem(b"", "no peer is reachable")] = None
        seen += [PeerSeen(name, "paused", "paused by you") for name in self.paused]
        for item in seen:
            self.emit(item)
        return SyncResult(
            peers=tuple(seen),
            sent=self.sent,
            received=max(0, _received(self.node) - self.before),
            relayed=self.relayed,
            bytes=self.bytes,
            blocks=owed,
            rounds=self.done,
            interrupted=self.cancelled(),
            problems=tuple(self.problems),
        )


def _join(threads: Iterable[threading.Thread], cancelled: Cancelled) -> None:
    """Wait for rounds to end; a cancelled caller leaves those that do not soon."""
    left = list(threads)
    patience = _LEAVE_SECONDS
    while left and patience > 0:
        left[0].join(_JOIN_SECONDS)
        left = [thread for thread in left if thread.is_alive()]
        if cancelled():
            patience -= _JOIN_SECONDS


def _received(node: Node) -> int:
    """How many records of other nodes this node acknowledges."""
    applied = decode_or_empty(local_applied_bytes(node))
    return sum(
        position.received - sum(high - low + 1 for low, high in position.gaps)
        for origin, position in applied.items()
        if origin != node.uuid
    )
