"""Nodes in a temporary directory, made with the store alone, for tests of peers and of sync."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from globofs.events import Event
from globofs.format.codec import compress
from globofs.format.config import PeerConfig
from globofs.format.manifest import Block
from globofs.peerio.peers import Peers
from globofs.store.commit import Draft
from globofs.store.node import Node, create_node, open_node
from globofs.store.query import View
from globofs.store.versions import blocks_of
from globofs.sync.pull import Puller
from globofs.sync.round import PeerMemory, RoundResult, SyncResult, sync, sync_round


class Site:
    """A node with its peers, as one process would hold it."""

    def __init__(self, node: Node, inline: bool = True) -> None:
        self.node = node
        self.peers = Peers(node, inline=inline)
        self.events: list[Event] = []
        self.puller = Puller(node, self.peers, self.events.append)
        self.memories: dict[str, PeerMemory] = {}

    @property
    def directory(self) -> Path:
        return Path(self.node.directory)

    @property
    def uuid(self) -> str:
        return self.node.uuid

    def knows(
        self, other: Site, send: bool = False, path: str | None = None, name: str = ""
    ) -> None:
        """Name `other` as a peer, under its own name."""
        config = PeerConfig(other.uuid, path or other.node.volume, send)
        self.node.add_peer_entry(name or other.node.name, config)
        self.peers.reload()

    def write(self, path: str, data: bytes, piece: int = 1 << 20, **options: object) -> bytes:
        """Commit a file; returns the version's id."""
        pieces = [data[at : at + piece] for at in range(0, len(data), piece)]
        blocks = tuple(Block(sha256(item).digest(), len(item)) for item in pieces)
        draft = Draft(path.encode(), "file", len(data), 0o644, 0, b"", blocks, **options)  # type: ignore[arg-type]
        with self.node.operation("add", [path]) as operation, self.node.blocks.batch() as batch:
            for block, item in zip(blocks, pieces, strict=True):
                batch.add(block.id, block.size, *compress(item, "zstd", 1))
            batch.seal()
            done = operation.commit([draft])
            batch.close()
        return done[0].version_id

    def delete(self, path: str) -> None:
        with self.node.operation("rm", [path]) as operation:
            operation.commit([Draft(path.encode(), "deleted")])

    def sync(self, rounds: int = 0, pull: bool = False) -> SyncResult:
        return sync(
            self.node,
            self.peers,
            self.puller if pull else None,
            rounds=rounds,
            emit=self.events.append,
        )

    def round(self, name: str, **options: object) -> RoundResult:
        """One round with one peer, as the engine makes it; then what came is applied."""
        memory = self.memories.setdefault(name, PeerMemory())
        done = sync_round(self.node, self.peers[name], memory, self.events.append, **options)  # type: ignore[arg-type]
        self.node.catch_up()
        return done

    def paths(self) -> list[bytes]:
        return [entry.path for entry in View(self.node).walk() if entry.kind == "file"]

    def read(self, path: str) -> bytes:
        version = View(self.node).version(path.encode())
        assert version is not None, path
        return b"".join(self.puller.iter_version(version))

    def held(self, path: str) -> list[bool]:
        version = View(self.node).version(path.encode())
        assert version is not None, path
        return [held for _, held in blocks_of(self.node.index, version.row)]

    def close(self) -> None:
        self.peers.close()
        self.node.close()

    def reopened(self, inline: bool = True) -> Site:
        """The same node as the next process finds it."""
        self.close()
        return Site(open_node(self.node.volume), inline)


@contextmanager
def sites(
    directory: Path, *names: str, inline: bool = True, **config: object
) -> Iterator[list[Site]]:
    """Nodes called `names`, no peers yet."""
    made = [
        Site(create_node(str(directory / name), name=name, **config), inline)  # type: ignore[arg-type]
        for name in names
    ]
    try:
        yield made
    finally:
        for site in made:
            site.close()


def tree(site: Site) -> dict[bytes, tuple[str, bytes]]:
    """Every path, deleted ones too, and the version shown there."""
    rows = View(site.node).walk(deleted=True)
    return {entry.path: (entry.kind, entry.version) for entry in rows}


def versions(site: Site) -> set[bytes]:
    """The ids of all versions a node knows."""
    return {row[0] for row in site.node.index.rows("SELECT id FROM version")}
