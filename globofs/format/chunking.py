"""Where a file's content is cut into blocks: a pure function of its bytes. FORMAT.md, section 6.

`fixed` cuts every `blocksize` bytes. `cdc` is FastCDC 2020 (two bytes a step, normalisation
level 1, the paper's gear table, seed 0) with `blocksize` as the average, a quarter of it as the
smallest and four times it as the largest block. Readers need none of this: manifests list sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from globofs.errors import FormatError
from globofs.limits import BLOCK_SIZE_MAX, BLOCK_SIZE_MIN, CDC_BLOCK_SIZE_MAX, MIB

if TYPE_CHECKING:
    from pyfastcdc import FastCDC

WINDOW_BYTES: Final = 4 * MIB

ReadInto = Callable[[memoryview], int]
"""Fills a buffer with a file's next bytes and says how many they are, as `FileIO.readinto` and
`lambda view: os.readv(fd, [view])` do: fewer than fit is fine, 0 is the end."""


class Chunker:
    """Cuts content as one node's config says. Holds no state of a file: threads may share it."""

    def __init__(self, chunking: str, blocksize: int) -> None:
        """`chunking` is `fixed` or `cdc`, `blocksize` in bytes. FormatError outside the limits."""
        most = CDC_BLOCK_SIZE_MAX if chunking == "cdc" else BLOCK_SIZE_MAX
        if chunking not in ("fixed", "cdc") or not BLOCK_SIZE_MIN <= blocksize <= most:
            reason = f"no blocks of {blocksize} bytes ({BLOCK_SIZE_MIN} to {most})"
            raise FormatError(what=f"chunking={chunking}", reason=reason)
        self.smallest = blocksize // 4 if chunking == "cdc" else blocksize
        """Content of at most this size is one block."""
        self.largest = blocksize * 4 if chunking == "cdc" else blocksize
        """No block is larger."""
        self._fixed = chunking == "fixed"
        self._average = blocksize
        self._cdc: FastCDC | None = None  # made when there is something to cut

    def cut(self, data: bytes | memoryview, final: bool = True) -> list[int]:
        """The sizes of the blocks that `data` begins with.

        `final`: `data` is all there is to the end of the file, and all of it is cut. Otherwise
        only the blocks whose end cannot depend on what follows; their sum may be less than
        `len(data)`, and the rest must come first next time.
        """
        if self._fixed:
            whole, rest = divmod(len(data), self.largest)
            return [self.largest] * whole + ([rest] if rest and final else [])
        sizes: list[int] = []
        left = len(data)
        if left <= self.smallest:
            return [left] if left and final else sizes
        if self._cdc is None:
            self._cdc = self._make_cdc()
        for chunk in self._cdc.cut_buf(data):
            # A cut before the end of `data` is where the bytes before it say; FastCDC looks at how
            # many are left for the last block only.
            if chunk.length == left and not final:
                break
            sizes.append(chunk.length)
            left -= chunk.length
        return sizes

    def _make_cdc(self) -> FastCDC:
        from pyfastcdc import FastCDC  # slow to load, and most files are one block

        return FastCDC(
            self._average,
            min_size=self.smallest,
            max_size=self.largest,
            normalized_chunking=1,
            seed=0,
        )


def iter_chunks(read_into: ReadInto, chunker: Chunker, size_hint: int = 0) -> Iterator[bytes]:
    """The blocks of the file that `read_into` reads, in order, until it has no more.

    Memory stays below 4 MiB and three times the largest block, whatever the file's size; `size_hint`,
    the expected size in bytes, spares small files that. Where the blocks end depends on the
    bytes alone, not on how many come at a time.
    """
    full = WINDOW_BYTES + chunker.largest
    buffer = memoryview(bytearray(min(full, size_hint + 1) if size_hint else full))
    start = end = 0  # what is read and not yet given out
    final = False
    while not final:
        if end == len(buffer) < full:  # the file is larger than it was said to be
            buffer = _moved(buffer[start:end], bytearray(full))
        elif start:
            buffer[: end - start] = buffer[start:end]
        start, end = 0, end - start
        while end < len(buffer) and not final:
            count = read_into(buffer[end:])
            end += count
            final = not count
        for size in chunker.cut(buffer[:end], final):
            yield bytes(buffer[start : start + size])
            start += size


def _moved(data: memoryview, into: bytearray) -> memoryview:
    """`into`, beginning with `data`."""
    into[: len(data)] = data
    return memoryview(into)
