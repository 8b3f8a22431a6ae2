"""The rows of the volume tree: a flat list of what is open, made in a worker, shown as it is.

`Wish` says what the user wants to see; `Builder.build` answers with `TreeRows`, which the UI
swaps in as a whole. Directories already read are kept until the tree's serial changes, so opening
one costs one query, whatever else is open.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from globofs.tui.words import safe

if TYPE_CHECKING:
    from globofs.store.views import Entry
    from globofs.volume import Volume

FILTER_MAX: Final = 5000  # matches shown by a filter
SLICE: Final = 20_000  # rows; beyond, each opened directory asks whether anyone still waits
REST_TIMES: Final = 20.0
KEPT_MAX: Final = 5000  # directories kept in memory
KEPT_ENTRIES: Final = 20_000  # entries kept when another moment is looked at


@dataclass(frozen=True, slots=True)
class Wish:
    """What the tree should show. `at` None is now; `since` keeps only what changed after it."""

    opened: frozenset[bytes] = frozenset()
    at: int | None = None
    since: int | None = None
    sort: str = "name"
    reverse: bool = False
    deleted: bool = False
    hidden: bool = True
    filter: str = ""


@dataclass(frozen=True, slots=True)
class TreeRow:
    """One row: an entry, how deep it lies, and whether it is an open directory."""

    entry: Entry
    depth: int
    opened: bool = False

    @property
    def path(self) -> bytes:
        """The row's path."""
        return self.entry.path


@dataclass(frozen=True, slots=True)
class TreeRows:
    """The whole list, and where each path stands in it."""

    rows: tuple[TreeRow, ...] = ()
    where: dict[bytes, int] = field(default_factory=dict)
    root: Entry | None = None
    wish: Wish = Wish()
    capped: bool = False  # the filter found more than it shows
    kinds: dict[bytes, str] = field(default_factory=dict)  # since a moment: new, changed, deleted

    @property
    def is_empty(self) -> bool:
        """Nothing to show."""
        return not self.rows


@dataclass(slots=True)
class _Kept:
    """A directory already read: its totals then, its entries, its rows in one order."""

    totals: Entry | None
    entries: list[Entry]
    checked: int  # the generation in which it was last known to be current
    order: tuple[object, ...] = ()
    rows: list[TreeRow] = field(default_factory=list)


class Builder:
    """Makes rows from a volume. One thread at a time (the bridge's `tree` lane).

    When the tree changed, a directory is read again only if its totals (versions below, sizes,
    missing blocks) are others than before: one row instead of 100,000.
    """

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._generation = 0
        self._kept: dict[tuple[bytes, int | None, bool], _Kept] = {}
        self._changed: dict[tuple[bytes, int | None], tuple[int, int, float]] = {}

    def forget(self) -> None:
        """The tree changed: check directories again. Any thread."""
        self._generation += 1

    def changed(self, entry: Entry, at: int | None) -> int:
        """When something in a directory last changed. Any thread; costs as much as lies below,
        once for each number of versions there. A large directory that goes on changing is asked
        so seldom that it costs a twentieth of a thread."""
        versions, changed, again = self._changed.get((entry.path, at), (-1, 0, 0.0))
        begun = time.monotonic()
        if versions != entry.below and begun >= again:
            changed = self._volume.view(at).newest_below(entry.path)
            ended = time.monotonic()
            if len(self._changed) > KEPT_MAX:
                self._changed = {}
            known = (entry.below, changed, ended + REST_TIMES * (ended - begun))
            self._changed[(entry.path, at)] = known
        return changed

    def _arranged(self, entries: Iterable[Entry], wish: Wish) -> list[Entry]:
        """In the order wished for; by time, directories stand where their newest change does."""
        if wish.sort == "time":
            entries = [
                entry._replace(time=self.changed(entry, wish.at)) if is_directory(entry) else entry
                for entry in entries
            ]
        return arrange(entries, wish)

    def build(self, wish: Wish, stale: Callable[[], bool] = lambda: False) -> TreeRows:
        """The rows of a wish; gives up early (with what it has) once nobody wants them."""
        root = self._volume.view(wish.at).entry(b"")
        rows: list[TreeRow] = []
        capped = False
        if wish.filter or wish.since is not None:
            found, capped = self._matches(wish)
            self._grow_found(found, wish, rows)
            kinds = self._kinds(found, wish)
        else:
            self._grow(wish, rows, stale)
            kinds = {}
        where = {row.entry.path: index for index, row in enumerate(rows)}
        return TreeRows(tuple(rows), where, root, wish, capped, kinds)

    def build_with(self, path: bytes, wish: Wish) -> TreeRows:
        """The rows of a wish, which gives way where it would not show a path that is there."""
        rows = self.build(wish)
        hidden = any(part.startswith(b".") for part in path.split(b"/"))
        also = replace(wish, deleted=True, hidden=wish.hidden or hidden)
        if path in rows.where or also == wish:
            return rows
        found = self.build(also)
        return found if path in found.where else rows

    def _read(self, path: bytes, wish: Wish) -> _Kept:
        place = (path, wish.at, wish.deleted)
        generation = self._generation
        kept = self._kept.get(place)
        if kept is not None and kept.checked == generation:
            return kept
        view = self._volume.view(wish.at)
        totals = view.entry(path)
        if kept is not None and kept.totals is not None and kept.totals == totals:
            kept.checked = generation
            return kept
        self._make_room(wish)
        kept = _Kept(totals, view.children(path, deleted=wish.deleted), generation)
        self._kept[place] = kept
        return kept

    def _make_room(self, wish: Wish) -> None:
        """Of other moments only small trees are kept."""
        if len(self._kept) > KEPT_MAX:
            self._kept = {}
        if sum(len(kept.entries) for kept in self._kept.values()) > KEPT_ENTRIES:
            same = (wish.at, wish.deleted)
            self._kept = {place: kept for place, kept in self._kept.items() if place[1:] == same}

    def _rows(self, path: bytes, level: int, wish: Wish) -> list[TreeRow]:
        """The rows of one directory, all closed."""
        kept = self._read(path, wish)
        order = (wish.sort, wish.reverse, wish.hidden)
        if kept.order != order:
            kept.order = order
            kept.rows = [TreeRow(entry, level) for entry in self._arranged(kept.entries, wish)]
        return kept.rows

    def _grow(self, wish: Wish, rows: list[TreeRow], stale: Callable[[], bool]) -> None:
        holds_opened = {parent(path) for path in wish.opened}
        stack = [iter(self._rows(b"", 0, wish))]
        while stack:
            row = next(stack[-1], None)
            if row is None:
                stack.pop()
                continue
            path = row.entry.path
            if path not in wish.opened or not is_directory(row.entry):
                rows.append(row)
                continue
            rows.append(TreeRow(row.entry, row.depth, True))
            inner = self._rows(path, len(stack), wish)
            if path in holds_opened:
                stack.append(iter(inner))
            else:
                rows.extend(inner)
            if len(rows) >= SLICE and stale():
                return

    def _matches(self, wish: Wish) -> tuple[list[Entry], bool]:
        words = wish.filter.lower()
        if wish.since is not None:
            changed = self._volume.view(wish.at).changed_since(wish.since)
            inside = (e for e in changed if e.kind != "directory")
            matches = (e for e in inside if words in safe(e.path).lower()) if words else inside
            found = list(islice(matches, FILTER_MAX + 1))
        elif wish.at is None:
            found = self._volume.find(wish.filter, limit=FILTER_MAX + 1)
        else:
            walk = self._volume.view(wish.at).walk(b"", deleted=wish.deleted)
            matches = (e for e in walk if words in safe(e.name).lower())
            found = list(islice(matches, FILTER_MAX + 1))
        if not wish.deleted and wish.since is None:
            found = [entry for entry in found if entry.kind != "deleted"]
        return found[:FILTER_MAX], len(found) > FILTER_MAX

    def _kinds(self, found: Iterable[Entry], wish: Wish) -> dict[bytes, str]:
        """What became of each since the moment asked about."""
        if wish.since is None:
            return {}
        then = self._volume.view(wish.since)
        kinds = {}
        for entry in found:
            was = then.entry(entry.path) is not None
            gone = entry.kind == "deleted"
            kinds[entry.path] = "deleted" if gone else "changed" if was else "new"
        return kinds

    def _grow_found(self, found: Iterable[Entry], wish: Wish, rows: list[TreeRow]) -> None:
        view = self._volume.view(wish.at)
        below: dict[bytes, dict[bytes, Entry]] = {}
        for entry in found:
            path = entry.path
            below.setdefault(parent(path), {})[path] = entry
            while path := parent(path):
                siblings = below.setdefault(parent(path), {})
                if path in siblings:
                    break
                above = view.entry(path)
                if above is None:
                    above = entry._replace(path=path, kind="directory", size=0, versions=0)
                siblings[path] = above
        stack = [iter(self._arranged(below.get(b"", {}).values(), wish))]
        while stack:
            entry = next(stack[-1], None)  # type: ignore[assignment]
            if entry is None:
                stack.pop()
                continue
            inner = below.get(entry.path)
            rows.append(TreeRow(entry, len(stack) - 1, bool(inner)))
            if inner:
                stack.append(iter(self._arranged(inner.values(), wish)))


def is_directory(entry: Entry) -> bool:
    """Whether it can be opened: a directory, or one that was."""
    return entry.kind == "directory" or entry.below > 0


def parent(path: bytes) -> bytes:
    """The path of the directory that holds it; the root for a top-level name."""
    return path.rpartition(b"/")[0]


def arrange(entries: Iterable[Entry], wish: Wish) -> list[Entry]:
    """Entries of one directory in the order wished for; directories come first by name only."""
    shown = [e for e in entries if wish.hidden or not e.name.startswith(b".")]
    if wish.sort == "size":
        shown.sort(key=lambda e: (-e.size, e.name))
    elif wish.sort == "time":
        shown.sort(key=lambda e: (-(e.time or e.mtime), e.name))
    elif wish.sort == "versions":
        shown.sort(key=lambda e: (-e.versions, e.name))
    elif wish.sort == "state":
        shown.sort(key=lambda e: (_state_rank(e), e.name))
    else:
        # Equal ones stay in their order: three plain keys take less memory than one of three parts.
        shown.sort(key=lambda e: e.path)
        shown.sort(key=lambda e: e.name.lower())
        shown.sort(key=is_directory, reverse=True)
    if wish.reverse:
        shown.reverse()
    return shown


def _state_rank(entry: Entry) -> int:
    if entry.conflict or entry.conflicts:
        return 0
    if entry.kind == "deleted":
        return 4
    return {"part": 1, "none": 2, "all": 3}[entry.held]
