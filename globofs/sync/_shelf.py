"""Small blocks many at a time: from the staged files of the node that wrote them.

One by one, each costs some round trips; a staged file (FORMAT.md, section 8) is read in order,
several pieces at once. It is a cache that its node may delete: what is not found there, or is not
what its name says, is pulled like any other block.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import Final

from globofs import limits
from globofs.errors import Damaged, GlobofsError
from globofs.events import Cancelled
from globofs.peerio.peer import Peer
from globofs.peerio.pool import Call
from globofs.store import staged
from globofs.store.block_files import Raw, decode
from globofs.sync._flight import Wanted

WORTH_BLOCKS: Final = 64
"""So many small blocks of one writer are looked for on its shelf; fewer are pulled as they are."""
_PIECE_BYTES: Final = 256 * limits.KIB
_PIECES_AHEAD: Final = 8
_FILES_MOST: Final = 32
_FILE_LEAST_BYTES: Final = 64 * limits.KIB
_HITS_LEAST: Final = 0.25  # of the blocks in a piece: below, reading on moves mostly other things


class Shelf:
    """The staged files of one peer, for as long as a fetch lasts. For one thread."""

    def __init__(self, peer: Peer, patience: float | None) -> None:
        """`patience`: after how many seconds without any answer it is left to whoever is quicker."""
        self.peer = peer
        self._patience = patience
        self._files: dict[str, tuple[int, int]] | None = None  # name: its size, where to go on

    def take(
        self, wanted: dict[bytes, Wanted], cancelled: Cancelled
    ) -> Iterator[tuple[Wanted, bytes, str]]:
        """Those of `wanted` that lie there, as stored, with their suffix; verified. Each is taken
        out of `wanted`. Raises nothing of the peer's doing: whoever pulls the rest will tell."""
        try:
            if self._files is None:
                listed = sorted(self.peer.list_staged(), key=lambda file: -file[1])
                large = [file for file in listed if file[1] >= _FILE_LEAST_BYTES]
                self._files = {name: (size, 0) for name, size in large[:_FILES_MOST]}
            for name in self._files:
                yield from self._read(name, wanted, cancelled)
                if len(wanted) < WORTH_BLOCKS or cancelled() or not self._files:
                    return
        except GlobofsError:
            return

    def _read(
        self, name: str, wanted: dict[bytes, Wanted], cancelled: Cancelled
    ) -> Iterator[tuple[Wanted, bytes, str]]:
        assert self._files is not None
        size, start = self._files[name]
        rest = b""
        for offset, piece in self._pieces(name, start, size):
            data = rest + piece
            frames, used = staged.split(data)
            hits = 0
            for frame in frames:
                item = wanted.get(frame.id)
                if item is None or item.size != frame.size:
                    continue
                stored = data[frame.offset : frame.offset + frame.length]
                try:
                    decode(frame.id, frame.size, Raw(stored, frame.suffix, ""))
                except Damaged:
                    continue
                hits += 1
                del wanted[frame.id]
                yield item, stored, frame.suffix
            if hits:  # what comes in the next portion may begin in here
                self._files[name] = size, offset - len(rest)
            rest = data[used:]
            # A piece without a frame is no piece of a staged file, which may go on like that.
            if not wanted or cancelled() or not frames or hits < len(frames) * _HITS_LEAST:
                return

    def _pieces(self, name: str, start: int, size: int) -> Iterator[tuple[int, bytes]]:
        """Pieces of a file with their offsets: one at first, more ahead as they are of use."""
        calls: deque[tuple[int, Call[bytes]]] = deque()
        ahead = 1
        while True:
            while not calls or (len(calls) < ahead and start < size):
                calls.append((start, self.peer.start_staged(name, start, _PIECE_BYTES)))
                start += _PIECE_BYTES
            offset, call = calls.popleft()
            if not self._waited(call):
                self._files = {}
                return
            piece = self.peer.finish_staged(call)
            if piece:
                yield offset, piece
            if len(piece) < _PIECE_BYTES:
                return
            ahead = min(2 * ahead, _PIECES_AHEAD)

    def _waited(self, call: Call[bytes]) -> bool:
        """Whether a piece came as long as the peer gave signs of life: its line may be full of
        what we ask it for beside this."""
        pool = self.peer.pool
        since = time.monotonic()
        while not pool.wait(call, self._patience):
            if pool.answered <= since:
                return False
            since = time.monotonic()
        return True
