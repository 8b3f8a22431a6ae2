"""Compression of blocks, and its undoing with a bound on what comes out. FORMAT.md, section 6.

A block's file name tells how it is stored: `.zst`, `.gz`, or nothing for plain bytes. Which one
a node writes is its own affair: a block is named by the SHA-256 of its plain bytes.
"""

from __future__ import annotations

import threading
import zlib
from typing import Final

import zstandard

from globofs.errors import FormatError
from globofs.format.config import SUFFIX_OF
from globofs.limits import BLOCK_SIZE_MAX, COMPRESS_MIN_GAIN, KIB

ENCODED_SLACK_BYTES: Final = 64 * KIB
"""How much larger than its plain bytes an encoded block may be (frames around random data)."""

_TRIAL_SLICES: Final = 4
_TRIAL_SLICE_BYTES: Final = 4 * KIB
_TRIAL_ABOVE: Final = 128 * KIB
_SLICE_BYTES: Final = 256
_WINDOW_MAX: Final = BLOCK_SIZE_MAX  # a frame may refer no further back than a block is long


class _Contexts(threading.local):
    """Compressors of the calling thread: making one costs as much as a small block."""

    def __init__(self) -> None:
        self.compressors: dict[int, zstandard.ZstdCompressor] = {}
        self.decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX)


_contexts = _Contexts()


def compress(data: bytes, method: str, level: int) -> tuple[bytes, str]:
    """`data` as it is to be stored, and the suffix that tells how.

    `method` is `zstd`, `gzip` or `none`. What would shrink by less than 3 % stays plain; for
    larger blocks four samples of 4 KiB decide that, so that photographs and archives cost little
    more than a copy.
    """
    if method == "none" or not data:
        return data, ""
    if len(data) > _TRIAL_ABOVE:
        sample = _sample(data)
        if not _gains(len(_encode(sample, method, 1)), len(sample)):
            return data, ""
    encoded = _encode(data, method, level)
    if not _gains(len(encoded), len(data)):
        return data, ""
    return encoded, SUFFIX_OF[method]


def decompress(data: bytes, suffix: str, size_limit: int) -> bytes:
    """The plain bytes of a stored block, which are `size_limit` at the most.

    A bomb costs no more memory than `size_limit` and the decompressor's window. Raises
    FormatError for data that is damaged, cut off, followed by something else, or too large.
    Several frames or members in a row are read as one, as `zstdcat` and `zcat` do.
    """
    if not 0 <= size_limit <= BLOCK_SIZE_MAX:
        raise _bad(f"{size_limit} bytes are no size of a block")
    if suffix == "":
        if len(data) > size_limit:
            raise _bad(f"larger than the {size_limit} bytes it should have")
        return data
    if suffix == ".zst":
        return _unzstd(data, size_limit)
    if suffix == ".gz":
        return _gunzip(data, size_limit)
    raise _bad(f"no known suffix: {suffix!r}")


def encoded_limit(size: int) -> int:
    """The most bytes that the stored form of a block of `size` plain bytes may have."""
    return size + size // 8 + ENCODED_SLACK_BYTES


def _sample(data: bytes) -> bytes:
    """Pieces of a block from all over it: what is in its middle alone need not be like the rest."""
    part = len(data) // _TRIAL_SLICES
    first = (part - _TRIAL_SLICE_BYTES) // 2
    starts = range(first, len(data) - _TRIAL_SLICE_BYTES, part)
    return b"".join([data[start : start + _TRIAL_SLICE_BYTES] for start in starts])


def _gains(encoded: int, plain: int) -> bool:
    return encoded <= plain * (1 - COMPRESS_MIN_GAIN)


def _encode(data: bytes, method: str, level: int) -> bytes:
    if method == "gzip":
        packer = zlib.compressobj(level, zlib.DEFLATED, 31)  # 31: a gzip header without a time
        return packer.compress(data) + packer.flush()
    if method != "zstd":
        raise _bad(f"no known compression: {method!r}")
    compressor = _contexts.compressors.get(level)
    if compressor is None:
        compressor = zstandard.ZstdCompressor(level=level, write_content_size=True)
        _contexts.compressors[level] = compressor
    return compressor.compress(data)


def _unzstd(data: bytes, size_limit: int) -> bytes:
    try:
        size = zstandard.frame_content_size(data)
        if size > size_limit:
            raise _bad(f"it unpacks to {size} bytes, not to {size_limit} at the most")
        if size >= 0:
            # The claim is now known to be harmless, so the fast way may trust it.
            try:
                return _contexts.decompressor.decompress(data, allow_extra_data=False)
            except zstandard.ZstdError:
                pass  # damaged, or several frames in a row: the way below tells
        return _unzstd_frames(data, size_limit)
    except (zstandard.ZstdError, MemoryError) as error:
        raise _bad(f"no sound zstd data: {error}") from None


def _unzstd_frames(data: bytes, size_limit: int) -> bytes:
    """Frames that do not tell their size, as `zstd` makes from a pipe, or several of them.

    They are fed in small slices: what one can unpack to is bounded (128 KiB for every 4 bytes),
    so that a bomb is noticed soon after it passes the limit.
    """
    pieces: list[bytes] = []
    total = at = 0
    while at < len(data):
        frame = _contexts.decompressor.decompressobj()
        while not frame.eof:
            piece = data[at : at + _SLICE_BYTES]
            if not piece:
                raise _bad("cut off")
            at += len(piece)
            pieces.append(frame.decompress(piece))
            total += len(pieces[-1])
            if total > size_limit:
                raise _bad(f"it unpacks to more than {size_limit} bytes")
        at -= len(frame.unused_data)
    return b"".join(pieces)


def _gunzip(data: bytes, size_limit: int) -> bytes:
    pieces: list[bytes] = []
    room = size_limit + 1
    rest = data
    try:
        while rest and room > 0:
            unpacker = zlib.decompressobj(31)
            piece = unpacker.decompress(rest, room)
            pieces.append(piece)
            room -= len(piece)
            if not unpacker.eof and room > 0:
                raise _bad("cut off")
            rest = unpacker.unused_data
    except zlib.error as error:
        raise _bad(f"no sound gzip data: {error}") from None
    if room <= 0:
        raise _bad(f"it unpacks to more than {size_limit} bytes")
    if not data:
        raise _bad("empty")
    return b"".join(pieces)


def _bad(reason: str) -> FormatError:
    return FormatError(what="block", reason=reason)
