"""Bars made of cells: stacked progress, sparkline. Pure functions to spans; no timers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from globofs.tui.glyphs import Glyphs
from globofs.tui.widgets.paint import Span

if TYPE_CHECKING:
    from globofs.snapshots import Sources


#: styles of what came from the first peer, the second, and all others together
GIVERS: Final = ("first", "second", "third")


def parts(
    had: int, done: int, total: int, sources: Sources, glyphs: Glyphs, order: Sequence[str] = ()
) -> list[tuple[int, Span]]:
    """A bar's stretches from the left, without the rest: bytes, and the glyph and style of each.
    What was here, what each peer gave, what was sent or done here.

    A peer looks the same in all bars that are given one `order` of names.
    """
    given = dict.fromkeys(GIVERS, 0)
    order = [*order, *(peer for peer, _ in sources if peer not in order)]
    left = min(done, total)
    for peer, count in sources:
        count = min(count, left)
        left -= count
        given[GIVERS[min(order.index(peer), len(GIVERS) - 1)]] += count
    found: list[tuple[int, Span]] = [(had, (glyphs.bar_had, "had"))]
    for style, shape in zip(GIVERS, glyphs.bar_givers, strict=True):
        found.append((given[style], (shape, style)))
    found.append((left, (glyphs.bar_done, "sent" if sources else "first")))
    return [part for part in found if part[0] > 0]


def stacked(
    width: int,
    had: int,
    done: int,
    total: int,
    glyphs: Glyphs,
    sources: Sources = (),
    order: Sequence[str] = (),
) -> list[Span]:
    """`width` cells: what was here already, what each of `sources` gave, the rest. Something is
    never nothing, and all but everything never all.

    `had` counts beside `done` and `total` (bytes to move), so the bar spans `had + total`.
    """
    whole = had + total
    if whole <= 0 or width <= 0:
        return [(glyphs.bar_rest * max(0, width), "rest")]
    end = width if done >= total else width - 1
    spans: list[Span] = []
    at = bytes_so_far = 0
    for count, (glyph, style) in parts(had, done, total, sources, glyphs, order):
        bytes_so_far += count
        until = min(end, max(at + 1, round(width * bytes_so_far / whole)))
        spans.append((glyph * (until - at), style))
        at = until
    spans.append((glyphs.bar_rest * (width - at), "rest"))
    return [span for span in spans if span[0]]


def sparkline(values: Sequence[float], width: int, glyphs: Glyphs) -> str:
    """The latest `width` values, one cell each, scaled to the largest; blanks before them."""
    latest = list(values[-width:])
    peak = max(latest, default=0.0)
    steps = glyphs.bars
    if peak <= 0:
        return (steps[0] * len(latest)).rjust(width)
    made = "".join(steps[min(len(steps) - 1, int(value / peak * len(steps)))] for value in latest)
    return made.rjust(width)


def length(value: float, peak: float, width: int, glyphs: Glyphs) -> str:
    """A bar as long as `value` is of `peak`, in at most `width` cells; something is never
    nothing."""
    if value <= 0 or peak <= 0 or width <= 0:
        return ""
    steps = len(glyphs.fills)
    filled = max(1, round(min(1.0, value / peak) * width * steps))
    whole, rest = divmod(filled, steps)
    return glyphs.fills[-1] * whole + (glyphs.fills[rest - 1] if rest else "")


def graph(
    values: Sequence[float], width: int, height: int, glyphs: Glyphs, seconds: int
) -> list[str]:
    """The latest `seconds` values, one each, as an area of `height` lines over the whole `width`,
    the newest at the right, scaled to the largest; a cell has the largest of its seconds. What is older than the values is nothing."""
    latest = list(values[-seconds:])
    latest = [0.0] * (seconds - len(latest)) + latest
    peak, steps = max(latest, default=0.0), len(glyphs.bars)
    levels = []
    for at in range(width):
        first = at * seconds // width
        value = max(latest[first : max(first + 1, (at + 1) * seconds // width)])
        level = round(value / peak * height * steps) if peak > 0 else 0
        levels.append(max(1, level) if value > 0 else 0)
    lines = []
    for row in range(height - 1, -1, -1):
        over = (min(steps, max(0, level - row * steps)) for level in levels)
        lines.append("".join(glyphs.bars[part - 1] if part else " " for part in over))
    return lines
