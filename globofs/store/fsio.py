"""The only place that changes anything on disk, and the careful way to read what others wrote.

Every change goes through a function here, and every one of them first tells `observer` what it is
about to do, with all that is needed to do it again on another disk:

    create(path, mode)  write(path, offset, data)  truncate(path, size)  chmod(path, mode)
    fsync(path)  fsync_dir(path)  syncfs(path)  rename(old, new)  unlink(path)  mkdir(path)
    rmdir(path)  symlink(target, path)  link(old, new)  utime(path, atime_ns, mtime_ns)

Tests raise from it, kill the process in it, or record it and replay a power loss. `OSError` passes
through unchanged everywhere. Files get the user's umask; a temporary file is private because it
lies in `tmp/`, which only its owner may enter, or because its `mode` says so.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Callable
from types import TracebackType

Buffer = bytes | bytearray | memoryview

observer: Callable[[str, tuple[object, ...]], None] | None = None

READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
NEW_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_APPEND_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_LEAST = 1 << 12
_STALE_TRIES = 3
_token = os.urandom(3).hex()
_serial = itertools.count(1)


class NotTakenBack(OSError):
    """A failed write that could not be undone either: it may show up later."""

    may_show_up = True


def _tell(op: str, *args: object) -> None:
    if observer is not None:
        observer(op, args)


def _full(path: str, dir_fd: int | None) -> str:
    """`path` as the observer wants it: complete, also where it counts from an open directory."""
    if dir_fd is None:
        return path
    return os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), path)


def temporary_name(prefix: str = "") -> str:
    """A file name that no other process or thread of any machine uses."""
    return f"{prefix}{os.getpid():x}-{_token}-{next(_serial):x}"


def is_full(error: OSError) -> bool:
    """Whether there was no room, on the disk or in somebody's quota."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


# --- reading ------------------------------------------------------------------------------------


def open_regular(path: str, *, dir_fd: int | None = None) -> int:
    """A descriptor for reading `path`, which must be a regular file.

    A symlink, FIFO, device or directory there is an `OSError` (`ELOOP`, `EINVAL`, `EISDIR`), and
    nothing that lies there can make the call hang. The caller closes it.
    """
    fd = _open_fresh(path, dir_fd)
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
            raise OSError(code, "is not a regular file", path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _open_fresh(path: str, dir_fd: int | None) -> int:
    """Open for reading, anew by name where a server says that its handle is stale."""
    for _ in range(_STALE_TRIES - 1):
        try:
            return os.open(path, READ_FLAGS, dir_fd=dir_fd)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
    return os.open(path, READ_FLAGS, dir_fd=dir_fd)


def read_fd(fd: int, limit: int, path: str = "") -> bytes:
    """All of an open file from where it stands; `EFBIG` beyond `limit` bytes."""
    pieces: list[bytes] = []
    room = limit + 1
    expected = os.fstat(fd).st_size + 1  # in one piece, but the size is not believed
    while room > 0:
        piece = os.read(fd, min(room, max(expected, _LEAST)))
        if not piece:
            break
        pieces.append(piece)
        room -= len(piece)
        expected -= len(piece)
    if room <= 0:
        raise OSError(errno.EFBIG, f"is larger than {limit} bytes", path)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def read_file(path: str, limit: int, *, dir_fd: int | None = None) -> bytes:
    """The content of a regular file of at most `limit` bytes (`EFBIG` beyond)."""
    fd = open_regular(path, dir_fd=dir_fd)
    try:
        return read_fd(fd, limit, path)
    finally:
        os.close(fd)


def read_range(path: str, offset: int, length: int) -> bytes:
    """Up to `length` bytes of a regular file from `offset`; fewer at its end."""
    fd = open_regular(path)
    try:
        return pread_all(fd, offset, length)
    finally:
        os.close(fd)


def pread_all(fd: int, offset: int, length: int) -> bytes:
    """`length` bytes of an open file from `offset`; fewer only at its end."""
    data = os.pread(fd, length, offset)
    while 0 < len(data) < length:
        more = os.pread(fd, length - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


# --- writing files ------------------------------------------------------------------------------


def _write_fd(fd: int, path: str, offset: int, data: Buffer) -> int:
    """Write all of `data` at `offset`; returns how many bytes that were."""
    if observer is not None:
        observer("write", (path, offset, bytes(data)))
    done = os.pwrite(fd, data, offset)
    size = data.nbytes if isinstance(data, memoryview) else len(data)
    if done == size:
        return size
    view = memoryview(data).cast("B")
    while done < size:
        done += os.pwrite(fd, view[done:], offset + done)
    return size


class Writer:
    """A new file being written: create, `write`..., then `commit(final)` or `abandon()`.

    As a context manager it abandons what was not committed.
    """

    def __init__(self, path: str, *, mode: int = 0o666, dir_fd: int | None = None) -> None:
        """Create `path` (`EEXIST` if something lies there)."""
        self.path = _full(path, dir_fd) if observer is not None else path
        self._name = path
        self._dir_fd = dir_fd
        _tell("create", self.path, mode)
        self.fd = os.open(path, NEW_FLAGS, mode, dir_fd=dir_fd)
        self.size = 0

    def write(self, data: Buffer) -> None:
        """Append `data`."""
        self.size += _write_fd(self.fd, self.path, self.size, data)

    def writeback(self) -> None:
        """Ask the kernel to begin writing to disk, without waiting."""
        start_writeback(self.fd)

    def sync(self) -> None:
        """Wait until content and size are on disk."""
        _tell("fsync", self.path)
        os.fsync(self.fd)

    def chmod(self, mode: int) -> None:
        """Set the permission bits."""
        _tell("chmod", self.path, mode)
        os.fchmod(self.fd, mode)

    def utime(self, mtime_ns: int) -> None:
        """Set both times to `mtime_ns`."""
        _tell("utime", self.path, mtime_ns, mtime_ns)
        os.utime(self.fd, ns=(mtime_ns, mtime_ns))

    def close(self) -> None:
        """Close, and keep what was written under the temporary name."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def commit(self, final: str, *, dir_fd: int | None = None) -> None:
        """Close and rename to `final`, replacing a file there; not durable by itself."""
        self.close()
        rename(self._name, final, src_dir_fd=self._dir_fd, dst_dir_fd=dir_fd)
        self._name = ""

    def abandon(self) -> None:
        """Close and delete; never raises."""
        self.close()
        name, self._name = self._name, ""
        if name:
            remove(name, dir_fd=self._dir_fd)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._name:
            self.abandon()


def write_new(path: str, data: Buffer, *, mode: int = 0o666, writeback: bool = False) -> None:
    """Create `path` with `data`; `EEXIST` if it is there; a failed one is deleted again.

    `writeback`: ask the kernel to begin writing it to disk, without waiting.
    """
    _tell("create", path, mode)
    fd = os.open(path, NEW_FLAGS, mode)
    try:
        try:
            _write_fd(fd, path, 0, data)
            if writeback:
                start_writeback(fd)
        finally:
            os.close(fd)
    except BaseException:
        remove(path)
        raise


def write_atomic(path: str, data: Buffer, *, durable: bool = False, mode: int = 0o666) -> None:
    """Replace `path` by `data` in one step; with `durable`, on disk when this returns."""
    directory = os.path.dirname(path)
    with Writer(os.path.join(directory, temporary_name(".tmp-")), mode=mode) as writer:
        writer.write(data)
        if durable:
            writer.sync()
        writer.commit(path)
    if durable:
        fsync_dir(directory)


def append(path: str, data: Buffer, *, durable: bool = True) -> int:
    """Append to `path` (made if missing); returns the offset where `data` begins.

    What a failing write left half done is cut off again where that is possible.
    """
    fd, start = open_append(path)
    try:
        try:
            _write_fd(fd, path, start, data)
        except OSError:
            _cut(fd, path, start)
            raise
        if durable:
            fdatasync(fd, path)
    finally:
        os.close(fd)
    if durable and start == 0:
        fsync_dir(os.path.dirname(path))
    return start


def open_append(path: str) -> tuple[int, int]:
    """A descriptor for appending (the file is made if missing) and the file's size.

    Not `O_APPEND`: the caller is the only writer, and says where each write goes.
    """
    _tell("create", path, 0o666)
    fd = os.open(path, _APPEND_FLAGS, 0o666)
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", path)
    except BaseException:
        os.close(fd)
        raise
    return fd, info.st_size


def open_scratch(path: str) -> int:
    """A descriptor for reading and writing a private file of our own, made if missing."""
    _tell("create", path, 0o600)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def write_at(fd: int, path: str, offset: int, data: Buffer) -> None:
    """Write all of `data` into the open file `path` at `offset`."""
    _write_fd(fd, path, offset, data)


def truncate(fd: int, path: str, size: int) -> None:
    """Cut the open file `path` to `size` bytes."""
    _tell("truncate", path, size)
    os.ftruncate(fd, size)


def _cut(fd: int, path: str, size: int) -> None:
    # Where even that fails the torn piece stays: readers skip it, and the next append begins on a
    # new line.
    with contextlib.suppress(OSError):
        truncate(fd, path, size)


# --- names --------------------------------------------------------------------------------------


def rename(
    old: str, new: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
) -> None:
    """Rename, replacing a file at `new`."""
    if observer is not None:
        observer("rename", (_full(old, src_dir_fd), _full(new, dst_dir_fd)))
    os.rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)


def rename_making(old: str, new: str) -> None:
    """Rename; makes the directories above `new` only when they turn out to be missing."""
    try:
        rename(old, new)
    except FileNotFoundError:
        mkdirs(os.path.dirname(new))
        rename(old, new)


def unlink(path: str, *, dir_fd: int | None = None) -> None:
    """Delete a file or symlink."""
    if observer is not None:
        observer("unlink", (_full(path, dir_fd),))
    os.unlink(path, dir_fd=dir_fd)


def remove(path: str, *, dir_fd: int | None = None) -> bool:
    """Delete a file if possible; returns whether it went. Never raises an `OSError`."""
    try:
        unlink(path, dir_fd=dir_fd)
    except OSError:
        return False
    return True


def mkdir(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> bool:
    """Make one directory; returns False if one is there already."""
    if observer is not None:
        observer("mkdir", (_full(path, dir_fd),))
    try:
        os.mkdir(path, mode, dir_fd=dir_fd)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(path, dir_fd=dir_fd).st_mode):
            raise
        return False
    return True


def mkdirs(path: str) -> None:
    """Make a directory and those above it that are missing."""
    try:
        mkdir(path)
    except FileNotFoundError:
        above = os.path.dirname(path)
        if above == path:
            raise
        mkdirs(above)
        mkdir(path)


def rmdir(path: str, *, dir_fd: int | None = None) -> None:
    """Delete an empty directory."""
    if observer is not None:
        observer("rmdir", (_full(path, dir_fd),))
    os.rmdir(path, dir_fd=dir_fd)


def symlink(target: str, path: str, *, dir_fd: int | None = None) -> None:
    """Make `path` a symlink to `target`."""
    if observer is not None:
        observer("symlink", (target, _full(path, dir_fd)))
    os.symlink(target, path, dir_fd=dir_fd)


def link(old: str, new: str) -> None:
    """Give the file `old` a second name."""
    _tell("link", old, new)
    os.link(old, new, follow_symlinks=False)


def chmod(path: str, mode: int, *, dir_fd: int | None = None) -> None:
    """Set the permission bits."""
    if observer is not None:
        observer("chmod", (_full(path, dir_fd), mode))
    os.chmod(path, mode, dir_fd=dir_fd)


def utime(path: str, mtime_ns: int, *, dir_fd: int | None = None) -> None:
    """Set both times, of a symlink itself where `path` is one."""
    if observer is not None:
        observer("utime", (_full(path, dir_fd), mtime_ns, mtime_ns))
    os.utime(path, ns=(mtime_ns, mtime_ns), dir_fd=dir_fd, follow_symlinks=False)


# --- durability ---------------------------------------------------------------------------------


def fdatasync(fd: int, path: str) -> None:
    """Wait until the open file's content (and size) is on disk."""
    _tell("fsync", path)
    os.fdatasync(fd)


def fdatasync_file(path: str) -> None:
    """Wait until what is in `path` is on disk."""
    fd = open_regular(path)
    try:
        fdatasync(fd, path)
    finally:
        os.close(fd)


def fsync_dir(path: str) -> None:
    """Wait until the names in a directory are on disk.

    File systems that cannot do that answer `EINVAL`, and keep names in order by themselves.
    """
    _tell("fsync_dir", path)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


def syncfs(path: str) -> None:
    """Wait until everything on the file system of `path` is on disk, names and contents."""
    from globofs.store import libc

    _tell("syncfs", path)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc.syncfs(fd, path)
    finally:
        os.close(fd)


def start_writeback(fd: int) -> None:
    """Ask the kernel to begin writing an open file to disk; a hint, never waits, never fails."""
    from globofs.store import libc

    libc.start_writeback(fd)


# --- locks --------------------------------------------------------------------------------------


def open_lock(path: str) -> int:
    """A descriptor of a lock file, made if missing. Not observed: nothing is read back from it."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except FileNotFoundError:
        # Only `lock/` itself: where the node's directory is gone, nothing may be made in its place.
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.dirname(path))
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)


def note(fd: int, text: bytes) -> None:
    """Make `text` all there is in a lock file. Not observed: it is a note for others."""
    os.pwrite(fd, text, 0)
    os.ftruncate(fd, len(text))


def note_holder(fd: int, text: bytes) -> None:
    """Leave a few words in a lock file for those who wait; on a full disk they go without."""
    with contextlib.suppress(OSError):
        os.pwrite(fd, text.ljust(128), 0)
