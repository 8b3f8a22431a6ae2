"""Pull: blocks that are not here come from a peer that has them, verified before anyone sees them.

A block on its way is a `Flight`, shared by everybody who waits for it, so each is read once
however many ask. Peers are asked in the order: the version's node, keepers, whoever answered
last, the quicker. One that is slow for itself is overtaken by the next; a wrong copy is reported
with its peer's name and pulled elsewhere. Safe from any thread; nothing here holds a lock while
it waits.
"""

from __future__ import annotations

import errno
import math
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate

from globofs import limits
from globofs.errors import (
    ContentMissing,
    Damaged,
    FormatError,
    GlobofsError,
    Interrupted,
    PeerError,
    PeerOffline,
    PeerStuck,
    PeerWrong,
    WrongSize,
)
from globofs.events import BlockMoved, Cancelled, Emit, Problem, ignore, never
from globofs.peerio.peer import Peer
from globofs.peerio.peers import Peers
from globofs.peerio.pool import Call
from globofs.store import fsio
from globofs.store.node import Node
from globofs.store.state import Wish
from globofs.store.versions import blocks_of
from globofs.store.views import Block, Version
from globofs.sync._flight import Driver, Flight, Pulled, Wanted
from globofs.sync._queue import Queue
from globofs.sync._settling import Settling
from globofs.sync._shelf import Shelf

_HEDGE_LEAST_SECONDS = 0.25
_HEDGE_UNKNOWN_SECONDS = 1.0
_HEDGE_TIMES = 4.0
_SHELF_SECONDS = 1.0
_READER_BLOCKS = 4
_OURS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # this process lacks something, no file does


@dataclass(frozen=True, slots=True)
class PullResult:
    """What `fetch` brought; `missing` are blocks nobody reachable holds."""

    blocks: int = 0
    bytes: int = 0
    already: int = 0
    missing: tuple[Wanted, ...] = ()
    problems: tuple[Problem, ...] = ()


class Puller:
    """Pulls blocks for one node from all its peers."""

    def __init__(self, node: Node, peers: Peers, emit: Emit = ignore) -> None:
        self.node = node
        self.peers = peers
        self.emit = emit
        self.paused: Callable[[str], bool] = lambda name: False
        """Whether a peer of that name is to be left alone; the engine sets it."""
        self._settling = Settling(node)
        self._lock = threading.Lock()
        self._flights: dict[tuple[bytes, int], Flight] = {}  # by id and by what is said of its size
        self._bytes = 0
        self._answered = ""  # uuid of the peer that answered last
        self._unreadable: dict[bytes, str] = {}  # blocks here that could not be read, and why
        self._lagging: dict[str, Call[Pulled | None]] = {}  # calls that were overtaken, by peer

    # --- one block --------------------------------------------------------------------------

    def get(
        self,
        block: bytes,
        size: int,
        path: bytes = b"",
        node: str = "",
        *,
        cancelled: Cancelled = never,
    ) -> bytes:
        """The plain bytes of a block, from here or from a peer; kept once pulled.

        Raises `ContentMissing` when nobody reachable holds it, `Interrupted` when cancelled.
        """
        held = self.held(block, size)
        if held is not None:
            return held
        with self.driver(cancelled) as driver:
            return driver.bytes_of(driver.start(Wanted(block, size, path, node)))

    def held(self, block: bytes, size: int) -> bytes | None:
        """The plain bytes if they are here and undamaged; a damaged copy counts as missing, and
        so does one that cannot be read, as long as that lasts."""
        try:
            data = self.node.blocks.get(block, size)
        except (KeyError, FileNotFoundError):
            return None
        except Damaged as error:
            if isinstance(error, WrongSize):
                self._unreadable[block] = error.message
            self.emit(Problem(b"", error.message, warning=True))
            return None
        except OSError as error:
            if error.errno in _OURS:
                raise
            why = f"block {block.hex()[:16]} cannot be read here: {error.strerror or error}"
            self._unreadable[block] = why
            self.emit(Problem(b"", why, warning=True))
            return None
        if self._unreadable:
            self._unreadable.pop(block, None)
        self.node.blocks.uses.note((block,))
        return data

    def driver(self, cancelled: Cancelled = never) -> Driver:
        """Something that waits for blocks; close it (or use it with `with`)."""
        return Driver(self, cancelled)

    # --- many blocks ------------------------------------------------------------------------

    def fetch(
        self, wanted: Iterable[Wanted], *, cancelled: Cancelled = never, emit: Emit | None = None
    ) -> PullResult:
        """Pull every block of `wanted` that is not here, 16 and more at once.

        Missing ones do not stop the others. Durable when this returns. Resumable: what is here
        is not pulled again. Ends early, with what it has, when cancelled.
        """
        tell = emit or self.emit
        kept = (self._shelf_of, self._from_shelf)
        queue = Queue(self.node, wanted, *kept, cancelled, inline=self.peers.inline)
        blocks = total = 0
        missing: list[Wanted] = []
        problems: list[Problem] = []
        active: list[Flight] = []
        with self.driver(cancelled) as driver, queue:
            while not cancelled():
                while self._room(len(active)) and (item := queue.next(wait=not active)):
                    active.append(driver.start(item))
                if not active:
                    break
                for flight in driver.wait(active):
                    active.remove(flight)
                    if flight.unkept is not None:
                        raise flight.unkept
                    if flight.plain is not None:
                        blocks += 1
                        total += flight.wanted.size
                    else:
                        missing.append(flight.wanted)
                    for text in flight.reasons:
                        problems.append(Problem(flight.wanted.path, text, True))
                        tell(problems[-1])
        self.settle()
        blocks, total = blocks + queue.blocks, total + queue.bytes
        return PullResult(blocks, total, queue.already, tuple(missing), tuple(problems))

    def settle(self) -> None:
        """Make what was pulled durable, and known as held."""
        if not self.node.readonly:
            self.node.blocks.sync_pending()

    def iter_version(self, version: Version, cancelled: Cancelled = never) -> Iterator[bytes]:
        """The content of a version, block by block, pulling what is missing, reading ahead.

        Raises `ContentMissing` where nobody reachable holds a block.
        """
        with FileReader(self, version, cancelled) as reader:
            yield from reader

    def pread(self, version: Version, offset: int, size: int) -> bytes:
        """Some bytes of a version; a `FileReader` does it cheaper when there are more."""
        with FileReader(self, version) as reader:
            return reader.pread(offset, size)

    def close(self) -> None:
        """Make what was pulled durable. Waits for no peer."""
        self._settling.stop()
        if self.node.blocks.sync_due:
            self.settle()

    def missing(
        self, wanted: Wanted, count: int = 1, reasons: Iterable[str] = ()
    ) -> ContentMissing:
        """The error for content nobody reachable holds, naming who should have it.

        `reasons`: why those who were asked and are there did not give it.
        """
        name = self.node.index.node_name(wanted.node) if wanted.node else ""
        holder = name or wanted.node or "the node that wrote it"
        if wanted.node == self.node.uuid:  # let go of, damaged, or made of what others hold
            holder = "other nodes"
        shown = wanted.path or b"block " + wanted.id.hex().encode()
        here = self._unreadable.get(wanted.id)
        told = "; ".join(filter(None, [here or "", self._away(wanted.node), *reasons]))
        why = f" ({told})" if told else ""
        return ContentMissing(path=shown, count=count, holder=holder, why=why)

    def _away(self, node: str) -> str:
        """How the peer that should have a block is, where it cannot be asked."""
        peer = self.peers.get(node) if node else None
        if peer is None or peer.state().state in ("online", "readonly"):
            return ""
        seen = peer.state()
        return f"{seen.peer} is {seen.state}: {seen.reason}" if seen.reason else ""

    # --- inside -----------------------------------------------------------------------------

    def _room(self, active: int) -> bool:
        if active == 0:
            return True
        most = max(limits.PULLS_IN_FLIGHT, limits.PULLS_IN_FLIGHT * min(4, len(self.peers)))
        return active < most and self._bytes < limits.PULL_BYTES_IN_FLIGHT

    def _shelf_of(self, writer: str) -> Shelf | None:
        there = [peer for peer in self.peers if peer.reachable and not self.paused(peer.name)]
        patience = _SHELF_SECONDS if len(there) > 1 else None
        return next((Shelf(peer, patience) for peer in there if peer.uuid == writer), None)

    def _from_shelf(self, wanted: Wanted, data: bytes, suffix: str, shelf: Shelf) -> None:
        self._answered = shelf.peer.uuid
        self._keep(wanted, data, suffix)
        self.emit(BlockMoved(shelf.peer.name, "pull", wanted.size, wanted.path))

    def _candidates(self, writer: str) -> list[Peer]:
        def order(peer: Peer) -> tuple[bool, bool, bool, bool, bool, float]:
            facts = peer.facts
            keeper = facts is not None and not facts.cacheonly
            late = self._lagging.get(peer.uuid)
            return (
                not peer.reachable,
                late is not None and not late.done(),
                peer.uuid != writer,
                not keeper,
                peer.uuid != self._answered,
                peer.latency_seconds or 0.0,
            )

        return sorted((peer for peer in self.peers if not self.paused(peer.name)), key=order)

    def join(self, wanted: Wanted, event: threading.Event) -> Flight:
        """The flight of a block, a new one if nobody waits for it yet."""
        with self._lock:
            flight = self._flights.get(wanted[:2])
            if flight is None:
                flight = self._flights[wanted[:2]] = Flight(wanted, self._candidates(wanted.node))
                self._bytes += wanted.size
            flight.interest += 1
        with flight.lock:
            flight.events.append(event)
            for _, call in flight.calls:
                call.watch(event)
            if flight.done:
                event.set()
        return flight

    def leave(self, flight: Flight) -> None:
        """One less waits for it; the last one lets it go."""
        with self._lock:
            flight.interest -= 1
            if flight.interest == 0 and self._flights.get(flight.wanted[:2]) is flight:
                del self._flights[flight.wanted[:2]]
                self._bytes -= flight.wanted.size

    def step(self, flight: Flight) -> bool:
        """Take a flight as far as it goes without waiting; whether it has ended."""
        with flight.lock:
            if flight.done:
                return True
            for entry in list(flight.calls):
                peer, call = entry
                if call.done():
                    flight.calls.remove(entry)
                    if self._land(flight, peer, call):
                        break
                else:
                    peer.pool.sweep()
            if not flight.done:
                self._launch(flight)
            if not flight.done:
                return False
            for event in flight.events:
                event.set()
            return True

    def _land(self, flight: Flight, peer: Peer, call: Call[Pulled | None]) -> bool:
        """Judge an answer; whether it was the block."""
        name = flight.wanted.id.hex()[:16]
        try:
            pulled = peer.finish_block(call)
        except FormatError as error:
            reason = error.fields.get("reason", error.message)
            flight.reasons.append(f"{peer.name} has a wrong copy of block {name}: {reason}")
            return False
        except (PeerOffline, PeerStuck, PeerWrong):
            return False  # its state says it; somebody else may have the block
        except PeerError as error:
            reason = error.fields.get("reason", error.message)
            flight.reasons.append(f"{peer.name} cannot give block {name}: {reason}")
            return False
        except GlobofsError as error:
            flight.reasons.append(f"{peer.name}: block {name}: {error.message}")
            return False
        if pulled is None:
            return False
        data, suffix, plain = pulled
        self._answered = peer.uuid
        try:
            self._keep(flight.wanted, data, suffix)
        except OSError as error:
            if not fsio.is_full(error):
                raise
            flight.unkept = error  # who reads has what was asked for all the same
        self.emit(BlockMoved(peer.name, "pull", flight.wanted.size, flight.wanted.path))
        flight.plain, flight.done = plain, True
        return True

    def _launch(self, flight: Flight) -> None:
        """Ask the next peer when none is being asked, or when those asked take too long."""
        now = self.node.clock.monotonic()
        while flight.candidates and (not flight.calls or now >= flight.hedge_at):
            for slow, overtaken in flight.calls:
                self._lagging[slow.uuid] = overtaken
            peer = flight.candidates.pop(0)
            call = peer.start_block(flight.wanted.id, flight.wanted.size)
            if call.done():
                if self._land(flight, peer, call):
                    return
                continue
            for event in flight.events:
                call.watch(event)
            flight.calls.append((peer, call))
            known = peer.latency_seconds
            wait = _HEDGE_UNKNOWN_SECONDS if known is None else known * _HEDGE_TIMES
            flight.hedge_at = now + max(_HEDGE_LEAST_SECONDS, wait)
        if not flight.calls and not flight.candidates:
            flight.done = True

    def _keep(self, wanted: Wanted, data: bytes, suffix: str) -> None:
        if self.node.readonly:
            return
        self.node.blocks.put(wanted.id, data, suffix, wanted.size)
        self._settling.due()


# --- content of versions --------------------------------------------------------------------


class FileReader:
    """Random access to the content of one version; pulls what is missing, reads ahead.

    Any number of threads may read at once, and none waits for what another has asked for. The
    last blocks read are kept, so small reads cost one decoding. `patience`: see `Driver.bytes_of`.
    """

    def __init__(
        self,
        puller: Puller,
        version: Version,
        cancelled: Cancelled = never,
        patience: float = math.inf,
    ) -> None:
        self.puller = puller
        self.version = version
        listed = blocks_of(puller.node.index, version.row)
        self.blocks = [block for block, _ in listed]
        self._unknown = {block.id for block, held in listed if not held}
        self._given: list[tuple[bytes, int]] = []  # here, though nobody told the index
        self.size = version.size
        self._patience = patience
        self._cancelled = cancelled
        self._starts = list(accumulate((block.size for block in self.blocks), initial=0))
        self._lock = threading.Lock()  # of what follows; never held while waiting for a peer
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._ahead: dict[int, Flight] = {}
        self._driver = puller.driver(cancelled)
        self._expected = 0

    def pread(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end. Raises `ContentMissing`."""
        end = min(offset + size, self._starts[-1])
        if offset < 0 or offset >= end:
            return b""
        at = bisect_right(self._starts, offset) - 1
        pieces: list[bytes] = []
        while offset < end:
            data = self._block(at)
            start = self._starts[at]
            piece = data[offset - start : end - start]
            pieces.append(piece)
            offset += len(piece)
            at += 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def __iter__(self) -> Iterator[bytes]:
        for at in range(len(self.blocks)):
            yield self._block(at, keep=False)

    def close(self) -> None:
        """Stop reading ahead."""
        with self._lock:
            if self._given and not self.puller.node.readonly:
                self.puller.node.index.mark_held(self._given)
            self._given = []
            self._driver.close()
            self._ahead.clear()
            self._cache.clear()

    def __enter__(self) -> FileReader:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def _block(self, at: int, keep: bool = True) -> bytes:
        with self._lock:
            cached = self._cache.get(at)
            if cached is not None:
                self._cache.move_to_end(at)
                return cached
            coming = at in self._ahead
        if self._cancelled():
            raise Interrupted()
        data = None if coming else self._held(self.blocks[at])
        if data is None:
            data = self._pulled(at)
        with self._lock:
            self._expected = at + 1
            if keep:
                self._cache[at] = data
                while len(self._cache) > _READER_BLOCKS:
                    self._cache.popitem(last=False)
        return data

    def _held(self, block: Block) -> bytes | None:
        data = self.puller.held(block.id, block.size)
        if data is not None and block.id in self._unknown:
            with self._lock:
                self._unknown.discard(block.id)
                self._given.append((block.id, block.size))
        return data

    def _pulled(self, at: int) -> bytes:
        driver = self.puller.driver(self._cancelled)
        flight = driver.start(self._wanted(at))  # the one read ahead, if there is one
        try:
            with self._lock:
                if at in self._ahead:
                    self._driver.drop(self._ahead.pop(at))
                if at == self._expected:
                    self._read_ahead(at)
            return driver.bytes_of(flight, self._patience)
        except ContentMissing:
            self._want()
            raise
        finally:
            driver.drop(flight)

    def _want(self) -> None:
        """What was asked for and could not be had stays wanted: a later sync brings it."""
        if not self.puller.node.readonly:
            with suppress(OSError, GlobofsError):
                self.puller.node.state.want([Wish("version", id=self.version.id)])

    def _read_ahead(self, at: int) -> None:
        """Begin to pull the next blocks that are not here, of a file read in its order."""
        for old in [number for number in self._ahead if number <= at]:
            self._driver.drop(self._ahead.pop(old))
        following = range(at + 1, min(at + 1 + limits.READ_AHEAD_BLOCKS, len(self.blocks)))
        fresh = [number for number in following if number not in self._ahead]
        held = self.puller.node.index.held([self.blocks[number].id for number in fresh])
        for number in fresh:
            if self.blocks[number].id not in held:
                self._ahead[number] = self._driver.start(self._wanted(number))

    def _wanted(self, at: int) -> Wanted:
        block = self.blocks[at]
        return Wanted(block.id, block.size, self.version.path, self.version.node)


__all__ = ["Driver", "FileReader", "PullResult", "Puller", "Wanted"]
