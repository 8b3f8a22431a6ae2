"""A FUSE file system that passes everything through, and falls asleep while a file exists.

Run as `python tests/helpers_sleepy.py SOURCE MOUNTPOINT SLEEP_FILE`, in a process of its own: what
sleeps in it must not hold whoever tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType


class Sleepy:
    """The mount as the test sees it."""

    def __init__(self, source: Path, mountpoint: Path) -> None:
        self._mountpoint = mountpoint
        self._flag = mountpoint.with_suffix(".asleep")
        mountpoint.mkdir()
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(source), str(mountpoint), str(self._flag)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 10
        while not os.path.ismount(mountpoint):
            assert self._process.poll() is None, "the file system did not start"
            assert time.monotonic() < end
            time.sleep(0.02)

    def sleep(self) -> None:
        """Answer nothing from now on."""
        self._flag.touch()

    def wake(self) -> None:
        """Answer again, also what was asked meanwhile."""
        self._flag.unlink(missing_ok=True)

    def __enter__(self) -> Sleepy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.wake()
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        subprocess.run(
            ["fusermount3", "-u", "-z", str(self._mountpoint)], stderr=subprocess.DEVNULL
        )


def serve(source: str, mountpoint: str, flag: str) -> None:
    """Mount and serve until unmounted or terminated."""
    import mfusepy

    def here(path: str) -> str:
        while os.path.exists(flag):
            time.sleep(0.05)
        return source + path

    class Through(mfusepy.Operations):  # type: ignore[misc]
        use_ns = True

        def getattr(self, path, fh=None):  # type: ignore[no-untyped-def]
            info = os.lstat(here(path))
            names = ("mode", "nlink", "size", "uid", "gid", "ino")
            found = {f"st_{name}": getattr(info, f"st_{name}") for name in names}
            return {**found, "st_mtime": info.st_mtime_ns, "st_atime": info.st_atime_ns}

        def readdir(self, path, fh):  # type: ignore[no-untyped-def]
            return [".", "..", *os.listdir(here(path))]

        def open(self, path, flags):  # type: ignore[no-untyped-def]
            return os.open(here(path), flags & ~os.O_NOFOLLOW)

        def create(self, path, mode, fi=None):  # type: ignore[no-untyped-def]
            return os.open(here(path), os.O_RDWR | os.O_CREAT, mode)

        def read(self, path, size, offset, fh):  # type: ignore[no-untyped-def]
            here(path)
            return os.pread(fh, size, offset)

        def write(self, path, data, offset, fh):  # type: ignore[no-untyped-def]
            here(path)
            return os.pwrite(fh, data, offset)

        def truncate(self, path, length, fh=None):  # type: ignore[no-untyped-def]
            os.truncate(here(path), length)

        def release(self, path, fh):  # type: ignore[no-untyped-def]
            os.close(fh)
            return 0

        def fsync(self, path, datasync, fh):  # type: ignore[no-untyped-def]
            here(path)
            os.fsync(fh)
            return 0

        def mkdir(self, path, mode):  # type: ignore[no-untyped-def]
            os.mkdir(here(path), mode)

        def unlink(self, path):  # type: ignore[no-untyped-def]
            os.unlink(here(path))

        def rename(self, old, new):  # type: ignore[no-untyped-def]
            os.rename(here(old), source + new)

        def readlink(self, path):  # type: ignore[no-untyped-def]
            return os.readlink(here(path))

    mfusepy.FUSE(Through(), mountpoint, foreground=True, fsname="sleepy")


if __name__ == "__main__":
    serve(*sys.argv[1:])
