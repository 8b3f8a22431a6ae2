"""Journals as they lie in `upstream/`: appending to our own, reading any.

The own journal is the commit point: when `append` returns, its records survive a power loss. Only
`locks.journal` held alone allows appending; reading needs no lock. Names and offsets of files are
hints, sequence numbers decide: files may overlap, repeat each other and be out of order.
"""

from __future__ import annotations

import heapq
import os
import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from globofs import limits
from globofs.errors import FormatError
from globofs.format import applied
from globofs.format.record import BEFORE_APPEND, Damage, Found, scan
from globofs.format.text import format_time
from globofs.store import fsio
from globofs.store.clock import Clock
from globofs.store.journal_tail import EMPTY, Last, broken_off, last_in
from globofs.store.segments import LATEST, closed_segments, last_closed

FRAME = re.compile(
    rb"globofs-record ([1-9][0-9]{0,6}) [0-9a-f]{64}\nseq=([1-9][0-9]{0,15})\norigin=([0-9a-f-]{36})\n"
)
"""The beginning of a frame, as far as it takes to know what it holds."""
_FRAME_BYTES = 160
_WINDOW = 8 * limits.MIB


class JournalDamage(NamedTuple):
    """Something in a journal that is no record, or does not follow the one before it."""

    path: str
    offset: int
    reason: str


class Written(NamedTuple):
    """Where an append went: the file (its name by now, and its inode), and the bytes in it."""

    name: str
    inode: int
    start: int
    end: int


@dataclass(slots=True)
class _Segment:
    """Where the records of one file begin and end, by number; not verified."""

    path: str
    inode: int = 0
    scanned: int = 0
    numbers: array[int] = field(default_factory=lambda: array("Q"))
    starts: array[int] = field(default_factory=lambda: array("Q"))
    ends: array[int] = field(default_factory=lambda: array("Q"))
    low: int = 0
    high: int = 0

    def spans(self, after: int) -> list[tuple[int, int, int]]:
        """Number, start and end of every record after `after`, by number."""
        every = zip(self.numbers, self.starts, self.ends, strict=True)
        return sorted(span for span in every if span[0] > after)


class _Cached(NamedTuple):
    key: tuple[object, ...]
    last: Last


class Journal:
    """The journals below one node's `upstream/`; `own` is the one that may be appended to."""

    def __init__(self, upstream: str, own: str, clock: Clock) -> None:
        """Journals in the directory `upstream`; `own` is this node's uuid."""
        self.upstream = upstream
        self.own = own
        self.clock = clock
        self._cached: _Cached | None = None
        self.known_durable: Callable[[], int] = lambda: 0
        """Up to which number of our own journal the index knows that it is on the disk."""
        self._torn: tuple[tuple[int, int], int] | None = None
        self._whole: tuple[int, int, Last] | None = None
        self._closed: dict[str, tuple[int, int, int]] = {}
        self._latest: dict[str, _Segment] = {}

    def directory_of(self, origin: str, via: str | None = None) -> str:
        """Where the journal of `origin` lies, as it wrote it or as `via` passed it on."""
        if via is None:
            return f"{self.upstream}/{origin}/updates"
        return f"{self.upstream}/{origin}/via/{via}/updates"

    # --- our own ----------------------------------------------------------------------------

    def append(self, frames: Sequence[bytes], last: Last | None = None) -> Written:
        """Append whole frames to the own journal: durable when this returns.

        `last` is the newest of them, where the caller knows it. An `OSError` means that none of
        them counts, `fsio.NotTakenBack` that they may show up later all the same.
        """
        directory = self.directory_of(self.own)
        path = f"{directory}/{LATEST}"
        data = BEFORE_APPEND + b"".join(frames)
        self._cached = None
        try:
            fd, start = fsio.open_append(path)
        except FileNotFoundError:
            fsio.mkdirs(directory)
            fsio.syncfs(directory)
            fd, start = fsio.open_append(path)
        try:
            start = self._cut_torn(fd, path, start)
            self._write(fd, path, start, data)
            try:
                fsio.fdatasync(fd, path)
            except OSError as error:
                self._reissue(fd, path, start, data, error)
                start = 0
            inode = os.stat(path).st_ino
        finally:
            os.close(fd)
        if start == 0:
            fsio.fsync_dir(directory)
        size = start + len(data)
        if last is not None:
            self._cached = _Cached((inode, size), last)
            self._whole = inode, size, last
        name = self.rotate() if size >= limits.SEGMENT_BYTES else LATEST
        return Written(name, inode, start, size)

    def _write(self, fd: int, path: str, start: int, data: bytes) -> None:
        try:
            fsio.write_at(fd, path, start, data)
        except OSError as error:
            self._take_back(fd, path, start, error)
            raise

    def _take_back(self, fd: int, path: str, start: int, error: OSError) -> None:
        """Cut off what a failed append left, durably; `NotTakenBack` where nobody can tell."""
        try:
            fsio.truncate(fd, path, start)
            fsio.fdatasync(fd, path)
        except OSError:
            raise fsio.NotTakenBack(error.errno, error.strerror, path) from error

    def _cut_torn(self, fd: int, path: str, size: int) -> int:
        """Cut off what an append left that power loss broke in its middle; where to go on."""
        if self._torn is None or self._torn[0] != (os.fstat(fd).st_ino, size):
            return size
        fsio.truncate(fd, path, self._torn[1])
        return self._torn[1]

    def torn_at(self) -> int | None:
        """Where the whole records of our own `latest` end, if what follows was never reported."""
        self.last()
        return None if self._torn is None else self._torn[1]

    def _reissue(self, fd: int, path: str, start: int, data: bytes, error: OSError) -> None:
        """After a failed sync nobody knows what reached the disk: say it all again elsewhere.

        The segment is closed, the records go verbatim into a new one. Fails with `error` where
        that does not work either; the records are taken back then.
        """
        closed = self._closed_name(os.path.dirname(path))
        try:
            fsio.rename(path, closed)
        except OSError:
            closed = path
        else:
            with suppress(OSError):
                fsio.append(path, data)
                return
            if not fsio.remove(path) and os.path.lexists(path):
                raise fsio.NotTakenBack(error.errno, error.strerror, path) from error
        self._take_back(fd, closed, start, error)
        raise error

    def rotate(self) -> str:
        """Close the own journal's segment; its name from now on, still `latest` if that fails."""
        directory = self.directory_of(self.own)
        closed = self._closed_name(directory)
        try:
            fsio.rename(f"{directory}/{LATEST}", closed)
        except OSError:
            return LATEST
        name = os.path.basename(closed)
        if self._cached is not None:
            self._cached = _Cached((name,), self._cached.last)
        return name

    def _closed_name(self, directory: str) -> str:
        """A name behind all that are there, whatever the clock says."""
        return f"{directory}/{format_time(max(self.clock.now_ns(), last_closed(directory) + 1))}"

    def last(self) -> Last:
        """The newest valid record of the own journal. Cheap when nobody has appended since."""
        directory = self.directory_of(self.own)
        path = f"{directory}/{LATEST}"
        key: tuple[object, ...]
        try:
            info = os.lstat(path)
            key = (info.st_ino, info.st_size)
        except FileNotFoundError:
            key = tuple(closed_segments(directory)[:1])
        if self._cached is not None and self._cached.key == key:
            return self._cached.last
        found = last_in(path, self.own)
        self._torn = None
        if found is None:
            found = self._last_closed(directory)
        else:
            found = self._unbroken(path, info, found)
        self._cached = _Cached(key, found)
        return found

    def _last_closed(self, directory: str) -> Last:
        older = (last_in(f"{directory}/{name}", self.own) for name in closed_segments(directory))
        return next((last for last in older if last is not None), EMPTY)

    def _unbroken(self, path: str, info: os.stat_result, found: Last) -> Last:
        """`found`, the last record of `latest`, or the one before a break that makes it torn."""
        known = self._acknowledged()
        if found.seq <= known:
            return found
        start, before = 0, None
        if self._whole is not None and self._whole[0] == info.st_ino:
            _, start, before = self._whole
        if before is None or start > info.st_size:
            start, before = 0, self._last_closed(os.path.dirname(path))
        torn = broken_off(scan_file(path, start=start), self.own, before, known)
        if torn is None:
            self._whole = info.st_ino, info.st_size, found
            return found
        self._torn = (info.st_ino, info.st_size), max(start, torn.offset)
        return Last(torn.seq, torn.id)

    def _acknowledged(self) -> int:
        """So much of our own journal was on the disk for sure, by `applied` and by the index."""
        try:
            data = fsio.read_file(f"{self.upstream}/applied", limits.APPLIED_BYTES)
            said = applied.decode(data)[self.own].received
        except (OSError, FormatError, KeyError):
            said = 0
        return max(said, self.known_durable())

    # --- any --------------------------------------------------------------------------------

    def origins(self) -> list[str]:
        """The uuids that have a directory in `upstream/`, by name."""
        try:
            names = os.listdir(self.upstream)
        except FileNotFoundError:
            return []
        return sorted(name for name in names if len(name) == 36)

    def files(self, origin: str) -> list[str]:
        """Every file of the journal of `origin`, whoever brought it: its own first, oldest first."""
        directories = [self.directory_of(origin)]
        with suppress(OSError):  # what others put there stops nobody from reading the rest
            for writer in sorted(os.listdir(f"{self.upstream}/{origin}/via")):
                directories.append(self.directory_of(origin, writer))
        found: list[str] = []
        for directory in directories:
            try:
                names = closed_segments(directory)
            except OSError:
                if directory == self.directory_of(self.own):
                    raise
                names = []
            found += [f"{directory}/{name}" for name in reversed(names)]
            found.append(f"{directory}/{LATEST}")
        return found

    def read_from(
        self, origin: str, after_seq: int, limit_bytes: int | None = None
    ) -> Iterator[Found]:
        """The records of `origin` after number `after_seq`, verified, in order of their numbers.

        Each once, from whichever file has it whole; a number stands twice only in a forked
        journal, and numbers that nobody brought are left out. Ends once `limit_bytes` are reached.
        """
        segments = [s for s in self._segments(origin) if s.high > after_seq]
        segments.sort(key=lambda segment: (segment.low, segment.path))
        reader = _Merge(origin, segments, after_seq)
        total = 0
        try:
            for found in reader:
                yield found
                total += len(found.raw)
                if limit_bytes is not None and total >= limit_bytes:
                    return
        finally:
            reader.close()

    def damage(self, origin: str) -> Iterator[JournalDamage]:
        """What is wrong in the files of `origin`: pieces that are no record, breaks in the chain."""
        for path in self.files(origin):
            before: Found | None = None
            try:
                for item in scan_file(path):
                    if isinstance(item, Damage):
                        yield JournalDamage(path, item.offset, item.reason)
                        continue
                    if item.record.origin != origin:
                        yield JournalDamage(path, item.offset, "a record of another node")
                        continue
                    follows = before is not None and item.record.seq == before.record.seq + 1
                    if follows and before is not None and item.record.prev != before.id:
                        yield JournalDamage(path, item.offset, "does not follow the one before")
                    before = item
            except FileNotFoundError:
                continue
            except OSError as error:
                yield JournalDamage(path, 0, error.strerror or str(error))

    def _segments(self, origin: str) -> Iterator[_Segment]:
        for path in self.files(origin):
            try:
                info = os.lstat(path)
            except OSError:
                continue
            key = (info.st_ino, info.st_size)
            known = self._closed.get(path)
            if known is not None and known[0] == info.st_size:
                yield _Segment(path, low=known[1], high=known[2])
                continue
            segment = self._latest.get(path)
            if segment is None or segment.inode != key[0] or segment.scanned > key[1]:
                segment = _Segment(path, inode=key[0])
            with suppress(OSError):
                index_frames(segment, origin)
            if path.endswith(f"/{LATEST}"):
                self._latest[path] = segment
            else:
                self._closed[path] = (info.st_size, segment.low, segment.high)
            yield segment


class _Merge:
    """Records of several files in order of their numbers; files are opened when their turn comes."""

    def __init__(self, origin: str, segments: list[_Segment], after: int) -> None:
        self.origin = origin
        self._segments = segments
        self._after = after
        self._open: dict[str, int] = {}
        self._heap: list[tuple[int, int, str, int, int, Iterator[tuple[int, int, int]]]] = []
        self._turn = 0

    def close(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def __iter__(self) -> Iterator[Found]:
        number, ids = 0, set[bytes]()
        while True:
            self._load()
            if not self._heap:
                return
            seq, turn, path, start, end, rest = heapq.heappop(self._heap)
            self._push(turn, path, rest)
            if seq != number:
                number, ids = seq, set()
            found = self._read(path, start, end)
            if found is not None and found.record.seq == seq and found.id not in ids:
                ids.add(found.id)
                yield found

    def _load(self) -> None:
        """Take in every file that may hold the next number."""
        while self._segments and (not self._heap or self._segments[0].low <= self._heap[0][0]):
            segment = self._segments.pop(0)
            if not segment.numbers:
                with suppress(OSError):
                    segment = _Segment(segment.path)
                    index_frames(segment, self.origin)
            self._turn += 1
            self._push(self._turn, segment.path, iter(segment.spans(self._after)))

    def _push(self, turn: int, path: str, rest: Iterator[tuple[int, int, int]]) -> None:
        following = next(rest, None)
        if following is not None:
            heapq.heappush(self._heap, (following[0], turn, path, following[1], following[2], rest))
        elif path in self._open:
            os.close(self._open.pop(path))

    def _read(self, path: str, start: int, end: int) -> Found | None:
        fd = self._open.get(path)
        try:
            if fd is None:
                fd = self._open[path] = fsio.open_regular(path)
            data = fsio.pread_all(fd, start, end - start)
        except OSError:
            return None
        for item in scan(data, start, final=True):
            if isinstance(item, Found) and item.record.origin == self.origin:
                return item
        return None


def index_frames(segment: _Segment, origin: str) -> None:
    """Extend `segment` by the frames that lie behind what it knows; bodies are not looked at.

    A frame whose body is not all there is left out, and looked at again the next time.
    """
    wanted = origin.encode("ascii")
    _forget_from(segment, segment.scanned)
    fd = fsio.open_regular(segment.path)
    try:
        size = os.fstat(fd).st_size
        offset = segment.scanned
        again = max(segment.scanned, size - _FRAME_BYTES)  # a header may be half there
        while offset < size:
            data = fsio.pread_all(fd, offset, _WINDOW)
            at_end = offset + len(data) >= size
            edge = len(data) if at_end else max(1, len(data) - _FRAME_BYTES)
            for frame in FRAME.finditer(data):
                if frame.start() >= edge:
                    break
                start = offset + frame.start()
                end = offset + data.index(b"\n", frame.start()) + 1 + int(frame[1])
                if end > size:
                    again = min(again, start)
                elif frame[3] == wanted:
                    _note(segment, int(frame[2]), start, end)
                    again = max(again, end) if again >= start else again
            if not data:
                break
            offset += edge
        segment.scanned = min(again, size)
    finally:
        os.close(fd)


def _forget_from(segment: _Segment, offset: int) -> None:
    """Drop what is known of frames that begin at or behind `offset`: they are read anew."""
    keep = bisect_left(segment.starts, offset)
    del segment.numbers[keep:], segment.starts[keep:], segment.ends[keep:]


def _note(segment: _Segment, number: int, start: int, end: int) -> None:
    segment.numbers.append(number)
    segment.starts.append(start)
    segment.ends.append(end)
    segment.low = min(segment.low or number, number)
    segment.high = max(segment.high, number)


def scan_file(path: str, final: bool = True, start: int = 0) -> Iterator[Found | Damage]:
    """Every record of a file from `start`, verified, and what lies between; bounded memory."""
    fd = fsio.open_regular(path)
    try:
        offset = start
        while True:
            data = fsio.pread_all(fd, offset, _WINDOW)
            at_end = len(data) < _WINDOW
            stop = offset + len(data)
            for item in scan(data, offset, final=final and at_end):
                if isinstance(item, Found | Damage):
                    yield item
                    continue
                # What stands at the end of a window may be whole in the next one, unless it is
                # larger than any record: then it is none.
                stop = item.offset
            if at_end:
                return
            step = stop - offset
            if step < len(data) - limits.RECORD_BYTES - _FRAME_BYTES:
                skip = len(data) - limits.RECORD_BYTES - _FRAME_BYTES
                yield Damage(stop, offset + skip, "bytes that are no record")
                step = skip
            offset += step
    finally:
        os.close(fd)
