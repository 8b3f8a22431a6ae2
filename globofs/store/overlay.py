"""The tree at a moment: what of the table `path` differs from now, directory totals included.

The rule is the one of the present (`heads`), applied to the versions not after the moment. Only
paths that have a later version are looked at; the work is that of the change since then. All
paths of a volume may differ: of a file no more is kept than which version it shows.
"""

from __future__ import annotations

import sqlite3
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from globofs.store.apply_paths import Candidate, show
from globofs.store.heads import differ, winner
from globofs.store.portions import chunks, marks
from globofs.store.totals import HEADS_DIFFER, NOTHING, PathRow, PathRows, weight
from globofs.store.versions import split_ids

if TYPE_CHECKING:
    from globofs.store.index import Index

KEPT: Final = 4
"""Overlays kept for stepping to and fro."""
KEPT_BYTES: Final = 32 * 2**20
"""Memory of all that are kept while another is worked out."""
FILE_BYTES: Final = 25
DIRECTORY_BYTES: Final = 600

_MANY: Final = 20_000
"""So many later versions, and the whole table `path` is read: it names the newest of each."""
_OWN: Final = "no, parent, kind, size, nversions, conflict, blocks, missing, lacking, d_versions"
_LINKS: Final = "SELECT path, row, id, parents FROM version WHERE path IN ({}) AND time <= ?"
_CANDIDATES: Final = (
    "SELECT id, time, node, kind, content, row, size, mode, mtime, target, blocks, missing, lacking"
    " FROM version WHERE row IN ({})"
)
_BY_ROW: Final = (
    "SELECT row, id, kind, size, mode, mtime, time, node, target, blocks, missing, lacking"
    " FROM version WHERE row IN ({})"
)
_ABSENT: Final = (0, b"", "", 0, 0, 0, 0, "", b"", 0, 0, 0)


class Standing(NamedTuple):
    """How a path stood at the moment."""

    shown: int  # the row of the version shown, 0: none
    versions: int
    conflict: int
    below: tuple[int, ...]  # directory totals in the order of `TOTALS`


class Overlay:
    """The paths that stood otherwise at a moment, by their numbers in the index."""

    def __init__(self) -> None:
        # Parallel, by rising number: what has, and had, nothing below it. No objects.
        self._numbers = array("q")
        self._shown = array("q")
        self._versions = array("q")
        self._conflict = array("b")
        self._others: dict[int, Standing] = {}

    def __len__(self) -> int:
        return len(self._numbers) + len(self._others)

    @property
    def memory(self) -> int:
        """About what it takes, in bytes."""
        return FILE_BYTES * len(self._numbers) + DIRECTORY_BYTES * len(self._others)

    def __contains__(self, no: int) -> bool:
        return self.get(no) is not None

    def get(self, no: int) -> Standing | None:
        """How the path of that number stood; `None` where it stood as it does now."""
        found = self._others.get(no)
        if found is not None:
            return found
        at = bisect_left(self._numbers, no)
        if at == len(self._numbers) or self._numbers[at] != no:
            return None
        return Standing(self._shown[at], self._versions[at], self._conflict[at], NOTHING)

    def rows(self, db: sqlite3.Connection, paths: Iterable[tuple[int, bytes]]) -> Iterator[PathRow]:
        """Those of `paths` (number and path) that stood otherwise, as rows of the table `path`
        would have told of them. Without parents and what only a commit asks for."""
        for chunk in chunks(paths):
            stood = [(no, path, found) for no, path in chunk if (found := self.get(no))]
            shown = [found.shown for _, _, found in stood if found.shown]
            sql = _BY_ROW.format(marks(shown))
            versions = {values[0]: values for values in db.execute(sql, shown)}
            for no, path, found in stood:
                values = versions.get(found.shown, _ABSENT)
                own = (*values[:9], values[6], found.versions, 0, found.conflict, *values[9:])
                yield PathRow((no, path, None, b"", *own, *found.below), False)

    def add_file(self, no: int, shown: int, versions: int, conflict: int) -> None:
        """Of a path without anything below it. By rising number."""
        self._numbers.append(no)
        self._shown.append(shown)
        self._versions.append(versions)
        self._conflict.append(conflict)

    def add_others(self, rows: Iterable[PathRow]) -> None:
        """Of paths that have, or had, something below them."""
        for row in rows:
            standing = Standing(row.shown, row.nversions, row.conflict, row.below)
            self._others[row.no] = standing


def overlay_at(index: Index, at: int) -> Overlay:
    """What differs at the moment `at`. Kept while the index does not change."""
    mark = index.change_mark()
    kept = index.overlays
    found = kept.get((at, mark))
    if found is None:
        for key in list(kept):
            memory = sum(one.memory for one in list(kept.values()))
            if key[1] != mark or len(kept) >= KEPT or memory > KEPT_BYTES:
                kept.pop(key, None)
        found = kept[at, mark] = _work_out(index.db, at)
    return found


def _work_out(db: sqlite3.Connection, at: int) -> Overlay:
    overlay = Overlay()
    others = PathRows(db)
    differences: dict[int, list[int]] = {}  # of files, by number of their directory
    # One question is open until the last is answered: all see the index as it was at the first.
    for chunk in chunks(_changed(db, at)):
        known = _heads(db, [values[0] for values in chunk], at)
        others.load_numbers([values[0] for values in chunk if values[-1]])
        for no, parent, kind, size, count, conflict, *held, below in chunk:
            versions, found = known.get(no, _NEVER)
            if below or parent is None:
                _set(others, others.by_number[no], versions, found)
                continue
            before = weight(kind, size, count, conflict, *held)
            if not found:
                overlay.add_file(no, 0, versions, 0)
                then = weight("", 0, versions, 0, 0, 0, 0)
            else:
                best = winner(found) if len(found) > 1 else found[0]
                differs = HEADS_DIFFER if differ(found) else 0
                overlay.add_file(no, best.row, versions, differs)
                then = weight(best.kind, best.size, versions, differs, *best[10:13])
            if before != then:
                _note(differences, parent, before, then)
    others.load_numbers(differences)
    for no, difference in differences.items():
        others.add_below(no, difference)
    others.settle()
    overlay.add_others(others.by_number.values())
    return overlay


def _changed(db: sqlite3.Connection, at: int) -> Iterator[Sequence[Any]]:
    """The paths with a version later than `at`, by number."""
    later = "SELECT count(*) FROM (SELECT 1 FROM version WHERE time > ? LIMIT ?)"
    if db.execute(later, (at, _MANY)).fetchone()[0] < _MANY:
        condition = "no IN (SELECT path FROM version WHERE time > ?)"
    else:
        condition = "newest > ?"
    yield from db.execute(f"SELECT {_OWN} FROM path WHERE {condition} ORDER BY no", (at,))


_NEVER: Final[tuple[int, list[Candidate]]] = (0, [])


def _heads(
    db: sqlite3.Connection, paths: list[int], at: int
) -> dict[int, tuple[int, list[Candidate]]]:
    """How many versions each path had, and which of them were heads; those that had any."""
    links: dict[int, list[tuple[int, bytes, bytes]]] = {}
    for no, *link in db.execute(_LINKS.format(marks(paths)), (*paths, at)):
        links.setdefault(no, []).append(tuple(link))
    rows: dict[int, list[int]] = {}
    for no, known in links.items():
        named = {parent for _, _, parents in known for parent in split_ids(parents)}
        rows[no] = [row for row, version, _ in known if version not in named]
    found: dict[int, Candidate] = {}
    for chunk in chunks(row for left in rows.values() for row in left):
        for values in db.execute(_CANDIDATES.format(marks(chunk)), chunk):
            found[values[5]] = Candidate(*values)
    return {no: (len(links[no]), [found[row] for row in left]) for no, left in rows.items()}


def _note(
    differences: dict[int, list[int]], parent: int, before: tuple[int, ...], then: tuple[int, ...]
) -> None:
    noted = differences.get(parent)
    if noted is None:
        noted = differences[parent] = [0] * len(NOTHING)
    for place, (old, new) in enumerate(zip(before, then, strict=True)):
        noted[place] += new - old


def _set(rows: PathRows, path: PathRow, versions: int, found: Sequence[Candidate]) -> None:
    rows.change(path)
    path.nversions = versions
    if found:
        show(path, found)
        return
    path.shown = path.size = path.mode = path.mtime = path.time = path.conflict = 0
    path.blocks = path.missing = path.lacking = 0
    path.version, path.kind, path.node, path.target = b"", "", "", b""
