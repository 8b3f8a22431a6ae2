"""For how many rounds something has stood still, and when to try again what was in vain."""

from __future__ import annotations


class Patience:
    """Counts the looks at a thing during which its mark did not change."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[object, int]] = {}

    def looks(self, key: str, mark: object) -> int:
        """Note one more look; how many earlier looks found the same `mark`."""
        known = self._seen.get(key)
        count = known[1] + 1 if known is not None and known[0] == mark else 0
        self._seen[key] = (mark, count)
        return count

    def forget(self, key: str) -> None:
        """The thing is settled."""
        self._seen.pop(key, None)

    def __len__(self) -> int:
        return len(self._seen)


class Backoff:
    """When a thing that was tried in vain may be tried again: after 4 s, 8 s, up to 10 minutes."""

    _FIRST_SECONDS = 4.0
    _MOST_SECONDS = 600.0

    def __init__(self) -> None:
        self._until: dict[str, tuple[float, float]] = {}

    def due(self, key: str, now: float) -> bool:
        """Whether it may be tried at `now` (monotonic seconds)."""
        known = self._until.get(key)
        return known is None or now >= known[0]

    def failed(self, key: str, now: float) -> None:
        """It was in vain."""
        known = self._until.get(key)
        wait = self._FIRST_SECONDS if known is None else min(known[1] * 2, self._MOST_SECONDS)
        self._until[key] = (now + wait, wait)

    def forget(self, key: str) -> None:
        """It worked, or is not needed any more."""
        self._until.pop(key, None)
