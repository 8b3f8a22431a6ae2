"""Reading the content of versions for a mount: many threads, each block decoded once.

The kernel asks for a file in pieces of 128 KiB, several at once. A block is decoded and verified
by the first who needs it, the next ones of a file read in its order by workers meanwhile; what is
not here comes through a `FileReader`, which pulls and reads ahead over the network.
"""

from __future__ import annotations

import errno
import queue
import threading
import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict, deque
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from globofs.errors import ContentMissing, GlobofsError
from globofs.mount.ahead import SMALL_BYTES, Siblings
from globofs.mount.namespace import fail
from globofs.store.versions import blocks_by_id

if TYPE_CHECKING:
    from globofs.mount.messages import Messages
    from globofs.store.fsio import Buffer
    from globofs.store.views import Block
    from globofs.sync.pull import FileReader
    from globofs.volume import Volume

_KEPT_BYTES = 32 << 20
_KEPT_LEAST = 2
"""Blocks that are kept however large they are: each is asked for in many pieces."""
_AHEAD_BYTES = 12 << 20
"""What is decoded before it is asked for, of a file read in its order: one block at least."""
_ALL_AHEAD_BYTES = 24 << 20
"""The same of all files together."""
_STALE_SECONDS = 2.0
"""What nobody read for so long makes room for what is read ahead for others."""
_WORKERS = 2
_FORESEEN = 8
"""Directories whose next files are at hand at the same time, 2 MiB each at most."""
_VAIN_SECONDS = 1.0
"""The kernel asks again for what it did not get: so long the answer is the same at once."""


class _Coming:
    """A block that somebody is decoding."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.data: bytes | None = None


class _Foreseen(NamedTuple):
    """What will probably be read next; what was handed out is gone from it."""

    versions: dict[bytes, list[Block]]
    data: dict[bytes, bytes]


class Contents:
    """Plain blocks that were just read or will be read next, for all open files together."""

    def __init__(self, volume: Volume, messages: Messages) -> None:
        """`messages` hears of content that nobody could give."""
        self.volume = volume
        self.messages = messages
        self._lock = threading.Lock()
        self._foreseen: deque[_Foreseen] = deque(maxlen=_FORESEEN)
        self.siblings = Siblings(volume, self.foresee)
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()  # of what was read, by age
        self._unread: dict[bytes, bytes] = {}
        self._bytes = 0  # of both
        self._coming: dict[bytes, _Coming] = {}
        # What is, or will be, in `_unread`, by age: its size, and since when.
        self._promised: dict[bytes, tuple[int, float]] = {}
        self._promised_bytes = 0
        self._ahead: queue.SimpleQueue[Block] = queue.SimpleQueue()
        self._workers = 0

    def foresee(self, versions: dict[bytes, list[Block]]) -> None:
        """These versions, with their blocks, will probably be read next: have what lies together
        in a staged file at hand. Each is handed out once, the kernel keeps what it got."""
        store = self.volume.node.blocks
        sizes = {block.id: block.size for blocks in versions.values() for block in blocks}
        data = {block: data for block, data in store.get_staged(sizes) if data is not None}
        self._foreseen.appendleft(_Foreseen(dict(versions), data))

    def blocks(self, version: bytes) -> list[Block]:
        """The blocks of the version of that id; EIO if nothing is known of it any more."""
        for foreseen in tuple(self._foreseen):
            blocks = foreseen.versions.pop(version, None)
            if blocks is not None:
                return blocks
        try:
            return blocks_by_id(self.volume.node.index, version)
        except KeyError:
            raise fail(errno.EIO) from None

    def reader(self, version: bytes) -> VersionReader:
        """Random access to the content of the version of that id, for any number of threads."""
        return VersionReader(self, version)

    def held(self, block: Block, *, ahead: bool = False) -> bytes | None:
        """The plain bytes of a block that is on this node, decoded once however many ask.

        `ahead`: nobody reads them yet.
        """
        with self._lock:
            if not ahead:
                self._forget(block.id)
            data = self._at_hand(block.id)
            if data is not None:
                return data
            coming = self._coming.get(block.id)
            mine = coming is None
            if coming is None:
                coming = self._coming[block.id] = _Coming()
        if mine:
            self._decode(block, coming)
        else:
            coming.done.wait()
        return coming.data

    def once(self, block: Block) -> bytes | None:
        """The plain bytes of a block on this node that nobody will ask for again soon."""
        for foreseen in tuple(self._foreseen):
            data = foreseen.data.pop(block.id, None)
            if data is not None:
                self.volume.node.blocks.uses.note((block.id,))
                return data
        return self.volume.puller.held(block.id, block.size)

    def _decode(self, block: Block, coming: _Coming) -> None:
        try:
            coming.data = self.volume.puller.held(block.id, block.size)
        finally:
            if coming.data is not None:
                self.keep(block, coming.data)
            with self._lock:
                del self._coming[block.id]
            coming.done.set()

    def keep(self, block: Block, data: bytes) -> None:
        """Hand out `data` for `block` as long as there is room."""
        with self._lock:
            if self._at_hand(block.id) is None:
                (self._unread if block.id in self._promised else self._kept)[block.id] = data
                self._bytes += len(data)
            while self._bytes > _KEPT_BYTES and len(self._kept) > _KEPT_LEAST:
                self._bytes -= len(self._kept.popitem(last=False)[1])

    def _at_hand(self, block: bytes) -> bytes | None:
        data = self._kept.get(block)
        return self._unread.get(block) if data is None else data

    def _forget(self, block: bytes) -> None:
        """A block is ahead of nobody any more."""
        size, _ = self._promised.pop(block, (0, 0.0))
        self._promised_bytes -= size
        data = self._unread.pop(block, None)
        if data is not None:
            self._kept[block] = data

    def look_ahead(self, blocks: list[Block]) -> int:
        """Decode some blocks soon, where they are on this node. Returns how many of them will be,
        or are: all, unless too much waits to be read already."""
        fresh: list[Block] = []
        taken = 0
        with self._lock:
            for block in blocks:
                if not (
                    block.id in self._promised
                    or block.id in self._coming
                    or self._at_hand(block.id) is not None
                ):
                    if not self._room(block.size):
                        break
                    self._promised[block.id] = block.size, time.monotonic()
                    self._promised_bytes += block.size
                    fresh.append(block)
                taken += 1
            while fresh and self._workers < _WORKERS:
                self._workers += 1
                threading.Thread(target=self._work, name="look ahead", daemon=True).start()
        for block in fresh:
            self._ahead.put(block)
        return taken

    def _room(self, size: int) -> bool:
        while self._promised and self._promised_bytes + size > _ALL_AHEAD_BYTES:
            oldest, (_, since) = next(iter(self._promised.items()))
            if time.monotonic() - since < _STALE_SECONDS:
                return False
            self._forget(oldest)
        return True

    def _work(self) -> None:
        while True:
            block = self._ahead.get()
            data = None
            try:
                if block.id in self._promised:  # else somebody was quicker
                    data = self.held(block, ahead=True)
            except (OSError, GlobofsError):
                pass  # whoever reads the block itself is told
            if data is None:
                with self._lock:
                    self._forget(block.id)
            del data  # it is not held on to while there is nothing to do


class VersionReader:
    """The content of one version. Any number of threads may read at once."""

    def __init__(self, contents: Contents, version: bytes) -> None:
        self._contents = contents
        self._version = version
        self._blocks = contents.blocks(version)
        self._starts = list(accumulate((block.size for block in self._blocks), initial=0))
        # Asked for whole: there is no use in keeping anything of it.
        self._small = self._starts[-1] <= SMALL_BYTES
        self._begin = self._asked = 0  # these blocks were read in their order, or asked for ahead
        self._elsewhere = 0  # where the last read outside of them ended
        self._remote: FileReader | None = None
        self._vain: dict[int, tuple[float, ContentMissing]] = {}
        self._opening = threading.Lock()

    def pread(self, offset: int, size: int) -> Buffer:
        """Up to `size` bytes from `offset`; fewer only at the end. Raises `ContentMissing`."""
        end = min(offset + size, self._starts[-1])
        if offset < 0 or offset >= end:
            return b""
        at = bisect_right(self._starts, offset) - 1
        pieces: list[memoryview] = []
        if not self._small:
            self._look_ahead(at, offset, end)
        while offset < end:
            start = self._starts[at]
            piece = memoryview(self._block(at))[offset - start : end - start]
            pieces.append(piece)
            offset += len(piece)
            at += 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _block(self, at: int) -> bytes:
        block = self._blocks[at]
        if self._small:
            data = self._contents.once(block)
        else:
            data = self._contents.held(block)
        return data if data is not None else self._pulled(at)

    def _look_ahead(self, at: int, offset: int, end: int) -> None:
        """The bytes from `offset`, in block `at`, to `end` are read: have the blocks behind them
        decoded, if this goes on with what was read before, be it only the latest read."""
        last = bisect_left(self._starts, end) - 1
        if offset == 0:
            self._begin, self._asked = 0, last + 1
            return  # perhaps nobody wants more than to know what it is
        if not self._begin <= at <= self._asked:
            goes_on = offset == self._elsewhere
            self._elsewhere = end
            if not goes_on:
                return
            self._begin = self._asked = at
        self._asked = max(self._asked, last + 1)
        most = bisect_right(self._starts, self._starts[last + 1] + _AHEAD_BYTES) - 1
        until = min(max(most, last + 2), len(self._blocks))
        if self._asked < until:
            self._asked += self._contents.look_ahead(self._blocks[self._asked : until])

    def _pulled(self, at: int) -> bytes:
        """A block that is not here: from a peer, with the next ones on their way."""
        since, before = self._vain.get(at, (0.0, None))
        if before is not None and time.monotonic() - since < _VAIN_SECONDS:
            raise before.again()
        try:
            data = self._peers().pread(self._starts[at], self._blocks[at].size)
        except ContentMissing as error:
            self._vain[at] = (time.monotonic(), error)
            self._contents.messages.warn(error.message)
            raise
        self._contents.keep(self._blocks[at], data)
        return data

    def _peers(self) -> FileReader:
        with self._opening:
            if self._remote is None:
                volume = self._contents.volume
                version = volume.view().version_by_id(self._version)
                if version is None:
                    raise fail(errno.EIO)
                patience = volume.node.config.readtimeout_seconds
                self._remote = volume.reader(version, patience=patience)
            return self._remote

    def close(self) -> None:
        """Let go of what is on its way."""
        with self._opening:
            if self._remote is not None:
                self._remote.close()
                self._remote = None
