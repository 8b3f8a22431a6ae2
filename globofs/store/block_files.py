"""The files of this node's blocks: where they lie, reading them verified, keeping what was pulled.

A block lies in `hashes/aa/bb/<rest><suffix>`, in a staged file, or in both. Bytes are only handed
out when their SHA-256 is right; a file that holds something else is set aside in `damaged/`, where
nothing but a person looks. Every method may be called from any thread.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from globofs import errors, limits
from globofs.format.config import SUFFIXES
from globofs.store import fsio, staged
from globofs.store.clock import Clock
from globofs.store.locks import Locks
from globofs.store.portions import chunks
from globofs.store.staged import STORED_MAX, StagedReader
from globofs.store.unindexed import Unindexed
from globofs.store.uses import Uses

if TYPE_CHECKING:
    from globofs.store.index_blocks import BlockTable, StagedAt

_RUN_BYTES = 1 * limits.MIB
_RUN_GAP_BYTES = 64 * limits.KIB
_RESCAN_BLOCKS = 5000
_LISTERS = 4
_LISTED_AHEAD = 8
"""Of the 256 directories in `hashes/`."""
_PENDING_ROWS = 256
_PENDING_SECONDS = 0.25
_GONE = (errno.ENOENT, errno.ENOTDIR)


class BlockAbsent(KeyError):
    """The block is not on this node."""


class Raw(NamedTuple):
    """A block as it is stored, and the file it came from ("" for a staged one)."""

    data: bytes
    suffix: str
    path: str


class BlockFiles:
    """The blocks below one node's directory."""

    def __init__(
        self,
        directory: str,
        index: BlockTable,
        locks: Locks,
        clock: Clock,
        suffix: str = ".zst",
    ) -> None:
        """Of the node directory `directory`; `suffix` is the one this node writes."""
        self.directory = directory
        self.index = index
        self.locks = locks
        self.clock = clock
        self.hashes = os.path.join(directory, "hashes")
        self.tmp = os.path.join(directory, "tmp")
        self.staged = os.path.join(directory, "staged")
        self.damaged = os.path.join(directory, "damaged")
        self.reader = StagedReader(self.staged)
        self.own_suffix = suffix
        self._guard = threading.Lock()
        self._pending: list[tuple[bytes, int]] = []
        self._flushed = clock.monotonic()
        self._unsynced_puts = False  # blocks put that no `sync_pending` has covered yet
        self.uses = Uses(index, clock)
        self.unindexed = Unindexed()

    @property
    def own_suffix(self) -> str:
        """The suffix of what this node writes; others are read as well."""
        return self._suffixes[0]

    @own_suffix.setter
    def own_suffix(self, suffix: str) -> None:
        self._suffixes = (suffix, *(other for other in SUFFIXES if other != suffix))

    # --- where ------------------------------------------------------------------------------

    def path_of(self, block: bytes, suffix: str) -> str:
        """The path a block has in `hashes/`, whether it is there or not."""
        name = block.hex()
        return f"{self.hashes}/{name[:2]}/{name[2:4]}/{name[4:]}{suffix}"

    def find(self, block: bytes) -> tuple[str, str] | None:
        """Path and suffix of a block's own file in `hashes/`, if it is there."""
        for suffix in self._suffixes:
            path = self.path_of(block, suffix)
            with suppress(OSError):
                info = os.lstat(path)
                if stat.S_ISREG(info.st_mode) and info.st_size > 0:
                    return path, suffix
        return None

    def standing(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Those of many `blocks` that have a file in `hashes/`: fast where most have none."""
        listed: dict[str, set[str]] = {}
        for block in blocks:
            name = block.hex()
            first = name[:2]
            below = listed.get(first)
            if below is None:
                below = listed[first] = set(_directory_names(f"{self.hashes}/{first}", 2))
            if name[2:4] in below and self.find(block) is not None:
                yield block

    def has(self, block: bytes) -> bool:
        """Whether a block is here, by looking at the disk."""
        if self.find(block) is not None:
            return True
        at = self.index.staged_find(block)
        return at is not None and self.reader.has(at.file)

    def holding(self, blocks: Sequence[bytes]) -> set[bytes]:
        """Those of `blocks` that are here, by index and a look at each file."""
        known = self.index.held(blocks)
        here = {block for block in known if self.find(block) is not None}
        left = known - here
        if left:
            files: dict[str, bool] = {}
            for block, at in self.index.staged_locate(left).items():
                if at.file not in files:
                    files[at.file] = self.reader.has(at.file)
                if files[at.file]:
                    here.add(block)
        return here

    def iter_directories(self) -> Iterator[tuple[str, list[tuple[bytes, str]]]]:
        """The directories of `hashes/` by their four digits, each with id and suffix of every
        block file in it, by name. None is listed before it is asked for."""
        for first in _directory_names(self.hashes, 2):
            for second in _directory_names(f"{self.hashes}/{first}", 2):
                yield first + second, self._blocks_in(first, second)

    def iter_held(self) -> Iterator[tuple[bytes, str]]:
        """Id and suffix of every block file in `hashes/`, by name, for rebuilding the index.

        There may be 65,536 directories, and for each the disk is waited for: a few threads list
        those that come next.
        """
        from concurrent.futures import Future, ThreadPoolExecutor  # slow to load

        ahead: deque[Future[list[tuple[bytes, str]]]] = deque()
        with ThreadPoolExecutor(_LISTERS, thread_name_prefix="list") as pool:
            for first in _directory_names(self.hashes, 2):
                ahead.append(pool.submit(self._blocks_below, first))
                if len(ahead) > _LISTED_AHEAD:
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()

    def _blocks_below(self, first: str) -> list[tuple[bytes, str]]:
        found: list[tuple[bytes, str]] = []
        for second in _directory_names(f"{self.hashes}/{first}", 2):
            found += self._blocks_in(first, second)
        return found

    def _blocks_in(self, first: str, second: str) -> list[tuple[bytes, str]]:
        found: list[tuple[bytes, str]] = []
        try:
            names = os.listdir(f"{self.hashes}/{first}/{second}")
        except OSError:
            return found
        for name in sorted(names):
            rest, dot, ending = name.partition(".")
            if len(rest) == 60 and (dot + ending) in SUFFIXES:
                with suppress(ValueError):
                    found.append((bytes.fromhex(first + second + rest), dot + ending))
        return found

    def rescan(self) -> int:
        """Tell an empty index what is held and staged; returns the number of blocks."""
        count = 0
        # Staged ones first: those are known to be durable, and how large they are.
        for file in staged.files(self.staged):
            with suppress(FileNotFoundError):
                found = staged.scan(os.path.join(self.staged, file.name))
                for portion in chunks(found, _RESCAN_BLOCKS):
                    self.index.mark_staged(file.base, portion)
                    count += len(portion)
        for some in chunks(self.iter_held(), _RESCAN_BLOCKS):
            blocks = [block for block, _ in some]
            self.index.mark_held(blocks)
            self.uses.note(blocks)  # when it really was is lost with the index
            count += len(blocks)
        return count

    # --- reading ----------------------------------------------------------------------------

    def get(self, block: bytes, size: int) -> bytes:
        """The plain bytes of a block of `size` bytes, verified.

        `BlockAbsent` when it is not here; `errors.Damaged` when what is here is something else
        (set aside then, and the block is missing from now on), and `errors.WrongSize` when it is
        the block, and only whoever asks for it is wrong about its size.
        """
        damage: errors.Damaged | None = None
        vacant = False
        for raw in self._copies(block):
            try:
                plain = decode(block, size, raw)
            except errors.Damaged as error:
                damage = error
                true = size_of(block, raw)
                if true is not None and true != size:
                    raise errors.WrongSize(block.hex()[:16], true, size) from error
                vacant |= self._condemn(raw)
                continue
            if vacant and not raw.path:
                self._put_back(block, size, raw)
            return plain
        if damage is not None:
            self.index.mark_missing([block])
            raise damage
        raise BlockAbsent(block.hex())

    def get_any(self, block: bytes, size: int) -> bytes:
        """The same for who has the size from hearsay: what is here decides. No `WrongSize`."""
        try:
            return self.get(block, size)
        except errors.WrongSize as error:
            return self.get(block, error.size)

    def read_raw(self, block: bytes) -> tuple[bytes, str]:
        """A block as it is stored, and its suffix; not verified. `BlockAbsent` if not here."""
        for raw in self._copies(block):
            return raw.data, raw.suffix
        raise BlockAbsent(block.hex())

    def get_many(self, blocks: Sequence[tuple[bytes, int]]) -> Iterator[tuple[bytes, bytes | None]]:
        """Id and plain bytes of every different one of `blocks`, in the order they lie on disk.

        None for the bytes of a block that is absent or damaged. Small blocks come sequentially
        from staged files where those are still there: cold, ten times as fast as their own files.
        """
        sizes = dict(blocks)
        seen: set[bytes] = set()
        for block, data in self.get_staged(sizes):
            seen.add(block)
            yield block, data
        for block in sorted(sizes.keys() - seen):
            yield block, self._quietly(block, sizes[block])

    def get_staged(self, sizes: Mapping[bytes, int]) -> Iterator[tuple[bytes, bytes | None]]:
        """The same of those among `sizes` that are staged, and of no others."""
        where = self.index.staged_locate(sizes)
        order = sorted(where, key=lambda block: (where[block].file, where[block].offset))
        for run in _runs(order, where):
            first, last = where[run[0]], where[run[-1]]
            stored = self.reader.read(first.file, first.offset, last.end - first.offset)
            for block in run:
                yield block, self._from_run(block, sizes[block], stored, first.offset, where[block])

    def _from_run(
        self, block: bytes, size: int, stored: bytes | None, start: int, at: StagedAt
    ) -> bytes | None:
        if stored is not None:
            data = stored[at.offset - start : at.end - start]
            try:
                return decode(block, size, Raw(data, at.suffix, ""))
            except errors.Damaged:
                pass  # its own file may be sound
        return self._quietly(block, size)

    def _quietly(self, block: bytes, size: int) -> bytes | None:
        try:
            return self.get(block, size)
        except (BlockAbsent, errors.Damaged):
            return None

    def _copies(self, block: bytes) -> Iterator[Raw]:
        """What is here under the block's name: its own files, then a staged copy."""
        preferred, *others = self._suffixes
        found = self._read_own(block, preferred)
        if found is not None:
            yield found
        at = self.index.staged_find(block)
        if at is not None:
            data = self.reader.read(at.file, at.offset, at.length)
            if data is not None:
                yield Raw(data, at.suffix, "")
        for suffix in others:
            found = self._read_own(block, suffix)
            if found is not None:
                yield found

    def _read_own(self, block: bytes, suffix: str) -> Raw | None:
        path = self.path_of(block, suffix)
        try:
            return Raw(fsio.read_file(path, STORED_MAX), suffix, path)
        except OSError as error:
            if error.errno in _GONE:
                return None
            if error.errno in (errno.ELOOP, errno.EISDIR, errno.EINVAL, errno.EFBIG, errno.ENXIO):
                return Raw(b"", suffix, path)  # something that is no block: fails verification
            raise

    # --- keeping ----------------------------------------------------------------------------

    def put(self, block: bytes, stored: bytes, suffix: str, size: int = -1) -> None:
        """Keep a pulled block, verified by the caller: visible at once, durable in seconds.

        `sync_pending` makes it durable; until then nobody relies on its being here.
        """
        temporary = f"{self.tmp}/{fsio.temporary_name()}"
        large = len(stored) >= limits.STAGE_BELOW_BYTES  # on its way to disk until it is synced
        try:
            fsio.write_new(temporary, stored, writeback=large)
        except FileNotFoundError:
            self.make_tmp()
            fsio.write_new(temporary, stored, writeback=large)
        self.install(temporary, self.path_of(block, suffix))
        with self._guard:
            self._pending.append((block, size))
            self._unsynced_puts = True
            waited = self.clock.monotonic() - self._flushed
            due = len(self._pending) >= _PENDING_ROWS or waited >= _PENDING_SECONDS
        if due:
            self.flush()

    def install(self, temporary: str, final: str) -> None:
        """Rename a complete file to its place in `hashes/`; a directory there is set aside.

        Makes the directories above only when they are missing. On an error `temporary` is gone.
        """
        try:
            try:
                fsio.rename_making(temporary, final)
            except IsADirectoryError:
                self._set_aside_path(final)
                fsio.rename(temporary, final)
        except BaseException:
            fsio.remove(temporary)
            raise

    def flush(self) -> None:
        """Tell the index of the blocks put and sealed since the last time."""
        self.uses.note(self.unindexed.tell(self.index))
        with self._guard:
            rows, self._pending = self._pending, []
            self._flushed = self.clock.monotonic()
        if rows:
            self.index.mark_held(rows)
            self.uses.note([block for block, _ in rows])

    @property
    def sync_due(self) -> bool:
        """Whether this process put blocks that no `sync_pending` has covered yet."""
        return self._unsynced_puts

    # --- letting go -------------------------------------------------------------------------

    def set_aside(self, block: bytes, into: str) -> bool:
        """Move a block's files from `hashes/` to the directory `into`; whether there was one.

        It counts as missing from now on. `bring_back` is the way home.
        """
        moved = False
        for suffix in self._suffixes:
            target = os.path.join(into, block.hex() + suffix)
            with suppress(FileNotFoundError):
                fsio.rename_making(self.path_of(block, suffix), target)
                moved = True
        self.index.mark_missing([block])
        return moved

    def bring_back(self, block: bytes, origin: str) -> bool:
        """Move a block that was set aside in `origin` back; whether it was there."""
        for suffix in self._suffixes:
            with suppress(FileNotFoundError):
                path = os.path.join(origin, block.hex() + suffix)
                os.lstat(path)
                fsio.rename_making(path, self.path_of(block, suffix))
                self.index.mark_held([block])
                return True
        return False

    def _put_back(self, block: bytes, size: int, raw: Raw) -> None:
        """A staged copy takes the place of a damaged file: peers read nothing but `hashes/`.

        It is not yet durable there. Without room the block counts as missing.
        """
        self.index.mark_missing([block])
        with suppress(OSError):
            self.put(block, raw.data, raw.suffix, size)
            self.flush()

    def _condemn(self, raw: Raw) -> bool:
        """Set a damaged file aside; where that is not possible it stays, and stays useless."""
        if not raw.path:
            return False
        try:
            self._set_aside_path(raw.path)
        except OSError:
            return False
        return True

    def _set_aside_path(self, path: str) -> None:
        name = os.path.relpath(path, self.hashes).replace("/", "")
        fsio.rename_making(path, f"{self.damaged}/{name}.{fsio.temporary_name()}")

    def found_damaged(self) -> set[bytes]:
        """The blocks that lie in `damaged/`; some of them may be here again."""
        try:
            names = os.listdir(self.damaged)
        except FileNotFoundError:
            return set()
        blocks: set[bytes] = set()
        for name in names:
            with suppress(ValueError):
                block = bytes.fromhex(name[:64])
                if len(block) == 32:
                    blocks.add(block)
        return blocks

    def make_tmp(self) -> None:
        """Make `tmp/`, which nobody but its owner may enter: temporary files are private."""
        fsio.mkdir(self.tmp, 0o700)


def decode(block: bytes, size: int, raw: Raw) -> bytes:
    """The plain bytes of a stored block; `errors.Damaged` unless they are what its id says."""
    where = raw.path or f"staged block {block.hex()}"
    plain = raw.data
    if raw.suffix:
        from globofs.format import codec

        try:
            plain = codec.decompress(raw.data, raw.suffix, size)
        except errors.FormatError as error:
            raise errors.Damaged(path=where, reason=error.message) from error
    if len(plain) != size:
        raise errors.Damaged(path=where, reason=f"{len(plain)} bytes instead of {size}")
    if sha256(plain).digest() != block:
        raise errors.Damaged(path=where, reason="its SHA-256 is another")
    return plain


def size_of(block: bytes, raw: Raw) -> int | None:
    """How many plain bytes a stored block has, by its content alone: what a version says of it is
    a stranger's word. None where it is something else than its id says."""
    from globofs.format import codec

    try:
        plain = codec.decompress(raw.data, raw.suffix, limits.BLOCK_SIZE_MAX)
    except errors.FormatError:
        return None
    return len(plain) if sha256(plain).digest() == block else None


def _runs(order: Iterable[bytes], where: Mapping[bytes, StagedAt]) -> Iterator[list[bytes]]:
    """Staged blocks in the order they lie, in lists that one read brings: nearly adjacent ones."""
    run: list[bytes] = []
    for block in order:
        at = where[block]
        if run:
            first, last = where[run[0]], where[run[-1]]
            near = at.file == last.file and at.offset - last.end <= _RUN_GAP_BYTES
            if not near or at.end - first.offset > _RUN_BYTES:
                yield run
                run = []
        run.append(block)
    if run:
        yield run


def _directory_names(path: str, length: int) -> list[str]:
    try:
        return sorted(name for name in os.listdir(path) if len(name) == length)
    except OSError:
        return []
