"""Rates that do not wobble: bytes counted under a lock, smoothed over wall time, with a history.

A meter is fed from any thread (`add`) and sampled by the engine's ticker. Times are monotonic
seconds, handed in, so that tests own the clock.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import Final

SMOOTH_SECONDS: Final = 3.0  # of the rate shown
SLOW_SECONDS: Final = 20.0  # of the rate that bounds the ETA from the other side
HISTORY_SECONDS: Final = 60
SAMPLE_SECONDS: Final = 0.1  # samples closer together than this are joined
SAMPLES_BEFORE_ETA: Final = 3  # seconds' worth of history before an ETA is believed
ETA_MAX_SECONDS: Final = 99 * 3600.0
QUIET_SECONDS: Final = 3.0  # without a byte for so long: the rate is none, not a fading memory
NOTHING: Final = 0.5  # bytes a second below which a rate is shown as none


class Meter:
    """Bytes that passed one point: their number, a smoothed rate, a rate for each second."""

    def __init__(self, now: float) -> None:
        self._lock = threading.Lock()
        self._pending = 0
        self._sampled = now
        self._second = now
        self._flowed = now
        self._in_second = 0
        self._fast = 0.0
        self._slow = 0.0
        self._seconds_seen = 0
        self._history: deque[float] = deque(maxlen=HISTORY_SECONDS)
        self.total = 0

    def add(self, count: int) -> None:
        """Count bytes; any thread, never blocks for long."""
        with self._lock:
            self._pending += count
            self.total += count

    def sample(self, now: float) -> None:
        """Take what was counted since the last sample into the rates. The ticker calls it."""
        with self._lock:
            passed = now - self._sampled
            if passed < SAMPLE_SECONDS * 0.5:
                return
            rate = self._pending / passed
            if self._pending:
                self._flowed = now
            self._in_second += self._pending
            self._pending = 0
            self._sampled = now
            self._fast += (rate - self._fast) * (1 - math.exp(-passed / SMOOTH_SECONDS))
            self._slow += (rate - self._slow) * (1 - math.exp(-passed / SLOW_SECONDS))
            if now - self._flowed > QUIET_SECONDS:
                self._fast = 0.0
            self._close_seconds(now)

    def _close_seconds(self, now: float) -> None:
        passed = now - self._second
        if passed < 1.0:
            return
        whole = int(passed)
        each = self._in_second / passed
        if each > 0 or self._seconds_seen:
            self._seconds_seen += whole
        self._history.extend([each] * min(whole, HISTORY_SECONDS))
        self._in_second = 0
        self._second = now

    @property
    def rate(self) -> float:
        """Bytes a second, smoothed over the last few seconds; 0.0 once it has died away."""
        return self._fast if self._fast >= NOTHING else 0.0

    @property
    def history(self) -> tuple[float, ...]:
        """Bytes a second for each of the last 60 s, oldest first; empty while all are zero."""
        with self._lock:
            return tuple(self._history) if any(self._history) else ()

    def eta(self, remaining: int) -> tuple[float, float] | None:
        """Seconds until `remaining` bytes have passed, as a range; None while not to be trusted.

        The two ends come from the rate of the last seconds and that of the last half minute: a
        steady flow gives a narrow range, a stuttering one says so.
        """
        with self._lock:
            fast, slow, seen = self._fast, self._slow, self._seconds_seen
        if remaining <= 0 or seen < SAMPLES_BEFORE_ETA or min(fast, slow) < NOTHING:
            return None
        # The slow average starts at zero: correct it for the time it has had, as Adam does.
        slow = slow / (1 - math.exp(-seen / SLOW_SECONDS)) if seen < 5 * SLOW_SECONDS else slow
        ends = sorted((remaining / fast, remaining / slow))
        if ends[0] > ETA_MAX_SECONDS:
            return None
        return ends[0] * 0.9, min(ends[1] * 1.1, ETA_MAX_SECONDS)


class PeerMeters:
    """What came from and went to one peer."""

    def __init__(self, now: float) -> None:
        self.incoming = Meter(now)
        self.outgoing = Meter(now)

    def sample(self, now: float) -> None:
        """Sample both directions."""
        self.incoming.sample(now)
        self.outgoing.sample(now)


class Meters:
    """All meters of an engine: one for the whole, two a peer. Peers appear when first counted."""

    def __init__(self, now: float) -> None:
        self._lock = threading.Lock()
        self._peers: dict[str, PeerMeters] = {}
        self._counters: dict[str, tuple[int, int]] = {}
        self._now = now
        self.overall = Meter(now)

    def peer(self, name: str) -> PeerMeters:
        """The meters of one peer, made at the first call."""
        with self._lock:
            found = self._peers.get(name)
            if found is None:
                found = self._peers[name] = PeerMeters(self._now)
            return found

    def counted(self, peer: str, incoming: int, outgoing: int) -> None:
        """What has passed to and from a peer since it was made; the ticker hands it in. Counters
        that begin anew (the entry changed) are no flow backwards."""
        meters = self.peer(peer)
        before = self._counters.get(peer, (incoming, outgoing))
        self._counters[peer] = (incoming, outgoing)
        meters.incoming.add(max(0, incoming - before[0]))
        meters.outgoing.add(max(0, outgoing - before[1]))

    def sample(self, now: float) -> None:
        """Sample all meters. The ticker calls it ten times a second."""
        with self._lock:
            self._now = now
            peers = list(self._peers.values())
        self.overall.sample(now)
        for meters in peers:
            meters.sample(now)
