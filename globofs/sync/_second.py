"""A second process for `add`: it reads small files while this one commits what was read.

Of 20,000 small files most of the work is Python's. What the second process finds is only the quick
way: a file that it cannot read or that changed, and every file should it be missing or die, is
read here.
"""

from __future__ import annotations

import threading

from globofs.store.second import SecondProcess
from globofs.sync._reading import Asked, Told


class Second(SecondProcess):
    """The second process. `read` may be called from several threads; they take turns."""

    def __init__(self, method: str, level: int) -> None:
        """Start it; it is used from the moment when it says that it is there. Raises OSError."""
        super().__init__("globofs.sync._reading", method, str(level))
        self._sending = threading.Lock()
        self._turn = threading.Condition()
        self._sent = 0
        self._received = 0
        self._there = False

    def read(self, asked: list[Asked]) -> list[Told | None] | None:
        """What each file holds, None for one to be read here; None for all of them, too."""
        if not self._is_there():
            return None
        with self._sending:
            number = self._sent
            if not self.send(asked):
                return None
            self._sent += 1
        with self._turn:
            while self._received != number:
                self._turn.wait()
        try:
            answer: list[Told | None] | None = self.receive()
        finally:
            with self._turn:
                self._received += 1
                self._turn.notify_all()
        return answer if answer is not None and len(answer) == len(asked) else None

    def _is_there(self) -> bool:
        if not self._there and not self.dead:
            with self._turn:
                if not self._there and self.has_spoken():
                    self._there = self.receive() is not None
        return self._there and not self.dead
