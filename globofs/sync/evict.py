"""`evict`: let go of blocks that others safely hold; `copies`: who holds what.

Only a node with `cacheonly=yes` evicts, only keepers count as copies, and each of them must be
seen to hold the block twice, a minute apart (`_keepers`). Any doubt keeps the block.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Final

from globofs.errors import PeerError, PeerStuck, Unsupported
from globofs.events import Cancelled, Emit, Note, Problem, Progress, ignore, never
from globofs.format import names
from globofs.limits import SECOND_NS
from globofs.peerio.peers import Peers
from globofs.store.announce import announce
from globofs.store.intent import living
from globofs.store.node import Node
from globofs.store.portions import chunks, marks
from globofs.store.query import View
from globofs.sync._keepers import Keeper, Needs, Sightings, keepers, needs_of
from globofs.sync._versions import live_at
from globofs.sync.results import CopyCount, EvictResult
from globofs.sync.suggest import no_such_path

BATCH: Final = 500
_NAP_SECONDS: Final = 0.2


def evict(
    node: Node,
    peers: Peers,
    path: bytes = b"",
    *,
    dry_run: bool = False,
    patient: bool = False,
    emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> EvictResult:
    """Let go of blocks of files at and below `path` that keepers hold, and say what stays and why.

    A first run only looks; a second one, at least a minute later, deletes what it finds there
    again. On a full disk the first look can only be remembered by this process: `patient` waits
    here for the second. Raises Unsupported on a keeper, NoSuchPath.
    """
    node.writable()
    node.reload()
    if not node.config.cacheonly:
        raise Unsupported(what="evict", reason="this node is a keeper (cacheonly=no in its config)")
    view = View(node)
    if path and view.entry(path, deleted=True) is None:
        raise no_such_path(view, path)
    # Until keepers know that this node keeps nothing, they may count on its copies.
    announce(node)
    found, others = keepers(node, peers)
    problems = tuple(Problem(b"", reason, warning=True) for _, reason in others)
    run = _Evicting(node, found, dry_run, emit)
    run.look(path, cancelled)
    if not run.sightings.save() and patient and run.next_at is not None and not dry_run:
        emit(Note("the disk is full, so that nothing can be noted: the second look is in a minute"))
        while node.clock.now_ns() < run.next_at and not cancelled():
            node.clock.sleep(_NAP_SECONDS)
        run.look(path, cancelled)
        run.sightings.save()
    return EvictResult(
        blocks=run.blocks,
        bytes=run.bytes,
        waiting=run.waiting,
        next_at=run.next_at,
        kept=tuple(sorted(run.kept.items())),
        dry_run=dry_run,
        problems=problems,
    )


def _candidates(node: Node, path: bytes) -> Iterator[bytes]:
    """Held blocks that versions at and below `path` use. Not manifests, which stay for ever: one
    that was waited for is in use by its version, too."""
    last = 0
    below = path + b"/"
    sql = (
        "SELECT DISTINCT b.no, b.id FROM block b JOIN use u ON u.block = b.no"
        " JOIN version v ON v.row = u.version JOIN path p ON p.no = v.path"
        " WHERE b.held = 1 AND NOT EXISTS (SELECT 1 FROM version m WHERE m.id = b.id)"
        " AND b.no > ? AND (? = x'' OR p.path = ? OR substr(p.path, 1, ?) = ?)"
        " ORDER BY b.no LIMIT 5000"
    )
    while rows := node.index.rows(sql, (last, path, path, len(below), below)):
        last = rows[-1][0]
        for _, block in rows:
            yield block


class _Evicting:
    """One run over the candidates."""

    def __init__(self, node: Node, found: list[Keeper], dry_run: bool, emit: Emit) -> None:
        self.node = node
        self.keepers = found
        self.copies = node.config.copies
        self.dry_run = dry_run
        self.emit = emit
        self.sightings = Sightings(node)
        self.blocks = 0
        self.bytes = 0
        self.waiting = 0
        self.next_at: int | None = None
        self.kept: dict[str, int] = {}
        self._pins = node.state.pins()
        mounts = living(os.path.join(node.directory, "state", "open"))
        self._open = sorted({path for mount in mounts for path in mount.open})
        node.blocks.uses.tell()
        self._unused_before = node.clock.now_ns() - int(
            (node.config.cachetime_seconds or 0) * SECOND_NS
        )

    def look(self, path: bytes, cancelled: Cancelled) -> None:
        """Look at all candidates at and below `path`; what is kept is counted anew."""
        self.waiting, self.next_at = 0, None
        self.kept.clear()
        for batch in chunks(_candidates(self.node, path), BATCH):
            if cancelled():
                break
            self.batch(batch)

    def batch(self, blocks: Sequence[bytes]) -> None:
        """Look at some candidates, delete those that may go."""
        free = self._free(blocks)
        needs = needs_of(self.node, free)
        safe = [block for block in free if self._is_safe(needs[block])]
        if safe and not self.dry_run:
            # Alone: nobody may skip storing one of these as held while it goes.
            with self.node.locks.adders.exclusive():
                self.node.catch_up(emit=self.emit)
                if not self.node.config.cacheonly:
                    return  # another client made this node a keeper meanwhile
                now = needs_of(self.node, safe)  # or used one again, which no keeper knows yet
                safe = [block for block in safe if now.get(block) == needs[block]]
                safe = self._free(safe, count=False)
                for block in safe:
                    self.sightings.forget(block, self.keepers)
                freed = self.node.blocks.remove(safe)
            self.bytes += freed
        elif safe:
            self.bytes += sum(needs[block].size for block in safe)
        self.blocks += len(safe)
        self.emit(Progress("evict", files=self.blocks, bytes=self.bytes))

    def _keep(self, reason: str, count: int = 1) -> None:
        self.kept[reason] = self.kept.get(reason, 0) + count

    def _free(self, blocks: Sequence[bytes], count: bool = True) -> list[bytes]:
        """Those of `blocks` that are held, unpinned, not open and unused for long enough."""
        pinned = self._below(blocks, self._pins) if self._pins else set()
        being_read = self._below(blocks, self._open) if self._open else set()
        found: list[bytes] = []
        for chunk in chunks(blocks):
            sql = f"SELECT id, last_use FROM block WHERE held = 1 AND id IN ({marks(chunk)})"
            for block, last_use in self.node.index.rows(sql, chunk):
                if block in pinned:
                    reason = "pinned"
                elif block in being_read:
                    reason = "open through a mount"
                elif last_use > self._unused_before:
                    reason = "used not long ago"
                else:
                    found.append(block)
                    continue
                if count:
                    self._keep(reason)
        return found

    def _below(self, blocks: Sequence[bytes], tops: Sequence[bytes]) -> set[bytes]:
        """Those of `blocks` that versions at and below one of these paths use."""
        found: set[bytes] = set()
        for chunk in chunks(blocks):
            sql = (
                "SELECT DISTINCT b.id, p.path FROM block b JOIN use u ON u.block = b.no"
                " JOIN version v ON v.row = u.version JOIN path p ON p.no = v.path"
                f" WHERE b.id IN ({marks(chunk)})"
            )
            for block, path in self.node.index.rows(sql, chunk):
                if any(names.is_below(path, top) for top in tops):
                    found.add(block)
        return found

    def _is_safe(self, needs: Needs) -> bool:
        """Whether enough keepers hold a block, each seen twice."""
        knowing = [keeper for keeper in self.keepers if keeper.knows(needs.records)]
        if len(knowing) < self.copies:
            few = len(self.keepers) < self.copies
            reason = "too few keepers reachable" if few else "not yet acknowledged by a keeper"
            self._keep(reason)
            return False
        sure = 0
        again: list[int] = []
        for keeper in knowing:
            try:
                when = self.sightings.look(keeper, needs)
            except PeerStuck as error:
                self.keepers.remove(keeper)
                self.emit(Note(error.message, keeper.peer.name, warning=True))
                continue
            if when == 0:
                sure += 1
            elif when is not None:
                again.append(when)
            if sure >= self.copies:
                return True
        if sure + len(again) >= self.copies:
            self.waiting += 1
            ready = sorted(again)[self.copies - sure - 1]
            self.next_at = ready if self.next_at is None else min(self.next_at, ready)
        else:
            self._keep("no keeper was seen to hold it")
        return False


# --- copies -------------------------------------------------------------------------------------


def copies(
    node: Node, peers: Peers, path: bytes, *, cancelled: Cancelled = never
) -> list[CopyCount]:
    """How much of the current content at and below `path` each node holds; peers are asked.

    Of nodes that are no peer of this one nothing is known but whether they keep everything.
    Raises NoSuchPath.
    """
    view = View(node)
    blocks: dict[bytes, bool] = {}
    for entry in live_at(view, path):
        for block, held in view.blocks_of(entry.row):
            blocks[block.id] = held
    total = len(blocks)
    announced = {info.uuid: info for info in node.index.nodes()}
    here = sum(blocks.values())
    keeper = not node.config.cacheonly
    found = [CopyCount(node.uuid, node.name, keeper, here, total, "here")]
    for peer in peers:
        if cancelled():
            break
        info = announced.get(peer.uuid)
        told: bool | None = None if info is None else not info.cacheonly
        name = info.name if info is not None and info.name else peer.name
        try:
            lacking = sum(len(peer.lacks(chunk)) for chunk in chunks(blocks, BATCH))
            found.append(CopyCount(peer.uuid, name, told, total - lacking, total, "seen"))
        except PeerError as error:
            found.append(CopyCount(peer.uuid, name, told, 0, total, "offline", error.message))
    asked = {count.node for count in found}
    for info in announced.values():
        if info.uuid not in asked and not info.retired:
            words = "no peer of this node"
            name = info.name or info.uuid[:8]
            keeper = not info.cacheonly
            found.append(CopyCount(info.uuid, name, keeper, 0, total, "expected", words))
    return found
