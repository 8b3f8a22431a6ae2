"""Verbs that talk to peers, or steer what does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from globofs.events import Emit, ignore, never
from globofs.volume.base import Verbs

if TYPE_CHECKING:
    from globofs.events import Cancelled
    from globofs.snapshots import Move, PeerStatus
    from globofs.sync.mirror import MirrorResult
    from globofs.sync.results import CopyCount, EvictResult, PinResult
    from globofs.sync.round import SyncResult
    from globofs.sync.why import Reason


class MovingVerbs(Verbs):
    """Verbs that talk to peers, or steer what does."""

    def sync(
        self,
        *,
        rounds: int = 0,
        deadline: float = 30.0,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> SyncResult:
        """Push, receive and relay with all peers until nothing new comes, or `deadline` seconds
        are over; `rounds` bounds the rounds with each peer where it is not 0."""
        from globofs.sync.prune import acknowledge_prunes, collect_due
        from globofs.sync.round import sync

        acknowledge_prunes(self.node, emit=emit)  # what came last time is answered this time
        result = sync(
            self.node,
            self.peers,
            self.puller,
            rounds=rounds,
            deadline=deadline,
            emit=emit,
            cancelled=cancelled,
        )
        if not cancelled():
            collect_due(self.node, emit=emit, cancelled=cancelled)
        return result

    def mirror(
        self,
        path: bytes = b"",
        *,
        to: str | None = None,
        all_versions: bool = False,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> MirrorResult:
        """Pull every block below `path`, or write them to the peer `to`; resumable."""
        from globofs.sync.mirror import mirror

        return mirror(
            self.node,
            self.peers,
            self.puller,
            path,
            to=to,
            all_versions=all_versions,
            emit=emit,
            cancelled=cancelled,
        )

    def pin(self, path: bytes, *, emit: Emit = ignore, cancelled: Cancelled = never) -> PinResult:
        """Keep `path` here from now on, also what comes there later."""
        from globofs.sync.pins import pin

        return pin(self.node, path)

    def unpin(self, path: bytes, *, emit: Emit = ignore, cancelled: Cancelled = never) -> PinResult:
        """Take a pin back; what is here stays until it is evicted."""
        from globofs.sync.pins import unpin

        return unpin(self.node, path)

    def evict(
        self,
        path: bytes = b"",
        *,
        dry_run: bool = False,
        patient: bool = False,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> EvictResult:
        """Let go of blocks that others safely hold; `patient` waits a minute where it must."""
        from globofs.sync.evict import evict

        return evict(
            self.node,
            self.peers,
            path,
            dry_run=dry_run,
            patient=patient,
            emit=emit,
            cancelled=cancelled,
        )

    def copies(
        self, path: bytes, *, emit: Emit = ignore, cancelled: Cancelled = never
    ) -> list[CopyCount]:
        """Who holds the content of `path`; reachable peers are asked."""
        from globofs.sync.evict import copies

        return copies(self.node, self.peers, path, cancelled=cancelled)

    def why(
        self,
        path: bytes,
        *,
        peers: Sequence[PeerStatus] | None = None,
        moves: Sequence[Move] = (),
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> list[Reason]:
        """Why content below `path` is not here, or has not reached a peer. A running engine's
        `peers` and `moves` are believed where given; else the peers are asked."""
        from globofs.sync.why import why

        if peers is None:
            peers = self.peer_probe(cancelled=cancelled)
        return why(self.node, peers, path, moves=moves, cancelled=cancelled)

    def peer_list(self) -> list[PeerStatus]:
        """The peers as last seen; none is touched."""
        from globofs.sync.peering import peer_list

        return peer_list(self.node)

    def peer_probe(
        self, *, deadline: float = 5.0, cancelled: Cancelled = never
    ) -> list[PeerStatus]:
        """The peers as they answer now, all asked at once, for `deadline` seconds at most."""
        from globofs.sync.peer_probe import probe

        return probe(self.node, self.peers, deadline=deadline, cancelled=cancelled)

    def peer_add(
        self, name: str, path: str, send: bool = False, *, yes: bool = False, emit: Emit = ignore
    ) -> PeerStatus:
        """Make the node at `path` a peer; its uuid is read from there."""
        from globofs.sync.peering import peer_add

        return peer_add(self.node, name, path, send=send, yes=yes, emit=emit)

    def peer_set(
        self, name: str, *, path: str | None = None, send: bool | None = None
    ) -> PeerStatus:
        """Change where a peer is reached, or whether blocks are written to it."""
        from globofs.sync.peering import peer_set

        return peer_set(self.node, name, path=path, send=send)

    def peer_remove(self, name: str) -> None:
        """Forget a peer; what came from it stays."""
        from globofs.sync.peering import peer_remove

        peer_remove(self.node, name)

    def peer_retire(self, node: str, *, emit: Emit = ignore) -> str:
        """Declare a node (name or uuid) gone for good, so that nothing waits for it; its uuid."""
        from globofs.sync.peering import peer_retire

        return peer_retire(self.node, node, emit=emit)

    def bump(self, path: bytes) -> None:
        """Want `path` before everything else that is wanted."""
        from globofs.store.state import Wish

        self.node.writable()
        wish = Wish("mirror", path)
        self.node.state.unwant([wish])
        self.node.state.want([wish])

    def retry(self) -> None:
        """Try what failed again: what a command does anyway; a running engine is asked by its
        own `retry`."""
        self.node.catch_up()

    def pause(self, what: str | bytes | None = None) -> None:
        """Pause a peer (str), a path (bytes), or everything; lasts until resumed."""
        self.node.state.pause(what)

    def resume(self, what: str | bytes | None = None) -> None:
        """Take back a pause; None takes back all."""
        self.node.state.resume(what)
