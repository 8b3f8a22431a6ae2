"""What verbs announce while they work, and how they are told to stop.

All events are frozen: they cross threads. Paths are volume paths (bytes), times are nanoseconds
since 1970 (`None`: never), sizes bytes.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

PeerState = Literal["online", "offline", "readonly", "stuck", "paused", "wrong"]
Direction = Literal["pull", "push", "add", "restore", "verify"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be done, or was done with a caveat, and why."""

    path: bytes
    reason: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a verb is. Totals are 0 while unknown; `growing` while they still rise."""

    verb: str
    phase: str = ""
    files: int = 0
    files_total: int = 0
    bytes: int = 0
    bytes_total: int = 0
    path: builtins.bytes = b""
    growing: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence for whoever watches: narration of a command, a line of the activity list."""

    text: str
    peer: str | None = None
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Changed:
    """The tree changed: records were applied. `paths` is empty when there are too many."""

    paths: tuple[bytes, ...]
    origin: str
    records: int


@dataclass(frozen=True, slots=True)
class BlockMoved:
    """A block arrived from, or was written to, a peer. There is one for each block: who hears them
    counts, and shows the sum now and then.

    `bytes` are plain ones, so that they add up to the sizes of files; without a path they are
    records as they went over the wire.
    """

    peer: str
    direction: Direction
    bytes: int
    path: builtins.bytes = b""


@dataclass(frozen=True, slots=True)
class PeerSeen:
    """What a round with one peer found out."""

    peer: str
    state: PeerState
    reason: str = ""
    outgoing: int = 0
    incoming: int = 0
    at: int | None = None


Event = Problem | Progress | Note | Changed | BlockMoved | PeerSeen
Emit = Callable[[Event], None]
Cancelled = Callable[[], bool]


def ignore(event: Event) -> None:
    """The `emit` of callers that do not listen."""


def problems_to(emit: Emit) -> Emit:
    """An `emit` that passes on problems alone."""

    def told(event: Event) -> None:
        if isinstance(event, Problem):
            emit(event)

    return told


def never() -> bool:
    """The `cancelled` of callers that do not interrupt."""
    return False
