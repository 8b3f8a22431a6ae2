"""Steering: pause, bump, retry, poke; obeyed here when this process leads, else handed on."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final

from globofs.engine.local import Local
from globofs.engine.loops import PeerLoops
from globofs.engine.pulls import Pulls
from globofs.engine.queue import Queue
from globofs.engine.runfiles import Request, RunFiles
from globofs.engine.work import Steering, Work

BUMPED_MAX: Final = 2000  # items brought forward at once; the rest follow as these are done


class Desk:
    """Takes requests from any thread and returns at once; what reads the index or writes to
    `state/` runs in the local thread."""

    def __init__(
        self,
        work: Work,
        files: RunFiles,
        *,
        queue: Queue,
        pulls: Pulls,
        loops: PeerLoops,
        local: Local,
        leads: Callable[[], bool],
        now_ns: Callable[[], int],
    ) -> None:
        self._work = work
        self._files = files
        self._queue = queue
        self._pulls = pulls
        self._loops = loops
        self._local = local
        self._leads = leads
        self._now_ns = now_ns

    def ask(self, request: Request) -> None:
        """Do it, or have it done by the process that leads."""
        if self._leads():
            self.obey(request)
        else:
            self._local.do(lambda: self._hand_on(request))

    def _hand_on(self, request: Request) -> None:
        self._files.ask(request)

    def pause(self, what: str | bytes | None, paused: bool) -> None:
        """Write the pause (or its end) where it lasts, then have it noticed."""

        def write() -> None:
            self._work.pause(what, paused)
            self.ask(Request("steered"))

        self._local.do(write)

    def obey(self, request: Request) -> None:
        """Act on a request; only the engine that leads does."""
        if request.verb == "poke":
            self._loops.poke([request.peer] if request.peer else None, force=True)
            self._local.hint()
        elif request.verb == "retry":
            self._queue.retry()
            self._loops.poke(force=True)
            self._pulls.poke(fresh=True)
            self._pulls.wake()
        elif request.verb == "bump" and request.path is not None:
            path = request.path
            self._local.do(lambda: self._bump(path))
        elif request.verb in ("pause", "resume"):
            what = request.path if request.path is not None else request.peer or None
            self.pause(what, request.verb == "pause")
        else:
            self._local.hint()

    def _bump(self, path: bytes) -> None:
        """What has not reached the queue yet is read from the index first."""
        page = list(itertools.islice(self._work.wanted(path), BUMPED_MAX))
        self._queue.offer(page, self._now_ns())
        self._queue.bump(path)
        self._pulls.wake()

    def steered(self, steering: Steering) -> None:
        """Pauses or wishes have changed; called in the local thread."""
        everything = frozenset((b"",)) if steering.paused_all else frozenset()
        self._queue.set_pauses(steering.paused_paths | everything)
        self._loops.steer()
        self._queue.forget()
        self._pulls.poke(fresh=True)

    def paused(self, peer: str) -> bool:
        """Whether a pause covers the peer."""
        steering = self._local.steering
        return steering.paused_all or peer in steering.paused_peers
