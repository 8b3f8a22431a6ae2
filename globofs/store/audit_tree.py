"""Whether what the index has of paths follows from the versions it has: heads, what is shown, and
the sums of directories. One moment of the index is looked at, path by path."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from typing import Any, Final

from globofs.store import heads
from globofs.store.apply_paths import Candidate
from globofs.store.index import Index
from globofs.store.totals import FILE_AND_DIRECTORY, HEADS_DIFFER
from globofs.store.versions import split_ids

Tell = Callable[[bytes, str], None]

_VERSIONS: Final = (
    "SELECT path, id, time, node, kind, content, row, size, mode, mtime, target, blocks, missing,"
    " lacking, parents, head FROM version ORDER BY path, time DESC"
)
_SHOWN: Final = (
    "SELECT no, path, shown, version, kind, size, mode, mtime, time, node, target, blocks, missing,"
    " lacking, newest, nversions, heads, conflict, d_live FROM path ORDER BY no"
)
_LIVE: Final = "(c.kind NOT IN ('', 'deleted'))"
_WEIGHTS: Final = (
    ("d_files", f"{_LIVE} AND c.kind <> 'directory'"),
    ("d_bytes", "(c.kind = 'file') * c.size"),
    ("d_versions", "c.nversions"),
    ("d_conflicts", "c.conflict > 0"),
    ("d_blocks", f"{_LIVE} * c.blocks"),
    ("d_missing", f"{_LIVE} * c.missing"),
    ("d_lacking", f"{_LIVE} * c.lacking"),
    ("d_live", _LIVE),
)
_SUMS: Final = (
    "SELECT p.path FROM path p LEFT JOIN (SELECT c.parent AS no, "
    + ", ".join(f"sum(({weight}) + c.{name}) AS {name}" for name, weight in _WEIGHTS)
    + " FROM path c WHERE c.parent IS NOT NULL GROUP BY c.parent) s ON s.no = p.no WHERE "
    + " OR ".join(f"p.{name} <> coalesce(s.{name}, 0)" for name, _ in _WEIGHTS)
)
_PLACES: Final = "SELECT p.path, p.name, q.path FROM path p LEFT JOIN path q ON q.no = p.parent"


def audit_tree(index: Index, tell: Tell) -> None:
    """Compare all paths with the versions they have."""
    with index.snapshot() as db:
        _check_paths(db, tell)
        for path, name, above in db.execute(_PLACES):
            if above is None:
                right = path == b"" and name == b""
            else:
                right = path == (above + b"/" + name if above else name) and name != b""
            if not right:
                tell(path, "its place in the tree")
        for (path,) in db.execute(_SUMS):
            tell(path, "what lies below it")


class _Path:
    """The versions of one path, newest first, and what follows from them."""

    def __init__(self) -> None:
        self.count = self.newest = 0
        self.named: set[bytes] = set()  # as parents, and not met yet
        self.heads: dict[bytes, Candidate] = {}
        self.marked: dict[bytes, int] = {}

    def add(self, version: Candidate, head: int) -> None:
        """One of them. Parents come later, as a rule; where one came before, it was a head."""
        self.count += 1
        self.newest = max(self.newest, version.time)
        if head:
            self.marked[version.id] = head
        if version.id in self.named:
            self.named.discard(version.id)
        else:
            self.heads[version.id] = version
        for parent in version.parents:
            if self.heads.pop(parent, None) is None:
                self.named.add(parent)


def _check_paths(db: sqlite3.Connection, tell: Tell) -> None:
    orphans = 0
    groups = itertools.groupby(db.execute(_VERSIONS), key=lambda row: row[0])
    group = next(groups, None)
    for row in db.execute(_SHOWN):
        no, path = row[:2]
        found = _Path()
        while group is not None and group[0] < no:
            tell(b"", f"versions of a path (number {group[0]}) that is not there")
            group = next(groups, None)
        if group is not None and group[0] == no:
            for version in group[1]:
                values = (*version[1:14], split_ids(version[14]))
                found.add(Candidate(*values), version[15])
            group = next(groups, None)
        if found.marked != dict.fromkeys(found.heads, 1):
            tell(path, "which of its versions are heads")
        elif row[2:] != _expected(found, row[18]):
            tell(path, "what it shows")
        for parent in found.named:
            orphans += _check_orphan(db, parent, no, path, tell)
    if db.execute("SELECT count(*) FROM orphan").fetchone()[0] > orphans:
        tell(b"", "versions that are said to be unknown")


def _expected(found: _Path, live: int) -> tuple[Any, ...]:
    if not found.heads:
        return (0, b"", "", 0, 0, 0, 0, "", b"", 0, 0, 0, 0, 0, 0, 0, live)
    some = list(found.heads.values())
    best = heads.winner(some)
    conflict = HEADS_DIFFER if heads.differ(some) else 0
    if live > 0 and best.kind in ("file", "symlink"):
        conflict |= FILE_AND_DIRECTORY
    return (
        *(best.row, best.id, best.kind, best.size, best.mode, best.mtime, best.time, best.node),
        *(best.target, best.blocks, best.missing, best.lacking),
        *(found.newest, found.count, len(some), conflict, live),
    )


def _check_orphan(db: sqlite3.Connection, parent: bytes, no: int, path: bytes, tell: Tell) -> int:
    """Whether a parent that is no version of the path is remembered, if it is none at all."""
    if db.execute("SELECT 1 FROM version WHERE id = ?", (parent,)).fetchone():
        return 0
    sql = "SELECT 1 FROM orphan WHERE parent = ? AND path = ?"
    if not db.execute(sql, (parent, no)).fetchone():
        tell(path, "a version before its own that is unknown")
    return 1
