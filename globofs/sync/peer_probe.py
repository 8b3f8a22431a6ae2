"""How the peers stand just now: asked all at once, three small reads each, a few seconds at most.

What we acknowledge and a peer does not is still to go there, and the other way round; so both
numbers come from two small files, whatever the volume's size.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Final, NamedTuple

from globofs.errors import GlobofsError
from globofs.events import Cancelled, PeerSeen, PeerState, never
from globofs.format.applied import Applied
from globofs.peerio.directory import PeerDirectory, decode_applied
from globofs.peerio.peer import Peer
from globofs.peerio.peers import Peers
from globofs.peerio.pool import Call
from globofs.snapshots import PeerStatus
from globofs.store.node import Node
from globofs.sync._journals import decode_or_empty, lacked, local_applied_bytes
from globofs.sync.peer_notes import note_seen
from globofs.sync.peering import peer_list

_LOOK_SECONDS: Final = 0.02
_STUCK_SECONDS: Final = 1.0
_STATES: Final[dict[str, PeerState]] = {"peer-wrong": "wrong", "peer-stuck": "stuck"}


class _Answer(NamedTuple):
    applied: Applied
    writable: bool


def probe(
    node: Node, peers: Peers, *, deadline: float = 5.0, cancelled: Cancelled = never
) -> list[PeerStatus]:
    """The peers as they answer now, by name. Who has not answered after `deadline` seconds is
    stuck; one that was stuck when last seen gets a second, a paused one is not asked. Raises
    nothing of a peer's doing."""
    known = {status.name: status for status in peer_list(node)}
    asked = [peer for peer in peers if peer.name in known and known[peer.name].state != "paused"]
    waits = {
        peer.name: min(deadline, _STUCK_SECONDS) if known[peer.name].state == "stuck" else deadline
        for peer in asked
    }
    calls = {
        peer.name: peer.pool.submit(_ask, peer.directory, deadline=waits[peer.name])
        for peer in asked
    }
    begun = node.clock.monotonic()
    while not cancelled():
        waited = node.clock.monotonic() - begun
        if all(call.done() or waited >= waits[name] for name, call in calls.items()):
            break
        node.clock.sleep(_LOOK_SECONDS)
    ours = decode_or_empty(local_applied_bytes(node))
    for peer in asked:
        found = _judge(known[peer.name], peer, calls[peer.name], ours)
        known[peer.name] = found
        seen = PeerSeen(
            found.name, found.state, found.reason, found.outgoing, found.incoming, found.last_seen
        )
        note_seen(node, peer, seen)
    return [known[name] for name in sorted(known)]


def _ask(directory: PeerDirectory) -> _Answer:
    """Runs in the peer's pool: is it the right directory, and what does it acknowledge?"""
    node = directory.check()
    applied = decode_applied(directory.read_applied()) or {}
    return _Answer(applied, os.access(f"{node}/upstream", os.W_OK | os.X_OK))


def _judge(known: PeerStatus, peer: Peer, call: Call[_Answer], ours: Applied) -> PeerStatus:
    if not call.done():
        return replace(known, state="stuck", reason="its file system does not answer")
    try:
        found = call.result()
    except OSError as error:
        return replace(known, state="online", reason=error.strerror or str(error))
    except GlobofsError as error:
        reason = str(error.fields.get("reason", error.message))
        return replace(known, state=_STATES.get(error.code, "offline"), reason=reason)
    outgoing, incoming = behind(found.applied, ours)
    return replace(
        known,
        state="online" if found.writable else "readonly",
        reason="" if found.writable else "nothing can be written there",
        outgoing=outgoing,
        incoming=incoming,
        last_seen=peer.clock.now_ns(),
        latency_seconds=peer.latency_seconds,
    )


def behind(theirs: Applied, ours: Applied) -> tuple[int, int]:
    """Records that we acknowledge and the peer does not, and the other way round."""
    outgoing = sum(lacked(theirs.get(origin), mine).count() for origin, mine in ours.items())
    incoming = sum(lacked(ours.get(origin), other).count() for origin, other in theirs.items())
    return outgoing, incoming
