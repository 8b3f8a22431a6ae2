"""Files being changed through a mount: a sparse file over the blocks of the version below it.

A write in the middle of a large file copies in only the blocks it touches; the rest stays in the
base version and is kept by name when the change becomes a version. FORMAT.md, section 1
(`state/open/`).
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import NamedTuple

from globofs.store import fsio
from globofs.store.views import Block

ReadBase = Callable[[int, int], fsio.Buffer]
"""Bytes of the base version: (offset, size) -> exactly that many bytes."""

Touched = Callable[[int], None]
"""Told of each base block that left the base, before its copy is relied on."""

_COPY = 1 << 20


class Span(NamedTuple):
    """A piece of the content that lies in the scratch file."""

    offset: int
    length: int


def _untold(_: int) -> None:
    """The `touched` of a scratch file that nobody will have to recover."""


class Scratch:
    """The content of one file being changed. Safe to use from several threads."""

    def __init__(
        self,
        path: str,
        base: Sequence[Block] = (),
        read_base: ReadBase | None = None,
        *,
        touched: Touched = _untold,
        left: Sequence[int] = (),
    ) -> None:
        """A scratch file at `path` (made if missing) over the blocks `base`.

        `left` names the base blocks whose bytes lie in the file already (recovery). An existing
        file keeps its size when anything left the base, else it takes the size of the base.
        Raises OSError.
        """
        self.path = path
        self.base = tuple(base)
        self._starts = [0, *accumulate(block.size for block in self.base)]
        self._clean = bytearray(b"\1" * len(self.base))
        for number in left:
            if number < len(self._clean):
                self._clean[number] = 0
        self._read_base = read_base
        self._touched = touched
        self._lock = threading.RLock()
        self._fd = fsio.open_scratch(path)
        self.size = os.fstat(self._fd).st_size
        if not left and self.base and self.size < self._starts[-1]:
            self.size = self._starts[-1]
            fsio.truncate(self._fd, path, self.size)

    # --- reading ------------------------------------------------------------------------------

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end. Raises what the base raises."""
        with self._lock:
            size = min(size, self.size - offset)
            if size <= 0:
                return b""
            if not any(self._clean):
                return self._from_scratch(offset, size)
            pieces: list[bytes] = []
            end = offset + size
            for start, stop, clean in self._stretches(offset, end):
                piece = self._from_base(start, stop - start) if clean else b""
                pieces.append(piece or self._from_scratch(start, stop - start))
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _from_scratch(self, offset: int, size: int) -> bytes:
        data = fsio.pread_all(self._fd, offset, size)
        return data + bytes(size - len(data))

    def _from_base(self, offset: int, size: int) -> bytes:
        assert self._read_base is not None
        data = self._read_base(offset, size)
        if len(data) != size:
            raise OSError(5, "the version below is shorter than it says", self.path)
        return bytes(data)

    def _stretches(self, offset: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """[offset, end) cut where the place of the bytes changes: (start, stop, in the base)."""
        position = offset
        while position < end:
            number = bisect_right(self._starts, position) - 1
            if number >= len(self.base):
                yield position, end, False
                return
            clean = bool(self._clean[number])
            stop = number + 1
            while (
                stop < len(self.base)
                and self._starts[stop] < end
                and bool(self._clean[stop]) == clean
            ):
                stop += 1
            until = min(end, self._starts[stop])
            yield position, until, clean
            position = until

    # --- changing -----------------------------------------------------------------------------

    def pwrite(self, data: bytes, offset: int) -> int:
        """Write all of `data` at `offset`; what lies between the end and it becomes zeros."""
        with self._lock:
            end = offset + len(data)
            leaving = self._in_base(offset, end)
            for number in leaving:
                start, stop = self._starts[number], self._starts[number + 1]
                if offset > start or stop > end:
                    self._copy(start, stop)
            try:
                fsio.write_at(self._fd, self.path, offset, data)
            except OSError:
                if end > self.size:  # what was written of it is no part of the file
                    fsio.truncate(self._fd, self.path, self.size)
                raise
            self.size = max(self.size, end)
            # Told only now: a block said to have left must have its bytes in the scratch file.
            self._drop(leaving)
            return len(data)

    def truncate(self, size: int) -> None:
        """Cut or extend with zeros to `size` bytes."""
        with self._lock:
            gone = self._in_base(size, self._starts[-1])
            if gone and self._starts[gone[0]] < size:
                self._copy(self._starts[gone[0]], size)
            fsio.truncate(self._fd, self.path, size)
            self.size = size
            self._drop(gone)

    def _in_base(self, offset: int, end: int) -> list[int]:
        """The base blocks that [offset, end) touches and whose bytes are still in the base."""
        if offset >= end or offset >= self._starts[-1]:
            return []
        first = bisect_right(self._starts, offset) - 1
        last = min(bisect_right(self._starts, end - 1), len(self.base))
        return [number for number in range(first, last) if self._clean[number]]

    def _copy(self, start: int, stop: int) -> None:
        for at in range(start, stop, _COPY):
            piece = self._from_base(at, min(_COPY, stop - at))
            fsio.write_at(self._fd, self.path, at, piece)

    def _drop(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._touched(number)
            self._clean[number] = 0

    # --- ending -------------------------------------------------------------------------------

    def pieces(self) -> list[Block | Span]:
        """The content in order: base blocks kept as they are, and spans of the scratch file."""
        with self._lock:
            found: list[Block | Span] = []
            position = 0
            for number, block in enumerate(self.base):
                if not self._clean[number]:
                    continue
                start = self._starts[number]
                if start + block.size > self.size:
                    break
                if start > position:
                    found.append(Span(position, start - position))
                found.append(block)
                position = start + block.size
            if position < self.size:
                found.append(Span(position, self.size - position))
            return found

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Keep writers waiting, so that what is read meanwhile is one state of the file."""
        with self._lock:
            yield

    def sync(self) -> None:
        """Make what was written so far survive a power loss."""
        fsio.fdatasync(self._fd, self.path)

    def close(self, *, keep: bool = False) -> None:
        """Close; the file is removed unless `keep`. May be called twice."""
        with self._lock:
            if self._fd < 0:
                return
            os.close(self._fd)
            self._fd = -1
            if not keep:
                fsio.remove(self.path)
