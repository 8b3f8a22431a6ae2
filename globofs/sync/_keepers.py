"""Which keepers can be counted on for a block, and what they were seen to hold.

A keeper counts when it is reachable now, its own config (under the expected uuid) and its journal
both say that it keeps everything, it has acknowledged every version here that uses the block, and
it knows that this node keeps nothing. Any doubt, and it does not count.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from globofs.errors import FormatError, PeerError, PeerStuck
from globofs.format.applied import Applied, Position
from globofs.limits import EVICT_SEEN_TWICE_SECONDS, SECOND_NS
from globofs.peerio.peer import Peer
from globofs.peerio.peers import Peers
from globofs.store import fsio
from globofs.store.node import Node
from globofs.store.portions import chunks, marks
from globofs.store.state import LineFile
from globofs.sync._lost import given_up
from globofs.sync._spans import Spans

SEEN_APART_NS: Final = int(EVICT_SEEN_TWICE_SECONDS * SECOND_NS)
SEEN_FORGOTTEN_NS: Final = 24 * 3600 * SECOND_NS
"""A first look older than this is too old to count."""


class Needs(NamedTuple):
    """A block, and the newest record of each journal that a keeper must know to rely on it."""

    block: bytes
    size: int
    records: tuple[tuple[str, int], ...]


@dataclass
class Keeper:
    """A peer that keeps everything, and what it has acknowledged."""

    peer: Peer
    applied: Applied

    def knows(self, records: Sequence[tuple[str, int]]) -> bool:
        """Whether it has acknowledged all of `records` without a gap before them."""
        for origin, seq in records:
            position = self.applied.get(origin)
            if position is None or position.gapless < seq:
                return False
        return True


def keepers(node: Node, peers: Peers) -> tuple[list[Keeper], list[tuple[str, str]]]:
    """The keepers that can be asked now, and the other peers with the reason why not."""
    announced = {info.uuid: info for info in node.index.nodes()}
    leaving = _announcement(node)
    given = given_up(node)
    found: list[Keeper] = []
    others: list[tuple[str, str]] = []
    for peer in peers:
        info = announced.get(peer.uuid)
        try:
            facts = peer.read_node_config()
            applied = peer.read_applied()
        except (PeerError, FormatError) as error:
            others.append((peer.name, error.message))
            continue
        if facts.cacheonly or (info is not None and info.cacheonly):
            others.append((peer.name, f"{peer.name} is no keeper"))
        elif info is not None and info.retired:
            others.append((peer.name, f"{peer.name} is retired: it counts as gone for good"))
        elif info is None:
            others.append((peer.name, f"{peer.name} has not announced that it keeps everything"))
        elif applied is None:
            others.append((peer.name, f"{peer.name} has acknowledged nothing yet"))
        else:
            known = {of: at for of, at in applied.items() if not _is_doubtful(node, of, at)}
            keeper = Keeper(peer, _without(known, given))
            if leaving is None or not keeper.knows((leaving,)):
                others.append(
                    (
                        peer.name,
                        f"{peer.name} has not heard that this node keeps nothing; sync both",
                    )
                )
            else:
                found.append(keeper)
    return found, others


def _is_doubtful(node: Node, origin: str, position: Position) -> bool:
    """Whether what a keeper acknowledges last of a journal is another record than ours of that
    number, or is beyond what we wrote ourselves: it has heard of a copy of that node, and not, as
    far as can be told, of the node."""
    sql = "SELECT id FROM record WHERE origin = ? AND seq = ?"
    ours = {row[0] for row in node.index.rows(sql, (origin, position.received))}
    return position.hash not in ours if ours else origin == node.uuid and position.received > 0


def _without(applied: Applied, given: dict[str, Spans]) -> Applied:
    """What a keeper acknowledges, with no gaps where nobody has anything."""
    changed = {
        origin: applied[origin]._replace(gaps=tuple(Spans(applied[origin].gaps).minus(lost)))
        for origin, lost in given.items()
        if origin in applied
    }
    return {**applied, **changed}


def _announcement(node: Node) -> tuple[str, int] | None:
    """Our own record that says we are no keeper; None while there is none."""
    found = node.index.one("SELECT cacheonly, told FROM node WHERE uuid = ?", (node.uuid,))
    if found is None or not found[0] or not found[1]:
        return None
    return node.uuid, int(found[1])


def needs_of(node: Node, blocks: Sequence[bytes]) -> dict[bytes, Needs]:
    """For each block that versions use, what a keeper must have acknowledged."""
    found: dict[bytes, tuple[int, dict[str, int]]] = {}
    for chunk in chunks(blocks):
        sql = (
            "SELECT b.id, b.size, v.origin, max(v.seq) FROM block b JOIN use u ON u.block = b.no"
            f" JOIN version v ON v.row = u.version WHERE b.id IN ({marks(chunk)})"
            " GROUP BY b.id, v.origin"
        )
        for block, size, origin, seq in node.index.rows(sql, chunk):
            found.setdefault(block, (size, {}))[1][origin] = seq
    return {
        block: Needs(block, size, tuple(sorted(records.items())))
        for block, (size, records) in found.items()
    }


@dataclass
class Sightings:
    """When which keeper was first seen to hold which block: `state/seen`."""

    node: Node
    _lines: dict[str, str] = field(default_factory=dict)
    _changes: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        path = os.path.join(self.node.state.directory, "seen")
        self._file = LineFile(path, self.node.state.lock)
        self._lines = self._file.load()
        self._changes.update(self.node.state.unsaved)

    def look(self, keeper: Keeper, needs: Needs) -> int | None:
        """Look at a block at a keeper now.

        0: it was seen before, long enough ago, and is the same; else the time (ns) from which a
        second look counts; None: it is not there, or is not right.
        """
        key = f"{needs.block.hex()}:{keeper.peer.uuid}"
        try:
            size = keeper.peer.stat_block(needs.block)
        except PeerStuck:
            raise
        except (PeerError, FormatError):
            size = None
        now = self.node.clock.now_ns()
        before = self._before(key, now)
        if not size:
            self._changes[key] = None
            return None
        if before is None or before[1] != size:
            self._changes[key] = f"{now} {size}"
            return now + SEEN_APART_NS
        if now - before[0] < SEEN_APART_NS:
            return before[0] + SEEN_APART_NS
        return 0 if self._is_right(keeper, needs, size) else None

    def _before(self, key: str, now: int) -> tuple[int, int] | None:
        line = self._changes.get(key) if key in self._changes else self._lines.get(key)
        if line is None:
            return None
        when, _, size = line.partition(" ")
        try:
            found = int(when), int(size)
        except ValueError:
            return None
        return found if 0 <= now - found[0] <= SEEN_FORGOTTEN_NS else None

    def _is_right(self, keeper: Keeper, needs: Needs, size: int) -> bool:
        """The size is that of our own file of the block; where it cannot be compared (the keeper
        compresses otherwise), the whole block is read there and its SHA-256 compared."""
        own = self.node.blocks.find(needs.block)
        if own is not None:
            try:
                if os.lstat(own[0]).st_size == size:
                    return True
            except OSError:
                return False
        try:
            return keeper.peer.read_block(needs.block, needs.size) is not None
        except PeerStuck:
            raise
        except (PeerError, FormatError):
            return False

    def forget(self, block: bytes, keepers: Sequence[Keeper]) -> None:
        """A block was let go of: its sightings are history."""
        for keeper in keepers:
            self._changes[f"{block.hex()}:{keeper.peer.uuid}"] = None

    def save(self) -> bool:
        """Keep what was seen for the next time; False where the disk is full, and only this
        process remembers it. Letting go must be possible just then."""
        changes = {k: v for k, v in self._changes.items() if self._lines.get(k) != v}
        self.node.state.unsaved = changes
        if changes:
            try:
                fsio.mkdirs(self.node.state.directory)
                self._file.change(changes, durable=False)
            except OSError as error:
                if not fsio.is_full(error):
                    raise
                return False
        self.node.state.unsaved = {}
        self._lines.update({k: v for k, v in changes.items() if v is not None})
        self._changes.clear()
        return True
