"""A FUSE file system that passes everything through, and sleeps while a control file exists.

Run as `python helpers_sleeper.py DIRECTORY MOUNTPOINT CONTROL`: what hangs in it hangs as in a
dead mount, until the control file goes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import mfusepy


class Sleeper(mfusepy.Operations):
    def __init__(self, directory: str, control: str) -> None:
        self.directory = directory
        self.control = control

    def _path(self, path: str) -> str:
        while os.path.exists(self.control):
            time.sleep(0.05)
        return self.directory + path

    def access(self, path: str, amode: int) -> int:
        if not os.access(self._path(path), amode):
            raise mfusepy.FuseOSError(13)
        return 0

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        info = os.lstat(self._path(path))
        keys = (
            "st_mode",
            "st_nlink",
            "st_size",
            "st_uid",
            "st_gid",
            "st_mtime",
            "st_atime",
            "st_ctime",
        )
        return {key: getattr(info, key) for key in keys}

    def readdir(self, path: str, fh: int) -> Iterator[str]:
        yield from (".", "..", *os.listdir(self._path(path)))

    def readlink(self, path: str) -> str:
        return os.readlink(self._path(path))

    def open(self, path: str, flags: int) -> int:
        return os.open(self._path(path), flags)

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        return os.open(self._path(path), os.O_WRONLY | os.O_CREAT, mode)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        self._path(path)
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._path(path)
        return os.pwrite(fh, data, offset)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._path(path)
        os.fsync(fh)
        return 0

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(self._path(path), mode)
        return 0


if __name__ == "__main__":
    directory, mountpoint, control = sys.argv[1:]
    mfusepy.FUSE(Sleeper(directory, control), mountpoint, foreground=True, fsname="sleeper")
