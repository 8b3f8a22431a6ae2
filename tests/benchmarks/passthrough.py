"""File systems to measure a mount against: what Python and libfuse can do at best.

`python -m tests.benchmarks.passthrough pass DIRECTORY MOUNTPOINT` shows DIRECTORY unchanged, with
`zeros` instead of `pass` its files hold nothing but zeros. Both serve until they are unmounted.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from typing import Any

from globofs.mount import libfuse

mfusepy = libfuse.fuse()

from globofs.mount.binding import Fuse  # noqa: E402

_CACHE_SECONDS = 1.0
_STATFS = ("bavail", "bfree", "blocks", "bsize", "favail", "ffree", "files", "flag", "frsize")


def _settings(config: Any) -> None:
    """The settings of the kernel's caches that a mount of a volume uses, too."""
    if config is not None:
        config.nullpath_ok = 1
        config.entry_timeout = config.attr_timeout = _CACHE_SECONDS
        config.negative_timeout = 0.0
        config.auto_cache = 1
        config.use_ino = 1
        config.hard_remove = 1  # a hidden file keeps its directory from being removed


def _stat(facts: os.stat_result) -> dict[str, Any]:
    return {
        "st_mode": facts.st_mode,
        "st_ino": facts.st_ino,
        "st_size": facts.st_size,
        "st_blocks": facts.st_blocks,
        "st_blksize": facts.st_blksize,
        "st_nlink": facts.st_nlink,
        "st_uid": facts.st_uid,
        "st_gid": facts.st_gid,
        "st_rdev": facts.st_rdev,
        "st_mtime": facts.st_mtime_ns,
        "st_atime": facts.st_atime_ns,
        "st_ctime": facts.st_ctime_ns,
    }


class Passthrough(mfusepy.Operations):
    """A directory as it is."""

    use_ns = True

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        self._listed: dict[int, str] = {}

    def _place(self, path: str | None, fh: int | None) -> int | str:
        if fh is not None:
            return fh
        assert path is not None
        return self.root + path

    def init_with_config(self, conn_info: Any, config_3: Any) -> None:
        _settings(config_3)

    def getattr(self, path: str | None, fh: int | None = None) -> dict[str, Any]:
        if fh is not None:
            return _stat(os.fstat(fh))
        assert path is not None
        return _stat(os.lstat(self.root + path))

    def chmod(self, path: str | None, mode: int, fh: int | None = None) -> int:
        os.chmod(self._place(path, fh), mode)
        return 0

    def chown(self, path: str | None, uid: int, gid: int, fh: int | None = None) -> int:
        ids = [-1 if number == 0xFFFFFFFF else number for number in (uid, gid)]
        os.chown(self._place(path, fh), *ids, follow_symlinks=fh is not None)
        return 0

    def utimens(
        self,
        path: str | None,
        times: tuple[int | None, int | None] | None = None,
        fh: int | None = None,
    ) -> int:
        place, follow = self._place(path, fh), fh is not None
        if times is None:
            os.utime(place, follow_symlinks=follow)
            return 0
        before = os.stat(place, follow_symlinks=follow)
        atime = before.st_atime_ns if times[0] is None else times[0]
        mtime = before.st_mtime_ns if times[1] is None else times[1]
        os.utime(place, ns=(atime, mtime), follow_symlinks=follow)
        return 0

    def opendir(self, path: str) -> int:
        return os.open(self.root + path, os.O_RDONLY | os.O_DIRECTORY)

    def releasedir(self, path: str | None, fh: int) -> int:
        os.close(fh)
        return 0

    def readdir(self, path: str | None, fh: int) -> Iterator[Any]:
        here = os.fstat(fh)
        for name in (".", ".."):
            yield name, {"st_mode": here.st_mode, "st_ino": here.st_ino}, 0
        with os.scandir(fh) as found:
            for entry in found:  # a listing shows nothing that has no inode
                mode = stat.S_IFLNK if entry.is_symlink() else stat.S_IFREG
                mode = stat.S_IFDIR if entry.is_dir(follow_symlinks=False) else mode
                yield entry.name, {"st_mode": mode, "st_ino": entry.inode()}, 0

    def readlink(self, path: str) -> str:
        return os.readlink(self.root + path)

    def mknod(self, path: str, mode: int, dev: int) -> int:
        os.mknod(self.root + path, mode, dev)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(self.root + path, mode)
        return 0

    def unlink(self, path: str) -> int:
        os.unlink(self.root + path)
        return 0

    def rmdir(self, path: str) -> int:
        os.rmdir(self.root + path)
        return 0

    def symlink(self, target: str, source: str) -> int:
        os.symlink(source, self.root + target)
        return 0

    def rename(self, old: str, new: str) -> int:
        os.rename(self.root + old, self.root + new)
        return 0

    def link(self, target: str, source: str) -> int:
        os.link(self.root + source, self.root + target, follow_symlinks=False)
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        facts = os.statvfs(self.root)
        return {f"f_{key}": int(getattr(facts, f"f_{key}")) for key in _STATFS}

    def open(self, path: str, flags: int) -> int:
        return os.open(self.root + path, flags)

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        flags = fi if isinstance(fi, int) else os.O_RDWR
        return os.open(self.root + path, flags | os.O_CREAT, mode)

    def read(self, path: str | None, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str | None, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str | None, length: int, fh: int | None = None) -> int:
        if fh is not None:
            os.ftruncate(fh, length)
        else:
            assert path is not None
            os.truncate(self.root + path, length)
        return 0

    def fsync(self, path: str | None, datasync: int, fh: int) -> int:
        os.fsync(fh)
        return 0

    def release(self, path: str | None, fh: int) -> int:
        os.close(fh)
        return 0


class Zeros(Passthrough):
    """The same names and sizes, and nothing but zeros: the cost of a request alone."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._zeros = bytes(1 << 20)
        self._sizes: dict[int, int] = {}

    def open(self, path: str, flags: int) -> int:
        fd = super().open(path, flags)
        self._sizes[fd] = os.fstat(fd).st_size
        return fd

    def read(self, path: str | None, size: int, offset: int, fh: int) -> bytes:
        size = max(0, min(size, self._sizes[fh] - offset))
        return self._zeros[:size] if size <= len(self._zeros) else bytes(size)


def main(words: list[str]) -> None:
    """Serve what the words ask for."""
    operations = Passthrough(words[1]) if words[0] == "pass" else Zeros(words[1])
    Fuse(
        operations,
        words[-1],
        foreground=True,
        fsname="passthrough",
        default_permissions=True,
        **libfuse.thread_options(),
    )


if __name__ == "__main__":
    os.umask(0)
    main(sys.argv[1:])
