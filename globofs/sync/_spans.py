"""Sets of sequence numbers as ranges: what lies somewhere, what is lacked, what was sent."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

Range = tuple[int, int]


class Spans:
    """A set of whole numbers kept as sorted, disjoint, inclusive ranges `(low, high)`."""

    __slots__ = ("_ranges",)
    __hash__ = None  # type: ignore[assignment]  # it changes

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._ranges: list[Range] = []
        for low, high in ranges:
            self.add(low, high)

    def add(self, low: int, high: int | None = None) -> None:
        """Add `low` to `high`, both included; nothing when `high` is below `low`."""
        high = low if high is None else high
        if high < low:
            return
        ranges = self._ranges
        if ranges and ranges[-1][0] <= low <= ranges[-1][1] + 1:  # the usual case: the next number
            ranges[-1] = (ranges[-1][0], max(high, ranges[-1][1]))
            return
        kept: list[Range] = []
        for a, b in ranges:
            if b + 1 < low or high + 1 < a:
                kept.append((a, b))
            else:
                low, high = min(a, low), max(b, high)
        kept.append((low, high))
        kept.sort()
        self._ranges = kept

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._ranges, (number, 2**63)) - 1
        return at >= 0 and self._ranges[at][1] >= number

    def __iter__(self) -> Iterator[Range]:
        return iter(tuple(self._ranges))

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spans) and self._ranges == other._ranges

    def __repr__(self) -> str:
        return f"Spans({self._ranges})"

    @property
    def first(self) -> int:
        """The smallest number; 0 when empty."""
        return self._ranges[0][0] if self._ranges else 0

    @property
    def last(self) -> int:
        """The largest number; 0 when empty."""
        return self._ranges[-1][1] if self._ranges else 0

    def count(self) -> int:
        """How many numbers there are."""
        return sum(high - low + 1 for low, high in self._ranges)

    def minus(self, other: Spans) -> Spans:
        """The numbers here that are not in `other`."""
        out = Spans()
        removed = other._ranges
        at = 0
        for low, high in self._ranges:
            while at < len(removed) and removed[at][1] < low:
                at += 1
            here = at
            while here < len(removed) and removed[here][0] <= high:
                out.add(low, removed[here][0] - 1)
                low = max(low, removed[here][1] + 1)
                here += 1
            out.add(low, high)
        return out

    def plus(self, other: Spans) -> Spans:
        """The numbers in either."""
        return Spans((*self._ranges, *other._ranges))

    def both(self, other: Spans) -> Spans:
        """The numbers in both."""
        return self.minus(self.minus(other))
