"""Staged files: the small blocks of a batch in one sequential file. FORMAT.md, section 8.

A staged file is the truth for its blocks until they stand in `hashes/`, and a read cache after
that. Its name tells how far it is, so that no second file has to be believed:

    1348096774.177556349.open       being written; means nothing
    1348096774.177556349            complete and durable; its blocks are to be put into `hashes/`
    1348096774.177556349.<boot>     they stand there, but may be gone after another boot
    1348096774.177556349.done       they are durable there; free to delete

A block is one frame: `globofs-block <sha256> <plain size> <stored length> <suffix or ->`, a line
feed, the stored bytes, a line feed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from globofs import limits
from globofs.format.text import format_time
from globofs.store import clock as clocks
from globofs.store import fsio
from globofs.store.clock import Clock

MARK: Final = b"globofs-block "
HEADER_BYTES: Final = 160
"""No header line is longer."""
STORED_MAX: Final = limits.BLOCK_SIZE_MAX + limits.MIB
"""No stored block is larger, whatever its compression."""
_HEADER = re.compile(rb"globofs-block ([0-9a-f]{64}) (\d{1,9}) (\d{1,9}) (\.zst|\.gz|-)\n")
_BASE = re.compile(r"\d{1,19}\.\d{9}")
_LINE_FEED = 10
_FLUSH = 1 * limits.MIB
_WINDOW = 4 * limits.MIB
OPEN, DONE = "open", "done"


class StagedBlock(NamedTuple):
    """A block in a staged file: `length` stored bytes at `offset`."""

    id: bytes
    size: int
    offset: int
    length: int
    suffix: str


class StagedFile(NamedTuple):
    """A staged file by its name and how far it is: "" (to do), a boot id, or `done`."""

    base: str
    state: str

    @property
    def name(self) -> str:
        """The name on disk."""
        return f"{self.base}.{self.state}" if self.state else self.base


def header(block: bytes, size: int, length: int, suffix: str) -> bytes:
    """The first line of a block's frame."""
    return b"globofs-block %s %d %d %s\n" % (
        block.hex().encode(),
        size,
        length,
        suffix.encode() or b"-",
    )


class StagedWriter:
    """One staged file being written. Not thread safe: its batch has a lock."""

    def __init__(self, directory: str, clock: Clock) -> None:
        """Create `<now>.open` in `directory`; nobody else can have or get the same name."""
        self.directory = directory
        self.blocks: list[StagedBlock] = []
        """What it holds so far."""
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._offset = 0
        self.base, self._writer = _create(directory, clock.now_ns())

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._offset

    def add(self, block: bytes, size: int, stored: bytes, suffix: str) -> None:
        """Append a block; written out when enough has come together."""
        length = len(stored)
        head = header(block, size, length, suffix)
        start = self._offset + len(head)
        self._buffer += (head, stored, b"\n")
        self._offset = start + length + 1
        self._buffered += len(head) + length + 1
        self.blocks.append(StagedBlock(block, size, start, length, suffix))
        if self._buffered >= _FLUSH:
            self._flush()
            self._writer.writeback()

    def _flush(self) -> None:
        if self._buffer:
            # Forgotten only once it is written: after an error the same bytes go to the same place.
            self._writer.write(b"".join(self._buffer))
            self._buffer.clear()
            self._buffered = 0

    def seal(self) -> None:
        """Content on disk, then its lasting name; the caller makes the name durable."""
        self._flush()
        self._writer.sync()
        self._writer.commit(os.path.join(self.directory, self.base))

    def abandon(self) -> None:
        """Delete what was not sealed; never raises."""
        self._writer.abandon()


def _create(directory: str, now: int) -> tuple[str, fsio.Writer]:
    while True:
        base = format_time(now)
        now += 1
        try:
            writer = fsio.Writer(os.path.join(directory, f"{base}.{OPEN}"))
        except FileExistsError:
            continue
        # Only we can make `base` now; that nobody has made it before is seen by looking after
        # the name is ours.
        taken = any(os.path.lexists(os.path.join(directory, base + end)) for end in ("", ".done"))
        if not taken and not os.path.lexists(os.path.join(directory, f"{base}.{clocks.boot_id()}")):
            return base, writer
        writer.abandon()


def files(directory: str) -> list[StagedFile]:
    """The complete staged files, oldest first."""
    found: list[StagedFile] = []
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    for name in names:
        file = named(name)
        if file is not None:
            found.append(file)
    return sorted(found, key=lambda file: (len(file.base), file.base))


def pending(directory: str) -> list[StagedFile]:
    """Complete files whose blocks may not all stand in `hashes/`, oldest first."""
    here = clocks.boot_id()
    return [file for file in files(directory) if file.state not in (DONE, here)]


def named(name: str) -> StagedFile | None:
    """What a name in `staged/` says; None where it is no complete staged file's."""
    seconds, _, rest = name.partition(".")
    nanoseconds, _, state = rest.partition(".")
    base = f"{seconds}.{nanoseconds}"
    return StagedFile(base, state) if _BASE.fullmatch(base) and state != OPEN else None


def leftovers(directory: str) -> list[str]:
    """Paths of files that are being written, or were never completed."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    ending = f".{OPEN}"
    return [
        os.path.join(directory, name)
        for name in names
        if name.endswith(ending) and _BASE.fullmatch(name.removesuffix(ending))
    ]


def first(path: str) -> StagedBlock | None:
    """The first block of a staged file, at the price of one small read."""
    found = _HEADER.match(fsio.read_range(path, 0, HEADER_BYTES))
    return _block(found, found.end()) if found is not None else next(scan(path), None)


def scan(path: str, problem: Callable[[int], None] | None = None) -> Iterator[StagedBlock]:
    """The blocks of a staged file in order of their offsets, without judging their content.

    What is no frame is skipped (`problem` hears the offset), the search goes on one byte later.
    """
    fd = fsio.open_regular(path)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        total = os.fstat(fd).st_size
        window = _Window(fd, total)
        offset = 0
        while offset < total:
            found = _HEADER.match(window.at(offset, HEADER_BYTES))
            if found is not None:
                start = offset + found.end()
                length = int(found[3])
                if length <= STORED_MAX and window.at(start + length, 1) == b"\n":
                    yield _block(found, start)
                    offset = start + length + 1
                    continue
            if problem is not None:
                problem(offset)
            offset = window.find(MARK, offset + 1)
    finally:
        os.close(fd)


def split(data: bytes) -> tuple[list[StagedBlock], int]:
    """The whole small blocks in a piece of a staged file, offsets in `data`, and how many bytes are
    done with: what lies behind them begins the next piece. What is no frame is skipped."""
    found: list[StagedBlock] = []
    at = 0
    while (match := _HEADER.match(data, at)) or at + HEADER_BYTES < len(data):
        if match is not None:
            start, length = match.end(), int(match[3])
            end = start + length
            if length < limits.STAGE_BELOW_BYTES:
                if end >= len(data):
                    break
                if data[end] == _LINE_FEED:
                    found.append(_block(match, start))
                    at = end + 1
                    continue
        later = data.find(MARK, at + 1)
        at = later if later >= 0 else max(at + 1, len(data) - HEADER_BYTES)
    return found, at


def _block(header: re.Match[bytes], start: int) -> StagedBlock:
    suffix = "" if header[4] == b"-" else header[4].decode()
    block = bytes.fromhex(header[1].decode())
    return StagedBlock(block, int(header[2]), start, int(header[3]), suffix)


class _Window:
    """A few megabytes of a file at a time, read in order."""

    def __init__(self, fd: int, total: int) -> None:
        self.fd, self.total = fd, total
        self.start, self.data = 0, b""

    def at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes at `offset`."""
        low = offset - self.start
        if low < 0 or low + length > len(self.data):
            if offset >= self.total:
                return b""
            self.start, self.data = offset, fsio.pread_all(self.fd, offset, _WINDOW)
            low = 0
        return self.data[low : low + length]

    def find(self, mark: bytes, offset: int) -> int:
        """Where `mark` comes next at or behind `offset`; the end of the file if nowhere."""
        while offset < self.total:
            self.at(offset, min(_WINDOW, self.total - offset))
            found = self.data.find(mark, offset - self.start)
            if found >= 0:
                return self.start + found
            offset = max(offset + 1, self.start + len(self.data) - len(mark) + 1)
            if self.start + len(self.data) >= self.total:
                break
        return self.total


class StagedReader:
    """Reads blocks from staged files by base name, whatever state their names tell."""

    def __init__(self, directory: str) -> None:
        """Of the staged files in `directory`."""
        self.directory = directory
        self._names: dict[str, str] = {}

    def open(self, base: str) -> int | None:
        """A descriptor for reading, or None when the file is gone. The caller closes it."""
        for fresh in (False, True):
            if fresh:
                self._names = {file.base: file.name for file in files(self.directory)}
            name = self._names.get(base)
            if name is None:
                continue
            try:
                return fsio.open_regular(os.path.join(self.directory, name))
            except FileNotFoundError:
                continue
        return None

    def has(self, base: str) -> bool:
        """Whether the file is there."""
        fd = self.open(base)
        if fd is None:
            return False
        os.close(fd)
        return True

    def read(self, base: str, offset: int, length: int) -> bytes | None:
        """Stored bytes of a block or of several, or None when the file is gone or too short."""
        fd = self.open(base)
        if fd is None:
            return None
        try:
            data = fsio.pread_all(fd, offset, length)
        finally:
            os.close(fd)
        return data if len(data) == length else None
