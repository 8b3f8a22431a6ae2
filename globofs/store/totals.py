"""Rows of the table `path`, changed in memory and written back with all directory totals.

What a path weighs (one live file, its bytes, versions, missing blocks, ...) counts in every
directory above it. A batch changes many paths below few directories, so the differences are
summed level by level, deepest first, and every ancestor is written once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from globofs.store.index_schema import TOTALS
from globofs.store.portions import chunks, marks

NOTHING: Final = (0,) * len(TOTALS)

FIXED: Final = ("no", "path", "parent", "name")
OWN: Final = (
    *("shown", "version", "kind", "size", "mode", "mtime", "time", "node", "target", "newest"),
    *("nversions", "heads", "conflict", "blocks", "missing", "lacking"),
)
COLUMNS: Final = FIXED + OWN + tuple(f"d_{name}" for name in TOTALS)

HEADS_DIFFER: Final = 1
FILE_AND_DIRECTORY: Final = 2

_SELECT: Final = f"SELECT {', '.join(COLUMNS)} FROM path WHERE "
_INSERT: Final = f"INSERT INTO path({', '.join(COLUMNS)}) VALUES({', '.join('?' * len(COLUMNS))})"
_LEAF: Final = COLUMNS[: -len(TOTALS)]
_INSERT_LEAF: Final = f"INSERT INTO path({', '.join(_LEAF)}) VALUES({', '.join('?' * len(_LEAF))})"
_UPDATE: Final = (
    f"UPDATE path SET {', '.join(f'{name} = ?' for name in COLUMNS[len(FIXED) :])} WHERE no = ?"
)


def weight(
    kind: str, size: int, versions: int, conflict: int, blocks: int, missing: int, lacking: int
) -> tuple[int, ...]:
    """What a path itself adds to every directory above it, in the order of `TOTALS`."""
    mark = 1 if conflict else 0
    if kind in ("", "deleted"):
        return (0, 0, versions, mark, 0, 0, 0, 0)
    files = 0 if kind == "directory" else 1
    return (files, size if kind == "file" else 0, versions, mark, blocks, missing, lacking, 1)


class PathRow:
    """One row of `path`; `below` are its directory totals in the order of `TOTALS`."""

    __slots__ = (*FIXED, *OWN, "added", "before", "below", "depth", "new")

    no: int
    path: bytes
    parent: int | None
    name: bytes
    shown: int
    version: bytes
    kind: str
    size: int
    mode: int
    mtime: int
    time: int
    node: str
    target: bytes
    newest: int
    nversions: int
    heads: int  # how many; one alone is what is shown
    conflict: int
    blocks: int
    missing: int
    lacking: int
    below: tuple[int, ...]
    before: tuple[int, ...] | None  # what it weighed before the first change, None: unchanged
    added: list[int] | None  # to be added to `below`
    new: bool  # not in the table yet
    depth: int

    def __init__(self, values: Sequence[Any], new: bool) -> None:
        self.no, self.path, self.parent, self.name = values[:4]
        self.shown, self.version, self.kind, self.size, self.mode, self.mtime = values[4:10]
        self.time, self.node, self.target, self.newest, self.nversions = values[10:15]
        self.heads, self.conflict, self.blocks, self.missing, self.lacking = values[15:20]
        below = tuple(values[20:])
        self.below = NOTHING if below == NOTHING else below  # one for all files
        self.before = None
        self.added = None
        self.new = new
        self.depth = self.path.count(b"/") + 1 if self.path else 0

    def weight(self) -> tuple[int, ...]:
        """What this path itself adds to every directory above it, in the order of `TOTALS`."""
        return weight(
            *(self.kind, self.size, self.nversions, self.conflict),
            *(self.blocks, self.missing, self.lacking),
        )

    def judge(self) -> None:
        """Settle whether it is a file and a directory at once, now that `below` is final."""
        both = self.below[-1] > 0 and self.kind in ("file", "symlink")
        self.conflict = self.conflict & HEADS_DIFFER | (FILE_AND_DIRECTORY if both else 0)

    def values(self) -> list[Any]:
        """The changeable columns, in the order of `COLUMNS`."""
        return [
            *(self.shown, self.version, self.kind, self.size, self.mode, self.mtime),
            *(self.time, self.node, self.target, self.newest),
            *(self.nversions, self.heads, self.conflict),
            *(self.blocks, self.missing, self.lacking),
            *self.below,
        ]


class PathRows:
    """The paths a transaction works on. Use inside one transaction, then `flush`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.by_number: dict[int, PathRow] = {}
        self.by_path: dict[bytes, PathRow] = {}
        self._changed: dict[int, PathRow] = {}
        self._next = 0

    def _keep(self, row: PathRow) -> PathRow:
        self.by_number[row.no] = row
        self.by_path[row.path] = row
        return row

    def load_numbers(self, numbers: Iterable[int]) -> None:
        """Read rows by number, those not read yet."""
        wanted = [no for no in numbers if no not in self.by_number]
        for chunk in chunks(wanted):
            sql = f"{_SELECT} no IN ({marks(chunk)})"
            for values in self.db.execute(sql, chunk):
                self._keep(PathRow(values, False))

    def load_paths(self, paths: Iterable[bytes]) -> None:
        """Read or make the rows of paths and of all directories above them."""
        missing = {path for path in paths if path not in self.by_path}
        wanted = set(missing)
        for path in missing:
            above = path
            while above:
                above = above.rpartition(b"/")[0]
                if above in wanted or above in self.by_path:
                    break
                wanted.add(above)
        listed = list(wanted)
        for chunk in chunks(listed):
            sql = f"{_SELECT} path IN ({marks(chunk)})"
            for values in self.db.execute(sql, chunk):
                self._keep(PathRow(values, False))
        made = [path for path in listed if path not in self.by_path]
        made.sort()  # what lies together is numbered, and kept, together
        made.sort(key=len)  # a parent is shorter than its children
        for path in made:
            self._make(path)

    def _make(self, path: bytes) -> PathRow:
        if not self._next:
            self._next = self.db.execute("SELECT max(no) FROM path").fetchone()[0] + 1
        parent, _, name = path.rpartition(b"/")
        values = (self._next, path, self.by_path[parent].no, name)
        values += (0, b"", "", 0, 0, 0, 0, "", b"", 0, 0, 0, 0, 0, 0, 0, *NOTHING)  # type: ignore[assignment]
        self._next += 1
        row = self._keep(PathRow(values, True))
        self._changed[row.no] = row
        row.before = NOTHING
        return row

    def change(self, row: PathRow) -> None:
        """Say that a row is about to change; before the first change of each."""
        if row.before is None:
            row.before = row.weight()
            self._changed[row.no] = row

    def add_below(self, no: int, difference: list[int]) -> None:
        """Say that what lies directly in a path, whose row was read, weighs so much more."""
        row = self.by_number[no]
        self.change(row)
        row.added = difference

    def flush(self) -> None:
        """Carry every difference up to the root and write all rows that changed."""
        self.settle()
        self._write()

    def settle(self) -> None:
        """Carry every difference up to the root, in memory."""
        levels: dict[int, dict[int, PathRow]] = {}
        for row in self._changed.values():
            levels.setdefault(row.depth, {})[row.no] = row
        depth = max(levels, default=-1)
        while depth >= 0:
            level = levels.get(depth, {})
            parents = {row.parent for row in level.values() if row.parent is not None}
            self.load_numbers(parents)
            for row in level.values():
                up = self._settle(row)
                if row.parent is None or up == NOTHING:
                    continue
                above = self.by_number[row.parent]
                self.change(above)
                levels.setdefault(above.depth, {})[above.no] = above
                if above.added is None:
                    above.added = list(up)
                else:
                    above.added = [a + b for a, b in zip(above.added, up, strict=True)]
            depth -= 1

    @staticmethod
    def _settle(row: PathRow) -> tuple[int, ...]:
        """Make a row's totals final; the difference to be carried to its parent."""
        added = row.added
        if added is not None:
            row.below = tuple([a + b for a, b in zip(row.below, added, strict=True)])
            row.added = None
        row.judge()
        weight = row.weight()
        before = row.before
        row.before = None
        assert before is not None
        if added is None:
            if before is NOTHING:
                return weight
            return tuple([a - b for a, b in zip(weight, before, strict=True)])
        return tuple([a - b + c for a, b, c in zip(weight, before, added, strict=True)])

    def _write(self) -> None:
        changed = self._changed
        new = [row for row in changed.values() if row.new]
        # Most new paths are files: their totals are the columns' defaults.
        self.db.executemany(_INSERT_LEAF, self._new_rows(new, leaf=True))
        self.db.executemany(_INSERT, self._new_rows(new, leaf=False))
        self.db.executemany(
            _UPDATE, ([*row.values(), row.no] for row in changed.values() if not row.new)
        )
        for row in changed.values():
            row.new = False
        self._changed = {}

    @staticmethod
    def _new_rows(rows: Iterable[PathRow], *, leaf: bool) -> Iterator[list[Any]]:
        for row in rows:
            if (row.below == NOTHING) is leaf:
                values = row.values()
                del values[len(OWN) if leaf else len(values) :]
                yield [row.no, row.path, row.parent, row.name, *values]
