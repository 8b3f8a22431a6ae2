"""Reading every block of this node: what its content is, and whether it is there at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from globofs.errors import Damaged, FormatError
from globofs.events import Cancelled, Emit, Problem, Progress
from globofs.format import codec
from globofs.format.manifest import manifest_id
from globofs.limits import BLOCK_SIZE_MAX
from globofs.store import fsio, staged
from globofs.store.node import Node
from globofs.store.portions import chunks
from globofs.store.staged import STORED_MAX
from globofs.sync._verify_notes import Look, Notes, look

WORKERS: Final = 2
GROUP: Final = 64
GONE_SUFFIX: Final = ".gone"
"""Of an empty file in `damaged/` that stands for a block whose file vanished."""
_NO_FILE: Final = (errno.ELOOP, errno.EISDIR, errno.EINVAL, errno.EFBIG, errno.ENXIO)

Held = tuple[bytes, str]
VolumePath = bytes
BlockId = bytes  # `bytes` is also a count below


class Tell(Protocol):
    """Notes a problem."""

    def __call__(self, path: bytes, reason: str, *, warning: bool = False) -> None: ...


@dataclass
class Verification:
    """One run, and what it has found so far."""

    node: Node
    emit: Emit
    cancelled: Cancelled
    choose: Callable[[], bool]
    notes: Notes | None  # None for a sample
    checked: int = 0
    earlier: int = 0  # of them, found sound before the check was stopped
    bytes: int = 0
    told: set[BlockId] = field(default_factory=set)  # the blocks of which a sentence was said
    unreadable: list[BlockId] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def tell(self, path: VolumePath, reason: str, *, warning: bool = False) -> None:
        """Note and announce a problem of a path."""
        problem = Problem(path, reason, warning)
        self.problems.append(problem)
        self.emit(problem)

    def tell_block(self, block: BlockId, what: str, *, warning: bool = False) -> None:
        """Note and announce what is the matter with a block."""
        self.told.add(block)
        where = user_of(self.node, block)
        self.tell(where, f"block {block.hex()[:16]} {what}", warning=warning)


class _Directory(NamedTuple):
    """Block files of one directory of `hashes/`, and how it may have been before."""

    name: str
    held: list[Held]
    print: str  # a sound one looks like this; "" where nothing is known


class _Bad(NamedTuple):
    block: bytes
    reason: str
    unreadable: bool  # it only cannot be read


class _Read(NamedTuple):
    """What came of reading some directories."""

    checked: int
    earlier: int
    size: int
    bad: list[_Bad]
    sound: list[tuple[str, Look]]


def check_blocks(run: Verification) -> None:
    """Read every block file (or a sample), two at a time."""
    node = run.node
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="verify") as pool:
        waiting = []
        for group in _groups(run):
            waiting.append(pool.submit(_read_group, node, group))
            if len(waiting) >= 2 * WORKERS:
                _count(run, waiting.pop(0).result())
        for one in waiting:
            _count(run, one.result())
    if run.notes is not None:
        run.notes.flush()


def _groups(run: Verification) -> Iterator[list[_Directory]]:
    """What to read, in portions of about 64 blocks; the index hears of what it did not know."""
    node, notes = run.node, run.notes
    group: list[_Directory] = []
    size = 0
    for name, held in node.blocks.iter_directories():
        if run.cancelled():
            return
        unknown = {block for block, _ in held} - node.index.held([b for b, _ in held])
        if unknown and not node.readonly:
            node.index.mark_held(unknown)
        chosen = [one for one in held if run.choose()]
        if chosen:
            known = notes.print_of(name, held) if notes is not None else ""
            group.append(_Directory(name, chosen, known))
            size += len(chosen)
        if size >= GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group


def _count(run: Verification, done: _Read) -> None:
    run.checked += done.checked
    run.earlier += done.earlier
    run.bytes += done.size
    for block, reason, unreadable in done.bad:
        if unreadable:
            run.tell_block(block, f"cannot be read: {reason}")
            run.unreadable.append(block)
            continue
        run.tell_block(block, f"is damaged: {reason}; set aside")
        if not run.node.readonly:
            run.node.blocks.set_aside(block, run.node.blocks.damaged)
    if run.notes is not None:
        for name, found in done.sound:
            run.notes.add(name, found)
    run.emit(Progress("verify", "blocks", files=run.checked, bytes=run.bytes))


def _read_group(node: Node, group: list[_Directory]) -> _Read:
    checked = earlier = size = 0
    bad: list[_Bad] = []
    sound: list[tuple[str, Look]] = []
    for directory in group:
        before = look(node.blocks, directory.held)
        checked += len(directory.held)
        size += before.bytes
        if directory.print == before.print:
            earlier += len(directory.held)
            continue
        found = [_wrong(node, *held) for held in directory.held]
        bad += [one for one in found if one is not None]
        if not any(found):
            sound.append((directory.name, before))
    return _Read(checked, earlier, size, bad, sound)


def _wrong(node: Node, block: bytes, suffix: str) -> _Bad | None:
    """What is the matter with a block; None where nothing is, or where it was evicted meanwhile."""
    try:
        data = fsio.read_file(node.blocks.path_of(block, suffix), STORED_MAX)
        _examine(block, data, suffix)
    except FileNotFoundError:
        pass
    except (Damaged, FormatError) as error:
        return _Bad(block, str(error.fields.get("reason", error.message)), False)
    except OSError as error:
        return _Bad(block, error.strerror or str(error), error.errno not in _NO_FILE)
    return None


def _examine(block: bytes, data: bytes, suffix: str) -> None:
    """Its content alone decides: what versions say of its size may be a stranger's lie."""
    plain = codec.decompress(data, suffix, BLOCK_SIZE_MAX)
    if manifest_id(plain) != block:
        raise Damaged(path=block.hex(), reason="its SHA-256 is another")


def check_vanished(run: Verification) -> None:
    """Blocks that should be here and whose files are gone. A staged copy that was put into its
    place is no file: peers do not read it, and it goes one day."""
    node = run.node
    placed = {file.base for file in staged.files(node.blocks.staged) if file.state}
    for group in chunks(node.index.held_blocks(), 5000):
        if run.cancelled():
            return
        gone = [block for block in group if node.blocks.find(block) is None]
        copies = node.index.staged_locate(gone)
        waiting = {block for block, at in copies.items() if at.file not in placed}
        gone = [block for block in gone if block not in waiting or not node.blocks.has(block)]
        gone = sorted(node.index.held(gone))  # but for what another client let go of just now
        for block in gone:
            run.tell_block(block, "is gone, though nobody let go of it")
            if not node.readonly:
                _mark_gone(node, block)
        if gone and not node.readonly:
            node.index.mark_missing(gone)


def _mark_gone(node: Node, block: bytes) -> None:
    fsio.mkdirs(node.blocks.damaged)
    with suppress(FileExistsError):
        fsio.write_new(os.path.join(node.blocks.damaged, block.hex() + GONE_SUFFIX), b"")


def user_of(node: Node, block: bytes) -> bytes:
    """A path that uses a block, preferably one that shows it."""
    found = node.index.one(
        "SELECT p.path FROM use u JOIN version v ON v.row = u.version JOIN path p ON p.no = v.path"
        " WHERE u.block = (SELECT no FROM block WHERE id = ?) ORDER BY p.shown = v.row DESC LIMIT 1",
        (block,),
    )
    return bytes(found[0]) if found else b""
