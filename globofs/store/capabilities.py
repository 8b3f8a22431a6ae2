"""What the file system below a node's directory cannot do, and what that means here."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from globofs.store import fsio

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def shortcomings(directory: str) -> tuple[str, ...]:
    """Sentences about what is lacking below the node directory; none on an ordinary disk.

    Tries things out in `tmp/`, which must be there. Raises OSError.
    """
    place = os.path.join(directory, "tmp", fsio.temporary_name("ground-"))
    found = []
    try:
        for path in (place, f"{place}-2"):
            fsio.write_new(path, b"")
        if not _locks(place):
            found.append("the file system has no locks: the volume can be read, not written")
        if not _can(lambda: fsio.rename(place, f"{place}-2")):
            found.append(
                "the file system cannot rename over an existing file: what changes here would not"
                " be seen by other nodes; better keep the volume elsewhere"
            )
        if not _can(lambda: fsio.symlink("../x", f"{place}-3")):
            found.append(
                "the file system has no symbolic links: the volume works, without the links from"
                " root/ to its blocks; `links=no` in its config saves trying"
            )
    finally:
        for path in (place, f"{place}-2", f"{place}-3"):
            with suppress(OSError):
                fsio.unlink(path)
    return tuple(found)


def _can(act: Callable[[], object]) -> bool:
    try:
        act()
    except OSError as error:
        if error.errno in _FULL:
            raise
        return False
    return True


def _locks(path: str) -> bool:
    """Whether two openings of a file exclude each other."""
    first, second = fsio.open_lock(path), fsio.open_lock(path)
    try:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(first)
        os.close(second)
    return False
