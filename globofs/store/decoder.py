"""A second process that decodes journals while this one writes what they say into the index.

Filling an index is Python's work, of which one process does one thing at a time. What the second
one finds is only the quick way: where it meets anything unusual, is missing or dies, this process
goes on by itself from the same place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final, cast

from globofs.format.kinds import VersionRecord
from globofs.format.manifest import Block, Manifest
from globofs.format.record import Record
from globofs.format.versions import read
from globofs.store._decoding import Asked, Row
from globofs.store.apply_records import Item
from globofs.store.second import SecondProcess, is_worth_it

_new: Final = cast(Any, tuple.__new__)


class Decoder(SecondProcess):
    """The second process. For one thread."""

    def __init__(self) -> None:
        """Start it. Raises OSError."""
        super().__init__("globofs.store._decoding")
        self._expected: deque[tuple[str, int]] = deque()

    @classmethod
    def start(cls) -> Decoder | None:
        """One where this machine can run it at the same time."""
        if is_worth_it():
            with suppress(OSError):
                return cls()
        return None

    def expect(self, files: Asked) -> None:
        """Say which files will be asked for next, from which offsets, in their order."""
        if not self.dead and files and self.send(files):
            self._expected += files

    def read(self, path: str, offset: int) -> Iterator[tuple[list[Item], int]]:
        """Records of a file from an offset on, each list with the offset behind its last one;
        none, or not all, where this process is to go on by itself."""
        if self.dead or not self._expected:
            return
        if self._expected.popleft() != (path, offset):
            self.end()  # what it says now is not what is asked
            return
        whole = False
        try:
            while (piece := self.receive()) is not None:
                end, rows = piece
                if not rows:
                    whole = True
                    return
                yield list(map(item, rows)), end
        finally:
            if not whole:
                self.end()


def item(row: Row) -> Item:
    """A record to apply, of what the second process says of it."""
    if len(row) == 2:
        plain = read(row[1])
        return Item(plain.record, row[0], plain.version, plain.manifest)
    found, seq, origin, prev, op, time, path, what, at, parents, named, length, source, text = row[
        :14
    ]
    node, size, mode, mtime, listed, content = row[14:]
    blocks = tuple([_new(Block, block) for block in listed])
    shape = (what, path, at, node, parents, size, mode, mtime, b"", None, None, blocks, ())
    entry = (path, what, at, parents, named, length, source, text)
    record = _new(Record, (seq, origin, prev, op, "version", time, (), b""))
    version, manifest = _new(VersionRecord, entry), _new(Manifest, shape)
    made: Item = _new(Item, (record, found, version, manifest, content))
    return made
