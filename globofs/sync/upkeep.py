"""What a sync pulls of its own accord: large manifests, what caches wrote, what is wanted."""

from __future__ import annotations

from itertools import chain

from globofs.events import Cancelled, Emit, Problem, ignore, never
from globofs.store.node import Node
from globofs.store.query import View
from globofs.sync.missing import owed_to_caches, pending_manifests, wished
from globofs.sync.pull import Puller


def pull_owed(
    node: Node, puller: Puller, *, emit: Emit = ignore, cancelled: Cancelled = never
) -> int:
    """Pull what this node owes the volume and was asked for; the number of blocks pulled.

    What nobody reachable holds stays wanted and is a warning, once for everything.
    """
    if node.readonly:
        return 0
    blocks = 0
    manifests = pending_manifests(node)
    if manifests:
        done = puller.fetch(manifests, cancelled=cancelled, emit=emit)
        blocks += done.blocks
        if done.blocks:
            node.catch_up(emit=emit)
    owed = owed_to_caches(node) if not node.config.cacheonly else iter(())
    result = puller.fetch(chain(wished(node), owed), cancelled=cancelled, emit=emit)
    if result.missing:
        first = puller.missing(result.missing[0], len(result.missing))
        emit(Problem(result.missing[0].path, first.reason, warning=True))
    _forget_granted(node)
    return blocks + result.blocks


def _forget_granted(node: Node) -> None:
    """Single versions that were wanted by a read and are here now are no longer to do."""
    view = View(node)
    granted = []
    for wish in node.state.wanted():
        version = view.version_by_id(wish.id) if wish.kind == "version" else None
        if version is not None and version.missing == 0:
            granted.append(wish)
    if granted:
        node.state.unwant(granted)
