"""Peers of a volume: name one, change it, forget it, declare a node gone for good.

Adding reads the other node's uuid from its directory, in a thread of its own, so that a dead
mount costs seconds and no more. Two volumes that both have files and share no history are joined
only when the user says so, with the counts and the paths that stand on both sides in view.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

from globofs.errors import (
    FormatError,
    JoinVolumes,
    NoPeerThere,
    PeerWrong,
    UsageError,
    os_reason,
    plural,
    printable,
)
from globofs.events import Emit, Note, ignore
from globofs.format import kinds
from globofs.format.config import PeerConfig
from globofs.format.record import Record
from globofs.format.text import parse_uuid
from globofs.peerio.directory import NodeFacts, find_node
from globofs.peerio.peer import Peer
from globofs.peerio.pool import PeerPool
from globofs.snapshots import PeerStatus
from globofs.store.node import Node, PeerEntry
from globofs.store.query import View
from globofs.sync._journals import RemoteJournal, decode_or_empty, has, local_applied_bytes
from globofs.sync._spans import Spans
from globofs.sync.peer_notes import last_seen

_COMPARED_RECORDS = 200_000
_NAMED_CLASHES = 3


def peer_list(node: Node) -> list[PeerStatus]:
    """The peers as last seen; none is touched."""
    return [_status(node, entry) for entry in node.peer_entries([])]


def _status(node: Node, entry: PeerEntry) -> PeerStatus:
    seen = last_seen(node, entry.name, entry.config.uuid)
    paused = node.state.pauses()
    state, reason = seen.state, seen.reason
    if paused.everything or entry.name in paused.peers:
        state, reason = "paused", "paused by you"
    return PeerStatus(
        name=entry.name,
        uuid=entry.config.uuid,
        path=entry.config.path,
        state=state,
        reason=reason,
        outgoing=seen.outgoing,
        incoming=seen.incoming,
        send=entry.config.send,
        last_seen=seen.at,
    )


def peer_add(
    node: Node, name: str, path: str, send: bool = False, *, yes: bool = False, emit: Emit = ignore
) -> PeerStatus:
    """Make the node whose volume directory is `path` a peer called `name`.

    Raises NoPeerThere, PeerStuck, PeerWrong, PeerExists, UsageError (ourselves),
    and JoinVolumes when two histories would be joined and `yes` was not said.
    """
    node.writable()
    place = os.path.abspath(path)
    pool = PeerPool(2, name=name)
    try:
        facts = _look(pool, name, place)
        volume = place if facts.directory != place else os.path.dirname(place)
        config = PeerConfig(uuid=facts.uuid, path=volume, send=send)
        if facts.uuid != node.uuid:
            node.catch_up(emit=emit)
            peer = Peer(PeerEntry(name, config, ""), pool, node.clock)
            _ask_before_joining(node, peer, yes, emit)
        entry = node.add_peer_entry(name, config)
    finally:
        pool.close()
    return _status(node, entry)


def _look(pool: PeerPool, name: str, volume: str) -> NodeFacts:
    try:
        facts = pool.call(find_node, volume)
    except OSError as error:
        reason = os_reason(error)
        if isinstance(error, FileNotFoundError):
            reason = "is not there; is it mounted?"
        elif isinstance(error, NotADirectoryError):
            reason = "is no directory; name the volume directory of the other node"
        raise NoPeerThere(path=os.fsencode(volume), peer=name, reason=reason) from error
    except FormatError as error:
        raise PeerWrong(peer=name, reason=error.message) from error
    if facts is None:
        reason = "no node is there; name the volume directory of the other node"
        raise NoPeerThere(path=os.fsencode(volume), peer=name, reason=reason)
    if not facts.uuid:
        raise PeerWrong(peer=name, reason=f"the config in {facts.directory} names no uuid")
    return facts


@dataclass(frozen=True, slots=True)
class _Theirs:
    files: int
    clashes: tuple[bytes, ...]


def _ask_before_joining(node: Node, peer: Peer, yes: bool, emit: Emit) -> None:
    """Raise JoinVolumes when both sides have files, no common history, and nobody said yes."""
    ours = decode_or_empty(local_applied_bytes(node))
    theirs = peer.read_applied() or {}
    shared = any(
        origin in ours and ours[origin].received for origin, p in theirs.items() if p.received
    )
    here = View(node).entry(b"")
    files = here.files if here is not None else 0
    if shared or not files:
        return
    found = _paths_there(node, peer)
    if not found.files:
        return
    names = ", ".join(printable(path) for path in found.clashes[:_NAMED_CLASHES])
    more = len(found.clashes) - _NAMED_CLASHES
    shown = f" ({names}{f' and {more} more' if more > 0 else ''})" if names else ""
    facts = (
        f"{printable(peer.name)} is a volume of its own: {plural(found.files, 'file')} there,"
        f" {files:,} here, no common history, {plural(len(found.clashes), 'path')} on both sides{shown}"
    )
    if not yes:
        raise JoinVolumes(facts=facts)
    emit(Note(f"{facts}; they become one", warning=True))


def _paths_there(node: Node, peer: Peer) -> _Theirs:
    """Live files of the other volume, as its journals tell, and which of them we have too."""
    newest: dict[bytes, tuple[int, str]] = {}
    for record in islice(_records_there(peer), _COMPARED_RECORDS):
        if record.kind != kinds.VersionRecord.KIND:
            continue
        try:
            entry = kinds.VersionRecord.parse(record)
        except FormatError:
            continue
        if entry.version >= newest.get(entry.path, (0, ""))[0]:
            newest[entry.path] = (entry.version, entry.what)
    live = [path for path, (_, what) in newest.items() if what not in ("deleted", "directory")]
    view = View(node)
    clashes = tuple(sorted(path for path in live if view.entry(path) is not None))
    return _Theirs(len(live), clashes)


def _records_there(peer: Peer) -> Iterator[Record]:
    """All records that a peer acknowledges, from the nodes' own files there, and what is in none
    of those from what was passed on."""
    for origin, position in (peer.read_applied() or {}).items():
        wanted = has(position)
        for via in chain((None,), peer.list_writers(origin)):
            seen = Spans()
            for found in RemoteJournal(peer, origin, via).find(wanted):
                seen.add(found.record.seq)
                yield found.record
            wanted = wanted.minus(seen)
            if not wanted:
                break


def peer_set(
    node: Node, name: str, *, path: str | None = None, send: bool | None = None
) -> PeerStatus:
    """Change where a peer is reached, or whether blocks are written to it.

    A new path must hold the same node, where anything can be seen there at all.
    """
    entry = node.peer_entry(name)
    if path is not None:
        place = os.path.abspath(path)
        pool = PeerPool(1, name=name)
        try:
            facts = _look(pool, name, place)
        finally:
            pool.close()
        if facts.uuid != entry.config.uuid:
            reason = f"{place} belongs to node {facts.uuid}, not to {entry.config.uuid}"
            raise PeerWrong(peer=name, reason=reason)
        path = place if facts.directory != place else os.path.dirname(place)
    return _status(node, node.set_peer_entry(name, path=path, send=send))


def peer_remove(node: Node, name: str) -> None:
    """Forget a peer; what came from it stays."""
    node.remove_peer_entry(name)


def peer_retire(node: Node, name: str, *, emit: Emit = ignore) -> str:
    """Declare a node (its name, its peer's name or its uuid) gone for good; returns its uuid.

    Nobody waits for it any more before blocks are deleted. Raises UsageError for an unknown or
    ambiguous name and for this node itself.
    """
    node.writable()
    uuid = _which(node, name)
    if uuid == node.uuid:
        raise UsageError("this node cannot retire itself; say it on another node")
    with node.operation("retire", [name]) as operation:
        operation.record(kinds.RetireRecord(uuid))
    emit(Note(f"{printable(name)} is retired: nothing waits for it any more"))
    return uuid


def _which(node: Node, name: str) -> str:
    for entry in node.peer_entries([]):
        if name in (entry.name, entry.config.uuid):
            return entry.config.uuid
    known = node.index.nodes()
    found = [info.uuid for info in known if name in (info.uuid, info.name)]
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        raise UsageError(f"{printable(name)}: several nodes are called that; give the uuid")
    try:
        return parse_uuid(name)
    except FormatError:
        names = ", ".join(sorted(info.name or info.uuid for info in known)) or "none"
        raise UsageError(f"{printable(name)}: no such node; there is {names}") from None


__all__ = ["peer_add", "peer_list", "peer_remove", "peer_retire", "peer_set"]
