"""A FUSE file system that passes everything through, and misbehaves as a control file says.

Run as `python helpers_hostile.py SOURCE MOUNTPOINT CONTROL`, in a process of its own: what hangs
in it must not hold whoever tests. CONTROL is a JSON object, read anew whenever it changes, so
faults come and go while the file system is mounted:

    fail    list of {ops, errno, match?, after?, times?}: these operations fail on paths that match
            the pattern; `after` lets so many bytes of writes through first; `times` failures, no more
    hang    pattern: operations on these paths wait until it is gone
    frozen  pattern: sizes and times stay what they were when the fault began
    late    pattern: what did not exist when the fault began does not exist
    hide    pattern: names left out of listings, though they can be opened
    zeros   pattern: the last quarter of these files reads as zeros
    short   bytes: no write takes more
    lose    pattern: what is written there is gone after fsync, which says all is well
    mtime   "constant" or "coarse" (two seconds)
    rename  "new": renaming over an existing file fails
    fold    true: names that differ by case, or in how an accent is written, are one; a file keeps
            the name that it was made under
    names   {"bytes": n, "refused": characters}: names that are longer, or hold one of these, cannot
            be; a longer one is refused by a mere look as well
    append  "seek": appends go to where the file ended two opens ago
"""

from __future__ import annotations

import errno
import fnmatch
import json
import os
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path
from types import TracebackType
from typing import Any

MUTATING = [
    *("write", "create", "mkdir", "unlink", "rmdir", "rename", "truncate", "symlink", "link"),
    *("chmod", "utimens"),
]


class Hostile:
    """The mount as a test sees it."""

    def __init__(self, source: Path, mountpoint: Path) -> None:
        self.source = source
        self.mountpoint = mountpoint
        self._control = mountpoint.with_suffix(".control")
        self._process: subprocess.Popen[bytes] | None = None
        mountpoint.mkdir()
        self.be()
        self.mount()

    def mount(self) -> None:
        """Serve, and return when that is seen."""
        self._process = subprocess.Popen(
            [
                *(sys.executable, __file__),
                *map(str, (self.source, self.mountpoint, self._control)),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 10
        while not os.path.ismount(self.mountpoint):
            assert self._process.poll() is None, "the file system did not start"
            assert time.monotonic() < end
            time.sleep(0.02)

    def be(self, **faults: Any) -> None:
        """Misbehave like this from now on; without arguments, behave."""
        made = self._control.with_suffix(".new")
        made.write_text(json.dumps(faults))
        made.rename(self._control)

    def vanish(self) -> None:
        """The server dies; the mount stays and answers ENOTCONN."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def unmount(self) -> None:
        """Take the mount away; an empty directory is left."""
        command = ["fusermount3", "-u", "-z", "-q", str(self.mountpoint)]
        subprocess.run(command, stderr=subprocess.DEVNULL)

    def __enter__(self) -> Hostile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.be()
        self.unmount()
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Faults:
    """The control file as it is now."""

    def __init__(self, source: str, control: str) -> None:
        self._source = source
        self._control = control
        self._mark: tuple[int, int] | None = None
        self._now: dict[str, Any] = {}
        self._left: dict[int, int] = {}
        self._failed: dict[int, int] = {}
        self.seen: dict[str, dict[str, Any]] = {}
        self.ends: dict[str, int] = {}
        self.known: set[str] = set()

    def get(self, key: str) -> Any:
        """A fault's setting, None when it is off."""
        info = os.stat(self._control)
        mark = (info.st_ino, info.st_mtime_ns)
        if mark != self._mark:
            self._mark = mark
            with open(self._control) as file:
                self._now = json.load(file)
            self._left, self._failed, self.seen = {}, {}, {}
            if "late" in self._now:
                self.known = {
                    os.path.join(place, name)
                    for place, below, names in os.walk(self._source)
                    for name in [*below, *names]
                }
        return self._now.get(key)

    def hits(self, key: str, path: str) -> bool:
        """Whether a fault that names paths names this one."""
        pattern = self.get(key)
        return pattern is not None and fnmatch.fnmatch(path, pattern)

    def fail(self, op: str, path: str, size: int = 0) -> int:
        """How many of `size` bytes may still be written; raises when the operation is to fail."""
        allowed = size
        for number, rule in enumerate(self.get("fail") or ()):
            if op not in rule["ops"] or not fnmatch.fnmatch(path, rule.get("match", "*")):
                continue
            left = self._left.setdefault(number, rule.get("after", 0))
            if op == "write" and left > 0:
                allowed = min(allowed, left)
                self._left[number] = left - allowed
                continue
            failed = self._failed.get(number, 0)
            if failed < rule.get("times", sys.maxsize):
                self._failed[number] = failed + 1
                raise OSError(getattr(errno, rule["errno"]), rule["errno"])
        return allowed

    def wait(self, path: str) -> None:
        """Hang as long as that is asked for."""
        while self.hits("hang", path):
            time.sleep(0.05)


def folded(name: str) -> str:
    """What is left of a name where case and the way of writing accents are nothing."""
    return unicodedata.normalize("NFD", name).casefold()


def as_made(source: str, path: str) -> str:
    """The path as it stands on the disk of a name that folds to one that is there."""
    place = ""
    for part in path.split("/")[1:]:
        if part and not os.path.lexists(f"{source}{place}/{part}"):
            try:
                names = os.listdir(f"{source}{place}")
            except OSError:
                names = []
            part = next((name for name in names if folded(name) == folded(part)), part)
        place += "/" + part
    return place or "/"


def refuse_name(rule: dict[str, Any] | None, op: str, path: str) -> None:
    """Raise where a name of `path` is none for this disk."""
    for name in path.split("/") if rule else ():
        assert rule is not None
        if len(os.fsencode(name)) > rule.get("bytes", 255):
            raise OSError(errno.ENAMETOOLONG, path)
        if op in MUTATING and set(name) & set(rule.get("refused", "")):
            raise OSError(errno.EINVAL, path)


FACTS = ("mode", "nlink", "size", "uid", "gid", "ino", "mtime", "atime", "ctime")


def serve(source: str, mountpoint: str, control: str) -> None:
    """Mount and serve until unmounted or killed."""
    import mfusepy

    faults = Faults(source, control)

    def here(op: str, path: str) -> str:
        faults.wait(path)
        faults.fail(op, path)
        refuse_name(faults.get("names"), op, path)
        if faults.get("fold"):
            path = as_made(source, path)
        new = source + path not in faults.known and path != "/" and op != "create"
        if new and faults.hits("late", path):
            raise OSError(errno.ENOENT, path)
        return source + path

    class Through(mfusepy.Operations):  # type: ignore[misc]
        use_ns = True

        def getattr(self, path, fh=None):  # type: ignore[no-untyped-def]
            info = os.lstat(here("getattr", path))
            found = {f"st_{name}": getattr(info, f"st_{name}") for name in FACTS}
            for name in ("st_mtime", "st_atime", "st_ctime"):
                found[name] = getattr(info, f"{name}_ns")
            if faults.get("mtime") == "constant":
                found["st_mtime"] = 0
            elif faults.get("mtime") == "coarse":
                found["st_mtime"] -= found["st_mtime"] % 2_000_000_000
            if faults.hits("frozen", path):
                return faults.seen.setdefault(path, found)
            return found

        def readdir(self, path, fh):  # type: ignore[no-untyped-def]
            base = path.rstrip("/")
            names = os.listdir(here("readdir", path))
            return [".", "..", *(n for n in names if not faults.hits("hide", f"{base}/{n}"))]

        def open(self, path, flags):  # type: ignore[no-untyped-def]
            place = here("open", path)
            if faults.get("append") == "seek" and flags & os.O_ACCMODE:
                known = faults.ends.get(path, os.path.getsize(place))
                faults.ends[path], faults.seen[path] = os.path.getsize(place), {"end": known}
            return os.open(place, flags & ~(os.O_NOFOLLOW | os.O_APPEND))

        def create(self, path, mode, fi=None):  # type: ignore[no-untyped-def]
            return os.open(here("create", path), os.O_RDWR | os.O_CREAT, mode)

        def read(self, path, size, offset, fh):  # type: ignore[no-untyped-def]
            here("read", path)
            data = os.pread(fh, size, offset)
            if faults.hits("zeros", path):
                good = max(0, os.fstat(fh).st_size * 3 // 4 - offset)
                data = data[:good] + bytes(len(data[good:]))
            return data

        def write(self, path, data, offset, fh):  # type: ignore[no-untyped-def]
            here("open-write", path)
            allowed = faults.fail("write", path, len(data))
            allowed = min(allowed, faults.get("short") or allowed)
            end = faults.seen.get(path, {}).get("end") if faults.get("append") == "seek" else None
            if end is not None:
                faults.seen[path]["end"] = end + allowed
                offset = end
            return os.pwrite(fh, data[:allowed], offset)

        def truncate(self, path, length, fh=None):  # type: ignore[no-untyped-def]
            os.truncate(here("truncate", path), length)

        def flush(self, path, fh):  # type: ignore[no-untyped-def]
            here("flush", path)
            return 0

        def release(self, path, fh):  # type: ignore[no-untyped-def]
            os.close(fh)
            return 0

        def fsync(self, path, datasync, fh):  # type: ignore[no-untyped-def]
            place = here("fsync", path)
            if faults.hits("lose", path):
                os.truncate(place, os.path.getsize(place) // 2)
            return 0

        def statfs(self, path):  # type: ignore[no-untyped-def]
            info = os.statvfs(here("statfs", path))
            return {name: getattr(info, name) for name in dir(info) if name.startswith("f_")}

        def mkdir(self, path, mode):  # type: ignore[no-untyped-def]
            os.mkdir(here("mkdir", path), mode)

        def rmdir(self, path):  # type: ignore[no-untyped-def]
            os.rmdir(here("rmdir", path))

        def unlink(self, path):  # type: ignore[no-untyped-def]
            os.unlink(here("unlink", path))

        def rename(self, old, new):  # type: ignore[no-untyped-def]
            place = here("rename", old)
            if faults.get("rename") == "new" and os.path.lexists(source + new):
                raise OSError(errno.EEXIST, new)
            os.rename(place, here("rename", new))

        def symlink(self, new, target):  # type: ignore[no-untyped-def]
            os.symlink(target, here("symlink", new))

        def link(self, new, old):  # type: ignore[no-untyped-def]
            os.link(source + old, here("link", new))

        def readlink(self, path):  # type: ignore[no-untyped-def]
            return os.readlink(here("readlink", path))

        def chmod(self, path, mode):  # type: ignore[no-untyped-def]
            os.chmod(here("chmod", path), mode)

        def utimens(self, path, times=None):  # type: ignore[no-untyped-def]
            os.utime(here("utimens", path), ns=times)

        def flock(self, path, fh, op):  # type: ignore[no-untyped-def]
            import fcntl

            faults.fail("flock", path)
            try:
                fcntl.flock(fh, op)
            except BlockingIOError:
                return -errno.EAGAIN
            return 0

    mfusepy.FUSE(
        Through(), mountpoint, foreground=True, fsname="hostile", attr_timeout=0, entry_timeout=0
    )


if __name__ == "__main__":
    serve(*sys.argv[1:])
