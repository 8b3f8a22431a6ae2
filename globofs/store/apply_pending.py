"""Large manifests that arrive after their records: the version becomes whole.

A manifest over 1 MiB is a block. Until it is here its version is known (path, time, parents) but
not its size or blocks; it counts as missing that one block.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from globofs.errors import FormatError
from globofs.format.manifest import Manifest, decode, manifest_id
from globofs.store.apply_paths import candidates_of, known_blocks, pack_uses, show
from globofs.store.totals import PathRows

if TYPE_CHECKING:
    import sqlite3

    from globofs.store.index import Index


def complete_pending(index: Index) -> int:
    """Decode the large manifests that have arrived; how many versions became whole."""
    sql = (
        "SELECT v.row, v.id, p.path, v.time, v.node FROM version v"
        " JOIN path p ON p.no = v.path JOIN block b ON b.id = v.id"
        " WHERE v.pending = 1 AND b.held = 1"
    )
    count = 0
    for row, version, path, time, node in index.rows(sql):
        text = index.read_block(version) if index.read_block else None
        if text is None or manifest_id(text) != version:
            continue
        try:
            made = decode(text, where=f"manifest {version.hex()}", path=path, version=time)
        except FormatError:
            continue
        work = partial(_complete, row=row, made=made, node=made.node or node)
        index.write(work)
        count += 1
    return count


def _complete(db: sqlite3.Connection, row: int, made: Manifest, node: str) -> None:
    blocks = known_blocks(db, dict(made.blocks))
    uses: list[tuple[int, int, int, int]] = []
    listed, total, missing, lacking = pack_uses(row, made, blocks, uses)
    db.execute("UPDATE use SET times = 0, bytes = 0 WHERE version = ?", (row,))
    db.executemany("INSERT OR REPLACE INTO use VALUES(?, ?, ?, ?)", sorted(uses))
    values: tuple[Any, ...] = (
        *(made.kind, made.size, made.mode, made.mtime, made.target, made.from_path),
        *(made.from_id, made.content, total, missing, lacking, listed, node),
        "\n".join(f"{key}={value}" for key, value in made.extra) or None,
    )
    db.execute(
        "UPDATE version SET kind = ?, size = ?, mode = ?, mtime = ?, target = ?, from_path = ?,"
        " from_id = ?, content = ?, blocks = ?, missing = ?, lacking = ?, list = ?, node = ?,"
        " extra = ?, pending = 0 WHERE row = ?",
        (*values, row),
    )
    db.execute(
        "UPDATE op SET bytes = bytes + ? WHERE no = (SELECT op FROM version WHERE row = ?)",
        (made.size, row),
    )
    db.execute("INSERT OR IGNORE INTO again VALUES(?)", (row,))
    path = db.execute("SELECT path FROM version WHERE row = ?", (row,)).fetchone()[0]
    rows = PathRows(db)
    rows.load_numbers([path])
    shown = rows.by_number[path]
    rows.change(shown)
    show(shown, candidates_of(db, [shown])[path])
    rows.flush()
