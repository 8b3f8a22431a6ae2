"""From staged files into `hashes/`: quick, repeatable, finished by whoever comes next.

What is put there is not durable at once and need not be: the staged file stays until it is, and
its name says so (see `staged`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from globofs import limits
from globofs.store import clock, fsio, staged
from globofs.store.staged import DONE, StagedBlock, StagedFile
from globofs.store.staged_index import index_pending, index_staged

if TYPE_CHECKING:
    from globofs.store.block_files import BlockFiles

_ABANDONED_SECONDS = 3600.0
_ALONE = 500
"""Below so many blocks a second thread costs more than it brings."""


def explode(store: BlockFiles) -> int:
    """Put the blocks of all pending staged files into `hashes/`; returns how many it were.

    Deletes what killed clients left half written, too.
    """
    sweep(store)
    if not staged.pending(store.staged):
        return 0
    count = 0
    with store.locks.explode.exclusive():
        for file in staged.pending(store.staged):
            index_staged(store, file)  # nobody looks at it after this
            path = os.path.join(store.staged, file.name)
            count += _explode_file(store, path)
            fsio.rename(path, os.path.join(store.staged, f"{file.base}.{clock.boot_id()}"))
        _trim(store)
    return count


def _explode_file(store: BlockFiles, path: str) -> int:
    # By id: neighbours share directories, and two threads stay out of each other's.
    blocks = sorted(staged.scan(path))
    fd = fsio.open_regular(path)
    try:
        if len(blocks) < _ALONE:
            _place(store, fd, blocks)
        else:
            from concurrent.futures import ThreadPoolExecutor  # slow to load

            half = len(blocks) // 2
            with ThreadPoolExecutor(1) as pool:
                other = pool.submit(_place, store, fd, blocks[half:])
                _place(store, fd, blocks[:half])
                other.result()
    finally:
        os.close(fd)
    return len(blocks)


def _place(store: BlockFiles, fd: int, blocks: Sequence[StagedBlock]) -> None:
    temporary = f"{store.tmp}/{fsio.temporary_name('x')}"
    hashes = store.hashes
    make_first = True  # a new volume lacks nearly all directories, an old one nearly none
    directory = ""
    store.make_tmp()
    for block in blocks:
        name = block.id.hex()
        data = fsio.pread_all(fd, block.offset, block.length)
        fsio.write_new(temporary, data)
        above = f"{hashes}/{name[:2]}/{name[2:4]}"
        final = f"{above}/{name[4:]}{block.suffix}"
        if above != directory:
            directory = above
            if make_first:
                make_first = _make(above)
        try:
            fsio.rename(temporary, final)
        except (FileNotFoundError, IsADirectoryError):
            make_first = True
            store.install(temporary, final)
        except BaseException:
            fsio.remove(temporary)
            raise


def _make(directory: str) -> bool:
    try:
        return fsio.mkdir(directory)
    except FileNotFoundError:
        fsio.mkdirs(directory)
        return True


def settle(store: BlockFiles, *, always: bool = False) -> None:
    """Make `hashes/` durable, note that for exploded files, and keep their number bounded.

    Without exploded files nothing happens unless `always`.
    """
    here = clock.boot_id()
    exploded = [file for file in staged.files(store.staged) if file.state == here]
    if not exploded and not always:
        return
    fsio.syncfs(store.hashes)
    for file in exploded:
        # Another client may have done it: then there is nothing left to rename.
        with suppress(FileNotFoundError):
            fsio.rename(
                os.path.join(store.staged, file.name),
                os.path.join(store.staged, f"{file.base}.{DONE}"),
            )
    _drop(store)


def _sizes(store: BlockFiles) -> list[tuple[StagedFile, int]]:
    found: list[tuple[StagedFile, int]] = []
    for file in staged.files(store.staged):
        with suppress(FileNotFoundError):
            found.append((file, os.lstat(os.path.join(store.staged, file.name)).st_size))
    return found


def _trim(store: BlockFiles) -> None:
    """When the read cache is too large, make it droppable first where it is not yet."""
    sizes = _sizes(store)
    if sum(size for _, size in sizes) <= limits.STAGE_CACHE_BYTES:
        return
    settle(store, always=False)
    _drop(store)


def _drop(store: BlockFiles) -> None:
    """Delete the oldest files that are no longer needed beyond the cache's bound."""
    sizes = _sizes(store)
    excess = sum(size for _, size in sizes) - limits.STAGE_CACHE_BYTES
    for file, size in sizes:
        if excess <= 0:
            return
        if file.state == DONE:
            store.index.staged_drop(file.base)
            fsio.remove(os.path.join(store.staged, file.name))
            excess -= size


def drop(store: BlockFiles, going: set[bytes]) -> None:
    """Delete staged files that hold copies of the blocks `going`; what else they hold stands
    durably in `hashes/` before. Where a full disk is in the way of that, they stay."""
    index_pending(store)  # of those of killed adds, too
    bases = {at.file for at in store.index.staged_locate(going).values()}
    if not bases:
        return
    with suppress(OSError):
        explode(store)
        settle(store)
        for file in staged.files(store.staged):
            if file.base in bases and file.state == DONE:
                path = os.path.join(store.staged, file.name)
                _save_others(store, path, going)
                store.index.staged_drop(file.base)
                fsio.unlink(path)


def _save_others(store: BlockFiles, path: str, going: set[bytes]) -> None:
    """Put back what only a staged file holds any more: its own file was found damaged."""
    others = [b for b in staged.scan(path) if b.id not in going and store.find(b.id) is None]
    held = store.index.held([block.id for block in others])
    if held:
        fd = fsio.open_regular(path)
        try:
            _place(store, fd, [block for block in others if block.id in held])
        finally:
            os.close(fd)
        fsio.syncfs(store.hashes)


def sweep(store: BlockFiles, older_than_seconds: float = _ABANDONED_SECONDS) -> int:
    """Delete files that nobody will complete any more; returns how many it were.

    Staged files being written belong to a batch, so there are none while `adders` can be had
    alone. Other temporary files go by their age: a pull needs no lock.
    """
    count = 0
    unfinished = staged.leftovers(store.staged)
    if unfinished:
        with store.locks.adders.try_exclusive() as alone:
            for path in staged.leftovers(store.staged) if alone else ():
                count += fsio.remove(path)
    before = store.clock.now_ns() - int(older_than_seconds * limits.SECOND_NS)
    with suppress(FileNotFoundError):
        for entry in os.scandir(store.tmp):
            with suppress(FileNotFoundError):
                info = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(info.st_mode) and info.st_mtime_ns < before:
                    count += fsio.remove(entry.path)
    return count
