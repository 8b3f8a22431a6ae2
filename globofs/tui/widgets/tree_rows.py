"""Rows of the volume tree and of the timeline. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from globofs.tui import words
from globofs.tui.glyphs import Glyphs
from globofs.tui.model.timeline import SIGNS, Moment, Timeline
from globofs.tui.model.tree import TreeRow, TreeRows, is_directory
from globofs.tui.widgets.bars import length
from globofs.tui.widgets.paint import Cell, Column, Span

if TYPE_CHECKING:
    from globofs.store.views import Entry, Version

DOTS: Final = 6
TREE_COLUMNS: Final = (
    Column("name", "name", 0, minimum=18, middle=True),
    Column("size", "size", 9, "right", 2),
    Column("versions", "history", DOTS + 1, "left", 3),
    Column("state", "content", 10, "left", 1),
    Column("when", "changed", 15, "right", 4),
)
#: the same while the order is by time: when it changed is what the eye follows then
TREE_BY_TIME: Final = tuple(
    replace(
        column, priority={"when": 1, "state": 2, "versions": 4}.get(column.key, column.priority)
    )
    for column in TREE_COLUMNS
)
BAR: Final = 16
TIMELINE_COLUMNS: Final = (
    Column("mark", "", 1),
    Column("when", "when", 15),
    Column("change", "change", 0, minimum=12, share=2),
    Column("made", "operation", 0, "left", 5, minimum=20, middle=True, share=3),
    Column("node", "by", 9, "left", 2),
    Column("size", "size", 9, "right", 3),
    Column("bar", "", BAR, "left", 4),
    Column("held", "content", 8, "left", 1),
)
OPERATION_COLUMNS: Final = (
    Column("mark", "", 1),
    Column("when", "when", 15),
    Column("change", "operation", 0, minimum=14, middle=True),
    Column("node", "by", 9, "left", 2),
    Column("count", "items", 6, "right", 1),
    Column("size", "size", 9, "right", 3),
    Column("bar", "", BAR, "left", 4),
)


def state_spans(entry: Entry | Version, glyphs: Glyphs, conflicts: int = 0) -> tuple[Span, ...]:
    """Where the content is: a symbol, a word, a colour."""
    if entry.kind == "deleted":
        return ((f"{glyphs.deleted} ", "bad"), ("deleted", "muted"))
    if conflicts:
        word = "conflict" if conflicts == 1 else f"{conflicts:,} confl."
        return ((f"{glyphs.conflict} ", "bad"), (word, "bad"))
    if entry.held == "all":
        return ((f"{glyphs.held} ", "good"), ("here", "muted"))
    if entry.held == "none":
        return ((f"{glyphs.remote} ", "primary"), ("remote", "primary"))
    done = words.percent(entry.blocks - entry.missing, entry.blocks)
    return ((f"{glyphs.part} ", "warn"), (done, "warn"))


def dots(entry: Entry, glyphs: Glyphs) -> tuple[Span, ...]:
    """One dot a version: which files have a history is seen without opening them."""
    if is_directory(entry):
        return ()
    number = entry.versions
    if number <= 1:
        return ((glyphs.dot * number, "faint"),)
    more = "+" if number > DOTS else ""
    return ((glyphs.dot * min(number, DOTS), "accent"), (more, "accent"))


class TreeSource:
    """The tree as the list shows it."""

    columns: Sequence[Column] = TREE_COLUMNS

    def __init__(self, glyphs: Glyphs) -> None:
        self.glyphs = glyphs
        self.rows = TreeRows()
        self.now = 0
        self.match = ""
        self.pins: frozenset[bytes] = frozenset()
        self.changed: dict[bytes, int] = {}  # directories: when something in them last changed
        self.serial = 0

    def set(self, rows: TreeRows, now: int) -> None:
        """Show these rows."""
        if rows.wish.at != self.rows.wish.at:
            self.changed = {}
        self.rows, self.now = rows, now
        self.match = rows.wish.filter
        self.columns = TREE_BY_TIME if rows.wish.sort == "time" else TREE_COLUMNS
        self.serial += 1

    def __len__(self) -> int:
        return len(self.rows.rows)

    def row(self, index: int) -> TreeRow | None:
        """The row at `index`, or None."""
        rows = self.rows.rows
        return rows[index] if 0 <= index < len(rows) else None

    def key(self, index: int) -> Hashable:
        return self.rows.rows[index].entry.path

    def find(self, key: Hashable) -> int | None:
        return self.rows.where.get(key) if isinstance(key, bytes) else None

    def base(self, index: int) -> str:
        return ""

    def cells(self, index: int) -> tuple[Cell, ...] | None:
        row = self.rows.rows[index]
        entry = row.entry
        conflicts = int(entry.conflict) or entry.conflicts
        changed = self.changed.get(entry.path, 0) if is_directory(entry) else 0
        changed = changed or entry.time or entry.mtime
        when = words.moment(changed, self.now) if changed else ""
        size = "" if entry.kind == "deleted" else words.size_words(entry.size)
        return (
            self._name(row),
            ((size, "muted" if entry.kind == "directory" else ""),),
            dots(entry, self.glyphs),
            state_spans(entry, self.glyphs, conflicts),
            ((when, "muted"),),
        )

    def _name(self, row: TreeRow) -> Cell:
        entry, glyphs = row.entry, self.glyphs
        spans: list[Span] = [("  " * row.depth, "")]
        name = words.safe(entry.name) or "/"
        if is_directory(entry):
            spans.append((f"{glyphs.opened if row.opened else glyphs.closed} ", "muted"))
            spans.append((glyphs.folder, "dir"))
            spans += self._marked(name, "faint" if entry.kind == "deleted" else "dir")
        else:
            sign, style = SIGNS.get(self.rows.kinds.get(entry.path, ""), (" ", ""))
            spans.append((f"{sign} ", style))
            spans.append((glyphs.file, "muted"))
            spans += self._marked(name, "faint" if entry.kind == "deleted" else "")
            if entry.kind == "symlink":
                spans.append((f" {glyphs.link} {words.safe(entry.target)}", "muted"))
        if entry.path in self.pins:
            spans.append((f" {glyphs.pinned}", "accent"))
        return tuple(spans)

    def _marked(self, name: str, style: str) -> list[Span]:
        at = name.lower().find(self.match.lower()) if self.match else -1
        if at < 0:
            return [(name, style)]
        end = at + len(self.match)
        return [(name[:at], style), (name[at:end], f"{style} match"), (name[end:], style)]


class TimelineSource:
    """The timeline as the list shows it."""

    columns: Sequence[Column] = TIMELINE_COLUMNS

    def __init__(self, glyphs: Glyphs) -> None:
        self.glyphs = glyphs
        self.timeline = Timeline(b"", False)
        self.now = 0
        self.at: int | None = None
        self.shown_id = b""  # the version the tree shows
        self.compare: bytes = b""  # the version taken as A
        self.largest = 0  # of the sizes of all rows
        self.serial = 0

    def set(self, timeline: Timeline, now: int, at: int | None, shown_id: bytes) -> None:
        """Show this timeline, marking what the tree shows."""
        self.timeline, self.now, self.at, self.shown_id = timeline, now, at, shown_id
        self.columns = OPERATION_COLUMNS if timeline.is_directory else TIMELINE_COLUMNS
        self.largest = max((moment.size or 0 for moment in timeline.moments), default=0)
        self.serial += 1

    def __len__(self) -> int:
        return len(self.timeline.moments)

    def moment(self, index: int) -> Moment | None:
        """The row at `index`, or None."""
        moments = self.timeline.moments
        return moments[index] if 0 <= index < len(moments) else None

    def key(self, index: int) -> Hashable:
        moment = self.timeline.moments[index]
        return (
            moment.version.id
            if moment.version is not None
            else moment.operation and moment.operation.key
        )

    def find(self, key: Hashable) -> int | None:
        return self.timeline.index_of(key)

    def base(self, index: int) -> str:
        moment = self.timeline.moments[index]
        return "faint" if self.at is not None and moment.time > self.at else ""

    def cells(self, index: int) -> tuple[Cell, ...] | None:
        moment = self.timeline.moments[index]
        if moment.version is not None:
            return self._version(moment, moment.version, self._when(index))
        op = moment.operation
        here = self.at is not None and op is not None and op.last <= self.at
        first = here and not any(m.time <= (self.at or 0) for m in self.timeline.moments[:index])
        size = words.size_words(op.bytes) if op is not None and op.bytes else ""
        return (
            ((self.glyphs.current, "accent"),) if first else "",
            ((words.moment(moment.time, self.now), ""),),
            ((moment.change, "warn" if op is not None and op.interrupted else ""),),
            ((words.safe(moment.node), "muted"),),
            ((words.count(op.versions) if op is not None else "", ""),),
            ((size, "muted"),),
            self._bar(moment),
        )

    def _bar(self, moment: Moment) -> Cell:
        """The size beside those of all other rows; none of what is pruned, or is no more."""
        if moment.version is not None and moment.version.pruned:
            return ""
        return ((length(moment.size or 0, self.largest, BAR, self.glyphs), "faint"),)

    def _when(self, index: int) -> str:
        moments = self.timeline.moments
        times = [one.time for one in moments[max(0, index - 1) : index + 2]]
        times.remove(moments[index].time)
        return words.apart(moments[index].time, self.now, *times)

    def _version(self, moment: Moment, version: Version, when: str) -> tuple[Cell, ...]:
        glyphs = self.glyphs
        current = version.id == self.shown_id
        mark: Cell = ((glyphs.current, "accent"),) if current else ""
        if version.id == self.compare:
            mark = (("A", "accent strong"),)
        elif moment.rival:
            mark = ((glyphs.conflict, "bad"),)
        style = "bad" if moment.rival else ""
        said = moment.change
        if moment.like is not None:
            said += f" {words.beside(moment.like, self.now)}"
        change: Cell = ((said, _change_style(said)),)
        if moment.rival:
            change = ((f"{said} ", style), ("other side", "bad"))
        held: Cell = () if version.kind == "deleted" else state_spans(version, glyphs)
        if version.pruned:
            held = (("pruned", "faint"),)
        size = "" if moment.size is None else words.size_words(moment.size)
        return (
            mark,
            ((when, "strong" if current else ""),),
            change,
            ((moment.made, "muted"),),
            ((words.safe(moment.node), "muted"),),
            ((size, ""),),
            self._bar(moment),
            held,
        )


def _change_style(change: str) -> str:
    if change.startswith("+"):
        return "good"
    if change.startswith(("−", "-")):
        return "warn"
    return "bad" if change == "deleted" else "muted"
