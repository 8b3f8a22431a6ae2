"""The queue of moves as rows that keep their place while numbers change. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from globofs.tui.words import safe

if TYPE_CHECKING:
    from globofs.snapshots import Move

ORDER: Final = {"moving": 0, "failed": 1, "paused": 2, "queued": 3, "done": 4}


class Queue:
    """Holds the order of rows between snapshots: a row leaves its section, never jumps in it."""

    def __init__(self) -> None:
        self.sort = "priority"
        self.faults_only = False
        self.filter = ""
        self.moves: list[Move] = []
        self._seen: dict[str, int] = {}
        self._next = 0
        self._done: dict[str, int] = {}

    def update(self, moves: Sequence[Move]) -> None:
        """Take a snapshot's moves in."""
        alive = {move.key for move in moves}
        self._seen = {key: place for key, place in self._seen.items() if key in alive}
        self._done = {move.key: place for place, move in enumerate(moves) if move.state == "done"}
        for move in moves:
            if move.key not in self._seen:
                self._seen[move.key] = self._next
                self._next += 1
        shown = [move for move in moves if self._wanted(move)]
        shown.sort(key=self._place)
        self.moves = shown

    def _wanted(self, move: Move) -> bool:
        if self.faults_only and move.state not in ("failed", "paused"):
            return False
        return not self.filter or self.filter.lower() in safe(move.path).lower()

    def _place(self, move: Move) -> tuple[object, ...]:
        section = ORDER[move.state]
        if self.sort == "size":
            return (section, -move.total, move.path)
        if self.sort == "name":
            return (section, move.path)
        if self.sort == "progress":
            return (section, -(move.done / move.total if move.total else 0), move.path)
        if move.state == "done":
            return (section, self._done[move.key])  # as they come: the latest first
        return (section, self._seen[move.key])

    def counts(self, moves: Sequence[Move]) -> dict[str, int]:
        """Rows by state."""
        found = dict.fromkeys(ORDER, 0)
        for move in moves:
            found[move.state] += 1
        return found
