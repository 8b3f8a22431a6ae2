"""Whether the index has the operations right: what they were called, when, and how much they did."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from typing import Final

from globofs.errors import FormatError
from globofs.format import kinds
from globofs.format.record import Record
from globofs.store.audit_blocks import VersionRow
from globofs.store.index import Index
from globofs.store.portions import chunks, marks

_NEVER: Final = 2**62


class OpAudit:
    """One comparison: five numbers for each operation, by the number of its row."""

    def __init__(self, index: Index, tell: Callable[[bytes, str], None]) -> None:
        self.index = index
        self._tell = tell
        count, last = index.one("SELECT count(*), coalesce(max(no), 0) FROM op")
        self._rows = int(last) if last <= count else 0
        if last > count:
            tell(b"", "the numbers of operations have holes")
        size = self._rows + 1
        self._first = array("q", [_NEVER]) * size
        self._newest = array("q", [0]) * size  # of its records
        self._last = array("q", [0]) * size  # of its versions
        self._versions = array("q", [0]) * size
        self._bytes = array("q", [0]) * size
        self._odd_ends: list[tuple[str, int]] = []
        self._numbers: dict[tuple[str, int], tuple[int, str, str, int]] = {}

    def load(self, origin: str, numbers: Iterable[int]) -> None:
        """Read the rows of some operations of an origin."""
        self._numbers = {}
        for chunk in chunks(numbers):
            sql = (
                "SELECT number, no, verb, args, closed FROM op WHERE node = ?"
                f" AND number IN ({marks(chunk)})"
            )
            for number, *row in self.index.db.execute(sql, (origin, *chunk)):
                self._numbers[origin, number] = (row[0], row[1], row[2], row[3])

    def heard(self, origin: str, record: Record) -> None:
        """A record belongs to an operation."""
        row = self._numbers.get((origin, record.op))
        if row is None:
            self._tell(b"", f"operation {record.op} of {origin} is lacking")
        elif row[0] <= self._rows:
            no = row[0]
            self._first[no] = min(self._first[no], record.time)
            self._newest[no] = max(self._newest[no], record.time)

    def closed(self, origin: str, record: Record) -> None:
        """The record that ends an operation."""
        row = self._numbers.get((origin, record.op))
        try:
            close = kinds.CloseRecord.parse(record)
        except FormatError:
            return
        args = "\n".join(value for key, value in record.fields if key == "arg")
        if row is not None and row[1:] != (close.verb, args, 1):
            self._odd_ends.append((origin, record.op))

    def made(self, row: VersionRow) -> None:
        """A version belongs to the operation in its row."""
        if 0 < row.op <= self._rows:
            self._last[row.op] = max(self._last[row.op], row.time)
            self._versions[row.op] += 1
            self._bytes[row.op] += row.size

    def end(self, without: set[str]) -> None:
        """Compare the sums, but of the origins `without`: their records were not all compared, or
        they went on in two ways, of which each may have ended the same operation."""
        for origin, number in self._odd_ends:
            if origin not in without:
                self._tell(b"", f"how operation {number} of {origin} ended")
        sql = "SELECT no, node, number, time, last, versions, bytes FROM op WHERE no <= ?"
        for no, node, number, *sums in self.index.db.execute(sql, (self._rows,)):
            if node not in without and not self._right(no, *sums):
                self._tell(b"", f"the sums of operation {number} of {node}")

    def _right(self, no: int, time: int, last: int, versions: int, size: int) -> bool:
        if (time, versions, size) != (self._first[no], self._versions[no], self._bytes[no]):
            return False
        # Which of its records tells how long it went on depends on the order they came in.
        least = max(self._first[no], self._last[no])
        return least <= last <= max(self._newest[no], self._last[no])
