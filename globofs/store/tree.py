"""`root/`: the tree of manifests that a person can walk with nothing but `ls` and `cat`.

A view made from applied records, never read by the engine. Built by whoever finishes a command,
under the lock `tree`, from a cursor of its own: the highest row of `version` that stands there.
A `syncfs` makes what was built durable now and then; after a reboot building starts again from
there, and building anything twice changes nothing.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from globofs import limits
from globofs.errors import FormatError
from globofs.events import Emit, Problem, ignore
from globofs.format import kinds, manifest
from globofs.format.names import to_disk
from globofs.format.text import format_time
from globofs.store import fsio, versions
from globofs.store.clock import boot_id

if TYPE_CHECKING:
    from globofs.store.node import Node

BATCH: Final = 1000
SETTLE_ROWS: Final = 1000
SETTLE_NS: Final = 30 * limits.SECOND_NS
LINK_BLOCKS: Final = 10_000
"""A file of more blocks gets no links: nobody follows them by hand."""

_REFUSED_NAME: Final = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ENOTDIR)
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class _Row(NamedTuple):
    """A version to be built, and whether its path shows it."""

    row: int
    id: bytes
    path: bytes
    time: int
    shown: int
    origin: str
    seq: int


_SELECT: Final = (
    "SELECT v.row, v.id, p.path, v.time, p.shown, v.origin, v.seq FROM version v"
    " JOIN path p ON p.no = v.path WHERE v.pending = 0 AND "
)


def build_tree(node: Node, *, everything: bool = False, emit: Emit = ignore) -> int:
    """Bring `root/` up to the index; the number of versions looked at.

    `everything`: compare all of it, not only what came since the last time. OSErrors of the disk
    pass through, except for names that it refuses: those are announced and left out.
    """
    if node.readonly:
        return 0
    index = node.index
    if not everything and not _behind(node):
        return 0
    with node.locks.tree.exclusive():
        start = 0 if everything else _start(node)
        positions = index.rows("SELECT origin, received FROM seen")
        skip = {} if everything else dict(index.rows("SELECT origin, seq FROM built"))
        builder = _Builder(node, emit)
        count = 0
        for rows in _pending(node, start):
            for row in rows:
                # Rows are numbered anew with the index; what stood before it was lost stands now.
                if start or everything or row.seq > skip.get(row.origin, 0):
                    builder.build(row)
                    count += 1
            index.set_meta("tree_row", rows[-1].row)
        count += _again(node, builder)
        sql = (
            "INSERT INTO built(origin, seq, done) VALUES(?, 0, ?)"
            " ON CONFLICT(origin) DO UPDATE SET done = excluded.done"
        )
        index.write(lambda db: db.executemany(sql, positions))
        _settle_if_due(node, count)
    return count


def _behind(node: Node) -> bool:
    """Whether there is anything to build: two look-ups when there is not."""
    index = node.index
    if index.meta("tree_boot") != boot_id() or index.meta("tree_row") is None:
        return True
    newest = index.one("SELECT max(row) FROM version")[0] or 0
    if newest > (index.meta("tree_row") or 0):
        return True
    return index.one("SELECT 1 FROM again LIMIT 1") is not None


def _start(node: Node) -> int:
    """The row behind which building starts."""
    index = node.index
    row = index.meta("tree_row")
    if row is None:
        row = 0
    elif index.meta("tree_boot") != boot_id():
        row = index.meta("tree_row_synced") or 0
    # In this order: a reader of the second must not meet the row of another boot.
    index.set_meta("tree_row", row)
    index.set_meta("tree_boot", boot_id())
    return int(row)


def _pending(node: Node, start: int) -> Iterator[list[_Row]]:
    while True:
        sql = f"{_SELECT} v.row > ? ORDER BY v.row LIMIT ?"
        rows = [_Row(*row) for row in node.index.rows(sql, (start, BATCH))]
        if not rows:
            return
        yield rows
        start = rows[-1].row


def _again(node: Node, builder: _Builder) -> int:
    """Versions whose large manifest came after their record."""
    rows = [_Row(*row) for row in node.index.rows(f"{_SELECT} v.row IN (SELECT row FROM again)")]
    for row in rows:
        builder.build(row)
    if rows:
        done = [(row.row,) for row in rows]
        node.index.write(lambda db: db.executemany("DELETE FROM again WHERE row = ?", done))
    return len(rows)


def _settle_if_due(node: Node, count: int) -> None:
    settled = int(node.index.meta("tree_settled") or 0)
    now = node.clock.now_ns()
    if count >= SETTLE_ROWS or not 0 <= now - settled < SETTLE_NS:
        settle_tree(node)


def settle_tree(node: Node) -> None:
    """Make what was built durable, so that it need not be built again after a power loss."""
    index = node.index
    with node.locks.tree.exclusive():
        row = index.meta("tree_row") or 0
        done = index.rows("SELECT done, origin FROM built")
        fsio.syncfs(node.root())
        sql = "UPDATE built SET seq = ? WHERE origin = ?"
        index.write(lambda db: db.executemany(sql, done))
        index.set_meta("tree_row_synced", row)
        index.set_meta("tree_settled", node.clock.now_ns())


def manifest_text(node: Node, row: int, version: bytes) -> bytes | None:
    """The exact bytes of a version's manifest; `None` while a large one is not here.

    Made again from the index where that gives the same bytes, else read from the journal.
    """
    text = versions.rewritten_manifest(node.index, row, version)
    if text is not None:
        return text
    found = node.index.one("SELECT origin, seq, pending FROM version WHERE row = ?", (row,))
    if found is None or found[2]:
        return None
    origin, seq, _ = found
    for record in node.journal.read_from(origin, seq - 1):
        if record.record.seq > seq:
            break
        try:
            entry = kinds.VersionRecord.parse(record.record)
        except FormatError:
            continue
        if entry.manifest == version and entry.text:
            return entry.text
    return node.index.read_block(version) if node.index.read_block else None


class _Builder:
    """Puts versions into `root/`."""

    def __init__(self, node: Node, emit: Emit) -> None:
        self.node = node
        self.emit = emit
        self.links = node.config.links
        self._root = node.root()

    def build(self, row: _Row) -> None:
        """One version: its manifest, `latest` if it is shown, links to its blocks."""
        text = manifest_text(self.node, row.row, row.id)
        if text is None:
            return
        relative = to_disk(row.path)
        directory = f"{self._root}/{relative}"
        try:
            self._manifest(f"{directory}/versions", row, text)
            if row.shown == row.row:
                self._latest(f"{directory}/versions/latest", text)
            else:
                self._shown_latest(f"{directory}/versions/latest", row)
        except OSError as error:
            if error.errno not in _REFUSED_NAME:
                raise
            reason = f"cannot be shown in root/: {error.strerror}; its versions are safe"
            self.emit(Problem(row.path, reason, warning=True))
            return
        if self.links:
            self._links(directory, relative.count("/") + 1, row.row)

    @staticmethod
    def _manifest(directory: str, row: _Row, text: bytes) -> None:
        name = f"{directory}/{format_time(row.time)}"
        try:
            fsio.write_new(name, text)
        except FileNotFoundError:
            fsio.mkdirs(directory)
            _write_checked(name, text, row)
        except FileExistsError:
            _write_checked(name, text, row)

    @staticmethod
    def _latest(path: str, text: bytes) -> None:
        try:
            fsio.write_new(path, text)
        except FileExistsError:
            if _read(path) != text:
                fsio.write_atomic(path, text)

    def _shown_latest(self, path: str, row: _Row) -> None:
        """A version that lost: `latest` is another, which may have been built before it."""
        found = self.node.index.one("SELECT id FROM version WHERE row = ?", (row.shown,))
        text = manifest_text(self.node, row.shown, found[0]) if found else None
        if text is not None:
            self._latest(path, text)

    def _links(self, directory: str, depth: int, row: int) -> None:
        blocks = versions.blocks_of(self.node.index, row)
        if len(blocks) > LINK_BLOCKS:
            return
        up = "../" * (depth + 4)
        for block, held in blocks:
            found = self.node.blocks.find(block.id) if held else None
            name = block.id.hex()
            stored = f"{name[:2]}/{name[2:4]}/{name[4:]}"
            suffix = found[1] if found else self.node.blocks.own_suffix
            link = f"{directory}/hashes/{stored}{suffix}"
            if not self._link(f"{up}hashes/{stored}{suffix}", link):
                return

    def _link(self, target: str, link: str) -> bool:
        try:
            try:
                fsio.symlink(target, link)
            except FileNotFoundError:
                fsio.mkdirs(os.path.dirname(link))
                fsio.symlink(target, link)
        except FileExistsError:
            return True
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            reason = f"no links to blocks: this file system has no symlinks ({error.strerror})"
            self.emit(Problem(b"", reason, warning=True))
            self.links = False
            return False
        return True


def _write_checked(name: str, text: bytes, row: _Row) -> None:
    """Write a manifest where something may stand: the same, a twin of the time, or a torn one."""
    twin = f"{name}-{row.id.hex()[:8]}"
    try:
        fsio.write_new(name, text)
        return
    except FileExistsError:
        there = _read(name)
    if there == text:
        return
    try:
        manifest.decode(there)
    except FormatError:
        fsio.write_atomic(name, text)
        return
    if _read(twin) != text:
        fsio.write_atomic(twin, text)


def _read(path: str) -> bytes:
    """What stands in a file of the tree; nothing where something odd does."""
    try:
        return fsio.read_file(path, limits.MANIFEST_BYTES)
    except OSError:
        return b""
