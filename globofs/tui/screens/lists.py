"""What modes that are lists share: a line that filters as it is typed, rows that are read again."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Static

from globofs import errors
from globofs.snapshots import Snapshot
from globofs.tui.screens.base import ListPane, ModeScreen
from globofs.tui.screens.pace import Freshness
from globofs.tui.widgets.abstract import Abstract


class FilterRow(Horizontal):
    """The line below a list; hidden until `/`."""

    def __init__(self, placeholder: str) -> None:
        super().__init__(id="filter-row")
        self._placeholder = placeholder

    def compose(self) -> ComposeResult:
        """The slash, the text."""
        yield Static("/", id="filter-label", markup=False)
        yield Input(id="filter-input", placeholder=self._placeholder)


class Filtering(ModeScreen, metaclass=Abstract):
    """A mode with a list that a `FilterRow` filters; `filters` is the list's id."""

    filters: ClassVar[str]

    @property
    def filter_box(self) -> Input:
        """Where the filter is typed."""
        return self.query_one("#filter-input", Input)

    @abstractmethod
    def filtered(self, text: str) -> None:
        """Show only what matches `text`; everything when it is empty."""

    def do_filter(self) -> None:
        """Type a filter."""
        self.query_one("#filter-row").add_class("-on")
        self.set_focus(self.filter_box)

    def on_input_changed(self, event: Input.Changed) -> None:
        """The list follows what is typed."""
        if event.input.id == "filter-input":
            self.filtered(event.value)

    def close_filter(self, *, keep: bool) -> None:
        """Back to the list, with the filter or without it."""
        if not keep:
            self.filter_box.value = ""
        self.query_one("#filter-row").remove_class("-on")
        self.set_focus(self.query_one(f"#{self.filters}"))

    def input_key(self, key: str) -> bool:
        """Enter keeps the filter, Esc ends it, arrows go to what it left."""
        if key in ("enter", "escape"):
            self.close_filter(keep=key == "enter")
        elif key in ("up", "down"):
            self.query_one(f"#{self.filters}", ListPane).move(1 if key == "down" else -1)
        else:
            return super().input_key(key)
        return True


class Rereading(ModeScreen, metaclass=Abstract):
    """A mode whose rows are read in a worker, and again whenever the tree has changed."""

    unreadable: ClassVar[str]  # what is said instead of rows, before the reason
    reads: ClassVar[str]  # the id of the list

    def __init__(self) -> None:
        super().__init__()
        self._fresh = Freshness(self, self._reread)

    @abstractmethod
    def volume_opened(self) -> None:
        """Ask for the rows."""

    def take(self, snapshot: Snapshot) -> None:
        """Read again when something happened, but not more often than it can be read."""
        super().take(snapshot)
        self._fresh.take(snapshot.tree_serial)

    def _reread(self) -> None:
        if self.globofs.is_open:
            self.volume_opened()

    def not_read(self, error: errors.GlobofsError) -> None:
        """Say why there are no rows."""
        pane = self.query_one(f"#{self.reads}", ListPane)
        pane.words = (self.unreadable, error.message)
        pane.refresh()
