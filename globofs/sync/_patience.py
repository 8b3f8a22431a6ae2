"""For how many rounds something has stood still: what relay and fetch wait for."""

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
