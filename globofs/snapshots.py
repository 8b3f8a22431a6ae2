"""How things stand, as every face draws it: the volume, its peers, what moves.

All are frozen: one can be drawn while the next is made. Paths are volume paths (bytes), times are
nanoseconds since 1970 (`None`: never), sizes bytes, rates bytes a second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from globofs.events import Direction, Note, PeerState

NOTIFIED: Final = "change notification"

Activity = Literal["idle", "pushing", "pulling"]
MoveState = Literal["moving", "queued", "failed", "done", "paused"]
Sources = tuple[tuple[str, int], ...]
"""Names of peers and the bytes that each gave, in the order in which they began."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How late a screen's beats came in the last minute: what a key would have waited, seconds."""

    usual: float  # half of them came sooner
    high: float  # 95 of a hundred did
    most: float


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
    elsewhere: str = ""  # what follows, when this node may be there twice
    warnings: tuple[str, ...] = ()  # what is odd here and does no harm, that among them
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
    notification: str = ""  # `NOTIFIED`, or "polling every 2 s: " and the reason
    tree_serial: int = 0  # rises whenever the tree changed
    leader: str = ""  # who syncs this node: "" this process, else its description
    error: str = ""  # the volume vanished, the disk is read only: a banner

    def news(self, last: Note | None) -> tuple[Note, ...]:
        """The notes behind `last`, the very one; all, where that has gone out of sight."""
        for place in range(len(self.notes) - 1, -1, -1):
            if self.notes[place] is last:
                return self.notes[place + 1 :]
        return self.notes
