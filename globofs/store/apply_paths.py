"""Pieces of applying that other writers of the index need too: heads, blocks, what is shown."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from globofs.format.manifest import Manifest
from globofs.store import heads
from globofs.store.index import head_conditions
from globofs.store.portions import chunks, marks
from globofs.store.totals import HEADS_DIFFER, PathRow


class Candidate(NamedTuple):
    """A head of a path, with what the path shows if it wins."""

    id: bytes
    time: int
    node: str
    kind: str
    content: bytes
    row: int
    size: int
    mode: int
    mtime: int
    target: bytes
    blocks: int
    missing: int
    lacking: int
    parents: tuple[bytes, ...] = ()


def candidates_of(db: sqlite3.Connection, paths: Iterable[PathRow]) -> dict[int, list[Candidate]]:
    """The heads that paths had when their rows were read, by number; where one was demoted since,
    those that are left."""
    listed = [(path.no, path.shown, path.heads) for path in paths]
    found: dict[int, list[Candidate]] = {no: [] for no, _, _ in listed}
    for condition, values in head_conditions(listed):
        sql = (
            "SELECT path, id, time, node, kind, content, row, size, mode, mtime, target,"
            f" blocks, missing, lacking FROM version WHERE {condition} AND head = 1"
        )
        for no, *rest in db.execute(sql, values):
            found[no].append(Candidate(*rest))
    return found


def known_blocks(db: sqlite3.Connection, sizes: dict[bytes, int]) -> dict[bytes, tuple[int, int]]:
    """Number and held mark of blocks (id and plain size), which are made known if they are not."""
    found: dict[bytes, tuple[int, int]] = {}
    unsized: list[tuple[int, int]] = []
    for chunk in chunks(sizes):
        sql = f"SELECT id, no, held, size FROM block WHERE id IN ({marks(chunk)})"
        for block, no, held, size in db.execute(sql, chunk):
            found[block] = (no, held)
            if size < 0:
                unsized.append((sizes[block], no))
    following = db.execute("SELECT coalesce(max(no), 0) + 1 FROM block").fetchone()[0]
    made: list[tuple[int, bytes, int]] = []
    for block, size in sizes.items():
        if block not in found:
            found[block] = (following, 0)
            made.append((following, block, size))
            following += 1
    db.executemany("INSERT INTO block(no, id, size) VALUES(?, ?, ?)", made)
    db.executemany("UPDATE block SET size = ? WHERE no = ?", unsized)
    return found


def pack_uses(
    row: int,
    manifest: Manifest,
    blocks: dict[bytes, tuple[int, int]],
    uses: list[tuple[int, int, int, int]],
) -> tuple[bytes, int, int, int]:
    """Append `use` rows of a version; its packed list, and number of blocks, missing, lacking."""
    listed = manifest.blocks
    if len(listed) == 1:
        block, size = listed[0]
        no, held = blocks[block]
        uses.append((no, row, 1, size))
        packed = array("I", (no, size)).tobytes()
        return (packed, 1, 0, 0) if held else (packed, 1, 1, size)
    times: dict[int, list[int]] = {}
    numbers = array("I")
    missing = lacking = 0
    for block, size in listed:
        no, held = blocks[block]
        numbers.append(no)
        numbers.append(size)
        if not held:
            missing += 1
            lacking += size
        count = times.get(no)
        if count is None:
            times[no] = [1, size]
        else:
            count[0] += 1
            count[1] += size
    uses.extend((no, row, count[0], count[1]) for no, count in times.items())
    return numbers.tobytes(), len(listed), missing, lacking


def show(path: PathRow, found: Sequence[Candidate]) -> None:
    """Make a path (already under `PathRows.change`) show the winner of its heads."""
    if not found:
        return
    path.heads = len(found)
    best = heads.winner(found)
    path.shown, path.version, path.kind = best.row, best.id, best.kind
    path.size, path.mode, path.mtime = best.size, best.mode, best.mtime
    path.time, path.node, path.target = best.time, best.node, best.target
    path.blocks, path.missing, path.lacking = best.blocks, best.missing, best.lacking
    path.conflict = path.conflict & ~HEADS_DIFFER | (HEADS_DIFFER if heads.differ(found) else 0)
