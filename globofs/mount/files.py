"""Open files of a mount: reading, writing, and when their content is ready to be recorded."""

from __future__ import annotations

import errno
import itertools
import os
import threading
import time
from typing import TYPE_CHECKING

from globofs.errors import GlobofsError
from globofs.mount.ahead import SMALL_BYTES
from globofs.mount.inode import Handle, Inode
from globofs.mount.namespace import Namespace, as_os_error, fail
from globofs.store.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Callable

    from globofs.mount.contents import Contents
    from globofs.mount.inode import Attributes
    from globofs.store.fsio import Buffer


class Files:
    """The table of open files. Any thread may call it."""

    def __init__(
        self,
        space: Namespace,
        contents: Contents,
        ready: Callable[[], None],
        commit_seconds: float,
    ) -> None:
        """`ready` is called when something can be recorded; it must not block."""
        self.space = space
        self.contents = contents
        self.ready = ready
        self.commit_seconds = commit_seconds
        self._handles: dict[int, Handle] = {}
        self._numbers = itertools.count(1)
        self._opening = threading.Lock()

    def handle(self, number: int) -> Handle:
        """The open file `number`; EBADF."""
        try:
            return self._handles[number]
        except KeyError:
            raise fail(errno.EBADF) from None

    def open_paths(self) -> list[bytes]:
        """The paths that somebody has open now."""
        with self.space.lock:
            return sorted({handle.inode.path for handle in self._handles.values()})

    # --- opening and closing --------------------------------------------------------------------

    def open(self, path: bytes, flags: int) -> int:
        """`open(2)` of something that exists."""
        space = self.space
        with space.lock:
            writing = flags & os.O_ACCMODE != os.O_RDONLY
            if writing:
                space.writable()
            inode = space.inode(path)
            if inode.kind == "directory":
                raise fail(errno.EISDIR, path)
            number = self._add(Handle.of(inode, flags))
        if writing and flags & os.O_TRUNC:
            try:
                self.truncate(inode, 0)
            except BaseException:
                self.release(number)
                raise
        return number

    def create(self, path: bytes, mode: int, flags: int) -> int:
        """`open(2)` with `O_CREAT` of something that does not exist."""
        space = self.space
        with space.lock:
            if space.find(path) is not None and not flags & os.O_EXCL:
                return self.open(path, flags)
            inode = space.fresh(path, "file", mode)
            handle = Handle.of(inode, flags)
            try:
                self._scratch(inode)
                space.place(inode)
            except OSError:
                if inode.scratch is not None:
                    inode.scratch.close()
                raise
            return self._add(handle)

    def _add(self, handle: Handle) -> int:
        number = next(self._numbers)
        self._handles[number] = handle
        return number

    def release(self, number: int) -> None:
        """The last descriptor of an open file is closed."""
        space = self.space
        with space.lock:
            handle = self._handles.pop(number, None)
            if handle is None:
                return
            inode = handle.inode
            inode.handles -= 1
            inode.writers -= handle.writable
            if inode.dirty and inode.linked and not inode.writers:
                space.writable().keep(inode.number)
                self.ready()
            if not inode.handles:
                space.settle(inode)

    # --- content --------------------------------------------------------------------------------

    def read(self, number: int, size: int, offset: int) -> Buffer:
        """`pread(2)`; EIO after a bounded wait for a block that nobody reachable holds."""
        handle = self.handle(number)
        if not handle.readable:
            raise fail(errno.EBADF, handle.inode.path)
        return self.read_inode(handle.inode, size, offset)

    def read_inode(self, inode: Inode, size: int, offset: int) -> Buffer:
        """Up to `size` bytes of what is, or will be, an inode's content."""
        scratch = inode.scratch
        inode.used = time.monotonic()
        try:
            if scratch is not None:
                return scratch.pread(size, offset)
            return self._base(inode, offset, size)
        except GlobofsError as error:
            raise as_os_error(error, inode.path) from None

    def _base(self, inode: Inode, offset: int, size: int) -> Buffer:
        if not inode.base:
            return b""
        reader = inode.reader
        if reader is None:
            if inode.size <= SMALL_BYTES:
                self.contents.siblings.read(inode.path)
            with self._opening:
                if inode.reader is None:
                    inode.reader = self.contents.reader(inode.base)
                reader = inode.reader
        return reader.pread(offset, size)

    def _scratch(self, inode: Inode) -> Scratch:
        """The inode's scratch file, made at the first change."""
        if inode.scratch is not None:
            return inode.scratch
        with self.space.lock:
            if inode.scratch is not None:
                return inode.scratch
            log = self.space.writable()
            blocks = self.contents.blocks(inode.base) if inode.base else []
            inode.scratch = Scratch(
                log.scratch(inode.number),
                blocks,
                lambda offset, size: self._base(inode, offset, size),
                touched=lambda block: log.left(inode.number, block),
            )
            if inode.linked:
                log.set(inode.intent())
            return inode.scratch

    def write(self, number: int, data: bytes, offset: int, *, mapped: bool = False) -> int:
        """`pwrite(2)`; ENOSPC where the disk is full. `mapped`: of pages of a shared mapping, which
        do not go to the end where a file was opened to append."""
        handle = self.handle(number)
        if not handle.writable:
            raise fail(errno.EBADF, handle.inode.path)
        inode = handle.inode
        try:
            scratch = self._scratch(inode)
            done = scratch.pwrite(data, scratch.size if handle.append and not mapped else offset)
        except GlobofsError as error:
            raise as_os_error(error, inode.path) from None
        self._modified(inode)
        return done

    def truncate(self, inode: Inode, size: int) -> None:
        """`ftruncate(2)`."""
        try:
            scratch = self._scratch(inode)
            if scratch.size == size and inode.dirty:
                return
            scratch.truncate(size)
        except GlobofsError as error:
            raise as_os_error(error, inode.path) from None
        self._modified(inode)
        if not inode.writers:
            self.space.changed(inode)
            self.ready()

    def _modified(self, inode: Inode) -> None:
        inode.mtime = inode.ctime = time.time_ns()
        inode.serial += 1
        if not inode.dirty:
            with self.space.lock:
                self.space.changed(inode)

    def sync(self, number: int) -> None:
        """`fsync(2)`: what was written is found again after a crash, and recorded before long."""
        inode = self.handle(number).inode
        scratch = inode.scratch
        if scratch is None or not inode.dirty or not inode.linked:
            return
        scratch.sync()
        with self.space.lock:
            log = self.space.writable()
            log.set(inode.intent())
            log.keep(inode.number)
            log.sync()
            if not inode.synced:
                inode.synced = True
                inode.due = time.monotonic() + self.commit_seconds
        self.ready()

    def sync_names(self) -> None:
        """`fsync(2)` of a directory: names are found again after a power loss."""
        if self.space.log is not None:
            self.space.log.sync()

    def closing(self, number: int) -> None:
        """`close(2)` of a descriptor: what it wrote is found again, whoever is killed now."""
        handle = self.handle(number)
        inode = handle.inode
        if handle.writable and inode.dirty and inode.linked:
            self.space.writable().keep(inode.number)

    def attributes(self, number: int) -> Attributes:
        """`fstat(2)`, also of a file that has no name any more."""
        return self.space.inode_attributes(self.handle(number).inode)
