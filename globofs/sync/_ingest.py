"""From files on disk to durable blocks: a reader, two workers, and the caller who commits.

The reader walks the items and cuts large files into blocks; the workers hash, compress and store
(all of which lets go of the interpreter's lock), small files many at a time; the caller seals
what they stored and commits it, while they go on into the next batch of blocks. Memory is
bounded by the queue, whatever the size of a file.
"""

from __future__ import annotations

import os
import queue
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from operator import attrgetter
from typing import Final, NamedTuple

from globofs.errors import from_os_error
from globofs.format.chunking import Chunker, iter_chunks
from globofs.format.codec import compress
from globofs.limits import BATCH_BYTES, BATCH_RECORDS, KIB, MIB
from globofs.store import fsio
from globofs.store.batch import BlockBatch
from globofs.store.gc_pause import gc_paused
from globofs.store.node import Node
from globofs.store.second import is_worth_it
from globofs.store.views import Block
from globofs.sync._reading import Told
from globofs.sync._scan import Item
from globofs.sync._second import Second

WORKERS: Final = 2
QUEUE_TASKS: Final = 8
SMALL_BYTES: Final = 256 * KIB
SMALL_FILES: Final = 64
SMALL_TASK_BYTES: Final = 2 * MIB
SECOND_AFTER_FILES: Final = 128
"""So many small files are read before a second process is worth its start."""
GROWN_BYTES: Final = 64 * MIB
"""A small file that grew beyond this while it was queued is read as large the next time."""
ATTEMPTS: Final = 3
TICK_SECONDS: Final = 0.1
_print = attrgetter("st_mtime_ns", "st_size", "st_ino", "st_ctime_ns")
"""What tells whether a file changed while it was read."""


class Done(NamedTuple):
    """An item whose content is stored (durably, when the caller gets it), or why it is not."""

    item: Item
    stat: os.stat_result  # of the content that was read
    blocks: tuple[Block, ...] = ()
    target: bytes = b""
    new: int = 0  # bytes of blocks that were not held, plain
    stored: int = 0  # of those, as stored
    error: str = ""
    unsteady: bool = False  # changed in all attempts to read it


@dataclass(slots=True)
class _Job:
    """A large file on its way: blocks come back from the workers in any order."""

    item: Item
    blocks: dict[int, Block] = field(default_factory=dict)
    new: int = 0
    stored: int = 0
    count: int = -1  # of blocks, once all is read
    epoch: int = 0  # the last in which one of its blocks was stored
    end: Done | None = None


class _Piece(NamedTuple):
    job: _Job
    number: int
    data: bytes


class _Stored(NamedTuple):
    job: _Job
    number: int
    block: Block
    new: int
    stored: int


class _Found(NamedTuple):
    """A block of a small file, as it was read: plain where `suffix` is None, else to be stored so."""

    block: Block
    data: bytes
    suffix: str | None = None


class _End(NamedTuple):
    job: _Job
    pieces: int
    done: Done


class _Epoch:
    """A batch of blocks that workers fill, and how many of them are still at it."""

    def __init__(self, batch: BlockBatch, number: int) -> None:
        self.batch = batch
        self.number = number
        self.users = 0


_Task = list[Item] | _Piece | None
_Result = tuple[int, list[Done] | _Stored | _End]
"""The number of the epoch whose seal makes it durable, and what it is."""


class Ingest:
    """One run of the pipeline. `run` is called once, by the thread that commits."""

    def __init__(self, node: Node, *, tick: Callable[[], bool]) -> None:
        """`tick` is called by the running thread ten times a second; True ends the run early."""
        config = node.config
        self._node = node
        self._chunker = Chunker(config.chunking, config.blocksize)
        self._method, self._level = config.compression, config.level
        self._small = min(SMALL_BYTES, max(self._chunker.largest, 64 * KIB))
        self._tick = tick
        self._tasks: queue.Queue[_Task] = queue.Queue(QUEUE_TASKS)
        self._results: queue.SimpleQueue[_Result | None] = queue.SimpleQueue()
        self._guard = threading.Condition()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._epoch: _Epoch
        self._sealing: BlockBatch  # of the epoch before, while a worker is still in it
        self._ready: list[tuple[int, Done]] = []
        self._working = WORKERS
        self._second: Second | None = None
        self.interrupted = False
        self.found_bytes = 0  # of what is to be read, as far as it is known yet
        self.read_bytes = 0  # of that, read and stored, durable or not
        self.files = 0  # read whole

    def run(self, items: Iterable[Item], take: Callable[[list[Done]], None]) -> None:
        """Store the content of `items`; `take` gets them in portions, their blocks durable.

        Raises what reading the items raises, and DiskError (with the file's name) where a block
        cannot be stored; what `take` was given is committed then, nothing else is.
        """
        # From the first block that is put or relied on to the last record that names one.
        with self._node.locks.adders.shared():
            # What an earlier run could not tell the index of others may have let go of since.
            self._node.blocks.flush()
            self._run(items, take)

    def _run(self, items: Iterable[Item], take: Callable[[list[Done]], None]) -> None:
        self._epoch = _Epoch(self._node.blocks.batch(late=True), 1)
        self._sealing = self._epoch.batch
        threads = [
            threading.Thread(target=self._work, name=f"add-{n}", daemon=True)
            for n in range(WORKERS)
        ]
        threads.append(
            threading.Thread(target=self._read, args=(items,), name="add-read", daemon=True)
        )
        for thread in threads:
            thread.start()
        try:
            self._collect(take)
        finally:
            self._stop.set()
            if self._second is not None:
                self._second.end()
            self._release(threads)
            if self._second is not None:
                self._second.close()
            self._sealing.close()
            self._epoch.batch.close()
        if self._error is not None:
            raise self._error

    def _collect(self, take: Callable[[list[Done]], None]) -> None:
        while self._working:
            with suppress(queue.Empty):
                self._take_in(self._results.get(timeout=TICK_SECONDS))
            if self._error is None and (
                len(self._ready) >= BATCH_RECORDS or self._epoch.batch.bytes >= BATCH_BYTES
            ):
                self._flush(take)
            self._heed()
        if self._error is None:
            self._flush(take)

    def _heed(self) -> None:
        """Tell how far it is; when it is to end, nobody waits for the second process any more."""
        if self._error is None and not self._stop.is_set() and self._tick():
            self.interrupted = True
            self._stop.set()
        if self._stop.is_set() and self._second is not None:
            self._second.end()

    def _take_in(self, result: _Result | None) -> None:
        if result is None:
            self._working -= 1
            return
        epoch, what = result
        if isinstance(what, list):
            self._ready += [(epoch, done) for done in what]
            self.files += len(what)
            self.read_bytes += sum([block.size for done in what for block in done.blocks])
            return
        job = what.job
        job.epoch = max(job.epoch, epoch)
        if isinstance(what, _Stored):
            job.blocks[what.number] = what.block
            self.read_bytes += what.block.size
            job.new += what.new
            job.stored += what.stored
        else:
            job.count, job.end = what.pieces, what.done
        if job.end is not None and len(job.blocks) == job.count:
            blocks = tuple([job.blocks[number] for number in range(job.count)])
            done = job.end._replace(blocks=blocks, new=job.new, stored=job.stored)
            self._ready.append((job.epoch, done))
            self.files += 1

    def _flush(self, take: Callable[[list[Done]], None]) -> None:
        """Seal what is stored so far and hand over the files that are whole, while the workers
        go on into a new batch. What has a block in that new one waits for the next time."""
        old = self._epoch
        self._sealing = old.batch
        with self._guard:
            self._epoch = _Epoch(self._node.blocks.batch(late=True), old.number + 1)
        while self._is_used(old):
            self._heed()
        try:
            while not self._results.empty():
                self._take_in(self._results.get())
            if self._error is not None:
                return
            try:
                old.batch.seal()
            except OSError as error:
                raise from_os_error(error) from error
        finally:
            old.batch.close()
        ready = [done for epoch, done in self._ready if epoch <= old.number]
        self._ready = [(epoch, done) for epoch, done in self._ready if epoch > old.number]
        if ready:
            with gc_paused():
                take(ready)

    def _is_used(self, epoch: _Epoch) -> bool:
        """Whether a worker still stores into its batch, a moment later."""
        with self._guard:
            return bool(epoch.users) and not self._guard.wait_for(
                lambda: not epoch.users, TICK_SECONDS
            )

    def _release(self, threads: list[threading.Thread]) -> None:
        while any(thread.is_alive() for thread in threads):
            with suppress(queue.Empty):
                self._tasks.get_nowait()
            for thread in threads:
                thread.join(0.01)

    def _fail(self, error: BaseException) -> None:
        with self._guard:
            self._error = self._error or error
        self._stop.set()

    # --- the reader ---------------------------------------------------------------------------

    def _read(self, items: Iterable[Item]) -> None:
        small: list[Item] = []
        size = count = 0
        tried = False
        try:
            for item in items:
                if self._stop.is_set():
                    break
                self.found_bytes += item.stat.st_size if item.kind == "file" else 0
                if item.kind == "file" and item.stat.st_size > self._small:
                    self._read_large(item)
                    continue
                small.append(item)
                size += item.stat.st_size if item.kind == "file" else 0
                if len(small) >= SMALL_FILES or size >= SMALL_TASK_BYTES:
                    self._put(small)
                    count += len(small)
                    small, size = [], 0
                    if count >= SECOND_AFTER_FILES and not tried:
                        tried = True
                        self._start_second()
            if small:
                self._put(small)
        except BaseException as error:
            self._fail(error)
        for _ in range(WORKERS):
            self._put(None)

    def _start_second(self) -> None:
        """Have small files read by a second process, where one of them is one block."""
        if is_worth_it() and self._small <= self._chunker.smallest:
            with suppress(OSError):
                self._second = Second(self._method, self._level)

    def _put(self, task: _Task) -> bool:
        while not self._stop.is_set():
            try:
                self._tasks.put(task, timeout=TICK_SECONDS)
                return True
            except queue.Full:
                continue
        return False

    def _read_large(self, item: Item) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            job = _Job(item)
            try:
                fd = fsio.open_regular(item.disk)
            except OSError as error:
                self._results.put((0, [_failed(item, error)]))
                return
            try:
                steady = self._send(job, fd, attempt == ATTEMPTS)
            except OSError as error:
                self._results.put((0, [_failed(item, error)]))
                return
            finally:
                os.close(fd)
            if steady:
                return

    def _send(self, job: _Job, fd: int, last: bool) -> bool:
        """Send a file's blocks to the workers; False if it changed meanwhile (not if `last`)."""
        before = os.fstat(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        count = 0
        for data in iter_chunks(lambda view: os.readv(fd, [view]), self._chunker):
            if not self._put(_Piece(job, count, data)):
                return True
            count += 1
        after = os.fstat(fd)
        steady = _print(before) == _print(after)
        if steady or last:
            done = Done(job.item, after, unsteady=not steady)
            self._results.put((0, _End(job, count, done)))
        return steady or last

    # --- the workers --------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    task = self._tasks.get(timeout=TICK_SECONDS)
                except queue.Empty:
                    continue
                if task is None:
                    break
                with self._using() as epoch:
                    self._results.put((epoch.number, self._handle(task, epoch.batch)))
        except BaseException as error:
            self._fail(error)
        self._results.put(None)

    @contextmanager
    def _using(self) -> Iterator[_Epoch]:
        with self._guard:
            epoch = self._epoch
            epoch.users += 1
        try:
            yield epoch
        finally:
            with self._guard:
                epoch.users -= 1
                if not epoch.users:
                    self._guard.notify_all()

    def _handle(self, task: list[Item] | _Piece, batch: BlockBatch) -> list[Done] | _Stored:
        if isinstance(task, list):
            with gc_paused():
                return self._small_files(task, batch)
        digest = sha256(task.data).digest()
        block = Block(digest, len(task.data))
        held = batch.held((digest,))
        new, stored = self._store(task.job.item, _Found(block, task.data), batch, held)
        return _Stored(task.job, task.number, block, new, stored)

    def _store(
        self, item: Item, found: _Found, batch: BlockBatch, held: set[bytes]
    ) -> tuple[int, int]:
        """Store a block unless it is held; its plain and stored size where it was new."""
        block, encoded, suffix = found
        if block.id in held:
            return 0, 0
        if suffix is None:
            encoded, suffix = compress(encoded, self._method, self._level)
        try:
            added = batch.add(block.id, block.size, encoded, suffix)
        except OSError as error:
            raise from_os_error(error, item.disk) from error
        held.add(block.id)
        return (block.size, len(encoded)) if added else (0, 0)

    def _small_files(self, items: list[Item], batch: BlockBatch) -> list[Done]:
        results: list[Done] = []
        files: list[Item] = []
        for item in items:
            if item.kind == "file":
                files.append(item)
            else:
                results.append(_bare(item))
        found: list[tuple[Item, Done | None, list[_Found]]] = []
        for item, told in zip(files, self._by_second(files), strict=True):
            if told is not None:
                digest, size, data, suffix = told
                blocks = [_Found(Block(digest, size), data, suffix)] if size else []
                found.append((item, None, blocks))
                continue
            try:
                found.append((item, *self._read_small(item)))
            except OSError as error:
                results.append(_failed(item, error))
        held = batch.held([one.block.id for _, _, blocks in found for one in blocks])
        for item, done, blocks in found:
            new = stored = 0
            for one in blocks:
                sizes = self._store(item, one, batch, held)
                new, stored = new + sizes[0], stored + sizes[1]
            listed = tuple([one.block for one in blocks])
            if done is None:
                results.append(Done(item, item.stat, listed, b"", new, stored))
            else:
                results.append(done._replace(blocks=listed, new=new, stored=stored))
        return results

    def _by_second(self, files: list[Item]) -> Sequence[Told | None]:
        """What the second process says of files, None for those that are to be read here.

        It compresses what is new; what merely looks changed may well be held.
        """
        asked = [
            (i.disk, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino, not i.known)
            for i in files
            for s in (i.stat,)
        ]
        told = self._second.read(asked) if self._second is not None else None
        return told or [None] * len(files)

    def _read_small(self, item: Item) -> tuple[Done, list[_Found]]:
        info = item.stat
        for _ in range(ATTEMPTS):
            fd = os.open(item.disk, fsio.READ_FLAGS)
            try:
                data = os.read(fd, info.st_size + 1) if stat.S_ISREG(info.st_mode) else b""
                after = os.fstat(fd)
                if not stat.S_ISREG(after.st_mode):
                    raise OSError(0, "is no regular file any more", item.disk)
                while len(data) < min(after.st_size, GROWN_BYTES):  # it grew; no further than that
                    more = os.read(fd, after.st_size - len(data))
                    if not more:
                        break
                    data += more
            finally:
                os.close(fd)
            steady = _print(info) == _print(after) and len(data) == after.st_size
            info = after
            if steady:
                break
        if len(data) <= self._chunker.smallest:
            pieces = [data] if data else []
        else:
            pieces = list(_split(data, self._chunker.cut(data)))
        blocks = [_Found(Block(sha256(piece).digest(), len(piece)), piece) for piece in pieces]
        return Done(item, after, unsteady=not steady), blocks


def _split(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    start = 0
    for size in sizes:
        yield data[start : start + size]
        start += size


def _bare(item: Item) -> Done:
    """A directory or a symlink: nothing to store."""
    if item.kind != "symlink":
        return Done(item, item.stat)
    try:
        return Done(item, item.stat, target=os.fsencode(os.readlink(item.disk)))
    except OSError as error:
        return _failed(item, error)


def _failed(item: Item, error: OSError) -> Done:
    return Done(item, item.stat, error=error.strerror or str(error))
