"""A volume that was moved or restored from a backup, and is used nowhere else, speaks for itself.

What it did between the backup and the restore it does not know: it may have agreed to a prune, and
others have let go of data since. So it first hears a peer, which gives its own records back.
"""

from __future__ import annotations

from typing import Final

from globofs import limits
from globofs.errors import Interrupted, PeerError, Unsupported
from globofs.events import Cancelled, Emit, PeerSeen, ignore, never
from globofs.peerio.peer import Peer
from globofs.peerio.peers import Peers
from globofs.store import home
from globofs.store.catchup import positions
from globofs.store.find import original
from globofs.store.node import Node
from globofs.sync._journals import decode_or_empty, lacked
from globofs.sync.round import sync

_LOOK_SECONDS: Final = 0.2


def settle_in(
    node: Node,
    peers: Peers,
    *,
    force: bool = False,
    emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> None:
    """Note that the node is at home where it lies now, after a sync with its peers.

    Raises Unsupported where it is seen to lie at its old place as well, and where none of its peers
    could be heard to its end, unless `force` says that it has to do without; ReadOnlyVolume,
    Locked, Interrupted, OSError.
    """
    node.writable()
    other = original(node.config, node.directory)
    if other:
        reason = (
            f"this same node lies at {other}, too; remove that one, or its path= from the config"
            " here if nobody uses it any more"
        )
        raise Unsupported(what="doctor --moved", reason=reason)
    heard = force or not node.peer_entries([]) or _hears(node, peers, emit, cancelled)
    if cancelled():
        raise Interrupted()
    if not heard:
        names = ", ".join(peer.name for peer in peers)
        reason = (
            f"none of its peers ({names}) could tell what this node did until it was moved or"
            " restored. Say it again when one is there, or with `--force` if none ever will be"
        )
        raise Unsupported(what="doctor --moved", reason=reason)
    node.change_config("path", node.volume)
    home.note(node.directory)


def _hears(node: Node, peers: Peers, emit: Emit, cancelled: Cancelled) -> bool:
    """Whether everything that one of the peers knows is here now."""
    with node.locks.sync.try_exclusive() as free:
        if free:
            seen = sync(node, peers, emit=emit, cancelled=cancelled).peers
            return any(map(_was_heard, seen)) and any(_is_known(node, peer) for peer in peers)
    # The process that syncs this node, perhaps this very one, brings it.
    until = node.clock.monotonic() + limits.PEER_COMMAND_SECONDS
    while not cancelled() and node.clock.monotonic() < until:
        node.catch_up(emit=emit)
        if any(_is_known(node, peer) for peer in peers):
            return True
        node.clock.sleep(_LOOK_SECONDS)
    return False


def _was_heard(seen: PeerSeen) -> bool:
    return seen.state in ("online", "readonly") and not seen.reason and not seen.incoming


def _is_known(node: Node, peer: Peer) -> bool:
    try:
        data = peer.read_applied_bytes()
    except PeerError:
        return False
    theirs = decode_or_empty(data)
    if not theirs:
        return False  # torn: it is being written; or it has heard of nothing, and can tell nothing
    ours = positions(node)
    sql = "SELECT 1 FROM record WHERE origin = ? AND seq = ? AND id = ?"
    return all(
        not lacked(ours.get(origin), there)
        and node.index.one(sql, (origin, there.received, there.hash)) is not None
        for origin, there in theirs.items()
        if there.received
    )
