"""mfusepy as the mount needs it: open files told by number, attributes without detours.

libfuse 3 gives no path to the calls on open files (`nullpath_ok`), and mfusepy drops the number
in some of them. A request costs a tenth of a millisecond in Python, so the frequent ones take
no dictionaries and look at no signatures.
"""

from __future__ import annotations

import ctypes
import errno
import os
import time
from typing import TYPE_CHECKING, Any

import mfusepy

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


class VolumeBinding(Fuse):
    """The frequent calls, shorter: its operations answer with `Attributes`, not dictionaries."""

    def fgetattr(self, path: bytes | None, buf: Any, fip: Any) -> int:
        """`stat(2)`, `fstat(2)`."""
        facts = self.operations.getattr(decoded(path), handle(fip))
        self._fill(buf.contents, facts)
        return 0

    def _fill(self, st: Any, facts: Attributes) -> None:
        ops = self.operations
        mtime, atime = facts.mtime, facts.mtime if facts.atime is None else facts.atime
        ctypes.memset(ctypes.byref(st), 0, ctypes.sizeof(st))
        st.st_mode = facts.st_mode
        st.st_size = facts.size
        st.st_blocks = (facts.size + 511) >> 9
        st.st_blksize = _BLOCK_BYTES
        st.st_nlink = facts.links
        st.st_uid = ops.uid if facts.uid is None else facts.uid
        st.st_gid = ops.gid if facts.gid is None else facts.gid
        stamp = st.st_mtimespec
        stamp.tv_sec, stamp.tv_nsec = divmod(mtime, _SECOND)
        stamp = st.st_atimespec
        stamp.tv_sec, stamp.tv_nsec = divmod(atime, _SECOND)
        stamp = st.st_ctimespec
        stamp.tv_sec, stamp.tv_nsec = divmod(facts.ctime, _SECOND)

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
        for name in (b".", b".."):
            filler(buf, name, None, 0, 0)
        for name, facts, whole in self.operations.listing(fip.contents.fh):
            self._fill(st, facts)
            if filler(buf, name, st, 0, _FILL_PLUS if whole and flags & _READDIR_PLUS else 0):
                break
        return 0
