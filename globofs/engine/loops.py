"""The round loops of all peers, kept in step with the configured entries."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from globofs.engine.rounds import PeerLoop, RoundState
from globofs.engine.work import Work
from globofs.events import Emit, PeerState


class PeerLoops:
    """One `PeerLoop` a peer, while this engine leads. Methods return at once, from any thread."""

    def __init__(
        self,
        work: Work,
        emit: Emit,
        *,
        now_ns: Callable[[], int],
        hang_seconds: float,
        paused: Callable[[str], bool],
    ) -> None:
        self._work = work
        self._emit = emit
        self._now_ns = now_ns
        self._hang = hang_seconds
        self._paused = paused
        self._lock = threading.Lock()
        self._loops: dict[str, PeerLoop] = {}
        self._stopped = False

    def follow(self, names: Iterable[str]) -> None:
        """Have a loop for each of `names`, and for nobody else."""
        wanted = set(names)
        with self._lock:
            if self._stopped:
                return
            ended = [self._loops.pop(name) for name in list(self._loops) if name not in wanted]
            fresh = [self._make(name) for name in sorted(wanted) if name not in self._loops]
            self._loops.update((loop.peer, loop) for loop in fresh)
        for loop in ended:
            loop.stop()
        for loop in fresh:
            if self._paused(loop.peer):
                loop.pause(True)
            loop.start()

    def _make(self, name: str) -> PeerLoop:
        return PeerLoop(
            name,
            self._work.round,
            poll_seconds=self._work.poll_seconds,
            emit=self._emit,
            now_ns=self._now_ns,
            hang_seconds=self._hang,
        )

    @property
    def all(self) -> list[PeerLoop]:
        """The loops, in no order that matters."""
        with self._lock:
            return list(self._loops.values())

    def poke(self, names: Iterable[str] | None = None, *, force: bool = False) -> None:
        """A round now with `names`, or with all; with `force` also with those that were away."""
        wanted = None if names is None else set(names)
        for loop in self.all:
            if wanted is None or loop.peer in wanted:
                loop.poke(force=force)

    def steer(self) -> None:
        """Pauses have changed."""
        for loop in self.all:
            loop.pause(self._paused(loop.peer))

    def states(self) -> dict[str, tuple[RoundState, PeerState, str]]:
        """What each loop knows, by the peer's name."""
        return {loop.peer: loop.state() for loop in self.all}

    @property
    def reachable(self) -> bool:
        """Whether anybody could be pulled from."""
        return any(loop.state()[1] in ("online", "readonly") for loop in self.all)

    def idle(self, count: int) -> bool:
        """Whether all `count` peers have been asked and have nothing left to hear from us."""
        loops = self.all
        return len(loops) == count and all(loop.idle for loop in loops)

    def stop(self) -> None:
        """End all loops; never waits."""
        with self._lock:
            self._stopped = True
        for loop in self.all:
            loop.stop()

    def join(self, until: float) -> bool:
        """Wait for their threads until the monotonic time `until`; False when one hangs."""
        ended = [loop.join(until - time.monotonic()) for loop in self.all]
        return all(ended)
