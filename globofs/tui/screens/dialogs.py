"""Dialogs: choose from a list as you type, answer a question, pick by one letter.

None of them blocks: what must be looked up is asked of the bridge, what comes later replaces
what came before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.containers import Vertical
from textual.widgets import Input

from globofs.tui.model.check import Check
from globofs.tui.screens.base import KeyedScreen, ListPane
from globofs.tui.screens.pace import Debounce
from globofs.tui.widgets.chrome import Lines
from globofs.tui.widgets.paint import Cell, Column, Span, wrapped
from globofs.tui.widgets.virtual_list import Rows, VirtualList

CHECK_SECONDS = 0.12
LEAVING = frozenset(("escape", "ctrl+c"))


@dataclass(frozen=True, slots=True)
class Choice:
    """A row to choose; `value` is what the dialog answers with, None of a row that only tells."""

    value: Any
    cells: tuple[Cell, ...]
    search: str = ""
    base: str = ""


class Modal(KeyedScreen):
    """A dialog over a mode."""

    context: ClassVar[str] = "menu"
    title_words = ""

    def on_mount(self) -> None:
        """Mark it as a dialog."""
        self.add_class("-modal")
        self.set_class(self.glyphs.name == "ascii", "-ascii")
        self.is_ready = True
        self.globofs.ahead.soon()

    def dismiss(self, result: Any = None) -> AwaitComplete:
        """Leave with an answer."""
        self.globofs.ahead.dialog_ends()
        return super().dismiss(result)

    def do_escape(self) -> None:
        """Leave without an answer."""
        self.dismiss(None)

    def contexts(self) -> list[str]:
        """Only the dialog's keys."""
        return ["menu"]

    def take_key(self, event: events.Key) -> bool:
        """Esc always leaves."""
        if event.key == "escape":
            self.do_escape()
            return True
        return super().take_key(event)


class PickDialog(Modal):
    """An input over a list. `find(text)` answers with choices; off the UI thread when `slow`."""

    def __init__(
        self,
        title: str,
        columns: Sequence[Column],
        find: Callable[[str], Sequence[Choice]],
        *,
        placeholder: str = "type to find",
        slow: bool = False,
        empty: str = "nothing matches",
        begin: str = "",
        foot: str = "Enter chooses · Esc leaves",
        typed: Callable[[str], Any] | None = None,
        again: float = 0.0,
    ) -> None:
        super().__init__()
        self._title = title
        self._columns = columns
        self._find = find
        self._placeholder = placeholder
        self._slow = slow
        self._empty = empty
        self._begin = begin or empty  # before anything is typed
        self._foot = foot
        self._typed = typed  # what the text itself means where no row is meant
        self._again = again  # seconds between looks for what changed; 0: it does not
        self._choices: list[Choice] = []
        self._shown: str | None = None  # the text whose rows are shown

    def compose(self) -> ComposeResult:
        """Input above list."""
        with Vertical(classes="dialog -wide -tall") as box:
            box.border_title = self.caption(f" {self._title} ")
            box.border_subtitle = self.caption(f" {self._foot} ")
            yield Input(placeholder=self.glyphs.said(self._placeholder), id="pick-input")
            yield ListPane(Rows(self._columns), "menu", id="pick-list")

    def on_mount(self) -> None:
        """Ask for what an empty text finds."""
        super().on_mount()
        rows = self.query_one("#pick-list", VirtualList)
        rows.remove_class("pane")
        self.set_focus(self.query_one(Input))
        self._soon = Debounce(self, 0.05, self._ask)
        self._ask()
        if self._again:
            self.set_interval(self._again, self._ask)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Another text, other rows."""
        if self._slow:
            self._soon()
        else:
            self._ask()

    def _ask(self) -> None:
        text = self.query_one(Input).value
        if self._slow:
            self.bridge.ask(
                "detail",
                "pick",
                lambda: self._find(text),
                lambda found: self._got(text, found),
                lambda error: self._failed(text, error),
            )
        else:
            self._got(text, self._find(text))

    def _failed(self, text: str, error: Exception) -> None:
        self._got(text, [], str(error))

    def _got(self, text: str, choices: Sequence[Choice], said: str = "") -> None:
        if not self.query("#pick-list"):
            return  # left meanwhile
        rows = self.query_one("#pick-list", VirtualList)
        values = [choice.value for choice in choices]
        same, stay = text == self._shown, self._chosen()
        self._choices, self._shown = list(choices), text
        source = rows.source
        assert isinstance(source, Rows)
        source.replace(
            list(range(len(choices))),
            [choice.cells for choice in choices],
            [choice.base for choice in choices],
        )
        rows.words = (said or (self._empty if self.query_one(Input).value else self._begin),)
        rows.reload(keep=False)
        first = next((at for at, value in enumerate(values) if value not in ("", None)), 0)
        if not same:
            rows.go_to(first)
        elif stay in values and stay is not None:  # rows came or went above it
            rows.go_to(values.index(stay))

    def _chosen(self) -> Any:
        """What the row under the cursor means, if anything."""
        cursor = self.query_one("#pick-list", VirtualList).cursor
        return self._choices[cursor].value if 0 <= cursor < len(self._choices) else None

    def input_key(self, key: str) -> bool:
        """Arrows move in the list while typing, once it is that of the text."""
        if key not in LEAVING and self._shown != self.query_one(Input).value:
            self._ask()
            if self._slow:
                self.globofs.ahead.again()
                return True
        rows = self.query_one("#pick-list", VirtualList)
        moves = {"up": -1, "down": 1, "ctrl+k": -1, "ctrl+j": 1}
        if key in moves:
            rows.move(moves[key])
        elif key in ("pageup", "pagedown"):
            rows.page(-1 if key == "pageup" else 1)
        elif key == "enter":
            self.do_choose()
        else:
            return super().input_key(key)
        return True

    def do_choose(self) -> None:
        """Answer with the row under the cursor, else with the text."""
        text = self.query_one(Input).value
        meant = self._typed(text) if self._typed is not None and text else None
        if meant is None:
            meant = self._chosen()
        if meant is not None:
            self.dismiss(meant)

    def on_virtual_list_opened(self, message: VirtualList.Opened) -> None:
        """A double click chooses."""
        self.do_choose()


def restarted(text: str) -> str:
    """A path as it is meant: `~/` or `/` typed behind a `/` begins it anew, so that nobody has to
    delete the proposal that stands in the input first."""
    begins = max(text.rfind("//") + 1, text.rfind("/~/") + 1)
    return text[begins:]


def meant_anew(field: Input) -> bool:
    """Whether the path in an input begins anew; it is put there then."""
    meant = restarted(field.value)
    if meant == field.value:
        return False
    field.value = meant
    field.cursor_position = len(meant)
    return True


def completed(screen: KeyedScreen, field: Input, complete: Callable[[str], str]) -> None:
    """Complete the text of an input, unless it became another meanwhile."""
    text = field.value

    def put(longer: str) -> None:
        if field.value == text and field.is_mounted:
            field.value = longer
            field.cursor_position = len(longer)

    screen.bridge.ask("far", "complete", lambda: complete(text), put, lambda _: None)


class AskDialog(Modal):
    """One line to type, judged as it is typed."""

    def __init__(
        self,
        title: str,
        label: str,
        check: Callable[[str], Check],
        *,
        value: str = "",
        foot: str = "Enter does it · Esc leaves",
        slow: bool = False,
        hints: Sequence[Sequence[Span]] = (),
        example: bool = False,
        complete: Callable[[str], str] | None = None,
    ) -> None:
        super().__init__()
        self._title = title
        self._label = label
        self._check = check
        self._value = value
        self._foot = foot if complete is None else f"Tab completes · {foot}"
        self._complete = complete  # what Tab makes of the text; asked off the UI thread
        self._slow = slow
        self._hints = hints
        self._example = example  # the value is one: typing replaces it
        self._verdict = Check(None, "")
        self._judged: str | None = None
        self._wanted = False  # Enter was pressed before the verdict

    def compose(self) -> ComposeResult:
        """Label, input, verdict."""
        with Vertical(classes="dialog") as box:
            box.border_title = self.caption(f" {self._title} ")
            box.border_subtitle = self.caption(f" {self._foot} ")
            yield Lines(lambda width: [[(self._label, "muted")]], id="ask-label")
            yield Input(value=self._value, id="ask-input", select_on_focus=self._example)
            yield Lines(self._verdict_lines, id="ask-verdict")

    def on_mount(self) -> None:
        """Judge what is there already."""
        super().on_mount()
        self.query_one("#ask-label").styles.height = 1
        self.query_one("#ask-verdict").styles.height = 2 + len(self._hints)
        self._soon = Debounce(self, CHECK_SECONDS, self._judge)
        self.set_focus(self.query_one(Input))
        self._judge()

    def _verdict_lines(self, width: int) -> list[list[Span]]:
        verdict = self._verdict
        glyphs = self.glyphs
        mark = {True: (f"{glyphs.done} ", "good"), False: (f"{glyphs.failed} ", "bad")}
        first: list[Span] = []
        if verdict.words:
            first = [
                mark.get(bool(verdict.good), ("", "")) if verdict.good is not None else ("", "")
            ]
            first.append((verdict.words, "bad" if verdict.good is False else "muted"))
        return [*(wrapped(first, width) if first else [[]]), [], *map(list, self._hints)]

    def on_input_changed(self, event: Input.Changed) -> None:
        """Judge again, soon."""
        if self._complete is not None and meant_anew(event.input):
            return  # that is a change as well
        if self._slow:
            self._soon()
        else:
            self._judge()

    def _judge(self) -> None:
        text = self.query_one(Input).value
        if self._slow:
            self.bridge.ask(
                "far", "ask", lambda: self._check(text), lambda v: self._got(text, v), self._bad
            )
        else:
            self._got(text, self._check(text))

    def _bad(self, error: Exception) -> None:
        self._got(self.query_one(Input).value, Check(False, str(error)))

    def _got(self, text: str, verdict: Check) -> None:
        if not self.query("#ask-verdict"):
            return  # left meanwhile
        self._verdict, self._judged = verdict, text
        said = self.query_one("#ask-verdict")
        if said.size.width:
            said.styles.height = len(self._verdict_lines(said.size.width))
        said.refresh()
        if self._wanted and verdict.good:
            self.dismiss(verdict.value)
        self._wanted = False

    def input_key(self, key: str) -> bool:
        """Enter answers, once the text is judged good; Tab completes."""
        if key == "tab" and self._complete is not None:
            completed(self, self.query_one(Input), self._complete)
            return True
        if key != "enter":
            return super().input_key(key)
        if self._judged == self.query_one(Input).value:
            if self._verdict.good:
                self.dismiss(self._verdict.value)
        else:
            self._wanted = True
        return True


class Sentences(Lines):
    """Lines wrapped to the dialog they stand in, and as high as that makes them."""

    def __init__(self, lines: Sequence[Sequence[Span]], *, id: str) -> None:
        super().__init__(self._wrapped, id=id)
        self._lines = lines

    def _wrapped(self, width: int) -> list[list[Span]]:
        return [part for line in self._lines for part in wrapped(line, width)]

    def on_mount(self) -> None:
        """As high as its lines."""
        width = min(84, int(self.app.size.width * 0.94)) - 4
        self.styles.height = max(1, len(self._wrapped(width)))


class ChoiceDialog(Modal):
    """A few rows, each chosen by a letter: sort, copy. `lines` say what it is about."""

    def __init__(
        self,
        title: str,
        rows: Sequence[tuple[str, str, Any]],
        foot: str = "",
        lines: Sequence[Sequence[Span]] = (),
    ) -> None:
        super().__init__()
        self._title = title
        self._rows = rows
        self._foot = foot
        self._lines = lines

    def compose(self) -> ComposeResult:
        """A list with the letters in front, below what is said."""
        columns = (Column("key", "", 4), Column("words", ""))
        source = Rows(columns)
        source.replace(
            [value for _, _, value in self._rows],
            [(((f" {key}", "key"),), words) for key, words, _ in self._rows],
        )
        with Vertical(classes="dialog", id=None if self._lines else "choice") as box:
            box.border_title = self.caption(f" {self._title} ")
            box.border_subtitle = self.caption(
                f" {self._foot or 'a letter or Enter · Esc leaves'} "
            )
            if self._lines:
                yield Sentences(self._lines, id="choice-lines")
            yield ListPane(source, "menu", id="choice-list", header=False)

    def on_mount(self) -> None:
        """Focus the list."""
        super().on_mount()
        rows = self.query_one("#choice-list", VirtualList)
        rows.remove_class("pane")
        rows.styles.height = len(self._rows)
        self.set_focus(rows)

    def take_key(self, event: events.Key) -> bool:
        """A row's letter chooses it, before any other meaning."""
        for key, _, value in self._rows:
            if event.character and event.character == key:
                self.dismiss(value)
                return True
        return super().take_key(event)

    def do_choose(self) -> None:
        """The row under the cursor."""
        rows = self.query_one("#choice-list", VirtualList)
        self.dismiss(self._rows[rows.cursor][2])

    def on_virtual_list_opened(self, message: VirtualList.Opened) -> None:
        """A double click chooses."""
        self.do_choose()


class SayDialog(Modal):
    """Sentences to read; any of Enter, Esc, q closes."""

    def __init__(
        self, title: str, lines: Sequence[Sequence[Span]], foot: str = "Esc closes"
    ) -> None:
        super().__init__()
        self._title = title
        self._lines = lines
        self._foot = foot

    def compose(self) -> ComposeResult:
        """The lines."""
        with Vertical(classes="dialog") as box:
            box.border_title = self.caption(f" {self._title} ")
            box.border_subtitle = self.caption(f" {self._foot} ")
            yield Sentences(self._lines, id="say-lines")

    def other_key(self, key: str) -> bool:
        """Keys that close."""
        if key in ("q", "enter", "w"):
            self.dismiss(None)
            return True
        return False
