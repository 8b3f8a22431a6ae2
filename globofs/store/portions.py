"""Many values in portions that one question of the index, or one transaction, can take."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

T = TypeVar("T")
SELECT_CHUNK: Final = 900
"""Values in one `IN (...)`: below SQLite's historical limit of 999 variables."""


def chunks(values: Iterable[T], size: int = SELECT_CHUNK) -> Iterator[list[T]]:
    """`values` in lists of at most `size`."""
    left = iter(values)
    while chunk := list(itertools.islice(left, size)):
        yield chunk


def marks(values: Sequence[object]) -> str:
    """The `?,?,?` for an `IN (...)` over `values`."""
    return ",".join("?" * len(values))
