"""mfusepy as the mount needs it: open files told by number, attributes without detours.

libfuse 3 gives no path to the calls on open files (`nullpath_ok`), and mfusepy drops the number
in some of them. A request costs a tenth of a millisecond in Python, so the frequent ones take
no dictionaries and look at no signatures.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import threading
import time
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import mfusepy

from globofs.mount.inode import TYPES

if TYPE_CHECKING:
    from globofs.mount.inode import Attributes

_UTIME_NOW = (1 << 30) - 1
_UTIME_OMIT = (1 << 30) - 2
_RENAME_NOREPLACE = 1
_READDIR_PLUS = 1
_FILL_PLUS = 2
_SECOND = 1_000_000_000
_BLOCK_BYTES = 1 << 17
"""What `st_blksize` says: the most that the kernel asks for at once."""
_THREADS_KEPT = 64
"""How many threads keep their state: that of one which libfuse lets end is not freed."""


_STAT_FIELDS = (
    *("st_mode", "st_size", "st_blocks", "st_blksize", "st_nlink", "st_uid", "st_gid"),
    *("st_atimespec", "st_mtimespec", "st_ctimespec"),
)
_STAT_BYTES = ctypes.sizeof(mfusepy.c_stat)


def _stat_layout() -> tuple[struct.Struct, Any]:
    """How this machine's `struct stat` is packed from values in the order of `_STAT_FIELDS`: one
    call, where setting its fields through ctypes takes fifteen."""
    places: list[tuple[int, int]] = []
    for name in _STAT_FIELDS:
        field = getattr(mfusepy.c_stat, name)
        half = field.size // 2
        places += (
            [(field.offset, half), (field.offset + half, half)]
            if "spec" in name
            else [(field.offset, field.size)]
        )
    order = sorted(range(len(places)), key=lambda number: places[number])
    words, end = "=", 0
    for offset, size in (places[number] for number in order):
        words += f"{offset - end}x" + {2: "H", 4: "I", 8: "q"}[size]
        end = offset + size
    return struct.Struct(f"{words}{_STAT_BYTES - end}x"), itemgetter(*order)


_STAT, _IN_MEMORY_ORDER = _stat_layout()


def decoded(path: bytes | None) -> str | None:
    """A path of a call, which calls on open files do not have."""
    return None if path is None else os.fsdecode(path)


def handle(fip: Any) -> int | None:
    """The number of the open file that a call is about, if it is about one."""
    return fip.contents.fh if fip else None


def _utime(stamp: Any) -> int | None:
    if stamp.tv_nsec == _UTIME_OMIT:
        return None
    if stamp.tv_nsec == _UTIME_NOW:
        return time.time_ns()
    return int(stamp.tv_sec) * _SECOND + int(stamp.tv_nsec)


class Fuse(mfusepy.FUSE):
    """mfusepy, but that an open file's number reaches the calls which libfuse 3 gives no path."""

    def truncate_fuse_3(self, path: bytes | None, length: int, fip: Any) -> int:
        """`ftruncate(2)` comes without a path."""
        done: int = self.operations.truncate(decoded(path), length, handle(fip))
        return done

    def chmod_fuse_3(self, path: bytes | None, mode: int, fip: Any) -> int:
        """`fchmod(2)` comes without a path."""
        done: int = self.operations.chmod(decoded(path), mode, handle(fip))
        return done

    def chown_fuse_3(self, path: bytes | None, uid: int, gid: int, fip: Any) -> int:
        """`fchown(2)` comes without a path; an id that is not to change comes as -1."""
        done: int = self.operations.chown(decoded(path), uid, gid, handle(fip))
        return done

    def utimens_fuse_3(self, path: bytes | None, buf: Any, fip: Any) -> int:
        """`futimens(2)` comes without a path; a time that is not to change becomes None."""
        times = (_utime(buf.contents.actime), _utime(buf.contents.modtime)) if buf else None
        done: int = self.operations.utimens(decoded(path), times, handle(fip))
        return done

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> int:
        """`renameat2(2)`: the kernel has looked whether `new` is free where that is asked for; two
        names that change places are EINVAL, which mfusepy would take for a rename over the other.
        """
        if flags & ~_RENAME_NOREPLACE:
            return -errno.EINVAL
        done: int = self.operations.rename(os.fsdecode(old), os.fsdecode(new))
        return done


class _Threads(threading.local):
    """What Python knows of the calling thread of libfuse, from one request to the next.

    ctypes makes a state for each call that comes from a foreign thread and throws it away: an
    mmap(2), a munmap(2) and what every `threading.local` holds, such as decompressors.
    """

    kept = 0

    def __init__(self) -> None:
        if _Threads.kept < _THREADS_KEPT:
            _Threads.kept += 1
            ctypes.pythonapi.PyGILState_Ensure()  # without its Release: ctypes' own ends nothing


_threads = _Threads()


class VolumeBinding(Fuse):
    """The frequent calls, shorter: its operations answer with `Attributes`, not dictionaries."""

    def _wrapper(self, func: Any, *args: Any) -> Any:
        """Every request comes through here."""
        _ = _threads.kept  # the first look from a thread makes what it keeps
        return super()._wrapper(func, *args)  # type: ignore[no-untyped-call]

    def fgetattr(self, path: bytes | None, buf: Any, fip: Any) -> int:
        """`stat(2)`, `fstat(2)`."""
        facts = self.operations.getattr(decoded(path), handle(fip))
        ctypes.memmove(buf, self._packed(facts), _STAT_BYTES)
        return 0

    def _packed(self, facts: Attributes) -> bytes:
        """A `struct stat`, as it lies in memory."""
        kind, mode, size, mtime, ctime, links, atime, uid, gid = facts
        ops = self.operations
        values = (
            TYPES[kind] | mode,
            size,
            (size + 511) >> 9,
            _BLOCK_BYTES,
            links,
            ops.uid if uid is None else uid,
            ops.gid if gid is None else gid,
            *divmod(mtime if atime is None else atime, _SECOND),
            *divmod(mtime, _SECOND),
            *divmod(ctime, _SECOND),
        )
        return _STAT.pack(*_IN_MEMORY_ORDER(values))

    def read(self, path: bytes | None, buf: Any, size: int, offset: int, fip: Any) -> int:
        """`pread(2)`: what is read is copied once, from the block to where libfuse wants it."""
        data = self.operations.read(None, size, offset, fip.contents.fh)
        length = len(data)
        target = (ctypes.c_char * size).from_address(ctypes.addressof(buf.contents))
        memoryview(target).cast("B")[:length] = data
        return length

    def write(self, path: bytes | None, buf: Any, size: int, offset: int, fip: Any) -> int:
        """`pwrite(2)`, and pages of a shared mapping, which have their place whatever the flags of
        the open file say."""
        info = fip.contents
        data = ctypes.string_at(buf, size)
        done: int = self.operations.write(None, data, offset, info.fh, mapped=info.writepage)
        return done

    def create(self, path: bytes, mode: int, fip: Any) -> int:
        """`open(2)` that makes the file."""
        info = fip.contents
        info.fh = self.operations.create(os.fsdecode(path), mode, info.flags)
        return 0

    def readdir_fuse_3(
        self, path: bytes | None, buf: Any, filler: Any, offset: int, fip: Any, flags: int
    ) -> int:
        """`readdir(3)`: the kernel gets the attributes with the names, where it wants them."""
        st = mfusepy.c_stat()
        place = ctypes.addressof(st)
        for name in (b".", b".."):
            filler(buf, name, None, 0, 0)
        for name, facts, whole in self.operations.listing(fip.contents.fh):
            ctypes.memmove(place, self._packed(facts), _STAT_BYTES)
            if filler(buf, name, st, 0, _FILL_PLUS if whole and flags & _READDIR_PLUS else 0):
                break
        return 0
