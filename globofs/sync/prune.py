"""`prune`: old versions go by policy, and then the blocks that nothing names any more.

Versions go for the whole volume, by a record that every node applies and answers with a
`prune-ok`. Blocks without a version are set aside in `trash/`, and deleted only after a grace
period and every node's answer with nothing missing before it: one that was away may have
restored from them. Until then a new use brings them back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from typing import Final, NamedTuple

from globofs.errors import Unsupported, plural
from globofs.events import Cancelled, Emit, Note, Problem, Progress, ignore, never
from globofs.format import kinds, names
from globofs.limits import SECOND_NS, TRASH_GRACE_SECONDS
from globofs.store import fsio, home
from globofs.store.catchup import positions
from globofs.store.commit import Operation
from globofs.store.node import Node
from globofs.store.portions import chunks, marks
from globofs.sync import _lost, _policy
from globofs.sync.results import Policy, PruneResult

RECORD_IDS: Final = 50_000
GRACE_NS: Final = int(TRASH_GRACE_SECONDS * SECOND_NS)


class _Old(NamedTuple):
    """A version that could go."""

    path: bytes
    time: int
    id: bytes
    row: int
    head: bool


def prune(
    node: Node,
    policy: Policy,
    *,
    dry_run: bool = False,
    emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> PruneResult:
    """Let versions go that `policy` does not keep, then collect. Heads always stay.

    With `dry_run` nothing is written. Raises UsageError for an empty policy, Unsupported while
    it is not known what all versions are made of.
    """
    if not dry_run:
        node.writable()
    _policy.check(policy)
    node.catch_up(emit=emit)
    if not dry_run:
        _lost.tell(node, emit=emit)
    _whole(node)
    doomed: list[_Old] = []
    keeping = 0
    now = node.clock.now_ns()
    for _, group in groupby(_versions(node, policy), key=lambda old: old.path):
        if cancelled():
            return PruneResult(dry_run=dry_run)
        history = list(group)
        places = _policy.kept([old.time for old in history], policy, now)
        going = [old for place, old in enumerate(history) if place not in places and not old.head]
        doomed += going
        keeping += len(history) - len(going)
    if dry_run:
        blocks, size = _freed(node, doomed)
        return PruneResult(len(doomed), keeping, blocks, size, dry_run=True)
    args = tuple(f"--{key.replace('_', '-')}={value}" for key, value in _policy.fields(policy))
    operation = Operation(node, "prune", args, emit=emit)
    recorded = False
    try:
        with operation:
            for ids in chunks([old.id for old in doomed], RECORD_IDS):
                seq = operation.record(kinds.PruneRecord(_policy.fields(policy), tuple(ids)))
                if node.at_home():
                    operation.record(kinds.PruneOkRecord(node.uuid, seq))
            recorded = True
    except OSError as error:
        # On a full disk it must be possible to let go: what was recorded may be built later.
        if not recorded or not fsio.is_full(error):
            raise
        emit(Problem(b"", f"not all is built in root/: {error.strerror}", warning=True))
    gathered = collect(node, emit=emit, cancelled=cancelled)
    return PruneResult(
        versions=len(doomed),
        kept=keeping,
        blocks=gathered.blocks,
        bytes=gathered.bytes,
        deleted_blocks=gathered.deleted_blocks,
        deleted_bytes=gathered.deleted_bytes,
        waiting=gathered.waiting,
        operation=operation.key,
        problems=gathered.problems,
    )


def _whole(node: Node) -> None:
    """Raise Unsupported while something is unknown that may need what would be collected."""
    reason = _lost.unknown(node)
    if reason:
        raise Unsupported(what="prune", reason=reason)


def _versions(node: Node, policy: Policy) -> Iterator[_Old]:
    """Every version that is not pruned, by path, newest first."""
    last = b""
    first = True
    sql = (
        "SELECT p.path, v.time, v.id, v.row, v.head FROM version v JOIN path p ON p.no = v.path"
        " WHERE v.pruned = 0 AND p.path IN (SELECT path FROM path WHERE path > ? AND nversions > 1"
        " ORDER BY path LIMIT 500) ORDER BY p.path, v.time DESC, v.row DESC"
    )
    while first or last:
        rows = node.index.rows(sql, (last,))
        first = False
        last = rows[-1][0] if rows else b""
        for row in rows:
            old = _Old(*row)
            if not policy.paths or any(names.is_below(old.path, top) for top in policy.paths):
                yield old


def _freed(node: Node, doomed: list[_Old]) -> tuple[int, int]:
    """Blocks here that only `doomed` versions use, and their plain bytes."""
    going = {old.row for old in doomed}
    users: dict[int, int] = {}
    for chunk in chunks(going):
        sql = f"SELECT block FROM use WHERE version IN ({marks(chunk)})"
        for (block,) in node.index.rows(sql, chunk):
            users[block] = users.get(block, 0) + 1
    blocks = size = 0
    for chunk in chunks(users):
        sql = (
            "SELECT b.no, b.size, (SELECT count(*) FROM use u JOIN version v ON v.row = u.version"
            " WHERE u.block = b.no AND v.pruned = 0) FROM block b WHERE b.held = 1"
            f" AND b.no IN ({marks(chunk)})"
        )
        for block, one, living in node.index.rows(sql, chunk):
            if living <= users[block]:
                blocks, size = blocks + 1, size + max(one, 0)
    return blocks, size


# --- collecting ---------------------------------------------------------------------------------


def acknowledge_prunes(node: Node, *, emit: Emit = ignore) -> int:
    """Answer every prune record that is applied here and not answered; how many were. What is
    lacking of retired nodes is told, too: it stops every prune until it is given up.

    Not while this node may be there twice: its other self may be away, and use what would go.
    """
    _lost.come_back(node, emit=emit)
    _lost.tell(node, emit=emit)
    asked = node.index.rows("SELECT origin, seq FROM event WHERE kind = 'prune'")
    if not asked:
        return 0
    answered = _answers(node).get(node.uuid, set())
    pending = [(origin, seq) for origin, seq in asked if (origin, seq) not in answered]
    if not pending or node.readonly:
        return 0
    if not node.at_home():
        if home.ELSEWHERE not in node.warned:
            node.warned.add(home.ELSEWHERE)
            emit(Problem(b"", home.ELSEWHERE, warning=True))
        return 0
    with Operation(node, "prune-ok", emit=emit) as operation:
        operation.record(*[kinds.PruneOkRecord(origin, seq) for origin, seq in pending])
    return len(pending)


def collect(
    node: Node,
    *,
    grace_ns: int = GRACE_NS,
    emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> PruneResult:
    """Set aside blocks that no version names, bring back what is used again, and delete what
    has waited for the grace period and for every node. Does nothing while anything is unknown."""
    node.writable()
    node.catch_up(emit=emit)
    acknowledge_prunes(node, emit=emit)
    # Alone: whoever adds may be about to rely on a block that no record names yet.
    with node.locks.adders.exclusive():
        node.catch_up(emit=emit)  # what was recorded while we waited is in use
        reason = _lost.unknown(node)
        if reason:
            return PruneResult(waiting=(reason,), problems=(Problem(b"", reason, warning=True),))
        trash = _Trash(node, grace_ns)
        prunes = _prunes(node)
        trash.bring_back()
        trash.set_aside(cancelled)
        if not cancelled():
            node.index.set_meta("collected", prunes)
            trash.delete()
    emit(Progress("prune", files=trash.blocks, bytes=trash.bytes))
    return PruneResult(
        blocks=trash.blocks,
        bytes=trash.bytes,
        deleted_blocks=trash.deleted,
        deleted_bytes=trash.deleted_bytes,
        waiting=tuple(trash.waiting),
    )


def collect_due(
    node: Node,
    *,
    grace_ns: int = GRACE_NS,
    emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> PruneResult | None:
    """`collect`, where there is something to do: a prune that came since the last time, blocks
    that waited long enough, or missing ones that may lie in the trash. A sync and the engine ask
    now and then; with nothing to do it is one query and a look at one directory. None: not done,
    also while somebody adds."""
    if node.readonly or not _is_due(node, grace_ns):
        return None
    with node.locks.adders.try_exclusive() as free:
        if not free:
            return None
        done = collect(node, grace_ns=grace_ns, emit=emit, cancelled=cancelled)
    for count, what in ((done.blocks, "set aside"), (done.deleted_blocks, "deleted")):
        if count:
            emit(Note(f"{plural(count, 'block')} that no version needs any more: {what}"))
    return done


def _prunes(node: Node) -> int:
    found = node.index.one("SELECT count(*) FROM event WHERE kind = 'prune'")
    return int(found[0]) if found else 0


def _is_due(node: Node, grace_ns: int) -> bool:
    prunes = _prunes(node)
    if prunes and node.index.meta("collected") != prunes:
        return not _lost.unknown(node)
    trash = _Trash(node, grace_ns)
    portions = trash.portions()
    if not portions:
        return False
    if prunes and portions[0][0] + grace_ns <= node.clock.now_ns() and not _silent(node):
        return True
    newest = node.index.one("SELECT coalesce(max(row), 0) FROM version")[0]
    if node.index.meta("trash_row") == newest:
        return False
    node.index.set_meta("trash_row", newest)
    return trash.is_used()


def _answers(node: Node) -> dict[str, set[tuple[str, int]]]:
    """By node: the prune records that it has answered, with nothing missing before the answer."""
    known = positions(node)
    found: dict[str, set[tuple[str, int]]] = {}
    sql = "SELECT origin, seq, fields FROM event WHERE kind = 'prune-ok'"
    for origin, seq, text in node.index.rows(sql):
        position = known.get(origin)
        whole = origin == node.uuid or (position is not None and position.gapless >= seq)
        of, _, number = text.partition("of=")[2].partition(":")
        if whole and number.isdigit():
            found.setdefault(origin, set()).add((of, int(number)))
    return found


class _Trash:
    """`trash/<seconds>/<block>`: set aside then."""

    def __init__(self, node: Node, grace_ns: int) -> None:
        self.node = node
        self.directory = os.path.join(node.directory, "trash")
        self.grace_ns = grace_ns
        self.now = node.clock.now_ns()
        self.blocks = self.bytes = self.deleted = self.deleted_bytes = 0
        self.waiting: list[str] = []

    def portions(self) -> list[tuple[int, str]]:
        try:
            found = [name for name in os.listdir(self.directory) if name.isdigit()]
        except FileNotFoundError:
            return []
        return sorted((int(name) * SECOND_NS, os.path.join(self.directory, name)) for name in found)

    def _in(self, directory: str) -> Iterator[tuple[bytes, str]]:
        for name in os.listdir(directory):
            with suppress(ValueError):
                yield bytes.fromhex(name[:64]), os.path.join(directory, name)

    def _used(self, blocks: list[bytes]) -> set[bytes]:
        found: set[bytes] = set()
        for chunk in chunks(blocks):
            sql = (
                f"SELECT b.id FROM block b WHERE b.id IN ({marks(chunk)}) AND EXISTS"
                " (SELECT 1 FROM use u JOIN version v ON v.row = u.version"
                " WHERE u.block = b.no AND v.pruned = 0)"
                f" UNION SELECT id FROM version WHERE id IN ({marks(chunk)})"
            )
            found.update(row[0] for row in self.node.index.rows(sql, [*chunk, *chunk]))
        return found

    def is_used(self) -> bool:
        """Whether a version names something that was set aside."""
        portions = self.portions()
        return any(self._used([block for block, _ in self._in(place)]) for _, place in portions)

    def bring_back(self) -> None:
        """What a version names again goes back to its place."""
        for _, directory in self.portions():
            for block in self._used([block for block, _ in self._in(directory)]):
                self.node.blocks.bring_back(block, directory)

    def set_aside(self, cancelled: Cancelled) -> None:
        """Move blocks that no living version names."""
        target = os.path.join(self.directory, str(self.now // SECOND_NS))
        for group in chunks(self.node.blocks.iter_held(), 5000):
            if cancelled():
                return
            blocks = [block for block, _ in group]
            used = self._used(blocks)
            going = [block for block in dict.fromkeys(blocks) if block not in used]
            self.node.blocks.unstage(going)
            for block in going:
                fsio.mkdirs(target)
                size = self.node.index.block_size(block)
                if self.node.blocks.set_aside(block, target):
                    self.blocks += 1
                    self.bytes += size or 0

    def delete(self) -> None:
        """Delete what has waited long enough, if every node has answered."""
        silent = _silent(self.node)
        self.waiting += silent
        for since, directory in self.portions():
            left = since + self.grace_ns - self.now
            if left > 0:
                more = plural(-(-left // (24 * 3600 * SECOND_NS)), "more day")
                self.waiting.append(f"the grace period of what was set aside: {more}")
                continue
            if silent:
                continue
            for _, path in list(self._in(directory)):
                with suppress(FileNotFoundError):
                    self.deleted_bytes += os.lstat(path).st_size
                    fsio.unlink(path)
                    self.deleted += 1
            with suppress(OSError):
                fsio.rmdir(directory)


def _silent(node: Node) -> list[str]:
    """Nodes that have not answered every prune record, in sentences."""
    answers = _answers(node)
    asked = set(map(tuple, node.index.rows("SELECT origin, seq FROM event WHERE kind = 'prune'")))
    silent = []
    for uuid, name in _lost.waited_for(node).items():
        missing = asked - answers.get(uuid, set())
        if missing:
            silent.append(f"{name} has not yet agreed to {plural(len(missing), 'prune')}")
            if uuid == node.uuid and not node.at_home():
                silent.append(home.ELSEWHERE)
    return silent
