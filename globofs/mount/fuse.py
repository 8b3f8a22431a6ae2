"""The FUSE face: translates paths in and errnos out, nothing else."""

from __future__ import annotations

import errno
import itertools
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import mfusepy

from globofs.errors import GlobofsError
from globofs.limits import NAME_BYTES
from globofs.mount import libfuse
from globofs.mount.inode import Attributes, Inode
from globofs.mount.namespace import as_os_error, fail
from globofs.mount.past import Past, Place, is_past

if TYPE_CHECKING:
    from globofs.mount.files import Files
    from globofs.mount.inode import Reader
    from globofs.mount.namespace import Namespace
    from globofs.mount.recorder import Recorder
    from globofs.store.fsio import Buffer

_KERNEL_CACHE_SECONDS = 1.0
_PAST_HANDLES = 1 << 40
"""Handles from here on are of things below `.globofs`."""


def _inside(path: str) -> bytes:
    """The volume path of a path of the mount."""
    return os.fsencode(path)[1:]


def _named(path: str | None) -> bytes:
    if path is None:
        raise fail(errno.ENOENT)
    inside = _inside(path)
    if is_past(inside):
        raise fail(errno.EROFS, inside)
    return inside


class VolumeFuse(mfusepy.Operations):
    """The operations that libfuse calls, from threads of its own."""

    use_ns = True

    def __init__(self, space: Namespace, files: Files, recorder: Recorder, past: Past) -> None:
        self.space = space
        self.files = files
        self.recorder = recorder
        self.past = past
        self.uid, self.gid = os.getuid(), os.getgid()
        self._past_open: dict[int, tuple[Place, Reader | None]] = {}
        self._listed: dict[int, bytes] = {}
        self._numbers = itertools.count(_PAST_HANDLES)
        self.was_mounted = False
        self.on_mounted: Callable[[], None] | None = None

    def init_with_config(self, conn_info: Any, config_3: Any) -> None:
        """libfuse is ready. Open files are told by their number, not by their path."""
        if conn_info is not None:
            conn_info.max_background = libfuse.BACKGROUND
            conn_info.congestion_threshold = libfuse.BACKGROUND * 3 // 4
        if config_3 is not None:
            config_3.nullpath_ok = 1
            config_3.entry_timeout = config_3.attr_timeout = _KERNEL_CACHE_SECONDS
            config_3.negative_timeout = 0.0
            config_3.auto_cache = 1
            if hasattr(config_3, "no_rofd_flush"):
                config_3.no_rofd_flush = 1  # nothing of a file open for reading waits for its close
        self.was_mounted = True
        if self.on_mounted is not None:
            self.on_mounted()

    # --- attributes -----------------------------------------------------------------------------

    def getattr(  # type: ignore[override]  # `VolumeBinding` takes these
        self, path: str | None, fh: int | None = None
    ) -> Attributes:
        """`stat(2)`, `fstat(2)`."""
        if fh is not None and fh < _PAST_HANDLES:
            return self.files.attributes(fh)
        if fh is not None and fh in self._past_open:
            return self._past_open[fh][0].attributes
        if path is None:
            raise fail(errno.ENOENT)
        inside = _inside(path)
        return self._place(inside).attributes if is_past(inside) else self.space.attributes(inside)

    def _place(self, inside: bytes) -> Place:
        try:
            return self.past.find(inside)
        except GlobofsError as error:
            raise as_os_error(error, inside) from None

    def _inode(self, path: str | None, fh: int | None) -> Inode:
        """What is to be changed: an open file by its number, else by its path."""
        if fh is not None and fh < _PAST_HANDLES:
            self.space.writable()
            return self.files.handle(fh).inode
        if path is None:
            raise fail(errno.EROFS if fh is not None else errno.ENOENT)
        return self.space.inode(self._changeable(path))

    def chmod(self, path: str | None, mode: int, fh: int | None = None) -> int:
        """`chmod(2)`, `fchmod(2)`."""
        space = self.space
        with space.lock:
            space.set_mode(self._inode(path, fh), mode)
        self.recorder.ready()
        return 0

    def chown(self, path: str | None, uid: int, gid: int, fh: int | None = None) -> int:
        """`chown(2)`, `fchown(2)`: shown as long as this mount lives, never recorded."""
        inode = self._inode(path, fh)
        ids = [None if number in (-1, 0xFFFFFFFF) else number for number in (uid, gid)]
        self.space.set_owner(inode.path, *ids)
        self.space.settle(inode)
        return 0

    def utimens(
        self,
        path: str | None,
        times: tuple[int | None, int | None] | None = None,
        fh: int | None = None,
    ) -> int:
        """`utimens(2)`, `futimens(2)`; None leaves a time as it is."""
        now = time.time_ns()
        space = self.space
        with space.lock:
            inode = self._inode(path, fh)
            space.set_time(inode, *(times or (now, now)))
            self.space.settle(inode)
        self.recorder.ready()
        return 0

    def _changeable(self, path: str) -> bytes:
        inside = _inside(path)
        if is_past(inside):
            raise fail(errno.EROFS, inside)
        self.space.writable()
        return inside

    def statfs(self, path: str) -> dict[str, int]:
        """`statvfs(2)`: of the file system that the node's directory lies on."""
        facts = os.statvfs(self.space.volume.node.directory)
        keys = ("bavail", "bfree", "blocks", "bsize", "favail", "ffree", "files", "flag", "frsize")
        return {f"f_{key}": int(getattr(facts, f"f_{key}")) for key in keys} | {
            "f_namemax": NAME_BYTES
        }

    # --- directories and names ------------------------------------------------------------------

    def opendir(self, path: str) -> int:
        """`opendir(3)`: what is listed is told by number, its path may be gone by then."""
        number = next(self._numbers)
        self._listed[number] = _inside(path)
        return number

    def releasedir(self, path: str | None, fh: int) -> int:
        """`closedir(3)`."""
        self._listed.pop(fh, None)
        return 0

    def readdir(self, path: str | None, fh: int) -> Iterator[Any]:
        """Asked for through `listing`, with attributes; its being here says that it is."""
        raise fail(errno.ENOSYS)

    def listing(self, fh: int) -> Iterator[tuple[bytes, Attributes, bool]]:
        """What is in a directory that is open; False where of the attributes only the kind is."""
        inside = self._listed[fh]
        if not is_past(inside):
            for name, facts in self.space.children(inside):
                yield name, facts, True
            return
        place = self._place(inside)
        if place.listing is None:
            raise fail(errno.ENOTDIR, inside)
        for name, kind in place.listing():
            yield name, Attributes(kind, 0, 0, 0, 0), False

    def mkdir(self, path: str, mode: int) -> int:
        """`mkdir(2)`."""
        self.space.make(self._changeable(path), "directory", mode)
        self.recorder.ready()
        return 0

    def symlink(self, target: str, source: str) -> int:
        """`symlink(2)`: `target` is the new name, `source` what it points to."""
        inside = self._changeable(target)
        self.space.make(inside, "symlink", 0o777, os.fsencode(source))
        self.recorder.ready()
        return 0

    def readlink(self, path: str) -> str:
        """`readlink(2)`."""
        inside = _inside(path)
        if is_past(inside):
            return os.fsdecode(self._place(inside).target)
        found = self.space.need(inside)
        if found.kind != "symlink":
            raise fail(errno.EINVAL, inside)
        return os.fsdecode(found.target)

    def unlink(self, path: str) -> int:
        """`unlink(2)`."""
        self.space.remove(self._changeable(path), directory=False)
        self.recorder.ready()
        return 0

    def rmdir(self, path: str) -> int:
        """`rmdir(2)`."""
        self.space.remove(self._changeable(path), directory=True)
        self.recorder.ready()
        return 0

    def rename(self, old: str, new: str) -> int:
        """`rename(2)`."""
        before, after = self._changeable(old), self._changeable(new)
        if self.space.need(before).kind == "directory":
            self.recorder.rename_directory(before, after)
        else:
            self.space.rename(before, after)
        self.recorder.ready()
        return 0

    def mknod(self, path: str, mode: int, dev: int) -> int:
        """`mknod(2)` of regular files only: devices, sockets and FIFOs are not kept in a volume."""
        if mode & 0o170000 not in (0, 0o100000):
            raise fail(errno.EPERM)
        self.files.release(self.files.create(self._changeable(path), mode, os.O_WRONLY))
        return 0

    # --- files ----------------------------------------------------------------------------------

    def open(self, path: str, flags: int) -> int:
        """`open(2)` of what the kernel has found. Where that is gone by now it is to look again:
        something else may have been renamed to its name."""
        inside = _inside(path)
        if not is_past(inside):
            try:
                return self.files.open(inside, flags)
            except FileNotFoundError:
                raise fail(errno.ESTALE, inside) from None
        if flags & os.O_ACCMODE != os.O_RDONLY:
            raise fail(errno.EROFS, inside)
        place = self._place(inside)
        if place.listing is not None:
            raise fail(errno.EISDIR, inside)
        reader = self.files.contents.reader(place.version.id) if place.version else None
        number = next(self._numbers)
        self._past_open[number] = (place, reader)
        return number

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        """`open(2)` that makes the file."""
        flags = fi if isinstance(fi, int) else os.O_RDWR
        return self.files.create(self._changeable(path), mode, flags)

    def read(self, path: str | None, size: int, offset: int, fh: int) -> Buffer:
        """`pread(2)`."""
        if fh < _PAST_HANDLES:
            return self.files.read(fh, size, offset)
        place, reader = self._past_open[fh]
        if reader is None:
            return place.text[offset : offset + size]
        try:
            return reader.pread(offset, size)
        except GlobofsError as error:
            raise as_os_error(error) from None

    def write(
        self, path: str | None, data: bytes, offset: int, fh: int, *, mapped: bool = False
    ) -> int:
        """`pwrite(2)`, or `mapped`, pages of a shared mapping."""
        return self.files.write(fh, data, offset, mapped=mapped)

    def truncate(self, path: str | None, length: int, fh: int | None = None) -> int:
        """`truncate(2)`, `ftruncate(2)`."""
        with self.space.lock:
            handle = None if fh is not None else self.files.open(_named(path), os.O_WRONLY)
            inode = self.files.handle(handle).inode if handle else self._inode(path, fh)
        try:
            self.files.truncate(inode, length)
        finally:
            if handle is not None:
                self.files.release(handle)
        return 0

    def fsync(self, path: str | None, datasync: int, fh: int) -> int:
        """`fsync(2)`."""
        if fh < _PAST_HANDLES:
            self.files.sync(fh)
        return 0

    def fsyncdir(self, path: str | None, datasync: int, fh: int) -> int:
        """`fsync(2)` of a directory: the names that were made and removed in it last."""
        self.files.sync_names()
        return 0

    def flush(self, path: str | None, fh: int) -> int:
        """`close(2)` of one descriptor; the kernel waits for this, not for `release`."""
        if fh < _PAST_HANDLES:
            self.files.closing(fh)
        return 0

    def release(self, path: str | None, fh: int) -> int:
        """The last `close(2)` of an open file."""
        if fh < _PAST_HANDLES:
            self.files.release(fh)
            return 0
        _, reader = self._past_open.pop(fh, (None, None))
        if reader is not None:
            reader.close()
        return 0
