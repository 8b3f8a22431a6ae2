"""What the engine asks of a volume, and nothing else: so that tests can script it.

`engine.adapter` answers from a real `Volume`. Methods that may wait for a peer say so; all others
touch this node's own directory at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from globofs.engine.queue import Item
from globofs.events import Emit, PeerSeen
from globofs.snapshots import Status


@dataclass(frozen=True, slots=True)
class PeerFacts:
    """A configured peer, and what its directory has let through so far."""

    name: str
    uuid: str
    path: str
    send: bool = False
    bytes_in: int = 0
    bytes_out: int = 0
    latency_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Steering:
    """What the user has asked for, as it lies in `state/`: survives restarts."""

    paused_all: bool = False
    paused_peers: frozenset[str] = frozenset()
    paused_paths: frozenset[bytes] = frozenset()
    wanted: tuple[object, ...] = field(default_factory=tuple)  # compared only


class Work(Protocol):
    """One node's volume as the engine sees it. All methods may be called from any thread."""

    @property
    def readonly(self) -> str:
        """Why nothing can be written here; "" when it can."""
        ...

    @property
    def uuid(self) -> str:
        """This node."""
        ...

    @property
    def poll_seconds(self) -> float:
        """The interval between rounds where nothing announces changes."""
        ...

    def directory(self, name: str = "") -> str:
        """The node's directory, or `upstream`, `state`, `run` below it."""

    def present(self) -> str:
        """Why the volume is not there any more; "" while it is."""

    def lead(self) -> AbstractContextManager[bool]:
        """Hold `lock/sync` if it is free; yields whether it is ours. One thread enters and
        leaves it."""

    def leader(self) -> str:
        """Who holds `lock/sync` when it is not us, in words."""
        ...

    def announce(self) -> None:
        """Say in the journal who this node is, if that is not said yet. Before the first round."""

    def peers(self) -> tuple[PeerFacts, ...]:
        """The configured peers; never waits for one."""

    def reload_peers(self) -> None:
        """Read the peers' entries anew."""

    def round(self, peer: str, emit: Emit, cancelled: Callable[[], bool]) -> PeerSeen:
        """One round of push and receive with a peer. May wait for it, and raise."""

    def catch_up(self, emit: Emit) -> None:
        """Apply whatever lies in `upstream/`."""

    def change_mark(self) -> object:
        """Differs after any process changed the index; compare within one thread."""

    def status(self) -> Status:
        """The volume's figures."""

    def steering(self) -> Steering:
        """Pauses and wishes as they stand in `state/`."""

    def pause(self, what: str | bytes | None, paused: bool) -> None:
        """Write a pause of a peer (str), a path (bytes) or everything (None), or take it back."""

    def wanted(self, below: bytes = b"", *, fresh: bool = True) -> Iterator[Item]:
        """Everything wanted and not here, at or below a path; read as it is iterated. What a
        keeper owes may be left out when it came before, unless asked `fresh`."""

    def wanted_totals(self) -> tuple[int, int] | None:
        """Blocks and bytes of that as the index counts them; None when only iterating tells."""

    def fetch(
        self, items: Sequence[Item], emit: Emit, cancelled: Callable[[], bool]
    ) -> Mapping[str, str]:
        """Pull the missing blocks of some items, many at once; reasons by the keys of those that
        could not be had. May wait for peers. Ends early when cancelled."""

    def upkeep(self, emit: Emit, cancelled: Callable[[], bool]) -> None:
        """What a node does now and then: a cacheonly one lets go of what it need not keep."""

    def listen(self, emit: Emit, paused: Callable[[str], bool]) -> None:
        """Tell `emit` of the blocks that this process pulls, and leave `paused` peers alone."""
