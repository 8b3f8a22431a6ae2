"""Journals decoded in a process of their own while the index is filled: what that process does.

It knows no volume: it is told files and says what records they hold, up to the first bytes that
are no record. Judging those, and everything else, is left to who asked. Started by `decoder`.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from globofs import limits
from globofs.errors import FormatError
from globofs.format.record import Damage, Framed, frames
from globofs.format.versions import read
from globofs.store import fsio, messages

Asked = list[tuple[str, int]]
"""Files and the offsets from which they are to be read, in this order."""
Row = tuple[Any, ...]
"""A record: its id and body, or in place of the body the fields of a plain version's `Record`,
`VersionRecord` and `Manifest`, without what follows from others of them, and the content."""
Piece = tuple[int, list[Row]]
"""Records of a file, and the offset behind the last. A file's last piece has none."""

_FIRST_BYTES: Final = 64 * limits.KIB
_PIECE_BYTES: Final = limits.MIB
_MOST_BYTES: Final = limits.RECORD_BYTES + 1024
_AHEAD: Final = 6
"""Pieces that wait until they are taken."""


def serve() -> None:
    """Answer requests until there are no more."""
    waiting: queue.Queue[bytes] = queue.Queue(_AHEAD)
    with messages.streams(buffering=0) as (requests, answers):
        threading.Thread(target=_send, args=(answers, waiting), daemon=True).start()
        while (asked := messages.read(requests)) is not None:
            for path, offset in asked:
                for piece in pieces(path, offset):
                    waiting.put(messages.pack(piece))


def _send(answers: BinaryIO, waiting: queue.Queue[bytes]) -> None:
    while True:
        data = memoryview(waiting.get())
        try:
            while data:
                data = data[answers.write(data) :]
        except OSError:
            os._exit(0)  # nobody listens any more


def pieces(path: str, offset: int) -> Iterator[Piece]:
    """The records of a file from an offset on, as far as they follow each other unharmed."""
    size = _FIRST_BYTES
    while True:
        try:
            data = fsio.read_range(path, offset, size)
        except OSError:
            break
        end, rows, harmed = _rows(data, offset)
        if rows:
            yield end, rows
        offset = end
        if harmed or len(data) < size or (not rows and size == _MOST_BYTES):
            break
        size = min(4 * size, _PIECE_BYTES) if rows else _MOST_BYTES
    yield offset, []


def _rows(data: bytes, base: int) -> tuple[int, list[Row], bool]:
    """The records at the beginning of `data`, where they end, and whether harm is behind them."""
    rows: list[Row] = []
    end = base
    for found in frames(data, base):
        if not isinstance(found, Framed):
            return end, rows, isinstance(found, Damage)
        try:
            rows.append(_row(found))
        except FormatError:
            return end, rows, True
        end = found.end
    return end, rows, False


def _row(found: Framed) -> Row:
    record, version, manifest = read(found.body)
    if version is None or manifest is None:
        return found.id, found.body
    return (
        *(found.id, record.seq, record.origin, record.prev, record.op, record.time),
        *version,
        *(manifest.node, manifest.size, manifest.mode, manifest.mtime),
        *(tuple(map(tuple, manifest.blocks)), manifest.content),
    )
