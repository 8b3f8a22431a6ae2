"""Text with a gutter, scrolled by lines and columns: preview, difference, details."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from globofs.tui.model.text import Page
from globofs.tui.widgets.paint import Painted, Span, fit, spans_width, width_of


class TextView(ScrollView, Painted, can_focus=True, inherit_bindings=False):
    """Shows a `Page`. Only lines on screen are drawn, whatever the length."""

    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.page_shown = Page()
        self.dim = False
        self.wrap = False  # long lines go on in the next row
        self._gutter = 0
        self._rows: list[tuple[int, int, int]] = []  # when wrapped: line, from and to which cell

    def show(self, page: Page, *, keep: bool = False) -> None:
        """Show another page, from its top unless `keep`."""
        self.page_shown = page
        self._gutter = max((width_of(text) for text in page.gutter), default=0)
        self._lay()
        if not keep:
            self.scroll_to(0, 0, animate=False, force=True)
        self.refresh()

    def _lay(self) -> None:
        page = self.page_shown
        self._rows = []
        room = self.size.width - self._gutter - 1
        if self.wrap and room > 0:
            for index, line in enumerate(page.lines):
                begin = 0
                for end in _breaks(line, room):
                    self._rows.append((index, begin, end))
                    begin = end
            self.virtual_size = Size(self.size.width, len(self._rows))
            return
        widest = max((spans_width(line) for line in page.lines), default=0)
        self.virtual_size = Size(widest + self._gutter + 2, len(page.lines))

    def on_resize(self) -> None:
        """Lines are wrapped at the new edge."""
        if self.wrap:
            self._lay()

    def move(self, by: int, *, extend: bool = False) -> None:
        """Scroll by lines."""
        self.scroll_to(y=self.scroll_offset.y + by, animate=False, force=True)

    def page(self, pages: float) -> None:
        """Scroll by screenfuls."""
        self.move(int(pages * max(1, self.size.height - 1)))

    def edge(self, last: bool) -> None:
        """First or last line."""
        rows = self._rows or self.page_shown.lines
        self.scroll_to(y=len(rows) if last else 0, animate=False, force=True)

    def sideways(self, by: int) -> bool:
        """Scroll by columns; False at the edge."""
        before = self.scroll_offset.x
        self.scroll_to(x=before + by, animate=False, force=True)
        return self.scroll_target_x != before

    def render_line(self, y: int) -> Strip:
        """One line of the page, or of the words that stand for it."""
        page, width = self.page_shown, self.size.width
        if page.words and not page.lines:
            top = max(0, (self.size.height - len(page.words)) // 3)
            if top <= y < top + len(page.words):
                style = "strong" if y == top else "muted"
                return self.strip(fit(((page.words[y - top], style),), width, "center"), width)
            return self.strip((), width)
        scroll_x, scroll_y = self.scroll_offset
        index = y + scroll_y
        begin = end = 0
        if self._rows:
            index, begin, end = (
                self._rows[index] if index < len(self._rows) else (len(page.lines), 0, 0)
            )
        if index >= len(page.lines):
            return self.strip((), width)
        base = page.bases[index] if index < len(page.bases) else ""
        if self.dim:
            base += " faint"
        gutter = page.gutter[index] if index < len(page.gutter) else ""
        if self._rows and begin:
            gutter = ""
        spans: list[Span] = []
        if self._gutter:
            spans.append((f" {gutter:<{self._gutter}}", "gutter"))
        else:
            spans.append((" ", ""))
        room = max(0, width - spans_width(spans))
        text = page.lines[index]
        if self._rows:
            line = self.strip(text, max(end, spans_width(text)), base).crop(begin, end)
            rest = self.strip((), max(0, room - line.cell_length), base)
            row = [self.strip(spans, width - room, base), line, rest]
            return Strip.join(row).adjust_cell_length(width)
        line = self.strip(text, scroll_x + room, base).crop(scroll_x, scroll_x + room)
        if spans_width(text) > scroll_x + room and room > 8:
            line = Strip.join([line.crop(0, room - 1), self.strip([("›", "faint")], 1, base)])
        return Strip.join([self.strip(spans, width - room, base), line]).adjust_cell_length(width)


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
