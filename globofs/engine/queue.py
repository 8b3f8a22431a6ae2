"""The queue of moves: a row for each file on its way, in the order in which they will go.

Rows are few whatever the volume's size: at most `QUEUED_MAX` wait in memory (the rest waits in
the index), and of what failed or is done the latest are kept and the others only counted. All
methods may be called from any thread and only hold a lock for as long as it takes to touch one
row, or to copy what is shown.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from globofs.events import Direction
from globofs.format.names import is_below
from globofs.snapshots import Move, MoveState, Overall

QUEUED_MAX: Final = 5000
QUEUED_LOW: Final = 1000  # fewer than this: time to ask the index for more
QUEUED_SHOWN: Final = 200
FAILED_KEPT: Final = 500
DONE_KEPT: Final = 200
RETRY_FIRST_SECONDS: Final = 5.0
RETRY_MAX_SECONDS: Final = 300.0
READ_QUIET_SECONDS: Final = 1.5  # a read that moved nothing for so long is over
ROW_RATE_SECONDS: Final = 2.0
SAMPLE_SECONDS: Final = 0.05
STRETCH_QUIET_SECONDS: Final = 10.0  # after so long a rest the overall line begins anew

NORMAL: Final = 0
BUMPED: Final = -1


@dataclass(frozen=True, slots=True)
class Item:
    """Something wanted and not here: the missing blocks of one version."""

    key: str
    path: bytes
    bytes: int  # missing
    had: int = 0  # bytes of it that are here already
    handle: object = None  # whatever the fetcher needs to find it again


@dataclass(slots=True)
class Row:
    """A move while it lives; frozen into a `Move` for whoever shows it."""

    key: str
    path: bytes
    direction: Direction
    state: MoveState
    since: int
    order: tuple[int, int] = (NORMAL, 0)
    item: Item | None = None
    peers: dict[str, int] = field(default_factory=dict)  # and how many bytes each moved
    done: int = 0
    total: int = 0
    had: int = 0
    rate: float = 0.0
    reason: str = ""
    tries: int = 0
    retry_at: float = math.inf  # monotonic
    touched: float = 0.0  # monotonic, of the last byte
    seen_done: int = 0

    def frozen(self) -> Move:
        """The row as it is shown."""
        return Move(
            key=self.key,
            path=self.path,
            direction=self.direction,
            state=self.state,
            peer=", ".join(self.peers),
            done=self.done,
            total=max(self.total, self.done),
            had=self.had,
            rate=self.rate if self.state == "moving" else 0.0,
            since=self.since,
            reason=self.reason,
            sources=tuple(self.peers.items()) if self.direction == "pull" else (),
        )


class Queue:
    """Rows by state, a heap for what is next, counters for what is no longer kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._bumps = itertools.count(-1, -1)
        self._heap: list[tuple[tuple[int, int], str]] = []
        self._queued: dict[str, Row] = {}
        self._paused: dict[str, Row] = {}
        self._moving: OrderedDict[str, Row] = OrderedDict()
        self._failed: OrderedDict[str, Row] = OrderedDict()
        self._done: deque[Row] = deque(maxlen=DONE_KEPT)
        self._by_path: dict[bytes, Row] = {}  # of the moving ones
        self._pauses: frozenset[bytes] = frozenset()
        self._failed_more = 0
        self._finished = 0
        self._stretch_done = 0  # bytes since the queue was last empty
        self._stretch_had = 0
        self._stretch_sources: dict[str, int] = {}
        self._rest = 0  # bytes that wait in the index
        self._growing = False
        self._sampled = 0.0  # monotonic
        self._quiet_since = 0.0  # monotonic: nothing has moved since then
        self.serial = 0  # rises with every change

    # --- what is wanted ---

    def offer(self, items: Iterable[Item], now: int) -> int:
        """Queue what is not known yet; the number of new rows."""
        fresh = 0
        with self._lock:
            for item in items:
                if self._known(item.key):
                    continue
                row = Row(
                    item.key,
                    item.path,
                    "pull",
                    "queued",
                    now,
                    (NORMAL, next(self._numbers)),
                    item,
                    total=item.bytes,
                    had=item.had,
                )
                self._wait(row)
                fresh += 1
            self.serial += fresh
        return fresh

    def _known(self, key: str) -> bool:
        return (
            key in self._queued or key in self._moving or key in self._failed or key in self._paused
        )

    def _wait(self, row: Row) -> None:
        """Put a row among the queued, or the paused where a pause covers it."""
        row.retry_at = math.inf
        if self._covered(row.path):
            row.state, row.reason = "paused", "paused by you"
            self._paused[row.key] = row
        else:
            row.state, row.reason = "queued", ""
            self._queued[row.key] = row
            heapq.heappush(self._heap, (row.order, row.key))

    def _covered(self, path: bytes) -> bool:
        return any(is_below(path, top) for top in self._pauses)

    def rest(self, size: int, *, growing: bool) -> None:
        """Bytes that wait in the index beyond the rows here, and whether there may be more."""
        with self._lock:
            self._rest = size
            self._growing = growing

    def wants_more(self) -> bool:
        """Whether the index should be asked for more items."""
        with self._lock:
            return len(self._queued) + len(self._paused) < QUEUED_LOW

    def room(self) -> int:
        """How many more items may be offered."""
        with self._lock:
            return max(0, QUEUED_MAX - len(self._queued) - len(self._paused))

    def forget(self) -> None:
        """Drop all waiting and failed rows: the wanted set is read anew."""
        with self._lock:
            for rows in (self._queued, self._paused, self._failed):
                rows.clear()
            self.serial += 1

    # --- what moves ---

    def take(self, now: float, rows: int = 1, size: int = 0) -> list[Row]:
        """The next rows, now moving: one at least, up to `rows` while they stay below `size` bytes
        and are equally urgent. Empty when nothing is due."""
        taken: list[Row] = []
        with self._lock:
            self._due(now)
            while self._heap and len(taken) < rows:
                order, key = self._heap[0]
                row = self._queued.get(key)
                if row is None or row.order != order:
                    heapq.heappop(self._heap)  # bumped, paused or forgotten since
                    continue
                if taken and (size < row.total or order[0] != taken[0].order[0]):
                    break
                heapq.heappop(self._heap)
                size -= row.total
                self._begin(row, now)
                del self._queued[key]
                taken.append(row)
        return taken

    @property
    def urgent(self) -> bool:
        """Whether something bumped waits for a worker."""
        with self._lock:
            while self._heap:
                order, key = self._heap[0]
                row = self._queued.get(key)
                if row is not None and row.order == order:
                    return order[0] < 0
                heapq.heappop(self._heap)
            return False

    def due(self, now: float) -> int:
        """Queue what failed long enough ago; the number of rows that wait now."""
        with self._lock:
            self._due(now)
            return len(self._queued)

    def _due(self, now: float) -> None:
        for row in [row for row in self._failed.values() if row.retry_at <= now]:
            del self._failed[row.key]
            self._wait(row)

    def _begin(self, row: Row, now: float) -> None:
        row.state, row.reason, row.touched, row.rate = "moving", "", now, 0.0
        if not self._moving:
            self._maybe_new_stretch(now)
        self._moving[row.key] = row
        self._by_path[row.path] = row
        self._stretch_had += row.had
        self.serial += 1

    def _maybe_new_stretch(self, now: float) -> None:
        """After a pause in all moving the overall line begins anew."""
        if now - self._quiet_since > STRETCH_QUIET_SECONDS:
            self._stretch_done = self._stretch_had = 0
            self._stretch_sources = {}

    def finish(self, key: str, now: float, *, error: str = "", again: bool = False) -> None:
        """A moving row has ended: done, failed with a reason (tried again later, ever more
        rarely), or, with `again`, queued as before (it was stopped by a pause)."""
        with self._lock:
            row = self._moving.pop(key, None)
            if row is None:
                return
            if self._by_path.get(row.path) is row:
                del self._by_path[row.path]
            self.serial += 1
            if not self._moving:
                self._quiet_since = now
            if again:
                kept = min(row.done, row.total)
                row.had, row.total, row.done = row.had + kept, row.total - kept, 0
                row.peers = dict.fromkeys(row.peers, 0)
                row.seen_done = 0
                self._wait(row)
            elif error:
                row.tries += 1
                row.state, row.reason = "failed", error
                row.retry_at = (
                    now
                    + min(RETRY_FIRST_SECONDS * 2.0 ** min(row.tries - 1, 12), RETRY_MAX_SECONDS)
                    if row.item is not None
                    else math.inf
                )
                self._failed[key] = row
                while len(self._failed) > FAILED_KEPT:
                    self._failed.popitem(last=False)
                    self._failed_more += 1
            else:
                row.state = "done"
                row.done = max(row.done, row.total) if row.item is not None else row.done
                self._done.appendleft(row)
                self._finished += 1

    def progress(self, path: bytes, peer: str, count: int, direction: Direction, now: float) -> Row:
        """Count bytes of a path that arrived or left; a row appears for a read nobody queued."""
        with self._lock:
            row = self._by_path.get(path)
            if row is None or row.direction != direction:
                number = next(self._numbers)
                row = Row(f"{direction}:{number}", path, direction, "queued", 0, (BUMPED, 0))
                self._begin(row, now)
            row.done += count
            row.touched = now
            self._stretch_done += count
            if peer:
                row.peers[peer] = row.peers.get(peer, 0) + count
                if direction == "pull":
                    given = self._stretch_sources
                    given[peer] = given.get(peer, 0) + count
            self.serial += 1
            return row

    def job(self, key: str, path: bytes, direction: Direction, now: float, since: int) -> None:
        """A long verb begins: its row."""
        with self._lock:
            row = Row(key, path, direction, "queued", since, (BUMPED, 0))
            row.touched = math.inf  # it ends when the job says so
            self._begin(row, now)
            row.touched = math.inf
            self._by_path.pop(path, None)  # blocks pulled for it are rows of their own

    def job_progress(self, key: str, path: bytes, done: int, total: int) -> None:
        """How far a long verb is."""
        with self._lock:
            row = self._moving.get(key)
            if row is not None:
                row.path, row.done, row.total = path, done, total
                self.serial += 1

    def sample(self, now: float, since: int) -> None:
        """Smooth the rates of what moves and end reads that fell silent. The ticker calls it."""
        passed = now - self._sampled
        if passed < SAMPLE_SECONDS:
            return
        self._sampled = now
        weight = 1 - math.exp(-passed / ROW_RATE_SECONDS)
        over: list[str] = []
        with self._lock:
            for row in self._moving.values():
                row.since = row.since or since
                rate = max(0, row.done - row.seen_done) / passed
                row.seen_done = row.done
                row.rate += (rate - row.rate) * weight
                quiet = now - row.touched > READ_QUIET_SECONDS
                if row.item is None and quiet:
                    over.append(row.key)
        for key in over:
            self.finish(key, now)

    # --- steering ---

    def bump(self, path: bytes) -> int:
        """Everything queued at or below `path` goes first; how many rows that were."""
        with self._lock:
            self._due_below(path)
            rows = [row for row in self._queued.values() if is_below(row.path, path)]
            rows.sort(key=lambda row: row.order)
            turn = next(self._bumps)
            for place, row in enumerate(rows):
                row.order = (turn, place)
                heapq.heappush(self._heap, (row.order, row.key))
            self.serial += 1
            return len(rows)

    def _due_below(self, path: bytes) -> None:
        for row in [row for row in self._failed.values() if row.item and is_below(row.path, path)]:
            del self._failed[row.key]
            self._wait(row)

    def retry(self) -> int:
        """Try everything that failed again now; how many rows that were."""
        with self._lock:
            rows = [row for row in self._failed.values() if row.item is not None]
            for row in rows:
                del self._failed[row.key]
                row.tries = 0
                self._wait(row)
            self._failed_more = 0
            self.serial += 1
            return len(rows)

    def set_pauses(self, paths: frozenset[bytes]) -> None:
        """Pause everything at or below `paths`, and nothing else."""
        with self._lock:
            if paths == self._pauses:
                return
            self._pauses = paths
            rows = [*self._paused.values(), *self._queued.values()]
            self._paused.clear()
            self._queued.clear()
            self._heap.clear()
            for row in rows:
                self._wait(row)
            self.serial += 1

    def is_paused(self, path: bytes) -> bool:
        """Whether a pause covers the path: its fetcher should stop."""
        return self._covered(path)

    # --- what is shown ---

    @property
    def finished(self) -> int:
        """How many rows came to a good end so far."""
        return self._finished

    @property
    def waiting(self) -> int:
        """How many rows could be taken, failed ones whose time has come included."""
        with self._lock:
            return len(self._queued)

    @property
    def moving(self) -> int:
        """How many rows move."""
        with self._lock:
            return len(self._moving)

    def paths_failed(self) -> dict[bytes, str]:
        """Reasons by path, for "why?"."""
        with self._lock:
            return {row.path: row.reason for row in self._failed.values()}

    def place_of(self, path: bytes) -> int | None:
        """How many rows go before the first one at or below `path`; None when none waits."""
        with self._lock:
            orders = [row.order for row in self._queued.values() if is_below(row.path, path)]
            if not orders:
                return None
            first = min(orders)
            return len(self._moving) + sum(1 for row in self._queued.values() if row.order < first)

    def moves(self) -> tuple[Move, ...]:
        """The rows to show: moving, failed, paused, the next of the queue, the latest done."""
        with self._lock:
            rows: Iterator[Row] = itertools.chain(
                self._moving.values(),
                itertools.islice(reversed(self._failed.values()), QUEUED_SHOWN),
                itertools.islice(self._paused.values(), QUEUED_SHOWN),
                heapq.nsmallest(QUEUED_SHOWN, self._queued.values(), key=lambda row: row.order),
                self._done,
            )
            return tuple(row.frozen() for row in rows)

    def overall(self, rate: float, eta: tuple[float, float] | None) -> Overall:
        """The one line over the queue."""
        with self._lock:
            left = self._left()
            return Overall(
                done=self._stretch_done,
                total=self._stretch_done + left,
                had=self._stretch_had,
                rate=rate,
                eta_seconds=eta,
                growing=self._growing,
                moving=len(self._moving),
                queued=len(self._queued) + len(self._paused),
                failed=len(self._failed) + self._failed_more,
                finished=self._finished,
                sources=tuple(self._stretch_sources.items()),
            )

    def left(self) -> int:
        """Bytes that are still to move, as far as known."""
        with self._lock:
            return self._left()

    @property
    def queued_bytes(self) -> int:
        """Bytes of the rows here that wait, move or failed."""
        with self._lock:
            failed = sum(row.total for row in self._failed.values())
            return self._left() - self._rest + failed

    def _queued_bytes(self) -> int:
        return sum(row.total for row in self._queued.values())

    def _left(self) -> int:
        moving = sum(max(0, row.total - row.done) for row in self._moving.values() if row.total)
        return self._rest + moving + self._queued_bytes()
