"""Careful file operations in a peer's directory: its files are input from a stranger.

Only regular files are opened, none through a symlink out of the peer's directory, none read
beyond a stated bound, and nothing is believed of sizes and times. Runs in a peer's pool; each
piece read or written is a `beat`, so a slow peer is told from a stuck one. All `OSError`s pass
through; damage and refusals are `FormatError`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from globofs import limits
from globofs.errors import FormatError
from globofs.peerio.pool import beat
from globofs.store import fsio

_PIECE = 256 * limits.KIB
_STALE_TRIES = 3
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_BASE_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def announce(operation: str, *args: object) -> None:
    """Tell the observer of writes what comes next, as `store.fsio` does for this node's own."""
    observer = fsio.observer
    if observer is not None:
        observer(operation, args)


def _open(path: str, flags: int) -> int:
    """`open`, opened anew by path when the server says the handle is stale."""
    for last in range(_STALE_TRIES):
        try:
            return os.open(path, flags | _BASE_FLAGS, 0o666)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise FormatError(what=path, reason="a symlink, not a file") from None
            if error.errno != errno.ESTALE or last == _STALE_TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _judge(descriptor: int, path: str, inside: str) -> None:
    """Refuse anything but a regular file that lies below `inside` (a real path; "" = anywhere)."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise FormatError(what=path, reason="not a regular file")
    if not inside:
        return
    try:
        real = os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return  # no /proc on this machine: a symlinked directory cannot be told
    if not real.startswith(inside.rstrip("/") + "/"):
        raise FormatError(what=path, reason="a symlink leads out of the peer's directory")


@contextlib.contextmanager
def opened(path: str, inside: str) -> Iterator[int]:
    """A descriptor for reading the regular file `path`."""
    descriptor = _open(path, os.O_RDONLY)
    try:
        _judge(descriptor, path, inside)
        yield descriptor
    finally:
        with contextlib.suppress(OSError):  # what was read has been read
            os.close(descriptor)


def read_regular(path: str, inside: str, limit: int, offset: int = 0) -> bytes:
    """The bytes of `path` from `offset`; `FormatError` when there are more than `limit`."""
    with opened(path, inside) as descriptor:
        data = _read(descriptor, limit + 1, offset)
    if len(data) > limit:
        raise FormatError(what=path, reason=f"larger than the allowed {limit} bytes")
    return data


def read_piece(path: str, inside: str, offset: int, count: int) -> bytes:
    """At most `count` bytes of `path` from `offset`; fewer only at its end."""
    with opened(path, inside) as descriptor:
        return _read(descriptor, count, offset)


def _read(descriptor: int, count: int, offset: int) -> bytes:
    first = os.pread(descriptor, min(count, _PIECE), offset)
    beat()
    if len(first) == count or not first:
        return first
    pieces, total = [first], len(first)
    while total < count:
        piece = os.pread(descriptor, min(count - total, _PIECE), offset + total)
        beat()
        if not piece:
            break
        pieces.append(piece)
        total += len(piece)
    return b"".join(pieces)


def size_of(path: str, inside: str) -> int:
    """Size of `path`, seen by opening it (a cached `stat` may be a minute old)."""
    with opened(path, inside) as descriptor:
        return os.fstat(descriptor).st_size


def append(path: str, inside: str, data: bytes) -> int:
    """Append `data` in one open, write, fsync, close; returns the file's size before.

    Where the file system refuses to open for appending, the bytes are written at the end.
    """
    announce("create", path, 0o666)
    try:
        descriptor = _open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
        descriptor = _open(path, os.O_WRONLY | os.O_CREAT)
    try:
        _judge(descriptor, path, inside)
        before = os.lseek(descriptor, 0, os.SEEK_END)
        announce("write", path, before, data)
        _write_all(descriptor, data)
        _sync(descriptor, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        raise
    os.close(descriptor)  # not suppressed: NFS reports a full disk here
    return before


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = os.write(descriptor, view[:_PIECE])
        if not written:  # else a server that takes nothing would keep us here for ever
            raise OSError(errno.EIO, "nothing was written")
        beat()
        view = view[written:]


def _sync(descriptor: int, path: str) -> None:
    """fsync, where there is such a thing; what was sent counts once acknowledged anyway."""
    announce("fsync", path)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def create(path: str, inside: str, data: bytes) -> None:
    """Write the new file `path` and make it durable; `FileExistsError` when it is there."""
    announce("create", path, 0o666)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BASE_FLAGS, 0o666)
    try:
        _judge(descriptor, path, inside)
        announce("write", path, 0, data)
        _write_all(descriptor, data)
        _sync(descriptor, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        fsio.remove(path)
        raise
    try:
        os.close(descriptor)
    except OSError:
        fsio.remove(path)
        raise


def rename_new(source: str, target: str) -> None:
    """Give `source` the name `target`, which must be new: renaming over is not relied on."""
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    fsio.rename(source, target)


def unlink(path: str) -> None:
    """Remove one file of ours at the peer."""
    fsio.unlink(path)


def make_directories(base: str, *names: str) -> None:
    """Make `base/names[0]/names[1]…`; never `base` itself (then `FileNotFoundError`)."""
    path = base
    for name in names:
        path = os.path.join(path, name)
        fsio.mkdir(path)


def names_in(path: str, most: int) -> list[str]:
    """Names in a directory, sorted, at most `most` of them; none when it is not there."""
    names: list[str] = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                names.append(entry.name)
                if len(names) >= most:
                    break
    except (FileNotFoundError, NotADirectoryError):
        return []
    names.sort()
    return names


def sizes_in(path: str, most: int) -> list[tuple[str, int]]:
    """Names in a directory and their sizes (hints), at most `most`; none when it is not there."""
    found: list[tuple[str, int]] = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    found.append((entry.name, entry.stat(follow_symlinks=False).st_size))
                beat()
                if len(found) >= most:
                    break
    except (FileNotFoundError, NotADirectoryError):
        return []
    return found
