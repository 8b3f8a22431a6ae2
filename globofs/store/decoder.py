"""A second process that decodes journals while this one writes what they say into the index.

Filling an index is Python's work, of which one process does one thing at a time. What the second
one finds is only the quick way: where it meets anything unusual, is missing or dies, this process
goes on by itself from the same place.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import Any, BinaryIO, Final, cast

import globofs
from globofs.format.kinds import VersionRecord
from globofs.format.manifest import Block, Manifest
from globofs.format.record import Record
from globofs.format.versions import read
from globofs.limits import MIB
from globofs.store._decoding import LENGTH_BYTES, Asked, Piece, Row
from globofs.store.apply_records import Item

_PROGRAM: Final = (
    "import sys; sys.path[:] = sys.argv[1:]; from globofs.store._decoding import serve; serve()"
)
_END_SECONDS: Final = 1.0
_new: Final = cast(Any, tuple.__new__)


class Decoder:
    """The second process. For one thread."""

    def __init__(self) -> None:
        """Start it. Raises OSError."""
        here = os.path.dirname(os.path.dirname(os.path.abspath(globofs.__file__)))
        places = [here, *map(os.path.abspath, sys.path)]
        command = [sys.executable, "-I", "-S", "-B", "-c", _PROGRAM, *places]
        self._process = Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, cwd="/")
        self._requests = cast(BinaryIO, self._process.stdin)
        self._answers = cast(BinaryIO, self._process.stdout)
        with suppress(OSError):  # a limit of this user's pipes: then it is only slower
            fcntl.fcntl(self._answers, fcntl.F_SETPIPE_SZ, MIB)
        self._expected: deque[tuple[str, int]] = deque()
        self._closed = False

    @classmethod
    def start(cls) -> Decoder | None:
        """One where this machine can run it at the same time."""
        if len(os.sched_getaffinity(0)) < 2 or not sys.executable:
            return None
        with suppress(OSError):
            return cls()
        return None

    def expect(self, files: Asked) -> None:
        """Say which files will be asked for next, from which offsets, in their order."""
        if self._closed or not files:
            return
        data = marshal.dumps(files)
        try:
            self._requests.write(len(data).to_bytes(LENGTH_BYTES, "little") + data)
            self._requests.flush()
        except OSError:
            self.close()
            return
        self._expected += files

    def read(self, path: str, offset: int) -> Iterator[tuple[list[Item], int]]:
        """Records of a file from an offset on, each list with the offset behind its last one;
        none, or not all, where this process is to go on by itself."""
        if self._closed or not self._expected:
            return
        if self._expected.popleft() != (path, offset):
            self.close()  # what it says now is not what is asked
            return
        whole = False
        try:
            while True:
                piece = self._receive()
                if piece is None:
                    return
                end, rows = piece
                if not rows:
                    whole = True
                    return
                yield list(map(item, rows)), end
        finally:
            if not whole:
                self.close()

    def _receive(self) -> Piece | None:
        try:
            head = self._answers.read(LENGTH_BYTES)
            piece: Piece = marshal.loads(self._answers.read(int.from_bytes(head, "little")))
        except (OSError, EOFError, ValueError, TypeError):
            return None
        return piece

    def close(self) -> None:
        """End it, whatever it does."""
        if self._closed:
            return
        self._closed = True
        self._process.kill()
        for pipe in (self._requests, self._answers):
            with suppress(OSError):
                pipe.close()
        # One that hangs in a dead file system cannot be waited for.
        with suppress(TimeoutExpired):
            self._process.wait(_END_SECONDS)


def item(row: Row) -> Item:
    """A record to apply, of what the second process says of it."""
    if len(row) == 2:
        record, version, manifest = read(row[1])
        return Item(record, row[0], version, manifest)
    found, seq, origin, prev, op, time, path, what, at, parents, named, length, source, text = row[
        :14
    ]
    node, size, mode, mtime, listed = row[14:]
    blocks = tuple([_new(Block, block) for block in listed])
    shape = (what, path, at, node, parents, size, mode, mtime, b"", None, None, blocks, ())
    entry = (path, what, at, parents, named, length, source, text)
    record = _new(Record, (seq, origin, prev, op, "version", time, (), b""))
    made: Item = _new(Item, (record, found, _new(VersionRecord, entry), _new(Manifest, shape)))
    return made
