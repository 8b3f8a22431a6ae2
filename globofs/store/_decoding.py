"""Journals decoded in a process of their own while the index is filled: what that process does.

`python -c "...; from globofs.store._decoding import serve; serve()"`, started by `decoder`. It
writes nothing to any disk and knows no volume: it is told files and says what records they hold,
up to the first bytes that are no record. Judging those, and everything else, is left to who asked.

Requests come on standard input and answers go to standard output, each a length (4 bytes, little
endian) and that many bytes of `marshal`: both ends are the same release on the same machine.
"""

from __future__ import annotations

import marshal
import os
import queue
import signal
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from globofs import limits
from globofs.errors import FormatError
from globofs.format.record import Damage, Framed, frames
from globofs.format.versions import read
from globofs.store import fsio

Asked = list[tuple[str, int]]
"""Files and the offsets from which they are to be read, in this order."""
Row = tuple[Any, ...]
"""A record: its id and body, or in place of the body the fields of a plain version's `Record`,
`VersionRecord` and `Manifest`, without what follows from others of them."""
Piece = tuple[int, list[Row]]
"""Records of a file, and the offset behind the last. A file's last piece has none."""

LENGTH_BYTES: Final = 4
_FIRST_BYTES: Final = 64 * limits.KIB
_PIECE_BYTES: Final = limits.MIB
_MOST_BYTES: Final = limits.RECORD_BYTES + 1024
_AHEAD: Final = 6
"""Pieces that wait until they are taken."""


def serve() -> None:
    """Answer requests until there are no more."""
    # Whoever presses ^C means the command: that ends this process with its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    waiting: queue.Queue[bytes] = queue.Queue(_AHEAD)
    with os.fdopen(0, "rb") as requests, os.fdopen(1, "wb", 0) as answers:
        threading.Thread(target=_send, args=(answers, waiting), daemon=True).start()
        while (asked := _asked(requests)) is not None:
            for path, offset in asked:
                for piece in pieces(path, offset):
                    data = marshal.dumps(piece)
                    waiting.put(len(data).to_bytes(LENGTH_BYTES, "little") + data)


def _asked(requests: BinaryIO) -> Asked | None:
    head = requests.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    asked: Asked = marshal.loads(requests.read(int.from_bytes(head, "little")))
    return asked


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
        tuple(map(tuple, manifest.blocks)),
    )
