"""A node tells the others its name, and whether it keeps what it holds: in its journal.

Said with the first operation, and again with the next one after the config changed. A node that
never writes says it when it begins to sync, for its peers may only rely on a keeper that said so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from globofs.store.commit import Operation, unsaid

if TYPE_CHECKING:
    from globofs.store.parts import NodeParts


def announce(node: NodeParts) -> bool:
    """Say it in an operation of its own, if it is not said yet; whether anything was."""
    if unsaid(node) is None:
        return False
    words = (f"name={node.name}", f"cacheonly={'yes' if node.config.cacheonly else 'no'}")
    with Operation(node, "config", words, builds=False) as operation:
        entry = unsaid(node)
        if entry is not None:
            operation.record(entry)
    return entry is not None
