"""`verify`: read everything this node keeps and compare it with what it should be.

Damaged blocks are set aside in `damaged/` and count as damage until they are here again; those
that cannot be read just now (an I/O error, no permission) are damage as well, and stay where they
are; blocks that were never here are no damage. With `repair`, blocks come back from a staged copy or a peer,
and views (`root/`, the index) are built again.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from globofs.errors import Damaged, FormatError
from globofs.events import Cancelled, Emit, Problem, Progress, ignore, never
from globofs.format import codec
from globofs.format.manifest import manifest_id
from globofs.limits import BLOCK_SIZE_MAX
from globofs.store import fsio, staged
from globofs.store.node import Node
from globofs.store.portions import chunks
from globofs.store.query import View
from globofs.store.staged import STORED_MAX
from globofs.sync._scrub_views import (
    check_index,
    check_journals,
    check_tree,
    rebuild_index,
    rebuild_tree,
    refetch_records,
)
from globofs.sync.pull import Puller, Wanted
from globofs.sync.results import VerifyResult

WORKERS: Final = 2
GROUP: Final = 64
GONE_SUFFIX: Final = ".gone"
"""Of an empty file in `damaged/` that stands for a block whose file vanished."""
_NO_FILE: Final = (errno.ELOOP, errno.EISDIR, errno.EINVAL, errno.EFBIG, errno.ENXIO)

Held = tuple[bytes, str]
Bad = tuple[bytes, str, bool]  # a block, what is the matter, whether it only cannot be read
VolumePath = bytes
BlockId = bytes  # `bytes` is also a count below


@dataclass
class _Scrub:
    """One run."""

    node: Node
    emit: Emit
    cancelled: Cancelled
    choose: Callable[[], bool]
    checked: int = 0
    bytes: int = 0
    damaged: int = 0
    unreadable: list[BlockId] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def tell(self, path: VolumePath, reason: str, *, warning: bool = False) -> None:
        """Note and announce a problem."""
        problem = Problem(path, reason, warning)
        self.problems.append(problem)
        self.emit(problem)


def verify(
    node: Node,
    puller: Puller | None,
    *,
    repair: bool = False,
    sample: float | None = None,
    emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> VerifyResult:
    """Check blocks, manifests in `root/`, journals and the index; `sample` is the share to read.

    With `repair` (which needs `puller`), what is damaged is mended where that is possible.
    """
    choose = (lambda: True) if sample is None else (lambda: random.random() < sample)
    scrub = _Scrub(node, emit, cancelled, choose)
    _finish(scrub)
    index = check_index(node, scrub.tell) if sample is None else 0
    if index and repair and not node.readonly:
        rebuild_index(node, emit)
    _check_blocks(scrub)
    _check_vanished(scrub)
    lost = _lost(node)
    tree = check_tree(node, choose, scrub.tell, cancelled)
    journals = check_journals(node, scrub.tell, cancelled)
    scrub.checked += tree.checked + journals.checked
    repaired = index if repair and not node.readonly else 0
    if repair and not node.readonly and not cancelled():
        if lost or scrub.unreadable:
            repaired += _repair_blocks(scrub, puller, lost)
        if tree.bad:
            repaired += rebuild_tree(node, tree, emit)
        if journals.lost and puller is not None:
            repaired += refetch_records(node, puller.peers, journals, emit, cancelled)
    root = View(node).entry(b"")
    return VerifyResult(
        checked=scrub.checked,
        bytes=scrub.bytes,
        damaged=len(lost) + len(scrub.unreadable) + len(tree.bad) + journals.count + index,
        repaired=repaired,
        missing=root.missing if root is not None else 0,
        sampled=sample is not None,
        interrupted=cancelled(),
        problems=tuple(scrub.problems),
    )


def _finish(scrub: _Scrub) -> None:
    """Build what was not built yet; a full disk keeps nobody from reading what there is."""
    if scrub.node.readonly:
        return
    try:
        scrub.node.finish()
    except OSError as error:
        if not fsio.is_full(error):
            raise
        scrub.tell(b"", f"not all is built in root/: {error.strerror}", warning=True)


# --- blocks -----------------------------------------------------------------------------------


def _check_blocks(scrub: _Scrub) -> None:
    """Read every block file (or a sample), two at a time."""
    node = scrub.node

    def groups() -> Iterator[list[Held]]:
        for group in chunks(node.blocks.iter_held(), GROUP):
            if scrub.cancelled():
                return
            unknown = {block for block, _ in group} - node.index.held([b for b, _ in group])
            if unknown and not node.readonly:
                node.index.mark_held(unknown)
            chosen = [held for held in group if scrub.choose()]
            if chosen:
                yield chosen

    with ThreadPoolExecutor(WORKERS, thread_name_prefix="verify") as pool:
        waiting = []
        for group in groups():
            waiting.append(pool.submit(_read_group, node, group))
            if len(waiting) >= 2 * WORKERS:
                _count(scrub, *waiting.pop(0).result())
        for one in waiting:
            _count(scrub, *one.result())


def _count(scrub: _Scrub, checked: int, size: int, bad: list[Bad]) -> None:
    scrub.checked += checked
    scrub.bytes += size
    for block, reason, unreadable in bad:
        where = _user_of(scrub.node, block)
        if unreadable:
            scrub.tell(where, f"block {block.hex()[:16]} cannot be read: {reason}")
            scrub.unreadable.append(block)
            continue
        scrub.tell(where, f"block {block.hex()[:16]} is damaged: {reason}; set aside")
        if not scrub.node.readonly:
            scrub.node.blocks.set_aside(block, scrub.node.blocks.damaged)
        scrub.damaged += 1
    scrub.emit(Progress("verify", "blocks", files=scrub.checked, bytes=scrub.bytes))


def _read_group(node: Node, group: list[Held]) -> tuple[int, int, list[Bad]]:
    size = 0
    bad: list[Bad] = []
    for block, suffix in group:
        try:
            data = fsio.read_file(node.blocks.path_of(block, suffix), STORED_MAX)
            size += len(data)
            _examine(block, data, suffix)
        except FileNotFoundError:
            continue  # evicted meanwhile
        except (Damaged, FormatError) as error:
            bad.append((block, str(error.fields.get("reason", error.message)), False))
        except OSError as error:
            bad.append((block, error.strerror or str(error), error.errno not in _NO_FILE))
    return len(group), size, bad


def _examine(block: bytes, data: bytes, suffix: str) -> None:
    """Its content alone decides: what versions say of its size may be a stranger's lie."""
    plain = codec.decompress(data, suffix, BLOCK_SIZE_MAX)
    if manifest_id(plain) != block:
        raise Damaged(path=block.hex(), reason="its SHA-256 is another")


def _check_vanished(scrub: _Scrub) -> None:
    """Blocks that should be here and whose files are gone. A staged copy that was put into its
    place is no file: peers do not read it, and it goes one day."""
    node = scrub.node
    placed = {file.base for file in staged.files(node.blocks.staged) if file.state}
    for group in chunks(node.index.held_blocks(), 5000):
        if scrub.cancelled():
            return
        gone = [block for block in group if node.blocks.find(block) is None]
        copies = node.index.staged_locate(gone)
        waiting = {block for block, at in copies.items() if at.file not in placed}
        gone = [block for block in gone if block not in waiting or not node.blocks.has(block)]
        gone = sorted(node.index.held(gone))  # but for what another client let go of just now
        for block in gone:
            where = _user_of(node, block)
            scrub.tell(where, f"block {block.hex()[:16]} is gone, though nobody let go of it")
            if not node.readonly:
                _mark_gone(node, block)
        if gone and not node.readonly:
            node.index.mark_missing(gone)
        elif gone:
            scrub.damaged += len(gone)


def _mark_gone(node: Node, block: bytes) -> None:
    fsio.mkdirs(node.blocks.damaged)
    with suppress(FileExistsError):
        fsio.write_new(os.path.join(node.blocks.damaged, block.hex() + GONE_SUFFIX), b"")


def _user_of(node: Node, block: bytes) -> bytes:
    """A path that uses a block, preferably one that shows it."""
    found = node.index.one(
        "SELECT p.path FROM use u JOIN version v ON v.row = u.version JOIN path p ON p.no = v.path"
        " WHERE u.block = (SELECT no FROM block WHERE id = ?) ORDER BY p.shown = v.row DESC LIMIT 1",
        (block,),
    )
    return bytes(found[0]) if found else b""


def _lost(node: Node) -> list[bytes]:
    """Blocks that were found damaged, now or before, are needed, and are not here again."""
    try:
        names = os.listdir(node.blocks.damaged)
    except FileNotFoundError:
        return []
    blocks: set[bytes] = set()
    for name in names:
        with suppress(ValueError):
            block = bytes.fromhex(name[:64])
            if len(block) == 32:
                blocks.add(block)
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


def _repair_blocks(scrub: _Scrub, puller: Puller | None, lost: list[bytes]) -> int:
    """Get damaged and unreadable blocks again; how many came. Of the unreadable ones nobody else
    has, our own copy stays: it may be read another day."""
    blocks = scrub.node.blocks
    aside = [block for block in scrub.unreadable if blocks.set_aside(block, blocks.damaged)]
    try:
        return _bring_back(scrub, puller, [*lost, *aside])
    finally:
        here = blocks.holding(aside)
        for block in aside:
            if block not in here:
                blocks.bring_back(block, blocks.damaged)


def _bring_back(scrub: _Scrub, puller: Puller | None, lost: list[bytes]) -> int:
    """Get damaged blocks again, from a staged copy or from peers; how many came."""
    node = scrub.node
    wanted: list[Wanted] = []
    for block in lost:
        with suppress(KeyError, Damaged, OSError):
            plain = node.blocks.get_any(block, node.index.block_size(block) or 0)
            data, suffix = node.blocks.read_raw(block)
            node.blocks.put(block, data, suffix, len(plain))
            continue
        wanted += _said_of(node, block)
    if wanted and puller is not None:
        result = puller.fetch(wanted, cancelled=scrub.cancelled, emit=scrub.emit)
        left = {one.id: one for one in result.missing}
        for block in left.keys() - node.blocks.holding(sorted(left)):
            reason = f"block {block.hex()[:16]} could not be repaired: nobody reachable holds it"
            scrub.tell(left[block].path, reason)
    node.blocks.sync_pending()
    here = node.blocks.holding(lost)
    _forget(node, here)
    for block in here:
        where = _user_of(node, block)
        scrub.emit(Problem(where, f"block {block.hex()[:16]} repaired", warning=True))
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
    where = _user_of(node, block)
    return [Wanted(block, size, where, writer) for size, writer in sizes.items()]
