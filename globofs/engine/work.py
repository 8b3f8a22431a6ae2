"""What the engine asks of a volume, and nothing else: so that tests can script it.

`VolumeWork` answers from a real `Volume`. Methods that may wait for a peer say so; all others
touch this node's own directory at most.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from globofs.engine.queue import Item
from globofs.events import Emit, PeerSeen, Status

if TYPE_CHECKING:
    from globofs.volume import Volume


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

    @property
    def uuid(self) -> str:
        """This node."""

    @property
    def poll_seconds(self) -> float:
        """The interval between rounds where nothing announces changes."""

    def directory(self, name: str = "") -> str:
        """The node's directory, or `upstream`, `state`, `run` below it."""

    def present(self) -> str:
        """Why the volume is not there any more; "" while it is."""

    def lead(self) -> AbstractContextManager[bool]:
        """Hold `lock/sync` if it is free; yields whether it is ours. One thread enters and
        leaves it."""

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

    def wanted(self, below: bytes = b"") -> Iterator[Item]:
        """Everything wanted and not here, at or below a path; read as it is iterated."""

    def wanted_totals(self) -> tuple[int, int] | None:
        """Blocks and bytes of that as the index counts them; None when only iterating tells."""

    def fetch(
        self, items: Sequence[Item], emit: Emit, cancelled: Callable[[], bool]
    ) -> Mapping[str, str]:
        """Pull the missing blocks of some items, many at once; reasons by the keys of those that
        could not be had. May wait for peers. Ends early when cancelled."""

    def upkeep(self, emit: Emit, cancelled: Callable[[], bool]) -> None:
        """What a node does now and then: a cacheonly one lets go of what it need not keep."""

    def listen(self, emit: Emit) -> None:
        """Tell `emit` of the blocks that this process's reads pull."""


class VolumeWork:
    """`Work` on a real volume."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        self._node = volume.node

    @property
    def readonly(self) -> str:
        """Why nothing can be written here; "" when it can."""
        found = self._node.readonly
        return found if isinstance(found, str) else ("opened read only" if found else "")

    @property
    def uuid(self) -> str:
        """This node."""
        return self.volume.uuid

    @property
    def poll_seconds(self) -> float:
        """The config's `poll`."""
        seconds: float = self._node.config.poll_seconds
        return seconds

    def directory(self, name: str = "") -> str:
        """The node's directory, or one below it."""
        return os.path.join(self._node.directory, name) if name else self._node.directory

    def present(self) -> str:
        """Why the volume is not there any more; "" while it is."""
        try:
            os.stat(self.directory("config"))
        except OSError as error:
            return f"{self.volume.directory}: the volume is not there any more ({error.strerror})"
        return ""

    def lead(self) -> AbstractContextManager[bool]:
        """Hold `lock/sync` if it is free."""
        attempt: AbstractContextManager[bool] = self._node.locks.sync.try_exclusive()
        return attempt

    def peers(self) -> tuple[PeerFacts, ...]:
        """The configured peers."""
        return tuple(
            PeerFacts(
                name=peer.name,
                uuid=peer.uuid,
                path=peer.path,
                send=peer.send,
                bytes_in=peer.bytes_in,
                bytes_out=peer.bytes_out,
                latency_seconds=peer.latency_seconds,
            )
            for peer in self.volume.peers
        )

    def reload_peers(self) -> None:
        """Read the peers' entries anew."""
        self.volume.peers.reload()

    def round(self, peer: str, emit: Emit, cancelled: Callable[[], bool]) -> PeerSeen:
        """One round of push and receive with a peer."""
        raise NotImplementedError

    def catch_up(self, emit: Emit) -> None:
        """Apply whatever lies in `upstream/`."""
        self._node.catch_up(emit=emit)

    def change_mark(self) -> object:
        """Differs after any process changed the index."""
        self._node.index.refresh()
        return self._node.index.change_mark()

    def status(self) -> Status:
        """The volume's figures."""
        return self.volume.status()
