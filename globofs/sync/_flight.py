"""Blocks on their way: a `Flight` is shared by all who wait for it, a `Driver` is one who waits.

Nobody owns a flight. Whoever waits for it takes its steps (`Puller.step`), so one that a caller
has lost interest in does not hold up another.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from globofs.errors import Interrupted
from globofs.events import Cancelled, Emit, Problem, never
from globofs.peerio.peer import Peer
from globofs.peerio.pool import Call

if TYPE_CHECKING:
    from globofs.errors import ContentMissing
    from globofs.store.node import Node

_WAIT_SECONDS = 0.1  # the longest a cancelled caller waits

Pulled = tuple[bytes, str, bytes]
"""A block as its peer stores it, its suffix, and its plain bytes, verified."""


class Wanted(NamedTuple):
    """A block to pull: its id and plain size, and for whom: the path and the writing node."""

    id: bytes
    size: int
    path: bytes = b""
    node: str = ""


class Flight:
    """One block on its way. `step` may be called by anybody who waits for it."""

    def __init__(self, wanted: Wanted, candidates: list[Peer]) -> None:
        self.wanted = wanted
        self.candidates = candidates
        self.calls: list[tuple[Peer, Call[Pulled | None]]] = []
        self.events: list[threading.Event] = []
        self.interest = 0
        self.lock = threading.Lock()
        self.done = False
        self.plain: bytes | None = None
        self.unkept: OSError | None = None  # why it could not be kept here, though it came
        self.reasons: list[str] = []
        self.hedge_at = 0.0

    def heard(self, began: float) -> float:
        """When somebody who is asked last gave a sign of life; `began` if nobody did since."""
        with self.lock:
            calls = list(self.calls)
        signs = [max(call.heard or 0.0, peer.pool.answered) for peer, call in calls]
        return max([began, *signs])


class Steps(Protocol):
    """Who takes flights a step further; `pull.Puller` is the one that does."""

    @property
    def node(self) -> Node:
        """The node that blocks are pulled for."""

    @property
    def emit(self) -> Emit:
        """Who hears of what went wrong on the way."""

    def join(self, wanted: Wanted, event: threading.Event) -> Flight:
        """The flight of a block, begun if it is not; `event` is set when something happens."""

    def leave(self, flight: Flight) -> None:
        """One less is interested."""

    def step(self, flight: Flight) -> bool:
        """Do what can be done without waiting; whether it has ended."""

    def missing(self, wanted: Wanted, *, reasons: Sequence[str] = ()) -> ContentMissing:
        """The error for a block that nobody brought."""


class Driver:
    """One caller that waits for flights. Not for several threads."""

    def __init__(self, puller: Steps, cancelled: Cancelled = never) -> None:
        self.puller = puller
        self.cancelled = cancelled
        self._event = threading.Event()
        self._joined: list[Flight] = []

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def start(self, wanted: Wanted) -> Flight:
        """Begin to pull a block and return at once."""
        flight = self.puller.join(wanted, self._event)
        self._joined.append(flight)
        self.puller.step(flight)
        return flight

    def wait(self, flights: list[Flight]) -> list[Flight]:
        """Those of `flights` that ended, after a moment of waiting if none had."""
        ended = [flight for flight in flights if self.puller.step(flight)]
        if not ended:
            self._event.wait(_WAIT_SECONDS)
            self._event.clear()
            ended = [flight for flight in flights if self.puller.step(flight)]
        for flight in ended:
            self._release(flight)
        return ended

    def bytes_of(self, flight: Flight, patience: float = math.inf) -> bytes:
        """Wait for one block. Raises `Interrupted`, and `ContentMissing` when nobody holds it, or
        when none of the peers that were asked gave a sign of life for `patience` seconds."""
        began = self.puller.node.clock.monotonic()
        reasons = flight.reasons
        while not self.puller.step(flight):
            if self.cancelled():
                raise Interrupted()
            self._event.wait(min(_WAIT_SECONDS, patience))
            self._event.clear()
            if self.puller.node.clock.monotonic() - flight.heard(began) > patience:
                silent = [peer.name for peer, _ in flight.calls]
                reasons = [*reasons, f"{', '.join(silent)}: no answer for {patience:g} s"]
                break
        plain = flight.plain
        self._release(flight)
        for text in flight.reasons:
            self.puller.emit(Problem(flight.wanted.path, text, warning=True))
        if flight.unkept is not None:
            text = f"was read and not kept here: {flight.unkept.strerror}"
            self.puller.emit(Problem(flight.wanted.path, text, warning=True))
        if plain is None:
            raise self.puller.missing(flight.wanted, reasons=reasons)
        return plain

    def drop(self, flight: Flight) -> None:
        """Stop waiting for one block."""
        self._release(flight)

    def close(self) -> None:
        """Stop waiting. What is on its way for others goes on."""
        for flight in list(self._joined):
            self._release(flight)
        if not self.puller.node.readonly:
            self.puller.node.blocks.flush()

    def _release(self, flight: Flight) -> None:
        if flight in self._joined:
            self._joined.remove(flight)
            self.puller.leave(flight)
