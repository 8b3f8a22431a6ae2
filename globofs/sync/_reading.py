"""Small files read, hashed and compressed in a process of their own: what that process does.

It knows no volume: it is told files and says what they hold. Started by `_second`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from typing import BinaryIO, Final

from globofs.format.codec import compress
from globofs.store import fsio, messages

Asked = tuple[str, int, int, int, int, bool]
"""A file on disk: its path, and size, mtime, ctime (nanoseconds) and inode as they were found;
whether to compress it at once."""
Told = tuple[bytes, int, bytes, str | None]
"""What a file holds: the SHA-256, its size, and the bytes as they are to be stored with their
suffix; None where they are plain because they were not to be compressed."""

_AHEAD: Final = 64
"""So many files are opened before the first is read: a disk is faster when it knows what is next."""


def serve(method: str, level: str) -> None:
    """Answer requests until there are no more. Says that it is there with an empty answer."""
    with messages.streams() as (requests, answers):
        try:
            _answer(answers, [])
            while (asked := messages.read(requests)) is not None:
                _answer(answers, look(asked, method, int(level)))
        except BrokenPipeError:
            os._exit(0)  # nobody listens any more, so nothing need be flushed


def _answer(answers: BinaryIO, found: list[Told | None]) -> None:
    answers.write(messages.pack(found))
    answers.flush()


def look(asked: Sequence[Asked], method: str, level: int) -> list[Told | None]:
    """What each file holds; None for one that is not as it was found, or cannot be read."""
    found: list[Told | None] = []
    for start in range(0, len(asked), _AHEAD):
        some = asked[start : start + _AHEAD]
        opened = [_open(one) for one in some]
        found += [_read(fd, one, method, level) for fd, one in zip(opened, some, strict=True)]
    return found


def _open(asked: Asked) -> int:
    try:
        fd = os.open(asked[0], fsio.READ_FLAGS)
    except OSError:
        return -1
    with suppress(OSError):  # a mere hint
        os.posix_fadvise(fd, 0, asked[1], os.POSIX_FADV_WILLNEED)
    return fd


def _read(fd: int, asked: Asked, method: str, level: int) -> Told | None:
    if fd < 0:
        return None
    _, size, mtime, ctime, inode, pack = asked
    try:
        data = os.read(fd, size + 1)
        info = os.fstat(fd)
    except OSError:
        return None
    finally:
        os.close(fd)
    as_found = (info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)
    if as_found != (size, mtime, ctime, inode) or len(data) != size:
        return None
    if not stat.S_ISREG(info.st_mode):
        return None
    digest = sha256(data).digest()
    return (digest, size, *compress(data, method, level)) if pack else (digest, size, data, None)
