"""`Work` on a real volume: the one place where the engine knows what verbs look like."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final

from globofs.engine.queue import Item
from globofs.engine.work import PeerFacts, Steering
from globofs.events import Emit, PeerSeen
from globofs.format.names import is_below
from globofs.peerio.peer import Peer
from globofs.snapshots import Status
from globofs.store.announce import announce
from globofs.store.query import View
from globofs.store.state import Wish
from globofs.store.views import Entry
from globofs.sync.missing import pending_manifests
from globofs.sync.peer_notes import note_seen
from globofs.sync.prune import acknowledge_prunes, collect_due
from globofs.sync.pull import Wanted
from globofs.sync.receive import Claims
from globofs.sync.round import PeerMemory, sync_round
from globofs.volume import Volume

OWED_PAGE: Final = 500
NOTE_SECONDS: Final = 30.0


class VolumeWork:
    """`Work` on a real volume."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        self._node = volume.node
        self._lock = threading.Lock()
        self._memories: dict[tuple[str, str, str], PeerMemory] = {}
        self._claims = Claims()
        self._noted: dict[str, tuple[object, float]] = {}
        self._owed_row = 0  # rows of the index up to here were looked at for what a keeper owes
        self._owed_index: object = None

    @property
    def readonly(self) -> str:
        """Why nothing can be written here; "" when it can."""
        return self._node.readonly_reason if self._node.readonly else ""

    @property
    def uuid(self) -> str:
        """This node."""
        return self._node.uuid

    @property
    def poll_seconds(self) -> float:
        """The config's `poll`."""
        return self._node.config.poll_seconds

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
        return self._node.locks.sync.try_exclusive()

    def leader(self) -> str:
        """Who holds `lock/sync`, in words."""
        return self._node.locks.sync.holder()

    def announce(self) -> None:
        """Say in the journal who this node is; one without peers has nobody to tell."""
        if len(self.volume.peers):
            announce(self._node)

    # --- peers ----------------------------------------------------------------------------------

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
        """One round of push and receive with a peer; what came is applied."""
        found = self.volume.peers[peer]
        key = (found.name, found.uuid, found.path)
        with self._lock:
            memory = self._memories.setdefault(key, PeerMemory())
        done = sync_round(self._node, found, memory, emit, cancelled=cancelled, claims=self._claims)
        if done.fetched:
            self.catch_up(emit)
            self._claims.clear()
        self._remember(found, done.seen)
        return done.seen

    def catch_up(self, emit: Emit) -> None:
        """Apply whatever lies in `upstream/`, and build it into `root/`."""
        self._node.catch_up(emit=emit)
        self._node.finish(emit=emit)

    # --- figures and wishes ---------------------------------------------------------------------

    def change_mark(self) -> object:
        """Differs after any process changed the index, or what is odd here became another thing."""
        self._node.index.refresh()
        return self._node.index.change_mark(), self._node.warnings

    def status(self) -> Status:
        """The volume's figures."""
        return self.volume.status()

    def steering(self) -> Steering:
        """Pauses and wishes as they stand in `state/`."""
        state = self._node.state
        pauses = state.pauses()
        return Steering(
            paused_all=pauses.everything,
            paused_peers=pauses.peers,
            paused_paths=pauses.paths,
            wanted=(*state.wanted(), *state.pins()),
        )

    def pause(self, what: str | bytes | None, paused: bool) -> None:
        """Write a pause, or take it back."""
        if paused:
            self._node.state.pause(what)
        else:
            self._node.state.resume(what)

    # --- what is wanted -------------------------------------------------------------------------

    def wanted(self, below: bytes = b"", *, fresh: bool = True) -> Iterator[Item]:
        """Everything wanted and not here, at or below a path."""
        view = self.volume.view()
        state = self._node.state
        for manifest in pending_manifests(self._node):
            if is_below(manifest.path, below):
                key = f"manifest:{manifest.id.hex()}"
                yield Item(key, manifest.path, manifest.size, handle=manifest)
        for pin in state.pins():
            for top in _overlap(pin, below):
                yield from _missing(view, top)
        for wish in state.wanted():
            yield from self._wish(view, wish, below)
        if not self._node.config.cacheonly:
            yield from self._owed(below, fresh)

    def _wish(self, view: View, wish: Wish, top: bytes) -> Iterator[Item]:
        if wish.kind == "version":
            version = view.version_by_id(wish.id)
            if version is not None and version.missing and is_below(version.path, top):
                yield _item(version.id, version.path, version.row, version.node, version.size, 0)
            return
        for start in _overlap(wish.path, top):
            yield from _missing(view, start)
            if wish.kind == "history":
                yield from self._history(start)

    def _history(self, top: bytes) -> Iterator[Item]:
        """Old versions at or below a path that are not all here."""
        yield from self._versions("1", (), top, 0)

    def _owed(self, top: bytes, fresh: bool) -> Iterator[Item]:
        """A keeper keeps what nodes that keep nothing wrote."""
        index = self._node.index
        nodes = [
            info.uuid for info in index.nodes() if info.cacheonly and info.uuid != self._node.uuid
        ]
        if not nodes:
            return
        generation = index.change_mark()[0]
        if fresh or generation != self._owed_index:
            self._owed_index, self._owed_row = generation, 0
        marks = ",".join("?" * len(nodes))
        start = 0 if top else self._owed_row
        for item in self._versions(f"v.node IN ({marks})", tuple(nodes), top, start):
            if not top and isinstance(item.handle, tuple):
                self._owed_row = max(self._owed_row, int(item.handle[0]))
            yield item

    def _versions(
        self, where: str, args: tuple[object, ...], top: bytes, row: int
    ) -> Iterator[Item]:
        """Versions that are not all here, in the order in which the index came to know them."""
        sql = (
            "SELECT v.row, v.id, p.path, v.node, v.size, v.lacking FROM version v"
            " JOIN path p ON p.no = v.path"
            f" WHERE v.row > ? AND v.missing > 0 AND v.pending = 0 AND v.pruned = 0 AND {where}"
            f" ORDER BY v.row LIMIT {OWED_PAGE}"
        )
        while True:
            rows = self._node.index.rows(sql, (row, *args))
            for row, version, path, node, size, lacking in rows:
                if is_below(path, top):
                    yield _item(version, path, row, node, size, lacking)
            if len(rows) < OWED_PAGE:
                return

    def wanted_totals(self) -> tuple[int, int] | None:
        """Blocks and bytes wanted, where the index has counted them."""
        state = self._node.state
        wishes = state.wanted()
        if any(wish.kind != "mirror" for wish in wishes):
            return None
        view = self.volume.view()
        tops = {wish.path for wish in wishes} | set(state.pins())
        blocks = size = 0
        for top in tops:
            if any(top != other and is_below(top, other) for other in tops):
                continue
            entry = view.entry(top)
            if entry is not None:
                blocks, size = blocks + entry.missing, size + entry.missing_bytes
        return blocks, size

    def fetch(
        self, items: Sequence[Item], emit: Emit, cancelled: Callable[[], bool]
    ) -> Mapping[str, str]:
        """Pull the missing blocks of some items, sixteen and more at once."""
        view = self.volume.view()
        puller = self.volume.puller
        wanted: list[Wanted] = []
        manifests = 0
        for item in items:
            if isinstance(item.handle, Wanted):
                wanted.append(item.handle)
                manifests += 1
                continue
            row, node = item.handle if isinstance(item.handle, tuple) else (0, "")
            wanted += [
                Wanted(block.id, block.size, item.path, node)
                for block, held in view.blocks_of(int(row))
                if not held
            ]
        done = puller.fetch(wanted, cancelled=cancelled, emit=emit)
        if manifests and done.blocks:
            self._node.catch_up(emit=emit)  # now it is known what those versions hold
        lacking: dict[bytes, list[Wanted]] = {}
        for block in done.missing:
            lacking.setdefault(block.path, []).append(block)
        return {
            item.key: puller.missing(found[0], len(found)).message
            for item in items
            if (found := lacking.get(item.path))
        }

    def upkeep(self, emit: Emit, cancelled: Callable[[], bool]) -> None:
        """Prunes are answered and what they freed is collected; a cacheonly node lets go of what
        it has not used for `cachetime`."""
        acknowledge_prunes(self._node, emit=emit)
        collect_due(self._node, emit=emit, cancelled=cancelled)
        config = self._node.config
        if config.cacheonly and config.cachetime_seconds is not None:
            self.volume.evict(emit=emit, cancelled=cancelled)

    def listen(self, emit: Emit, paused: Callable[[str], bool]) -> None:
        """Tell `emit` of the blocks that this process pulls, and leave `paused` peers alone."""
        self.volume.puller.emit = emit
        self.volume.puller.paused = paused

    def _remember(self, peer: Peer, seen: PeerSeen) -> None:
        """Keep what was seen for commands that touch no peer: news at once, the rest seldom."""
        now = time.monotonic()
        news = (seen.state, seen.reason, seen.outgoing, seen.incoming)
        known, at = self._noted.get(peer.uuid, (None, 0.0))
        if known != news or now - at > NOTE_SECONDS:
            self._noted[peer.uuid] = (news, now)
            note_seen(self._node, peer, seen)


def _overlap(one: bytes, other: bytes) -> tuple[bytes, ...]:
    """The deeper of two paths where one lies below the other; nothing where they are apart."""
    if is_below(one, other):
        return (one,)
    return (other,) if is_below(other, one) else ()


def _missing(view: View, top: bytes) -> Iterator[Item]:
    """Current files at or below a path that are not all here: directories in which nothing is
    missing are not entered."""
    entry = view.entry(top)
    if entry is None:
        return
    stack: list[Iterator[Entry]] = [iter((entry,))]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
        elif not found.missing:
            continue
        elif found.kind == "directory":
            stack.append(iter(view.children(found.path)))
        elif found.row:
            yield _item(
                found.version, found.path, found.row, found.node, found.size, found.missing_bytes
            )


def _item(version: bytes, path: bytes, row: int, node: str, size: int, lacking: int) -> Item:
    return Item(version.hex(), path, lacking or size, max(0, size - (lacking or size)), (row, node))
