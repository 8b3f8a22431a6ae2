"""Why something is not here, or has not got to where it should be; and the volume's status.

Every reason is a word a script can test and a sentence a person can act on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from globofs.errors import plural
from globofs.events import Cancelled, never
from globofs.format.names import is_below
from globofs.snapshots import Move, PeerStatus, Status
from globofs.store import home
from globofs.store.node import Node
from globofs.store.query import View
from globofs.store.state import Pauses
from globofs.store.views import Entry, Version
from globofs.sync.suggest import no_such_path

ReasonWord = Literal[
    "unwanted", "queued", "failed", "offline", "paused", "nobody", "evicted", "damaged", "behind", "conflict"
]  # fmt: skip
FILES_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class Reason:
    """One path, the word for its reason, and the sentence."""

    path: bytes
    reason: ReasonWord
    detail: str


def why(
    node: Node,
    peers: Iterable[PeerStatus],
    path: bytes,
    *,
    moves: Iterable[Move] = (),
    cancelled: Cancelled = never,
) -> list[Reason]:
    """Why content at and below `path` is not here, and which peers do not know of it yet.

    `moves` is the queue of the process that syncs this node, where there is one. At most `FILES_MOST` files are named; the rest is counted. Raises NoSuchPath.
    """
    view = View(node)
    if path and view.entry(path) is None and not view.history(path, follow=False):
        raise no_such_path(view, path)
    judge = _Judge(node, view, list(peers), list(moves))
    found: list[Reason] = []
    more = 0
    for entry in _lacking(view, path):
        if cancelled():
            break
        if len(found) >= FILES_MOST:
            more += 1
            continue
        found.append(judge.of(entry))
    if more:
        found.append(Reason(path, "queued", f"and {plural(more, 'more file')} below it"))
    found += judge.conflicts(path)
    found += judge.behind(path)
    return found


def _lacking(view: View, path: bytes) -> Iterator[Entry]:
    """The files at and below `path` of which something is missing; whole directories that lack
    nothing are not looked into."""
    entry = view.entry(path)
    if entry is None or not entry.missing:
        return
    if entry.kind != "directory":
        yield entry
        return
    pending = [path]
    while pending:
        for child in view.children(pending.pop()):
            if not child.missing:
                continue
            if child.kind == "directory":
                pending.append(child.path)
            else:
                yield child


class _Judge:
    """Everything that reasons follow from, read once."""

    def __init__(self, node: Node, view: View, peers: list[PeerStatus], moves: list[Move]) -> None:
        self._node = node
        self._view = view
        self._peers = peers
        self._pauses: Pauses = node.state.pauses()
        wishes = node.state.wanted()
        self._wanted = [wish.path for wish in wishes if wish.kind != "version"]
        self._wanted_ids = {wish.id for wish in wishes if wish.kind == "version"}
        self._pins = node.state.pins()
        self._moves = {move.path: move for move in moves if move.direction == "pull"}
        waiting = [move.path for move in moves if move.state == "queued"]
        self._places = {path: place for place, path in enumerate(waiting)}
        self._damaged = node.blocks.found_damaged()

    def of(self, entry: Entry) -> Reason:
        """Why `entry` is not, or not wholly, here."""
        lacks = f"{entry.missing:,} of {plural(entry.blocks, 'block')}"
        one = entry.missing == 1
        them, were = ("it", "was") if one else ("them", "were")
        own = entry.node == self._node.uuid
        if damaged := self._found_damaged(entry):
            found = f"{damaged:,} of {plural(entry.blocks, 'block')} {were} found damaged here"
            how = f"reading, or `globofs verify --repair`, fetches {them} from whoever has {them}"
            return Reason(entry.path, "damaged", f"{found}; {how}")
        if not self._is_wanted(entry):
            if own and self._node.config.cacheonly:
                how = f"keepers hold {them}, reading fetches {them}"
                return Reason(entry.path, "evicted", f"{lacks} {were} let go of here; {how}")
            if own:  # of a journal that was taken back after a restore
                how = f"reading fetches {them} from whoever has {them}"
                return Reason(entry.path, "unwanted", f"{lacks} {were} lost here; {how}")
            holder = self._holder(entry.node)
            # What a cache let go of is not written down anywhere.
            since = f", or {were} let go of since" if self._node.config.cacheonly else ""
            how = f"reading or pinning it fetches it from {holder}"
            detail = f"{lacks} {were} never asked for{since}; {how}"
            return Reason(entry.path, "unwanted", detail)
        if self._paused(entry.path):
            how = f"paused by hand, `globofs resume` lets {them} go on"
            return Reason(entry.path, "paused", f"{lacks} {'waits' if one else 'wait'}: {how}")
        move = self._moves.get(entry.path)
        if move is not None and move.state == "failed":
            return Reason(entry.path, "failed", f"{lacks}: {move.reason or 'failed'}")
        if move is not None and move.state in ("moving", "queued"):
            lacking = f"{lacks} {'is' if one else 'are'}"
            return Reason(entry.path, "queued", self._on_its_way(move, lacking))
        return self._waits(entry, lacks)

    def _found_damaged(self, entry: Entry) -> int:
        """How many of its blocks were here, and were set aside since."""
        if not self._damaged:
            return 0
        blocks = self._view.blocks_of(entry.row)
        return len({block.id for block, held in blocks if not held} & self._damaged)

    def _on_its_way(self, move: Move, lacking: str) -> str:
        by = f" by {move.by}" if move.by else ""
        if move.state == "moving":
            return f"{lacking} being pulled{by}: {move.done:,} of {move.total:,} bytes are here"
        place = self._places.get(move.path, 0)
        where = f"behind {plural(place, 'other')}" if place else "next"
        return f"{lacking} queued{by}, {where}"

    def _is_wanted(self, entry: Entry) -> bool:
        tops = (*self._wanted, *self._pins)
        return entry.version in self._wanted_ids or any(is_below(entry.path, top) for top in tops)

    def _paused(self, path: bytes) -> bool:
        return self._pauses.everything or any(is_below(path, top) for top in self._pauses.paths)

    def _waits(self, entry: Entry, lacks: str) -> Reason:
        are, wait = ("is", "waits") if entry.missing == 1 else ("are", "wait")
        writer = next((peer for peer in self._peers if peer.uuid == entry.node), None)
        reachable = [peer for peer in self._peers if peer.state in ("online", "readonly")]
        if reachable:
            names = ", ".join(peer.name for peer in reachable)
            detail = f"{lacks} {are} queued; asked {'is' if len(reachable) == 1 else 'are'} {names}"
            if writer is not None and writer not in reachable:
                detail += f"; {writer.name}, which wrote it, is {_state(writer)}"
            return Reason(entry.path, "queued", detail)
        if writer is not None:
            detail = f"{lacks} {wait} for {writer.name}, which wrote it and is {_state(writer)}"
            return Reason(entry.path, "offline", detail)
        own = entry.node == self._node.uuid
        holder = "this node" if own else self._holder(entry.node)
        detail = f"{lacks} {are} held by nobody who is reachable; {holder} wrote it"
        return Reason(entry.path, "nobody", detail)

    def _holder(self, uuid: str) -> str:
        known = next((peer.name for peer in self._peers if peer.uuid == uuid), None)
        return known or self._node.index.node_name(uuid) or f"the node {uuid[:8]}"

    def conflicts(self, path: bytes) -> list[Reason]:
        """The path itself, where it is in conflict."""
        entry = self._view.entry(path) if path else None
        if entry is None or not entry.conflict:
            return []
        sides: list[Version] = self._view.heads(path)
        names = " and ".join(self._node.index.node_name(one.node) or one.node[:8] for one in sides)
        detail = f"changed in {len(sides)} places, by {names}; `globofs resolve` settles it"
        return [Reason(path, "conflict", detail)]

    def behind(self, path: bytes) -> list[Reason]:
        """Peers that do not yet know everything that this node knows."""
        found = []
        for peer in self._peers:
            if peer.state in ("online", "readonly") and not peer.outgoing:
                continue
            if peer.state == "readonly":
                detail = f"{peer.name} cannot be written to; it knows once it fetches from here"
            elif peer.state == "online":
                detail = f"{peer.name} has not acknowledged {plural(peer.outgoing, 'record')} yet"
            else:
                detail = f"{peer.name} is {_state(peer)}: whether it has heard of this is not known"
            word: ReasonWord = "paused" if peer.state == "paused" else "behind"
            found.append(Reason(path, word, detail))
        return found


def _state(peer: PeerStatus) -> str:
    if peer.reason.startswith(peer.state):
        return peer.reason
    return f"{peer.state} ({peer.reason})" if peer.reason else peer.state


# --- status -------------------------------------------------------------------------------------


def status(node: Node, peers: tuple[PeerStatus, ...]) -> Status:
    """The volume as it stands on this node: the totals of the root, and `peers`."""
    root = View(node).entry(b"")
    wanted_blocks, wanted_bytes = _wanted(node)
    return Status(
        volume=node.volume,
        uuid=node.uuid,
        name=node.name,
        files=root.files if root else 0,
        versions=root.versions if root else 0,
        conflicts=root.conflicts if root else 0,
        bytes=root.size if root else 0,
        blocks_missing=root.missing if root else 0,
        bytes_missing=root.missing_bytes if root else 0,
        wanted_blocks=wanted_blocks,
        wanted_bytes=wanted_bytes,
        cacheonly=node.config.cacheonly,
        readonly=node.readonly_reason,
        elsewhere="" if node.at_home() else home.ELSEWHERE,
        warnings=node.warnings,
        peers=peers,
    )


def _wanted(node: Node) -> tuple[int, int]:
    """Blocks and bytes that are asked for and not here: of the tops that pins and wishes name,
    each counted once. Single wanted versions are looked up one by one."""
    view = View(node)
    wishes = node.state.wanted()
    tops = {*node.state.pins(), *(wish.path for wish in wishes if wish.kind != "version")}
    blocks = size = 0
    for top in tops:
        if any(other != top and is_below(top, other) for other in tops):
            continue
        entry = view.entry(top)
        if entry is not None:
            blocks += entry.missing
            size += entry.missing_bytes
    for wish in wishes:
        if wish.kind != "version":
            continue
        version = view.version_by_id(wish.id)
        if version is None or not version.missing or any(is_below(version.path, t) for t in tops):
            continue
        missing = {block.id: block.size for block, held in view.blocks_of(version) if not held}
        blocks += len(missing)
        size += sum(missing.values())
    return blocks, size
