"""The tree at a moment: the rows of `path` that differ from now, directory totals included.

The rule is the one of the present (`heads`), applied to the versions not after the moment. Only
paths that have a later version are looked at; the work is that of the change since then.
"""

from __future__ import annotations

from sys import intern
from typing import TYPE_CHECKING, Final

from globofs.store.apply_paths import Candidate, show
from globofs.store.heads import heads
from globofs.store.portions import chunks, marks
from globofs.store.totals import PathRow, PathRows
from globofs.store.versions import split_ids

if TYPE_CHECKING:
    from globofs.store.index import Index

Overlay = dict[bytes, PathRow]
KEPT: Final = 4
"""Overlays kept for stepping to and fro."""
KEPT_ROWS: Final = 100_000
"""Rows of all those that are kept while another is worked out: each takes 0.7 KB."""


def overlay_at(index: Index, at: int) -> Overlay:
    """What differs at the moment `at`, by path. Kept while the index does not change."""
    mark = index.change_mark()
    kept = index.overlays
    found = kept.get((at, mark))
    if found is None:
        for key in list(kept):
            rows = sum(map(len, list(kept.values())))
            if key[1] != mark or len(kept) >= KEPT or rows > KEPT_ROWS:
                kept.pop(key, None)
        found = kept[at, mark] = _work_out(index, at)
    return found


def _work_out(index: Index, at: int) -> Overlay:
    db = index.db
    sql = "SELECT DISTINCT path FROM version WHERE time > ?"
    numbers = [row[0] for row in db.execute(sql, (at,))]
    rows = PathRows(db)
    for chunk in chunks(numbers):
        rows.load_numbers(chunk)
        versions: dict[int, list[Candidate]] = {no: [] for no in chunk}
        query = (
            "SELECT path, id, time, node, kind, content, row, size, mode, mtime, target,"
            f" blocks, missing, lacking, parents FROM version WHERE path IN ({marks(chunk)})"
            " AND time <= ?"
        )
        for no, *values in db.execute(query, (*chunk, at)):
            values[-1] = split_ids(values[-1])
            values[2:4] = map(intern, values[2:4])  # a few texts that 200,000 rows share
            versions[no].append(Candidate(*values))
        for no, known in versions.items():
            _set(rows, rows.by_number[no], known)
    rows.settle()
    return rows.by_path


def _set(rows: PathRows, path: PathRow, known: list[Candidate]) -> None:
    rows.change(path)
    path.nversions = len(known)
    path.newest = max((version.time for version in known), default=0)
    if known:
        show(path, heads(known))
        return
    path.shown = path.size = path.mode = path.mtime = path.time = path.conflict = 0
    path.blocks = path.missing = path.lacking = 0
    path.version, path.kind, path.node, path.target = b"", "", "", b""
