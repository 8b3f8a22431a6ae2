"""Push: this node's own records, to a peer that lacks them.

Only records whose blocks are readable under `hashes/` go out (our own line of `applied`), so a
peer never hears of a version that it could not read. Nothing counts as sent until acknowledged.
"""

from __future__ import annotations

from globofs.events import Cancelled, Emit, ignore, never
from globofs.format.applied import Applied
from globofs.peerio.peer import Peer
from globofs.store.node import Node
from globofs.sync._journals import lacked
from globofs.sync._outbox import Delivered, Sent, deliver


def push(
    node: Node,
    peer: Peer,
    theirs: Applied,
    ours: Applied,
    sent: Sent,
    *,
    emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> Delivered:
    """Append to `upstream/<own uuid>/updates/latest` at `peer` exactly what it lacks.

    `theirs` and `ours` are the acknowledgements of both sides, `sent` remembers what lies there.
    Raises `PeerError` (offline, stuck, wrong, read-only, full).
    """
    own = node.uuid
    position = theirs.get(own)
    lacking = lacked(position, ours.get(own))
    return deliver(node, peer, own, position, lacking, sent, emit=emit, cancelled=cancelled)
