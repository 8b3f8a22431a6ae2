"""Bars made of cells: stacked progress, sparkline. Pure functions to spans; no timers."""

from __future__ import annotations

from collections.abc import Sequence

from globofs.tui.glyphs import Glyphs
from globofs.tui.widgets.paint import Span


def stacked(
    width: int,
    had: int,
    done: int,
    total: int,
    glyphs: Glyphs,
    live: bool = True,
    thick: bool = False,
) -> list[Span]:
    """`width` cells: what was here already, what arrived, the head while it moves, the rest.

    `had` counts beside `done` and `total` (bytes to move), so the bar spans `had + total`.
    """
    full = glyphs.block if thick and glyphs.name != "ascii" else ""
    had_glyph, done_glyph, rest_glyph = (
        full or glyphs.bar_had, full or glyphs.bar_done, full or glyphs.bar_rest
    )  # fmt: skip
    whole = had + total
    if whole <= 0 or width <= 0:
        return [(rest_glyph * max(0, width), "rest")]
    first = round(width * had / whole)
    if had and not first:
        first = 1
    second = round(width * (had + min(done, total)) / whole) - first
    if done < total and first + second >= width:
        second = max(0, width - first - 1)
    second = max(0, second)
    spans: list[Span] = [(had_glyph * first, "had"), (done_glyph * second, "now")]
    left = width - first - second
    if live and left and done < total and not full:
        spans.append((glyphs.bar_now, "now"))
        left -= 1
    spans.append((rest_glyph * left, "rest"))
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
