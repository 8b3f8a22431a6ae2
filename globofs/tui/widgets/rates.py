"""What went each way in the last minute, drawn as areas: for who has the room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from textual.strip import Strip

from globofs.tui import words
from globofs.tui.glyphs import Glyphs
from globofs.tui.widgets.bars import graph
from globofs.tui.widgets.paint import Painted, Span, fit

if TYPE_CHECKING:
    from globofs.snapshots import PeerStatus

SECONDS: Final = 60
"""What a peer's history holds at most."""


def summed(histories: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """The rates of several, second by second, the newest last."""
    longest = max((len(history) for history in histories), default=0)
    total = [0.0] * longest
    for history in histories:
        for place, value in enumerate(reversed(history)):
            total[longest - 1 - place] += value
    return tuple(total)


def rate_lines(
    received: Sequence[float], sent: Sequence[float], width: int, height: int, glyphs: Glyphs
) -> list[list[Span]]:
    """At most `height` lines: for each way on which something went the latest second and the
    highest, over its area. Nothing while nothing went."""
    ways = [(received, glyphs.down, "good"), (sent, glyphs.up, "primary")]
    ways = [way for way in ways if any(way[0])]
    lines: list[list[Span]] = []
    for values, glyph, style in ways:
        now = words.rate(values[-1]) or "0 B/s"
        peak = f"at most {words.rate(max(values))}"
        gap = max(2, width - len(glyph) - 1 - len(now) - len(peak))
        lines.append([(f"{glyph} {now}", style), (" " * gap, ""), (peak, "muted")])
        rows = max(1, height // len(ways) - 1)
        lines += [[(row, style)] for row in graph(values, width, rows, glyphs, SECONDS)]
    return lines


class Rates(Painted):
    """The rates of all peers together, in a border."""

    def __init__(self, glyphs: Glyphs, *, id: str) -> None:
        super().__init__(id=id, classes="pane")
        self._glyphs = glyphs
        self._ways: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
        self._lines: list[list[Span]] = []
        self._made = (-1, -1)  # the size for which they are

    def show(self, peers: Sequence[PeerStatus]) -> None:
        """Draw the rates of these, if they are others."""
        ways = (
            summed([peer.history_in for peer in peers]),
            summed([peer.history_out for peer in peers]),
        )
        if ways != self._ways:
            self._ways, self._made = ways, (-1, -1)
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """A line of the areas."""
        width, height = self.size
        if self._made != (width, height):
            self._made = (width, height)
            self._lines = rate_lines(*self._ways, width - 2, height, self._glyphs)
        if not self._lines:
            said = "nothing moved in the last minute" if y == height // 2 else ""
            return self.strip(fit(((said, "muted"),), width, "center"), width)
        line = self._lines[y] if y < len(self._lines) else []
        return self.strip(fit(((" ", ""), *line), width), width)
