"""The peers of a node: one `Peer` with a pool of its own for each entry of the volume."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from globofs import limits
from globofs.errors import BadConfig, NoSuchPeer
from globofs.peerio.peer import Peer
from globofs.peerio.pool import PeerPool
from globofs.store.node import Node


class Peers:
    """All peers, in order of their names. Thread safe; making it touches no peer."""

    def __init__(
        self, node: Node, *, inline: bool = False, threads: int = limits.PEER_THREADS
    ) -> None:
        self._node = node
        self.inline = inline
        self._threads = threads
        self._lock = threading.Lock()
        self._peers: dict[str, Peer] = {}
        self.problems: tuple[BadConfig, ...] = ()
        """Entries whose config cannot be understood; the others work without them."""
        self.reload()

    def reload(self) -> None:
        """Read the entries anew; peers whose entry did not change keep what is known of them."""
        problems: list[BadConfig] = []
        entries = {entry.name: entry for entry in self._node.peer_entries(problems)}
        with self._lock:
            self.problems = tuple(problems)
            for name, peer in list(self._peers.items()):
                known = entries.get(name)
                if known is None or known.config != peer.entry.config:
                    peer.pool.close()
                    del self._peers[name]
            for name, entry in entries.items():
                if name not in self._peers:
                    pool = PeerPool(self._threads, self.inline, name)
                    self._peers[name] = Peer(entry, pool, self._node.clock)

    def __iter__(self) -> Iterator[Peer]:
        with self._lock:
            return iter([self._peers[name] for name in sorted(self._peers)])

    def __len__(self) -> int:
        return len(self._peers)

    def __getitem__(self, name: str) -> Peer:
        """The peer of that name, or with that uuid. Raises `NoSuchPeer`."""
        peer = self.get(name)
        if peer is None:
            known = ", ".join(sorted(self._peers)) or "none"
            raise NoSuchPeer(name=name, known=known)
        return peer

    def get(self, name: str) -> Peer | None:
        """The peer of that name, or with that uuid; None when there is none."""
        with self._lock:
            return self._peers.get(name) or next(
                (peer for peer in self._peers.values() if peer.uuid == name), None
            )

    def close(self) -> None:
        """End the idle threads; never waits for a peer."""
        with self._lock:
            for peer in self._peers.values():
                peer.pool.close()
