"""Whether the index has the blocks of versions right: lists, uses, sizes, and what is missing."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from globofs.errors import Damaged
from globofs.format import kinds
from globofs.format.manifest import Manifest
from globofs.store.index import Index
from globofs.store.portions import chunks, marks

Tell = Callable[[bytes, str], None]

_COLUMNS: Final = (
    "v.row, v.id, p.path, v.time, v.node, v.kind, v.size, v.mode, v.mtime, v.target, v.parents,"
    " v.from_path, v.from_id, v.content, v.blocks, v.missing, v.lacking, v.source, v.origin, v.seq,"
    " v.list, v.extra, v.pending, v.op, o.node, o.number"
)
_TABLES: Final = " FROM version v LEFT JOIN path p ON p.no = v.path LEFT JOIN op o ON o.no = v.op "

ODD_MOST: Final = 10_000
"""Of more blocks than these it is not remembered that somebody states another size of them."""
SHORT_BYTES: Final = 800
"""Blocks of lists up to this are asked for together."""


class VersionRow(NamedTuple):
    """A row of the table `version`, with the path and the operation it belongs to (None: lost)."""

    row: int
    id: bytes
    path: bytes | None
    time: int
    node: str
    kind: str
    size: int
    mode: int
    mtime: int
    target: bytes
    parents: bytes
    from_path: bytes | None
    from_id: bytes | None
    content: bytes
    blocks: int
    missing: int
    lacking: int
    source: str
    origin: str
    seq: int
    list: bytes
    extra: str | None
    pending: int
    op: int
    op_node: str | None
    op_number: int | None


class _Block(NamedTuple):
    no: int
    id: bytes
    size: int
    held: int


def _numbers(packed: bytes) -> array[int]:
    """A list as the table keeps it: numbers of blocks, each with a size. What is left over at its
    end is a number without a size."""
    return array("I", packed + bytes(-len(packed) % 4))


class BlockAudit:
    """One comparison, within the snapshots of its caller."""

    def __init__(self, index: Index, tell: Tell) -> None:
        self.index = index
        self._tell = tell
        self._uses = 0
        self._read: dict[int, _Block] = {}  # those of a batch
        self._claims: dict[bytes, set[int]] = {}
        self._odd: dict[bytes, tuple[bytes, int]] = {}
        self._pending = self._count_pending()

    def rows_of(self, ids: Sequence[bytes]) -> dict[bytes, VersionRow]:
        """The rows of versions, by id."""
        found: dict[bytes, VersionRow] = {}
        for chunk in chunks(ids):
            sql = f"SELECT {_COLUMNS}{_TABLES}WHERE v.id IN ({marks(chunk)})"
            for row in self.index.db.execute(sql, chunk):
                found[row[1]] = VersionRow._make(row)
        self._read = {}
        numbers: set[int] = set()
        for one in found.values():
            if len(one.list) <= SHORT_BYTES:
                numbers.update(_numbers(one.list)[0::2])
        self._read = self._known(numbers)
        return found

    def claim(self, entry: kinds.VersionRecord) -> None:
        """A record says how long its manifest is, if that is a block."""
        if entry.length and not entry.text and len(self._claims) < ODD_MOST:
            self._claims.setdefault(entry.manifest, set()).add(entry.length)

    def check_alone(self, row: int) -> None:
        """Of a version whose record is lost: whether its row agrees with itself."""
        sql = f"SELECT {_COLUMNS}{_TABLES}WHERE v.row = ?"
        found = VersionRow._make(self.index.db.execute(sql, (row,)).fetchone())
        self.check(found, None, None)

    def check(
        self, row: VersionRow, entry: kinds.VersionRecord | None, made: Manifest | None
    ) -> None:
        """Compare the block list of a version with its manifest, where that is known, and what
        follows from it with the tables `use` and `block`."""
        packed = _numbers(row.list)
        numbers, sizes = packed[0::2], packed[1::2]
        known = self._known(set(numbers))
        if len(known) < len(set(numbers)) or len(row.list) % 8:
            self._tell(row.path or b"", "the list of blocks of a version")
            return
        pairs = [(known[no].id, size) for no, size in zip(numbers, sizes, strict=True)]
        if made is not None and pairs != [tuple(block) for block in made.blocks]:
            self._tell(row.path or b"", "the blocks of a version")
            return
        self._count(row, numbers, sizes, known, entry)

    def _count(
        self,
        row: VersionRow,
        numbers: Sequence[int],
        sizes: Sequence[int],
        known: dict[int, _Block],
        entry: kinds.VersionRecord | None,
    ) -> None:
        uses: dict[int, tuple[int, int]] = {}
        missing = lacking = 0
        for no, size in zip(numbers, sizes, strict=True):
            times, total = uses.get(no, (0, 0))
            uses[no] = times + 1, total + size
            if not known[no].held:
                missing += 1
                lacking += size
            if known[no].size != size:
                self._odd_size(row.path or b"", known[no])
        blocks = len(numbers)
        large = self._large(row, entry)
        if large is not None and row.pending:
            blocks, missing = 1, int(not large.held)
            lacking = missing * large.size
            uses = {large.no: (1, large.size)}
        elif large is not None:
            uses.setdefault(large.no, (0, 0))
        if (row.blocks, row.missing, row.lacking) != (blocks, missing, lacking):
            self._tell(row.path or b"", "how much of a version is here")
        sql = "SELECT times, bytes FROM use WHERE block = ? AND version = ?"
        for no, use in uses.items():
            if self.index.db.execute(sql, (no, row.row)).fetchone() != use:
                self._tell(row.path or b"", "which blocks a version uses")
                break
        self._uses += len(uses)

    def _large(self, row: VersionRow, entry: kinds.VersionRecord | None) -> _Block | None:
        """The block that is the manifest of a version, if that is too large for a record."""
        if entry is not None and (entry.text or not entry.length):
            return None
        block = self._by_id(row.id)
        if block is None or entry is not None:
            return block
        sql = "SELECT 1 FROM use WHERE block = ? AND version = ?"
        return block if self.index.db.execute(sql, (block.no, row.row)).fetchone() else None

    def _known(self, numbers: set[int]) -> dict[int, _Block]:
        found = {no: self._read[no] for no in numbers if no in self._read}
        for chunk in chunks(numbers - found.keys()):
            sql = f"SELECT no, id, size, held FROM block WHERE no IN ({marks(chunk)})"
            found.update((row[0], _Block._make(row)) for row in self.index.db.execute(sql, chunk))
        return found

    def _by_id(self, block: bytes) -> _Block | None:
        sql = "SELECT no, id, size, held FROM block WHERE id = ?"
        row: Any = self.index.db.execute(sql, (block,)).fetchone()
        return None if row is None else _Block._make(row)

    def _odd_size(self, path: bytes, block: _Block) -> None:
        """A version says that a block has another size: that is wrong, or the version lies."""
        sql = "SELECT 1 FROM use WHERE block = ? AND times > 0 AND bytes = times * ? LIMIT 1"
        if len(self._odd) == ODD_MOST or block.id in self._odd:
            return
        if not self.index.db.execute(sql, (block.no, block.size)).fetchone():
            self._odd[block.id] = path, block.size

    def odd_sizes(self) -> None:
        """Look at the blocks whose size nobody confirms; outside of any snapshot."""
        for block, lengths in self._claims.items():
            row = self._by_id(block)
            if row is not None and row.size not in lengths:
                self._odd[block] = b"", row.size
        for block, (path, size) in self._odd.items():
            plain = None
            with suppress(KeyError, Damaged, OSError):
                plain = self.index.read_block(block) if self.index.read_block else None
            if plain is None or len(plain) != size:
                self._tell(path, f"the size of block {block.hex()[:16]}")

    def end(self, rows: int) -> None:
        """Whether there are uses that belong to no version up to the number `rows`."""
        sql = "SELECT count(*) FROM use WHERE version <= ?"
        count = self.index.db.execute(sql, (rows,)).fetchone()[0]
        if count > self._uses and self._pending == self._count_pending():
            self._tell(b"", "uses of blocks that no version has")

    def _count_pending(self) -> int:
        """How many large manifests have not come: their versions change when they do."""
        return int(self.index.one("SELECT count(*) FROM version WHERE pending = 1")[0])
