"""Text with a gutter, scrolled by lines and columns: preview, difference, details."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from textual.binding import BindingType
from textual.geometry import Size
from textual.strip import Strip

from globofs.tui.model.text import Half, Line, Page
from globofs.tui.widgets.by_line import ByLine
from globofs.tui.widgets.paint import Span, fit, spans_width, width_of

BESIDE_COLUMNS: Final = 104  # from this width on, a difference is shown side by side


class TextView(ByLine, can_focus=True, inherit_bindings=False):
    """Shows a `Page`: its lines, or where there is room its two columns. Only what is on the
    screen is drawn, whatever the length."""

    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.page_shown = Page()
        self.dim = False
        self.wrap = False  # long lines go on in the next row
        self.divider = "│"  # between two columns
        self._width = -1  # for which the page is laid out
        self._columns: tuple[_Column, ...] = ()
        self._rows: list[tuple[int, int]] | None = None  # when wrapped: line, and its which part

    def show(self, page: Page, *, keep: bool = False) -> None:
        """Show another page, from its top unless `keep`."""
        self.page_shown = page
        self._lay()
        if not keep:
            self.scroll_to(0, 0, animate=False, force=True)
        self.repaint()

    def _lay(self) -> None:
        """Lay the page out, and say how large it is then."""
        self._shape()
        if self._rows is not None:
            self.virtual_size = Size(self._width, len(self._rows))
            return
        hidden = max(column.widest - column.room for column in self._columns)
        count = max(len(column.lines) for column in self._columns)
        self.virtual_size = Size(max(0, self._width + hidden + 1), count)

    def _shape(self) -> None:
        """Columns, and the rows they need when wrapped, at this width."""
        page, width = self.page_shown, self.size.width
        self._width = width
        if page.beside and width >= BESIDE_COLUMNS:
            left = (width - 3) // 2
            self._columns = (
                _of_halves([one for one, _ in page.beside], left),
                _of_halves([other for _, other in page.beside], width - 3 - left),
            )
        else:
            self._columns = (_Column(page.lines, page.gutter, page.bases, width),)
        self._rows = None
        if self.wrap and width > 0:
            self._rows = [
                (index, part)
                for index in range(max(len(column.lines) for column in self._columns))
                for part in range(max(column.parts(index) for column in self._columns))
            ]

    def on_resize(self) -> None:
        """Another width: other columns, other wrapping."""
        self._lay()

    def move(self, by: int, *, extend: bool = False) -> None:
        """Scroll by lines."""
        self.scroll_to(y=self.scroll_offset.y + by, animate=False, force=True)

    def page(self, pages: float) -> None:
        """Scroll by screenfuls."""
        self.move(int(pages * max(1, self.size.height - 1)))

    def edge(self, last: bool) -> None:
        """First or last line."""
        self.scroll_to(y=self.virtual_size.height if last else 0, animate=False, force=True)

    def sideways(self, by: int) -> bool:
        """Scroll by columns; False at the edge."""
        before = self.scroll_offset.x
        self.scroll_to(x=before + by, animate=False, force=True)
        return self.scroll_target_x != before

    def line(self, y: int) -> Strip:
        """One line of the page, or of the words that stand for it."""
        page, width = self.page_shown, self.size.width
        if width != self._width:
            self._shape()  # drawn before the event that tells of the new size
        if page.words and not page.lines:
            top = max(0, (self.size.height - len(page.words)) // 3)
            if top <= y < top + len(page.words):
                style = "strong" if y == top else "muted"
                return self.strip(fit(((page.words[y - top], style),), width, "center"), width)
            return self.strip((), width)
        scroll_x, scroll_y = self.scroll_offset
        index, part = y + scroll_y, None
        if self._rows is not None:
            index, part = self._rows[index] if index < len(self._rows) else (-1, 0)
        strips: list[Strip] = []
        for column in self._columns:
            if strips:
                strips.append(self.strip([(f" {self.divider} ", "faint")], 3))
            strips.append(self._half(column, index, part, scroll_x))
        return Strip.join(strips).adjust_cell_length(width)

    def _half(self, column: _Column, index: int, part: int | None, scroll_x: int) -> Strip:
        """A line as far as one column shows it: a part of it when wrapped, else from `scroll_x`."""
        if not 0 <= index < len(column.lines):
            return self.strip((), column.width)
        line, base, room = column.lines[index], column.base(index), column.room
        if self.dim:
            base += " faint"
        gutter = "" if part else column.gutter(index)
        begin, end = column.span(index, part) if part is not None else (scroll_x, scroll_x + room)
        text = self.strip(line, max(end, spans_width(line)), base).crop(begin, end)
        if part is None and spans_width(line) > end and room > 8:
            text = Strip.join([text.crop(0, room - 1), self.strip([("›", "faint")], 1, base)])
        rest = self.strip((), max(0, room - text.cell_length), base)
        number = self.strip([(f" {gutter}", "gutter")], column.width - room, base)
        return Strip.join([number, text, rest])


class _Column:
    """Lines below each other, in so many cells."""

    def __init__(
        self, lines: Sequence[Line], gutters: Sequence[str], bases: Sequence[str], width: int
    ) -> None:
        self.lines = lines
        self._gutters, self._bases = gutters, bases
        self.width = width
        self.room = max(0, width - max(map(width_of, gutters), default=0) - 1)
        self.widest = max(map(spans_width, lines), default=0)
        self._ends: dict[int, list[int]] = {}

    def gutter(self, index: int) -> str:
        """What stands before a line."""
        return self._gutters[index] if index < len(self._gutters) else ""

    def base(self, index: int) -> str:
        """The style of a whole line."""
        return self._bases[index] if index < len(self._bases) else ""

    def _breaks(self, index: int) -> list[int]:
        if index not in self._ends:
            self._ends[index] = _breaks(self.lines[index], max(1, self.room))
        return self._ends[index]

    def parts(self, index: int) -> int:
        """How many rows a line takes when it is wrapped."""
        return len(self._breaks(index))

    def span(self, index: int, part: int) -> tuple[int, int]:
        """From and to which cell a part of a wrapped line goes; nothing behind its end."""
        ends = self._breaks(index)
        if part >= len(ends):
            return ends[-1], ends[-1]
        return (ends[part - 1] if part else 0), ends[part]


def _of_halves(halves: Sequence[Half], width: int) -> _Column:
    return _Column(
        [half.line for half in halves],
        [half.gutter for half in halves],
        [half.base for half in halves],
        width,
    )


def _breaks(line: Iterable[Span], room: int) -> list[int]:
    """Where a line is cut so that every piece fits `room` cells: the ends, in cells. Wide
    characters stay whole."""
    total = spans_width(line)
    if total <= room:
        return [total]
    if all(text.isascii() for text, _ in line):
        return [*range(room, total, room), total]
    found: list[int] = []
    begin = at = 0
    for text, _ in line:
        for character in text:
            wide = width_of(character)
            if at + wide - begin > room:
                found.append(at)
                begin = at
            at += wide
    return [*found, at]
