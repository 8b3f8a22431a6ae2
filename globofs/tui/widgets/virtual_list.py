"""One list for everything: a million rows cost what a screenful costs.

A `Source` answers from memory only. A row it does not have yet is drawn as `…` and asked for, so
no disk is ever touched while drawing. Strips are kept in an LRU until the source's `serial`
changes. The cursor is remembered by the row's key, so rows may come and go above it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import ClassVar, Final, Protocol

from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from globofs.tui.widgets.by_line import ByLine
from globofs.tui.widgets.paint import Cell, Column, Span, fit, lay_out, spans_of, wrapped

CACHE_ROWS: Final = 2000
GAP: Final = 2
MARGIN_ROWS: Final = 2  # rows kept visible above and below the cursor


class Source(Protocol):
    """Where rows come from. Every method answers at once, from memory, on the UI thread."""

    columns: Sequence[Column]
    serial: int  # rises whenever any row may look different

    def __len__(self) -> int: ...

    def key(self, index: int) -> Hashable:
        """What names this row while others come and go."""

    def find(self, key: Hashable) -> int | None:
        """Where the row of that name is now."""

    def cells(self, index: int) -> tuple[Cell, ...] | None:
        """One cell a column, or None while the row is not in memory (it is then fetched)."""

    def base(self, index: int) -> str:
        """Style names of the whole row."""


class Rows:
    """A plain source over a list that is replaced as a whole."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns: Sequence[Column] = columns
        self.serial = 0
        self._keys: list[Hashable] = []
        self._cells: list[tuple[Cell, ...]] = []
        self._bases: list[str] = []
        self._where: dict[Hashable, int] = {}

    def replace(
        self, keys: Sequence[Hashable], cells: Sequence[tuple[Cell, ...]], bases: Sequence[str] = ()
    ) -> None:
        """Show these rows from now on."""
        self._keys, self._cells = list(keys), list(cells)
        self._bases = list(bases)
        self._where = {key: index for index, key in enumerate(self._keys)}
        self.serial += 1

    def __len__(self) -> int:
        return len(self._keys)

    def key(self, index: int) -> Hashable:
        return self._keys[index]

    def find(self, key: Hashable) -> int | None:
        return self._where.get(key)

    def cells(self, index: int) -> tuple[Cell, ...] | None:
        return self._cells[index]

    def base(self, index: int) -> str:
        return self._bases[index] if index < len(self._bases) else ""


class VirtualList(ByLine, can_focus=True, inherit_bindings=False):
    """The list. Keys reach it through the screen's key table, as `move`, `page`, `edge`."""

    BINDINGS: ClassVar[list[BindingType]] = []

    cursor: reactive[int] = reactive(0, repaint=False)

    class Moved(Message):
        """The cursor is on another row (or the row under it changed)."""

        def __init__(self, sender: VirtualList, index: int, key: Hashable) -> None:
            super().__init__()
            self.list = sender
            self.index = index
            self.key = key

        @property
        def control(self) -> VirtualList:
            return self.list

    class Opened(Message):
        """A row was double-clicked, or its marker clicked."""

        def __init__(self, sender: VirtualList, index: int, column: int) -> None:
            super().__init__()
            self.list = sender
            self.index = index
            self.column = column

        @property
        def control(self) -> VirtualList:
            return self.list

    def __init__(
        self,
        source: Source,
        *,
        header: bool = True,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.source = source
        self.header = header
        self.marks: set[Hashable] = set()
        self.range_from: int | None = None  # where a range began
        self.words: tuple[str, ...] = ()  # shown while there is no row
        self.labels: dict[int, str] = {}  # letters that lie over the beginning of rows
        self.dim = False  # the state shown is an old one
        self.stick = False  # a cursor on the first row stays there when rows come above it
        self._key: Hashable = None
        self._hover = -1
        self._strips: OrderedDict[tuple[object, ...], Strip] = OrderedDict()
        self._layout: list[tuple[int, int]] = []
        self._layout_for: tuple[object, ...] = ()

    # --- rows -----------------------------------------------------------------------------

    @property
    def rows(self) -> int:
        """Rows there are."""
        return len(self.source)

    @property
    def head(self) -> int:
        """Lines the header takes."""
        return 1 if self.header and any(column.title for column in self.source.columns) else 0

    @property
    def page_rows(self) -> int:
        """Rows that fit."""
        return max(1, self.size.height - self.head)

    @property
    def current_key(self) -> Hashable:
        """The key of the row under the cursor, or None."""
        return self.source.key(self.cursor) if 0 <= self.cursor < self.rows else None

    def reload(self, *, keep: bool = True) -> None:
        """The source changed: keep the cursor on its row (or where it was), redraw."""
        was = self._key
        self._measure()
        if keep and self._key is not None and not (self.stick and self.cursor == 0):
            at = self.source.find(self._key)
            if at is not None and at != self.cursor:
                shift = at - self.cursor
                self.cursor = at
                if self.is_attached:
                    self.scroll_to(y=max(0, self.scroll_offset.y + shift), animate=False)
        if self.cursor >= self.rows:
            self.cursor = max(0, self.rows - 1)
        self._key = self.current_key
        self._show_cursor()
        self.repaint()
        if self._key != was:
            self.post_message(self.Moved(self, self.cursor, self._key))

    def _measure(self) -> None:
        self.virtual_size = Size(self.size.width, self.rows + self.head)

    def on_resize(self) -> None:
        """Lay out again and keep the cursor in view."""
        self._measure()
        self._show_cursor()

    # --- cursor ---------------------------------------------------------------------------

    def go_to(self, index: int) -> None:
        """Put the cursor on a row, clamped."""
        if not self.rows:
            return
        self.cursor = min(max(0, index), self.rows - 1)
        self._key = self.current_key
        self._show_cursor()
        self.repaint()
        self.post_message(self.Moved(self, self.cursor, self._key))

    def go_to_key(self, key: Hashable) -> bool:
        """Put the cursor on the row of that key, where it is there."""
        index = self.source.find(key)
        if index is None:
            return False
        self.go_to(index)
        return True

    def remember(self, key: Hashable) -> None:
        """Where the cursor should be once that row is there."""
        self._key = key

    def move(self, by: int, *, extend: bool = False) -> None:
        """Move the cursor by rows; with `extend` the range grows along."""
        if extend and self.range_from is None:
            self.range_from = self.cursor
        self.go_to(self.cursor + by)

    def page(self, pages: float) -> None:
        """Move by screenfuls."""
        self.move(int(pages * max(1, self.page_rows - 1)))

    def edge(self, last: bool) -> None:
        """First or last row."""
        self.go_to(self.rows - 1 if last else 0)

    def seen(self) -> range:
        """The rows that are on the screen."""
        top = self.scroll_offset.y
        return range(top, min(self.rows, top + self.size.height - self.head))

    def range_keys(self) -> list[Hashable]:
        """Keys of the sticky range, or nothing."""
        if self.range_from is None:
            return []
        low, high = sorted((min(self.range_from, self.rows - 1), self.cursor))
        return [self.source.key(index) for index in range(low, high + 1)]

    def _show_cursor(self) -> None:
        if not self.size.height or not self.rows:
            return
        top = self.scroll_offset.y
        margin = min(MARGIN_ROWS, (self.page_rows - 1) // 2)
        low = self.cursor - self.page_rows + 1 + margin
        high = self.cursor - margin
        wanted = min(max(top, low), high)
        wanted = min(max(0, wanted), max(0, self.rows - self.page_rows))
        if wanted != top:
            self.scroll_to(y=wanted, animate=False, force=True)

    # --- drawing --------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """Cells for columns: without a blank on both sides, and the scroll bar where there is one."""
        return self.size.width - 2 - self.show_vertical_scrollbar

    def _columns(self) -> list[tuple[int, int]]:
        width = self.room
        state = (width, id(self.source), tuple(self.source.columns))
        if state != self._layout_for:
            self._layout_for = state
            self._layout = lay_out(self.source.columns, width, GAP)
            self._strips.clear()
        return self._layout

    def notify_style_update(self) -> None:
        """The theme changed: every strip is stale."""
        super().notify_style_update()
        self._strips.clear()

    def line(self, y: int) -> Strip:
        """One line: the header, a row, words for emptiness, or nothing."""
        width = self.size.width
        if not self.rows:
            return self._words_line(y, width)
        if y < self.head:
            return self._header_line(width)
        index = y - self.head + self.scroll_offset.y
        if index >= self.rows:
            return self._blank(width)
        row = self._row_line(index, width)
        label = self.labels.get(index, "")
        if not label:
            return row
        return Strip.join([self.strip([(label, "chip")], len(label)), row.crop(len(label), width)])

    def _words_line(self, y: int, width: int) -> Strip:
        lines = [
            ("".join(text for text, _ in part).strip(), "muted" if number else "strong")
            for number, sentence in enumerate(self.words)
            for part in wrapped([(sentence, "")], width)
        ]
        top = max(0, (self.size.height - len(lines)) // 3)
        if not top <= y < top + len(lines):
            return self._blank(width)
        return self.strip(fit((lines[y - top],), width, "center"), width)

    def _blank(self, width: int) -> Strip:
        strip = self._strips.get((width,))
        if strip is None:
            strip = self._strips[(width,)] = self.strip((), width)
        return strip

    def _header_line(self, width: int) -> Strip:
        spans: list[Span] = [(" ", "head")]
        for place, (column, cells) in enumerate(self._columns()):
            spec = self.source.columns[column]
            if place:
                spans.append((" " * GAP, "head"))
            spans.extend(fit(((spec.title, "head"),), cells, spec.align))
        return self.strip(spans, width, "head")

    def _row_base(self, index: int) -> str:
        base = self.source.base(index)
        if self.dim:
            base += " faint"
        low, high = index, index
        if self.range_from is not None:
            low, high = sorted((self.range_from, self.cursor))
        if index == self.cursor:
            return "cursor" if self.has_focus else "cursor-blur"
        if self.source.key(index) in self.marks or (
            self.range_from is not None and low <= index <= high
        ):
            return f"{base} marked"
        return f"{base} hover" if index == self._hover else base

    def _row_line(self, index: int, width: int) -> Strip:
        base = self._row_base(index)
        key = self.source.key(index)
        marked = key in self.marks
        columns = self._columns()
        state = (index, key, self.source.serial, width, base, marked)
        strip = self._strips.get(state)
        if strip is not None:
            self._strips.move_to_end(state)
            return strip
        cells = self.source.cells(index)
        if cells is None:
            return self.strip([(" …", "faint")], width, base)
        spans: list[Span] = [("+" if marked else " ", "accent")]
        for place, (column, room) in enumerate(columns):
            if place:
                spans.append((" " * GAP, ""))
            spec = self.source.columns[column]
            spans.extend(fit(spans_of(cells[column]), room, spec.align, middle=spec.middle))
        strip = self.strip(spans, width, base)
        self._strips[state] = strip
        if len(self._strips) > CACHE_ROWS:
            self._strips.popitem(last=False)
        return strip

    # --- mouse and focus ------------------------------------------------------------------

    def _index_at(self, y: int) -> int:
        return y - self.head + self.scroll_offset.y if y >= self.head else -1

    def on_click(self, event: events.Click) -> None:
        """One click puts the cursor there, a second opens, ctrl marks."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        index = self._index_at(offset.y)
        if not 0 <= index < self.rows:
            return
        event.stop()
        again = index == self.cursor
        if event.shift and self.range_from is None:
            self.range_from = self.cursor
        elif not event.shift:
            self.range_from = None
        self.go_to(index)
        if event.chain == 2 and again:
            self.post_message(self.Opened(self, index, offset.x))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """The row under the pointer is tinted."""
        index = self._index_at(event.get_content_offset_capture(self).y)
        self._hover_to(index if 0 <= index < self.rows else -1)

    def on_leave(self) -> None:
        """No row is under the pointer."""
        self._hover_to(-1)

    def _hover_to(self, index: int) -> None:
        if index == self._hover:
            return
        old, self._hover = self._hover, index
        for line in (old, index):
            y = line - self.scroll_offset.y + self.head
            if line >= 0 and self.head <= y < self.size.height:
                self.refresh(Region(0, y, self.size.width, 1))

    def on_focus(self) -> None:
        """The cursor row becomes bright."""
        self.repaint()

    def on_blur(self) -> None:
        """The cursor row becomes pale."""
        self.repaint()
