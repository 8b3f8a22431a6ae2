"""A verdict on what is being typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """What a text means, said while it is typed. `good` None: it cannot be judged yet."""

    good: bool | None
    words: str
    value: Any = None
