"""A node tells the others its name, and whether it keeps what it holds: in its journal.

Said with the first operation, and again with the next one after the config changed. A node that
never writes says it when it begins to sync, for its peers may only rely on a keeper that said so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from globofs.format import kinds

if TYPE_CHECKING:
    from globofs.store.node import Node


def unsaid(node: Node) -> kinds.NodeRecord | None:
    """What this node should say of itself; None when its journal says just that."""
    config = node.config
    said = node.index.one("SELECT name, cacheonly, told FROM node WHERE uuid = ?", (node.uuid,))
    if said is not None and said[2] and (said[0], bool(said[1])) == (node.name, config.cacheonly):
        return None
    return kinds.NodeRecord(node.name, config.cacheonly)


def announce(node: Node) -> bool:
    """Say it in an operation of its own, if it is not said yet; whether anything was."""
    if unsaid(node) is None:
        return False
    words = (f"name={node.name}", f"cacheonly={'yes' if node.config.cacheonly else 'no'}")
    with node.operation("config", words) as operation:
        entry = unsaid(node)
        if entry is not None:
            operation.record(entry)
    return entry is not None
