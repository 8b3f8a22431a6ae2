"""Mirror: have every block of a subtree here, or write what a peer lacks into its `hashes/`.

Resumable: what is here is not pulled again, what lies there is not written again. What nobody
reachable holds is reported by file and stays wanted.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from globofs.errors import ContentMissing
from globofs.events import BlockMoved, Cancelled, Emit, Event, Problem, Progress, ignore, never
from globofs.peerio.peers import Peers
from globofs.store.blocks import BlockAbsent
from globofs.store.node import Node
from globofs.store.portions import chunks
from globofs.store.query import View
from globofs.store.state import Wish
from globofs.store.versions import blocks_of
from globofs.sync.missing import missing_below
from globofs.sync.pull import Puller, PullResult, Wanted
from globofs.sync.suggest import no_such_path

_CHUNK = 256
_SAY_EVERY_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class MirrorResult:
    """Blocks moved and their bytes; `already` were there before, `missing` nobody could give."""

    path: bytes = b""
    to: str | None = None
    blocks: int = 0
    bytes: int = 0
    already: int = 0
    missing: int = 0
    interrupted: bool = False
    problems: tuple[Problem, ...] = ()


def mirror(
    node: Node,
    peers: Peers,
    puller: Puller,
    path: bytes = b"",
    *,
    to: str | None = None,
    all_versions: bool = False,
    emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> MirrorResult:
    """Pull every block of the current versions at and below `path` (of all with `all_versions`);
    with `to`, write those the peer of that name lacks into its directory.

    Raises NoSuchPath, NoSuchPeer, and with `to` the peer's errors.
    """
    view = View(node)
    if path and view.entry(path, deleted=all_versions) is None:
        raise no_such_path(view, path)
    if to is not None:
        return _send(node, peers, puller, path, to, all_versions, emit, cancelled)
    wish = Wish("history" if all_versions else "mirror", path)
    if not node.readonly:
        node.state.want([wish])
    top = view.entry(path)
    already = max(0, top.blocks - top.missing) if top is not None else 0
    total = top.missing_bytes if top is not None and not all_versions else 0
    teller = _Teller(node, emit, total, puller)
    result = puller.fetch(
        missing_below(node, path, all_versions), cancelled=cancelled, emit=teller.tell
    )
    teller.close()
    stopped = cancelled()
    if not result.missing and not stopped and not node.readonly:
        node.state.unwant([wish])
    return MirrorResult(
        path=path,
        blocks=result.blocks,
        bytes=result.bytes,
        already=already + result.already,
        missing=len(result.missing),
        interrupted=stopped,
        problems=(*result.problems, *_missing_problems(puller, result)),
    )


def _missing_problems(puller: Puller, result: PullResult) -> list[Problem]:
    """One problem a file, naming who should have what nobody gave."""
    by_path: dict[bytes, int] = {}
    first: dict[bytes, Wanted] = {}
    for item in result.missing:
        by_path[item.path] = by_path.get(item.path, 0) + 1
        first.setdefault(item.path, item)
    return [Problem(p, puller.missing(first[p], count).reason) for p, count in by_path.items()]


def _reason(error: BlockAbsent | ContentMissing) -> str:
    return error.reason if isinstance(error, ContentMissing) else str(error)


class _Teller:
    """Progress of a pull, from the blocks that arrive; at most ten times a second."""

    def __init__(self, node: Node, emit: Emit, total: int, puller: Puller) -> None:
        self.node, self.emit, self.total, self.puller = node, emit, total, puller
        self.bytes = 0
        self.at = 0.0
        self._guard = threading.Lock()  # blocks arrive by several threads
        self._before = puller.emit
        puller.emit = self._moved

    def close(self) -> None:
        """Stop listening."""
        self.puller.emit = self._before
        self._say(b"")

    def tell(self, event: Event) -> None:
        """Pass an event on."""
        self.emit(event)

    def _moved(self, event: Event) -> None:
        self._before(event)
        if isinstance(event, BlockMoved):
            with self._guard:
                self.bytes += event.bytes
                if self.node.clock.monotonic() - self.at >= _SAY_EVERY_SECONDS:
                    self._say(event.path)

    def _say(self, path: bytes) -> None:
        self.at = self.node.clock.monotonic()
        self.emit(Progress("mirror", "pulling", 0, 0, self.bytes, self.total, path))


def _send(
    node: Node,
    peers: Peers,
    puller: Puller,
    path: bytes,
    to: str,
    all_versions: bool,
    emit: Emit,
    cancelled: Cancelled,
) -> MirrorResult:
    """Write what the peer lacks; what is not here either is pulled from the others first."""
    peer = peers[to]
    peer.check()
    blocks = total = already = 0
    problems: dict[Problem, None] = {}
    missing = 0
    asked: set[bytes] = set()
    said = 0.0
    for chunk in chunks(_all_below(node, path, all_versions), _CHUNK):
        fresh = {row[0]: row for row in chunk if row[0] not in asked}
        asked.update(fresh)
        if cancelled():
            break
        lacking = peer.lacks(fresh)
        already += len(fresh) - len(lacking)
        for block in lacking:
            if cancelled():
                break
            _, size, name, writer = fresh[block]
            try:
                puller.get(block, size, name, writer, cancelled=cancelled)  # verified
                data, suffix = node.blocks.read_raw(block)
            except (BlockAbsent, ContentMissing) as error:
                missing += 1
                problems[Problem(name, _reason(error))] = None
                continue
            peer.write_block(block, data, suffix)
            blocks += 1
            total += size
            now = node.clock.monotonic()
            if now - said >= _SAY_EVERY_SECONDS:
                said = now
                emit(Progress("mirror", f"writing to {peer.name}", bytes=total, path=name))
    return MirrorResult(path, to, blocks, total, already, missing, cancelled(), tuple(problems))


_Row = tuple[bytes, int, bytes, str]


def _all_below(node: Node, path: bytes, all_versions: bool) -> Iterator[_Row]:
    """Every block at and below `path`: id, size, path, writing node."""
    view = View(node)
    rows: Iterator[tuple[int, bytes, str]]
    if all_versions:
        versions = view.history_below(path, 0) if not _is_file(view, path) else view.history(path)
        rows = ((v.row, v.path, v.node) for v in versions if v.blocks and not v.pruned)
    else:
        top = view.entry(path)
        own = [top] if top is not None and top.kind == "file" else []
        below = (entry for entry in view.walk(path) if entry.kind == "file" and entry.path != path)
        rows = ((e.row, e.path, e.node) for part in (own, below) for e in part)
    for row, name, writer in rows:
        for block, _ in blocks_of(node.index, row):
            yield block.id, block.size, name, writer


def _is_file(view: View, path: bytes) -> bool:
    entry = view.entry(path, deleted=True)
    return entry is not None and entry.kind != "directory"
