"""`;`: a letter or two on every row that is seen; typing them goes there, in whatever pane."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from globofs.tui.widgets.virtual_list import VirtualList

LETTERS: Final = "asdfghjklqwertyuiopzxcvbnm"  # nearest to the resting hands first


class Jump:
    """The letters on the screen, from `;` until one row is meant or another key ends it."""

    def __init__(self, lists: Iterable[VirtualList]) -> None:
        """Put letters on the rows of these lists."""
        self._typed = ""
        self._lists = list(lists)
        rows = [(pane, index) for pane in self._lists for index in pane.seen()]
        labels = (
            list(LETTERS)
            if len(rows) <= len(LETTERS)
            else ["".join(pair) for pair in product(LETTERS, repeat=2)]
        )
        self._targets = dict(zip(labels, rows, strict=False))
        for pane in self._lists:
            pane.labels = {row[1]: label for label, row in self._targets.items() if row[0] is pane}
            pane.refresh()

    def __bool__(self) -> bool:
        return bool(self._targets)

    def key(self, key: str) -> tuple[VirtualList, int] | None:
        """A key was pressed: the row that is meant, once that is clear; empty when it is over."""
        self._typed += key
        target = self._targets.get(self._typed)
        left = {label: row for label, row in self._targets.items() if label.startswith(self._typed)}
        if target is not None or not left:
            self.end()
            return target
        for pane in self._lists:
            pane.labels = {
                row[1]: label[len(self._typed) :] for label, row in left.items() if row[0] is pane
            }
            pane.refresh()
        return None

    def end(self) -> None:
        """Take the letters away."""
        self._targets = {}
        for pane in self._lists:
            pane.labels = {}
            pane.refresh()
