"""From spans to strips: cells fitted by display width, named styles resolved from the theme.

A span is `(text, style name)`. Names are data, so nothing here is ever parsed as markup. Several
style names may be joined by blanks; later ones win.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.strip import Strip
from textual.widget import Widget

from globofs.tui.glyphs import UNICODE, Glyphs

Span = tuple[str, str]
Cell = str | tuple[Span, ...]
Align = Literal["left", "right", "center"]

#: What a style name means: colour and ground by the theme's names for them, then attributes. No
#: CSS classes: forty of them for each list on the screen would cost more than all else at start.
LOOKS: Final[dict[str, tuple[str, str, str]]] = {
    "muted": ("dim", "", ""),
    "faint": ("faint", "", ""),
    "good": ("success", "", ""),
    "warn": ("warning", "", ""),
    "bad": ("error", "", ""),
    "accent": ("accent", "", ""),
    "primary": ("primary", "", ""),
    "strong": ("", "", "bold"),
    "dir": ("primary", "", ""),
    "chip": ("background", "primary", "bold"),
    "chip-accent": ("row-text", "row", "bold"),
    "chip-warn": ("background", "warning", "bold"),
    "cursor": ("row-text", "row", ""),
    "cursor-blur": ("", "row-blur", ""),
    "marked": ("", "row-mark", ""),
    "hover": ("", "row-hover", ""),
    "head": ("faint", "", ""),
    "match": ("accent", "", "bold"),
    "key": ("accent", "", "bold"),
    "added": ("diff-add-text", "diff-add", ""),
    "removed": ("diff-del-text", "diff-del", ""),
    "added-word": ("", "diff-add-word", "bold"),
    "removed-word": ("", "diff-del-word", "bold"),
    "hunk": ("primary", "", ""),
    "gutter": ("faint", "", ""),
    "had": ("part-had", "", ""),
    "first": ("part-now", "", ""),
    "second": ("part-second", "", ""),
    "third": ("part-third", "", ""),
    "sent": ("primary", "", ""),
    "rest": ("part-rest", "", ""),
    **{name: (f"syntax-{name}", "", "") for name in ("kw", "str", "num", "fn", "cls", "op", "tag")},
    "com": ("syntax-com", "", "italic"),
}  # fmt: skip
STYLES: Final = tuple(LOOKS)
QUIET = frozenset(("muted", "faint"))  # too pale for the cursor's band


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `width` in cells, 0 takes what is left; larger `priority` drops first."""

    key: str
    title: str = ""
    width: int = 0
    align: Align = "left"
    priority: int = 0
    minimum: int = 12
    middle: bool = False  # a text too long keeps its end, which tells paths apart
    share: int = 1  # of what is left, where several columns take it


def width_of(text: str) -> int:
    """Cells a text takes on the terminal."""
    return len(text) if text.isascii() else cell_len(text)


def spans_of(cell: Cell, style: str = "") -> tuple[Span, ...]:
    """A cell in the long form."""
    return ((cell, style),) if isinstance(cell, str) else cell


def spans_width(spans: Iterable[Span]) -> int:
    """Cells that spans take together."""
    return sum(width_of(text) for text, _ in spans)


def cut(text: str, width: int, more: str = "…") -> str:
    """`text` in at most `width` cells, ending in an ellipsis where something is missing."""
    if width_of(text) <= width:
        return text
    if width <= width_of(more):
        return set_cell_size(text, max(0, width))
    return set_cell_size(text, width - width_of(more)).rstrip() + more


def cut_middle(text: str, width: int, more: str = "…") -> str:
    """`text` in at most `width` cells, keeping its end, from a name or a word on where it can:
    what tells paths apart."""
    if width_of(text) <= width or width < 8:
        return cut(text, width, more)
    tail = text[-((width * 2) // 3) :]
    while width_of(tail) > (width * 2) // 3:
        tail = tail[1:]
    name = max(0, tail.find("/" if "/" in text else " ", 0, -1))
    tail = tail[name:]
    return set_cell_size(text, width - width_of(tail) - 1).rstrip() + more + tail


def fit(
    cell: Cell, width: int, align: Align = "left", more: str = "…", middle: bool = False
) -> list[Span]:
    """Exactly `width` cells: cut with an ellipsis, or padded."""
    spans = spans_of(cell)
    total = spans_width(spans)
    if total <= width:
        gap = width - total
        if not gap:
            return list(spans)
        if align == "right":
            return [(" " * gap, ""), *spans]
        if align == "center":
            return [(" " * (gap // 2), ""), *spans, (" " * (gap - gap // 2), "")]
        return [*spans, (" " * gap, "")]
    out: list[Span] = []
    left = width
    if middle and width >= 12:
        at = max(range(len(spans)), key=lambda i: width_of(spans[i][0].strip()))
        text, style = spans[at]
        others = total - width_of(text)
        shorter = cut_middle(text, max(10, width - others), more)
        spans = (*spans[:at], (shorter, style), *spans[at + 1 :])
        if spans_width(spans) <= width:
            return fit(spans, width, align, more)
    for index, (text, style) in enumerate(spans):
        wide = width_of(text)
        rest = spans_width(spans[index + 1 :])
        if wide + (1 if rest else 0) <= left:
            out.append((text, style))
            left -= wide
            continue
        shown = cut(text, left, more) if wide > left else cut(text + more, left, more)
        out.append((shown, style))
        left -= width_of(shown)
        break
    if left:
        out.append((" " * left, ""))
    return out


def wrapped(line: Sequence[Span], width: int) -> list[list[Span]]:
    """A line broken between words; what goes on stands two cells further in."""
    lines: list[list[Span]] = [[]]
    left = width
    for text, style in line:
        for place, word in enumerate(text.split(" ")):
            blank = " " if place else ""
            piece = blank + word
            if width_of(piece) > left and not word:
                continue  # a blank at the end of a full line
            if width_of(piece) > left and lines[-1]:
                lines.append([("  ", "")])
                left = width - 2
                piece = word
            piece = cut(piece, max(1, width - 2))
            if lines[-1] and lines[-1][-1][1] == style and len(lines[-1]) > 1:
                lines[-1][-1] = (lines[-1][-1][0] + piece, style)
            else:
                lines[-1].append((piece, style))
            left -= width_of(piece)
    return lines


def lay_out(columns: Sequence[Column], width: int, gap: int = 2) -> list[tuple[int, int]]:
    """Which columns fit and how wide: pairs (index, cells). Drops the largest priority first."""
    chosen = list(range(len(columns)))
    while True:
        fixed = sum(columns[i].width for i in chosen) + gap * max(0, len(chosen) - 1)
        flexible = [i for i in chosen if not columns[i].width]
        if fixed + sum(columns[i].minimum for i in flexible) <= width:
            break
        droppable = [i for i in chosen if columns[i].priority]
        if not droppable:
            break
        chosen.remove(max(droppable, key=lambda i: (columns[i].priority, i)))
    spare = max(0, width - fixed)
    shares = sum(columns[i].share for i in flexible)
    over = spare - sum(columns[i].minimum for i in flexible)
    given = 0
    sizes: list[tuple[int, int]] = []
    for i in chosen:
        if columns[i].width:
            sizes.append((i, columns[i].width))
        elif i == flexible[-1]:
            sizes.append((i, max(1, spare - given)))
        else:
            size = max(1, columns[i].minimum + over * columns[i].share // shares)
            given += size
            sizes.append((i, size))
    return sizes


class Painted(Widget):
    """A widget that draws spans. Its named styles come from the theme and are cached."""

    def __init__(self, *children: Widget, **how: Any) -> None:
        super().__init__(*children, **how)
        self._styles: dict[str, Style] = {}

    def notify_style_update(self) -> None:
        """Forget resolved styles when the theme changed."""
        super().notify_style_update()
        self._styles = {}

    def style_named(self, names: str) -> Style:
        """The rich style of a blank-separated list of style names."""
        style = self._styles.get(names)
        if style is None:
            style = Style.null()
            for name in names.split():
                style = style + self._one_style(name)
            self._styles[names] = style
        return style

    def _one_style(self, name: str) -> Style:
        if name.startswith("rgb:"):  # a pixel pair of a picture
            _, top, low = name.split(":")
            return Style(color=f"#{top}", bgcolor=f"#{low}")
        colour, ground, attributes = LOOKS[name]
        known = self.app.theme_variables
        made = Style.parse(attributes)
        if colour in known:
            made += Style(color=Color.parse(known[colour]).rich_color)
        if ground in known:
            made += Style(bgcolor=Color.parse(known[ground]).rich_color)
        return made

    def strip(self, spans: Iterable[Span], width: int, base: str = "") -> Strip:
        """A line of exactly `width` cells. A span's background wins over the base's only
        outside the cursor row, so that a selected row reads as one band."""
        ground = self.visual_style.rich_style + self.style_named(base)
        keep = base.startswith("cursor") or "marked" in base
        plain = self.app.theme == "globofs-contrast" or self.app.no_color
        glyphs: Glyphs = getattr(self.app, "glyphs", UNICODE)
        segments = []
        for text, names in spans:
            text = glyphs.said(text)
            style = self.style_named(names)
            if base == "cursor" and (plain or names in QUIET):
                style = style.without_color
            elif keep and style.bgcolor is not None:
                style = style.without_color + Style(color=style.color)
            segments.append(Segment(text, ground + style))
        return Strip(segments).adjust_cell_length(width, ground)
