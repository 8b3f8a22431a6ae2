"""Which blocks are not here: of a subtree, of one version, of what this node owes the volume."""

from __future__ import annotations

from collections.abc import Iterator

from globofs.store.node import Node
from globofs.store.query import View
from globofs.store.versions import blocks_of
from globofs.sync.pull import Wanted


def missing_of_row(node: Node, row: int, path: bytes, writer: str) -> Iterator[Wanted]:
    """The blocks of one version that are not here."""
    for block, held in blocks_of(node.index, row):
        if not held:
            yield Wanted(block.id, block.size, path, writer)


def missing_below(node: Node, path: bytes, all_versions: bool = False) -> Iterator[Wanted]:
    """The blocks at and below `path` that are not here, in the order of the tree."""
    if all_versions:
        for row, name, writer in _rows_below(node, path):
            yield from missing_of_row(node, row, name, writer)
        return
    view = View(node)
    top = view.entry(path)
    if top is not None and top.kind == "file" and top.missing:
        yield from missing_of_row(node, top.row, top.path, top.node)
    for entry in view.walk(path):
        if entry.kind == "file" and entry.missing and entry.path != path:
            yield from missing_of_row(node, entry.row, entry.path, entry.node)


def _rows_below(node: Node, path: bytes) -> list[tuple[int, bytes, str]]:
    """Every version at and below `path` that lacks blocks."""
    sql = (
        "SELECT v.row, p.path, v.node FROM version v JOIN path p ON p.no = v.path"
        " WHERE v.missing > 0 AND v.pending = 0 AND v.pruned = 0"
    )
    args: tuple[bytes, ...] = ()
    if path:
        sql += " AND (p.path = ? OR (p.path > ? AND p.path < ?))"
        args = (path, path + b"/", path + b"0")
    return [(row, name, writer) for row, name, writer in node.index.rows(sql, args)]


def pending_manifests(node: Node) -> list[Wanted]:
    """Manifests over 1 MiB whose record is here and whose block is not."""
    sql = (
        "SELECT b.id, u.bytes, p.path, v.node FROM version v JOIN block b ON b.id = v.id"
        " JOIN use u ON u.block = b.no AND u.version = v.row"  # others may list it with any size
        " JOIN path p ON p.no = v.path WHERE v.pending = 1 AND b.held = 0"
    )
    return [Wanted(*row) for row in node.index.rows(sql)]


def owed_to_caches(node: Node) -> Iterator[Wanted]:
    """What cacheonly nodes wrote and a keeper should hold, as they may let go of it."""
    caches = [info.uuid for info in node.index.nodes() if info.cacheonly and info.uuid != node.uuid]
    for uuid in caches:
        sql = (
            "SELECT v.row, p.path FROM version v JOIN path p ON p.no = v.path"
            " WHERE v.node = ? AND v.missing > 0 AND v.pending = 0 AND v.pruned = 0"
        )
        for row, path in node.index.rows(sql, (uuid,)):
            yield from missing_of_row(node, row, path, uuid)


def wished(node: Node) -> Iterator[Wanted]:
    """What mirrors, pins and reads have asked for and is not here."""
    for wish in node.state.wanted():
        if wish.kind == "version":
            version = View(node).version_by_id(wish.id)
            if version is not None:
                yield from missing_of_row(node, version.row, version.path, version.node)
        else:
            yield from missing_below(node, wish.path, wish.kind == "history")
    for path in node.state.pins():
        yield from missing_below(node, path)
