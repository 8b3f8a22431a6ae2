"""The verbs of the facade, in families; `Volume` is made of them. One short method a verb.

Every method imports its verb when called. All take `emit` (told what happens, from any thread)
and `cancelled` (polled; True ends the verb early, with what is done kept), and return a frozen
result whose `problems` name whatever was not done.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from globofs.events import Emit, Move, PeerStatus, Problem, ignore

if TYPE_CHECKING:
    from globofs.peerio.peers import Peers
    from globofs.store.node import Node
    from globofs.store.views import OperationKey, Version
    from globofs.sync.mirror import MirrorResult
    from globofs.sync.pull import Puller
    from globofs.sync.results import (
        AddResult,
        Cancelled,
        CopyCount,
        DiffResult,
        EditResult,
        EvictResult,
        PinResult,
        Policy,
        PruneResult,
        RestorePlan,
        RestoreResult,
        VerifyResult,
    )
    from globofs.sync.round import SyncResult
    from globofs.sync.why import Reason


def never() -> bool:
    """The `cancelled` of callers that do not interrupt."""
    return False


class _Base(ABC):
    """What every family needs of the volume."""

    node: Node

    @property
    @abstractmethod
    def peers(self) -> Peers:
        """The peers of this node; made at the first use, no peer is touched by that."""

    @property
    @abstractmethod
    def puller(self) -> Puller:
        """Gets blocks, from here or from peers."""


class FileVerbs(_Base):
    """Verbs that make versions, or write them out."""

    def add(
        self,
        sources: Sequence[str],
        *,
        to: bytes = b"",
        delete: bool = False,
        checksum: bool = False,
        exclude: Sequence[str] = (),
        yes: bool = False,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> AddResult:
        """Snapshot files or trees of this machine into the volume, below `to`."""
        from globofs.sync.add import add

        return add(
            self.node,
            sources,
            to=to,
            delete=delete,
            checksum=checksum,
            exclude=exclude,
            yes=yes,
            emit=emit,
            cancelled=cancelled,
        )

    def rm(
        self, paths: Sequence[bytes], *, emit: Emit = ignore, cancelled: Cancelled = never
    ) -> EditResult:
        """Record `paths`, and all below them, as deleted; history is kept."""
        from globofs.sync.edit import rm

        return rm(self.node, paths, emit=emit, cancelled=cancelled)

    def mv(
        self, old: bytes, new: bytes, *, emit: Emit = ignore, cancelled: Cancelled = never
    ) -> EditResult:
        """Rename a file or a whole directory; costs no data, the timeline follows."""
        from globofs.sync.edit import mv

        return mv(self.node, old, new, emit=emit, cancelled=cancelled)

    def plan_restore(
        self,
        paths: Sequence[bytes],
        *,
        version: Version | None = None,
        at: int | None = None,
        to: str | None = None,
        delete: bool = False,
        force: bool = False,
    ) -> RestorePlan:
        """What `restore` would do; from the index alone, never waits for a peer."""
        from globofs.sync.restore import plan_restore

        return plan_restore(
            self.node, paths, version=version, at=at, to=to, delete=delete, force=force
        )

    def restore(
        self,
        paths: Sequence[bytes],
        *,
        version: Version | None = None,
        at: int | None = None,
        to: str | None = None,
        delete: bool = False,
        force: bool = False,
        dry_run: bool = False,
        plan: RestorePlan | None = None,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> RestoreResult:
        """Make old content current again, or write it out below `to`."""
        from globofs.sync.restore import restore

        return restore(
            self.node,
            self.puller,
            paths,
            version=version,
            at=at,
            to=to,
            delete=delete,
            force=force,
            dry_run=dry_run,
            plan=plan,
            emit=emit,
            cancelled=cancelled,
        )

    def came_from(self, path: bytes) -> str | None:
        """Where on this machine `path` was added from; None where it came from nowhere here."""
        from globofs.sync._sources import came_from

        return came_from(self.node, path)

    def plan_back(
        self, paths: Sequence[bytes], *, version: Version | None = None, at: int | None = None
    ) -> RestorePlan:
        """What `restore_back` would do. Looks at the folders, never waits for a peer."""
        from globofs.sync._plan import plan_back

        return plan_back(self.node, paths, version=version, at=at)

    def restore_back(
        self,
        paths: Sequence[bytes],
        *,
        version: Version | None = None,
        at: int | None = None,
        plan: RestorePlan | None = None,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> RestoreResult:
        """Restore `paths` to the folders they came from: what lies there now is added, then the
        old content becomes current in the volume and is written to the folders. A file that could
        not be added is not replaced. One undo takes back what changed in the volume."""
        from globofs.sync._plan import beside, plan_here, safe_to_replace
        from globofs.sync.results import RestoreResult

        plan = plan or self.plan_back(paths, version=version, at=at)
        problems: list[Problem] = []
        for place, to in beside(self.node, paths):
            added = self.add([place], to=to, emit=emit, cancelled=cancelled)
            problems += [problem for problem in added.problems if not problem.warning]
        if cancelled():
            return RestoreResult(plan=plan, problems=tuple(problems))
        here = self.restore(paths, plan=plan_here(self.node, plan), emit=emit, cancelled=cancelled)
        safe = safe_to_replace(self.node, plan)
        out = self.restore(paths, plan=safe, emit=emit, cancelled=cancelled)
        return replace(
            out,
            versions=here.versions,
            operation=here.operation,
            problems=(*problems, *here.problems, *out.problems),
        )

    def undo(
        self,
        operation: OperationKey | None = None,
        *,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> EditResult:
        """Reverse `operation`, or this node's last one; paths changed since are left alone."""
        from globofs.sync.undo import undo

        return undo(self.node, operation, emit=emit, cancelled=cancelled)

    def redo(self, *, emit: Emit = ignore, cancelled: Cancelled = never) -> EditResult:
        """Reverse this node's last undo, if nothing else was done since."""
        from globofs.sync.undo import redo

        return redo(self.node, emit=emit, cancelled=cancelled)

    def resolve(
        self,
        paths: Sequence[bytes],
        *,
        version: bytes | Mapping[bytes, bytes] | None = None,
        with_file: str | None = None,
        keep_both: bool = False,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> EditResult:
        """Settle conflicts, in one operation: one side (its version id, or one for each path),
        a merged file, or both under two names."""
        from globofs.sync.resolve import resolve

        return resolve(
            self.node,
            paths,
            version=version,
            with_file=with_file,
            keep_both=keep_both,
            emit=emit,
            cancelled=cancelled,
        )

    def diff(
        self,
        path: bytes = b"",
        *,
        old: Version | int | None = None,
        new: Version | int | None = None,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> DiffResult:
        """What changed between two versions, two moments, or the one before and now."""
        from globofs.sync.diff import diff

        return diff(self.node, self.puller, path, old=old, new=new, emit=emit, cancelled=cancelled)


class MovingVerbs(_Base):
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

        return pin(self.node, path, emit=emit, cancelled=cancelled)

    def unpin(self, path: bytes, *, emit: Emit = ignore, cancelled: Cancelled = never) -> PinResult:
        """Take a pin back; what is here stays until it is evicted."""
        from globofs.sync.pins import unpin

        return unpin(self.node, path, emit=emit, cancelled=cancelled)

    def evict(
        self,
        path: bytes = b"",
        *,
        dry_run: bool = False,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> EvictResult:
        """Let go of blocks that others safely hold."""
        from globofs.sync.evict import evict

        return evict(self.node, self.peers, path, dry_run=dry_run, emit=emit, cancelled=cancelled)

    def copies(
        self, path: bytes, *, emit: Emit = ignore, cancelled: Cancelled = never
    ) -> list[CopyCount]:
        """Who holds the content of `path`; reachable peers are asked."""
        from globofs.sync.evict import copies

        return copies(self.node, self.peers, path, emit=emit, cancelled=cancelled)

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
        from globofs.sync.standing import probe

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
        from globofs.store.state import Wanted

        self.node.writable()
        wish = Wanted("mirror", path)
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


class CareVerbs(_Base):
    """Verbs that look after what is stored."""

    def verify(
        self,
        *,
        repair: bool = False,
        sample: float | None = None,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> VerifyResult:
        """Read blocks and manifests and check them; `sample` is the share to read, 0 to 1."""
        from globofs.sync.scrub import verify

        return verify(
            self.node,
            self.puller if repair else None,
            repair=repair,
            sample=sample,
            emit=emit,
            cancelled=cancelled,
        )

    def prune(
        self,
        policy: Policy,
        dry_run: bool = False,
        *,
        emit: Emit = ignore,
        cancelled: Cancelled = never,
    ) -> PruneResult:
        """Let old versions go by `policy`, then collect blocks without a version."""
        from globofs.sync.prune import prune

        return prune(self.node, policy, dry_run=dry_run, emit=emit, cancelled=cancelled)


__all__ = ["CareVerbs", "FileVerbs", "MovingVerbs", "never"]
