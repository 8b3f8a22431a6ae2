"""Filling an empty index from many journals, and knowing a version again without a look-up by id.

Ids are random: with an index by them, every batch writes all over it, and of a million versions
that is most of the work. While an empty index is filled there is none; it is made at the end, and
until then a version is looked for among those of its path. A process that was killed on the way
leaves the mark: whoever comes next fills on, and makes it.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from globofs.store.portions import chunks, marks

if TYPE_CHECKING:
    from globofs.format.kinds import VersionRecord
    from globofs.store.index import Index
    from globofs.store.totals import PathRow, PathRows

Known = dict[bytes, tuple[int, int]]
"""Versions that the index has, by id: their row, and the number of their path."""

_MARK: Final = "filling"
_ANY: Final = "SELECT 1 FROM version LIMIT 1"
_NAMED: Final = re.compile(rb"kind=[a-z]+\npath=[!-~]+\nversion=[0-9.]+\n")
"""A manifest whose id can be that of one path and one time only; others may be made by hand."""
_SORT_KIB: Final = 8 * 1024


def is_filling(db: sqlite3.Connection) -> bool:
    """Whether there is no index by id: versions may be asked for by it, and are found slowly."""
    return db.execute("SELECT 1 FROM meta WHERE key = ?", (_MARK,)).fetchone() is not None


def begin(index: Index) -> None:
    """Do without the index by id from here on, where there are no versions yet."""
    if index.one(_ANY) is not None:
        return

    def drop(db: sqlite3.Connection) -> None:
        if db.execute(_ANY).fetchone() is None:
            db.execute("DROP INDEX IF EXISTS version_id")
            db.execute("INSERT OR REPLACE INTO meta(key, value) VALUES(?, 1)", (_MARK,))

    index.write(drop)


def finish(index: Index) -> None:
    """Make the index by id, in little memory where there is room for temporary files."""
    if not is_filling(index.db):
        return
    try:
        with index.sorting_on_disk(_SORT_KIB) as db:
            make_index(db)
    except sqlite3.OperationalError:
        index.write(make_index)


def make_index(db: sqlite3.Connection) -> None:
    """Make the index by id where there is none; in a transaction."""
    if not is_filling(db):
        return
    db.execute("CREATE UNIQUE INDEX version_id ON version(id)")
    # A parent that is a version of another path was looked for at its own.
    db.execute("DELETE FROM orphan WHERE EXISTS (SELECT 1 FROM version v WHERE v.id = parent)")
    db.execute("DELETE FROM meta WHERE key = ?", (_MARK,))


def known_versions(
    db: sqlite3.Connection, paths: PathRows, entries: Sequence[VersionRecord]
) -> Known:
    """Which of a batch's versions, and of their parents, the index has. `paths` has read the rows
    of theirs, and none of them was changed yet.

    Hardly any has to be asked for: a version that is newer than all of its path is not known, and
    the parent of most is the version that its path shows.
    """
    found: Known = {}
    certain = db.execute("SELECT 1 FROM version WHERE pending = 1 LIMIT 1").fetchone() is None
    new = {entry.manifest for entry in entries}
    wanted: dict[bytes, PathRow] = {}
    only_by_id = False
    for entry in entries:
        row = paths.by_path[entry.path]
        if not (certain and _NAMED.match(entry.text)):
            wanted[entry.manifest] = row
            only_by_id = True
        elif entry.version <= row.newest:
            wanted[entry.manifest] = row
        for parent in entry.parents:
            if parent == row.version:
                found[parent] = (row.shown, row.no)
            elif parent not in new:
                wanted[parent] = row
    if wanted and only_by_id:
        make_index(db)
    if wanted and is_filling(db):
        _of_paths(db, wanted, found)
    else:
        _of_ids(db, wanted, found)
    return found


def _of_ids(db: sqlite3.Connection, wanted: Iterable[bytes], found: Known) -> None:
    for chunk in chunks(wanted):
        sql = f"SELECT id, row, path FROM version WHERE id IN ({marks(chunk)})"
        for version, row, path in db.execute(sql, chunk):
            found[version] = (row, path)


def _of_paths(db: sqlite3.Connection, wanted: dict[bytes, PathRow], found: Known) -> None:
    for chunk in chunks({row.no for row in wanted.values()}):
        sql = f"SELECT id, row, path FROM version WHERE path IN ({marks(chunk)})"
        for version, row, path in db.execute(sql, chunk):
            if version in wanted:
                found[version] = (row, path)
