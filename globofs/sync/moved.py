"""A volume that was moved or restored from a backup, and is used nowhere else, speaks for itself.

What it did between the backup and the restore it does not know: it may have agreed to a prune, and
others have let go of data since. So it first hears a peer, which gives its own records back.
"""

from __future__ import annotations

from globofs.errors import Interrupted, Unsupported
from globofs.events import Cancelled, Emit, PeerSeen, ignore, never
from globofs.peerio.peers import Peers
from globofs.store import home
from globofs.store.node import Node
from globofs.sync.round import sync


def settle_in(
    node: Node,
    peers: Peers,
    *,
    force: bool = False,
    emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> None:
    """Note that the node is at home where it lies now, after a sync with its peers.

    Raises Unsupported where none of them could be heard to its end, unless `force` says that it
    has to do without; ReadOnlyVolume, Locked, Interrupted, OSError.
    """
    node.writable()
    if not force and node.peer_entries([]):
        seen = sync(node, peers, emit=emit, cancelled=cancelled).peers
        if cancelled():
            raise Interrupted()
        if not any(map(_was_heard, seen)):
            names = ", ".join(one.peer for one in seen)
            reason = (
                f"none of its peers ({names}) could tell what this node did until it was moved or"
                " restored. Say it again when one is there, or with `--force` if none ever will be"
            )
            raise Unsupported(what="doctor --moved", reason=reason)
    node.change_config("path", node.volume)
    home.note(node.directory)


def _was_heard(seen: PeerSeen) -> bool:
    return seen.state in ("online", "readonly") and not seen.reason and not seen.incoming
