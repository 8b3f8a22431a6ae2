"""`verify`: read everything this node keeps and compare it with what it should be.

Damaged blocks are set aside in `damaged/` and count as damage until they are here again; those
that cannot be read just now (an I/O error, no permission) are damage as well, and stay where they
are; blocks that were never here are no damage. With `repair`, blocks come back from a staged copy or a peer,
and views (`root/`, the index) are built again.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from contextlib import suppress

from globofs.errors import Damaged, plural
from globofs.events import Cancelled, Emit, Note, Problem, ignore, never
from globofs.limits import SECOND_NS
from globofs.store import fsio
from globofs.store.node import Node
from globofs.store.query import View
from globofs.sync._verify_blocks import Verification, check_blocks, check_vanished, user_of
from globofs.sync._verify_notes import Notes
from globofs.sync._verify_records import (
    JournalReport,
    check_index,
    check_journals,
    compare_index,
    rebuild_index,
    refetch_records,
)
from globofs.sync._verify_views import TreeReport, check_tree, rebuild_tree
from globofs.sync.pull import Puller, Wanted
from globofs.sync.results import VerifyResult


def verify(
    node: Node,
    puller: Puller | None,
    *,
    repair: bool = False,
    sample: float | None = None,
    restart: bool = False,
    emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> VerifyResult:
    """Check blocks, manifests in `root/`, journals and the index; `sample` is the share to read.

    With `repair` (which needs `puller`), what is damaged is mended where that is possible. Where
    an earlier check of all blocks was stopped, this one goes on, but with `restart`.
    """
    choose = (lambda: True) if sample is None else (lambda: random.random() < sample)
    notes = Notes(node) if sample is None else None
    run = Verification(node, emit, cancelled, choose, notes)
    if notes is not None:
        _go_on(notes, restart, emit)
    _finish(run)
    mending = repair and not node.readonly
    index, repaired, journals = _check_records(run, puller if mending else None)
    check_blocks(run)
    check_vanished(run)
    lost = _lost(node)
    for block in lost:
        if block not in run.told:
            run.tell_block(block, "was found damaged before, and is not here again", warning=True)
    bad = {*lost, *run.unreadable, *(run.told if node.readonly else ())}
    if index > repaired:
        tree = TreeReport()
        run.tell(b"", "root/ was not compared, as the index is damaged", warning=True)
    else:
        tree = check_tree(node, choose, run.tell, emit, cancelled)
    run.checked += tree.checked + journals.checked
    if journals.lost or node.index.one("SELECT 1 FROM seen WHERE gaps <> ''"):
        tree.left.clear()  # what such a record told stands nowhere else, perhaps
    if mending and not cancelled():
        if lost or run.unreadable:
            repaired += _repair_blocks(run, puller, lost)
        if tree.bad or tree.extra or tree.left or tree.stale:
            repaired += rebuild_tree(node, tree, emit)
        if journals.lost and puller is not None:
            refetch_records(node, puller.peers, journals, emit, cancelled)
    interrupted = cancelled()
    if notes is not None and not interrupted:
        notes.forget()
    root = View(node).entry(b"")
    return VerifyResult(
        checked=run.checked,
        earlier=run.earlier,
        bytes=run.bytes,
        damaged=len(bad) + len(tree.bad) + len(tree.extra) + journals.count + index,
        repaired=repaired + journals.came,
        missing=root.missing if root is not None else 0,
        sampled=sample is not None,
        interrupted=interrupted,
        problems=tuple(run.problems),
    )


def _go_on(notes: Notes, restart: bool, emit: Emit) -> None:
    """Take in what a stopped check left, and say what becomes of it."""
    notes.load()
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(notes.begun // SECOND_NS))
    if restart or notes.outdated:
        if notes.outdated and not restart:
            emit(Note("the check that was stopped began too long ago: this one begins anew"))
        notes.forget()
    elif notes.known:
        emit(
            Note(
                f"going on with the check begun on {when}, which was stopped: what it read and"
                " nobody touched since is not read again (--restart begins anew)"
            )
        )


def _check_records(run: Verification, puller: Puller | None) -> tuple[int, int, JournalReport]:
    """Check journals and index: how much of the index is damaged, how much of that was mended, and
    what the journals are like. A sample reads the journals alone; without `puller` nothing is
    mended."""
    node, tell, emit, cancelled = run.node, run.tell, run.emit, run.cancelled
    if run.notes is None:
        return 0, 0, check_journals(node, tell, emit, cancelled)
    damaged = check_index(node, tell)
    journals = JournalReport()
    if damaged and puller is None:
        return damaged, 0, check_journals(node, tell, emit, cancelled)
    if damaged:
        with suppress(sqlite3.Error):
            journals = check_journals(node, lambda *_, **__: None, emit, cancelled)
    else:
        damaged, journals = compare_index(node, tell, emit, cancelled)
        if not damaged or puller is None:
            return damaged, 0, journals
    if puller is not None and journals.lost:
        refetch_records(node, puller.peers, journals, emit, cancelled)
    if journals.lost:
        count = sum(lost.count() for lost in journals.lost.values())
        lost = f"{plural(count, 'record')} that {'is' if count == 1 else 'are'}"
        reason = f"index.sqlite is left as it is: it alone knows {lost} lost"
        tell(b"", f"{reason}; a peer may have what is lacking, deleting the file gives it up")
        return damaged, 0, journals
    rebuild_index(node, emit)
    left, after = compare_index(node, tell, emit, cancelled)
    after.came += journals.came
    return damaged, max(0, damaged - left), after


def _finish(run: Verification) -> None:
    """Build what was not built yet; a full disk keeps nobody from reading what there is."""
    if run.node.readonly:
        return
    try:
        run.node.finish()
    except OSError as error:
        if not fsio.is_full(error):
            raise
        run.tell(b"", f"not all is built in root/: {error.strerror}", warning=True)


def _lost(node: Node) -> list[bytes]:
    """Blocks that were found damaged, now or before, are needed, and are not here again."""
    blocks = node.blocks.found_damaged()
    here = node.blocks.holding(sorted(blocks))
    _forget(node, here)
    return [block for block in sorted(blocks - here) if _is_needed(node, block)]


def _is_needed(node: Node, block: bytes) -> bool:
    found = node.index.one(
        "SELECT 1 FROM use u JOIN version v ON v.row = u.version"
        " WHERE u.block = (SELECT no FROM block WHERE id = ?) AND v.pruned = 0 LIMIT 1",
        (block,),
    )
    if found is None:  # a large manifest is a block, too
        found = node.index.one("SELECT 1 FROM version WHERE id = ? AND pruned = 0", (block,))
    return found is not None


def _forget(node: Node, blocks: set[bytes]) -> None:
    """Damaged copies of blocks that are here again are of no more use."""
    if node.readonly or not blocks:
        return
    for name in os.listdir(node.blocks.damaged):
        with suppress(ValueError):
            if bytes.fromhex(name[:64]) in blocks:
                fsio.remove(os.path.join(node.blocks.damaged, name))


def _repair_blocks(run: Verification, puller: Puller | None, lost: list[bytes]) -> int:
    """Get damaged and unreadable blocks again; how many came. Of the unreadable ones nobody else
    has, our own copy stays: it may be read another day."""
    blocks = run.node.blocks
    aside = [block for block in run.unreadable if blocks.set_aside(block, blocks.damaged)]
    try:
        return _bring_back(run, puller, [*lost, *aside])
    finally:
        here = blocks.holding(aside)
        for block in aside:
            if block not in here:
                blocks.bring_back(block, blocks.damaged)


def _bring_back(run: Verification, puller: Puller | None, lost: list[bytes]) -> int:
    """Get damaged blocks again, from a staged copy or from peers; how many came."""
    node = run.node
    wanted: list[Wanted] = []
    for block in lost:
        with suppress(KeyError, Damaged, OSError):
            plain = node.blocks.get_any(block, node.index.block_size(block) or 0)
            data, suffix = node.blocks.read_raw(block)
            node.blocks.put(block, data, suffix, len(plain))
            continue
        wanted += _said_of(node, block)
    if wanted and puller is not None:
        result = puller.fetch(wanted, cancelled=run.cancelled, emit=run.emit)
        left = {one.id: one for one in result.missing}
        for block in left.keys() - node.blocks.holding(sorted(left)):
            reason = (
                f"block {block.hex()[:16]} could not be repaired: nobody reachable holds it;"
                " `globofs add` of the same file brings it back"
            )
            run.tell(left[block].path, reason)
    node.blocks.sync_pending()
    here = node.blocks.holding(lost)
    _forget(node, here)
    for block in here:
        where = user_of(node, block)
        run.emit(Problem(where, f"block {block.hex()[:16]} repaired", warning=True))
    return len(here)


def _said_of(node: Node, block: bytes) -> list[Wanted]:
    """A damaged block by every size that versions say it has: all but one are lies."""
    sql = (
        "SELECT DISTINCT u.bytes / u.times, v.node FROM use u JOIN version v ON v.row = u.version"
        " WHERE u.block = (SELECT no FROM block WHERE id = ?) AND u.times > 0"
    )
    sizes: dict[int, str] = dict(node.index.rows(sql, (block,)))
    known = node.index.block_size(block)
    if known is not None:
        sizes.setdefault(known, "")  # of a large manifest nobody says it but its record
    where = user_of(node, block)
    return [Wanted(block, size, where, writer) for size, writer in sizes.items()]
