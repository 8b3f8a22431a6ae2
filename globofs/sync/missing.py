"""Which blocks are not here: of a subtree, of one version, of what this node owes the volume."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from globofs.store.node import Node
from globofs.store.query import View
from globofs.store.versions import missing_of_many
from globofs.sync.pull import Wanted

_PORTION_BLOCKS = 5000


class _Lacking(NamedTuple):
    """A version that lacks blocks: its row, its path, who wrote it, and how many blocks it has."""

    row: int
    path: bytes
    node: str
    blocks: int


_COLUMNS = "v.row, p.path, v.node, v.blocks"


def missing_below(node: Node, path: bytes, all_versions: bool = False) -> Iterator[Wanted]:
    """The blocks at and below `path` that are not here, in the order of the tree."""
    return _missing(node, (_rows_below if all_versions else _shown_below)(node, path))


def _missing(node: Node, lacking: Iterable[_Lacking]) -> Iterator[Wanted]:
    """The blocks that versions lack: many versions, or one large one, at a time."""
    for portion in _portions(lacking):
        listed = missing_of_many(node.index, [version.row for version in portion])
        for version in portion:
            for block in listed.get(version.row, ()):
                yield Wanted(block.id, block.size, version.path, version.node)


def _portions(lacking: Iterable[_Lacking]) -> Iterator[list[_Lacking]]:
    portion: list[_Lacking] = []
    blocks = 0
    for version in lacking:
        portion.append(version)
        blocks += version.blocks
        if blocks >= _PORTION_BLOCKS:
            yield portion
            portion, blocks = [], 0
    if portion:
        yield portion


def _shown_below(node: Node, path: bytes) -> Iterator[_Lacking]:
    """The current versions at and below `path` that lack blocks."""
    view = View(node)
    top = view.entry(path)
    if top is not None and top.kind == "file" and top.missing:
        yield _Lacking(top.row, top.path, top.node, top.blocks)
    for entry in view.walk(path):
        if entry.kind == "file" and entry.missing and entry.path != path:
            yield _Lacking(entry.row, entry.path, entry.node, entry.blocks)


def _rows_below(node: Node, path: bytes) -> Iterator[_Lacking]:
    """Every version at and below `path` that lacks blocks."""
    sql = (
        f"SELECT {_COLUMNS} FROM version v JOIN path p ON p.no = v.path"
        " WHERE v.missing > 0 AND v.pending = 0 AND v.pruned = 0"
    )
    args: tuple[bytes, ...] = ()
    if path:
        sql += " AND (p.path = ? OR (p.path > ? AND p.path < ?))"
        args = (path, path + b"/", path + b"0")
    return map(_Lacking._make, node.index.rows(sql, args))


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
            f"SELECT {_COLUMNS} FROM version v JOIN path p ON p.no = v.path"
            " WHERE v.node = ? AND v.missing > 0 AND v.pending = 0 AND v.pruned = 0"
        )
        yield from _missing(node, map(_Lacking._make, node.index.rows(sql, (uuid,))))


def wished(node: Node) -> Iterator[Wanted]:
    """What mirrors, pins and reads have asked for and is not here."""
    for wish in node.state.wanted():
        if wish.kind == "version":
            version = View(node).version_by_id(wish.id)
            if version is not None:
                lacking = _Lacking(version.row, version.path, version.node, version.blocks)
                yield from _missing(node, [lacking])
        else:
            yield from missing_below(node, wish.path, wish.kind == "history")
    for path in node.state.pins():
        yield from missing_below(node, path)
