"""The exact text of a version's manifest, wherever it lies."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from globofs.errors import ContentMissing, Damaged, FormatError
from globofs.format import kinds
from globofs.store.versions import rewritten_manifest

if TYPE_CHECKING:
    from globofs.store.node import Node
    from globofs.store.views import Version


def manifest_text(node: Node, version: Version) -> bytes:
    """The manifest of `version`, byte for byte: made again from the index, or, where a hand wrote
    it, read from its journal; one over 1 MiB is a block of its own.

    Raises ContentMissing while such a block is not here.
    """
    text = rewritten_manifest(node.index, version.row)
    if text is None:
        text = _from_block(node, version) or _from_journal(node, version)
    if text is None:
        holder = node.index.node_name(version.node) or version.node
        raise ContentMissing(path=version.path, count=1, holder=holder, why="")
    return text


def _from_block(node: Node, version: Version) -> bytes | None:
    size = node.index.block_size(version.id)
    if size is None:
        return None
    try:
        return node.blocks.get_any(version.id, size)
    except (KeyError, Damaged):
        return None


def _from_journal(node: Node, version: Version) -> bytes | None:
    place = node.index.one("SELECT origin, seq FROM version WHERE row = ?", (version.row,))
    if place is None:
        return None
    origin, seq = place
    for found in node.journal.read_from(origin, seq - 1):
        if found.record.seq != seq:
            break
        with suppress(FormatError):
            entry = kinds.VersionRecord.parse(found.record)
            if entry.manifest == version.id:  # a forked journal has a number twice
                return entry.text or None
    return None
