"""What the verbs and the engine may announce, and the snapshots the faces draw.

All are frozen: an event can cross threads, a snapshot can be drawn while the next is made.
Paths are volume paths (bytes), times are nanoseconds since 1970 (`None`: never), sizes bytes.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

PeerState = Literal["online", "offline", "readonly", "stuck", "paused", "wrong"]
Activity = Literal["idle", "pushing", "pulling"]
MoveState = Literal["moving", "queued", "failed", "done", "paused"]
Direction = Literal["pull", "push", "add", "restore", "verify"]
Sources = tuple[tuple[str, int], ...]
"""Names of peers and the bytes that each gave, in the order in which they began."""


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
    """A block arrived from, or was written to, a peer. Announced inside the engine only.

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


def ignore(event: Event) -> None:
    """The `emit` of callers that do not listen."""


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """One peer as every face shows it (product.md, "Words")."""

    name: str
    uuid: str
    path: str
    state: PeerState = "offline"
    reason: str = ""
    activity: Activity = "idle"
    outgoing: int = 0  # records not yet acknowledged by the peer
    incoming: int = 0  # records of the peer not yet applied here
    send: bool = False
    last_seen: int | None = None
    rate_in: float = 0.0  # bytes a second
    rate_out: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    latency_seconds: float | None = None
    retry_at: int | None = None
    history_in: tuple[float, ...] = ()  # a rate each second, oldest first
    history_out: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """The volume as it stands on this node."""

    volume: str
    uuid: str
    name: str
    files: int = 0
    versions: int = 0
    conflicts: int = 0
    bytes: int = 0
    blocks_missing: int = 0  # of current versions
    bytes_missing: int = 0
    wanted_blocks: int = 0
    wanted_bytes: int = 0
    cacheonly: bool = False
    readonly: str = ""  # why, when it is
    peers: tuple[PeerStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """One row of the queue: a file's blocks, or a peer's records, on their way."""

    key: str  # stable while the row lives
    path: bytes
    direction: Direction
    state: MoveState
    peer: str = ""  # the peer it moves from or to; several are joined by ", "
    done: int = 0
    total: int = 0
    had: int = 0  # bytes that were here already and need no move
    rate: float = 0.0
    since: int = 0
    reason: str = ""
    by: str = ""  # the process that moves it, when it is not this one
    sources: Sources = ()  # who gave how much of `done`


@dataclass(frozen=True, slots=True)
class Overall:
    """The one line over the queue."""

    done: int = 0
    total: int = 0
    had: int = 0
    rate: float = 0.0
    eta_seconds: tuple[float, float] | None = None  # a range, or None while not to be trusted
    growing: bool = False
    moving: int = 0
    queued: int = 0
    failed: int = 0
    finished: int = 0
    sources: Sources = ()  # who gave how much of `done`; the rest of it was sent


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the engine knows at one moment; made ten times a second, never blocks."""

    at: int
    serial: int
    status: Status
    overall: Overall = field(default_factory=Overall)
    moves: tuple[Move, ...] = ()
    notes: tuple[Note, ...] = ()
    notification: str = ""  # "notify" or "polling every 2 s", in words, with the reason
    tree_serial: int = 0  # rises whenever the tree changed
    leader: str = ""  # who syncs this node: "" this process, else its description
    error: str = ""  # the volume vanished, the disk is read only: a banner
