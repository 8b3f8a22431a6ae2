"""One thread a peer: a round of push and receive, again and again, at the right moments.

A round is due every poll interval, at once when something says so (our own journal grew, the
peer wrote to us, a user asked), soon again while the peer has not yet acknowledged what we sent,
and ever more rarely, up to a minute, while the peer is away or failing. A peer that hangs hangs its own
thread only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from globofs import errors, limits
from globofs.events import Emit, Event, PeerSeen, PeerState

NOT_ASKED: Final = "not asked yet"  # a state that says nothing of the peer
SETTLE_FIRST_SECONDS: Final = 0.1  # after a push: how soon to look for the acknowledgement
ASLEEP_LOOKS: Final = 5  # looks for an acknowledgement, about 1.5 s, after which none is expected
SPACING_SECONDS: Final = 0.02  # rounds with one peer are never closer together
HANG_SECONDS: Final = limits.PEER_CALL_SECONDS + 2.0  # a round without a sign of life: stuck

Round = Callable[[str, Emit, Callable[[], bool]], PeerSeen]


def state_of(error: BaseException) -> tuple[PeerState, str]:
    """The peer's state and the reason in words that an error of a round means."""
    reason = getattr(error, "fields", {}).get("reason") if error else None
    words = errors.printable(reason) if reason else str(error) or type(error).__name__
    if isinstance(error, errors.PeerStuck):
        return "stuck", words
    if isinstance(error, errors.PeerWrong):
        return "wrong", words
    if isinstance(error, errors.PeerReadOnly):
        return "readonly", words
    if isinstance(error, OSError):
        return "offline", error.strerror or words
    return "offline", words


def failing(seen: PeerSeen) -> bool:
    """Whether a peer is there and cannot do its part: a full disk, I/O errors."""
    return seen.state == "online" and bool(seen.reason)


@dataclass
class Schedule:
    """When the next round is due; pure arithmetic over what the rounds found."""

    poll_seconds: float
    failures: int = 0
    settling: int = 0
    outgoing: int = 0

    def after(self, seen: PeerSeen) -> float:
        """Seconds until the next round, given what the last one found."""
        if seen.state in ("online", "readonly") and not failing(seen):
            self.failures = 0
            if seen.outgoing != self.outgoing:
                self.outgoing, self.settling = seen.outgoing, 0
            if seen.outgoing and seen.state == "online":
                delay = min(SETTLE_FIRST_SECONDS * 2.0**self.settling, self.poll_seconds)
                self.settling = min(self.settling + 1, 16)
                return delay
            self.settling = 0
            return self.poll_seconds
        self.settling = 0
        delay = min(self.poll_seconds * 2.0 ** min(self.failures, 16), limits.BACKOFF_MAX_SECONDS)
        self.failures += 1
        return delay

    def sign_of_life(self) -> None:
        """Something new is to be told, or the peer was heard of: no more waiting."""
        self.failures = 0
        self.settling = 0


@dataclass
class RoundState:
    """What is known about the rounds with one peer; a copy is handed out."""

    seen: PeerSeen
    busy_since: float | None = None  # monotonic, of the round under way
    heard: float = 0.0  # monotonic, its last sign of life
    next_at: float = 0.0  # monotonic
    last_online: int | None = None  # ns
    rounds: int = 0


class PeerLoop:
    """The round loop with one peer. All methods may be called from any thread."""

    def __init__(
        self,
        peer: str,
        run: Round,
        *,
        poll_seconds: float,
        emit: Emit,
        now_ns: Callable[[], int],
        hang_seconds: float = HANG_SECONDS,
    ) -> None:
        self.peer = peer
        self._run_round = run
        self._emit = emit
        self._now_ns = now_ns
        self._hang = hang_seconds
        self._schedule = Schedule(poll_seconds)
        self._condition = threading.Condition()
        self._stopped = False
        self._paused = False
        self._poked = False
        self._state = RoundState(PeerSeen(peer, "offline", NOT_ASKED))
        self._thread = threading.Thread(target=self._loop, name=f"globofs-peer-{peer}", daemon=True)

    def start(self) -> None:
        """Begin with a round at once."""
        self._thread.start()

    def poke(self, *, force: bool = False) -> None:
        """Do a round now. Without `force`, an absent peer keeps its back-off: our own changes
        say nothing about its return."""
        with self._condition:
            if force:
                self._schedule.sign_of_life()
            elif self._schedule.failures:
                return
            self._schedule.settling = 0
            self._poked = True
            self._condition.notify_all()

    def pause(self, paused: bool) -> None:
        """Stop doing rounds, or go on. The round under way is asked to end."""
        with self._condition:
            if paused == self._paused:
                return
            self._paused = paused
            self._poked = not paused
            self._schedule.sign_of_life()
            self._condition.notify_all()

    def stop(self) -> None:
        """Ask the thread to end; never waits."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()

    def join(self, timeout: float) -> bool:
        """Wait for the thread; False when it hangs in a call that nothing can end."""
        if self._thread.is_alive():
            self._thread.join(max(0.0, timeout))
        return not self._thread.is_alive()

    @property
    def idle(self) -> bool:
        """Whether no round runs or is due at once, and the peer knows all that we know, or is
        away or asleep (it acknowledged nothing for a while), so that waiting would be in vain."""
        with self._condition:
            if self._state.busy_since is not None:
                return self._hangs(time.monotonic())
            if self._poked and not self._paused:
                return False
            if not self._state.rounds and not self._paused:
                return False
            seen = self._state.seen
            if self._paused or seen.state != "online" or failing(seen):
                return True
            asleep = self._schedule.settling >= ASLEEP_LOOKS
            return not seen.incoming and (not seen.outgoing or asleep)

    def state(self) -> tuple[RoundState, PeerState, str]:
        """What is known, with the state to show and its reason."""
        with self._condition:
            found = replace(self._state)
            if self._paused:
                return found, "paused", "paused by you"
            now = time.monotonic()
            if self._hangs(now):
                waited = now - (self._state.heard or now)
                return found, "stuck", f"its file system has not answered for {waited:.0f} s"
            return found, found.seen.state, found.seen.reason

    def _hangs(self, now: float) -> bool:
        return self._state.busy_since is not None and now - self._state.heard > self._hang

    def _cancelled(self) -> bool:
        return self._stopped or self._paused

    def _hear(self, event: Event) -> None:
        self._state.heard = time.monotonic()
        self._emit(event)

    def _loop(self) -> None:
        delay = 0.0
        while True:
            with self._condition:
                due = time.monotonic() + delay
                self._state.next_at = due
                while not self._stopped:
                    if not self._paused and self._poked:
                        break
                    left = due - time.monotonic()
                    if not self._paused and left <= 0:
                        break
                    self._condition.wait(None if self._paused else left)
                if self._stopped:
                    return
                self._poked = False
                self._state.busy_since = self._state.heard = time.monotonic()
            seen = self._once()
            with self._condition:
                self._state.busy_since = None
                self._state.seen = seen
                self._state.rounds += 1
                if seen.state in ("online", "readonly"):
                    self._state.last_online = seen.at or self._now_ns()
                delay = max(self._schedule.after(seen), SPACING_SECONDS)
            self._emit(seen)
            time.sleep(SPACING_SECONDS)

    def _once(self) -> PeerSeen:
        try:
            seen = self._run_round(self.peer, self._hear, self._cancelled)
        except Exception as error:  # whatever happens with one peer stays with it
            state, reason = state_of(error)
            return PeerSeen(self.peer, state, reason, at=self._now_ns())
        return seen
