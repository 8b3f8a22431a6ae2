"""The frame of every mode: title bar on top, banner below it, hint bar at the bottom.

Each is one line that fits: what matters least goes first, and the hint bar says how many keys
it could not show.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual import events
from textual.message import Message
from textual.strip import Strip

from globofs.tui.widgets.abstract import Abstract
from globofs.tui.widgets.paint import Painted, Span, cut, fit, spans_width, width_of


class OneLine(Painted, metaclass=Abstract):
    """A line of spans, some of which do something when clicked."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._zones: list[tuple[int, int, str]] = []

    class Pressed(Message):
        """Something in the line was clicked; `action` is an id of the key table."""

        def __init__(self, action: str) -> None:
            super().__init__()
            self.action = action

    @abstractmethod
    def spans(self, width: int) -> list[tuple[str, str, str]]:
        """Text, style, action of each part, at most `width` cells together."""

    def render_line(self, y: int) -> Strip:
        """The line."""
        width = self.size.width
        if y:
            return self.strip((), width)
        self._zones = []
        drawn: list[Span] = []
        at = 0
        for text, style, action in self.spans(width):
            wide = width_of(text)
            if action:
                self._zones.append((at, at + wide, action))
            drawn.append((text, style))
            at += wide
        return self.strip(drawn, width)

    def on_click(self, event: events.Click) -> None:
        """Do what the part under the pointer says."""
        for low, high, action in self._zones:
            if low <= event.x < high:
                event.stop()
                self.post_message(self.Pressed(action))
                return


@dataclass(frozen=True, slots=True)
class Title:
    """What the title bar says. `state` and `rates` are spans for the right side."""

    volume: str = ""
    mode: str = "files"
    conflicts: int = 0
    moving: int = 0
    state: tuple[Span, ...] = ()
    brief: tuple[Span, ...] = ()  # the state where there is little room
    rates: tuple[Span, ...] = ()
    spark: tuple[Span, ...] = ()
    readonly: bool = False


MODES: tuple[tuple[str, str], ...] = (
    ("files", "Files"),
    ("sync", "Sync"),
    ("peers", "Peers"),
    ("conflicts", "Conflicts"),
    ("log", "Log"),
)


class TitleBar(OneLine):
    """Volume, the five modes with their counts, and how the node stands with its peers."""

    def __init__(self) -> None:
        super().__init__(id="title")
        self.title_shown = Title()

    def show(self, title: Title) -> None:
        """Show a new state; nothing is drawn when it is the same."""
        if title != self.title_shown:
            self.title_shown = title
            self.refresh()

    def spans(self, width: int) -> list[tuple[str, str, str]]:
        """Drops, in this order: sparkline, rates, the state's words, mode names."""
        title = self.title_shown
        for level in range(5):
            left = self._left(title, words=level < 4)
            right = self._right(title, level)
            used = sum(width_of(part[0]) for part in left) + spans_width(right)
            if used + 1 <= width or level == 4:
                gap = max(1, width - used)
                return [*left, (" " * gap, "", ""), *[(t, s, "mode_sync") for t, s in right]]
        return []

    def _left(self, title: Title, words: bool) -> list[tuple[str, str, str]]:
        name = title.volume or "GloboFS"
        parts = [(f" {cut(name, 24 if words else 14)} ", "chip", ""), (" ", "", "")]
        if title.readonly:
            parts.append((" read only ", "chip-warn", ""))
        if not title.volume:
            return parts
        for number, (mode, label) in enumerate(MODES, 1):
            here = mode == title.mode
            text = f" {number} {label}" if words or here else f" {number}"
            style = "chip-accent" if here else "muted"
            badge = title.conflicts if mode == "conflicts" else 0
            parts.append((text + ("" if badge else " "), style, f"mode_{mode}"))
            if badge:
                shown = f" {badge} " if words or here else f":{badge} "
                parts.append((shown, style if here else "warn strong", f"mode_{mode}"))
        return parts

    def _right(self, title: Title, level: int) -> list[Span]:
        spans = list(title.state) if level < 3 else list(title.brief)
        if title.rates and level < 2:
            spans += [("  ", ""), *title.rates]
        if title.spark and level < 1:
            spans += [(" ", ""), *title.spark]
        return [*spans, (" ", "")]


@dataclass(frozen=True, slots=True)
class Hint:
    """A key and what it does now; `reason` says why it does not."""

    key: str
    label: str
    action: str
    priority: int = 1
    reason: str = ""


class HintBar(OneLine):
    """The keys that work now, the most useful first; ends in `+N ?` for those that did not fit."""

    def __init__(self) -> None:
        super().__init__(id="hints")
        self.hints: tuple[Hint, ...] = ()
        self.others = 0
        self.sentence = ""  # instead of keys: what a dialog or a wait says

    def show(self, hints: Sequence[Hint], others: int, sentence: str = "") -> None:
        """Show these; `others` counts the keys that have no hint at all."""
        state = (tuple(hints), others, sentence)
        if state != (self.hints, self.others, self.sentence):
            self.hints, self.others, self.sentence = state
            self.refresh()

    def spans(self, width: int) -> list[tuple[str, str, str]]:
        """By priority, in one line."""
        parts: list[tuple[str, str, str]] = [(" ", "", "")]
        used = 1
        if self.sentence:
            text = cut(self.sentence, max(0, width - 12))
            parts.append((text + "  ", "accent", ""))
            used += width_of(text) + 2
        left = sorted(self.hints, key=lambda hint: hint.priority)
        shown = 0
        tail = 8
        for hint in left:
            wide = width_of(hint.key) + width_of(hint.label) + 3
            if used + wide + tail > width:
                break
            dead = bool(hint.reason)
            parts.append((hint.key, "faint" if dead else "key", hint.action))
            parts.append((f" {hint.label}", "faint" if dead else "muted", hint.action))
            parts.append(("  ", "", ""))
            used += wide
            shown += 1
        rest = len(left) - shown + self.others
        end = f"+{rest} " if rest else ""
        gap = max(0, width - used - len(end) - 2)
        parts.append((" " * gap, "", ""))
        parts.append((end, "muted", "help"))
        parts.append(("?", "key", "help"))
        return parts


class Banner(OneLine):
    """A line that says in which unusual state the screen is; hidden while there is none."""

    def __init__(self) -> None:
        super().__init__(id="banner")
        self.parts: tuple[Span, ...] = ()
        self.level = ""

    def show(self, parts: Sequence[Span], level: str = "info") -> None:
        """Show spans in one of the levels `info` or `error`; none hides it."""
        state = (tuple(parts), level)
        if state == (self.parts, self.level):
            return
        self.parts, self.level = state
        self.display = bool(parts)
        self.set_class(level == "error", "-error")
        self.refresh()

    def spans(self, width: int) -> list[tuple[str, str, str]]:
        """The parts, cut at the end."""
        made = [(" ", "", "")]
        left = width - 1
        for text, style in self.parts:
            shown = cut(text, left)
            made.append((shown, style, ""))
            left -= width_of(shown)
            if left <= 0:
                break
        return made


class Lines(Painted):
    """A few lines of spans made by a function of the width; drawn again by `refresh`."""

    def __init__(
        self, make: Callable[[int], Sequence[Sequence[Span]]], *, id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self._make = make

    def render_line(self, y: int) -> Strip:
        """One of them."""
        width = self.size.width
        lines = self._make(width)
        return self.strip(fit(tuple(lines[y]), width) if y < len(lines) else (), width)
