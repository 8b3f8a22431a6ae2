"""The tree as the faces see it: now, or at a moment. Asks the index only; any thread.

The present is read straight from the table `path`. At a moment, only paths with a version later
than it are worked out again (`overlay`); everything else is as it is now.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from sys import intern
from typing import TYPE_CHECKING, Any, Final, cast

from globofs.store import history, versions
from globofs.store.index_schema import TOTALS
from globofs.store.overlay import Overlay, overlay_at
from globofs.store.portions import chunks, marks
from globofs.store.totals import PathRow
from globofs.store.views import Block, Entry, Kind, Operation, OperationKey, Version

if TYPE_CHECKING:
    from globofs.store.node import Node

DIRECTORY_MODE: Final = 0o755
"""Of a directory that no version names."""

_ENTRY: Final = (
    "SELECT path, CASE WHEN d_live > 0 THEN 'directory' WHEN kind = '' THEN 'deleted' ELSE kind END,"
    " CASE WHEN d_live > 0 THEN d_bytes ELSE size END,"
    f" CASE WHEN d_live = 0 OR kind = 'directory' THEN mode ELSE {DIRECTORY_MODE} END,"
    " CASE WHEN d_live = 0 OR kind = 'directory' THEN mtime ELSE 0 END,"
    " CASE WHEN d_live = 0 OR kind = 'directory' THEN time ELSE 0 END,"
    " CASE WHEN d_live = 0 OR kind = 'directory' THEN node ELSE '' END,"
    " CASE WHEN d_live = 0 OR kind = 'directory' THEN version ELSE x'' END,"
    " CASE WHEN d_live = 0 OR kind = 'directory' THEN shown ELSE 0 END,"
    " CASE WHEN d_live > 0 OR kind IN ('directory', '') THEN d_versions ELSE nversions END,"
    " CASE WHEN d_live > 0 THEN d_blocks ELSE blocks END,"
    " CASE WHEN d_live > 0 THEN d_missing ELSE missing END, conflict, target,"
    " CASE WHEN d_live > 0 THEN d_files ELSE 0 END, d_conflicts,"
    " CASE WHEN d_live > 0 THEN d_lacking ELSE lacking END, d_versions FROM path "
)
_NUMBERED: Final = "SELECT no, " + _ENTRY.removeprefix("SELECT ")
_SHOWN: Final = (
    f"SELECT {versions.VERSION_COLUMNS} FROM path p CROSS JOIN version v ON v.row = p.shown"
    " CROSS JOIN op o ON o.no = v.op WHERE p.path > ? AND p.path < ?"
    " AND (p.d_live = 0 OR p.kind = 'directory') AND p.kind NOT IN ('', 'deleted')"
    " ORDER BY p.path LIMIT ?"
)
_SHOWN_AT_ONCE: Final = 5000
_LIVE: Final = "(d_live > 0 OR kind NOT IN ('', 'deleted'))"
_VERSIONS: Final = TOTALS.index("versions")
_THERE: Final = "(nversions > 0 OR d_versions > 0)"


def _entries(rows: Iterable[Any]) -> list[Entry]:
    """A kind and a node are texts that 100,000 entries share: kept once."""
    new = cast(Any, tuple.__new__)
    return [
        new(
            Entry,
            (row[0], intern(row[1]), *row[2:6], intern(row[6]), *row[7:12], row[12] > 0, *row[13:]),
        )
        for row in rows
    ]


def _first_of_each(rows: Iterable[Any]) -> list[Any]:
    return [row[0] for row in rows]


def _children(select: str, deleted: bool) -> str:
    """The question for what is in a directory, by name."""
    return (
        f"{select} WHERE parent = (SELECT no FROM path WHERE path = ?)"
        f" AND {_THERE if deleted else _LIVE} ORDER BY name"
    )


def entry_of(row: PathRow) -> Entry:
    """The same as `_ENTRY`, of a row in memory."""
    files, size, below, conflicts, blocks, missing, lacking, live = row.below
    directory = live > 0
    own = not directory or row.kind == "directory"
    kind = "directory" if directory else (row.kind or "deleted")
    sums = directory or row.kind in ("directory", "")
    return Entry(
        path=row.path,
        kind=cast(Kind, intern(kind)),
        size=size if directory else row.size,
        mode=row.mode if own else DIRECTORY_MODE,
        mtime=row.mtime if own else 0,
        time=row.time if own else 0,
        node=intern(row.node) if own else "",
        version=row.version if own else b"",
        row=row.shown if own else 0,
        versions=below if sums else row.nversions,
        blocks=blocks if directory else row.blocks,
        missing=missing if directory else row.missing,
        conflict=row.conflict > 0,
        target=row.target,
        files=files if directory else 0,
        conflicts=conflicts,
        missing_bytes=lacking if directory else row.lacking,
        below=below,
    )


class View:
    """The tree now (`at` is None), or as it was just after everything up to the time `at`.

    A view of the present follows the index; a view at a moment is worked out when it is first
    asked and stays as it is.
    """

    def __init__(self, node: Node, at: int | None = None) -> None:
        self.node = node
        self.index = node.index
        self.at = at
        self._overlay: Overlay | None = None

    @property
    def overlay(self) -> Overlay | None:
        """The paths that differ from now; `None` for the present."""
        if self.at is None:
            return None
        if self._overlay is None:
            self._overlay = overlay_at(self.index, self.at)
        return self._overlay

    # --- the tree ---------------------------------------------------------------------------

    def entry(self, path: bytes, deleted: bool = False) -> Entry | None:
        """What is at a path; `None` if nothing is. `deleted`: also what was there once."""
        rows = self.index.rows(f"{_NUMBERED} WHERE path = ? AND {_THERE}", (path,))
        if not rows:
            return self._root() if not path else None
        overlay, there = self.overlay, True
        if overlay is not None and rows[0][0] in overlay:
            (row,) = overlay.rows(self.index.db, [(rows[0][0], path)])
            found = entry_of(row)
            there = found.below > 0 or row.nversions > 0
        else:
            (found,) = _entries([rows[0][1:]])
        if not path:
            return found._replace(kind="directory")
        if found.kind == "deleted" and not (deleted and there):
            return None
        return found

    @staticmethod
    def _root() -> Entry:
        return Entry(b"", "directory", 0, DIRECTORY_MODE, 0, 0, "", b"", 0, 0)

    def children(self, path: bytes = b"", deleted: bool = False) -> list[Entry]:
        """What is in a directory, by name. `deleted`: also what was in it once.

        A deleted directory has the kind "deleted" and `below` > 0.
        """
        overlay = self.overlay
        if overlay:
            return self._children_at(path, deleted, overlay)
        return self.index.answer(_children(_ENTRY, deleted), (path,), _entries)

    def _children_at(self, path: bytes, deleted: bool, overlay: Overlay) -> list[Entry]:
        def take(answer: Iterable[Any]) -> list[Entry]:
            found = [entry for rows in chunks(answer) for entry in self._stood(rows, overlay)]
            return found if deleted else [entry for entry in found if entry.kind != "deleted"]

        found = self.index.answer(_children(_NUMBERED, True), (path,), take)
        found.sort()
        return found

    def _stood(self, rows: Sequence[Any], overlay: Overlay) -> list[Entry]:
        """What was there at the moment, of rows of `_NUMBERED`; in no order."""
        found = _entries(row[1:] for row in rows if row[0] not in overlay)
        others = [(row[0], row[1]) for row in rows if row[0] in overlay]
        for row in overlay.rows(self.index.db, others):
            if row.nversions or row.below[_VERSIONS]:
                found.append(entry_of(row))
        return found

    def entries(self, paths: Iterable[bytes], deleted: bool = False) -> Iterator[Entry]:
        """What is at each of many paths, where something is, in their order; a few hundred are
        read at once. As `entry`."""
        overlay = self.overlay or Overlay()
        for chunk in chunks(paths):
            sql = f"{_NUMBERED} WHERE path IN ({marks(chunk)}) AND {_THERE}"
            found = {
                entry.path: entry for entry in self._stood(self.index.rows(sql, chunk), overlay)
            }
            for path in chunk:
                entry = found.get(path)
                if entry is not None and (deleted or entry.kind != "deleted"):
                    yield entry

    def walk(self, path: bytes = b"", deleted: bool = False) -> Iterator[Entry]:
        """Everything at and below a path, depth first, by name; the root itself is left out.

        Reads one directory at a time, so a volume of a million files is never in memory.
        """
        if path:
            top = self.entry(path, deleted)
            if top is None:
                return
            yield top
        stack = [iter(self.children(path, deleted))]
        while stack:
            entry = next(stack[-1], None)
            if entry is None:
                stack.pop()
                continue
            yield entry
            if entry.below:
                stack.append(iter(self.children(entry.path, deleted)))

    def shown_below(self, path: bytes) -> list[Version]:
        """The versions that the things below a path show now, in the order of `walk`: a third of
        what it costs to walk and to ask for each version."""
        after, end = (path + b"/", path + b"0") if path else (b"", b"\xff" * 256)
        found: list[Version] = []
        while True:
            rows = self.index.rows(_SHOWN, (after, end, _SHOWN_AT_ONCE))
            found += map(versions.to_version, rows)
            if len(rows) < _SHOWN_AT_ONCE:
                break
            after = found[-1].path
        found.sort(key=lambda version: version.path.split(b"/"))
        return found

    def newest_below(self, path: bytes) -> int:
        """When something at or below a path last changed, deletions too; 0 when nothing did.
        Costs as much as there are paths below."""
        span = (path, path + b"/", path + b"0")  # "0" comes after "/"
        inside = "(p.path = ? OR p.path > ? AND p.path < ?)"
        if self.at is None:
            sql = f"SELECT max(p.newest) FROM path p WHERE {inside}"
            return int(self.index.one(sql, span)[0] or 0)
        sql = (
            "SELECT max(v.time) FROM path p JOIN version v ON v.path = p.no"
            f" WHERE {inside} AND v.time <= ?"
        )
        return int(self.index.one(sql, (*span, self.at))[0] or 0)

    def changed_since(self, time: int, below: bytes = b"") -> Iterator[Entry]:
        """Paths with a version later than `time` (and not later than this view), by path: those
        below a directory. They are read as they are taken, which may be all there are."""
        inside = "path > ? AND path < ? AND " if below else ""
        sql = (
            f"SELECT path FROM path WHERE {inside}no IN"
            " (SELECT path FROM version WHERE time > ? AND time <= ?) ORDER BY path"
        )
        span = (below + b"/", below + b"0") if below else ()  # "0" comes after "/"
        latest = 2**62 if self.at is None else self.at
        paths = self.index.answer(sql, (*span, time, latest), _first_of_each)
        return self.entries(paths, deleted=True)

    def find(self, pattern: str, deleted: bool = True) -> Iterator[Entry]:
        """What is called like `pattern`: shell wildcards, or a part of the name in any case.

        With a `/` the whole path is compared instead of the name. By path, read as it is taken.
        """
        wild = any(char in pattern for char in "*?[")
        if wild:
            text = fnmatch.translate(pattern.strip("/") if "/" in pattern else pattern)
        else:
            text = ".*" + re.escape(pattern.strip("/")) + ".*"
        match = re.compile(os.fsencode(text), 0 if wild else re.IGNORECASE | re.DOTALL).match
        column = "path" if "/" in pattern else "name"
        sql = f"SELECT path, {column} FROM path WHERE no > 1 AND {_THERE}"
        paths = self.index.answer(
            sql, (), lambda rows: [path for path, text in rows if match(text)]
        )
        return self.entries(sorted(paths), deleted)

    # --- time -------------------------------------------------------------------------------

    def version(self, path: bytes) -> Version | None:
        """The version that a path shows (a deletion, too); `None` if it has none."""
        no, row = self.index.one("SELECT no, shown FROM path WHERE path = ?", (path,)) or (0, 0)
        overlay = self.overlay
        stood = overlay.get(no) if overlay else None
        if stood is not None:
            row = stood.shown
        made = versions.select(self.index, "WHERE v.row = ?", (row,)) if row else []
        return made[0] if made else None

    def history(self, path: bytes, follow: bool = True) -> list[Version]:
        """Versions of a path, newest first, and before a rename those of its old path."""
        return history.history(self.index, path, follow, self.at)

    def history_below(
        self, path: bytes = b"", limit: int = 200, before: int | None = None
    ) -> list[Version]:
        """Versions of everything at and below a path, newest first, older than `before`."""
        return history.history_below(self.index, path, limit, before)

    def operations(
        self, limit: int = 200, before: int | None = None, below: bytes | None = None
    ) -> list[Operation]:
        """Operations, newest first; `before`: whose last version is older than that time."""
        return history.operations(self.node, limit, before, below or b"")

    moments = operations

    def operation(self, key: OperationKey) -> Operation | None:
        """One operation by its name."""
        return history.operation(self.node, key)

    def operations_by_key(self, keys: Iterable[OperationKey]) -> dict[OperationKey, Operation]:
        """Those of the operations named that this node knows."""
        return history.operations_by_key(self.node, keys)

    def versions_of_operation(
        self, key: OperationKey, limit: int = 0, below: bytes = b""
    ) -> list[Version]:
        """What an operation wrote at and below a path, by path; `limit` 0 is all."""
        return history.versions_of_operation(self.index, key, limit, below)

    def version_by_id(self, version: bytes) -> Version | None:
        """A version by its id."""
        return versions.by_ids(self.index, [version]).get(version)

    def version_by_prefix(self, path: bytes, text: str) -> Version:
        """The version of a path that a user means. Raises NoSuchVersion, AmbiguousVersion."""
        return history.by_prefix(self.index, path, text)

    def heads(self, path: bytes) -> list[Version]:
        """The heads of a path as of now, the shown one first."""
        return history.current_heads(self.index, path)

    def conflicts(self) -> list[bytes]:
        """Paths that are a conflict, as of now, by path."""
        sql = "SELECT path FROM path WHERE conflict > 0 ORDER BY path"
        return [row[0] for row in self.index.rows(sql)]

    def blocks_of(self, version: Version | int) -> list[tuple[Block, bool]]:
        """The blocks of a version (or its row) in order, and whether each is on this node."""
        row = version if isinstance(version, int) else version.row
        return versions.blocks_of(self.index, row)
